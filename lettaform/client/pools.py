"""How connections to a server are kept and encrypted: options of an httpx client, sync or async."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any

import httpx

from lettaform.client.origin import Origin

IDLE = 4.0
"""Seconds that an idle connection is kept. 0.16.8 closes it after 5 s."""


def options(origin: Origin, connections: int | None = None) -> dict[str, Any]:
    """The options of a pool. `connections`: the most at the same time; None: as many as requests."""
    # redirects are not followed, so an http address never leads to a certificate
    verify: ssl.SSLContext | bool = trusted() if origin.is_encrypted else False
    return {"verify": verify, "limits": httpx.Limits(max_connections=connections, keepalive_expiry=IDLE)}


@cache
def trusted() -> ssl.SSLContext:
    """The certificates that every pool trusts. Reading them takes 20 to 70 ms."""
    return httpx.create_ssl_context()
