"""What a tool file must be like, with and without schemas: the table of the server's behaviour, and remedies."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.kinds.python import schema_hint
from lettaform.kinds.tool import Tool
from tests.kinds.tool_files import DOC, FILES, HINTS, TAIL, UNKNOWN_TYPES, function, schema


def problems(**values: Any) -> list[str]:
    return [f"{path}: {message}" for path, message, _ in Tool.check(values)]


def hint(**values: Any) -> str | None:
    ((_, _, hint),) = Tool.check(values)
    return hint


@pytest.mark.parametrize("name", FILES)
def test_a_tool_file_is_valid_if_the_server_can_run_it(name: str) -> None:
    file = FILES[name]
    assert problems(source=file.source) == ([file.derived] if file.derived else [])
    assert problems(source=file.source, json_schema=schema()) == ([file.described] if file.described else [])


@pytest.mark.parametrize("name", [name for name, file in FILES.items() if file.derived and not file.described])
def test_a_json_schema_is_the_remedy_for_every_file_that_the_server_misreads(name: str) -> None:
    if name not in ("no docstring", "a function made by a lambda"):
        assert "json_schema" in (hint(source=FILES[name].source) or "")
    assert problems(source=FILES[name].source, json_schema=schema()) == []


def test_the_other_remedies_work() -> None:
    below = function("return 'ok ' + _helper(text)") + TAIL.replace("helper", "_helper")
    assert "move `_helper` above `NAME`" in (hint(source=below) or "")
    above = TAIL.replace("helper", "_helper").lstrip() + "\n\n" + function("return 'ok ' + _helper(text)")
    assert problems(source=above) == []
    both = TAIL.lstrip() + "\n\n" + function()
    assert "rename the other to `_…`" in (hint(source=both) or "")
    assert problems(source=both.replace("helper", "_helper")) == []
    nested = FILES["a nested helper"].source
    assert "move `inner` to the top level, above `NAME`" in (hint(source=nested) or "")
    assert problems(source="def inner(each):\n    return each\n\n\n" + function("return inner(text)")) == []
    assert hint(source=FILES["an import from __future__"].source) == "remove the import"
    assert hint(source=FILES["a parameter by position"].source) == "remove the `/`"


def test_a_lone_private_function_is_in_no_doubt() -> None:
    assert problems(source=function().replace("NAME", "_NAME")) == []


def test_functions_of_one_name_are_in_no_doubt() -> None:
    again = "try:\n    import nothing\n    def NAME(text: str):\n        return nothing\nexcept ImportError:\n"
    assert problems(source=again + "    " + function().replace("\n", "\n    ").rstrip()) == []


def test_arguments_in_a_schema_need_no_docstring_and_no_types() -> None:
    source = "def NAME(text):\n    return text\n"
    assert problems(source=source, args_json_schema=schema()["parameters"]) == []
    assert (
        problems(source=source + TAIL, args_json_schema=schema()["parameters"])
        == ["source: the server uses `helper` as the tool, and `NAME` may be meant"]
        or problems(source=source + TAIL, args_json_schema=schema()["parameters"]) == []
    )


def test_choices_of_a_literal_type_are_lost() -> None:
    source = function(takes="text: Literal['a', 'b']", before="from typing import Literal\n\n\n")
    assert problems(source=source) == [
        "source: the server makes one choice of the whole `Literal['a', 'b']` of `text`",
    ]
    assert problems(source=source, json_schema=schema()) == []


@pytest.mark.parametrize(
    ("takes", "found"),
    [
        ("text: str", []),
        ("text, agent_state, agent_id", []),
        ("text, **more", []),
        ("text, more=1", []),
        ("text, *, more=1", []),
        (
            "txt",
            [
                "json_schema.parameters.properties.text: `NAME` takes no argument `text`",
                "json_schema.parameters.properties: lacks `txt`, without which `NAME` cannot be called",
            ],
        ),
        ("text, *, more", ["json_schema.parameters.properties: lacks `more`, without which `NAME` cannot be called"]),
    ],
)
def test_arguments_of_a_schema_are_parameters_of_the_function(takes: str, found: list[str]) -> None:
    source = f"def NAME({takes}):\n    {DOC}\n"
    assert problems(source=source, json_schema=schema()) == found
    arguments = [each.replace("json_schema.parameters", "args_json_schema") for each in found]
    assert problems(source=source, args_json_schema=schema()["parameters"]) == arguments


def test_arguments_that_the_server_takes_away_need_no_parameter() -> None:
    arguments = schema()["parameters"]
    arguments["properties"] |= {"request_heartbeat": {"type": "boolean"}, "thinking": {"type": "string"}}
    assert problems(source=function(), json_schema=schema(parameters=arguments)) == []


@pytest.mark.parametrize(
    "source", ["from helpers import *\n", "from helpers import NAME\n", "import helpers as NAME\n"]
)
def test_a_function_may_be_imported(source: str) -> None:
    assert problems(source=source, json_schema=schema()) == []


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        (
            "memory",
            "def memory(text): ...\n",
            "json_schema.name: `memory` is the name of a built-in tool of the server",
        ),
        ("größe", "def größe(text): ...\n", "json_schema.name: `größe` is no name that models can call"),
        ("a" * 65, f"def {'a' * 65}(text): ...\n", f"json_schema.name: `{'a' * 65}` is no name that models can call"),
    ],
)
def test_names_that_cannot_be_used(name: str, source: str, message: str) -> None:
    assert problems(source=source, json_schema=schema(name=name)) == [message]


def test_a_derived_name_must_be_one_that_models_can_call() -> None:
    assert problems(source=function().replace("NAME", "größe")) == ["source: `größe` is no name that models can call"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("export function NAME(text: string) { return text }", []),
        ("export async function NAME(text: string) { return text }", []),
        ("export const NAME = (text: string) => text", []),
        (
            "export function OTHER(text: string) { return text }",
            ["json_schema.name: the source defines no function `NAME`"],
        ),
        ("export const x = 1\nexport function NAMES() {}", ["json_schema.name: the source defines no function `NAME`"]),
    ],
)
def test_typescript(source: str, found: list[str]) -> None:
    assert problems(source=source, source_type="typescript", json_schema=schema()) == found


@pytest.mark.parametrize("name", HINTS)
def test_the_hint_names_the_reason_why_no_schema_is_derived(name: str) -> None:
    source, hint, remedy = HINTS[name]
    assert schema_hint(source) == hint
    assert problems(source=remedy) == []
    assert "args_json_schema" in schema_hint(remedy), "the remedy has no reason left"


@pytest.mark.parametrize("hint", UNKNOWN_TYPES)
def test_types_without_a_schema_need_one_by_hand(hint: str) -> None:
    source = function(takes=f"text: {hint}", before=UNKNOWN_TYPES[hint])
    assert schema_hint(source).startswith(f"the server knows no schema of `text: {hint}`: describe")
    assert problems(source=source, args_json_schema=schema()["parameters"]) == []
    assert problems(source=source, json_schema=schema()) == []


@pytest.mark.parametrize("source", ["def f(:", "x = 1", "a\0b"])
def test_a_hint_for_a_source_without_a_function(source: str) -> None:
    assert "args_json_schema" in schema_hint(source)
