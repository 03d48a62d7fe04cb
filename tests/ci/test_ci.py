"""Comments, approvals and issues: the same on both code hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform import ci
from lettaform.errors import LettaformError
from lettaform.plan.subject import Subject
from tests.ci.hosts import Host

PROD = Subject("plan", "support", "prod")
DRIFT = Subject("drift", "support", "prod")


def a_plan(digest: str = "abc.def", subject: Subject = PROD) -> str:
    return f"{subject.line(digest)}\n\n### Plan\n"


def test_a_plan_has_one_comment_that_is_kept_current(host: Host, tmp_path: Path) -> None:
    server = ci.host(host.environ(tmp_path))
    host.add(host.comments, "Looks good.", "ann")
    first = ci.put_comment(server, a_plan("1.1"))
    assert first.startswith("https://")
    assert ci.put_comment(server, a_plan("2.2")) == first
    assert [each["body"] for each in host.comments.values()] == ["Looks good.", a_plan("2.2")]


def test_each_stack_and_environment_has_its_own_comment(host: Host, tmp_path: Path) -> None:
    server = ci.host(host.environ(tmp_path))
    every = [PROD, Subject("plan", "support", "dev"), Subject("plan", "support"), Subject("plan", "sales", "prod")]
    for _ in range(2):
        for subject in every:
            ci.put_comment(server, a_plan(subject=subject))
    assert [each["body"] for each in host.comments.values()] == [a_plan(subject=subject) for subject in every]


def test_a_comment_behind_a_hundred_others_is_found(host: Host, tmp_path: Path) -> None:
    for number in range(250):
        host.add(host.comments, f"{number}", "ann")
    host.add(host.comments, a_plan("1.1"), host.author)
    ci.put_comment(ci.host(host.environ(tmp_path)), a_plan("2.2"))
    assert len(host.comments) == 251
    assert host.comments[max(host.comments)]["body"] == a_plan("2.2")


def test_the_digest_of_the_merged_pull_request(host: Host, tmp_path: Path) -> None:
    ci.put_comment(ci.host(host.environ(tmp_path)), a_plan("2.2"))
    merged = ci.host(host.environ(tmp_path, pull_request=False))
    assert ci.approved(merged, PROD) == "2.2"
    with pytest.raises(LettaformError, match="pull request 7 has no plan of stack `support` in environment `dev`"):
        ci.approved(merged, Subject("plan", "support", "dev"))


def test_what_somebody_else_wrote_approves_nothing_and_is_not_replaced(host: Host, tmp_path: Path) -> None:
    server = ci.host(host.environ(tmp_path))
    host.add(host.comments, a_plan("6.6"), "mallory")
    with pytest.raises(LettaformError, match="has no plan of"):
        ci.approved(server, PROD)
    ci.put_comment(server, a_plan("2.2"))
    host.add(host.comments, a_plan("7.7"), "mallory")
    assert ci.approved(server, PROD) == "2.2"
    assert [each["author"] for each in host.comments.values()] == ["mallory", host.author, "mallory"]


def test_a_commit_that_was_pushed_has_no_approval(host: Host, tmp_path: Path) -> None:
    host.open = True
    ci.put_comment(ci.host(host.environ(tmp_path)), a_plan("2.2"))
    with pytest.raises(LettaformError, match="no pull request was merged with this commit"):
        ci.approved(ci.host(host.environ(tmp_path, pull_request=False)), PROD)


def test_a_text_without_a_subject_and_a_run_without_a_pull_request(host: Host, tmp_path: Path) -> None:
    with pytest.raises(LettaformError, match="does not say whose plan"):
        ci.put_comment(ci.host(host.environ(tmp_path)), "### Plan\n")
    with pytest.raises(LettaformError, match="not started for a pull request"):
        ci.put_comment(ci.host(host.environ(tmp_path, pull_request=False)), a_plan())
    assert host.comments == {}


def test_one_issue_is_opened_kept_current_closed_and_opened_again(host: Host, tmp_path: Path) -> None:
    server = ci.host(host.environ(tmp_path, pull_request=False))
    host.add(host.issues, "Something else", "ann")
    assert ci.close_issue(server, DRIFT) is False
    first = ci.put_issue(server, DRIFT, "Drift", "1 value")
    assert ci.put_issue(server, DRIFT, "Drift", "2 values") == first
    assert len(host.issues) == 2
    assert host.issues[max(host.issues)]["body"] == f"{DRIFT.line()}\n\n2 values"
    assert ci.close_issue(server, DRIFT) is True
    assert ci.put_issue(server, DRIFT, "Drift", "3 values") != first
    assert [each["open"] for each in host.issues.values()] == [True, False, True]


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "GITLAB_TOKEN"])
def test_a_run_without_a_token_says_how_it_gets_one(host: Host, name: str, tmp_path: Path) -> None:
    environ = host.environ(tmp_path)
    if environ.pop(name, None):
        with pytest.raises(LettaformError, match=f"the job has no {name}"):
            ci.host(environ)


def test_outside_of_a_ci() -> None:
    with pytest.raises(LettaformError, match="no run of GitHub Actions or GitLab CI"):
        ci.host({})
