from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lettaform import __version__
from lettaform.errors import Guarded, ManifestError, Place, Problem, ServerError, Stale
from lettaform.model import Answer, Change, Event, FieldChange, Live, Outcome, Plan, Report
from lettaform.plan import saved
from lettaform.plan.saved import approval
from lettaform.render import data
from lettaform.values import UNREAD, Item, Patch, Ref, Template

from .samples import HOSTILE, SECRET, SENTINEL, at, everything, hidden, of, step, update

SCHEMA = Path(__file__).parents[2] / "schemas" / "plan.schema.json"


def test_the_published_schema_is_current() -> None:
    assert SCHEMA.read_text() == data.dumps(data.plan_schema(), indent=2) + "\n"
    jsonschema.Draft202012Validator.check_schema(data.plan_schema())


@pytest.mark.parametrize("plan", [everything(), hidden(), of(), Plan("s", "u", "v")])
def test_plans_are_valid_and_have_no_keys_outside_the_schema(plan: Plan) -> None:
    shown = json.loads(data.dumps(data.plan(plan)))
    schema = data.plan_schema()
    jsonschema.validate(shown, schema, cls=jsonschema.Draft202012Validator)
    assert shown.keys() <= schema["properties"].keys()
    for name, items in (("change", shown["changes"]), ("runtime", shown["runtime"])):
        assert all(item.keys() <= schema["$defs"][name]["properties"].keys() for item in items)
    fields = [field for change in shown["changes"] for field in change["fields"]]
    assert all(field.keys() == schema["$defs"]["field"]["properties"].keys() for field in fields)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format_version",), "2.0"),
        (("changes", 0, "action"), "rename"),
        (("changes", 2, "fields", 3, "old"), "a secret that is shown"),
        (("summary", "create"), -1),
    ],
)
def test_the_schema_rejects_invalid_plans(path: tuple[Any, ...], value: Any) -> None:
    shown = json.loads(data.dumps(data.plan(everything())))
    inner = shown
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(shown, data.plan_schema(), cls=jsonschema.Draft202012Validator)


def test_the_json_of_a_plan() -> None:
    change = update(
        "agents.supervisor",
        FieldChange("system", "a", "b"),
        FieldChange("blocks", ["block-1"], [Ref(at("blocks.organization"))]),
        FieldChange("secrets.K", "x", SECRET, secret=True),
        place=Place("lettaform.yaml", 41, 5),
        recompiles=1,
    )
    plan = of(change, outputs={"id": Ref(at("agents.supervisor"))})
    assert data.plan(plan) == {
        "format_version": "1.0",
        "lettaform_version": __version__,
        "stack": "support",
        "server": {"url": "http://localhost:8283", "version": "0.16.8"},
        "digest": approval(plan),
        "summary": {
            "create": 0,
            "update": 1,
            "replace": 0,
            "delete": 0,
            "adopt": 0,
            "mark": 0,
            "forget": 0,
            "unchanged": 0,
            "runtime": 0,
            "conflict": 0,
            "requests": 1,
        },
        "changes": [
            {
                "address": "agents.supervisor",
                "kind": "agent",
                "id": "agent-1",
                "action": "update",
                "reason": "manifest",
                "fields": [
                    {
                        "path": "system",
                        "policy": "enforce",
                        "reason": "manifest",
                        "old": "a",
                        "new": "b",
                        "secret": False,
                    },
                    {
                        "path": "blocks",
                        "policy": "enforce",
                        "reason": "manifest",
                        "old": ["block-1"],
                        "new": ["${blocks.organization.id}"],
                        "secret": False,
                    },
                    {
                        "path": "secrets.K",
                        "policy": "enforce",
                        "reason": "manifest",
                        "old": None,
                        "new": None,
                        "secret": True,
                    },
                ],
                "recompiles": 1,
                "place": {"file": "lettaform.yaml", "line": 41, "column": 5},
            }
        ],
        "runtime": [],
        "unmanaged": [],
        "outputs": {"id": "${agents.supervisor.id}"},
    }


def test_optional_keys_are_present_if_they_have_a_value() -> None:
    shown = data.plan(everything())
    assert shown["environment"] == "prod"
    assert shown["warnings"][0]["message"] == "the limit is low"
    assert [moved.get("seed_moved") for moved in shown["runtime"]] == [True, None]
    assert [change.get("notes") for change in shown["changes"]][2] == ["`model` is sent again as it is"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Ref(at("agents.a"), "name"), "${agents.a.name}"),
        (Template(("at ", Ref(at("agents.a")))), "at ${agents.a.id}"),
        (Patch((Ref(at("tools.t")), "x"), ("y",)), {"add": ["${tools.t.id}", "x"], "remove": ["y"]}),
        (Patch(entries=(("a", 1),), drop=("b",)), {"set": {"a": 1}, "remove": ["b"]}),
        ({"k": (1, SECRET)}, {"k": [1, None]}),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_to_json(value: Any, shown: Any) -> None:
    assert data.to_json(value) == shown
    json.loads(data.dumps(data.to_json(value)))


