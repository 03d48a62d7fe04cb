"""An agent or a conversation to its whole history, and a history to a new conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lettaform.backend.listed import Listed, ids_of
from lettaform.backend.v1 import encode
from lettaform.backend.v1.client import PAGE, Client
from lettaform.errors import ServerError
from lettaform.kinds import kinds
from lettaform.model import Live


async def history(client: Client, live: Live) -> list[Mapping[str, Any]]:
    """All messages, oldest first. An agent's are also those of its conversations.

    A page can be shorter than its limit although another one follows: 0.16.8 counts messages before it splits each into
    what people see, and answers several entries of one id or none. So the list ends at a page without a new id.
    """
    path = f"{kinds()[live.kind].path}{live.id}/messages"
    # otherwise 0.16.8 shows a call of `send_message` as a text of the agent, and leaves out what it returned
    asked = {} if kinds()[live.kind].owner_line() else {"use_assistant_message": False}
    found: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    after: dict[str, str] = {}
    while True:
        page = await client.items(path, limit=PAGE, order="asc", **asked, **after)
        bodies = [client.as_object(each, "GET", path) for each in page]
        fresh = [body for body in bodies if body["id"] not in seen]
        if not fresh:
            return found
        found += fresh
        seen.update(body["id"] for body in fresh)
        after = {"after": fresh[-1]["id"]}


async def context(client: Client, live: Live) -> list[str]:
    """The ids of the messages in the context of an agent or a conversation, the prompt first."""
    body = await client.object("GET", f"{kinds()[live.kind].path}{live.id}")
    name = "in_context_message_ids" if kinds()[live.kind].owner_line() else "message_ids"
    return list(body.get(name) or ())


# --- a conversation with messages ------------------------------------------------------------------------------------

_TALKS = "/v1/conversations/"
_FORK = f"{_TALKS}default/fork"


async def begin(
    client: Client, agent: str, listed: Listed, keys: Sequence[str], body: Mapping[str, Any]
) -> dict[str, Any]:
    """Begin a conversation with messages of its agent. Its answer; it can be called again after it was interrupted.

    No request gives a conversation messages but a fork, which takes those in the context of the agent (0.16.8). So they
    stand there for a moment. The agent's mark has its own context meanwhile: whatever interrupts this, the next run
    gives it back, and finds the conversation, which has no name yet.

    agent   its id
    listed  its messages
    keys    of those that the conversation gets, in their order
    body    what to write to the conversation, its claim included
    """
    ids = ids_of(keys, listed)
    if ids is None:
        raise ServerError(f"{agent} no longer has the messages of the conversation", "run it again")

    async def said(talk: str) -> list[str]:
        return (await context(client, Live("conversation", talk, "", {})))[1:]

    async def find_again() -> Mapping[str, Any] | None:
        every = await client.pages(_TALKS, agent_id=agent)
        unused = (each for each in every if not (each.get("summary") or each.get("last_message_at")))
        found = [each for each in unused if await said(each["id"]) == ids]
        return found[0] if found else None

    found = await find_again()
    if found is None:
        now = await client.object("GET", f"/v1/agents/{agent}")
        await client.object("PATCH", f"/v1/agents/{agent}", body=encode.lent(now, ids))
        try:
            found = await client.create(_FORK, params={"agent_id": agent}, find_again=find_again)
        except ServerError as error:
            if error.status is not None and 400 <= error.status < 500:  # it is certain that there is none
                await _give_back(client, agent)
            raise
    path = f"{_TALKS}{found['id']}"
    if await said(found["id"]) != ids:
        await client.send("DELETE", path)
        await _give_back(client, agent)
        raise ServerError(f"{agent} ran while a conversation got messages of it", "run it again")
    talk = await client.object("PATCH", path, body=body)
    await _give_back(client, agent)
    return talk


async def _give_back(client: Client, agent: str) -> None:
    if body := encode.given_back(await client.object("GET", f"/v1/agents/{agent}")):
        await client.object("PATCH", f"/v1/agents/{agent}", body=body)
