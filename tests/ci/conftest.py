from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ci.hosts import GitHubHost, GitLabHost, Host, served


@pytest.fixture(params=[GitHubHost, GitLabHost], ids=["GitHub", "GitLab"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A code host on this machine: each test runs with both."""
    with served(request.param()) as host:
        yield host
