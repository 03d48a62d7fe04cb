"""`server`: the stand-in, then a real server. The fixture that starts the real server belongs to tests/live."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.conformance.server_under_test import Server
from tests.live.conftest import Letta
from tests.live.conftest import letta as letta
from tests.live.fleet import raw_client
from tests.standin import StandIn

_AGENT = {"User-Agent": "conformance/1"}


def stand_in() -> Server:
    """A new stand-in."""
    client = httpx.Client(transport=StandIn(), base_url="http://stand.in", headers=_AGENT)
    return Server(client, "openai-proxy/echo", "openai/text-embedding-3-small")


def real(letta: Letta) -> Server:
    """The real server; objects get names unique to the test."""
    # 0.16.8 closes the connection after an unhandled error, and not always at once
    client = raw_client(letta.url, letta.password, Connection="close", **_AGENT)
    return Server(client, letta.model, letta.embedding)


@pytest.fixture(params=["stand-in", pytest.param("real", marks=pytest.mark.live)])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    face = stand_in() if request.param == "stand-in" else real(request.getfixturevalue("letta"))
    with face:
        yield face
