"""Tool files, schemas and rules for tools, as 0.16.8 really takes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import LettaformError, ManifestError, PlanError
from tests.kinds.tool_files import FILES, HINTS, UNKNOWN_TYPES, function, schema
from tests.live.fleet import TOOL, Fleet


def made(fleet: Fleet, source: str, **given: Any) -> str | None:
    """The name of the tool that the server makes of a source; None if it makes none, or cannot run it."""
    body = {"source_code": source, "source_type": "python", **given}
    created = fleet.raw.put("/v1/tools/", json=body)
    if created.status_code != 200:
        return None
    tool = created.json()
    fleet.raw.delete(f"/v1/tools/{tool['id']}")
    if not (tool["json_schema"].get("parameters") or {}).get("properties"):
        return None  # models could give it no arguments
    request = {"args": {"text": "x"}, "name": tool["name"], "json_schema": tool["json_schema"]}
    answer = fleet.raw.post("/v1/tools/run", json={**body, **request}).json()
    return str(tool["name"]) if answer["status"] == "success" else None


def name_of(fleet: Fleet) -> str:
    return fleet.stack.replace("-", "_")


def for_stack(fleet: Fleet, value: Any) -> Any:
    """The value with the name of the stack as the function's name: names of tools are unique on the server."""
    return json.loads(json.dumps(value).replace("NAME", name_of(fleet)).replace("helper", f"{name_of(fleet)}_helper"))


def planned(fleet: Fleet, source: str, **given: Any) -> str | None:
    """The name of the tool in lettaform's plan; None if it is refused."""
    fleet.write(f"tools: {{t: {json.dumps({'source': 't.py', **given})}}}", t_py=source)
    try:
        shown = {each.path: each.new for each in fleet.plan().changes[0].fields_changed}
    except LettaformError:
        return None
    return str(shown["name"])


@pytest.mark.parametrize("name", FILES)
def test_a_tool_file_is_accepted_exactly_if_the_server_runs_the_function_that_is_meant(name: str, fleet: Fleet) -> None:
    source, whole, meant = for_stack(fleet, FILES[name].source), for_stack(fleet, schema()), name_of(fleet)
    assert planned(fleet, source, json_schema=whole) == made(fleet, source, json_schema=whole)
    shown, runs = planned(fleet, source), made(fleet, source)
    # of two documented functions, nobody but the author knows which one is meant
    assert shown == runs or (shown is None and (runs != meant or name == "a documented function above"))


@pytest.mark.parametrize("name", HINTS)
def test_the_hint_for_a_schema_that_cannot_be_derived_leads_to_a_tool(name: str, fleet: Fleet) -> None:
    source, hint, remedy = for_stack(fleet, HINTS[name])
    fleet.write("tools: {t: {source: t.py}}", t_py=source)
    with pytest.raises(PlanError) as refused:
        fleet.plan()
    assert [each.hint for each in refused.value.problems] == [hint]
    fleet.write("tools: {t: {source: t.py}}", t_py=remedy)
    fleet.apply()


@pytest.mark.parametrize("hint", UNKNOWN_TYPES)
def test_types_without_a_schema_are_refused_until_the_arguments_are_described(hint: str, fleet: Fleet) -> None:
    source = for_stack(fleet, function(takes=f"text: {hint}", before=UNKNOWN_TYPES[hint]))
    assert planned(fleet, source) is None
    assert made(fleet, source) is None
    assert planned(fleet, source, args_json_schema=schema()["parameters"]) == name_of(fleet)
    fleet.apply()


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
    source, given = for_stack(fleet, function()), for_stack(fleet, schema(**change))
    given = {key: value for key, value in given.items() if value is not None}
    assert planned(fleet, source, json_schema=given) is None
    assert made(fleet, source, json_schema=given) is None


@pytest.mark.parametrize(
    "argument",
    [
        {"type": "str"},
        {"type": ["string", "null"]},
        {"description": "x"},
        {"type": "array"},
        {"type": "object", "additionalProperties": False},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"$ref": "#/$defs/Missing"},
    ],
)
def test_arguments_of_which_the_server_makes_no_tool_are_refused(argument: dict[str, Any], fleet: Fleet) -> None:
    source, arguments = for_stack(fleet, function()), {"type": "object", "properties": {"text": argument}}
    assert planned(fleet, source, args_json_schema=arguments) is None
    body = {"source_code": source, "source_type": "python", "args_json_schema": arguments}
    assert fleet.raw.put("/v1/tools/", json=body, headers={"Connection": "close"}).status_code >= 400


@pytest.mark.parametrize(
    "argument",
    [
        {"type": "string", "description": "x"},
        {"type": "array", "items": {"type": "integer"}},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"$ref": "#/$defs/A"},
        {"type": "object", "additionalProperties": True},
    ],
)
def test_arguments_of_which_the_server_makes_a_tool_are_accepted(argument: dict[str, Any], fleet: Fleet) -> None:
    definitions = {"A": {"type": "object", "properties": {"b": {"type": "string", "description": "B."}}}}
    arguments = {"type": "object", "$defs": definitions, "properties": {"text": argument}}
    assert planned(fleet, for_stack(fleet, function()), args_json_schema=arguments) == name_of(fleet)
    fleet.apply()


def test_the_plan_shows_the_name_that_the_server_gives(fleet: Fleet) -> None:
    fleet.write("tools: {t: {source: t.py}}", t_py=TOOL.format(name=name_of(fleet)))
    shown = {each.path: each.new for each in fleet.plan().changes[0].fields_changed}
    assert shown["name"] == name_of(fleet)
    fleet.apply()
    assert [tool["name"] for tool in fleet.tools()] == [name_of(fleet)]


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
