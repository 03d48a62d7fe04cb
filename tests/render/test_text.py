from __future__ import annotations

from dataclasses import replace

import pytest

from lettaform.errors import Conflict, NotStored, Place, Problem, ServerError, Unauthorized, Unavailable
from lettaform.model import AgentChange, Answer, Change, FieldChange, Live, Mark, Outcome, Plan, Report
from lettaform.render import data, objects, text
from lettaform.render.saved_plan import to_plan
from lettaform.values import UNREAD, Item, Patch, Ref, kept_text

from .samples import HOSTILE, SENTINEL, at, everything, of, step, update

EVERYTHING = """\
Stack support · http://localhost:8283 · Letta 0.16.8 · environment prod

  + agents.worker[emea]  # lettaform.yaml:41
      name            "worker-emea"
      system          37 characters
          | First.
          | Second.
          | Third.
          … 2 more lines
      blocks          [blocks.organization, block-7]
      secrets         KEY=‹secret›
      model_settings  {provider_type: "openai", nested: {effort: "high"}}

      + agents.worker[emea].memory.persona
          value  "I look after emea."
          limit  2000

  ~ agents.supervisor  # lettaform.yaml:41
      ~ system          37 → 39 characters
          @@ -1,5 +1,5 @@
            First.
          - Second.
          + Zweitens.
            Third.
            Fourth.
            Fifth.
      ~ tools           +tools.get_weather -web_search
      ~ context_window  8000 → 16000  (changed in the manifest and outside lettaform; the manifest's value is written)
      ~ secrets.KEY     ‹secret› → ‹secret›
      note: `model` is sent again as it is

      ~ agents.supervisor.memory.human
          ~ value  "Nobody yet." → "Alice"  11 → 5 characters of 2500  (--reseed: the agent's value is overwritten)
          ~ limit  2000 → 2500

  - agents.old  will be destroyed: no longer declared

  -/+ agents.new  will be replaced
      ~ agent_type  "memgpt_agent" → "letta_v1_agent"

  > agents.legacy  agent-8  will be adopted
  = agents.boss  only lettaform's mark is written: moved from agents.chief
  < agents.gone  will no longer be managed; the object is kept: removed: {destroy: false}

Changed outside lettaform, will be restored:
  ~ blocks.organization
      ~ description  "x" → "What everybody must know."
      recompiles the system prompts of 200 agents

! agents.supervisor.memory.persona.value: the manifest's value changed, but the agent's value is kept. \
`lettaform apply --reseed agents.supervisor.memory.persona` overwrites it.

Not managed by this manifest:
  agents.retired  agent-99  marked, no longer declared

Warning: the limit is low  # lettaform.yaml:41
    raise it

Plan: 3 to create, 3 to change, 2 to destroy, 1 to adopt, 1 mark to write, 1 to stop managing. \
2 values changed by agents, kept.
"""


def test_a_plan_with_every_action_and_group() -> None:
    assert text.plan(everything()) == EVERYTHING


def test_colours_do_not_change_the_text() -> None:
    import re

    colored = text.plan(replace(everything(), changes=everything().changes[:1]), color=True)
    bare = text.plan(replace(everything(), changes=everything().changes[:1]))
    assert "\x1b[32m+\x1b[0m \x1b[1magents.worker[emea]\x1b[0m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == bare


def test_a_saved_plan_names_the_values_that_agents_changed_and_holds_none_of_them() -> None:
    shown = text.plan(to_plan(data.plan(everything())), verbose=True)
    assert "  ~ agents.boss.memory.human\n      ~ value\n" in shown
    assert "null" not in shown.split("Changed by agents, kept")[1].split("\n\n!")[0]


def test_verbose_output_lists_kept_values_and_shows_whole_texts() -> None:
    shown = text.plan(everything(), verbose=True)
    title = "Changed by agents, kept (- the manifest's value, + the value on the server):\n"
    assert f'{title}  ~ agents.supervisor.memory.persona  block-1\n      ~ value  "want" → "live"' in shown
    assert "          | Fifth.\n" in shown
    assert "more lines" not in shown


def test_a_plan_without_changes_is_one_line() -> None:
    runtime = tuple(AgentChange(at("agents.a.memory.human"), f"v{n}", "block-1") for n in range(4))
    assert text.plan(of()) == "No changes.\n"
    assert text.plan(of(runtime=runtime)) == "No changes. 4 values changed by agents, kept.\n"
    assert text.plan(of(runtime=runtime[:1])) == "No changes. 1 value changed by agents, kept.\n"


