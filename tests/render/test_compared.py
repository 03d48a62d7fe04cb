"""The checks of an agent and of its canary side by side, in every format. What agents say acts in none of them."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from lettaform.address import Address
from lettaform.model import Checked, CheckRun, Compared
from lettaform.render import compared

from .hostile import TEXTS
from .test_checks import FAILED, PASSED, result
from .test_hostile import COMMANDS, INVISIBLE, SPECIAL, tokens

ORIGINAL, COPY = Address.read("agents.ann"), Address.read("agents.ann@canary-1")
SLOW = replace(PASSED, seconds=9.0)
FULL = Compared(
    Checked(
        "support",
        "http://here",
        results=(
            result(PASSED, SLOW, PASSED, agent=ORIGINAL),
            result(PASSED, FAILED, SLOW, agent=COPY),
            result(FAILED, name="fails", agent=ORIGINAL),
            result(PASSED, name="fails", agent=COPY),
        ),
    ),
    {ORIGINAL: COPY},
)


def test_text_has_a_row_for_each_check_with_both_sides() -> None:
    lines = compared.text(FULL).splitlines()
    assert lines[:3] == [
        "CHECK   AGENT       RESULT           PASSED     TIME           STEPS  TOKENS",
        "greets  agents.ann  passed → failed  3/3 → 2/3  2.0 s → 3.0 s  2 → 2  9 → 9",
        "fails   agents.ann  failed → passed  0/1 → 1/1  3.0 s → 2.0 s  2 → 2  9 → 9",
    ]
    assert lines[-1] == 'agents["ann@canary-1"] passes 1 of 2 checks; agents.ann passes 1.'
    assert "does not contain" in "\n".join(lines)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_text_fits_the_width(width: int) -> None:
    table = compared.text(FULL, width=width).splitlines()[:3]
    assert all(len(line) <= width for line in table)
    assert "RESULT" in table[0]


def test_json_has_the_results_of_both_and_compares_them() -> None:
    found = json.loads(json.dumps(compared.to_data(FULL)))
    assert len(found["checks"]) == 4
    assert found["exit_code"] == FULL.exit_code == 3
    first = found["compared"][0]
    assert (first["check"], first["agent"], first["canary"]) == ("greets", str(ORIGINAL), str(COPY))
    assert first["agent_result"] == {
        "status": "passed",
        "rate": 1.0,
        "median_seconds": 2.0,
        "median_steps": 2,
        "median_tokens": 9,
    }
    assert first["canary_result"]["rate"] == 0.6667


def test_markdown_and_junit_have_both() -> None:
    assert "| passed → failed | 3/3 → 2/3 | 2.0 s → 3.0 s | 2 → 2 | 9 → 9 |" in compared.markdown(FULL)
    cases = ElementTree.fromstring(compared.junit(FULL)).iter("testcase")
    assert [case.attrib["name"] for case in cases] == [str(ORIGINAL), str(COPY)] * 2


def test_what_was_interrupted_is_not_compared() -> None:
    checked = replace(FULL.checked, results=FULL.checked.results[:3], interrupted=True)
    found = Compared(checked, FULL.copies)
    assert (len(found.pairs), found.exit_code) == (1, 130)
    assert compared.text(Compared(replace(checked, results=()), FULL.copies)).startswith("Interrupted")


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_texts_act_nowhere(name: str) -> None:
    run = CheckRun(failures=(TEXTS[name],), seconds=1.0)
    results = (result(run, name=TEXTS[name], agent=ORIGINAL), result(run, name=TEXTS[name], agent=COPY))
    found = Compared(Checked(TEXTS[name], "http://here", results=results), {ORIGINAL: COPY})
    for shown in (compared.text(found), compared.markdown(found), compared.junit(found)):
        assert COMMANDS.findall(shown) == []
        assert INVISIBLE.findall(shown) == []
    outside = [each.content for each in tokens(compared.markdown(found)) if each.type == "text"]
    assert [text for text in outside if SPECIAL.search(text)] == []
