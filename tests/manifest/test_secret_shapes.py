"""Secrets in texts: known values and shapes of keys, and texts that only resemble them."""

from __future__ import annotations

import time

import pytest

from lettaform.manifest.secret_shapes import SHAPES, find

LETTERS = "Zk3fQ9sLw2Xv7Tn5Rb8Yd4Gh6Jm1Pc0AeUiOoEyWqStD"
"""Parts of keys: the tests contain no whole key, which others would take for a leaked one."""
KEYS = {
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE",
    "an AWS access key": "AKIA" + LETTERS.upper()[:16],
    "an AWS secret key": f"aws_secret_access_key = {LETTERS[:40]}",
    "a GitHub token": "ghp_" + LETTERS[:36],
    "a GitLab token": "glpat-" + LETTERS[:20],
    "a Slack token": "xoxb-" + "1234567890-" + LETTERS[:12],
    "a Slack webhook": "https://hooks.slack.com/" + f"services/T0001/B0001/{LETTERS[:24]}",
    "a Stripe key": "sk_live_" + LETTERS[:24],
    "an API key (`sk-…`)": "sk-proj-" + LETTERS[:40],
    "a Google API key": "AIza" + LETTERS[:35],
    "a Hugging Face token": "hf_" + LETTERS[:34],
    "an npm token": "npm_" + LETTERS[:36],
    "a PyPI token": "pypi-" + LETTERS + LETTERS,
    "a SendGrid key": f"SG.{LETTERS[:22]}.{LETTERS[:43]}",
    "a JSON Web Token": f"eyJ{LETTERS[:20]}.eyJ{LETTERS[:30]}.{LETTERS[:43]}",
    "a bearer token": f"Authorization: Bearer {LETTERS[:32]}",
    "a password in a URL": "postgres://ada:" + "hunter22@db.example.com/x",
    "a password or key": "the password is " + "correct-h0rse-battery",
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_found_with_its_line_and_without_its_text(name: str) -> None:
    found = find(f"Her name is Ada.\n\nShe said: {KEYS[name]} (remember it)", {})
    assert found is not None
    assert (found.what, found.line) == (f"what looks like {name}", 3)
    assert LETTERS[:8] not in found.what


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The bearer of this letter is a friend of the house.",
        "Ask for the password, and never write it down. Tokens: 12000 of 16000.",
        "sk-something-without-any-digit-at-all",
        "The secret is that nobody knows.",
        "https://example.com:8283/v1/agents?x=a@b.c and mailto:ada@example.com",
        "api_key: ${env.KEY}",
        "agent-8c1745a7-9a6a-4f92-8ca7-4147f6be1f72",
        "sha256 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "She likes eyJust and ghp_short and AKIA.",
        "token limit: 128000",
    ],
)
def test_texts_without_a_secret_are_not_refused(text: str) -> None:
    assert find(text, {}) is None


def test_a_key_that_the_manifest_has_already_is_no_finding() -> None:
    key, other = KEYS["a GitHub token"], KEYS["a GitLab token"]
    assert find(f"as in {key}", {}, f"such as {key}") is None
    assert find(f"as in {key} or {other}", {}, f"such as {key}") is not None


@pytest.mark.parametrize("text", ["it is pa ss/w: known", "url?k=pa%20ss%2Fw", " pa ss/w\n"])
def test_a_known_value_is_found_also_in_a_url_and_where_the_manifest_has_it(text: str) -> None:
    found = find(f"one\n{text}", {"pa ss/w": "`secrets` of agents.a"}, text)
    assert found == ("the value of `secrets` of agents.a", 2 + text.startswith("\n"))


def test_a_known_value_with_spaces_around_it_is_found_without_them() -> None:
    assert find("it is hunter22", {"hunter22\n": "x"}) is not None


def test_a_short_known_value_is_a_word_of_its_own() -> None:
    assert find("the sun construed it", {"true": "x"}) is None
    assert find("it is\ntrue.", {"true": "x"}) == ("the value of x", 2)
    assert find("a-hunter2222-b", {"hunter222": "x"}) is not None


def test_known_values_that_are_too_short_are_not_looked_for() -> None:
    assert find("abc", {"abc": "x", "": "y"}) is None


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "password " * 20_000, "eyJ" * 60_000, "aws key " * 20_000, "://" * 60_000]
)
def test_long_texts_take_little_time(text: str) -> None:
    start = time.perf_counter()
    find(text, {})
    assert time.perf_counter() - start < 5