def test_the_summary_says_how_many_objects_do_not_change() -> None:
    plan = of(update("agents.a", FieldChange("a", 1, 2)), unchanged=196)
    assert text.plan(plan).endswith("Plan: 0 to create, 1 to change, 0 to destroy, 196 unchanged.\n")
    where = "of stack support on http://localhost:8283"
    assert text.plan(of(unchanged=103)) == f"No changes. 103 objects {where} are as declared.\n"
    assert text.plan(of(unchanged=1, environment="prod")).endswith(
        f"1 object {where}, environment prod is as declared.\n"
    )


def test_a_changed_seed_is_reported_even_if_nothing_changes() -> None:
    moved = AgentChange(at("agents.a.memory.human"), "value", "block-1", seed_moved=True)
    assert "`lettaform apply --reseed agents.a.memory.human` overwrites it" in text.plan(of(runtime=(moved,)))
    assert "`lettaform apply --reseed agents.a.memory.human` overwrites it" in text.notices(of(runtime=(moved,)))
    assert text.notices(of(runtime=(replace(moved, seed_moved=False),))) == ""


def test_a_seed_that_nobody_changed_is_not_called_a_value_of_an_agent() -> None:
    seeds = tuple(
        AgentChange(at(f"agents.a[{key}].memory.human"), "value", f"block-{key}", seed_moved=True, live_moved=False)
        for key in "xyz"
    )
    shown = text.plan(of(runtime=seeds))
    assert shown.count("belongs to the agents once it is written") == 1
    assert "! agents.a[x].memory.human.value and 2 more: the manifest's value changed" in shown
    assert "`lettaform apply --reseed 'agents.a[x].memory.human'` overwrites the first." in shown
    assert shown.endswith("No changes. 3 changed seeds not written.\n")


def test_a_plan_that_only_saves_the_state_says_so() -> None:
    only = of(steps=(step("stack.state", "save_state", kind="stack"),))
    assert text.summary(only) == "Plan: no object changes; only the state of the stack is saved."


def test_a_memory_block_is_not_indented_if_its_agent_does_not_change() -> None:
    lines = text.plan(of(update("agents.a.memory.human", FieldChange("limit", 1, 2), kind="block"))).splitlines()
    assert lines[2:4] == ["  ~ agents.a.memory.human", "      ~ limit  1 → 2"]


def test_drift_next_to_a_change_of_the_manifest_is_explained_on_its_line() -> None:
    mixed = update("agents.a", FieldChange("a", 1, 2, reason="drift"), FieldChange("b", 1, 2), reason="drift")
    shown = text.plan(of(mixed))
    assert "~ a  1 → 2  (changed outside lettaform; the manifest's value is restored)\n" in shown
    assert "~ b  1 → 2\n" in shown
    assert "Changed outside lettaform, will be restored" not in shown


def test_recompiling_a_single_agent_is_not_mentioned() -> None:
    assert "recompiles" not in text.plan(of(update("agents.a", FieldChange("a", 1, 2), recompiles=1)))


def test_hostile_text_in_every_part_of_a_plan_is_cleaned() -> None:
    plan = everything()
    plan = replace(
        plan,
        stack=HOSTILE,
        url=HOSTILE,
        version=HOSTILE,
        environment=HOSTILE,
        changes=(
            Change(at("agents.a"), "agent", "delete", HOSTILE, HOSTILE, notes=(HOSTILE,)),
            update("agents.b", FieldChange(HOSTILE, HOSTILE, HOSTILE)),
        ),
        runtime=(AgentChange(at("agents.a"), HOSTILE, HOSTILE, seed_moved=True),),
        unmanaged=(replace(plan.unmanaged[0], id=HOSTILE, reason=HOSTILE),),
        warnings=(replace(plan.warnings[0], message=HOSTILE, hint=HOSTILE),),
    )
    shown = text.plan(plan, verbose=True)
    assert not set(shown) & set("\x1b\x07\x9b\u202e\r\u200b\x7f\ud800\U000e0041")
    assert shown.count("␛") >= 12


# --- reports ---------------------------------------------------------------------------------------------------------


def done(address: str, op: str = "create", **words: object) -> Outcome:
    return Outcome(step(address, op, **words), "done", Answer("agent-1"))


def test_a_report_has_the_counts_of_the_plan() -> None:
    plan = everything()
    outcomes = tuple(done(str(change.address)) for change in plan.changes)
    report = Report(outcomes, 12, 1.44, {"id": "agent-1"})
    assert text.report(plan, report) == (
        'Outputs:\n  id = "agent-1"\n\n'
        "Applied: 3 created, 3 changed, 2 destroyed, 1 adopted, 1 mark written, 1 no longer managed in 1.4 s.\n"
    )


