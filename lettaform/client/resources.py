"""What a server has, as methods that build requests.

Each method is written once. The driver of a client sends what it builds, and makes of it a value, something to await,
or a RawResponse.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from lettaform.client.aio import Async, AsyncRaw, AsyncStream
from lettaform.client.answers import RawResponse
from lettaform.client.calls import Call, Json, Listed, Method
from lettaform.client.messages import Message, Response, parse, parse_response
from lettaform.client.streams import Reading, resumed
from lettaform.client.sync import Stream, Sync, SyncRaw
from lettaform.errors import ServerError

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")
Objects: TypeAlias = list[Json]
"""JSON objects."""
ENDED = ("completed", "failed", "cancelled", "expired")
"""The status of a run that has ended."""


class Readable(Protocol):
    """An open file."""

    def read(self) -> Any:
        """The rest of the file, as bytes or as text."""
        ...


File: TypeAlias = bytes | str | os.PathLike[str] | Readable
"""The content of a file, its path, or the open file."""


class Resource(Generic[D]):
    """A part of the API, with the driver that sends its requests."""

    def __init__(self, driver: D) -> None:
        self._driver = driver


class endpoint(Generic[P, T]):
    """A method that sends one request."""

    def __init__(self, build: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self.build = build

    @overload
    def __get__(self, at: Resource[Sync], owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, at: Resource[Async], owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, at: Resource[SyncRaw], owner: Any) -> Callable[P, RawResponse]: ...
    @overload
    def __get__(self, at: Resource[AsyncRaw], owner: Any) -> Callable[P, Coroutine[Any, Any, RawResponse]]: ...
    def __get__(self, at: Any, owner: Any) -> Any:
        return self if at is None else _sent(self.build, at, at._driver.call)


class listing(Generic[P, T]):
    """A method that iterates over a list, page by page."""

    def __init__(self, build: Callable[Concatenate[Any, P], Listed[T]]) -> None:
        self.build = build

    @overload
    def __get__(self, at: Resource[Sync], owner: Any) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, at: Resource[Async], owner: Any) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, at: Resource[SyncRaw], owner: Any) -> Callable[P, RawResponse]: ...
    @overload
    def __get__(self, at: Resource[AsyncRaw], owner: Any) -> Callable[P, Coroutine[Any, Any, RawResponse]]: ...
    def __get__(self, at: Any, owner: Any) -> Any:
        return self if at is None else _sent(self.build, at, at._driver.pages)


class streaming(Generic[P]):
    """A method that iterates over the messages of a run while they come."""

    def __init__(self, build: Callable[Concatenate[Any, P], Reading]) -> None:
        self.build = build

    @overload
    def __get__(self, at: Resource[Sync], owner: Any) -> Callable[P, Stream]: ...
    @overload
    def __get__(self, at: Resource[Async], owner: Any) -> Callable[P, AsyncStream]: ...
    def __get__(self, at: Any, owner: Any) -> Any:
        return self if at is None else _sent(self.build, at, at._driver.stream)


def _sent(build: Callable[..., Any], at: Any, send: Callable[[Any], Any]) -> Callable[..., Any]:
    @wraps(build)
    def method(*values: Any, **named: Any) -> Any:
        return send(build(at, *values, **named))

    return method


# --- shapes of requests ----------------------------------------------------------------------------------------------


def _read(path: str, **params: Any) -> Call[Json]:
    return Call("GET", path, params=params, shape=dict)


def _write(method: Method, path: str, body: Any = None, **params: Any) -> Call[Json]:
    return Call(method, path, params=params, body=body, shape=dict)


def _done(method: Method, path: str, body: Any = None) -> Call[None]:
    return Call(method, path, body=body, reader=lambda _: None)


def _attached(path: str, verb: str, id: str) -> Call[Any]:
    return Call("PATCH", f"{path}/{verb}/{id}")


def _messages(path: str, params: Mapping[str, Any], turned: bool = False) -> Listed[Message]:
    """Messages in the order of `params`; by default, the newest first. `turned`: see Listed."""
    # one entry of the server can be several messages of one id
    if params.get("order") == "asc":
        return Listed(path, params, reader=parse, divided=True)
    # with this order, `after` asks 0.16.8 for newer ones
    return Listed(path, params, reader=parse, divided=True, by="before", turned=turned)


def _started(path: str, body: Json) -> Reading:
    return Reading(Call("POST", path, body=body), background=bool(body.get("background")))


class Collection(Resource[D]):
    """Objects of one kind. `body`, `params`: see the API of Letta; `limit` is the number of items per page."""

    path: ClassVar[str]

    @endpoint
    def create(self, /, **body: Any) -> Call[Json]:
        """Create an object."""
        return _write("POST", self.path, body)

    @endpoint
    def retrieve(self, /, id: str, **params: Any) -> Call[Json]:
        """One object. NotFound if it does not exist."""
        return _read(f"{self.path}{id}", **params)

    @endpoint
    def update(self, /, id: str, **body: Any) -> Call[Json]:
        """Change an object. 0.16.8 ignores values of None."""
        return _write("PATCH", f"{self.path}{id}", body)

    @endpoint
    def delete(self, /, id: str) -> Call[None]:
        """Delete an object. NotFound if it does not exist."""
        return _done("DELETE", f"{self.path}{id}")

    @listing
    def list(self, /, **params: Any) -> Listed[Json]:
        """All objects."""
        return Listed(self.path, params)


# --- agents ----------------------------------------------------------------------------------------------------------


class AgentBlocks(Resource[D]):
    """The blocks of an agent, by label."""

    @listing
    def list(self, /, agent_id: str) -> Listed[Json]:
        """All its blocks."""
        return Listed(f"/v1/agents/{agent_id}/core-memory/blocks")

    @endpoint
    def retrieve(self, /, agent_id: str, block_label: str) -> Call[Json]:
        """One block."""
        return _read(f"/v1/agents/{agent_id}/core-memory/blocks/{block_label}")

    @endpoint
    def update(self, /, agent_id: str, block_label: str, **body: Any) -> Call[Json]:
        """Change a block."""
        return _write("PATCH", f"/v1/agents/{agent_id}/core-memory/blocks/{block_label}", body)

    @endpoint
    def attach(self, /, agent_id: str, block_id: str) -> Call[Any]:
        """Give the agent a block. Conflict if it has another one with this label."""
        return _attached(f"/v1/agents/{agent_id}/core-memory/blocks", "attach", block_id)

    @endpoint
    def detach(self, /, agent_id: str, block_id: str) -> Call[Any]:
        """Take a block from the agent; the block itself remains."""
        return _attached(f"/v1/agents/{agent_id}/core-memory/blocks", "detach", block_id)


ATTACHED = 1000
"""Items of a list of attached objects, which is one page: 0.16.8 leaves some out of further ones."""


class Attached(Resource[D]):
    """Objects attached to an agent."""

    name: ClassVar[str]

    @listing
    def list(self, /, agent_id: str, **params: Any) -> Listed[Json]:
        """All of them."""
        return Listed(f"/v1/agents/{agent_id}/{self.name}", {**params, "limit": ATTACHED})

    @endpoint
    def attach(self, /, agent_id: str, id: str) -> Call[Any]:
        """Attach an object."""
        return _attached(f"/v1/agents/{agent_id}/{self.name}", "attach", id)

    @endpoint
    def detach(self, /, agent_id: str, id: str) -> Call[Any]:
        """Detach an object; the object itself remains."""
        return _attached(f"/v1/agents/{agent_id}/{self.name}", "detach", id)


class AgentTools(Attached[D]):
    """The tools of an agent."""

    name = "tools"


class AgentFolders(Attached[D]):
    """The folders of an agent."""

    name = "folders"


class AgentPassages(Resource[D]):
    """The archival memory of an agent."""

    @listing
    def list(self, /, agent_id: str, **params: Any) -> Listed[Json]:
        """All passages."""
        return Listed(f"/v1/agents/{agent_id}/archival-memory", params)

    @endpoint
    def create(self, /, agent_id: str, text: str, **body: Any) -> Call[Objects]:
        """Add a text. 0.16.8 answers a list."""
        return Call("POST", f"/v1/agents/{agent_id}/archival-memory", body={"text": text, **body}, shape=list)

    @endpoint
    def search(self, /, agent_id: str, query: str, **params: Any) -> Call[Json]:
        """The passages whose meaning is nearest."""
        return _read(f"/v1/agents/{agent_id}/archival-memory/search", query=query, **params)

    @endpoint
    def delete(self, /, agent_id: str, passage_id: str) -> Call[None]:
        """Delete a passage."""
        return _done("DELETE", f"/v1/agents/{agent_id}/archival-memory/{passage_id}")


class AgentMessages(Resource[D]):
    """Messages to an agent and from it."""

    @endpoint
    def create(self, /, agent_id: str, messages: Objects, **body: Any) -> Call[Response]:
        """Send messages, and wait for the whole answer."""
        sent = {"messages": messages, **body}
        return Call("POST", f"/v1/agents/{agent_id}/messages", body=sent, shape=dict, reader=parse_response)

    @streaming
    def stream(self, /, agent_id: str, messages: Objects, **body: Any) -> Reading:
        """Send messages, and iterate over the answer while it comes.

        stream_tokens  messages in pieces, as the model writes them; `lettaform.client.messages.joined` joins them
        background     the server keeps all pieces, and the stream continues after it was cut. The server needs Redis
        """
        return _started(f"/v1/agents/{agent_id}/messages/stream", {"messages": messages, **body})

    @listing
    def list(self, /, agent_id: str, **params: Any) -> Listed[Message]:
        """All messages, the newest first; the oldest first with `order="asc"`."""
        # 0.16.8 answers the newest messages of an agent in the order of their creation
        return _messages(f"/v1/agents/{agent_id}/messages", params, turned=True)

    @endpoint
    def cancel(self, /, agent_id: str, run_ids: Sequence[str] | None = None) -> Call[Any]:
        """Cancel runs of the agent; all that are active, unless some are named."""
        body = {} if run_ids is None else {"run_ids": [*run_ids]}
        return Call("POST", f"/v1/agents/{agent_id}/messages/cancel", body=body, repeatable=True)

    @endpoint
    def reset(self, /, agent_id: str, **body: Any) -> Call[Any]:
        """Delete all messages of the agent."""
        return Call("PATCH", f"/v1/agents/{agent_id}/reset-messages", body=body)


class Agents(Collection[D]):
    """Agents."""

    path = "/v1/agents/"

    def __init__(self, driver: D) -> None:
        super().__init__(driver)
        self.blocks = AgentBlocks(driver)
        self.tools = AgentTools(driver)
        self.folders = AgentFolders(driver)
        self.passages = AgentPassages(driver)
        self.messages = AgentMessages(driver)

    @endpoint
    def export_file(self, /, agent_id: str, **params: Any) -> Call[Json]:
        """The agent file of an agent."""
        return _read(f"/v1/agents/{agent_id}/export", **params)

    @endpoint
    def import_file(self, /, file: File, **form: Any) -> Call[Json]:
        """Create the agents of an agent file. `agent_ids` of the answer has their ids."""
        fields = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in form.items()}
        files = {"file": (name_of(file) or "agent.af", content_of(file), "application/json")}
        return Call("POST", "/v1/agents/import", files=files, form=fields, shape=dict)

    @endpoint
    def recompile(self, /, agent_id: str, **params: Any) -> Call[Any]:
        """Compile the prompt of the agent again. 0.16.8 answers the text before that."""
        return Call("POST", f"/v1/agents/{agent_id}/recompile", params=params, repeatable=True)

    @endpoint
    def context(self, /, agent_id: str) -> Call[Json]:
        """What fills the context of the agent, in tokens."""
        return _read(f"/v1/agents/{agent_id}/context")


# --- other objects ---------------------------------------------------------------------------------------------------


class Blocks(Collection[D]):
    """Blocks that agents can share."""

    path = "/v1/blocks/"

    @listing
    def agents(self, /, block_id: str, **params: Any) -> Listed[Json]:
        """The agents that have a block."""
        return Listed(f"/v1/blocks/{block_id}/agents", params)


class Tools(Collection[D]):
    """Tools. `create` replaces the tool of the same name (0.16.8)."""

    path = "/v1/tools/"

    @endpoint
    def upsert(self, /, **body: Any) -> Call[Json]:
        """Create a tool, or replace the one of the same name."""
        return _write("PUT", self.path, body)


class McpTools(Resource[D]):
    """The tools of an MCP server."""

    @listing
    def list(self, /, mcp_server_id: str) -> Listed[Json]:
        """All of them."""
        return Listed(f"/v1/mcp-servers/{mcp_server_id}/tools")

    @endpoint
    def run(self, /, mcp_server_id: str, tool_id: str, **args: Any) -> Call[Json]:
        """Call a tool with these arguments."""
        return _write("POST", f"/v1/mcp-servers/{mcp_server_id}/tools/{tool_id}/run", {"args": args})


class McpServers(Collection[D]):
    """MCP servers."""

    path = "/v1/mcp-servers/"

    def __init__(self, driver: D) -> None:
        super().__init__(driver)
        self.tools = McpTools(driver)

    @endpoint
    def refresh(self, /, mcp_server_id: str) -> Call[Json]:
        """List the tools of the server again."""
        return _write("PATCH", f"/v1/mcp-servers/{mcp_server_id}/refresh")


class Files(Resource[D]):
    """The files of a folder."""

    @listing
    def list(self, /, folder_id: str, **params: Any) -> Listed[Json]:
        """All files."""
        return Listed(f"/v1/folders/{folder_id}/files", params)

    @endpoint
    def retrieve(self, /, folder_id: str, file_id: str, **params: Any) -> Call[Json]:
        """One file; its text with `include_content=True`."""
        return _read(f"/v1/folders/{folder_id}/files/{file_id}", **params)

    @endpoint
    def upload(self, /, folder_id: str, file: File, name: str | None = None, **params: Any) -> Call[Json]:
        """Upload a file. Agents find its text once it is embedded; see `wait`.

        name                the name on the server, with its ending; needed for bytes
        duplicate_handling  where a file of this name is there: suffix (default of 0.16.8), skip, error or replace
        """
        named = name or name_of(file)
        if not named:
            raise ValueError("name: a file without a path needs a name with its ending, such as notes.txt")
        # no type is given: 0.16.8 takes it from the ending
        files = {"file": (named, content_of(file))}
        return Call("POST", f"/v1/folders/{folder_id}/upload", params=params, files=files, shape=dict)

    @endpoint
    def wait(self, /, folder_id: str, file_id: str, within: float = 60.0) -> Call[Json]:
        """Wait until a file is embedded. ServerError if it cannot be; Unavailable after `within` seconds."""
        path = f"/v1/folders/{folder_id}/files/{file_id}"
        return Call("GET", path, shape=dict, reader=_embedded, until=_is_embedded, within=within)

    @endpoint
    def delete(self, /, folder_id: str, file_id: str) -> Call[None]:
        """Delete a file."""
        return _done("DELETE", f"/v1/folders/{folder_id}/{file_id}")


def _embedded(file: Json) -> Json:
    if file.get("processing_status") == "error":
        raise ServerError(f"the server could not embed {file.get('file_name')}: {file.get('error_message')}")
    return file


def _is_embedded(file: Json) -> bool:
    return file.get("processing_status") == "completed"


class Folders(Collection[D]):
    """Folders of files."""

    path = "/v1/folders/"

    def __init__(self, driver: D) -> None:
        super().__init__(driver)
        self.files = Files(driver)


class ArchivePassages(Resource[D]):
    """The passages of an archive."""

    @endpoint
    def create(self, /, archive_id: str, text: str, **body: Any) -> Call[Json]:
        """Add a text."""
        return _write("POST", f"/v1/archives/{archive_id}/passages", {"text": text, **body})

    @endpoint
    def search(self, /, archive_id: str, query: str, **body: Any) -> Call[Objects]:
        """The passages whose meaning is nearest."""
        asked = {"archive_id": archive_id, "query": query, **body}
        return Call("POST", "/v1/passages/search", body=asked, repeatable=True, shape=list)

    @endpoint
    def delete(self, /, archive_id: str, passage_id: str) -> Call[None]:
        """Delete a passage."""
        return _done("DELETE", f"/v1/archives/{archive_id}/passages/{passage_id}")


class Archives(Collection[D]):
    """Archives."""

    path = "/v1/archives/"

    def __init__(self, driver: D) -> None:
        super().__init__(driver)
        self.passages = ArchivePassages(driver)


class Identities(Collection[D]):
    """Identities."""

    path = "/v1/identities/"


class Groups(Collection[D]):
    """Groups of agents, also those that the server makes for sleeptime."""

    path = "/v1/groups/"


class Providers(Collection[D]):
    """Providers of models."""

    path = "/v1/providers/"


class ConversationMessages(Resource[D]):
    """Messages of a conversation."""

    @endpoint
    def create(self, /, conversation_id: str, messages: Objects, **body: Any) -> Call[Response]:
        """Send messages, and wait for the whole answer."""
        # 0.16.8 streams here unless it is told not to
        sent = {"messages": messages, **body, "streaming": False}
        path = f"/v1/conversations/{conversation_id}/messages"
        return Call("POST", path, body=sent, shape=dict, reader=parse_response)

    @streaming
    def stream(self, /, conversation_id: str, messages: Objects, **body: Any) -> Reading:
        """Send messages, and iterate over the answer while it comes; see the messages of agents."""
        sent = {"messages": messages, **body, "streaming": True}
        return _started(f"/v1/conversations/{conversation_id}/messages", sent)

    @listing
    def list(self, /, conversation_id: str, **params: Any) -> Listed[Message]:
        """All messages, the newest first; the oldest first with `order="asc"`."""
        return _messages(f"/v1/conversations/{conversation_id}/messages", params)


class Conversations(Resource[D]):
    """Conversations with an agent, which share its memory."""

    def __init__(self, driver: D) -> None:
        super().__init__(driver)
        self.messages = ConversationMessages(driver)

    @endpoint
    def create(self, /, agent_id: str, **body: Any) -> Call[Json]:
        """Begin a conversation."""
        return _write("POST", "/v1/conversations/", body, agent_id=agent_id)

    @endpoint
    def retrieve(self, /, conversation_id: str) -> Call[Json]:
        """One conversation."""
        return _read(f"/v1/conversations/{conversation_id}")

    @endpoint
    def update(self, /, conversation_id: str, **body: Any) -> Call[Json]:
        """Change a conversation."""
        return _write("PATCH", f"/v1/conversations/{conversation_id}", body)

    @endpoint
    def delete(self, /, conversation_id: str) -> Call[None]:
        """Delete a conversation."""
        return _done("DELETE", f"/v1/conversations/{conversation_id}")

    @listing
    def list(self, /, agent_id: str, **params: Any) -> Listed[Json]:
        """All conversations of an agent."""
        return Listed("/v1/conversations/", {"agent_id": agent_id, **params})


class RunMessages(Resource[D]):
    """Messages of a run."""

    @listing
    def list(self, /, run_id: str, **params: Any) -> Listed[Message]:
        """All messages, the oldest first."""
        return _messages(f"/v1/runs/{run_id}/messages", {"order": "asc", **params})


class Runs(Resource[D]):
    """Runs: what agents do with messages."""

    def __init__(self, driver: D) -> None:
        super().__init__(driver)
        self.messages = RunMessages(driver)

    @listing
    def list(self, /, **params: Any) -> Listed[Json]:
        """All runs, the newest first; of one agent with `agent_id`."""
        # 0.16.8 answers to `after` what comes before, and to `before` what comes after, whatever the order
        return Listed("/v1/runs/", params, by="before")

    @endpoint
    def retrieve(self, /, run_id: str) -> Call[Json]:
        """One run."""
        return _read(f"/v1/runs/{run_id}")

    @endpoint
    def wait(self, /, run_id: str, within: float = 600.0) -> Call[Json]:
        """Wait until a run has ended. Unavailable after `within` seconds."""
        return Call("GET", f"/v1/runs/{run_id}", shape=dict, until=_has_ended, within=within)

    @streaming
    def stream(self, /, run_id: str, starting_after: int = 0) -> Reading:
        """The pieces of a background run after a number, also while it goes on."""
        call = resumed(run_id, starting_after)
        return Reading(call, background=True, run_id=run_id, starting_after=starting_after)

    @endpoint
    def delete(self, /, run_id: str) -> Call[None]:
        """Delete a run."""
        return _done("DELETE", f"/v1/runs/{run_id}")


def _has_ended(run: Json) -> bool:
    return run.get("status") in ENDED


class Models(Resource[D]):
    """Models."""

    @endpoint
    def list(self, /) -> Call[Objects]:
        """The models that agents can use."""
        return Call("GET", "/v1/models/", shape=list)

    @endpoint
    def embeddings(self, /) -> Call[Objects]:
        """The models that embed texts."""
        return Call("GET", "/v1/models/embedding", shape=list)


# --- files -----------------------------------------------------------------------------------------------------------


def content_of(file: File) -> bytes:
    """The bytes of a file. They are read at once, so that the request can be sent again."""
    if isinstance(file, bytes):
        return file
    if isinstance(file, str | os.PathLike):
        return Path(file).read_bytes()
    content = file.read()
    return content.encode() if isinstance(content, str) else bytes(content)


def name_of(file: File) -> str | None:
    """The name of a file; None if it has none."""
    path = file if isinstance(file, str | os.PathLike) else getattr(file, "name", None)
    return Path(path).name if isinstance(path, str | os.PathLike) else None
