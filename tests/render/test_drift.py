"""A Drift as text and as JSON: every class, no secret, no control character, equal changes once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from lettaform.errors import Place, Problem
from lettaform.model import FieldChange, Unmanaged
from lettaform.plan.drift import Drift, ObjectDrift
from lettaform.render import data
from lettaform.render import drift as render
from lettaform.render.drift_schema import drift_schema
from lettaform.values import Patch, Ref

from .samples import HOSTILE, SECRET, SENTINEL, at

SCHEMA = Path(__file__).parents[2] / "schemas" / "drift.schema.json"
HERE = Place("lettaform.yaml", 4, 5)
LEARNED = "Nobody.\nShe has a dog.\nThe key is hunter22.\n"
BOSS = ObjectDrift(
    at("agents.boss"),
    "agent",
    "agent-1",
    HERE,
    written_back=(
        FieldChange("description", "The boss.", "A clerk.", reason="drift"),
        FieldChange("context_window", 8000, 16000, reason="conflict"),
        FieldChange("tools", None, Patch(("tool-2",), (Ref(at("tools.weather")),)), reason="drift"),
        FieldChange("secrets.KEY", SECRET, None, reason="drift", secret=True),
    ),
    kept=(FieldChange("blocks[org]", True, False, "seed", "drift"),),
)
HUMAN = ObjectDrift(
    at("agents.boss.memory.human"),
    "block",
    "block-1",
    HERE,
    kept=(FieldChange("value", "Nobody.\n", LEARNED, "seed", "conflict"),),
)
PERSONA = ObjectDrift(
    at("agents.boss.memory.persona"), "block", None, HERE, kept=(FieldChange("attached", True, False, "seed", "drift"),)
)
GONE = ObjectDrift(at("agents.worker[x]"), "agent", None, HERE, missing=True)
DRIFT = Drift(
    "s",
    "http://here",
    "0.16.8",
    "prod",
    compared=9,
    objects=(BOSS, HUMAN, PERSONA, GONE),
    edited=2,
    unmanaged=(Unmanaged("agent", "agent-9", at("agents.old"), "marked, no longer declared; --prune deletes it"),),
    pullable=frozenset({(BOSS.address, "description"), (HUMAN.address, "value")}),
    warnings=(Problem("the stack is locked by ann", severity="warning"),),
    names={"tool-2": "web_search"},
    hidden=("hunter22", SENTINEL),
)
TEXT = """\
Stack s · http://here · Letta 0.16.8 · environment prod

Missing, an apply creates it again:
  - agents.worker[x]  missing on the server  # lettaform.yaml:4

