"""Tool files, schemas and rules for tools, as 0.16.8 really takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import LettaformError, ManifestError, PlanError
from tests.kinds.tool_files import FILES, HINTS, UNKNOWN_TYPES, function, schema
from tests.live.fleet import TOOL, Fleet


def created(fleet: Fleet, source: str, **given: Any) -> dict[str, Any] | None:
    """The tool that the server makes of a source, which is deleted again; None if it makes none."""
    answer = fleet.raw.put("/v1/tools/", json={"source_code": source, "source_type": "python", **given})
    if answer.status_code != 200:
        return None
    tool: dict[str, Any] = answer.json()
    fleet.raw.delete(f"/v1/tools/{tool['id']}")
    return tool


def made(fleet: Fleet, source: str, **given: Any) -> str | None:
    """The name of the tool that the server makes of a source; None if it makes none, or cannot run it."""
    tool = created(fleet, source, **given)
    if tool is None or not (tool["json_schema"].get("parameters") or {}).get("properties"):
        return None  # models could give it no arguments
    request = {"args": {"text": "x"}, "name": tool["name"], "json_schema": tool["json_schema"]}
    body = {"source_code": source, "source_type": "python", **given, **request}
    return str(tool["name"]) if fleet.raw.post("/v1/tools/run", json=body).json()["status"] == "success" else None


def name_of(fleet: Fleet, number: int = 0) -> str:
    return f"{fleet.stack}_{number}".replace("-", "_")


def for_stack(fleet: Fleet, value: Any, number: int = 0) -> Any:
    """The value with names of the stack in place of the functions' names: they are unique on the server."""
    name = name_of(fleet, number)
    return json.loads(json.dumps(value).replace("NAME", name).replace("helper", f"{name}_helper"))


def write(fleet: Fleet, tools: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Declare tools: the source of each, with NAME in place of its name, and its other fields."""
    made = [for_stack(fleet, each, number) for number, each in enumerate(tools)]
    declared = {f"t{number}": {"source": f"t{number}.py", **given} for number, (_, given) in enumerate(made)}
    files = {f"t{number}_py": source for number, (source, _) in enumerate(made)}
    fleet.write(f"tools: {json.dumps(declared)}", **files)


def planned(fleet: Fleet, source: str, **given: Any) -> str | None:
    """The name of the tool in lettaform's plan; None if it is refused."""
    write(fleet, [(source, given)])
    try:
        shown = {each.path: each.new for each in fleet.plan().changes[0].fields_changed}
    except LettaformError:
        return None
    return str(shown["name"])


def test_tools_have_the_names_that_the_plan_shows(fleet: Fleet) -> None:
    derived: list[tuple[str, Mapping[str, Any]]] = [(file.source, {}) for file in FILES.values() if not file.derived]
    described = [(file.source, {"json_schema": schema()}) for file in FILES.values() if not file.described]
    write(fleet, [*derived, *described])
    shown = [{each.path: each.new for each in change.fields_changed}["name"] for change in fleet.plan().changes]
    fleet.apply()
    assert sorted(shown) == sorted(tool["name"] for tool in fleet.tools())
    assert len(shown) == len(derived) + len(described)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_tool_file_is_accepted_exactly_if_the_server_runs_the_function_that_is_meant(name: str, fleet: Fleet) -> None:
    source, whole = for_stack(fleet, [FILES[name].source, schema()])
    meant = name_of(fleet)
    assert planned(fleet, source, json_schema=whole) == made(fleet, source, json_schema=whole)
    shown, runs = planned(fleet, source), made(fleet, source)
    # of two documented functions, nobody but the author knows which one is meant
    assert shown == runs or (shown is None and (runs != meant or name == "a documented function above"))


def test_the_hints_for_schemas_that_cannot_be_derived_lead_to_tools(fleet: Fleet) -> None:
    write(fleet, [(source, {}) for source, _, _ in HINTS.values()])
    with pytest.raises(PlanError) as refused:
        fleet.plan()
    found = {each.address: each.hint for each in refused.value.problems}
    assert found == {f"tools.t{number}": hint for number, (_, hint, _) in enumerate(HINTS.values())}
    write(fleet, [(remedy, {}) for _, _, remedy in HINTS.values()])
    fleet.apply()


def test_types_without_a_schema_are_refused_until_the_arguments_are_described(fleet: Fleet) -> None:
    sources = [function(takes=f"text: {hint}", before=above) for hint, above in UNKNOWN_TYPES.items()]
    write(fleet, [(source, {}) for source in sources])
    with pytest.raises(PlanError) as refused:
        fleet.plan()
    assert len({each.address for each in refused.value.problems}) == len(sources)
    assert all("describe the arguments in `args_json_schema`" in str(each.hint) for each in refused.value.problems)
    write(fleet, [(source, {"args_json_schema": schema()["parameters"]}) for source in sources])
    fleet.apply()


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"type": "function", "name": None, "function": schema()},
        {"name": 5},
        {"parameters": None},
        {"parameters": None, "input_schema": {"type": "object", "properties": {}}},
        {"parameters": {"type": "object"}},
        *(
            {"parameters": {"type": "object", "properties": {"text": argument}}}
            for argument in (
                {"type": "str"},
                {"type": ["string", "null"]},
                {"anyOf": [{"type": "string"}]},
                {"enum": ["x"]},
            )
        ),
    ],
)
def test_a_schema_with_which_the_server_cannot_run_the_tool_is_refused(change: dict[str, Any], fleet: Fleet) -> None:
    source, given = for_stack(fleet, [function(), schema(**change)])
    given = {key: value for key, value in given.items() if value is not None}
    assert planned(fleet, source, json_schema=given) is None
    assert made(fleet, source, json_schema=given) is None


