"""Requests to a code host: what is asked again, and what its errors say."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform import ci
from lettaform.ci import http
from lettaform.errors import LettaformError
from lettaform.plan.subject import Subject
from tests.ci.hosts import Host

PLAN = Subject("plan", "support").line("1.1")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(http.time, "sleep", waited.append)
    return waited


def test_a_busy_host_is_asked_again(host: Host, tmp_path: Path, patient: list[float]) -> None:
    host.answers = [(503, "busy"), (429, {"message": "slow down"})]
    ci.put_comment(ci.host(host.environ(tmp_path)), PLAN)
    assert patient == [1, 2]
    assert len(host.comments) == 1


def test_a_post_is_not_sent_twice(host: Host, tmp_path: Path) -> None:
    host.answers = [(200, []), (502, "Bad gateway")]
    with pytest.raises(LettaformError, match="with 502: Bad gateway"):
        ci.put_comment(ci.host(host.environ(tmp_path)), PLAN)
    assert [method for method, _ in host.requests] == ["GET", "POST"]


def test_a_refusal_names_the_permission(host: Host, tmp_path: Path) -> None:
    host.answers = [(200, []), (403, {"message": "Resource not\naccessible"})]
    with pytest.raises(LettaformError, match="403: Resource not accessible") as caught:
        ci.put_comment(ci.host(host.environ(tmp_path)), PLAN)
    assert "write" in (caught.value.hint or "") or "`api`" in (caught.value.hint or "")


def test_a_wrong_token_is_an_error_without_the_token(host: Host, tmp_path: Path) -> None:
    environ = {**host.environ(tmp_path), "GITHUB_TOKEN": "wr0ng", "GITLAB_TOKEN": "wr0ng"}
    with pytest.raises(LettaformError, match="401: Bad credentials") as caught:
        ci.put_comment(ci.host(environ), PLAN)
    assert "wr0ng" not in f"{caught.value} {caught.value.hint}"


def test_an_answer_that_is_no_json(host: Host, tmp_path: Path) -> None:
    host.answers = [(200, "<html>")]
    with pytest.raises(LettaformError, match="with no JSON"):
        ci.put_comment(ci.host(host.environ(tmp_path)), PLAN)


def test_a_host_that_does_not_answer(host: Host, tmp_path: Path, patient: list[float]) -> None:
    environ = {**host.environ(tmp_path), "GITHUB_API_URL": "http://127.0.0.1:9", "CI_API_V4_URL": "http://127.0.0.1:9"}
    with pytest.raises(LettaformError, match="does not answer: GET"):
        ci.put_comment(ci.host(environ), PLAN)
    assert patient == [1, 2, 4]
