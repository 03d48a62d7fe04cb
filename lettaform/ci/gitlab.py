"""GitLab CI: the environment of a job and GitLab's REST API to a Host. A pull request is a merge request there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lettaform.ci import Text
from lettaform.ci.http import Api
from lettaform.errors import LettaformError


class GitLab:
    """The project of a job. Needs GITLAB_TOKEN, an access token: CI_JOB_TOKEN may not write comments."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        token = environ.get("GITLAB_TOKEN")
        if not token:
            hint = (
                "create a project access token with the scope `api`, and store it as the masked variable GITLAB_TOKEN"
            )
            raise LettaformError("the job has no GITLAB_TOKEN", hint)
        self.sha, self.number = environ.get("CI_COMMIT_SHA", ""), environ.get("CI_MERGE_REQUEST_IID", "")
        self.user = f"{environ['CI_API_V4_URL']}/user"
        url = f"{environ['CI_API_V4_URL']}/projects/{environ['CI_PROJECT_ID']}"
        permission = "GITLAB_TOKEN needs the scope `api` and the role Developer"
        self.api = Api("GitLab", url, {"PRIVATE-TOKEN": token}, permission)

    def pull_request(self) -> int | None:
        """See `Host`."""
        return int(self.number) if self.number.isdigit() else None

    def merged(self) -> int | None:
        """See `Host`."""
        found = self.api.send("GET", f"/repository/commits/{self.sha}/merge_requests")
        merged = [each for each in found if each.get("state") == "merged"]
        merged.sort(key=lambda each: each.get("merged_at") or "")
        return int(merged[-1]["iid"]) if merged else None

    def author(self) -> str:
        """See `Host`."""
        return str(self.api.send("GET", self.user)["username"])

    def comments(self, number: int) -> Iterator[Text]:
        """See `Host`."""
        for note in self.api.pages(f"/merge_requests/{number}/notes", sort="asc", order_by="created_at"):
            yield _text(note, "id", "body")

    def write_comment(self, number: int, body: str, known: Text | None) -> str:
        """See `Host`."""
        path = f"/merge_requests/{number}/notes"
        if known is None:
            self.api.send("POST", path, json={"body": body})
        else:
            self.api.send("PUT", f"{path}/{known.id}", json={"body": body})
        return str(self.api.send("GET", f"/merge_requests/{number}").get("web_url", ""))

    def issues(self) -> Iterator[Text]:
        """See `Host`."""
        for issue in self.api.pages("/issues", state="opened", sort="asc"):
            yield _text(issue, "iid", "description")

    def write_issue(self, title: str, body: str, known: Text | None) -> str:
        """See `Host`."""
        if known is None:
            answer = self.api.send("POST", "/issues", json={"title": title, "description": body})
        else:
            answer = self.api.send("PUT", f"/issues/{known.id}", json={"description": body})
        return str(answer.get("web_url", ""))

    def close_issue(self, known: Text) -> None:
        """See `Host`."""
        self.api.send("PUT", f"/issues/{known.id}", json={"state_event": "close"})


def _text(item: Mapping[str, Any], id: str, body: str) -> Text:
    return Text(int(item[id]), item.get(body) or "", (item.get("author") or {}).get("username", ""))
