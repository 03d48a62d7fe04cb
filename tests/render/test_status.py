"""A status as tables, names and JSON: columns, own blocks, hostile texts, narrow terminals, what a watch adds."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lettaform.errors import Place, Problem
from lettaform.model import LastRun, Lock
from lettaform.plan.status import STATUSES, Memory, ObjectStatus, StackStatus
from lettaform.render import data
from lettaform.render import status as render
from lettaform.render.status import Look
from lettaform.render.status_schema import status_schema
from lettaform.render.table import cells_of

from .samples import HOSTILE, at

SCHEMA = Path(__file__).parents[2] / "schemas" / "status.schema.json"
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def agent(key: str = "boss", **words: Any) -> ObjectStatus:
    given: dict[str, Any] = {
        "name": key,
        "status": "ok",
        "model": "openai/gpt-4o",
        "members": {"tools": 5, "blocks": 3, "folders": 0},
        "memory": Memory(1412, 107_000),
        "fullest": ("human", Memory(950, 1000)),
        "created": "2026-11-24T12:00:00Z",
        "unused": True,
    }
    return ObjectStatus(at(f"agents.{key}"), "agent", f"agent-{key}", **(given | words))


def block(address: str, **words: Any) -> ObjectStatus:
    given: dict[str, Any] = {"name": "human", "status": "ok", "memory": Memory(950, 1000), "users": 1}
    return ObjectStatus(at(address), "block", words.pop("id", f"id-{address}"), **(given | words))


def of(*objects: ObjectStatus, **words: Any) -> StackStatus:
    total = sum(each.status != "external" for each in objects)
    return StackStatus("shop", "http://here", "0.16.8", **({"objects": objects, "total": total} | words))


def everything() -> StackStatus:
    """A status with every value that an object can have, and a warning."""
    place, problem = Place("lettaform.yaml", 3, 5), Problem("stack `shop` is locked", severity="warning")
    others = [block(f"blocks.b{number}", status=each) for number, each in enumerate(STATUSES)]
    missing = agent("new", status="missing", action="create", memory=None, fullest=None, created="")
    return of(
        agent(drifted=("system", "name"), status="drifted", action="update", kept=("description",), place=place),
        replace(missing, id=None),
        agent("ran", last_run=LastRun("2026-11-27T11:55:00Z", "end_turn"), unused=False, changed=("model",)),
        block("agents.boss.memory.human", kept=("value",), seeds=("label",)),
        *others,
        ObjectStatus(
            at("archives.notes"),
            "archive",
            "archive-1",
            "notes",
            "undeclared",
            reason="marked",
            members={"passages": 9},
        ),
        environment="prod",
        lock=Lock("id", "ada", "now"),
        warnings=(problem,),
    )


def text(found: StackStatus, **look: Any) -> str:
    return render.text(found, Look(NOW, **look))


def test_a_table_for_each_kind_and_a_summary() -> None:
    shown = of(
        agent(),
        agent("new", status="missing", members={}, memory=None, created="", unused=False),
        block("agents.boss.memory.human"),
        block("blocks.org", name="org", memory=Memory(2500, 2_000_000), users=12, status="drifted", drifted=("limit",)),
        ObjectStatus(at("tools.ring"), "tool", "tool-1", "ring", "ok", users=1),
    )
    assert text(shown) == (
        "ADDRESS      STATUS   NAME  MODEL          TOOLS  BLOCKS     MEMORY  USED  DRIFT  KEPT  LAST RUN  AGE\n"
        "agents.boss  ok       boss  openai/gpt-4o      5       3  1.4k/107k    1%      0     0  never      3d\n"
        "agents.new   missing  new   openai/gpt-4o      -       -          -     -      0     0  -           -\n"
        "\n"
        "ADDRESS     STATUS   NAME   MEMORY  USED  AGENTS  DRIFT  KEPT\n"
        "blocks.org  drifted  org   2.5k/2M   <1%      12      1     0\n"
        "\n"
        "ADDRESS     STATUS  NAME  AGENTS  DRIFT  KEPT\n"
        "tools.ring  ok      ring       1      0     0\n"
        "\n"
        "5 objects of stack shop on http://here: 3 as declared, 1 drifted, 1 missing.\n"
    )


def test_wide_adds_columns_and_a_row_for_each_own_block() -> None:
    shown = text(everything(), wide=True)
    assert "FOLDERS" in shown
    assert "1412/107000" in shown
    assert "human 95%" in shown
    assert "agent-boss" in shown
    assert "drifted: system, name; kept: description" in shown
    assert "kept: value; not written: label" in shown
    assert "\nagents.boss.memory.human  " in shown
    assert "  marked\n" in shown


@pytest.mark.parametrize(
    ("own", "owner", "visible"),
    [
        ("ok", "ok", False),
        ("ok", "drifted", False),
        ("drifted", "ok", True),
        ("drifted", "drifted", True),
        ("missing", "ok", True),
        ("missing", "missing", False),
        ("undeclared", "undeclared", False),
        ("conflict", "conflict", True),
        ("orphaned", "ok", True),
    ],
)
def test_an_own_block_has_a_row_where_its_agent_does_not_say_the_same(own: Any, owner: Any, visible: bool) -> None:
    both = of(agent(status=owner), block("agents.boss.memory.human", status=own))
    assert ("agents.boss.memory.human" in text(both)) == visible
    assert "2 objects of stack" in text(both)


def test_an_own_block_has_a_row_if_its_agent_is_not_selected() -> None:
    assert "agents.boss.memory.human  ok" in text(of(block("agents.boss.memory.human"), total=9))


def test_the_row_of_an_agent_counts_what_is_kept_of_its_blocks_without_a_row() -> None:
    both = of(agent(kept=("description",)), block("agents.boss.memory.human", kept=("value", "label")))
    row = text(both).splitlines()[1].split()
    assert row[-3:] == ["3", "never", "3d"]
    assert text(both).endswith("are as declared. 3 values changed by agents, kept.\n")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ({"unused": True}, "never"),
        ({"unused": False}, "-"),
        ({"last_run": LastRun("", "end_turn")}, "end_turn"),
        ({"last_run": LastRun("2026-11-27T11:59:20Z", "end_turn")}, "end_turn (40s ago)"),
        ({"last_run": LastRun("2026-11-27T11:48:00", "")}, "12m ago"),
        ({"last_run": LastRun("soon", "error")}, "error (- ago)"),
    ],
)
def test_the_last_run(words: Any, shown: str) -> None:
    assert f"  {shown}  " in text(of(agent(**words)))


@pytest.mark.parametrize(
    ("created", "age"),
    [
        ("2026-11-27T11:59:59.5Z", "0s"),
        ("2026-11-27T12:00:09Z", "0s"),  # the clock of the server is ahead
        ("2026-11-27T11:58:01+00:00", "119s"),
        ("2026-11-27T11:58:00Z", "2m"),
        ("2026-11-27T10:00:00Z", "2h"),
        ("2026-11-25T12:00:00Z", "2d"),
        ("2024-11-01T12:00:00Z", "2y"),
        ("0001-01-01T00:00:00+14:00", "2027y"),
        ("x\x1b[2J", "-"),
    ],
)
def test_ages(created: str, age: str) -> None:
    assert text(of(agent(created=created))).splitlines()[1].split()[-1] == age


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (950, "950"), (1000, "1k"), (1412, "1.4k"), (9_999, "9.9k"), (300_000, "300k"), (2_500_000, "2.5M")],
)
def test_numbers_of_characters(number: int, shown: str) -> None:
    assert f"  {shown}/{shown}  " in text(of(agent(memory=Memory(number, number))))


@pytest.mark.parametrize(
    ("used", "share", "colour"),
    [(0, "0%", ""), (1, "<1%", ""), (899, "89%", ""), (900, "90%", "33"), (1000, "100%", "33"), (1300, "130%", "1;31")],
)
def test_a_memory_that_is_nearly_full_is_pointed_out(used: int, share: str, colour: str) -> None:
    shown = text(of(agent(memory=Memory(used, 1000))), color=True)
    assert (f"\x1b[{colour}m{share}\x1b[0m" if colour else f" {share} ") in shown


def test_a_memory_without_a_limit_has_no_share() -> None:
    assert " 5/0     -  " in text(of(agent(memory=Memory(5, 0))))


# --- the summary -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (of(agent()), "1 object of stack shop on http://here is as declared."),
        (of(agent(), agent("b")), "2 objects of stack shop on http://here are as declared."),
        (of(), "0 objects of stack shop on http://here."),
        (of(total=52), "0 of 52 objects of stack shop on http://here."),
        (of(agent(), total=52), "1 of 52 objects of stack shop on http://here is as declared."),
        (
            of(agent(), block("blocks.a", status="external")),
            "1 object of stack shop on http://here is as declared.",
        ),
        (
            of(agent(kept=("a",), seeds=("b",)), agent("b", status="stale"), environment="prod"),
            "2 objects of stack shop on http://here, environment prod: 1 as declared, 1 stale. "
            "1 value changed by agents, kept. 1 changed seed not written.",
        ),
    ],
)
def test_the_summary(found: StackStatus, line: str) -> None:
    assert render.summary(found) == line


def test_warnings_come_before_the_summary() -> None:
    lines = text(everything()).splitlines()
    assert lines[-3:-1] == ["Warning: stack `shop` is locked", ""]
    assert text(of(warnings=(Problem("m", hint="h"),))).startswith("Warning: m\n    h\n\n0 objects")


# --- terminals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_tables_fit_the_width(width: int, wide: bool) -> None:
    long = agent("a-very-long-key-of-an-agent-with-many-words", name="李明" * 30, model="provider/" + "m" * 80)
    found = of(*everything().objects, long)
    for lines in render.tables(found, Look(NOW, wide, width)):
        assert max(map(cells_of, lines)) <= width


def test_at_60_columns_an_agent_has_its_status_its_memory_and_its_drift() -> None:
    (lines,) = render.tables(of(agent(drifted=("name",), status="drifted")), Look(NOW, width=60))
    assert lines == [
        "ADDRESS      STATUS   USED  DRIFT  KEPT  LAST RUN",
        "agents.boss  drifted    1%      1     0  never",
    ]


def test_a_screen_has_no_more_lines_than_the_terminal() -> None:
    found = of(*(agent(f"a{number}") for number in range(500)))
    lines = render.screen(found, Look(NOW, width=60), 20, ["Read at 12:00:00."]).split("\n")
    assert len(lines) == 19
    assert "… 485 more lines" in lines
    assert lines[-1] == "Read at 12:00:00."
    assert any(line.startswith("500 objects of stack") for line in lines)
    assert max(map(len, lines)) <= 60
    short = render.screen(of(agent()), Look(NOW, width=100), 20).split("\n")
    assert short[-1] == "1 object of stack shop on http://here is as declared."


def test_hostile_texts_are_cleaned_everywhere() -> None:
    hostile = agent(
        name=HOSTILE, model=HOSTILE, fullest=(HOSTILE, Memory(1, 2)), reason=HOSTILE, last_run=LastRun("", HOSTILE),
        created=HOSTILE, drifted=(HOSTILE,), status="drifted",
    )  # fmt: skip
    found = replace(of(hostile), url=HOSTILE, environment=HOSTILE, warnings=(Problem(HOSTILE, hint=HOSTILE),))
    look = Look(NOW, wide=True)
    shown = render.text(found, look) + render.names(found) + render.screen(found, replace(look, width=80), 20)
    shown += "\n".join(render.changed_rows(of(), found, look))
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\r", "\u200b", "\x7f", "\ud800", "\U000e0041"} & {*shown}
    assert data.dumps(render.to_data(found)).isascii()


def test_colours_only_where_they_are_asked_for() -> None:
    assert "\x1b" not in text(everything(), wide=True)
    assert "\x1b[33mdrifted\x1b[0m" in text(everything(), color=True)


def test_names() -> None:
    both = of(agent(), block("agents.boss.memory.human"))
    assert render.names(both) == "agents.boss\nagents.boss.memory.human\n"
    assert render.names(of()) == ""


# --- a watch ---------------------------------------------------------------------------------------------------------


def changed(before: StackStatus, now: StackStatus) -> list[list[str]]:
    return [line.split()[:2] for line in render.changed_rows(before, now, Look(NOW))]


def test_the_rows_that_changed() -> None:
    before = of(agent(), agent("b"), block("agents.boss.memory.human"), block("blocks.a"))
    assert changed(before, before) == []
    drifted = of(agent(), agent("b", status="drifted"), block("agents.boss.memory.human"), block("blocks.a"))
    assert changed(before, drifted) == [["agents.b", "drifted"]]
    learned = of(agent(), agent("b"), block("agents.boss.memory.human", kept=("value",)), block("blocks.a"))
    assert changed(before, learned) == [["agents.boss", "ok"]]
    assert changed(before, of(agent(), agent("c"), block("blocks.a"))) == [
        ["agents.c", "ok"],
        ["agents.b", "deleted"],
    ]
    moved = replace(before, objects=tuple(replace(each, place=Place("x", 9, 9)) for each in before.objects))
    assert changed(before, moved) == []


def test_two_objects_with_one_address() -> None:
    one, two = block("blocks.a", id="block-1"), block("blocks.a", id="block-2", status="duplicate")
    assert changed(of(one), of(one, two)) == [["blocks.a", "duplicate"]]
    assert changed(of(one, two), of(one)) == [["blocks.a", "deleted"]]


def test_whether_anything_differs() -> None:
    found = everything()
    assert not render.differs(found, replace(found, version="0.16.9"))
    assert render.differs(found, replace(found, lock=None))
    assert render.differs(found, replace(found, warnings=()))
    assert render.differs(found, replace(found, objects=found.objects[1:]))


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_the_published_schema_is_current() -> None:
    assert SCHEMA.read_text() == data.dumps(status_schema(), indent=2) + "\n"
    jsonschema.Draft202012Validator.check_schema(status_schema())


@pytest.mark.parametrize("found", [everything(), of()])
def test_a_status_is_valid_and_has_exactly_the_keys_of_the_schema(found: StackStatus) -> None:
    shown, schema = json.loads(data.dumps(render.to_data(found))), status_schema()
    jsonschema.validate(shown, schema, cls=jsonschema.Draft202012Validator)
    assert shown.keys() == schema["properties"].keys()
    for each in shown["objects"]:
        assert each.keys() == schema["$defs"]["object"]["properties"].keys()


@pytest.mark.parametrize(
    ("key", "value"), [("status", "fine"), ("agents", -1), ("memory", {"used": 1}), ("name", None)]
)
def test_the_schema_rejects_an_invalid_status(key: str, value: Any) -> None:
    shown = json.loads(data.dumps(render.to_data(everything())))
    shown["objects"][0][key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(shown, status_schema(), cls=jsonschema.Draft202012Validator)


def test_the_counts_of_the_json_are_those_of_the_objects() -> None:
    shown = render.to_data(everything())
    assert shown["summary"]["drifted"] == sum(each["status"] == "drifted" for each in shown["objects"]) == 2
    assert (shown["summary"]["runtime"], shown["summary"]["seeds"]) == (2, 1)
    assert shown["lock"] == {"holder": "ada", "since": "now"}
    assert shown["objects"][0]["place"] == {"file": "lettaform.yaml", "line": 3, "column": 5}
