"""Secrets, MCP servers and providers of lettactl: what may be a secret is a variable, and is shown nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lettaform.errors import ManifestError
from lettaform.lettactl.fleet import Fleet, Options, read
from lettaform.manifest.emit_text import Raw
from lettaform.render.problems import error

from .written import AGENT, fleet, left, refused, values

CLEAR = "clear-0815-secret"


def variables(found: Fleet) -> dict[str, str]:
    """Name of each variable to what it needs: an environment variable, or the secret itself."""
    hidden = found.declared.hidden
    return {
        name: f"${hidden.environment[name]}" if name in hidden.environment else hidden.values[name]
        for name in hidden.values
    }


def server(tmp_path: Path, **fields: Any) -> tuple[dict[str, Any], Fleet]:
    found = fleet(
        tmp_path, mcp_servers=[{"name": "docs", "type": "sse", "server_url": "https://d.example.com", **fields}]
    )
    return values(found, "mcp_servers.docs"), found


def test_secrets_of_an_agent_and_of_all(tmp_path: Path) -> None:
    secrets = {"shop_key": {"value": CLEAR}, "BOTH": {"from_env": "OWN"}}
    every = {"BOTH": {"from_env": "EVERY"}, "ALL": {"from_env": "EVERY", "preserve_existing": True}}
    found = fleet(tmp_path, {"secrets": secrets}, **{"global-secrets": every})
    assert values(found)["secrets"] == {
        "BOTH": Raw("${var.own}"),
        "ALL": Raw("${var.every}"),
        "SHOP_KEY": Raw("${var.shop_key}"),
    }
    assert variables(found) == {"every": "$EVERY", "shop_key": CLEAR, "own": "$OWN"}
    assert [what for what, _, _ in left(found)] == ["global-secrets.ALL.preserve_existing"]


@pytest.mark.parametrize(
    ("fields", "expected", "needed"),
    [
        ({"auth_token": CLEAR}, {"token": Raw("${var.docs_token}")}, {"docs_token": CLEAR}),
        ({"auth_token": "Bearer ${A_1}"}, {"token": Raw("Bearer ${var.a_1}")}, {"a_1": "$A_1"}),
        ({"auth_token": "$A", "auth_header": "authorization"}, {"token": Raw("${var.a}")}, {"a": "$A"}),
        ({"auth_token": "$A", "auth_header": "X-Key"}, {"headers": {"X-Key": Raw("${var.a}")}}, {"a": "$A"}),
        (
            {"custom_headers": {"X-Team": CLEAR, "X-Id": 7}},
            {"headers": {"X-Team": Raw("${var.x_team}"), "X-Id": Raw("${var.x_id}")}},
            {"x_team": CLEAR, "x_id": "7"},
        ),
        ({"server_url": "https://${H}/?a=$${b}"}, {"url": Raw("https://${var.h}/?a=$$${b}")}, {"h": "$H"}),
        (
            {"server_url": f"https://d.example.com/?token={CLEAR}"},
            {"url": Raw("https://d.example.com/?token=${var.docs_url}")},
            {"docs_url": CLEAR},
        ),
        (
            {"type": "stdio", "command": "npx", "args": ["-y", "--key", CLEAR], "env": {"PORT": 8080, "ON": True}},
            {
                "command": "npx",
                "args": ["-y", "--key", Raw("${var.key}")],
                "env": {"PORT": Raw("${var.port}"), "ON": Raw("${var.on}")},
            },
            {"key": CLEAR, "port": "8080", "on": "true"},
        ),
        (
            {"type": "stdio", "command": "npx", "args": ["$ROOT", 5]},
            {"command": "npx", "args": [Raw("${var.root}"), "5"]},
            {"root": "$ROOT"},
        ),
    ],
)
def test_an_mcp_server(fields: Any, expected: Any, needed: dict[str, str], tmp_path: Path) -> None:
    found, whole = server(tmp_path, **fields)
    kind = fields.get("type", "sse")
    url = {} if kind == "stdio" or "server_url" in fields else {"url": "https://d.example.com"}
    assert found == {"type": kind, **url, **expected}
    assert variables(whole) == needed


def test_what_lettactl_does_not_send_is_named(tmp_path: Path) -> None:
    _, found = server(tmp_path, type="stdio", command="npx", auth_token=CLEAR)
    reason = "lettactl does not send it to a server with `type: stdio`"
    assert left(found) == [(f"mcp_servers.docs.{key}", reason, None) for key in ("server_url", "auth_token")]


def test_a_provider(tmp_path: Path) -> None:
    fields = {"name": "acme", "provider_type": "openai", "region": "eu", "profile": "p", "refresh": True}
    found = fleet(tmp_path, providers=[{**fields, "api_key": {"from_env": "K"}, "access_key": {"value": CLEAR}}])
    assert values(found, "providers.acme") == {
        "provider_type": "openai",
        "region": "eu",
        "api_key": Raw("${var.k}"),
        "access_key": Raw("${var.acme_access_key}"),
    }
    assert [what for what, _, _ in left(found)] == ["providers.acme.profile", "providers.acme.refresh"]


def test_no_message_and_no_frame_shows_a_secret(tmp_path: Path) -> None:
    """A problem beside a secret has no source lines."""
    content = (
        "agents:\n"
        f"  - name: a\n    llm_config: {{model: a/b}}\n    system_prompt: {{value: '{CLEAR}'}}\n"
        f"    secrets:\n      K: {{value: {CLEAR}}}\n      L: {{from_env: 5}}\n      M: {CLEAR}\n"
        f"    tools: {{a: b}}\n    lettabot: {{channels: {{slack: {{botToken: bot-{CLEAR}}}}}}}\n    tag: [x]\n"
        "mcp_servers:\n"
        f"  - {{name: d, type: sse, custom_headers: {CLEAR}}}\n"
    )
    assert len(refused(tmp_path, content)) == 6
    with pytest.raises(ManifestError) as raised:
        read([tmp_path / "1.yaml"], Options())
    assert CLEAR not in error(raised.value)
    assert CLEAR not in str(raised.value)


def test_names_of_secrets(tmp_path: Path) -> None:
    agent = {**AGENT, "secrets": {"a-b": {"from_env": "X"}}}
    (problem,) = refused(tmp_path, json.dumps({"agents": [agent]}))
    assert problem.endswith("agents.clerk.secrets: `a-b` is not the name of a secret → use letters, digits and `_`")
