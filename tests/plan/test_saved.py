"""A saved plan names what changed since it was made."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest

from lettaform.model import Inputs, Plan, PlanOptions
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
    assert saved.moved(file, made(secret="other")) == ["agents.a: secrets in the plan"]


def test_what_follows_from_other_steps_is_told_in_words() -> None:
    file = dumped(made())
    steps = [{**step, "after": ["x"], "mark": None} if step["op"] == "update" else step for step in file["steps"]]  # type: ignore[attr-defined]
    (line,) = saved.moved({**file, "steps": steps}, made())
    assert line.startswith("agents.a: ")
    assert "the order of the steps" in line
    assert "after" not in line


def test_steps_that_came_and_went_are_named() -> None:
    assert (
        saved.moved({**dumped(made()), "steps": []}, made())[0]
        == "agents.a: to update it is needed, and was not planned"
    )
    gone = saved.moved(dumped(made()), replace(made(), steps=()))
    assert gone[0] == "agents.a: to update it is no longer needed"
    assert all(line.startswith("agents.a: to ") for line in gone)


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
        assert schema["properties"].keys() - file.keys() <= {
            "environment",
            "warnings",
            "names",
            "shared",
            "prompts",
            "shard",
            "waiting",
            "salt",
            "manifest",
        }
        assert file["steps"]


def test_another_server_stack_or_environment_is_named() -> None:
    other = replace(made(), url="http://there", stack="t", environment="prod")
    assert [line.split(":")[0] for line in saved.moved(dumped(made()), other)] == ["server", "stack", "environment"]


def test_the_wish_is_read_back() -> None:
    assert saved.options(dumped(made())) == PlanOptions(reseed=("agents.a",))
    with pytest.raises(ValueError, match="options"):
        saved.options({"options": {"unknown": 1}})


# --- why -------------------------------------------------------------------------------------------------------------


def with_inputs(files: dict[str, str], variables: dict[str, object], **words: str) -> Plan:
    return replace(made(**words), inputs=Inputs(files, variables))


BEFORE = ({"lettaform.yaml": "1", "text.md": "2"}, {"var.region": "emea", "env.TOKEN": Secret("${env.TOKEN}", "AAAA")})


@pytest.mark.parametrize(
    ("files", "variables", "live", "causes"),
    [
        ({}, {}, "moved", ["the server has changed"]),
        ({"text.md": "3"}, {}, "old", ["text.md has changed"]),
        ({"new.md": "3"}, {}, "old", ["new.md has been added"]),
        ({"text.md": None}, {}, "old", ["text.md has been removed"]),
        ({}, {"var.region": "apac"}, "old", ["var.region has another value than planned"]),
        ({}, {"env.TOKEN": Secret("${env.TOKEN}", "BBBB")}, "old", ["env.TOKEN has another value than planned"]),
        ({"text.md": "3"}, {}, "moved", ["text.md has changed", "the server has changed"]),
    ],
)
@pytest.mark.parametrize("salt", [None, "salt"])
def test_the_causes_are_files_and_variables_or_else_the_server(
    salt: str | None, files: dict[str, str], variables: dict[str, object], live: str, causes: list[str]
) -> None:
    file = {**dumped(with_inputs(*BEFORE)), **json.loads(json.dumps(saved.dump(with_inputs(*BEFORE), salt)))}
    assert "AAAA" not in json.dumps(file)
    now = {name: text for name, text in {**BEFORE[0], **files}.items() if text is not None}
    assert saved.causes(file, with_inputs(now, {**BEFORE[1], **variables}, live=live)) == causes


def test_another_place_is_a_cause() -> None:
    assert saved.causes(dumped(made()), replace(made(), stack="t"))[0] == "this is another stack"


def test_a_stack_without_a_key_has_the_salt_of_the_file() -> None:
    def first(secret: str) -> Plan:
        token = Secret("${var.token}", secret)
        return plan(manifest(wanted("agents.a", model="m/m", secrets={"K": token})), observed())

    head = dumped(first("AAAA"))
    file = {**head, **json.loads(json.dumps(saved.dump(first("AAAA"), "salt")))}
    assert "AAAA" not in json.dumps(file)
    assert saved.moved(file, first("AAAA")) == []
    assert saved.moved(file, first("BBBB")) == ["agents.a: secrets in the plan"]
