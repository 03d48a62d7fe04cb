"""A web service that gives each customer a fleet of their own. An ASGI app without a framework:

uvicorn app:app

PUT    /customers/NAME    apply the customer's fleet; the answer is a stream of JSON, a line for each event
GET    /customers/NAME    what lives on the server
DELETE /customers/NAME    delete the fleet, if the query says `consent=yes`
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import lettaform
from lettaform import Agent, Block, Fleet, OwnBlock

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

NAME = re.compile("[a-z0-9-]{1,40}")


def fleet(customer: str) -> Fleet:
    """What each customer gets."""
    house = Block(value="Answer within a day. Never promise a refund.", description="The rules of the house.")
    return Fleet(
        stack=f"customer-{customer}",
        blocks={"house-rules": house},
        agents={
            "support": Agent(
                model="letta/letta-free",
                embedding="letta/letta-free",
                system=f"You answer the customers of {customer}.",
                memory={"human": OwnBlock(value="Nobody yet.", limit=2000)},
                blocks=[house],
                tags=[customer],
            )
        },
    )


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """One request. Requests of several customers run at the same time."""
    if scope["type"] != "http":
        return
    found = re.fullmatch(f"/customers/({NAME.pattern})", scope["path"])
    if found is None:
        await answer(send, 404, {"error": "there is only /customers/NAME"})
        return
    stack = lettaform.load(fleet(found[1])).aio
    try:
        if scope["method"] == "PUT":
            await apply(stack, send)
        elif scope["method"] == "GET":
            status = await stack.status()
            objects = [{"address": str(each.address), "id": each.id} for each in status.objects]
            await answer(send, 200, {"stack": status.stack, "objects": objects})
        elif scope["method"] == "DELETE":
            result = await stack.destroy(consent=scope["query_string"] == b"consent=yes")
            await answer(
                send, 200 if result.changed else 409, {"deleted": result.plan.count("delete") * result.changed}
            )
        else:
            await answer(send, 405, {"error": "use PUT, GET or DELETE"})
    except lettaform.LettaformError as error:
        await answer(send, 502, {"error": error.message, "hint": error.hint})


async def apply(stack: lettaform.AsyncStack, send: Send) -> None:
    """Apply what is missing or differs, and send each event. A change that deletes something is refused."""
    plan = await stack.plan()
    if plan.count("delete", "replace"):
        await answer(send, 409, {"error": "this would delete something"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/x-ndjson")]})
    run = stack.applying(plan)
    try:
        async for event in run:
            await line(send, {"event": event.event, "finished": event.finished, "total": event.total})
        await line(send, {"event": "summary", "changed": run.result is not None and run.result.changed})
    except lettaform.LettaformError as error:  # the status has been sent
        await line(send, {"event": "error", "error": error.message, "hint": error.hint})
    await send({"type": "http.response.body", "body": b""})


async def line(send: Send, value: Mapping[str, Any]) -> None:
    """Send a line of a stream."""
    await send({"type": "http.response.body", "body": json.dumps(value).encode() + b"\n", "more_body": True})


async def answer(send: Send, status: int, value: Mapping[str, Any]) -> None:
    """Send a whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})
