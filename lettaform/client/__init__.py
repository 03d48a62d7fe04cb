"""An HTTP client of a Letta server, sync and async, that can be used on its own.

    from lettaform.client import Client

    with Client(base_url="http://localhost:8283") as client:
        agent = client.agents.create(name="clerk", model="openai-proxy/echo")
        answer = client.agents.messages.create(agent["id"], messages=[{"role": "user", "content": "Hello!"}])
        print(answer.text)

`AsyncClient` has the same methods, to be awaited. Objects of the server are dicts of its JSON; messages are the types
of `lettaform.client.messages`. Every error is a ServerError of `lettaform.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lettaform.client.aio import AsyncStream
    from lettaform.client.answers import RawResponse
    from lettaform.client.clients import AsyncClient, Client
    from lettaform.client.sync import Stream

__all__ = ["AsyncClient", "AsyncStream", "Client", "RawResponse", "Stream"]

_MODULES = {
    "AsyncClient": "clients",
    "AsyncStream": "aio",
    "Client": "clients",
    "RawResponse": "answers",
    "Stream": "sync",
}


def __getattr__(name: str) -> Any:
    """Imports a client where it is used: `messages` and `streams` work without httpx, which takes 0.1 s to import."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
