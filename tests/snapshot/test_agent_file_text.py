"""A path in an agent file to the line and column at which the value stands, also inside a JSON text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lettaform.errors import AgentFileError
from lettaform.snapshot.agent_file_text import parse

TEXT = """{
  "agents": [
    {"id": "agent-0", "tags": ["a", "b"]},
    {"id" : "agent-1"}
  ],
  "e": {}, "l": [ ]
}
"""


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        ((), 1, 1),
        (("agents",), 2, 13),
        (("agents", 0), 3, 5),
        (("agents", 0, "tags", 1), 3, 37),
        (("agents", 1, "id"), 4, 13),
        (("agents", 1, "nothing", 3), 4, 5),
        (("agents", 7), 2, 13),
        (("e", "x"), 6, 8),
        (("l", 0), 6, 17),
    ],
)
def test_the_place_of_a_path(path: tuple[str | int, ...], line: int, column: int) -> None:
    place = parse(TEXT.encode(), "a.af").place(path)
    assert (place.file, place.line, place.column) == ("a.af", line, column)


def test_the_last_of_two_equal_keys_counts() -> None:
    parsed = parse(b'{"a": 1, "a": 2}', "a.af")
    assert (parsed.value, parsed.place(("a",)).column) == ({"a": 2}, 15)


@pytest.mark.parametrize("ascii", [True, False])
def test_places_in_a_json_text_are_those_of_the_file(ascii: bool) -> None:
    inner = json.dumps({"é\n": ["🚲", {"k": 'x "y"'}], "last": 7}, ensure_ascii=False, indent=1)
    outer = "  " + json.dumps(inner, ensure_ascii=ascii)
    parsed = parse(outer.encode(), "a.af")
    assert parsed.value == json.loads(inner)
    place = parsed.place(("last",))
    assert (place.line, outer[place.column - 1]) == (1, "7")
    assert outer[parsed.place(("é\n", 1, "k")).column - 1 :].startswith('\\"x ')


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
        max_leaves=8,
    )
)
def test_every_value_is_found_where_it_stands(value: Any) -> None:
    text = json.dumps(value, indent=1)
    for outer in (text, json.dumps(text)) if not isinstance(value, str) else ():
        parsed = parse(outer.encode(), "a.af")
        _check(parsed.value, (), text, lambda path, parsed=parsed: parsed)


def _check(value: Any, path: tuple[Any, ...], text: str, parsed_of: Any) -> None:
    parsed = parsed_of(path)
    place = parsed.place(path)
    if parsed.outer is None:
        start = sum(len(line) + 1 for line in text.split("\n")[: place.line - 1]) + place.column - 1
        assert json.JSONDecoder().raw_decode(text, start)[0] == value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        _check(item, (*path, key), text, parsed_of)


@pytest.mark.parametrize(
    ("content", "message", "line", "column", "hint"),
    [
        (b"", "is not JSON: expecting value", 1, 1, "the file is empty"),
        (b"stack: s", "is not JSON: expecting value", 1, 1, "an agent file begins with `{`"),
        (b'{"a": 1,\n "b" 2}', "is not JSON: expecting ':' delimiter", 2, 6, None),
        (b'{"a": "\xff"}', "is not UTF-8", 1, 8, "save the file as UTF-8"),
        (b'"{\\"a\\": }"', "is not JSON: expecting value", 1, 10, None),
        (b'"hello"', "is not JSON: expecting value", 1, 2, "an agent file begins with `{`"),
        (b"[" * 100_000, "is nested too deeply", 1, 1, None),
    ],
)
def test_what_is_no_json_has_a_place(content: bytes, message: str, line: int, column: int, hint: str | None) -> None:
    with pytest.raises(AgentFileError) as refused:
        parse(content, "a.af")
    (problem,) = refused.value.problems
    assert (problem.message, problem.hint) == (message, hint)
    assert problem.place is not None
    assert (problem.place.line, problem.place.column) == (line, column)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert parse(b"\xef\xbb\xbf{}", "a.af").value == {}
