"""Live objects beside the manifest: names and no ids, seeds beside what agents made of them, nothing without end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lettaform.errors import Place
from lettaform.model import Desired, External, FieldChange, Live
from lettaform.plan.drift import ObjectDrift, Shown
from lettaform.render import data
from lettaform.render import show as render
from lettaform.values import UNREAD, Item, Patch, Ref

from .samples import HOSTILE, SECRET, SENTINEL, at

HERE = Place("lettaform.yaml", 4, 5)
PROMPT = "\n".join(f"Line {number}." for number in range(60))
NAMES = {"block-1": "agents.boss.memory.human", "block-2": "blocks.org", "tool-1": "tools.weather", "tool-2": "search"}
BOSS = Live(
    "agent",
    "agent-1",
    "boss",
    {
        "name": "boss",
        "system": PROMPT,
        "blocks": ["block-1", "block-2"],
        "tools": ["tool-1", "tool-2"],
        "secrets": {"KEY": SENTINEL},
        "context_window": 32000,
        "compaction_settings": {"prompt": "Summarize. " * 300},
        "tool_rules": [{"tool_name": "search", "type": "exit_loop"}],
        "archive": None,
        "folders": UNREAD,
    },
    at("agents.boss"),
    "s",
    names=NAMES,
)
HUMAN = Live(
    "block",
    "block-1",
    "human",
    {"label": "human", "value": "Ada.\nThe key is hunter22.\n", "limit": 2000, "read_only": False},
    at("agents.boss.memory.human"),
    "s",
)
ORG = Live("block", "block-2", "org", {"label": "org", "value": "We sell bicycles."}, at("blocks.org"), "s")


def declared(live: Live, **values: Any) -> Desired:
    assert live.address is not None
    return Desired(live.address, live.kind, values, HERE)


DECLARED = (
    declared(BOSS, name="boss", system=PROMPT, blocks=[], tools=[], secrets={"KEY": SECRET}),
    declared(HUMAN, label="human", value="Nobody.\n", limit=2000),
    declared(ORG, label="org", value="We sell bicycles."),
)
SHOWN = Shown(
    "s",
    "http://here",
    "0.16.8",
    objects=(BOSS, HUMAN, ORG),
    declared={each.address: each for each in DECLARED},
    changed={
        HUMAN.address: ObjectDrift(  # type: ignore[dict-item]
            at("agents.boss.memory.human"),
            "block",
            "block-1",
            HERE,
            kept=(FieldChange("value", "Nobody.\n", "Ada.\nThe key is hunter22.\n", "seed", "drift"),),
        ),
        BOSS.address: ObjectDrift(  # type: ignore[dict-item]
            at("agents.boss"),
            "agent",
            "agent-1",
            HERE,
            written_back=(FieldChange("tools", None, Patch(("tool-2",), (Ref(at("tools.x")),)), reason="conflict"),),
            edited=(FieldChange("context_window", 8000, 32000),),
        ),
    },
    hidden=("hunter22", SENTINEL),
)
TEXT = """\
agents.boss  agent  agent-1  # lettaform.yaml:4
    name            "boss"
    system          529 characters
        | Line 0.
        | Line 1.
        | Line 2.
        | Line 3.
        | Line 4.
        | Line 5.
        | Line 6.
        | Line 7.
        | Line 8.
        | Line 9.
        | Line 10.
        | Line 11.
        | Line 12.
        | Line 13.
        | Line 14.
        | Line 15.
        | Line 16.
        | Line 17.
        | Line 18.
        | Line 19.
        … 40 more lines
    blocks          [blocks.org]
    tools           [tools.weather, search]
        +search -tools.x  (changed outside lettaform, an apply writes it back; the manifest has changed, too)
    secrets         KEY=‹secret›
    context_window  8000 → 32000  (changed in the manifest, not applied yet)
    not declared: compaction_settings, tool_rules; -v shows them
    memory.human  block-1  # lettaform.yaml:4
        value  8 → 26 characters of 2000  (changed by agents, kept)
            @@ -1 +1,2 @@
            - Nobody.
            + Ada.
            + The key is ‹secret›.
        limit  2000
        not declared: read_only; -v shows it
