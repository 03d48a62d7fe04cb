"""A server as its clients reach it: its URL, the headers of each request, and the secrets that no text may show."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

from lettaform import __version__
from lettaform.errors import ServerError

LOCAL, CLOUD = "http://localhost:8283", "https://api.letta.com"
URL, KEY, PROJECT = "LETTA_BASE_URL", "LETTA_API_KEY", "LETTA_PROJECT"
"""The variables of the environment."""


class Origin:
    """One server. `url` has no slash at its end. `headers` are sent with each request."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        project: str | None = None,
        advice: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Raises ServerError if `url` is not the address of a server.

        token    sent as a bearer token
        project  the project on Letta Cloud
        advice   the hint where the server asks for a token
        headers  further headers; they replace those of the same name
        """
        self.url = url.rstrip("/")
        self.advice = advice or f"set {KEY} to the server's key or password"
        self.secrets: set[str] = set()
        password = _password(self.url)
        self.hide(*filter(None, (token, password)))
        # an own name: 0.16.8 leaves relations empty in its answers to those that begin with `letta-client/1.`
        self.headers = {"User-Agent": f"lettaform/{__version__}"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        if project:
            self.headers["X-Project"] = project
        self.headers = merged(self.headers, headers)
        if not _is_address(self.url):
            raise ServerError(f"{self.redact(url)!r} is not the address of a server", f"write it as {LOCAL}")

    @property
    def is_encrypted(self) -> bool:
        """Whether the server is reached with https."""
        return self.url.lower().startswith("https:")

    @property
    def shown(self) -> str:
        """The URL as messages show it."""
        return self.redact(self.url)

    def hide(self, *secrets: str) -> None:
        """Redact these texts in errors and traces, also as a part of a URL."""
        for secret in secrets:
            if len(secret) > 3:
                self.secrets |= {secret, quote(secret, safe="")}

    def redact(self, text: str) -> str:
        """`text` without any secret that this client knows."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "‹secret›")
        return text


def merged(headers: Mapping[str, str], more: Mapping[str, str] | None) -> dict[str, str]:
    """Both; those of `more` replace those of the same name, in upper or lower case."""
    if not more:
        return dict(headers)
    replaced = {name.lower() for name in more}
    return {**{name: value for name, value in headers.items() if name.lower() not in replaced}, **more}


def chosen(
    base_url: str | None, api_key: str | None, project: str | None, environ: Mapping[str, str]
) -> tuple[str, str | None, str | None]:
    """URL, key and project of a client. A key without a URL is one of Letta Cloud.

    LETTA_API_KEY goes only to a URL that was chosen: by the caller, or by LETTA_BASE_URL. Otherwise the password of a
    server of one's own could be sent to another one.
    """
    url = base_url or environ.get(URL) or None
    project = project or environ.get(PROJECT) or None
    if url:
        return url, api_key or environ.get(KEY) or None, project
    if api_key:
        return CLOUD, api_key, project
    if environ.get(KEY):
        hint = f"pass `base_url`, or set {URL}; that of Letta Cloud is {CLOUD}"
        raise ServerError(f"{KEY} is set, but nothing says to which server it belongs", hint)
    return LOCAL, None, project


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if it is not a number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and " " not in url


def _password(url: str) -> str | None:
    try:
        password = urlsplit(url).password
    except ValueError:
        return None
    return None if password is None else unquote(password)
