"""What only GitHub has: the token of a job that may not ask who it is, and the event of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lettaform.ci.github import GitHub
from tests.ci.hosts import GitHubHost, served


@pytest.mark.parametrize(("user", "author"), [("robot", "robot"), (None, "github-actions[bot]")])
def test_author(user: str | None, author: str, tmp_path: Path) -> None:
    with served(GitHubHost(user=user)) as host:
        assert GitHub(host.environ(tmp_path)).author() == author


@pytest.mark.parametrize(
    ("event", "number"),
    [
        ('{"pull_request": {"number": 12}}', 12),
        ('{"pull_request": null}', None),
        ("{}", None),
        ("{", None),
        (None, None),
    ],
)
def test_pull_request(event: str | None, number: int | None, tmp_path: Path) -> None:
    host = GitHubHost(url="http://127.0.0.1:9")
    environ = host.environ(tmp_path)
    path = Path(environ["GITHUB_EVENT_PATH"])
    path.unlink() if event is None else path.write_text(event)
    assert GitHub(environ).pull_request() == number


def test_of_several_pull_requests_the_one_that_this_commit_merged_counts(tmp_path: Path) -> None:
    sha = GitHubHost().environ(tmp_path)["GITHUB_SHA"]
    pulls = [
        {"number": 1, "merged_at": "2026-11-27T10:00:00Z", "merge_commit_sha": sha},
        {"number": 2, "merged_at": "2026-11-27T12:00:00Z", "merge_commit_sha": "other"},
        {"number": 3, "merged_at": None, "merge_commit_sha": sha},
    ]
    with served(GitHubHost(answers=[(200, json.loads(json.dumps(pulls)))])) as host:
        assert GitHub(host.environ(tmp_path)).merged() == 1
