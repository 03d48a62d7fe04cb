"""What a server answers to JSON or to a ServerError; and an exception of an HTTP library to Unavailable."""

from __future__ import annotations

import ast
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from lettaform.client.origin import Origin
from lettaform.errors import Conflict, NotFound, Problem, ServerError, Unauthorized, Unavailable, Unsupported


@dataclass(frozen=True)
class RawResponse:
    """An answer as the server sent it. `headers` are found whatever the case of their names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. ValueError if it is none."""
        return json.loads(self.body)


def read(origin: Origin, method: str, path: str, answer: RawResponse) -> Any:
    """The JSON of an answer, None if it is empty. Raises ServerError if the server refused the request."""
    if not 200 <= answer.status < 300:
        raise failure(origin, method, path, answer)
    if not answer.body:
        return None
    try:
        return answer.json()
    except ValueError:
        hint = "is this the address of a Letta server?"
        where: dict[str, Any] = {"method": method, "path": path, "status": answer.status}
        raise ServerError(f"{origin.shown}{path} answered something that is not JSON", hint, **where) from None


def failure(origin: Origin, method: str, path: str, answer: RawResponse) -> ServerError:
    """The error for an answer that is no success. It holds no secret, and nothing that the server echoes."""
    status = answer.status
    words = origin.redact(_words(answer))
    where: dict[str, Any] = {"method": method, "path": path, "status": status}
    where["body"] = _without_echo(origin, answer)
    if 300 <= status < 400:
        target = origin.redact(answer.headers.get("location", "elsewhere"))
        return ServerError(f"{origin.shown} redirects {path} to {target}", "give the final address", **where)
    message = f"{method} {path}: {status} {words}".strip()
    if status in (401, 403):
        message = f"{origin.shown} does not let us in ({status})"
        return Unauthorized(message, origin.advice, **where, words=words)
    if status == 404 and _is_mcp_server_silent(answer):
        return Unavailable(message, "the MCP server must be running, and reachable from the Letta server", **where)
    if status == 404:
        return NotFound(message, **where, words=words)
    if status == 409:
        return Conflict(message, **where, words=words)
    if status in (405, 501):
        return Unsupported(message, "this server cannot do it", **where, words=words)
    if status in (408, 429) or status >= 500:
        refused = Unavailable(message, "`lettaform dev logs` or the server's log say more", **where, words=words)
        refused.ambiguous = status not in (429, 503)
        refused.retry_after = retry_after(answer)
        return refused
    problems = [replace(each, message=origin.redact(each.message)) for each in _refused(answer)]
    return ServerError(message, **where, words=words, problems=problems)


def retry_after(answer: RawResponse) -> float | None:
    """Seconds that the server asks to wait; None if it asks for none."""
    after = answer.headers.get("retry-after", "")
    return float(after) if after.isdigit() else None


def unexpected(origin: Origin, method: str, path: str, what: str) -> ServerError:
    """The error for an answer that Letta does not give. `what` describes the answer."""
    message = f"{method} {origin.shown}{path} answered {what}"
    hint = "is this the address of a Letta server, and of a version that lettaform supports?"
    return ServerError(message, hint, method=method, path=path)


# --- no answer -------------------------------------------------------------------------------------------------------


def is_of_http(error: BaseException) -> bool:
    """Whether an exception is one of an HTTP library: no answer, or an address that is none."""
    return bool(_names(error) & {"HTTPError", "InvalidURL"}) or isinstance(error, TimeoutError)


def no_answer(origin: Origin, method: str, path: str, error: Exception, within: float | None = None) -> ServerError:
    """The error for a request without a whole answer. `within`: seconds in which an answer was expected.

    `error` is one of httpx, or of a library that names its exceptions as httpx does, such as httpx2.
    """
    where: dict[str, Any] = {"method": method, "path": path}
    names = _names(error)
    if names & {"InvalidURL", "UnsupportedProtocol"}:
        return ServerError(f"{origin.shown!r} is not the address of a server", origin.redact(str(error)), **where)
    if names & {"ConnectError", "ConnectTimeout"}:
        if refused := _no_https(origin, error):
            return Unavailable(*refused, **where)
        hint = "is it running? `lettaform dev up` starts one here; --server or LETTA_BASE_URL name another"
        return Unavailable(f"no server answers at {origin.shown}", hint, **where)
    spent = "in time" if within is None else f"within {within:.0f} s"
    if "PoolTimeout" in names:
        return Unavailable(f"{method} {path}: no connection was free {spent}", **where)
    late = "TimeoutException" in names or isinstance(error, TimeoutError)
    what = f"no answer {spent}" if late else f"the connection broke ({type(error).__name__})"
    lost = Unavailable(f"{method} {origin.shown}{path}: {what}", **where)
    lost.ambiguous, lost.silent = True, late
    return lost