def arguments_of(argument: dict[str, Any]) -> dict[str, Any]:
    definitions = {"A": {"type": "object", "properties": {"b": {"type": "string", "description": "B."}}}}
    return {"type": "object", "$defs": definitions, "properties": {"text": argument}}


def test_arguments_of_which_the_server_makes_no_tool_are_refused(fleet: Fleet) -> None:
    refused: list[dict[str, Any]] = [
        {"type": "str"},
        {"type": ["string", "null"]},
        {"description": "x"},
        {"type": "array"},
        {"type": "object", "additionalProperties": False},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"$ref": "#/$defs/Missing"},
    ]
    write(fleet, [(function(), {"args_json_schema": arguments_of(each)}) for each in refused])
    with pytest.raises(ManifestError) as invalid:
        flow.read(fleet.source)
    assert {each.address for each in invalid.value.problems} == {f"tools.t{number}" for number in range(len(refused))}
    for each in refused:
        body = {"source_code": for_stack(fleet, function()), "args_json_schema": arguments_of(each)}
        answer = fleet.raw.put("/v1/tools/", json=body, headers={"Connection": "close"})
        assert answer.status_code >= 400, each


def test_arguments_of_which_the_server_makes_a_tool_are_accepted(fleet: Fleet) -> None:
    accepted: list[dict[str, Any]] = [
        {"type": "string", "description": "x"},
        {"type": "array", "items": {"type": "integer"}},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"$ref": "#/$defs/A"},
        {"type": "object", "additionalProperties": True},
    ]
    write(fleet, [(function(), {"args_json_schema": arguments_of(each)}) for each in accepted])
    fleet.apply()


def test_a_rule_that_names_no_tool_is_refused_also_for_an_existing_agent(fleet: Fleet) -> None:
    name = name_of(fleet)
    manifest = """
    tools: {{t: {{source: t.py}}}}
    agents: {{a: {{tools: [t], tool_rules: [{{type: run_first, tool_name: "{}"}}]}}}}
    """
    fleet.write(manifest.format("t"), t_py=TOOL.format(name=name))
    with pytest.raises(PlanError) as refused:
        fleet.plan()
    (problem,) = refused.value.problems
    assert problem.hint == f"tools.t is named `{name}`: write that, or `${{tools.t.name}}`"
    fleet.write(manifest.format("${tools.t.name}"))
    fleet.apply()
    assert fleet.agent("a")["tool_rules"][0]["tool_name"] == name
    # an agent that got such a rule in another way is not silently unchanged
    rules = [{"type": "run_first", "tool_name": f"{name}x"}]
    fleet.patch(f"/v1/agents/{fleet.agent('a')['id']}", tool_rules=rules)
    fleet.write(manifest.format(f"{name}x"))
    with pytest.raises(PlanError) as refused:
        fleet.plan()
    assert [each.hint for each in refused.value.problems] == [f"did you mean `{name}`?"]


def test_a_rule_for_a_tool_that_the_agent_lacks_has_no_effect(fleet: Fleet) -> None:
    name = name_of(fleet)
    fleet.write(
        f"""
        tools: {{t: {{source: t.py}}}}
        agents: {{a: {{tools: [], tool_rules: [{{type: run_first, tool_name: {name}}}]}}}}
        """,
        t_py=TOOL.format(name=name),
    )
    with pytest.raises(PlanError) as refused:
        fleet.plan()
    assert [each.hint for each in refused.value.problems] == ["add it to `tools` of agents.a"]


def test_an_unknown_prefilled_argument_is_refused(fleet: Fleet) -> None:
    manifest = """
    tools: {{t: {{source: t.py}}}}
    agents: {{a: {{tools: [t], tool_rules: [{{type: run_first, tool_name: "${{tools.t.name}}", args: {{{}: here}}}}]}}}}
    """
    fleet.write(manifest.format("ctiy"), t_py=TOOL.format(name=name_of(fleet)))
    with pytest.raises(PlanError) as refused:
        fleet.plan()
    assert [each.hint for each in refused.value.problems] == ["did you mean `city`?"]
    fleet.write(manifest.format("city"))
    fleet.apply()


def test_a_refusal_of_the_database_is_not_shown_in_its_words(fleet: Fleet) -> None:
    source = TOOL.format(name=name_of(fleet))
    refused = fleet.raw.put("/v1/tools/", json={"source_code": source, "json_schema": {"description": "no name"}})
    assert "Failing row contains" in refused.text
    fleet.write("tools: {t: {source: t.py, json_schema: {description: no name}}}", t_py=source)
    with pytest.raises(ManifestError) as invalid:
        flow.read(fleet.source)
    assert "json_schema.name: is required" in str(invalid.value)
