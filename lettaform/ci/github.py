"""GitHub Actions: the environment of a job and GitHub's REST API to a Host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lettaform.ci import Text
from lettaform.ci.http import Api
from lettaform.errors import LettaformError

_ACTIONS = "github-actions[bot]"
"""The author of what is written with the token of a job."""


class GitHub:
    """The repository of a job. Needs GITHUB_TOKEN, which a job must pass on."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        token = environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN")
        if not token:
            hint = "pass it to the step: `env: {GITHUB_TOKEN: ${{ github.token }}}`"
            raise LettaformError("the job has no GITHUB_TOKEN", hint)
        self.repository, self.sha = environ["GITHUB_REPOSITORY"], environ.get("GITHUB_SHA", "")
        self.event = Path(environ.get("GITHUB_EVENT_PATH", ""))
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
        url = environ.get("GITHUB_API_URL", "https://api.github.com")
        permission = "the job needs `permissions:` with `pull-requests: write`, and `issues: write` for issues"
        self.api = Api("GitHub", f"{url}/repos/{self.repository}", headers, permission)
        self.user = f"{url}/user"

    def pull_request(self) -> int | None:
        """See `Host`."""
        try:
            event = json.loads(self.event.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        number = (event.get("pull_request") or {}).get("number")
        return number if isinstance(number, int) else None

    def merged(self) -> int | None:
        """See `Host`."""
        merged = [each for each in self.api.send("GET", f"/commits/{self.sha}/pulls") if each.get("merged_at")]
        merged.sort(key=lambda each: (each.get("merge_commit_sha") == self.sha, each["merged_at"]))
        return int(merged[-1]["number"]) if merged else None

    def author(self) -> str:
        """See `Host`. The token of a job may not ask who it is."""
        user = self.api.send("GET", self.user, may_refuse=True)
        return str(user["login"]) if user else _ACTIONS

    def comments(self, number: int) -> Iterator[Text]:
        """See `Host`."""
        yield from map(_text, self.api.pages(f"/issues/{number}/comments"))

    def write_comment(self, number: int, body: str, known: Text | None) -> str:
        """See `Host`."""
        if known is None:
            return _url(self.api.send("POST", f"/issues/{number}/comments", json={"body": body}))
        return _url(self.api.send("PATCH", f"/issues/comments/{known.id}", json={"body": body}))

    def issues(self) -> Iterator[Text]:
        """See `Host`. GitHub lists pull requests with them."""
        for issue in self.api.pages("/issues", state="open", direction="asc"):
            if "pull_request" not in issue:
                yield _text(issue, "number")

    def write_issue(self, title: str, body: str, known: Text | None) -> str:
        """See `Host`."""
        if known is None:
            return _url(self.api.send("POST", "/issues", json={"title": title, "body": body}))
        return _url(self.api.send("PATCH", f"/issues/{known.id}", json={"body": body}))

    def close_issue(self, known: Text) -> None:
        """See `Host`."""
        self.api.send("PATCH", f"/issues/{known.id}", json={"state": "closed"})


def _text(item: Mapping[str, Any], id: str = "id") -> Text:
    return Text(int(item[id]), item.get("body") or "", (item.get("user") or {}).get("login", ""))


def _url(item: Mapping[str, Any]) -> str:
    return str(item.get("html_url", ""))