def test_memory_blocks_are_created_and_fail_with_their_agent() -> None:
    create = Change(at("agents.a"), "agent", "create")
    plan = of(create, Change(at("agents.a.memory.human"), "block", "create"), update("agents.b"))
    good = Report((done("agents.a"), done("agents.b", "update")), seconds=0.3)
    bad = Report((replace(done("agents.a"), status="failed", error=ValueError()), done("agents.b", "update")))
    assert text.report(plan, good) == "Applied: 2 created, 1 changed in 0.3 s.\n"
    assert "Partly applied: 1 changed in" in text.report(plan, bad)


def test_a_change_of_several_steps_counts_once_and_only_if_all_are_done() -> None:
    plan = of(update("agents.a"))
    attach = step("agents.a", "attach", key="agents.a+tools", field="tools", member="tool-1")
    both = Report((done("agents.a", "update"), Outcome(attach, "failed", error=ServerError("no"))))
    assert "Partly applied: nothing was changed in" in text.report(plan, both)
    assert "1 changed" in text.report(plan, Report((done("agents.a", "update"), Outcome(attach, "done"))))


def test_failed_and_skipped_steps_are_named() -> None:
    plan = of(Change(at("tools.t"), "tool", "create"), Change(at("agents.a"), "agent", "create"), update("agents.b"))
    error = ServerError(f"the server refused {SENTINEL}\x1b[2J", "mend the tool")
    from .samples import SECRET

    failed = step("tools.t", kind="tool", fields={"x": SECRET})
    report = Report(
        (
            Outcome(failed, "failed", error=error),
            Outcome(step("agents.a"), "skipped", because="tools.t"),
            done("agents.b", "update"),
        ),
        seconds=75,
    )
    assert text.failures(report) == "Failed: tools.t: the server refused ‹secret›␛[2J\n    mend the tool\n"
    assert text.report(plan, report) == (
        "Skipped: agents.a, because tools.t failed\n\n"
        "Partly applied: 1 changed in 75 s. 1 step failed, 1 skipped. "
        "Run the same command again to continue.\n"
    )


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ServerError("no", status=422), "Correct what failed, and run the same command again."),
        (NotStored("no", status=200), "Correct what failed, and run the same command again."),
        (Unauthorized("no", status=401), "Correct what failed, and run the same command again."),
        (Unavailable("no", status=503), "Run the same command again to continue."),
        (Conflict("no", status=409), "Run the same command again to continue."),
        (Unavailable("timeout"), "Run the same command again to continue."),
        (LookupError("agents.a was not created"), "Run the same command again to continue."),
    ],
)
def test_advice_to_repeat_only_where_repeating_may_help(error: Exception, advice: str) -> None:
    report = Report((Outcome(step("agents.a"), "failed", error=error), done("agents.b")))
    assert text.report(of(update("agents.b")), report).endswith(f"1 step failed. {advice}\n")


def test_a_failure_shows_its_values_with_their_places_once() -> None:
    problems = [
        Problem("expected a number", Place("a.yaml", 9, 3), address="agents.a", field="model_settings.temperature"),
        Problem(f"not {SENTINEL}", Place("a.yaml", 12, 3), address="agents.a.memory.human", field="limit"),
    ]
    from .samples import SECRET

    error = ServerError("the server refuses the request (422)", status=422, problems=problems)
    report = Report((Outcome(step("agents.a", fields={"x": SECRET}), "failed", error=error),))
    assert text.failures(report) == (
        "Failed: agents.a: the server refuses the request (422)\n"
        "    model_settings.temperature: expected a number  # a.yaml:9\n"
        "    agents.a.memory.human limit: not ‹secret›  # a.yaml:12\n"
    )
    assert text.failures(Report((done("agents.a"),))) == ""


def test_the_report_of_an_interrupted_apply() -> None:
    plan = of(Change(at("agents.a"), "agent", "create"))
    report = Report((Outcome(step("agents.a"), "skipped", because="interrupted"),), interrupted=True)
    assert text.report(plan, report) == (
        "Skipped: agents.a: interrupted\n\n"
        "Interrupted: nothing was changed in 0.0 s. 1 step skipped. "
        "Run the same command again to continue.\n"
    )


@pytest.mark.parametrize(("value", "shown"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (119, "119 s"), (725, "12 min 5 s")])
def test_seconds(value: float, shown: str) -> None:
    assert text.seconds(value) == shown


# --- live objects ----------------------------------------------------------------------------------------------------

