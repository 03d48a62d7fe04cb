"""A saved plan names what changed since it was made."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest

from lettaform.model import Plan, PlanOptions
from lettaform.plan import saved
from lettaform.render import data
from lettaform.values import Secret
from tests.plan.samples import living, manifest, observed, plan, wanted


def made(system: str = "new", live: str = "old", secret: str = "s3cret") -> Plan:
    agent = wanted("agents.a", system=system, secrets={"K": Secret("${env.K}", secret)})
    has = observed(living("agents.a", "agent-1", {"system": "old"}, system=live, model="m/m"))
    return plan(manifest(agent), replace(has, state=replace(has.state, key="k")), reseed=("agents.a",))


def dumped(each: Plan) -> dict[str, object]:
    head = {"stack": each.stack, "server": {"url": each.url}, "environment": each.environment}
    return dict(json.loads(json.dumps({**head, **saved.dump(each)})))


def test_an_unmoved_world_fits() -> None:
    assert saved.moved(dumped(made()), made()) == []


@pytest.mark.parametrize("other", [made(live="moved"), made(system="edited")])
def test_a_field_that_moved_is_named(other: Plan) -> None:
    (line,) = saved.moved(dumped(made()), other)
    assert line.startswith("agents.a: ")


def test_a_rotated_secret_is_named_and_none_is_in_the_file() -> None:
    file = dumped(made())
    assert "s3cret" not in json.dumps(file)
    assert saved.moved(file, made(secret="other")) == ["agents.a: secrets changed since the plan was made"]


def test_steps_that_came_and_went_are_named() -> None:
    assert saved.moved({**dumped(made()), "steps": []}, made())[0] == "agents.a: now needs update"
    assert "is no longer needed" in saved.moved(dumped(made()), replace(made(), steps=()))[0]


def test_the_key_of_the_stack_is_not_in_the_file() -> None:
    has = observed()
    fresh = plan(manifest(wanted("agents.a", model="m/m")), replace(has, state=replace(has.state, key="the-key")))
    assert fresh.steps[-1].op == "save_state"
    assert "the-key" not in json.dumps(saved.dump(fresh))


def test_the_published_schema_lists_exactly_what_is_saved() -> None:
    schema, agent = data.plan_schema(), living("agents.a", "agent-1", model="m/m")
    destroyed = plan(manifest(), observed(agent, living("blocks.b", "block-1")), destroy=True, allow_destroy=("*",))
    for each in (made(), destroyed):
        file = json.loads(json.dumps({**data.plan(each), **saved.dump(each)}))
        jsonschema.validate(file, schema)
        assert file.keys() <= schema["properties"].keys()
        assert schema["properties"].keys() - file.keys() <= {"environment", "warnings"}
        assert file["steps"]


def test_another_server_stack_or_environment_is_named() -> None:
    other = replace(made(), url="http://there", stack="t", environment="prod")
    assert [line.split(":")[0] for line in saved.moved(dumped(made()), other)] == ["server", "stack", "environment"]


def test_the_wish_is_read_back() -> None:
    assert saved.options(dumped(made())) == PlanOptions(reseed=("agents.a",))
    with pytest.raises(ValueError, match="options"):
        saved.options({"options": {"unknown": 1}})
