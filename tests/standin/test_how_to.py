"""What the how-tos promise, with their own manifests, on a stand-in."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform import flow
from lettaform.model import Plan, PlanOptions
from tests.documents import Example, examples
from tests.standin import serve

pytestmark = pytest.mark.thorough

PAGES = {
    page: [each for each in examples() if each.page == f"docs/how-to/{page}.md"] for page in ("dev-and-prod", "rename")
}


class Project:
    """The manifest of an example on a server."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def write(self, example: Example, old: str = "", new: str = "") -> None:
        """Write the example, with a text replaced, and models that the stand-in has. It has no MCP servers."""
        text = example.text.partition("\nmcp_servers:")
        text = text[0] + "\n\n" + text[2].partition("\n\n")[2] if text[1] else text[0]
        text = text.replace("openai/gpt-4o-mini", "openai-proxy/echo").replace("openai/gpt-4o", "openai-proxy/echo")
        part = example.part.replace("openai/gpt-4o-mini", "openai-proxy/echo")
        if "model:" not in text + part:
            part += "defaults: {agents: {model: openai-proxy/echo}}\n"
        Example(example.page, example.line, text.replace(old, new), part).write(self.folder)

    def source(self, environment: str | None) -> flow.Source:
        return flow.Source(self.folder, environment=environment)

    def plan(self, environment: str | None = None) -> Plan:
        return flow.plan(self.source(environment), flow.Connection(self.url), PlanOptions())

    def apply(self, environment: str | None = None, **options: bool) -> Plan:
        plan, report = flow.apply(
            self.source(environment), flow.Connection(self.url), PlanOptions(**options), consent=True
        )
        assert report is None or report.exit_code == 0
        return plan


@pytest.mark.parametrize("example", PAGES["dev-and-prod"], ids=lambda each: f"line {each.line}")
def test_two_environments_live_on_one_server(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTAFORM_VAR_docs_token", "value")
    with serve() as url:
        project = Project(url, tmp_path)
        project.write(example)
        assert project.apply("prod").changes
        assert project.apply("dev").changes
        assert not project.plan("prod").steps
        assert not project.plan("dev").steps
        project.apply("dev", destroy=True)
        assert not project.plan("prod").steps


@pytest.mark.parametrize("example", PAGES["rename"][:3], ids=lambda each: f"line {each.line}")
def test_a_renamed_object_is_kept(example: Example, tmp_path: Path) -> None:
    declared = {"supervisor: {model": "boss: {model", "[europe, apac]": "[emea, apac]", "{customer:": "{human:"}
    old, new = next((now, before) for now, before in declared.items() if now in example.text)
    with serve() as url:
        project = Project(url, tmp_path)
        project.write(example, old, new)
        (tmp_path / "lettaform.yaml").write_text((tmp_path / "lettaform.yaml").read_text().partition("\nmoved:")[0])
        assert project.apply().changes
        project.write(example)
        moved = project.apply()
        assert {change.action for change in moved.changes} <= {"update", "move", "mark"}
        assert not project.plan().steps