AGENT = Live(
    "agent",
    "agent-1",
    "boss",
    {"name": "boss", "system": "One.\nTwo.", "description": None, "tags": [], "secrets": {"KEY": SENTINEL}},
    at("agents.boss"),
    "support",
    Mark({"system": "ab12"}, {"tools": ("tool-1",)}, {"human": {"value": "cd34"}}),
    marked=True,
)


def test_live_objects() -> None:
    assert objects.objects([AGENT]) == (
        "agents.boss  agent agent-1\n"
        '    name     "boss"\n'
        "    system   9 characters\n"
        "        | One.\n"
        "        | Two.\n"
        "    secrets  KEY=‹secret›\n"
    )
    assert objects.objects([]) == "No live objects.\n"


def test_a_field_that_was_not_read_is_left_out() -> None:
    assert objects.objects([replace(AGENT, values={"name": "boss", "tags": UNREAD})]).count("\n") == 2


def test_written_marks_are_counted() -> None:
    change = Change(at("agents.a"), "agent", "mark", "agent-1", "marks only")
    assert text.plan(of(change)).endswith("Plan: 0 to create, 0 to change, 0 to destroy, 1 mark to write.\n")
    assert "2 marks to write" in text.plan(of(change, replace(change, address=at("agents.b"))))


def test_the_name_of_a_known_object_stands_before_its_id() -> None:
    values = {"blocks": ["block-1", "block-2"], "tags": ["block-3"]}
    shown = objects.objects([replace(AGENT, values=values, names={"block-1": "blocks.x"})])
    assert "    blocks  [blocks.x (block-1), block-2]\n" in shown


def test_contents_are_counted_and_the_first_are_shown() -> None:
    archive = Live(
        "archive", "archive-1", "kb", {"name": "kb", "passages": [Item(str(n), f"Fact {n}.") for n in range(25)]}
    )
    shown = objects.objects([archive])
    assert "    passages  25\n        - Fact 0.\n" in shown
    assert shown.endswith("        - Fact 19.\n        … 5 more\n")
    assert "Fact 24." in objects.objects([archive], verbose=True)
    assert "    passages  0\n" in objects.objects([replace(archive, values={"passages": []})])


def test_a_plan_names_what_it_detaches() -> None:
    change = Change(
        at("agents.a"), "agent", "update", "agent-1", fields_changed=(FieldChange("tools", [], Patch((), ("tool-1",))),)
    )
    plan = replace(of(change), names={"tool-1": "web_search"})
    assert "-web_search\n" in text.plan(plan)
    assert "-web_search (tool-1)\n" in text.plan(plan, verbose=True)


def test_a_new_own_block_of_many_agents_is_shown_once() -> None:
    changes = []
    for number in range(50):
        agent = at(f"agents.w[{number}]")
        block = agent.part("memory", "clients")
        attach = FieldChange("memory", None, Patch((Ref(block),)))
        changes.append(Change(agent, "agent", "update", f"agent-{number}", fields_changed=(attach,)))
        changes.append(Change(block, "block", "create", fields_changed=(FieldChange("value", None, "Nobody."),)))
    shown = text.plan(of(*changes))
    assert "~ memory  +memory.clients\n" in shown
    assert "the same for 49 more:" in shown
    assert shown.count("\n") < 20


def test_the_table_points_out_two_objects_with_one_address() -> None:
    copy = replace(AGENT, id="agent-22", name="clone")
    assert objects.table([AGENT, copy]) == (
        "agents.boss  agent  agent-1   boss\n"
        "  another object is marked with the same address\n"
        "agents.boss  agent  agent-22  clone\n"
        "  another object is marked with the same address\n"
    )
    assert objects.table([AGENT]) == "agents.boss  agent  agent-1  boss\n"


def test_of_a_text_that_is_kept_for_merging_the_length_is_shown() -> None:
    block = replace(AGENT, mark=Mark({"value": kept_text("Ann\nBob"), "label": "d1"}))
    shown = objects.marks([block])
    assert "    value  the text, 7 characters\n" in shown
    assert "Ann" not in shown


def test_marks() -> None:
    assert objects.marks([AGENT]) == (
        "agents.boss  agent agent-1\n"
        "  marked  yes\n"
        "  digests of the values last applied:\n"
        "    system  ab12\n"
        "  digests of the values last applied to human:\n"
        "    value  cd34\n"
        '  tools attached by lettaform: ["tool-1"]\n'
    )


def test_a_reference_in_an_output_is_shown_as_an_address() -> None:
    report = Report(outputs={"id": Ref(at("agents.a"))})
    assert "id = agents.a\n" in text.report(Plan("s", "u", "v"), report)
