"""Connections of the sync client; tests/client/test_clients.py and test_streams.py test the rest in both flavours."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from lettaform.client import Client
from tests.client.closing import Closing


def test_a_connection_is_not_used_again_after_an_unhandled_error() -> None:
    with Closing() as url, Client(base_url=url, max_retries=0) as client:
        for _ in range(5):
            with pytest.raises(Exception, match="500"):
                client.post("/fails")
            assert client.post("/works") == {"ok": 1}


def test_an_error_of_a_transport_of_the_caller_is_not_hidden() -> None:
    class Wrong(httpx.BaseTransport):
        def handle_request(self, request: Any) -> Any:
            raise ZeroDivisionError

    with Client(base_url="http://x", transport=Wrong()) as client, pytest.raises(ZeroDivisionError):
        client.get("/v1/x")
