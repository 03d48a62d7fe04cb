"""`audit` on a real server: what a stack owns is no finding, what others made is."""

from __future__ import annotations

import httpx

from lettaform import flow
from tests.live.conftest import Letta
from tests.live.fleet import Fleet


def test_what_nobody_owns_and_nothing_uses(fleet: Fleet, letta: Letta) -> None:
    fleet.write(
        f"blocks: {{org: {{value: '{fleet.stack} org'}}}}\n"
        f"archives: {{facts: {{embedding: {letta.embedding}}}, alone: {{embedding: {letta.embedding}}}}}\n"
        "agents: {a: {memory: {human: x}, blocks: [org], archive: facts}}"
    )
    fleet.apply()
    headers = {"Authorization": f"Bearer {letta.password}"} if letta.password else {}
    with httpx.Client(base_url=letta.url, headers=headers, timeout=60) as http:
        made = http.post("/v1/blocks/", json={"label": "org", "value": f"{fleet.stack} org"}).raise_for_status().json()
        try:
            found = flow.audit(fleet.source, fleet.connection)
        finally:
            http.delete(f"/v1/blocks/{made['id']}").raise_for_status()
    ids = {str(live.address): live.id for live in fleet.state()}
    ours = {*ids.values(), made["id"]}
    shown = [(each.sort, {one.id for one in each.objects}) for each in found.findings]
    assert [(sort, objects) for sort, objects in shown if objects & ours] == [
        ("unowned", {made["id"]}),
        ("duplicates", {made["id"], ids["blocks.org"]}),
        ("unattached", {made["id"]}),
        ("unused", {ids["archives.alone"]}),
    ]
    assert not [each for each in found.findings if each.sort == "missing"]
