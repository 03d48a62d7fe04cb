"""`matches` on a real server: only what is declared changes, and what was added is taken back."""

from __future__ import annotations

from typing import Any

from lettaform import flow
from lettaform.model import PlanOptions
from tests.live.conftest import Letta
from tests.live.fleet import Fleet

TIMES = {"updated_at", "last_updated_by_id", "message_ids"}


def test_agents_of_others_get_what_is_declared_and_lose_it_again(fleet: Fleet, letta: Letta) -> None:
    http = fleet.raw
    tag = f"{fleet.stack}-support"
    body = {"tags": [tag], "metadata": {"team": "a"}, "context_window_limit": 9000, "secrets": {"OLD": "o"}}
    model = {"model": letta.model, "embedding": letta.embedding}
    ids = [http.post("/v1/agents/", json={"name": n, **body, **model}).json()["id"] for n in ("one", "one", "two")]

    def agents() -> dict[str, dict[str, Any]]:
        found = [http.get(f"/v1/agents/{id}", params={"include": INCLUDE}).json() for id in ids]
        return {each["id"]: comparable(each) for each in found}

    try:
        before = agents()
        fleet.write(
            "blocks: {notice: {value: Maintenance., description: What is new.}}\n"
            f"matches: {{up: {{match: {{tags: [{tag}], exclude: {{name: two}}}}, blocks: [notice], "
            "tools: [web_search], tags: [audited], metadata: {reviewed: yes it is}, secrets: {KEY: k}}}\n"
        )
        fleet.apply()
        fleet.assert_no_changes()
        after = agents()
        assert after[ids[2]] == before[ids[2]]
        changed = {name for name in before[ids[0]] if after[ids[0]][name] != before[ids[0]][name]}
        assert changed == {"blocks", "memory", "tools", "tags", "metadata", "secrets"}
        fleet.write("blocks: {notice: {value: Maintenance., description: What is new.}}")
        fleet.apply()
        assert agents() == before
        fleet.assert_no_changes()
    finally:
        flow.apply(fleet.source, fleet.connection, PlanOptions(destroy=True), consent=True)
        for id in ids:
            http.delete(f"/v1/agents/{id}")


INCLUDE = [f"agent.{name}" for name in ("blocks", "tools", "tags", "secrets", "sources", "identities")]


def comparable(agent: dict[str, Any]) -> dict[str, Any]:
    """An agent without times, and with what is listed in one order."""
    found = {name: each for name, each in agent.items() if name not in TIMES}
    secrets = sorted((each["key"], each["value"]) for each in agent["secrets"])
    lists = {name: sorted(str(each["id"]) for each in agent[name]) for name in ("blocks", "tools")}
    more = {"secrets": secrets, "tool_exec_environment_variables": None, "memory": lists["blocks"]}
    return {**found, **lists, **more, "tags": sorted(agent["tags"])}
