"""A copy of a declaration, for people and as JSON."""

from __future__ import annotations

import pytest

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.render import data
from lettaform.render.duplicate import redacted, report, text, to_data
from tests.render.hostile import TEXTS

at = Address.parse
FILES = {"lettaform.yaml": ("a: hunter22\n", "a: hunter22\nb: hunter22\n")}
NOTE = Problem("the block `x` is not copied", severity="warning")


def test_text_without_secrets() -> None:
    shown = text(redacted(FILES, ("hunter22",)), (NOTE,))
    assert shown.startswith("lettaform.yaml\n")
    assert "+ b: ‹secret›" in shown
    assert shown.endswith("Warning: the block `x` is not copied\n")
    assert "hunter22" not in shown


def test_the_next_command() -> None:
    assert report(at("agents.b")).endswith(
        "`lettaform apply --target agents.b` shows the plan, asks, and creates it.\n"
    )


def test_json() -> None:
    files = redacted(FILES, ("hunter22",))
    shown = to_data(at("agents.a"), at("agents.b"), files, (NOTE,), live=True, written=False)
    assert (shown["from"], shown["address"], shown["memory"], shown["written"]) == (
        "agents.a",
        "agents.b",
        "live",
        False,
    )
    assert "hunter22" not in data.dumps(shown)


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_texts(name: str) -> None:
    hostile = TEXTS[name]
    shown = text({hostile: ("", hostile)}, (Problem(hostile, severity="warning"),)) + report(
        Address.of("agents", hostile)
    )
    assert not {"\x1b", "\x07", "\u202e", "\u2028", "\r"} & set(shown)
