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

COUNT = int(os.environ.get("LETTAFORM_FUZZ", "300"))
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
