"""A whole fleet of lettactl: what is declared, what is left with its place, and texts with keys in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform.address import Address
from lettaform.lettactl.fleet import Options, read
from lettaform.manifest.amend import Fault

from .written import SHOP, addresses, refused, text

KEY = "sk-4f9a8c7d6e5b4a3f2e1d"


def test_every_line_that_is_not_carried_over_is_named_with_its_place() -> None:
    found = read([SHOP], Options())
    lines = SHOP.read_text().splitlines()
    for each in found.left:
        assert each.place is not None
        last = each.what.partition(":")[2].strip() or each.what.rpartition(".")[2]
        word = {"3": "from_bucket", "existing_tool": "existing_tool", "tools": "all", "server": "elsewhere"}.get(
            last, last
        )
        assert word in lines[each.place.line - 1], each
    assert len(found.left) == 20
    assert addresses(found)[-2:] == ["conversations.complaints-of-the-day", "agents.night-clerk"]


def test_the_place_of_what_is_wrong() -> None:
    found = read([SHOP], Options())
    lines = SHOP.read_text().splitlines()

    def line(address: str, field: str | None) -> str:
        place = found.place_of(Fault(Address.parse(address), field, ""))
        assert place is not None
        return lines[place.line - 1].strip()

    assert line("agents.clerk", "system") == "system_prompt:"
    assert line("agents.clerk", "tags.0") == 'tags: [shop, "tenant:a"]'
    assert line("agents.clerk", "timezone") == "- <<: *common"
    assert line("agents.clerk.memory.prices", "value") == "value: A bell costs 9."
    assert line("agents.clerk.memory.prices", "tags") == "- name: prices"
    assert line("mcp_servers.docs", "url") == "- name: docs"
    assert found.place_of(Fault(None, None, "")) is None


@pytest.mark.parametrize(
    "agent",
    [
        f"system_prompt: {{value: 'The key is {KEY}.'}}",
        f"system_prompt: {{value: x}}, memory_blocks: [{{name: n, value: 'k {KEY}'}}]",
        f"system_prompt: {{value: x}}, description: 'k {KEY}'",
        "system_prompt: {value: the key is word-0815}, secrets: {K: {value: word-0815}}",
    ],
)
def test_a_text_with_a_secret_is_refused_unless_it_is_allowed(agent: str, tmp_path: Path) -> None:
    content = f"agents: [{{name: a, llm_config: {{model: a/b}}, tools: [], {agent}}}]"
    (problem,) = refused(tmp_path, content)
    assert problem.endswith("→ remove it; `--allow-secrets` writes such texts")
    assert KEY not in problem
    assert text(tmp_path, content, options=Options(allow_secrets=True))
