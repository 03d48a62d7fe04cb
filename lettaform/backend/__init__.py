"""The Protocols of a backend, one for each purpose, and `connect`: a URL to a Backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

from lettaform.address import Address
from lettaform.errors import NotFound, Problem
from lettaform.model import (
    Answer,
    CalledTool,
    Capabilities,
    Compacted,
    Context,
    Dependents,
    Desired,
    Listing,
    Live,
    Lock,
    Manifest,
    Observed,
    Outgoing,
    Passage,
    Recipient,
    Reply,
    Run,
    Step,
)
from lettaform.values import Item, Ref

if TYPE_CHECKING:
    from lettaform.client.messages import Message, ToolCall

Fields = Mapping[str, Collection[str]]
"""Kind to the fields that are needed."""

Arrived = Callable[[str, Listing], None]
"""Takes the kind of a list and a Listing that has a part of it, and all of the other kinds."""


class Reads(Protocol):
    """Read live objects. Every method raises ServerError if the server does not answer or refuses."""

    url: str
    capabilities: Capabilities

    @property
    def requests(self) -> int:
        """The number of requests sent so far."""
        ...

    async def version(self) -> str:
        """The release of the server."""
        ...

    def require(self, manifest: Manifest, version: str, refused: Mapping[str, str]) -> None:
        """Raise Unsupported if this server lacks what the manifest declares. `refused`: that of a Listing."""
        ...

    async def listing(self, stack: str | None, fields: Fields, arrived: Arrived | None = None) -> Listing:
        """All objects of these kinds that may belong to a stack; None: all objects, whoever owns them.

        Fields that are not needed may be UNREAD.

        arrived  called with what has come of a list, once the others are whole. A backend without pages never calls it
        """
        ...

    async def tagged(self, kind: str, tags: Sequence[str], fields: Collection[str]) -> Listing:
        """All objects of a kind that have all of these tags, whoever owns them. Fields not needed may be UNREAD."""
        ...

    async def states(self) -> Mapping[str, Mapping[str, str]]:
        """The pages of the states of all stacks, by stack and name."""
        ...

    async def fetch(self, wanted: Sequence[tuple[str, str]]) -> Listing:
        """Those of these objects, given by kind and id, that exist, whoever owns them."""
        ...

    async def one(self, kind: str, id: str) -> tuple[Live, tuple[Live, ...]]:
        """One object, whoever owns it, and the blocks attached to it. NotFound if it does not exist."""
        ...

    async def several(self, wanted: Sequence[tuple[str, str]]) -> list[tuple[Live, tuple[Live, ...]] | NotFound]:
        """As `one`, for each of these kinds and ids. Many objects of a kind are read together."""
        ...

    async def unattached(self, stack: str) -> frozenset[str]:
        """The ids of the blocks of a stack that are attached to no agent."""
        ...

    async def candidates(self, desired: Desired) -> list[Live]:
        """The objects that may be an external object, by its name, its id, or its stack and address."""
        ...

    async def contents(self, wanted: Sequence[tuple[Live, str, Collection[str]]]) -> list[list[Any]]:
        """Fields that need a request of their own: the Items that an object contains, or ids of what is attached to it.

        `wanted`: object, field, and the keys of the Items, or ids, that are declared there. Returns a list for each.
        """
        ...

    async def members(self, kind: str, field: str, ids: Sequence[str]) -> Mapping[str, str]:
        """Id of an object to the one member that it has of a field which answers leave out; `ids`: of the members."""
        ...

    async def files(self, live: Live) -> list[Item]:
        """The files of an object. `body` has the `text` of those of which the server has what was uploaded."""
        ...

    async def models(self) -> Mapping[str, Mapping[str, Any]]:
        """Handle of a model to the values that it gives a new agent."""
        ...

    async def derived(self, live: Live) -> Mapping[str, Any] | None:
        """The schema that the server derives from the source of an object; None if it derives none."""
        ...

    async def nested(self, kind: str, owner: str) -> list[Live]:
        """All objects of a kind below their owner."""
        ...

    async def offered(self, live: Live, kind: str) -> list[Live]:
        """The objects of a kind that another object offers, such as the tools of an MCP server."""
        ...

    async def copies(self, live: Live) -> list[Live]:
        """Blocks that belong to an object alone and are deleted with it, such as those of a conversation."""
        ...

    async def users(
        self, lives: Sequence[Live], attached: Mapping[str, Sequence[Live]]
    ) -> Mapping[str, frozenset[str]]:
        """By id: the ids of all agents that use these blocks, tools and other shared objects, whoever owns them.

        attached  as of `Listing`: what is known of agents already
        """
        ...

    async def owned(self, kind: str, owners: Sequence[str]) -> Mapping[str, tuple[Live, ...]]:
        """By id of the owner: all its objects of a kind, such as the conversations of an agent."""
        ...

    async def dependents(self, lives: Sequence[Live]) -> Mapping[str, Dependents]:
        """By id: what is deleted with these objects, and what must be deleted before them, whoever owns it."""
        ...

    async def probe(self, wanted: Sequence[tuple[Desired, frozenset[str]]], observed: Observed) -> list[Problem]:
        """The problems of these objects and fields that only the server can find. Creates nothing."""
        ...


class Writes(Protocol):
    """Carry out the Steps of a plan."""

    def begin(self, stack: str, known: frozenset[str]) -> None:
        """Prepare for the first Step. `known`: the ids of objects that have the mark of the stack already."""
        ...

    async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        """Carry out one Step. `answer` returns the value of a Ref. Raises ServerError."""
        ...


class Locks(Protocol):
    """Let one apply at a time write to a stack.

    `lease`: seconds after the last heartbeat of a lock at which another run may take it over.
    """

    lease: float

    def lock(self, stack: str, patience: float) -> AbstractAsyncContextManager[asyncio.Event]:
        """Hold the lock of a stack. Raises Locked after `patience` seconds. The event is set when it is lost."""
        ...

    async def holder(self, stack: str) -> Lock | None:
        """The lock of a stack; None if no run holds it."""
        ...

    async def locks(self, prefix: str) -> Mapping[str, Lock]:
        """The locks of all stacks whose name begins with a text, by stack."""
        ...

    async def release(self, stack: str, lock: Lock) -> None:
        """Delete a lock, after the server has finished its holder's requests. Locked if another run holds it by now."""
        ...