def test_json_is_ascii_and_lossless() -> None:
    line = data.dumps({"x": HOSTILE})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["x"] == HOSTILE


# --- events ----------------------------------------------------------------------------------------------------------


def test_the_json_of_events() -> None:
    made = step("agents.a", fields={"secrets": {"K": SECRET}})
    start = Event("start", made, 0, 3)
    done = Event("done", made, 1, 3, 0.25, Outcome(made, "done", Answer("agent-1")))
    error = ServerError(f"no {SENTINEL}", "try", method="POST", path="/v1/agents/", status=422)
    failed = Event("failed", made, 1, 3, 0.25, Outcome(made, "failed", error=error))
    skipped = Event("skipped", made, 1, 3, 0, Outcome(made, "skipped", because="tools.t"))
    common = {"address": "agents.a", "kind": "agent", "op": "create"}
    assert data.event(start) == {"event": "start", **common, "id": None, "finished": 0, "total": 3, "seconds": 0.0}
    assert data.event(done)["id"] == "agent-1"
    assert data.event(failed)["error"] == {
        "type": "ServerError",
        "message": "no ‹secret›",
        "hint": "try",
        "exit_code": 1,
        "request": {"method": "POST", "path": "/v1/agents/", "status": 422},
    }
    assert data.event(skipped)["because"] == "tools.t"


def test_the_json_of_the_summary() -> None:
    outcomes = [Outcome(step(f"agents.a{n}"), "done") for n in range(9)]
    assert data.summary(Report(tuple(outcomes), 21, 1.4)) == {
        "event": "summary",
        "applied": 9,
        "failed": 0,
        "skipped": 0,
        "requests": 21,
        "seconds": 1.4,
        "exit_code": 0,
    }
    assert data.summary(None)["exit_code"] == 0
    assert data.summary(Report((replace(outcomes[0], status="failed"), outcomes[1])))["exit_code"] == 5
    assert data.summary(Report(outputs={"id": "agent-1"}))["outputs"] == {"id": "agent-1"}


# --- errors and live objects -----------------------------------------------------------------------------------------


def test_the_json_of_errors_and_problems() -> None:
    problem = Problem("wrong", Place("a.yaml", 3, 7), "right", "agents.a", "model")
    assert data.error(ManifestError([problem])) == {
        "problems": [
            {
                "id": None,
                "file": "a.yaml",
                "line": 3,
                "column": 7,
                "address": "agents.a",
                "field": "model",
                "message": "wrong",
                "hint": "right",
                "severity": "error",
            }
        ]
    }
    shown = data.error(Guarded("no", "--allow-destroy", [problem]))
    assert shown["error"] == {"type": "Guarded", "message": "no", "hint": "--allow-destroy", "exit_code": 7}
    assert shown["problems"][0]["address"] == "agents.a"
    assert data.error(Stale("changed")) == {
        "error": {"type": "Stale", "message": "changed", "hint": None, "exit_code": 6}
    }


def test_secrets_of_live_objects_are_null() -> None:
    live = Live("agent", "agent-1", "boss", {"name": "boss", "secrets": {"KEY": SENTINEL}}, at("agents.boss"))
    shown = data.live(live, mark=True)
    assert shown["values"] == {"name": "boss", "secrets": {"KEY": None}}
    assert shown["mark"] == {"base": {}, "members": {}, "parts": {}}
    assert "values" not in data.live(live, values=False)


def test_a_field_that_was_not_read_is_left_out() -> None:
    live = Live("agent", "agent-1", "boss", {"name": "boss", "tags": UNREAD}, at("agents.boss"))
    assert data.live(live)["values"] == {"name": "boss"}


@pytest.mark.parametrize("plan", [everything(), hidden()])
def test_the_schema_describes_exactly_what_a_saved_plan_holds(plan: Plan) -> None:
    written = json.loads(data.dumps({**data.plan(plan), **saved.dump(plan, "salt")}))
    schema = data.plan_schema()
    jsonschema.validate(written, schema, cls=jsonschema.Draft202012Validator)
    optional = {"environment", "warnings", "names", "shared", "manifest", "prompts", "shard", "waiting"}
    assert schema["properties"].keys() - optional == written.keys() - optional


def test_an_object_to_create_has_no_id() -> None:
    shown = data.plan(of(Change(at("agents.a"), "agent", "create")))["changes"][0]
    assert shown["id"] is None
    assert shown["place"] is None


def test_hidden_texts_are_replaced_wherever_they_are_in_a_live_value() -> None:
    value = {"a": ["x hunter22", 1, None, UNREAD], "b": {"c": Item("1", "hunter22", id="2")}}
    shown = data.without(value, ("hunter22",))
    assert (shown["a"][:3], shown["a"][3] is UNREAD) == (["x ‹secret›", 1, None], True)
    assert (shown["b"]["c"].name, shown["b"]["c"].id) == ("‹secret›", "2")
