"""What a run, its environment, a saved plan and a manifest say about the server, to its URL, key and project.

The order is: the run's own option, the environment, the saved plan, the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lettaform.client.origin import KEY, PROJECT, URL
from lettaform.client.origin import LOCAL as DEFAULT_URL
from lettaform.errors import Stale
from lettaform.model import Server

_PORTS = {"http": 80, "https": 443}
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Connection:
    """How to reach the server.

    url         the server. Default: LETTA_BASE_URL, the one in the manifest, or port 8283 on this machine
    token       sent as a bearer token, whatever the URL. Default: LETTA_API_KEY if `url` or LETTA_BASE_URL names the
                server; otherwise the `api_key` of the manifest
    project     the project on Letta Cloud. Default: LETTA_PROJECT, or the one in the manifest
    timeout     seconds for one request
    patience    seconds to wait for the lock of the stack; None: no lock is used
    trace       called with one redacted line for each request
    key_option  the option that names the key of this server, in a run that reaches two servers: LETTA_API_KEY then goes
                to it only if LETTA_BASE_URL names it
    """

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    project: str | None = None
    timeout: float = 60.0
    patience: float | None = 60.0
    trace: Callable[[str], None] | None = None
    key_option: str | None = None

    def chosen(self, environ: Mapping[str, str]) -> str | None:
        """The URL that the user has chosen for this run: as an option, or in the environment."""
        return self.url or environ.get(URL) or None

    def gets_key(self, environ: Mapping[str, str]) -> bool:
        """Whether LETTA_API_KEY may be sent to the URL that the user has chosen."""
        chosen = self.chosen(environ)
        if self.key_option is None or chosen is None:
            return chosen is not None
        return _same(chosen, environ.get(URL, ""))


@dataclass(frozen=True)
class Target:
    """The server of a run. `advice`: what to do if it asks for a key that was not sent."""

    url: str
    token: str | None = None
    project: str | None = None
    advice: str | None = None


def target(connection: Connection, manifest: Server, environ: Mapping[str, str], pinned: str | None = None) -> Target:
    """The server of a run. LETTA_API_KEY goes only to a URL that the user has chosen for this run.

    pinned  the URL of a saved plan. Raises Stale if the user has chosen another one.
    """
    chosen = connection.chosen(environ)
    if pinned and chosen and not _same(pinned, chosen):
        source = "--server" if connection.url else URL
        hint = f"`lettaform plan -o FILE` plans for {chosen}; to apply this plan, give `--server {pinned}`"
        raise Stale(f"the plan was made for {pinned}, and {source} names {chosen}", hint)
    url = chosen or pinned or manifest.url or DEFAULT_URL
    token = connection.token or (environ.get(KEY) if connection.gets_key(environ) else None)
    if not token and manifest.api_key and manifest.url and _same(manifest.url, url):
        token = manifest.api_key.value
    project = connection.project or environ.get(PROJECT) or manifest.project
    if connection.key_option:
        advice = f"write `{connection.key_option} NAME`: NAME is the environment variable with the key of {url}"
        return Target(url, token or None, project, advice)
    if token or chosen or not environ.get(KEY):
        return Target(url, token or None, project)
    return Target(url, None, project, _advice(url, manifest))


def is_same_server(one: str, other: str) -> bool:
    """Whether two URLs are spellings of one: other case, the default port, a slash at the end, a name of this machine.

    A server can have several names: what lives on it tells that.
    """
    return _same(one, other) or _parts(one) == _parts(other)


def _parts(url: str) -> tuple[str, int | None, str]:
    """Host, port and path of a URL in one spelling."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # it is no URL: the first request says so
        return url, None, ""
    return "localhost" if host in _THIS_MACHINE else host, port, parts.path.rstrip("/")


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


def _advice(url: str, manifest: Server) -> str:
    """How to send the key of the environment to a URL that nobody has chosen for this run."""
    ways = f"give `--server {url}`, or set {URL}={url}"
    if manifest.url and _same(manifest.url, url):
        ways += f', or write `api_key: "${{env.{KEY}}}"` below `server` in the manifest'
    return f"{KEY} was not sent: it goes only to the URL of --server or {URL}; to send it, {ways}"
