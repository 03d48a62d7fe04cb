"""What is read of a v1 server: which requests with which parameters, and what becomes of their answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from lettaform.address import Address
from lettaform.backend.v1.client import PAGE
from lettaform.errors import NotFound, Place, ServerError
from lettaform.kinds import kinds
from lettaform.model import Desired, External, Live
from lettaform.values import UNREAD
from tests.backend.v1.served import Served
from tests.standin import Refusal
from tests.test_cloud import CLOUD, Cloud

at = Address.parse
TAGS = ["lettaform:stack=s", "lettaform:addr=agents.a"]
AGENT = "include=agent.blocks&include=agent.secrets&include=agent.tags&include=agent.tools"
WHOLE = (
    "include=agent.blocks&include=agent.identities&include=agent.managed_group&include=agent.secrets"
    "&include=agent.sources&include=agent.tags&include=agent.tools"
)
NOBODY = "agent-00000000-0000-4000-8000-000000000000"


@pytest.fixture
def server() -> Served:
    return Served()


def external(kind: str, **words: Any) -> Desired:
    return Desired(at(f"{kinds()[kind].section}.x"), kind, {}, Place("f", 1, 1), external=External(**words))


def names(lives: Any) -> list[str]:
    return sorted(live.name for live in lives)


# --- version ---------------------------------------------------------------------------------------------------------


def test_version(server: Served) -> None:
    assert server.run(lambda reads: reads.version()) == "0.16.8"
    assert server.asked == ["GET /v1/health/"]


@pytest.mark.parametrize("answer", [httpx.Response(404), httpx.Response(200, json=[]), httpx.Response(200, json={})])
def test_what_is_not_a_letta_server(server: Served, monkeypatch: pytest.MonkeyPatch, answer: httpx.Response) -> None:
    async def other(request: httpx.Request) -> httpx.Response:
        return answer

    monkeypatch.setattr(server.standin, "handle_async_request", other)
    with pytest.raises(ServerError, match="is not a Letta server"):
        server.run(lambda reads: reads.version())


# --- listing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields", "request_"),
    [
        ("agent", [], f"GET /v1/agents/?{AGENT}&show_hidden_agents=true&tags=lettaform:stack=s"),
        (
            "agent",
            ["folders", "identities", "sleeptime"],
            f"GET /v1/agents/?{WHOLE}&show_hidden_agents=true&tags=lettaform:stack=s",
        ),
        ("block", [], "GET /v1/blocks/?show_hidden_blocks=true&tags=lettaform:stack=s"),
        ("tool", [], "GET /v1/tools/"),
        ("folder", [], "GET /v1/folders/"),
        ("archive", [], "GET /v1/archives/"),
        ("group", [], "GET /v1/groups/"),
        ("conversation", [], "GET /v1/conversations/?summary_search=[lettaform s "),
        ("mcp_server", [], "GET /v1/mcp-servers/"),
        ("identity", [], "GET /v1/identities/"),
        ("provider", [], "GET /v1/providers/"),
        ("schedule", [], None),
    ],
)
def test_one_list_for_each_kind(server: Served, kind: str, fields: list[str], request_: str | None) -> None:
    listing = server.run(lambda reads: reads.listing("s", {kind: fields}))
    assert server.asked == ([request_] if request_ else [])
    assert set(listing.objects) == {kind, "block"} - ({"block"} - {kind})
    assert not listing.refused


def test_the_files_of_an_agent_change_its_tools_so_both_are_asked_for(server: Served) -> None:
    server.run(lambda reads: reads.listing("s", {"agent": ["tools"]}))
    assert "include=agent.sources" in server.asked[0]


def test_a_long_list_is_read_page_by_page(server: Served) -> None:
    for number in range(PAGE + 1):
        server.block(f"b{number}", tags=["lettaform:stack=s"])
    listing = server.run(lambda reads: reads.listing("s", {"block": ()}))
    assert len(listing.objects["block"]) == PAGE + 1
    assert len(server.asked) == 2


def test_a_listing_holds_what_claims_the_stack_and_the_blocks_of_its_agents(server: Served) -> None:
    shared = server.block("shared")
    mine = server.block("mine", tags=["lettaform:stack=s", "lettaform:addr=agents.a.memory.mine"])
    agent = server.agent("a", tags=TAGS, block_ids=[shared["id"], mine["id"]])
    server.agent("b", tags=["lettaform:stack=other"])
    listing = server.run(lambda reads: reads.listing("s", {"agent": (), "block": ()}))
    assert len(server.asked) == 2
    assert names(listing.objects["agent"]) == ["a"]
    assert names(listing.objects["block"]) == ["mine"]
    assert listing.attached.keys() == {agent["id"]}
    attached = {block.name: block for block in listing.attached[agent["id"]]}
    assert attached.keys() == {"mine", "shared"}
    assert attached["mine"] is listing.objects["block"][0]


def test_relations_that_were_not_asked_for_are_unread(server: Served) -> None:
    server.agent("a", tags=TAGS)
    (agent,) = server.run(lambda reads: reads.listing("s", {"agent": ()})).objects["agent"]
    assert agent.values["identities"] is UNREAD
    (agent,) = server.run(lambda reads: reads.listing("s", {"agent": ("identities",)})).objects["agent"]
    assert agent.values["identities"] == []


def test_the_pages_of_the_state_are_no_blocks_of_the_stack(server: Served) -> None:
    page = server.block("lettaform", value="{}", hidden=True, tags=["lettaform:stack=s", "lettaform:state=0"])
    listing = server.run(lambda reads: reads.listing("s", {"block": ()}))
    assert (listing.state, listing.objects["block"]) == ({page["id"]: "{}"}, ())


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_kind_that_the_server_refuses_to_list(server: Served, status: int) -> None:
    refuse(server, "/v1/folders/", status)
    listing = server.run(lambda reads: reads.listing("s", {"folder": (), "identity": ()}))
    assert (set(listing.objects), set(listing.refused)) == ({"identity"}, {"folder"})


@pytest.mark.parametrize(("path", "status"), [("/v1/folders/", 403), ("/v1/tools/", 404), ("/v1/agents/", 400)])
def test_what_is_no_kind_that_the_server_lacks(server: Served, path: str, status: int) -> None:
    refuse(server, path, status)
    with pytest.raises(ServerError):
        server.run(lambda reads: reads.listing("s", {"agent": (), "block": (), "tool": (), "folder": ()}))


def refuse(server: Served, path: str, status: int) -> None:
    def before(ask: Any) -> None:
        if ask.path == path:
            raise Refusal(status, "no")

    server.standin.before = before


# --- single objects --------------------------------------------------------------------------------------------------


def test_fetch_returns_what_exists_and_the_blocks_of_its_agents(server: Served) -> None:
    block = server.block("notes")
    agent = server.agent("a", block_ids=[block["id"]])
    wanted = [("agent", agent["id"]), ("block", block["id"]), ("agent", NOBODY)]
    listing = server.run(lambda reads: reads.fetch(wanted))
    assert (names(listing.objects["agent"]), names(listing.objects["block"])) == (["a"], ["notes"])
    assert names(listing.attached[agent["id"]]) == ["notes"]
    assert listing.objects["agent"][0].values["identities"] == []
    assert len(server.asked) == 3


def test_one_object_with_its_blocks_in_one_request_for_each(server: Served) -> None:
    block = server.block("notes", tags=["lettaform:stack=s", "lettaform:addr=blocks.notes"])
    agent = server.agent("a", block_ids=[block["id"]])
    live, blocks = server.run(lambda reads: reads.one("agent", agent["id"]))
    assert server.asked == [f"GET /v1/agents/{agent['id']}?{WHOLE}", f"GET /v1/blocks/{block['id']}"]
    assert (live.name, [each.address for each in blocks]) == ("a", [at("blocks.notes")])
    assert live.values["archive"] is UNREAD


@pytest.mark.parametrize("id", [NOBODY, "not-an-id"])
def test_one_object_that_does_not_exist(server: Served, id: str) -> None:
    with pytest.raises(NotFound, match=f"the server has no agent `{id}`"):
        server.run(lambda reads: reads.one("agent", id))


def test_blocks_that_no_agent_has(server: Served) -> None:
    tags = ["lettaform:stack=s"]
    free, held = server.block("free", tags=tags, hidden=True), server.block("held", tags=tags)
    server.block("theirs")
    server.agent("a", block_ids=[held["id"]])
    assert server.run(lambda reads: reads.unattached("s")) == {free["id"]}
    assert server.asked == [
        "GET /v1/blocks/?connected_to_agents_count_eq=0&show_hidden_blocks=true&tags=lettaform:stack=s"
    ]


# --- candidates of external objects ----------------------------------------------------------------------------------


def test_candidates_by_name(server: Served) -> None:
    for label in ("notes", "notes", "other"):
        server.block(label)
    found = server.run(lambda reads: reads.candidates(external("block", name="notes")))
    assert names(found) == ["notes", "notes"]
    assert server.asked == ["GET /v1/blocks/?label=notes&show_hidden_blocks=true"]


def test_candidates_by_id(server: Served) -> None:
    agent = server.agent("a")
    found = server.run(lambda reads: reads.candidates(external("agent", id=agent["id"])))
    assert [live.id for live in found] == [agent["id"]]
    assert server.run(lambda reads: reads.candidates(external("agent", id=NOBODY))) == []
    assert len(server.asked) == 1


def test_candidates_by_claim(server: Served) -> None:
    server.agent("a", tags=TAGS)
    server.agent("b", tags=["lettaform:stack=s"])
    found = server.run(lambda reads: reads.candidates(external("agent", stack="s", address=at("agents.a"))))
    assert names(found) == ["a"]
    assert len(server.asked) == 1


def test_hidden_objects_are_candidates(server: Served) -> None:
    server.block("notes", hidden=True)
    server.agent("a", hidden=True, tags=TAGS)
    assert names(server.run(lambda reads: reads.candidates(external("block", name="notes")))) == ["notes"]
    claimed = external("agent", stack="s", address=at("agents.a"))
    assert names(server.run(lambda reads: reads.candidates(claimed))) == ["a"]


def test_candidates_of_what_is_found_by_a_part_of_its_text(server: Served) -> None:
    agent = server.agent("a")["id"]
    for summary in ("desk", "desk\n[lettaform s conversations.desk]", "hall\n[lettaform s conversations.hall]"):
        server.conversation(agent, summary)
    found = server.run(lambda reads: reads.candidates(external("conversation", name="hall")))
    assert names(found) == ["hall"]
    assert server.asked == ["GET /v1/conversations/?summary_search=hall"]
    claimed = external("conversation", stack="s", address=at("conversations.desk"))
    found = server.run(lambda reads: reads.candidates(claimed))
    assert names(found) == ["desk", "hall"]
    assert server.asked == ["GET /v1/conversations/?summary_search=[lettaform s "]


# --- what answers do not hold ----------------------------------------------------------------------------------------


def test_contents_in_one_request_for_each_field(server: Served) -> None:
    archive, agent = server.archive("facts"), server.agent("a")
    server.post(f"/v1/archives/{archive['id']}/passages", text="One fact.")
    server.attach(agent["id"], "archives", archive["id"])
    wanted = [
        (Live("agent", agent["id"], "a", {}), "archive", ()),
        (Live("archive", archive["id"], "", {}), "passages", ()),
    ]
    ids, passages = server.run(lambda reads: reads.contents(wanted))
    assert (ids, [item.name for item in passages]) == ([archive["id"]], ["One fact."])
    assert server.asked == [f"GET /v1/archives/?agent_id={agent['id']}", "POST /v1/passages/search"]


def test_everything_that_an_object_holds(server: Served) -> None:
    archive, agent = server.archive("facts"), server.agent("a")
    assert server.run(lambda reads: reads.all_items(Live("archive", archive["id"], "", {}))) == {"passages": []}
    assert server.run(lambda reads: reads.all_items(Live("agent", agent["id"], "", {}))) == {}
    assert server.asked == []


def test_nested_objects_are_read_page_by_page_below_their_owner() -> None:
    cloud = Cloud()
    server = Served(cloud)
    agent = server.agent("a")["id"]
    for number in range(5):
        when = {"type": "recurring", "cron_expression": f"{number} 9 * * *"}
        cloud._schedule(agent, {"messages": [{"role": "user", "content": "Hi."}], "schedule": when})
    found = server.run(lambda reads: reads.nested("schedule", agent), CLOUD)
    assert [live.values["cron"] for live in found] == [f"{number} 9 * * *" for number in range(5)]
    assert all(live.id.startswith(f"{agent}/schedule/") for live in found)
    assert server.asked == [f"GET /v1/agents/{agent}/schedule"] * 3
    assert server.run(lambda reads: reads.nested("schedule", NOBODY), CLOUD) == []


def test_tools_that_an_mcp_server_offers(server: Served) -> None:
    server.standin.offers["http://mcp.example",] = [{"name": "echo", "description": "", "inputSchema": {}}]
    config = {"mcp_server_type": "streamable_http", "server_url": "http://mcp.example"}
    mcp = server.post("/v1/mcp-servers/", server_name="m", config=config)["id"]
    server.post(f"/v1/mcp-servers/{mcp}/refresh", "PATCH")
    offered = server.run(lambda reads: reads.offered(Live("mcp_server", mcp, "m", {}), "tool"))
    assert names(offered) == ["echo"]
    assert server.asked == [f"GET /v1/mcp-servers/{mcp}/tools"]


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["listing", "one", "fetch", "candidates"])
def test_secrets_that_were_read_stand_in_no_trace(server: Served, way: str) -> None:
    agent = server.agent("a", secrets={"KEY": "hunter-two"}, tags=TAGS)["id"]

    async def read(reads: Any) -> None:
        asked = {
            "listing": lambda: reads.listing("s", {"agent": ()}),
            "one": lambda: reads.one("agent", agent),
            "fetch": lambda: reads.fetch([("agent", agent)]),
            "candidates": lambda: reads.candidates(external("agent", name="a")),
        }
        await asked[way]()
        assert reads.client.redact("hunter-two") == "‹secret›"

    server.run(read)


# --- many objects, whoever owns them ---------------------------------------------------------------------------------


def test_many_objects_are_read_as_one_list(server: Served) -> None:
    shared = server.block("b", tags=["lettaform:stack=s", "lettaform:addr=blocks.b"])["id"]
    agents = [server.agent(f"a{number}", block_ids=[shared])["id"] for number in range(12)]
    wanted = [("agent", id) for id in agents] + [("block", shared), ("agent", "agent-gone")]
    found = server.run(lambda reads: reads.several(wanted))
    assert [each[0].id for each in found[:-1]] == [*agents, shared]
    assert found[0][1][0].stack == "s"
    assert isinstance(found[-1], NotFound)
    lists = [each for each in server.asked if "?" in each and each.startswith("GET /v1/agents/?")]
    assert len(lists) == 1
    assert len(server.asked) == 3  # agents, blocks, and the missing agent


def test_few_objects_are_read_one_by_one(server: Served) -> None:
    agent = server.agent("a")["id"]
    ((live, _),) = server.run(lambda reads: reads.several([("agent", agent)]))
    assert (live.id, len(server.asked)) == (agent, 1)


def test_members_are_read_from_their_side(server: Served) -> None:
    notes = server.archive("notes")["id"]
    agents = [server.agent(name)["id"] for name in "ab"]
    for each in agents:
        server.attach(each, "archives", notes)
    assert server.run(lambda reads: reads.members("agent", "archive", [notes])) == dict.fromkeys(agents, notes)
    assert len(server.asked) == 1


def test_a_list_of_everybody_has_no_locks_and_no_states(server: Served) -> None:
    server.identity("lettaform:lock:s")
    server.block("lettaform", tags=["lettaform:stack=s", "lettaform:state=0"])
    server.block("mine")
    found = server.run(lambda reads: reads.listing(None, {"identity": (), "block": ()}))
    assert [live.name for live in found.objects["block"]] == ["mine"]
    assert found.objects["identity"] == ()


def test_a_schema_is_derived_and_nothing_is_created(server: Served) -> None:
    tool = server.tool("shop")
    live, _ = server.run(lambda reads: reads.one("tool", tool["id"]))
    assert server.run(lambda reads: reads.derived(live))["name"] == "shop"
    broken = replace(live, values={**live.values, "source": "x = 1\n"})
    assert server.run(lambda reads: reads.derived(broken)) is None
    assert [row["name"] for row in server.standin.tables.tools.values() if row["tool_type"] == "custom"] == ["shop"]
