"""A Pull as text and as JSON: no secret, no control character, every reason."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from lettaform.errors import Place, Problem
from lettaform.model import MergeConflict
from lettaform.plan.pull import LiveValue, Pull
from lettaform.render import pull as render

from .samples import at

HERE = Place("lettaform.yaml", 4, 5)
PULLED = LiveValue(at("agents.a.memory.human"), "value", "Nobody.", "Ada.", "pull", place=HERE)
PULL = Pull(
    "s",
    "http://here",
    "0.16.8",
    "prod",
    pulled=(PULLED,),
    conflicts=(
        LiveValue(at("blocks.b"), "value", "one\ntwo", "one\n\x1b[2J2 hunter22", "conflict", place=HERE),
        LiveValue(at("blocks.c"), "limit", 5, None, "conflict", place=HERE),
    ),
    refused=(Problem("`value` contains the value of ${var.key}, in line 1", HERE, "remove it", "blocks.d", "value"),),
    kept=(Problem("`value` is written as an expression", HERE, None, "blocks.e", "value"),),
    others=(
        LiveValue(at("blocks.f"), "value", "x", "y", "manifest", place=HERE),
        LiveValue(at("blocks.g"), "limit", 1, 2, "drift", place=HERE),
        LiveValue(at("blocks.h"), "value", "x", "y", "ours", place=HERE),
    ),
    files={"lettaform.yaml": ("a: 1\r\nkey: hunter22\r\nb: Nobody.\r\n", "a: 1\r\nkey: hunter22\r\nb: Ada.\r\n")},
    warnings=(Problem("${var.x}: without a value here", None, "set it", severity="warning"),),
    hidden=("hunter22",),
)
TEXT = """\
Stack s · http://here · Letta 0.16.8 · environment prod

lettaform.yaml
  @@ -1,3 +1,3 @@
    a: 1
    key: ‹secret›
  - b: Nobody.
  + b: Ada.

Changed on both sides, not pulled
  blocks.b  value  # lettaform.yaml:4
      - the manifest's, + the server's
      @@ -1,2 +1,2 @@
        one
      - two
      + ␛[2J2 ‹secret›
  blocks.c  limit  # lettaform.yaml:4
      - the manifest's, + the server's
      - 5
      + null
  → `--theirs ADDRESS` takes the server's value, `--ours ADDRESS` keeps the manifest's

Contains a secret, not pulled
  blocks.d: `value` contains the value of ${var.key}, in line 1  # lettaform.yaml:4
    → remove it

Kept on the server, not pulled
  blocks.e: `value` is written as an expression  # lettaform.yaml:4

Warning: ${var.x}: without a value here
  → set it

Pull: 1 value into 1 file. Not pulled: 2 values changed on both sides, 1 value with a secret, 1 value kept on the \
server, 1 value changed outside lettaform (`--drift` pulls them).
"""


def test_text() -> None:
    assert render.text(PULL) == TEXT


def test_verbose_text_names_what_is_left_on_purpose() -> None:
    left = render.text(PULL, verbose=True).split("Left as it is\n")[1].split("\n\n")[0]
    assert left.splitlines() == [
        "  blocks.f  value: changed in the manifest alone  # lettaform.yaml:4",
        "  blocks.g  limit: changed outside lettaform, with the policy `enforce`: `--drift` pulls it  # "
        "lettaform.yaml:4",
        "  blocks.h  value: kept as the manifest has it, because of --ours  # lettaform.yaml:4",
    ]


def test_coloured_text_has_the_same_words() -> None:
    plain = re.sub(r"\x1b\[[\d;]*m", "", render.text(PULL, color=True))
    assert plain == TEXT


def test_nothing_to_pull() -> None:
    assert render.text(Pull("s", "http://here", "1")) == "Stack s · http://here · Letta 1\n\nNothing to pull.\n"


def test_a_long_list_of_reasons_is_cut() -> None:
    kept = tuple(Problem(f"`value` {number}", HERE, None, "blocks.e", "value") for number in range(60))
    lines = render.text(Pull("s", "http://here", "1", kept=kept)).splitlines()
    assert "  … and 10 more" in lines
    assert lines[-1] == "Nothing to pull. Not pulled: 60 values kept on the server."


def test_line_breaks_alone_are_named() -> None:
    pull = Pull("s", "http://here", "1", pulled=(PULLED,), files={"a.md": ("a\r\n", "a\n")})
    assert "a.md\n  only line breaks change\n" in render.text(pull)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            {},
            "Pulled: 1 value into 1 file. The next plan shows 1 mark to write, which `lettaform apply` writes.\n",
        ),
        (
            {"pulled": (PULLED, replace(PULLED, address=at("blocks.z"), merged="both"))},
            "Pulled: 2 values into 1 file. The next plan shows 1 mark to write and 1 merged text for the server, which "
            "`lettaform apply` writes.\n",
        ),
        ({"recorded": frozenset({PULLED.address})}, "Pulled: 1 value into 1 file. 1 mark written.\n"),
    ],
)
def test_report_says_what_the_next_plan_shows(words: dict[str, Any], text: str) -> None:
    files = {"lettaform.yaml": ("a", "b")}
    pull = replace(Pull("s", "http://here", "1", pulled=(PULLED,), files=files, written=True), **words)
    assert render.report(pull) == text


def test_a_conflict_of_a_merge_is_shown_with_its_reason_and_its_versions() -> None:
    conflict = MergeConflict("they differ", "one\n<<<<<<< manifest\n\x1b2 hunter22\n=======\n3\n>>>>>>> server")
    value = replace(PULLED, outcome="conflict", conflict=conflict)
    shown = render.text(Pull("s", "http://here", "1", conflicts=(value,), hidden=("hunter22",)))
    assert (
        """\
  agents.a.memory.human  value: they differ  # lettaform.yaml:4
      one
      <<<<<<< manifest
      ␛2 ‹secret›
      =======
      3
      >>>>>>> server
  → `--theirs"""
        in shown
    )


def test_json() -> None:
    found = json.loads(json.dumps(render.to_data(PULL, check=True)))
    assert found["pulled"] == [
        {
            "address": "agents.a.memory.human",
            "path": "value",
            "drift": False,
            "manifest": "Nobody.",
            "live": "Ada.",
            "file": "lettaform.yaml",
            "line": 4,
        }
    ]
    assert (found["written"], found["exit_code"], found["environment"]) == (False, 4, "prod")
    assert [each["reason"] for each in found["left"]] == ["manifest", "drift", "ours"]
    assert found["files"][0]["diff"].startswith(
        "--- a/lettaform.yaml\n+++ b/lettaform.yaml\n@@ -1,3 +1,3 @@\n a: 1\r\n"
    )
    assert found["refused"][0]["field"] == "value"
    assert found["kept"][0]["line"] == 4
    assert "hunter22" not in json.dumps(found)


def test_a_diff_in_json_says_where_a_file_has_no_line_break_at_its_end() -> None:
    pull = Pull("s", "http://here", "1", pulled=(PULLED,), files={"a.md": ("a", "b")})
    (file,) = render.to_data(pull)["files"]
    assert file["diff"].endswith("-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n")
