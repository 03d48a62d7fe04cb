"""What only GitLab has: the variables of a job."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform.ci.gitlab import GitLab
from tests.ci.hosts import GitLabHost, served


@pytest.mark.parametrize(("variable", "number"), [("12", 12), ("", None), ("x", None)])
def test_pull_request(variable: str, number: int | None, tmp_path: Path) -> None:
    environ = GitLabHost(url="http://127.0.0.1:9").environ(tmp_path)
    assert GitLab({**environ, "CI_MERGE_REQUEST_IID": variable}).pull_request() == number


def test_merged(tmp_path: Path) -> None:
    requests = [
        {"iid": 4, "state": "merged", "merged_at": "2026-11-27T10:00:00Z"},
        {"iid": 5, "state": "merged", "merged_at": "2026-11-27T11:00:00Z"},
        {"iid": 6, "state": "closed", "merged_at": None},
    ]
    with served(GitLabHost(answers=[(200, requests), (200, [])])) as host:
        assert GitLab(host.environ(tmp_path)).merged() == 5
        assert GitLab(host.environ(tmp_path)).merged() is None
