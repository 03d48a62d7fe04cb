"""How connections are kept and encrypted."""

from __future__ import annotations

import ssl

from lettaform.client.origin import Origin
from lettaform.client.pools import options, trusted


def test_certificates_are_read_once_and_only_for_https() -> None:
    plain, encrypted = options(Origin("http://x")), options(Origin("https://x"))
    assert plain["verify"] is False
    assert encrypted["verify"] is trusted()
    assert isinstance(encrypted["verify"], ssl.SSLContext)


def test_connections_are_dropped_before_the_server_closes_them() -> None:
    limits = options(Origin("http://x"), connections=9)["limits"]
    assert (limits.max_connections, limits.keepalive_expiry) == (9, 4.0)
