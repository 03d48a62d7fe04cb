"""For any file, `load` returns a Manifest without UNRESOLVED values or raises ManifestError."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lettaform.errors import ManifestError
from lettaform.kinds import kinds, sections
from lettaform.manifest import load
from lettaform.manifest.functions import FUNCTIONS
from lettaform.manifest.language import language
from lettaform.manifest.node import UNRESOLVED
from lettaform.model import Manifest

pytestmark = pytest.mark.thorough

everyday = settings(
    max_examples=int(os.environ.get("LETTAFORM_FUZZ", "80")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def has_unresolved(value: Any) -> bool:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(has_unresolved(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return any(map(has_unresolved, value.values()))
    return value is UNRESOLVED or (isinstance(value, list | tuple) and any(map(has_unresolved, value)))


def outcome(data: bytes, files: Mapping[str, bytes] = {}) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "lettaform.yaml").write_bytes(data)
        Path(folder, "t.py").write_text('def f():\n    """F."""\n')
        for name, content in files.items():
            Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
            Path(folder, name).write_bytes(content)
        found: Manifest | ManifestError
        try:
            found = load(Path(folder), environ={"E": "secret-value"})
        except ManifestError as error:
            found = error
    if isinstance(found, ManifestError):
        assert found.problems
        assert "secret-value" not in str(found)
    else:
        assert not has_unresolved(found)


@everyday
@given(st.binary(max_size=200))
@example(b"\xff\xfes\x00")
@example(b"a: &a [*a]")
@example(b"? [\n")
@example(b"%TAG ! x\n--- !y z")
def test_bytes(data: bytes) -> None:
    outcome(data)


FIELDS = {name: list(kind.attrs()) for name, kind in kinds().items()}
WORDS = sorted(
    {
        *language().fields,
        *("key", "value", "from", "to", "prod", "a", "b", "", "a b", "0", "x[y]", "default", "type", "secret", "env"),
        *("agents.a", "blocks.b", "letta/letta-free", "t.py", "for_each", "when", "external", "policy", "lifecycle"),
        *(field for fields in FIELDS.values() for field in fields),
    }
)
HEADS = ["var.a", "env.E", "each.key", "each.value", "stack", "environment", *(f"{s}.a" for s in sections())]
TAILS = ["", ".id", ".name", ".a", "[a]", "[a].id", ".memory.a.id", "}", " ", ".description"]
expressions = st.builds(
    lambda head, tail, text: f"{text}${{{head}{tail}}}",
    st.sampled_from(HEADS),
    st.sampled_from(TAILS),
    st.sampled_from(["", "x ", "$"]),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**20),
    st.floats(),
    st.sampled_from(WORDS),
    expressions,
    st.text(max_size=8),
)
keys = st.sampled_from(WORDS)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4))


values = st.recursive(scalars, nested, max_leaves=12)


def bodies(kind: str) -> st.SearchStrategy[Any]:
    """Objects with existing fields and arbitrary values."""
    fields = st.sampled_from([*FIELDS[kind], "for_each", "when", "policy", "external", "name", "id"])
    return st.dictionaries(fields, values, max_size=4)


parts = {
    section: st.dictionaries(st.sampled_from(["a", "b", "a b"]), bodies(kind), max_size=2)
    for section, kind in sections().items()
}
manifests = st.fixed_dictionaries(
    {"stack": st.just("s")},
    optional={
        **{key: values for key in language().fields if key != "stack"},
        **parts,
        "variables": st.dictionaries(
            st.sampled_from(["a", "b"]), st.fixed_dictionaries({"default": values}), max_size=2
        ),
        "defaults": st.fixed_dictionaries({}, optional={s: bodies(k) for s, k in sections().items()}),
        "outputs": st.dictionaries(keys, values, max_size=2),
    },
)


@everyday
@given(manifests)
@example({"stack": "s", "folders": {"a": {}}, "agents": {"a": {"secrets": "${folders.a.description}"}}})
@example({"stack": "s", "folders": {"a": {}}, "agents": {"a": {"tool_rules": "${folders.a.description}"}}})
def test_structures(data: Any) -> None:
    outcome(yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass"))


@everyday
@given(st.text(alphabet="a:-[]{}!&*|>'\"#%@ \n\t,?~<$.0", max_size=60))
def test_what_looks_like_yaml(text: str) -> None:
    outcome(f"stack: s\nagents: {text}".encode())


LEAVES = [
    *("var.l", "var.m", "var.m.a", "var.s", "env.E", "stack", "blocks.a.id", "x", "x.a", "'a,b'", '"%s %02d"'),
    *("1", "-1.5", "true", "null", "''", "[]", "{}", "3"),
]


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Calls, loops, lists, maps and comparisons of expressions."""
    several = st.lists(inner, max_size=3).map(", ".join)
    pairs = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(st.sampled_from(sorted(FUNCTIONS)), several).map(lambda each: f"{each[0]}({each[1]})"),
        several.map(lambda text: f"[{text}]"),
        pairs.map(lambda each: f"{{a: {each[0]}, {each[1]}: 1}}"),
        pairs.map(lambda each: f"{each[0]} == {each[1]}"),
        pairs.map(lambda each: f"[for x in {each[0]} : {each[1]}]"),
        pairs.map(lambda each: f"{{for k, x in {each[0]} : k => {each[1]} if x != 1}}"),
        inner.map(lambda each: f"({each})[0]"),
        inner.map(lambda each: f"{each}.a"),
    )


trees = st.recursive(st.sampled_from(LEAVES), compound, max_leaves=10)
broken = st.text(alphabet="ab(),[]{}'\"=:>.!%0 \\for in", max_size=40)


def around(expression: str, before: str) -> bytes:
    """A manifest that uses an expression in a plain and in a secret field. `before`: text in front of it."""
    text = json.dumps(f"{before}${{{expression}}}")
    return f"""\
stack: s
variables:
  l: {{type: list, default: [a, '1']}}
  m: {{type: map, default: {{a: 1}}}}
  s: {{secret: true, default: hunter2}}
blocks: {{a: {{}}}}
outputs: {{it: {text}}}
mcp_servers: {{m: {{type: stdio, command: c, env: {{A: {text}}}}}}}
""".encode()


@everyday
@given(st.one_of(trees, broken), st.sampled_from(["", "x ", "$"]))
@example("range(100000)", "")
def test_expressions(expression: str, before: str) -> None:
    outcome(around(expression, before))