class Answers(Protocol):
    """Talk to an agent, and wait for its answer. Every method raises ServerError.

    within  seconds for the answer. The server may go on after that
    """

    async def ask(self, agent: str, text: str, within: float) -> Reply:
        """Send a message of a user."""
        ...

    async def deny(self, agent: str, calls: Sequence[CalledTool], reason: str, within: float) -> Reply:
        """Deny the calls that wait for an approval: the agent is told the reason, and goes on."""
        ...


class AgentFiles(Protocol):
    """Read what a snapshot contains, and create an agent with its messages."""

    async def export(self, live: Live) -> Any:
        """The agent file of an agent or a conversation. NotFound if it does not exist."""
        ...

    async def import_agent(
        self, stack: str, address: Address, file: Mapping[str, Any], handles: Mapping[str, str]
    ) -> str:
        """Create the only agent of an agent file, with the claim of a stack to it. Returns its id.

        handles  `model` and `embedding` in place of those of the file
        """
        ...

    async def messages(self, live: Live) -> list[Mapping[str, Any]]:
        """All messages of an agent or a conversation, oldest first, also those that left its context."""
        ...

    async def context(self, live: Live) -> list[str]:
        """The ids of the messages in the context of an agent or a conversation, in their order."""
        ...

    async def all_items(self, live: Live) -> Mapping[str, list[Item]]:
        """All Items that an object contains, by field, each with all that the server has of it."""
        ...


class Queries(Protocol):
    """What only the server can compute."""

    async def tokens(self, live: Live) -> Context:
        """What fills the context window of an agent. NotFound if it does not exist."""
        ...

    async def search(self, live: Live, text: str, limit: int, tags: Sequence[str]) -> list[Passage]:
        """The passages of an archive that are nearest to a text, best first, and that have one of these tags.

        limit  the largest number of them, from 1 to 100
        tags   empty: any passage
        """
        ...


class Talks(Protocol):
    """Exchange messages with agents, and look after their runs. Every method raises ServerError."""

    def say(self, to: Recipient, said: Outgoing, *, tokens: bool, background: bool) -> AsyncGenerator[Message, None]:
        """Send, and yield the answer as it comes: first a Ping with the id of the run, last a StopReason and more.

        tokens      yield messages in pieces, as the model writes them; otherwise each one whole
        background  the run goes on whatever becomes of the connection

        A connection that breaks is replaced: no piece is lost and none comes twice.
        """
        ...

    def follow(self, run: Run) -> AsyncGenerator[Message, None]:
        """What `say` yields, for a run that began earlier: from its beginning to its end."""
        ...

    def history(self, of: Recipient, before: str | None = None) -> AsyncGenerator[Message, None]:
        """All messages, newest first, also those that left the context. `before`: id of the message to begin after."""
        ...

    async def pending(self, to: Recipient) -> tuple[ToolCall, ...]:
        """The calls of tools that wait for approval."""
        ...

    async def run(self, id: str) -> Run:
        """One run. NotFound if there is none."""
        ...

    def runs(self, agent: str | None = None, conversation: str | None = None) -> AsyncGenerator[Run, None]:
        """Runs, newest first: all of the server, of an agent, or of a conversation."""
        ...

    async def cancel(self, run: Run) -> None:
        """Ask the server to end a run."""
        ...

    async def compact(self, to: Recipient) -> Compacted:
        """Replace older messages of a context by a summary that the model writes."""
        ...

    async def reset(self, to: Recipient) -> None:
        """Remove all messages from the context. They stay in the history. Unsupported for conversations."""
        ...

    async def recompile(self, to: Recipient) -> None:
        """Compile the prompt again, from the memory as it is."""
        ...


class Backend(Reads, Writes, Locks, AgentFiles, Queries, Talks, Answers, Protocol):
    """Everything that a run needs."""

    async def close(self) -> None:
        """Close every connection."""
        ...


def connect(url: str, **options: Any) -> Backend:
    """The backend for a URL. `options`: those of `v1.client.Client`, such as token, project, timeout and trace."""
    from lettaform.backend.v1 import V1
    from lettaform.backend.v1.client import Client

    return V1(Client(url, **options))


def agent_file_listing(file: Mapping[str, Any]) -> Listing:
    """The objects of an agent file, with the ids of the file. `file`: valid, and of the current generation."""
    from lettaform.backend.v1.agent_file import listing

    return listing(file)
