"""Who uses objects, and what is deleted with them, on the stand-in: answers and the number of requests."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest

from lettaform.address import Address
from lettaform.errors import Unavailable
from lettaform.kinds import kinds
from lettaform.model import Live
from tests.backend.v1.served import Served

at = Address.parse
TAGS = ["lettaform:stack=s", "lettaform:addr=agents.a"]
WHOLE = (
    "include=agent.blocks&include=agent.identities&include=agent.managed_group&include=agent.secrets"
    "&include=agent.sources&include=agent.tags&include=agent.tools"
)


@pytest.fixture
def server() -> Served:
    return Served()


def names(lives: Sequence[Live]) -> list[str]:
    return [live.name for live in lives]


# --- who uses what ---------------------------------------------------------------------------------------------------


def test_users_of_shared_objects_in_one_request_for_each(server: Served) -> None:
    block, archive, identity = server.block("b"), server.archive("x"), server.identity("i")
    agent = server.agent("a", block_ids=[block["id"]], identity_ids=[identity["id"]])
    server.attach(agent["id"], "archives", archive["id"])
    server.agent("other")
    lives = [
        Live(k, each["id"], "", {}) for k, each in (("block", block), ("archive", archive), ("identity", identity))
    ]
    users = server.run(lambda reads: reads.users(lives, {}))
    assert users == {live.id: {agent["id"]} for live in lives}
    assert server.asked == sorted(f"GET {kinds()[live.kind].path}{live.id}/agents?include=agent.tags" for live in lives)


def test_users_of_tools_in_one_list_of_all_agents(server: Served) -> None:
    tools = [server.tool(f"t{number}") for number in range(3)]
    agent = server.agent("a", hidden=True, tool_ids=[tools[0]["id"], tools[1]["id"]])
    users = server.run(lambda reads: reads.users([Live("tool", each["id"], "", {}) for each in tools], {}))
    assert [users[each["id"]] for each in tools] == [{agent["id"]}, {agent["id"]}, set()]
    assert server.asked == ["GET /v1/agents/?include=agent.tools&show_hidden_agents=true"]


def test_many_blocks_of_one_agent_each_need_one_list(server: Served) -> None:
    tags = ["lettaform:stack=s"]
    blocks = [server.block(f"b{number}", tags=tags, hidden=True) for number in range(12)]
    ours = server.agent("a", block_ids=[each["id"] for each in blocks[:11]], tags=tags)
    other = server.agent("other", block_ids=[blocks[0]["id"], blocks[11]["id"]])
    lives = [Live("block", each["id"], each["label"], {}, stack="s", marked=True) for each in blocks]
    users = server.run(lambda reads: reads.users(lives, {ours["id"]: lives[:11]}))
    assert users[blocks[0]["id"]] == {ours["id"], other["id"]}
    assert users[blocks[11]["id"]] == {other["id"]}
    assert all(users[each["id"]] == {ours["id"]} for each in blocks[1:11])
    assert len(server.asked) == 3


def test_shared_blocks_that_only_the_stack_uses_need_one_list_without_agents(server: Served) -> None:
    blocks = [server.block(f"b{number}", tags=["lettaform:stack=s"]) for number in range(3)]
    lives = [Live("block", each["id"], each["label"], {}, stack="s", marked=True) for each in blocks]
    both = [server.agent(name, block_ids=[each["id"] for each in blocks])["id"] for name in "ab"]
    attached = dict.fromkeys(both, lives)
    users = server.run(lambda reads: reads.users(lives, attached))
    assert users == {each.id: {*both} for each in lives}
    assert len(server.asked) == 1
    other = server.agent("other", block_ids=[blocks[0]["id"]])
    users = server.run(lambda reads: reads.users(lives, attached))
    assert users == {each.id: {*both, *([other["id"]] if each is lives[0] else [])} for each in lives}
    assert len(server.asked) == 2


def test_blocks_with_many_different_numbers_of_users(server: Served) -> None:
    blocks = [server.block(f"b{number}", tags=["lettaform:stack=s"]) for number in range(12)]
    lives = [Live("block", each["id"], each["label"], {}, stack="s", marked=True) for each in blocks]
    agents = [server.agent(f"a{n}", block_ids=[each["id"] for each in blocks[n:]])["id"] for n in range(12)]
    attached = {agent: lives[number:] for number, agent in enumerate(agents)}
    users = server.run(lambda reads: reads.users(lives, attached))
    assert [len(users[each.id]) for each in lives] == [*range(1, 13)]
    assert len(server.asked) == 1  # of all agents, instead of a list for each number


def test_many_blocks_that_are_adopted_need_one_list_of_agents(server: Served) -> None:
    blocks = [server.block(f"b{number}") for number in range(12)]
    both = [server.agent(name, block_ids=[each["id"] for each in blocks])["id"] for name in "ab"]
    # they carry no tag yet: a list of the stack's tag shows none of them
    lives = [Live("block", each["id"], each["label"], {}, stack="s") for each in blocks]
    users = server.run(lambda reads: reads.users(lives, {both[0]: lives, both[1]: lives}))
    assert all(users[each["id"]] == {*both} for each in blocks)
    assert len(server.asked) == 1


def test_conversations_of_many_agents_need_one_list(server: Served) -> None:
    agents = [server.agent(f"a{number}", tags=["lettaform:stack=s"]) for number in range(10)]
    talk = server.conversation(agents[3]["id"], "Hi.")
    lives = [Live("agent", each["id"], each["name"], {}, stack="s") for each in agents]
    found = server.run(lambda reads: reads.dependents(lives))
    assert {id: [each.id for each in every.cascades] for id, every in found.items() if every.cascades} == {
        agents[3]["id"]: [talk["id"]]
    }
    assert sum(each.startswith("GET /v1/conversations/") for each in server.asked) == 1


def test_nothing_is_asked_about_nothing(server: Served) -> None:
    assert server.run(lambda reads: reads.users([], {})) == {}
    assert server.run(lambda reads: reads.dependents([])) == {}
    assert server.asked == []


# --- what is deleted together ----------------------------------------------------------------------------------------


def test_dependents_of_agents(server: Served) -> None:
    a, b = (server.agent(name, tags=TAGS) for name in "ab")
    talk = server.conversation(a["id"], "talk")
    manager = {"manager_type": "supervisor", "manager_agent_id": a["id"]}
    group = server.post("/v1/groups/", description="g", agent_ids=[b["id"]], manager_config=manager)
    lives = [Live("agent", each["id"], "", {}, at("agents.x"), "s") for each in (a, b)]
    found = server.run(lambda reads: reads.dependents(lives))
    assert [(each.kind, each.id) for each in found[a["id"]].cascades] == [("conversation", talk["id"])]
    assert [(each.kind, each.id) for each in found[a["id"]].blockers] == [("group", group["id"])]
    assert (found[b["id"]].cascades, found[b["id"]].blockers) == ((), ())
    assert server.asked == [
        "GET /v1/agents/?include=agent.managed_group&show_hidden_agents=true&tags=lettaform:stack=s",
        *sorted(f"GET /v1/conversations/?agent_id={each['id']}" for each in (a, b)),
        "GET /v1/groups/",
    ]


def test_what_was_created_along_with_an_agent_is_deleted_with_it(server: Served) -> None:
    agent = server.agent("a", tags=TAGS, enable_sleeptime=True)
    (sleeper,) = [id for id, each in server.standin.tables.agents.items() if each["name"] == "a-sleeptime"]
    live = Live("agent", agent["id"], "", {}, at("agents.a"), "s")
    found = server.run(lambda reads: reads.dependents([live]))[agent["id"]]
    assert [(each.kind, each.id) for each in found.cascades] == [("agent", sleeper)]
    assert found.blockers == ()  # its group goes with it


def test_what_was_read_with_the_agents_is_not_read_again(server: Served) -> None:
    agent = server.agent("a", tags=TAGS, enable_sleeptime=True)
    (sleeper,) = [id for id, each in server.standin.tables.agents.items() if each["name"] == "a-sleeptime"]
    created = {"agent": (sleeper,), "group": ("group-1",), "block": ()}
    live = Live("agent", agent["id"], "", {}, at("agents.a"), "s", discovered=created)
    found = server.run(lambda reads: reads.dependents([live]))[agent["id"]]
    assert [(each.kind, each.id) for each in found.cascades] == [("agent", sleeper)]
    assert not any(each.startswith("GET /v1/agents/") for each in server.asked)


def test_dependents_of_an_agent_without_tags_are_read_by_its_id(server: Served) -> None:
    agent = server.agent("a")
    server.run(lambda reads: reads.dependents([Live("agent", agent["id"], "", {}, at("agents.a"), "s")]))
    assert f"GET /v1/agents/{agent['id']}?{WHOLE}" in server.asked


def test_blocks_that_a_conversation_has_for_itself(server: Served) -> None:
    block = server.block("notes")
    agent = server.agent("a", block_ids=[block["id"]])["id"]
    path = f"/v1/conversations/?agent_id={agent}"
    talk = server.post(path, summary="talk", isolated_block_labels=["notes"])["id"]
    copies = server.run(lambda reads: reads.copies(Live("conversation", talk, "", {})))
    assert names(copies) == ["notes"]
    assert copies[0].id != block["id"]
    assert server.run(lambda reads: reads.copies(Live("archive", "x", "", {}))) == []


def test_a_server_that_does_not_answer(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.backend.v1.client._pause", lambda state: 0.0)

    async def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(server.standin, "handle_async_request", silent)
    with pytest.raises(Unavailable):
        server.run(lambda reads: reads.listing("s", {"agent": ()}))