"""


def test_an_object_as_a_person_wants_it() -> None:
    assert render.text(replace(SHOWN, objects=(BOSS, HUMAN))) == TEXT


def test_verbose_shows_all_of_it() -> None:
    shown = render.text(SHOWN, verbose=True)
    assert "| Line 59." in shown
    assert "blocks.org (block-2)" in shown
    assert "Summarize. Summarize." in shown
    assert '{tool_name: "search", type: "exit_loop"}' in shown
    assert "not declared" not in shown
    long = replace(HUMAN, values={**HUMAN.values, "value": PROMPT})
    kept = replace(SHOWN.changed[at("agents.boss.memory.human")], kept=(FieldChange("value", "Line 59.", PROMPT),))
    more = replace(SHOWN, objects=(long,), changed={kept.address: kept})
    assert all(f"Line {number}." in render.text(more, verbose=True) for number in range(60))  # the whole text
    assert "Line 55." not in render.text(more)


@pytest.mark.parametrize("missing", [True, False])
def test_an_own_block_that_its_agent_lost_is_named(missing: bool) -> None:
    address = at("agents.boss.memory.persona")
    kept = () if missing else (FieldChange("attached", True, False, "seed", "drift"),)
    lost = ObjectDrift(address, "block", None, HERE, kept=kept, missing=missing)
    shown = render.text(replace(SHOWN, changed={address: lost}))
    words = (
        "missing, an apply creates or attaches it again" if missing else "detached from its agent, or deleted: kept so"
    )
    assert f"    memory.persona  {words}\n" in shown


def test_an_external_object_is_short_and_one_that_nobody_declares_says_so() -> None:
    tool = Live("tool", "tool-9", "search", {"name": "search", "json_schema": {"a": {"b": 1}}}, at("tools.search"))
    external = Desired(at("tools.search"), "tool", {}, HERE, external=External("search"))
    shown = replace(SHOWN, objects=(tool,), declared={external.address: external}, changed={})
    assert render.text(shown) == (
        "tools.search  tool  tool-9  external: used, and never written  # lettaform.yaml:4\n"
        '    name  "search"\n'
        "    not shown: json_schema; -v shows it\n"
    )
    assert "agents.boss  agent  agent-1  not declared\n" in render.text(replace(SHOWN, declared={}, changed={}))


def test_the_fields_that_nobody_declared_take_one_line() -> None:
    many = {f"field_{number}": number for number in range(40)}
    shown = render.text(replace(SHOWN, objects=(replace(BOSS, values={**BOSS.values, **many}),)))
    (line,) = [line for line in shown.splitlines() if "not declared" in line]
    assert line == "    not declared: compaction_settings, tool_rules, field_0, 39 more; -v shows them"


def test_contents_are_counted() -> None:
    archive = Live("archive", "archive-1", "kb", {"passages": [Item(str(n), f"Fact {n}.") for n in range(25)]})
    assert "… 5 more" in render.text(Shown("s", "http://here", "1", objects=(archive,)))


def test_the_list_has_a_line_for_each_object() -> None:
    gone = ObjectDrift(at("agents.gone"), "agent", None, HERE, missing=True)
    shown = render.listing(replace(SHOWN, changed={**SHOWN.changed, gone.address: gone}))
    assert shown.splitlines() == [
        "Stack s · http://here · Letta 0.16.8",
        "",
        "agents.boss  memory: human  1 changed outside, 1 changed by agents, 1 changed in the manifest, not applied",
        "blocks.org",
        "agents.gone  missing on the server",
        "",
        "3 objects. `lettaform show ADDRESS` shows one, with what changed (- the manifest's value, + the value on the "
        "server).",
    ]
    assert "blocks.org  block-2" in render.listing(SHOWN, verbose=True)
    other = replace(ORG, name="about us")
    assert "blocks.org  about us  not declared" in render.listing(replace(SHOWN, objects=(other,), declared={}))


def test_a_stack_without_objects() -> None:
    assert render.listing(Shown("s", "http://here", "1")) == "Stack s has no objects on http://here.\n"


def test_json_keeps_everything() -> None:
    shown = json.loads(data.dumps(render.to_data(SHOWN)))
    boss, human, org = shown["objects"]
    assert boss["values"]["system"] == PROMPT
    assert boss["values"]["compaction_settings"]["prompt"].startswith("Summarize.")
    assert boss["values"]["blocks"] == ["block-1", "block-2"]
    assert [(each["path"], each["why"]) for each in boss["changed"]] == [
        ("tools", "written_back"),
        ("context_window", "edited"),
    ]
    (changed,) = human["changed"]
    assert (changed["manifest"], changed["live"]) == ("Nobody.\n", "Ada.\nThe key is ‹secret›.\n")
    assert "changed" not in org


@pytest.mark.parametrize("verbose", [False, True])
def test_nothing_hostile_and_no_secret_is_shown(verbose: bool) -> None:
    values = {"name": HOSTILE, "system": f"{HOSTILE} {SENTINEL}", "secrets": {HOSTILE: SENTINEL}, "tags": [HOSTILE]}
    values |= {"metadata": {"note": SENTINEL, HOSTILE: [SENTINEL]}, "archive": [Item("1", SENTINEL)]}
    agent = replace(BOSS, values=values, name=HOSTILE, id=HOSTILE)
    shown = replace(SHOWN, objects=(agent, HUMAN), url=HOSTILE)
    every = render.text(shown, verbose=verbose) + render.listing(shown, verbose=verbose)
    assert [each for each in every if each in "\x1b\x07\x9b\u202e\u200d\x7f\ud800"] == []
    assert "hunter2" not in every + data.dumps(render.to_data(shown))
