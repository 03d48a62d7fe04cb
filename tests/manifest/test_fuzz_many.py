"""As test_fuzz.py, with documents drawn from a seed: ten times as many in the same time, and none is made smaller.

LETTAFORM_FUZZ is their number, LETTAFORM_FUZZ_SEED the first seed. A failure names the seed of its document.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from lettaform.kinds import sections
from lettaform.manifest.functions import FUNCTIONS
from lettaform.manifest.language import language
from tests.manifest.test_fuzz import FIELDS, HEADS, LEAVES, TAILS, WORDS, around, outcome

pytestmark = pytest.mark.thorough

COUNT = int(os.environ.get("LETTAFORM_FUZZ", "60"))
FIRST = int(os.environ.get("LETTAFORM_FUZZ_SEED", "0"))
LONGEST = 60.0
"""Seconds that one document may take, on a busy machine: more is a hang."""
KEYS = ("a", "b", "a b")
LETTERS = "ab0:-[]{}!&*|>'\"#%@ \n\t,?~<$.é\u202e\ud800"
FIELDS_OF_ALL = ("for_each", "when", "policy", "external", "name", "id")


def scalar(draw: random.Random) -> Any:
    kind = draw.randrange(7)
    if kind == 0:
        return draw.choice((None, True, False))
    if kind == 1:
        return draw.choice((draw.randint(-2, 9), draw.randint(-2, 10**20), draw.uniform(-1e9, 1e9), float("nan")))
    if kind in (2, 3):
        return draw.choice(WORDS)
    if kind in (4, 5):
        return f"{draw.choice(('', 'x ', '$'))}${{{draw.choice(HEADS)}{draw.choice(TAILS)}}}"
    return "".join(draw.choices(LETTERS, k=draw.randrange(9)))


def value(draw: random.Random, depth: int = 3) -> Any:
    kind = draw.randrange(4) if depth else 0
    if kind == 2:
        return [value(draw, depth - 1) for _ in range(draw.randrange(4))]
    if kind == 3:
        return {draw.choice(WORDS): value(draw, depth - 1) for _ in range(draw.randrange(4))}
    return scalar(draw)


def body(draw: random.Random, kind: str) -> dict[str, Any]:
    fields = (*FIELDS[kind], *FIELDS_OF_ALL)
    return {draw.choice(fields): value(draw) for _ in range(draw.randrange(5))}


def structure(draw: random.Random) -> bytes:
    """A manifest with existing sections and fields, and arbitrary values."""
    data: dict[str, Any] = {"stack": "s"}
    for key in draw.sample(sorted({*language().fields} - {"stack"}), draw.randrange(4)):
        data[key] = value(draw)
    for section, kind in draw.sample(sorted(sections().items()), draw.randrange(5)):
        data[section] = {draw.choice(KEYS): body(draw, kind) for _ in range(draw.randrange(3))}
    if draw.random() < 0.5:
        data["variables"] = {name: {"default": value(draw)} for name in draw.sample(("a", "b"), draw.randrange(3))}
    if draw.random() < 0.3:
        section, kind = draw.choice(sorted(sections().items()))
        data["defaults"] = {section: body(draw, kind)}
    if draw.random() < 0.3:
        data["outputs"] = {draw.choice(WORDS): value(draw) for _ in range(draw.randrange(3))}
    return yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass")


def expression(draw: random.Random, depth: int = 3) -> str:
    if not depth or draw.random() < 0.3:
        return draw.choice(LEAVES)
    several = ", ".join(expression(draw, depth - 1) for _ in range(draw.randrange(4)))
    one, other = expression(draw, depth - 1), expression(draw, depth - 1)
    return draw.choice(
        (
            f"{draw.choice(sorted(FUNCTIONS))}({several})",
            f"{draw.choice(sorted(FUNCTIONS))}({several})",
            f"[{several}]",
            f"{{a: {one}, {other}: 1}}",
            f"{one} == {other}",
            f"[for x in {one} : {other}]",
            f"{{for k, x in {one} : k => {other} if x != 1}}",
            f"({one})[0]",
            f"{one}.a",
            "".join(draw.choices("ab(),[]{}'\"=:>.!%0 \\forin", k=draw.randrange(40))),
        )
    )


COMPONENTS = ("c0", "c1", "c2")
USES = (*(f"./{name}" for name in COMPONENTS), *(f"../{name}" for name in COMPONENTS), "c0/component.yaml", "..", "x")
INNER = ("var.i", "var.j", "var.j.a", "each.key", "blocks.a.id", "agents.a.name", "components.a.o", "components.b[a].o")
DEEP = (*INNER, "stack", "env.E", "join(',', var.j)", "[for x in var.j : x]", "components.a", "var")


def inner(draw: random.Random, depth: int = 2) -> Any:
    """A value of a component or of its use, which is often an expression."""
    kind = draw.randrange(5)
    if kind < 2 or not depth:
        return f"{draw.choice(('', '', 'x '))}${{{draw.choice(DEEP)}}}"
    if kind == 2:
        return [inner(draw, depth - 1) for _ in range(draw.randrange(3))]
    if kind == 3:
        return {draw.choice(("a", "b", "text")): inner(draw, depth - 1) for _ in range(draw.randrange(3))}
    return scalar(draw)


TEXTS = ("t", "${var.i}", "x ${var.i}", "${join(',', var.j)}", "${stack}", "${cond(var.i == 'd', 'y', 'n')}")


def sound_use(draw: random.Random, names: tuple[str, ...], before: str) -> dict[str, Any]:
    """A use that is mostly valid."""
    found: dict[str, Any] = {"use": f"{before}/{draw.choice(names)}", "inputs": {"i": draw.choice(TEXTS)}}
    if draw.random() < 0.3:
        found["inputs"]["j"] = draw.choice((["a", "${var.i}"], "${var.j}"))
    if draw.random() < 0.4:
        found["for_each"] = draw.choice((["a", "b"], {"a": 1}, "${var.j}", "${range(3)}"))
    if draw.random() < 0.2:
        found["when"] = draw.choice((True, "${var.i != 'd'}"))
    if draw.random() < 0.3:
        found["overlay"] = {"agents": {"a": {"description": draw.choice(TEXTS), "tags": ["${stack}"]}}}
    if draw.random() < 0.3:
        found["defaults"] = {"agents": {"embedding": "e/m", "memory": {"h": draw.choice(TEXTS)}}}
    return found


def sound(draw: random.Random, names: tuple[str, ...], before: str) -> dict[str, Any]:
    """The sections of a component, or of a manifest, that are mostly valid. `names`: components that it may use."""
    blocks = draw.choice((["a"], ["${blocks.a.id}"], [{"use": "a", "when": draw.choice((True, "${var.i == 'd'}"))}]))
    uses = {key: sound_use(draw, names, before) for key in draw.sample(("x", "y"), draw.randrange(3))} if names else {}
    single = [key for key, each in uses.items() if not {"for_each", "when"} & each.keys()]
    read = [f"${{components.{key}.o}}" for key in single]
    data: dict[str, Any] = {
        "variables": {"i": {"default": "d"}, "j": {"type": "list", "default": ["a", "b"]}},
        "agents": {"a": {"model": "a/b", "description": draw.choice((*TEXTS, *read)), "blocks": blocks}},
        "blocks": {"a": {"value": draw.choice((*TEXTS, *read))}},
        "outputs": {"o": draw.choice(("${agents.a.id}", "${agents.a.name}", *TEXTS, *read))},
        "components": uses,
    }
    if draw.random() < 0.3:
        ends = ("agents.old", "components.old.agents.a", "components.old.components.x.agents.a")
        data["moved"] = [{"from": draw.choice(ends), "to": "agents.a"}]
    return data


def sound_tree(draw: random.Random) -> tuple[bytes, dict[str, bytes]]:
    """A tree that is mostly valid; some of its components use themselves."""
    cycle = draw.random() < 0.1
    last = len(COMPONENTS)
    names = [COMPONENTS if cycle else COMPONENTS[number + 1 : last] for number in range(last)]
    each = {f"{own}/component.yaml": sound(draw, use, "..") for own, use in zip(COMPONENTS, names, strict=True)}
    return written({"stack": "s", **sound(draw, COMPONENTS, ".")}), {name: written(data) for name, data in each.items()}


def use(draw: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"use": draw.choice(USES) if draw.random() < 0.97 else value(draw)}
    if draw.random() < 0.7:
        found["inputs"] = {name: inner(draw) for name in draw.sample(("i", "j", "k"), draw.randrange(4))}
    if draw.random() < 0.3:
        found["for_each"] = draw.choice((["a", "b"], {"a": 1}, inner(draw), "${range(3)}"))
    if draw.random() < 0.2:
        found["when"] = draw.choice((True, False, inner(draw)))
    for key in draw.sample(("defaults", "overlay", "policy"), draw.randrange(2)):
        field = draw.choice(("name", "description", "tags", "lifecycle", "memory", "when", "blocks"))
        found[key] = {draw.choice(("agents", "blocks", "x")): {draw.choice(("a", field)): {field: inner(draw)}}}
    return found


def sections_of_component(draw: random.Random) -> dict[str, Any]:
    """What stands in a component, and in a manifest."""
    data: dict[str, Any] = {}
    if draw.random() < 0.8:
        data["agents"] = {
            "a": {"model": "a/b", draw.choice(FIELDS["agent"]): inner(draw), "memory": {"h": inner(draw)}}
        }
    if draw.random() < 0.5:
        data["blocks"] = {"a": {"value": inner(draw), "for_each": draw.choice((["a"], inner(draw)))}}
    if draw.random() < 0.5:
        data["outputs"] = {"o": inner(draw)}
    if draw.random() < 0.6:
        data["components"] = {key: use(draw) for key in draw.sample(KEYS, draw.randrange(3))}
    if draw.random() < 0.3:
        ends = (
            "agents.a",
            "components.a",
            "components.b[a]",
            "components.a.agents.b",
            "blocks.a[a]",
            "x",
            "agents.old",
        )
        data["moved"] = [{"from": draw.choice(ends), "to": draw.choice(ends)} for _ in range(draw.randrange(1, 3))]
    if draw.random() < 0.1:
        data[draw.choice(("include", "stack", "imports", "defaults", "removed", "environments"))] = inner(draw)
    return data


def component(draw: random.Random) -> dict[str, Any]:
    types: dict[str, Any] = {}
    for name in draw.sample(("i", "j"), draw.randrange(3)):
        types[name] = {"type": draw.choice(("string", "list", "map", "number"))} if draw.random() < 0.5 else {}
        types[name] |= {"default": scalar(draw)} if draw.random() < 0.5 else {}
        types[name] |= {"secret": True} if draw.random() < 0.2 else {}
    return {"variables": types, **sections_of_component(draw)}


def written(data: Any) -> bytes:
    return yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass")


def tree(draw: random.Random) -> tuple[bytes, dict[str, bytes]]:
    """A manifest and components that it and they use, also themselves."""
    root = {"stack": "s", "variables": {"i": {"default": "x"}, "j": {"type": "list", "default": ["a"]}}}
    root |= sections_of_component(draw)
    root["components"] = {key: use(draw) for key in draw.sample(KEYS, draw.randrange(1, 4))}
    return written(root), {f"{name}/component.yaml": written(component(draw)) for name in COMPONENTS}


@pytest.mark.parametrize("drawn", [tree, sound_tree])
def test_trees_of_components(drawn: Callable[[random.Random], tuple[bytes, dict[str, bytes]]]) -> None:
    for seed in range(FIRST, FIRST + COUNT):
        data, files = drawn(random.Random(seed))
        began = time.process_time()
        try:
            outcome(data, files)
        except BaseException as error:
            error.add_note(f"the tree of seed {seed}: {data!r} {files!r}")
            raise
        assert time.process_time() - began < LONGEST, f"the tree of seed {seed}: {data!r} {files!r}"


def with_expression(draw: random.Random) -> bytes:
    return around(expression(draw), draw.choice(("", "x ", "$")))


@pytest.mark.parametrize("document", [structure, with_expression])
def test_documents(document: Callable[[random.Random], bytes]) -> None:
    for seed in range(FIRST, FIRST + COUNT):
        data = document(random.Random(seed))
        began = time.process_time()
        try:
            outcome(data)
        except BaseException as error:
            error.add_note(f"the document of seed {seed}: {data!r}")
            raise
        assert time.process_time() - began < LONGEST, f"the document of seed {seed}: {data!r}"