Changed outside lettaform, an apply writes it back (- the manifest's value, + the value on the server):
  ~ agents.boss  # lettaform.yaml:4
      ~ description     "The boss." → "A clerk."
      ~ context_window  8000 → 16000  (the manifest's value has changed, too)
      ~ tools           +web_search -tools.weather
      - secrets.KEY     ‹secret› → null

Changed by agents, kept (- the manifest's value, + the value on the server):
  ~ agents.boss  # lettaform.yaml:4
      ~ blocks  -org

      ~ agents.boss.memory.human  # lettaform.yaml:4
          ~ value  8 → 44 characters  (the manifest's value has changed, too)
              @@ -1 +1,3 @@
                Nobody.
              + She has a dog.
              + The key is ‹secret›.

      ~ agents.boss.memory.persona  detached from its agent, or deleted  # lettaform.yaml:4

Not managed by this manifest, no drift:
  agents.old  agent-9

Warning: the stack is locked by ann

Drift: 4 fields to write back, 1 object to create again; 9 objects of stack s on http://here, environment prod \
compared. 3 values changed by agents, kept.
  → `lettaform apply` writes 4 fields back and creates 1 object again
  → `lettaform pull --drift` accepts 1 value: it puts what is live into the manifest
  → `lettaform pull` puts 1 value that agents changed into the manifest
  → the manifest changes 2 objects that no apply has written yet, no drift: `lettaform plan` shows them
"""


def test_every_class_as_text() -> None:
    assert render.text(DRIFT) == TEXT


def of(*objects: ObjectDrift, **words: object) -> Drift:
    return Drift("s", "http://here", "0.16.8", objects=objects, **{"compared": 9, **words})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("drift", "line"),
    [
        (of(), "No drift: 9 objects of stack s on http://here compared, nothing to write back."),
        (of(applied=False), "No drift: nothing of stack s on http://here has been applied."),
        (of(compared=0), "No drift: 0 objects of stack s on http://here compared, nothing to write back."),
        (
            of(HUMAN),
            "No drift: 9 objects of stack s on http://here compared, nothing to write back. "
            "1 value changed by agents, kept.",
        ),
        (of(GONE), "Drift: 1 object to create again; 9 objects of stack s on http://here compared."),
    ],
)
def test_the_line_that_sums_it_up(drift: Drift, line: str) -> None:
    assert render.summary(drift) == line


def test_no_command_is_named_that_does_nothing() -> None:
    assert "`lettaform" not in render.text(of()) + render.text(of(HUMAN, PERSONA))
    assert "lettaform pull" not in render.text(of(BOSS, GONE))
    assert "`lettaform apply` creates 1 object again\n" in render.text(of(GONE))


def test_equal_changes_are_shown_once_and_apart_with_verbose() -> None:
    drifts = [replace(BOSS, address=at(f"agents.w[{number}]"), kept=()) for number in range(50)]
    shown = render.text(of(*drifts))
    assert (shown.count("A clerk."), "the same for 49 more:" in shown) == (1, True)
    assert len(shown.splitlines()) < 30
    shown = render.text(of(*drifts), verbose=True)
    assert (shown.count("A clerk."), shown.count("agent-1")) == (50, 50)


def test_all_missing_objects_are_named() -> None:
    gone = [replace(GONE, address=at(f"agents.w[k{number}]")) for number in range(200)]
    shown = render.text(of(*gone))
    assert all(f"[k{number}]" in shown for number in range(200))
    assert len(shown.splitlines()) < 60


def test_a_long_difference_is_cut_and_whole_with_verbose() -> None:
    text, line = "\n".join(f"Line {number}." for number in range(100)), "word " * 2000
    learned = (FieldChange("value", "", text, "seed", "drift"), FieldChange("description", "x", line, "yield", "drift"))
    drift = of(replace(HUMAN, kept=learned))
    shown = render.text(drift)
    assert ("+ Line 37." in shown, "+ Line 99." in shown, "… 61 more lines; -v shows all" in shown) == (
        True,
        False,
        True,
    )
    assert max(map(len, shown.splitlines())) < 300
    assert "more characters" in shown
    shown = render.text(drift, verbose=True)
    assert "+ Line 99." in shown
    assert max(map(len, shown.splitlines())) > 9000
    coloured = render.text(drift, color=True)
    assert coloured.count("\x1b[0m") == coloured.count("\x1b[") - coloured.count("\x1b[0m")


def test_objects_that_are_no_drift_are_named_up_to_a_number() -> None:
    others = tuple(Unmanaged("block", f"block-{n}", at(f"blocks.b{n}"), "x") for n in range(30))
    assert "… 10 more; -v shows each" in render.text(of(unmanaged=others))
    assert "block-29" in render.text(of(unmanaged=others), verbose=True)


@pytest.mark.parametrize("verbose", [False, True])
def test_nothing_hostile_and_no_secret_is_shown(verbose: bool) -> None:
    fields = tuple(FieldChange(path, HOSTILE, f"{HOSTILE} {SENTINEL}", "seed", "drift") for path in ("value", HOSTILE))
    hostile = replace(HUMAN, kept=fields, written_back=fields)
    shown = render.text(replace(DRIFT, objects=(hostile, BOSS), stack=HOSTILE, url=HOSTILE), verbose=verbose)
    assert [each for each in shown if each in "\x1b\x07\x9b\u202e\u200d\x7f\ud800"] == []
    assert "hunter2" not in shown
    assert "hunter2" not in data.dumps(render.to_data(replace(DRIFT, objects=(hostile, BOSS, HUMAN))))


def test_json_is_as_its_schema_says() -> None:
    schema = drift_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for drift in (DRIFT, of()):
        shown = json.loads(data.dumps(render.to_data(drift)))
        jsonschema.validate(shown, schema, cls=jsonschema.Draft202012Validator)
        assert set(shown) <= set(schema["properties"])
    shown = render.to_data(DRIFT)
    assert (shown["drift"], shown["summary"]["written_back"]) == (True, 4)
    description, _, tools, secret = shown["objects"][0]["written_back"]
    assert (description["manifest"], description["live"], description["pullable"]) == ("The boss.", "A clerk.", True)
    assert tools["live"] == {"add": ["tool-2"], "remove": ["${tools.weather.id}"]}
    assert (secret["secret"], secret["manifest"], secret["live"]) == (True, None, None)
    assert shown["objects"][1]["kept"][0]["reason"] == "conflict"


def test_the_schema_file_is_up_to_date() -> None:
    assert SCHEMA.read_text() == data.dumps(drift_schema(), indent=2) + "\n"
