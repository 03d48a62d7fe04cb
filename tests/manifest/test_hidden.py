"""Secrets of live objects become variables; equal ones become one."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.manifest.emit_text import Raw
from lettaform.manifest.hidden import Hidden
from lettaform.manifest.secret_shapes import TOKENS
from tests.manifest.test_secret_shapes import KEYS

KEY = "sk-4f9a8c7d6e5b4a3f2e1d"


def test_equal_secrets_of_one_name_have_one_variable() -> None:
    hidden = Hidden()
    first = hidden.field("secrets", {"API_KEY": KEY}, "boss", "agents.boss: secrets")
    assert first == {"API_KEY": Raw("${var.api_key}")}
    assert hidden.field("secrets", {"API_KEY": KEY}, "worker", "agents.worker: secrets") == first
    other = hidden.field("secrets", {"API_KEY": "other"}, "worker", "agents.worker: secrets")
    assert other == {"API_KEY": Raw("${var.worker_api_key}")}
    assert hidden.values == {"api_key": KEY, "worker_api_key": "other"}
    assert hidden.about["worker_api_key"] == "agents.worker: secrets.API_KEY"
    assert KEY not in repr(hidden)


def test_names_of_variables_are_valid() -> None:
    hidden = Hidden()
    for name in ("X-Api-Key", "1", "日本", "a.b"):
        hidden.variable(name, "docs", f"value of {name}", "")
    assert list(hidden.values) == ["x_api_key", "secret_1", "secret", "a_b"]


@pytest.mark.parametrize(
    ("value", "written", "secrets"),
    [
        ("https://a.example/mcp", "https://a.example/mcp", []),
        ("https://a.example/mcp?page=1", "https://a.example/mcp?page=1", []),
        (f"https://a.example/mcp?key={KEY}&page=1", Raw("https://a.example/mcp?key=${var.docs_url}&page=1"), [KEY]),
        ("https://ann:pw@a.example", Raw("https://ann:${var.docs_url}@a.example"), ["pw"]),
        (
            "https://a.example/?token=x&api_key=y",
            Raw("https://a.example/?token=${var.docs_url}&api_key=${var.docs_url_2}"),
            ["x", "y"],
        ),
        (f"https://a.example/{KEY}/mcp", Raw("https://a.example/${var.docs_url}/mcp"), [KEY]),
        (["serve", "--api-key", "x"], ["serve", "--api-key", Raw("${var.api_key}")], ["x"]),
        (["--token=x", "--port=1"], [Raw("--token=${var.docs_argument}"), "--port=1"], ["x"]),
        (["--verbose", "--token", "--port"], ["--verbose", "--token", "--port"], []),
    ],
)
def test_texts_that_may_contain_a_secret(value: Any, written: Any, secrets: list[str]) -> None:
    hidden = Hidden()
    found = hidden.inside("url", value, "docs", "mcp_servers.docs: url")
    assert found == written
    assert list(hidden.values.values()) == secrets


@pytest.mark.parametrize("name", TOKENS)
def test_the_whole_key_of_a_known_service_becomes_a_variable(name: str) -> None:
    hidden = Hidden()
    assert hidden.inside("args", ["serve", f"x {KEYS[name]}, y"], "docs", "") == [
        "serve",
        Raw("x ${var.docs_argument}, y"),
    ]
    assert list(hidden.values.values()) == [KEYS[name]]