def _names(error: BaseException) -> set[str]:
    return {each.__name__ for each in type(error).__mro__}


def _no_https(origin: Origin, error: BaseException | None) -> tuple[str, str] | None:
    """Message and hint if a connection could not be encrypted."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    url = origin.shown
    if isinstance(error, ssl.SSLCertVerificationError):
        message = f"the certificate of {url} is not trusted: {error.verify_message}"
        return message, "name a file with the certificate of its authority in SSL_CERT_FILE"
    return f"{url} does not answer with https", f"if it has none, write {url.replace('https', 'http', 1)}"


# --- the server's own words ------------------------------------------------------------------------------------------

_DATABASE = re.compile(
    r"(\((sqlalchemy|asyncpg|psycopg|sqlite3)|<class '(asyncpg|psycopg|sqlite3)|\[SQL:).*", re.DOTALL
)
"""The text of the database, which 0.16.8 shows: constraints, the whole row, and the SQL."""
_REFUSED = "the database of the server refused the values"


def _words(answer: RawResponse) -> str:
    """The server's own words, one line, without what it echoes of the request."""
    try:
        body = answer.json()
        detail = body.get("detail") or body.get("error") or ""
    except (ValueError, AttributeError):
        return _phrase(answer.status)
    if answer.status == 422:
        values = (f"{each.field}: {each.message}" for each in _refused(answer))
        return "; ".join(values)[:500] or "the request was not valid"
    if isinstance(detail, Mapping):
        texts = [detail.get("message") or detail.get("code"), detail.get("error")]
        detail = ": ".join(str(each) for each in texts if each)
    return " ".join(_DATABASE.sub(_REFUSED, str(detail)).split())[:500]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _without_echo(origin: Origin, answer: RawResponse) -> Any:
    """The body of a refusal as JSON, or as text: without secrets, and without what the server echoes of the request."""
    if answer.status == 422:
        refused = _refused(answer)
        return {"detail": [{"loc": each.field, "msg": origin.redact(each.message)} for each in refused]}
    text = answer.body[:10_000].decode(errors="replace")
    try:
        return _cleaned(origin, answer.json())
    except (ValueError, RecursionError):
        return origin.redact(text)


def _cleaned(origin: Origin, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {origin.redact(str(key)): _cleaned(origin, each) for key, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(origin, each) for each in value]
    return origin.redact(_DATABASE.sub(_REFUSED, value)) if isinstance(value, str) else value


def _is_mcp_server_silent(answer: RawResponse) -> bool:
    """Whether a 404 is about an MCP server that did not answer: 0.16.8 says so only where tools are listed again."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(detail, Mapping) and detail.get("code") == "MCPServerUnavailable"


def _refused(answer: RawResponse) -> list[Problem]:
    """The values that a 422 refuses, each with its path in the request as `field`; empty if it does not say.

    0.16.8 answers a Python repr that echoes the whole input, secrets included: only places and reasons are kept.
    """
    if answer.status != 422:
        return []
    try:
        detail = answer.json()["detail"]
        items = _literal(detail) if isinstance(detail, str) else detail
        return [Problem(_reason(item["msg"]), field=".".join(map(str, item["loc"]))) for item in items]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError):
        return []


def _literal(text: str) -> Any:
    """The value of a Python repr. Calls in it, as of an exception, are left out: `ctx` may hold one."""
    return ast.literal_eval(re.sub(r"\w+Error\((?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\)", "None", text))


def _reason(message: str) -> str:
    """The reason for a refusal, without names of Python classes."""
    plain = re.sub(r"<\w+\.\w+: ('[^']*')>", r"\1", message)
    return plain.removeprefix("Value error, ")[:300]
