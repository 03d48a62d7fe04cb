"""Which server, which key, which headers, and what no text shows."""

from __future__ import annotations

import pytest

from lettaform.client.origin import CLOUD, LOCAL, Origin, chosen, merged
from lettaform.errors import ServerError

KEY, URL = {"LETTA_API_KEY": "k3y"}, {"LETTA_BASE_URL": "http://set"}


@pytest.mark.parametrize(
    ("base_url", "api_key", "environ", "url", "token"),
    [
        (None, None, {}, LOCAL, None),
        ("http://own", None, {}, "http://own", None),
        ("http://own", "given", KEY, "http://own", "given"),
        ("http://own", None, KEY | URL, "http://own", "k3y"),
        (None, None, URL, "http://set", None),
        (None, None, KEY | URL, "http://set", "k3y"),
        (None, "given", {}, CLOUD, "given"),
        (None, "given", KEY | URL, "http://set", "given"),
        (None, None, {"LETTA_API_KEY": "", "LETTA_BASE_URL": ""}, LOCAL, None),
    ],
)
def test_the_server_and_its_key(
    base_url: str | None, api_key: str | None, environ: dict[str, str], url: str, token: str | None
) -> None:
    assert chosen(base_url, api_key, None, environ) == (url, token, None)


def test_a_key_alone_in_the_environment_goes_nowhere() -> None:
    with pytest.raises(ServerError, match="nothing says to which server it belongs") as refused:
        chosen(None, None, None, KEY)
    assert refused.value.hint is not None
    assert CLOUD in refused.value.hint


def test_the_project_is_that_of_the_caller_or_of_the_environment() -> None:
    assert chosen(None, None, None, {"LETTA_PROJECT": "set"})[2] == "set"
    assert chosen(None, None, "given", {"LETTA_PROJECT": "set"})[2] == "given"


@pytest.mark.parametrize(
    "url",
    ["", "letta", "localhost:8283", "ftp://x", "http://", "http://x:port", "http://[::1", "http://a b", "http://x\n"],
)
def test_what_is_no_address_of_a_server_is_an_error(url: str) -> None:
    with pytest.raises(ServerError, match="is not the address of a server"):
        Origin(url)


@pytest.mark.parametrize("url", ["http://x", "https://x.y:1/base", "HTTP://X", "http://[::1]:8283", "http://bücher.de"])
def test_addresses_of_servers(url: str) -> None:
    assert Origin(f"{url}/").url == url


def test_headers_are_those_of_the_server_and_further_ones() -> None:
    headers = Origin("http://x", token="t0ken", project="p", headers={"user-agent": "mine", "X-More": "1"}).headers
    assert headers == {"Authorization": "Bearer t0ken", "X-Project": "p", "user-agent": "mine", "X-More": "1"}
    assert Origin("http://x").headers["User-Agent"].startswith("lettaform/")


def test_headers_replace_those_of_the_same_name() -> None:
    assert merged({"A": "1", "b": "2"}, {"B": "3"}) == {"A": "1", "B": "3"}
    assert merged({"A": "1"}, None) == {"A": "1"}


def test_no_text_shows_the_key_or_the_password_of_a_url() -> None:
    origin = Origin("http://user:pass%20word@x", token="t0k/en")
    origin.hide("s3cret", "ab")
    text = origin.redact("t0k/en t0k%2Fen pass word pass%20word s3cret ab")
    assert text == "‹secret› ‹secret› ‹secret› ‹secret› ‹secret› ab"
    assert origin.shown == "http://user:‹secret›@x"
    with pytest.raises(ServerError) as refused:
        Origin("ftp://user:password@x")
    assert "password" not in refused.value.message
