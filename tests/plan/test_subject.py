"""The first line of a published text, written and read."""

from __future__ import annotations

import pytest

from lettaform.plan.subject import Subject, subject_of


@pytest.mark.parametrize("digest", ["", "0a1b.2c3d"])
@pytest.mark.parametrize(
    "subject",
    [
        Subject("plan", "support"),
        Subject("drift", "support", "prod"),
        Subject("plan", "a --> b=c %20", "é\n<!-- x -->"),
    ],
)
def test_what_is_written_is_read(subject: Subject, digest: str) -> None:
    line = subject.line(digest)
    assert "\n" not in line
    assert line.count("-->") == 1
    assert subject_of(f"{line}\nText") == (subject, digest)
    assert subject_of(f"\ufeff{line}\r\nText") == (subject, digest)


@pytest.mark.parametrize(
    "text", ["", "Text", "<!-- lettaform plan -->", "<!-- lettaform plan environment=x -->", "<!-- other stack=x -->"]
)
def test_other_texts_have_none(text: str) -> None:
    assert subject_of(text) is None


def test_a_line_further_down_does_not_count() -> None:
    assert subject_of(f"> quoted\n{Subject('plan', 'support').line('1.1')}") is None
