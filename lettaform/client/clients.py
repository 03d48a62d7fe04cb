"""`Client` and `AsyncClient`: a server, the options of its requests, and its resources."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import copy
from typing import Any, Generic, TypedDict, TypeVar, Unpack

import httpx

from lettaform.client import aio, pools, resources, sync
from lettaform.client.aio import Async, AsyncRaw
from lettaform.client.calls import UNSET, Call, Json, Listed, Method, Options
from lettaform.client.origin import Origin, chosen
from lettaform.client.resources import Resource, endpoint, listing, streaming
from lettaform.client.streams import Reading
from lettaform.client.sync import Sync, SyncRaw

D = TypeVar("D")
TIMEOUT = 60.0
"""Seconds for an answer."""


class Given(TypedDict, total=False):
    """What a request can have. `params`: of the query; `files`: field to name and content, with those of `form`."""

    body: Any
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    timeout: Any
    max_retries: int
    files: Mapping[str, Any]
    form: Mapping[str, str]


class Root(Resource[D], Generic[D]):
    """The resources of a server, and requests to any path of its API."""

    def __init__(self, driver: D) -> None:
        super().__init__(driver)
        self.agents = resources.Agents(driver)
        self.archives = resources.Archives(driver)
        self.blocks = resources.Blocks(driver)
        self.conversations = resources.Conversations(driver)
        self.folders = resources.Folders(driver)
        self.groups = resources.Groups(driver)
        self.identities = resources.Identities(driver)
        self.mcp_servers = resources.McpServers(driver)
        self.models = resources.Models(driver)
        self.providers = resources.Providers(driver)
        self.runs = resources.Runs(driver)
        self.tools = resources.Tools(driver)

    @endpoint
    def get(self, /, path: str, **given: Unpack[Given]) -> Call[Any]:
        """GET of a path such as `/v1/tags/`: its JSON."""
        return Call("GET", path, **given)

    @endpoint
    def post(self, /, path: str, **given: Unpack[Given]) -> Call[Any]:
        """POST to a path."""
        return Call("POST", path, **given)

    @endpoint
    def put(self, /, path: str, **given: Unpack[Given]) -> Call[Any]:
        """PUT to a path."""
        return Call("PUT", path, **given)

    @endpoint
    def patch(self, /, path: str, **given: Unpack[Given]) -> Call[Any]:
        """PATCH of a path."""
        return Call("PATCH", path, **given)

    @endpoint
    def delete(self, /, path: str, **given: Unpack[Given]) -> Call[Any]:
        """DELETE of a path."""
        return Call("DELETE", path, **given)

    @listing
    def pages(self, /, path: str, **params: Any) -> Listed[Json]:
        """The items of a list that has pages; `limit` is the number of items per page."""
        return Listed(path, params)

    @streaming
    def stream(self, /, path: str, body: Json, method: Method = "POST") -> Reading:
        """The messages that a path streams; it continues after a cut if `body` has a true `background`."""
        return Reading(Call(method, path, body=body), background=bool(body.get("background")))

    @endpoint
    def health(self, /) -> Call[Json]:
        """The version and status of the server."""
        return Call("GET", "/v1/health/", shape=dict)


def _origin(
    base_url: str | None, api_key: str | None, project: str | None, headers: Mapping[str, str] | None, http: Any
) -> Origin:
    """The server: that of `base_url`, or else of the caller's own HTTP client, or else of the environment."""
    own = str(getattr(http, "base_url", "") or "") or None
    url, token, project = chosen(base_url or own, api_key, project, os.environ)
    return Origin(url, token=token, project=project, headers=headers)


def _options(timeout: Any, max_retries: int, retry_posts: bool, http: Any) -> Options:
    """A client of the caller keeps its own timeouts, unless others are given."""
    own = UNSET if http is not None else TIMEOUT
    return Options(timeout=own if timeout is UNSET else timeout, max_retries=max_retries, retry_posts=retry_posts)


class Client(Root[Sync]):
    """A Letta server, for code that is not async. It can be used by several threads."""

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        project: str | None = None,
        timeout: Any = UNSET,
        max_retries: int = 2,
        retry_posts: bool = False,
        headers: Mapping[str, str] | None = None,
        http_client: Any = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """A server. Raises ServerError if `base_url` is not the address of one.

        base_url     default: LETTA_BASE_URL; Letta Cloud if only a key is given; else port 8283 on this machine
        api_key      default: LETTA_API_KEY, for a server that `base_url` or LETTA_BASE_URL names
        project      of Letta Cloud; default: LETTA_PROJECT
        timeout      seconds, or a Timeout of httpx; default: 60
        max_retries  how often a request is sent again where that is safe; see `lettaform.client.calls`
        retry_posts  also send a POST again that may have been carried out: it may create an object twice
        headers      of each request
        http_client  an `httpx.Client`, or one of httpx2, which stays open; it has its own timeouts and proxies
        transport    of httpx
        """
        origin = _origin(base_url, api_key, project, headers, http_client)
        options = _options(timeout, max_retries, retry_posts, http_client)
        http = http_client or httpx.Client(transport=transport, **pools.options(origin))
        super().__init__(Sync(origin, options, http, owned=http_client is None))

    @property
    def raw(self) -> Root[SyncRaw]:
        """The same methods, which return a RawResponse: status, headers and body."""
        return Root(SyncRaw(self._driver))

    def with_options(
        self,
        *,
        timeout: Any = UNSET,
        max_retries: int | None = None,
        retry_posts: bool | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Client:
        """A client with the same connections and other options; `headers` are added."""
        made = copy(self)
        options = self._driver.options.changed(timeout, max_retries, retry_posts, headers)
        Root.__init__(made, sync.changed(self._driver, options))
        return made

    def close(self) -> None:
        """Close all connections, unless they are the caller's own."""
        self._driver.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(Root[Async]):
    """A Letta server, for async code. It belongs to the event loop in which it is used."""

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        project: str | None = None,
        timeout: Any = UNSET,
        max_retries: int = 2,
        retry_posts: bool = False,
        headers: Mapping[str, str] | None = None,
        http_client: Any = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """A server, with the arguments of Client. `http_client` and `transport` are async ones."""
        origin = _origin(base_url, api_key, project, headers, http_client)
        options = _options(timeout, max_retries, retry_posts, http_client)
        http = http_client or httpx.AsyncClient(transport=transport, **pools.options(origin))
        super().__init__(Async(origin, options, http, owned=http_client is None))

    @property
    def raw(self) -> Root[AsyncRaw]:
        """The same methods, which return a RawResponse: status, headers and body."""
        return Root(AsyncRaw(self._driver))

    def with_options(
        self,
        *,
        timeout: Any = UNSET,
        max_retries: int | None = None,
        retry_posts: bool | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncClient:
        """A client with the same connections and other options; `headers` are added."""
        made = copy(self)
        options = self._driver.options.changed(timeout, max_retries, retry_posts, headers)
        Root.__init__(made, aio.changed(self._driver, options))
        return made

    async def close(self) -> None:
        """Close all connections, unless they are the caller's own."""
        await self._driver.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
