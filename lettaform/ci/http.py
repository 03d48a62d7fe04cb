"""A request to the API of a code host, to its answer as JSON, or to LettaformError."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from lettaform.errors import LettaformError

PAGE = 100
"""Items of a page: the maximum of GitHub and GitLab."""

_ATTEMPTS = 4
_BUSY = frozenset({429, 500, 502, 503, 504})
_REFUSED = frozenset({401, 403})


class Api:
    """An API with a token. `name`: of the code host, for people; `permission`: what to do if it refuses."""

    def __init__(self, name: str, url: str, headers: Mapping[str, str], permission: str) -> None:
        self.name, self.permission = name, permission
        self.client = httpx.Client(base_url=url.rstrip("/"), headers=dict(headers), timeout=30, follow_redirects=True)

    def pages(self, path: str, **params: Any) -> Iterator[Any]:
        """The items of all pages of a list."""
        number = 1
        while True:
            items = self.send("GET", path, params={**params, "per_page": PAGE, "page": number})
            yield from items
            if len(items) < PAGE:
                return
            number += 1

    def send(self, method: str, path: str, *, may_refuse: bool = False, **words: Any) -> Any:
        """What the API answers. A request that creates something is not sent twice.

        may_refuse  return None if the token may not send the request
        """
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS or method == "POST"
            try:
                answer = self.client.request(method, path, **words)
            except httpx.HTTPError as error:
                if last:
                    message = f"{self.name} does not answer: {method} {path}: {type(error).__name__}"
                    raise LettaformError(message, "run the job again") from error
            else:
                if may_refuse and answer.status_code in _REFUSED:
                    return None
                if last or answer.status_code not in _BUSY:
                    return self._read(method, path, answer)
            time.sleep(2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def _read(self, method: str, path: str, answer: httpx.Response) -> Any:
        if answer.is_success:
            try:
                return answer.json()
            except ValueError as error:
                raise LettaformError(f"{self.name} answers {method} {path} with no JSON") from error
        hint = self.permission if answer.status_code in _REFUSED else None
        raise LettaformError(f"{self.name} answers {method} {path} with {answer.status_code}: {_said(answer)}", hint)


def _said(answer: httpx.Response) -> str:
    """The message of an answer, as one line."""
    try:
        said = answer.json()
    except ValueError:
        said = answer.text
    if isinstance(said, dict):
        said = said.get("message") or said.get("error") or said
    return " ".join(str(said).split())[:300] or answer.reason_phrase
