"""Maps whose keys the server fixes: the keys and values that it refuses, drops, converts and completes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.conformance.server_under_test import Server, refusal, source

OPENAI: Mapping[str, Any] = {"provider_type": "openai"}
SCHEMA: Mapping[str, Any] = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
FORMATS: list[tuple[Any, str]] = [
    ({}, "union_tag_not_found"),
    ({"type": "nonsense"}, "union_tag_invalid"),
    ({"type": "json_schema"}, "missing json_schema.json_schema"),
    ({"type": "json_schema", "json_schema": "x"}, "dict_type json_schema.json_schema"),
    ("text", "model_attributes_type"),
]
SETTINGS: list[tuple[Any, str]] = [
    ({}, "union_tag_not_found"),
    ({"provider_type": "rainbow"}, "union_tag_invalid"),
    ({**OPENAI, "temperature": "hot"}, "float_parsing openai.temperature"),
    ({**OPENAI, "max_output_tokens": "many"}, "int_parsing openai.max_output_tokens"),
    ({**OPENAI, "max_output_tokens": None}, "int_type openai.max_output_tokens"),
    ({**OPENAI, "parallel_tool_calls": "maybe"}, "bool_parsing openai.parallel_tool_calls"),
    ({**OPENAI, "strict": None}, "bool_type openai.strict"),
    ({**OPENAI, "reasoning": None}, "model_attributes_type openai.reasoning"),
    ({**OPENAI, "reasoning": {"reasoning_effort": "huge"}}, "literal_error openai.reasoning.reasoning_effort"),
    ({**OPENAI, "response_format": {}}, "union_tag_not_found openai.response_format"),
    ({"provider_type": "anthropic", "verbosity": "loud"}, "literal_error anthropic.verbosity"),
    ({"provider_type": "anthropic", "effort": "huge"}, "literal_error anthropic.effort"),
    ({"provider_type": "anthropic", "thinking": {"type": "maybe"}}, "literal_error anthropic.thinking.type"),
    (
        {"provider_type": "anthropic", "thinking": {"budget_tokens": "x"}},
        "int_parsing anthropic.thinking.budget_tokens",
    ),
]
CHILD: Mapping[str, Any] = {"type": "constrain_child_tools", "tool_name": "a", "children": ["b"]}
CONDITIONAL: Mapping[str, Any] = {"type": "conditional", "tool_name": "a", "child_output_mapping": {"x": "b"}}
COUNT: Mapping[str, Any] = {"type": "max_count_per_step", "tool_name": "a"}
RULES: list[tuple[Any, str]] = [
    ({"tool_name": "a"}, "union_tag_not_found"),
    ({"type": "nonsense", "tool_name": "a"}, "union_tag_invalid"),
    ("x", "model_attributes_type"),
    ({"type": "exit_loop"}, "missing exit_loop.tool_name"),
    ({"type": "exit_loop", "tool_name": "a", "nonsense": 1}, "extra_forbidden exit_loop.nonsense"),
    ({"type": "exit_loop", "tool_name": "a", "prompt_template": 1}, "string_type exit_loop.prompt_template"),
    ({"type": "run_first", "tool_name": "a", "args": "x"}, "dict_type run_first.args"),
    ({"type": "parent_last_tool", "tool_name": "a"}, "missing parent_last_tool.children"),
    ({**CHILD, "children": "b"}, "list_type constrain_child_tools.children"),
    ({**CHILD, "children": [1]}, "string_type constrain_child_tools.children.0"),
    ({**CHILD, "child_arg_nodes": [{}]}, "missing constrain_child_tools.child_arg_nodes.0.name"),
    ({**CONDITIONAL, "child_output_mapping": {}}, "value_error conditional.child_output_mapping"),
    ({**CONDITIONAL, "child_output_mapping": {"x": 1}}, "string_type conditional.child_output_mapping.x"),
    ({**CONDITIONAL, "require_output_mapping": "q"}, "bool_parsing conditional.require_output_mapping"),
    ({**CONDITIONAL, "default_child": 3}, "string_type conditional.default_child"),
    (COUNT, "missing max_count_per_step.max_count_limit"),
    ({**COUNT, "max_count_limit": "x"}, "int_parsing max_count_per_step.max_count_limit"),
]
COMPACTION: list[tuple[Any, str]] = [
    ({"mode": "nonsense"}, "literal_error mode"),
    ({"mode": None}, "literal_error mode"),
    ({"clip_chars": "x"}, "int_parsing clip_chars"),
    ({"clip_chars": 1.5}, "int_from_float clip_chars"),
    ({"sliding_window_percentage": "x"}, "float_parsing sliding_window_percentage"),
    ({"prompt_acknowledgement": None}, "bool_type prompt_acknowledgement"),
    ({"prompt_acknowledgement": "x"}, "bool_parsing prompt_acknowledgement"),
    ({"model_settings": {"provider_type": "rainbow"}}, "union_tag_invalid model_settings"),
    (
        {"model_settings": {**OPENAI, "temperature": "hot"}},
        "float_parsing model_settings.openai.temperature",
    ),
]
REQUIREMENTS: list[tuple[Any, str]] = [
    ({}, "missing name"),
    ({"name": ""}, "string_too_short name"),
    ({"name": 1}, "string_type name"),
    ({"name": "x", "version": 1}, "string_type version"),
    ("x", "model_attributes_type"),
]
PROPERTIES: list[tuple[Any, str]] = [
    ({"key": "a"}, "missing value, missing type"),
    ({"key": "a", "value": 1, "type": "nonsense"}, "enum type"),
    ({"key": "a", "value": "1", "type": "string", "nonsense": 1}, "extra_forbidden nonsense"),
]
REFUSED = {
    "model_settings": SETTINGS,
    "response_format": FORMATS,
    "compaction_settings": COMPACTION,
    "tool_rules": RULES,
    "pip_requirements": REQUIREMENTS,
    "npm_requirements": REQUIREMENTS,
    "properties": PROPERTIES,
}
"""By field: a value, or an item of a list, and the errors with their places in it."""
LISTS = ("tool_rules", "pip_requirements", "npm_requirements", "properties")


def requests(server: Server, field: str) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """The requests that create and change an object with this field: method, path, other fields, query."""
    if field in ("pip_requirements", "npm_requirements"):
        yield "PUT", "/v1/tools/", {"source_code": source(server.tool_name), "source_type": "python"}, {}
        yield "PATCH", f"/v1/tools/{server.tool()['id']}", {}, {}
    elif field == "properties":
        identity = {"identifier_key": server.tag, "name": "n", "identity_type": "user"}
        yield "POST", "/v1/identities/", identity, {}
        yield "PATCH", f"/v1/identities/{server.call('POST', '/v1/identities/', identity)['id']}", {}, {}
    else:
        agent = server.agent(tags=["t"])
        yield "POST", "/v1/agents/", {"name": server.tag, "model": server.model}, {}
        yield "PATCH", f"/v1/agents/{agent['id']}", {}, {}
        if field == "model_settings":
            query = {"agent_id": agent["id"]}
            yield "POST", "/v1/conversations/", {}, query
            created = server.call("POST", "/v1/conversations/", {}, params=query)
            yield "PATCH", f"/v1/conversations/{created['id']}", {}, {}


@pytest.mark.parametrize("field", REFUSED)
def test_wrong_keys_and_values_are_refused_at_their_place(server: Server, field: str) -> None:
    for method, path, others, query in requests(server, field):
        for value, errors in REFUSED[field]:
            body = others | {field: [value] if field in LISTS else value}
            status, found = refusal(server.ask(method, path, body, params=query))
            places = [(kind, place.replace("'", "").split(", ")) for kind, place in found]
            top = ["body", field, "0"] if field in LISTS else ["body", field]
            expected = [(kind, [*top, *filter(None, at.split("."))]) for kind, _, at in _split(errors)]
            assert (status, places) == (422, expected), (method, path, value)


def _split(errors: str) -> list[tuple[str, str, str]]:
    return [each.partition(" ") for each in errors.split(", ")]


def test_unknown_keys_are_dropped_and_defaults_added(server: Server) -> None:
    agent = server.agent(tags=["t"])
    asked = {**OPENAI, "temperature": "0.5", "nonsense": 1, "reasoning": {"nonsense": 1}}
    whole = {
        "max_output_tokens": 4096,
        "parallel_tool_calls": True,
        "provider_type": "openai",
        "temperature": 0.5,
        "reasoning": {"reasoning_effort": "minimal"},
        "response_format": None,
        "strict": True,
    }
    conversation = server.call(
        "POST", "/v1/conversations/", {"model_settings": asked}, params={"agent_id": agent["id"]}
    )
    assert conversation["model_settings"] == whole
    compaction = {"model_settings": asked, "nonsense": 1, "clip_chars": "5", "sliding_window_percentage": 7}
    now = server.patch(agent, model_settings=asked, compaction_settings=compaction)
    assert (now["llm_config"]["temperature"], now["llm_config"]["reasoning_effort"]) == (0.5, "minimal")
    settings = now["compaction_settings"]
    assert (settings["model_settings"], settings["clip_chars"], settings["sliding_window_percentage"]) == (whole, 5, 7)
    assert "nonsense" not in settings
    for sent, shown in (
        ({"type": "text", "nonsense": 1}, {"type": "text"}),
        ({"type": "json_object", "json_schema": {}}, {"type": "json_object"}),
        (SCHEMA, SCHEMA),
    ):
        assert server.patch(agent, response_format=sent)["response_format"] == shown


def test_items_of_lists_are_converted_and_completed(server: Server) -> None:
    rules = [{**CHILD, "child_arg_nodes": [{"name": "b", "nonsense": 1}]}, {**COUNT, "max_count_limit": "3"}]
    child, count = server.patch(server.agent(), tool_rules=rules)["tool_rules"]
    assert (child["child_arg_nodes"], count["max_count_limit"]) == ([{"name": "b", "args": None}], 3)
    for answer in (
        server.tool(pip_requirements=[{"name": "x", "nonsense": 1}]),
        server.call("PATCH", f"/v1/tools/{server.tool()['id']}", {"pip_requirements": [{"name": "x", "nonsense": 1}]}),
    ):
        assert answer["pip_requirements"] == [{"name": "x", "version": None}]
