"""Tools: upsert, PATCH, delete, base tools, and the schema derived from a source."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.server_under_test import Server, refusal, source

FULL: dict[str, Any] = {
    "description": "given",
    "return_char_limit": 7,
    "tags": ["a", "b"],
    "default_requires_approval": True,
    "enable_parallel_execution": True,
    "pip_requirements": [{"name": "x"}],
}
RESET: dict[str, Any] = {
    "description": "Does it.",
    "return_char_limit": 50_000,
    "tags": ["a", "b"],
    "default_requires_approval": None,
    "enable_parallel_execution": False,
    "pip_requirements": None,
    "npm_requirements": None,
    "args_json_schema": {},
    "source_type": "python",
    "tool_type": "custom",
    "project_id": None,
}


def part(tool: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    return {key: tool[key] for key in like}


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("tags", [None, []])
def test_post_and_put_upsert_by_name_and_reset_all_but_tags(
    server: Server, method: str, tags: list[str] | None
) -> None:
    created = server.tool(**FULL)
    expected = {**FULL, "pip_requirements": [{"name": "x", "version": None}]}
    assert part(created, expected) == expected
    request = {"source_code": source(server.tool_name), "source_type": "python"} | (
        {} if tags is None else {"tags": tags}
    )
    again = server.call(method, "/v1/tools/", request)
    assert again["id"] == created["id"]
    assert part(again, RESET) == RESET
    assert len(again["metadata_"].pop("tool_hash")) == 12
    assert again["metadata_"] == {}
    assert server.tool(tags=["c"])["tags"] == ["c"]


def test_default_source_type_is_json(server: Server) -> None:
    assert server.call("PUT", "/v1/tools/", {"source_code": source(server.tool_name)})["source_type"] == "json"


def test_hash_depends_on_source(server: Server) -> None:
    one = server.tool()["metadata_"]
    assert server.tool(description="other")["metadata_"] == one
    assert server.tool(source_code=source(server.tool_name, "Otherwise."))["metadata_"] != one


def test_given_schema_is_kept(server: Server) -> None:
    schema = {"name": server.tool_name, "description": "d", "parameters": {"type": "object", "properties": {}}}
    tool = server.tool(source_code="not python at all", json_schema=schema)
    assert (tool["name"], tool["description"], tool["json_schema"]) == (server.tool_name, "d", schema)


def test_given_arguments_replace_derived_ones(server: Server) -> None:
    arguments = {"type": "object", "properties": {"z": {"type": "string", "description": "zz"}}, "required": ["z"]}
    tool = server.tool(args_json_schema=arguments)
    assert tool["json_schema"]["parameters"] == arguments
    assert tool["args_json_schema"] == arguments
    assert server.tool()["args_json_schema"] == {}


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        ({"tags": []}, {"tags": []}),
        ({"tags": None, "description": None}, {}),
        ({"description": "new"}, {"description": "new"}),
        ({"enable_parallel_execution": True}, {"enable_parallel_execution": True}),
        ({"enable_parallel_execution": None}, {"enable_parallel_execution": True}),
        ({"return_char_limit": 9}, {"return_char_limit": 9}),
        ({"metadata_": {"a": 1}}, {"metadata_": {"a": 1}}),  # the hash is removed
        ({"metadata": {"a": 1}, "name": "other", "nonsense": 1}, {}),
        ({"default_requires_approval": False}, {"default_requires_approval": False}),
        ({}, {}),
    ],
    ids=str,
)
def test_patch_replaces_fields_and_ignores_null(server: Server, patch: dict[str, Any], changed: dict[str, Any]) -> None:
    tool = server.tool(**FULL)
    # every PATCH without this field resets it
    expected = {**tool, "enable_parallel_execution": False, **changed}
    assert server.call("PATCH", f"/v1/tools/{tool['id']}", patch) == expected
    assert server.get(f"/v1/tools/{tool['id']}") == expected


def test_patch_source_derives_no_schema(server: Server) -> None:
    tool = server.tool()
    path = f"/v1/tools/{tool['id']}"
    broken = f"def {server.tool_name}( broken"
    answer = server.call("PATCH", path, {"source_code": broken})
    assert (answer["source_code"], answer["json_schema"]) == (broken, tool["json_schema"])
    status, detail = refusal(server.ask("PATCH", path, {"source_code": "def other(): pass"}))
    assert (status, detail) == (
        400,
        f"Tool name '{server.tool_name}' does not match the name in the JSON schema '{server.tool_name}' "
        "or in the source code `def other(): pass`",
    )


def test_patch_renames_by_schema(server: Server) -> None:
    tool, name = server.tool(), f"{server.tool_name}_new"
    path = f"/v1/tools/{tool['id']}"
    patch = {"source_code": f"def {name}(): pass", "json_schema": {"name": name}}
    answer = server.call("PATCH", path, patch)
    assert (answer["id"], answer["name"], answer["description"]) == (tool["id"], name, tool["description"])
    assert refusal(server.ask("PATCH", path, {"json_schema": {"name": "send_message"}})) == (
        400,
        "INVALID_ARGUMENT: Tool with name 'send_message' already exists in your organization",
    )


def test_delete_detaches_tool_and_leaves_tool_rules(server: Server) -> None:
    tool = server.tool(default_requires_approval=True)
    agent = server.agent(tool_ids=[tool["id"]])
    assert server.call("DELETE", f"/v1/tools/{tool['id']}") is None
    again = server.read_agent(agent)
    assert (again["tools"], len(again["tool_rules"])) == ([], 1)


BUILT_IN = {
    "letta_core": {"send_message", "conversation_search", "archival_memory_insert", "archival_memory_search"},
    "letta_memory_core": {"memory", "memory_apply_patch", "core_memory_append", "core_memory_replace"},
    "letta_sleeptime_core": {"memory_insert", "memory_replace", "memory_rethink", "memory_finish_edits"},
    "letta_voice_sleeptime_core": {
        *("store_memories", "rethink_user_memory", "finish_rethinking_memory", "search_memory"),
    },
    "letta_multi_agent_core": {
        *("send_message_to_agent_and_wait_for_reply", "send_message_to_agents_matching_tags"),
        "send_message_to_agent_async",
    },
    "letta_builtin": {"web_search", "run_code", "run_code_with_tools", "fetch_webpage"},
    "letta_files_core": {"open_files", "grep_files", "semantic_search_files"},
}


@pytest.mark.parametrize("kind", BUILT_IN)
def test_base_tools_of_each_type(server: Server, kind: str) -> None:
    tools = server.get("/v1/tools/", tool_types=kind, limit=100)
    assert {tool["name"] for tool in tools} == BUILT_IN[kind]
    for tool in tools:
        assert part(tool, {"tags": 0, "source_code": 0, "source_type": 0, "args_json_schema": 0, "metadata_": 0}) == {
            "tags": [kind],
            "source_code": None,
            "source_type": "python",
            "args_json_schema": None,
            "metadata_": {},
        }
    parallel = {tool["name"] for tool in tools if tool["enable_parallel_execution"]}
    assert parallel == BUILT_IN[kind] & {
        *("conversation_search", "archival_memory_search", "web_search", "run_code", "fetch_webpage"),
        *("grep_files", "semantic_search_files"),
    }


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"name": "{word}"}, True),
        ({"names": ["{word}", "nope"]}, True),
        ({"name": "nope"}, False),
        ({"search": "CONF_", "limit": 1000}, True),
        ({"tool_types": "custom", "limit": 1000}, True),
        ({"tool_types": "letta_core,custom", "limit": 1000}, True),
        ({"exclude_tool_types": "custom", "limit": 1000}, False),
        ({"return_only_letta_tools": True, "limit": 1000}, False),
        ({"tags": "nope", "limit": 1000}, True),  # no filter
    ],
    ids=str,
)
def test_list_filters(server: Server, params: dict[str, Any], found: bool) -> None:
    tool = server.tool(tags=["t"])
    asked = {key: [server.tool_name, "nope"] if key == "names" else value for key, value in params.items()}
    asked = {key: server.tool_name if value == "{word}" else value for key, value in asked.items()}
    assert (tool["id"] in [each["id"] for each in server.get("/v1/tools/", **asked)]) is found


def test_unknown_type_filter_is_refused(server: Server) -> None:
    status, detail = refusal(server.ask("GET", "/v1/tools/?tool_types=nope"))
    assert status == 400
    assert detail.startswith("Invalid tool_type 'nope'. Must be one of: custom, letta_core, ")


ARGS = "\n\n  Args:\n    x: the x\n  "
SOURCES: list[tuple[str, Any]] = [
    ("def f():\n  '''d'''", ("f", "d", {}, [])),
    (f"def f(x: int):\n  '''d{ARGS}'''", ("f", "d", {"x": {"type": "integer"}}, ["x"])),
    (f"def f(x: float = 1.0):\n  '''d{ARGS}'''", ("f", "d", {"x": {"type": "number"}}, [])),
    (f"def f(x: bool = not_known):\n  '''d{ARGS}'''", ("f", "d", {"x": {"type": "boolean"}}, ["x"])),
    (f"def f(x: dict):\n  '''d{ARGS}'''", ("f", "d", {"x": {"type": "object"}}, ["x"])),
    (
        f"def f(x: list[str]):\n  '''d{ARGS}'''",
        ("f", "d", {"x": {"type": "array", "items": {"type": "string"}}}, ["x"]),
    ),
    (
        f"def f(x: list[int]):\n  '''d{ARGS}'''",
        ("f", "d", {"x": {"type": "array", "items": {"type": "integer"}}}, ["x"]),
    ),
    (f"def f(x: Optional[int]):\n  '''d{ARGS}'''", ("f", "d", {"x": {"type": "integer"}}, [])),
    (f"def f(agent_state, x: int):\n  '''d{ARGS}'''", ("f", "d", {"x": {"type": "integer"}}, ["x"])),
    (f"def f(*, x: int):\n  '''d{ARGS}'''", ("f", "d", {}, [])),
    # the source text of all choices becomes the only choice
    (
        f"def f(x: Literal['a', 'b']):\n  '''d{ARGS}'''",
        ("f", "d", {"x": {"type": "string", "enum": ["('a', 'b')"]}}, ["x"]),
    ),
    ("def f():\n  '''One.\n  Two.\n\n  Three.'''", ("f", "One.\n\nTwo.\n\nThree.", {}, [])),
    ("def f():\n  '''   '''", ("f", "No description available", {}, [])),
    # not the first: the last that a walk meets, level by level
    ("def f():\n  '''d'''\ndef g():\n  '''e'''", ("g", "e", {}, [])),
    ("def f():\n  '''d'''\n  def inner():\n    '''e'''", ("inner", "e", {}, [])),
    ("class A:\n  def m(self):\n    '''q'''\ndef f():\n  '''d'''", ("m", "q", {}, [])),
    ("async def f():\n  '''d'''", "No functions found in source code"),
    ("x = 1", "No functions found in source code"),
    ("def (", "Failed to parse source code: invalid syntax (<unknown>, line 1)"),
    ("def f(): pass", "Function f missing docstring"),
    (
        f"def f(x):\n  '''d{ARGS}'''",
        "Type error in schema generation: Parameter 'x' in function 'f' lacks a type annotation",
    ),
    (
        "def f(x: int):\n  '''d'''",
        "Value error in schema generation: Parameter 'x' in function 'f' lacks a description in the docstring",
    ),
    (
        "def f(x: int):\n  '''d\n\n  Args:\n    x:\n  '''",
        "Value error in schema generation: Parameter 'x' in function 'f' lacks a description in the docstring",
    ),
    (f"def f(x: int | None):\n  '''d{ARGS}'''", "Value error in schema generation: Python type int | None"),
    (f"def f(x: 'int'):\n  '''d{ARGS}'''", "Value error in schema generation: Python type 'int'"),
    (f"def f(x: Any):\n  '''d{ARGS}'''", "Value error in schema generation: Python type Any"),
    (f"def f(x: tuple[int, str]):\n  '''d{ARGS}'''", "Value error in schema generation: Python type "),
    (f"def f(x: dict[str, int]):\n  '''d{ARGS}'''", "Value error in schema generation: Dictionary types "),
]


@pytest.mark.parametrize(("code", "expected"), SOURCES, ids=lambda value: repr(value)[:50])
def test_schema_is_derived_from_source(server: Server, code: str, expected: Any) -> None:
    answer = server.ask("POST", "/v1/tools/generate-schema", {"code": code})
    if isinstance(expected, str):
        status, detail = refusal(answer)
        assert status == 400
        assert detail.startswith(f"Schema generation failed: {expected}")
        again = refusal(server.ask("PUT", "/v1/tools/", {"source_code": code, "source_type": "python"}))
        assert again == (400, f"Failed to derive json schema: {detail}")
        return
    name, description, properties, required = expected
    described = {key: {**value, "description": "the x"} for key, value in properties.items()}
    parameters = {"type": "object", "properties": described, "required": required}
    assert answer.json() == {"name": name, "description": description, "parameters": parameters}


def test_argument_docs_may_span_lines(server: Server) -> None:
    about = "d\n\n  Args:\n    a (int): one\n      two\n    b: three\n\n  Returns:\n    str: it\n  "
    code = f"def f(a: int, b: str):\n  '''{about}'''"
    properties = server.call("POST", "/v1/tools/generate-schema", {"code": code})["parameters"]["properties"]
    assert [each["description"] for each in properties.values()] == ["one\ntwo", "three"]
