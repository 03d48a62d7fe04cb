"""Errors: status, detail, and what a failed request leaves behind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.server_under_test import Server, refusal, unknown_id

MISSING = "not found with id='['<{kind}>']', access level in ['read']"
REFUSED: list[tuple[str, str, Any, int, Any]] = [
    ("GET", "/v1/nothing/", None, 404, "Not Found"),
    ("PUT", "/v1/blocks/", {}, 405, "Method Not Allowed"),
    ("GET", "/v1/blocks/?limit=x", None, 422, [("int_parsing", "'query', 'limit'")]),
    ("GET", "/v1/blocks/?order=up", None, 422, [("literal_error", "'query', 'order'")]),
    ("GET", "/v1/agents/?include=agent.nope", None, 422, [("literal_error", "'query', 'include', 0")]),
    ("GET", "/v1/blocks/?limit=-1", None, 500, "A database error occurred."),
    ("GET", "/v1/agents/?limit=-1", None, 500, "A database error occurred."),
    ("GET", "/v1/blocks/block-x", None, 422, [("string_pattern_mismatch", "'path', 'block_id'")]),
    ("GET", "/v1/agents/x", None, 422, [("string_pattern_mismatch", "'path', 'agent_id'")]),
    ("GET", f"/v1/blocks/{unknown_id('block')}", None, 404, "Block with id '<block>' not found"),
    ("PATCH", f"/v1/blocks/{unknown_id('block')}", {"value": "x"}, 404, f"Block {MISSING.format(kind='block')}"),
    ("DELETE", f"/v1/blocks/{unknown_id('block')}", None, 404, f"Block {MISSING.format(kind='block')}"),
    ("POST", "/v1/blocks/", {"value": "v"}, 422, [("missing", "'body', 'label'")]),
    ("POST", "/v1/blocks/", {"label": None}, 422, [("string_type", "'body', 'label'")]),
    ("POST", "/v1/blocks/", {"label": "l", "limit": None}, 422, [("int_type", "'body', 'limit'")]),
    ("POST", "/v1/blocks/", {"label": "l", "limit": 2**31}, 500, "A database error occurred."),
    ("POST", "/v1/blocks/", [], 422, [("model_attributes_type", "'body',")]),
    ("GET", f"/v1/agents/{unknown_id('agent')}", None, 404, "Agent with ID <agent> not found"),
    ("PATCH", f"/v1/agents/{unknown_id('agent')}", {"name": "x"}, 404, f"Agent {MISSING.format(kind='agent')}"),
    ("DELETE", f"/v1/agents/{unknown_id('agent')}", None, 404, f"Agent {MISSING.format(kind='agent')}"),
    ("POST", f"/v1/agents/{unknown_id('agent')}/recompile", None, 404, "Agent with ID <agent> not found"),
    (
        *("GET", f"/v1/agents/{unknown_id('agent')}/export", None, 500),
        "Export failed: The following agent IDs were not found: ['<agent>']",
    ),
    ("PATCH", f"/v1/agents/{unknown_id('agent')}/tools/attach/{unknown_id('tool')}", None, 404, "Agent not found"),
    ("GET", f"/v1/tools/{unknown_id('tool')}", None, 404, f"Tool {MISSING.format(kind='tool')}"),
    ("PATCH", f"/v1/tools/{unknown_id('tool')}", {"tags": []}, 404, f"Tool {MISSING.format(kind='tool')}"),
    ("DELETE", f"/v1/tools/{unknown_id('tool')}", None, 400, "Tool with id <tool> not found."),
    ("PUT", "/v1/tools/", {}, 422, [("missing", "'body', 'source_code'")]),
    (
        *("PUT", "/v1/tools/", {"source_code": "x=1", "name": "x"}, 422),
        [("extra_forbidden", "'body', 'name'")],
    ),
    (
        *("PUT", "/v1/tools/", {"source_code": "x=1", "return_char_limit": 0}, 422),
        [("greater_than_equal", "'body', 'return_char_limit'")],
    ),
    ("PUT", "/v1/tools/", {"source_code": "x", "source_type": "typescript"}, 422, [("value_error", "'body',")]),
    ("GET", f"/v1/identities/{unknown_id('identity')}", None, 404, f"Identity {MISSING.format(kind='identity')}"),
    ("DELETE", f"/v1/identities/{unknown_id('identity')}", None, 404, f"Identity {MISSING.format(kind='identity')}"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "detail"), REFUSED, ids=lambda value: str(value)[:40])
def test_invalid_requests_are_refused(
    server: Server, method: str, path: str, body: Any, status: int, detail: Any
) -> None:
    assert refusal(server.ask(method, path, body)) == (status, detail)


INVALID_AGENTS: list[tuple[dict[str, Any], int, Any]] = [
    ({"model": None}, 400, "INVALID_ARGUMENT: Must specify either model or llm_config in request"),
    ({"model": "noslash"}, 400, "INVALID_ARGUMENT: The model handle should be in the format provider/model-name"),
    ({"model": "no/such"}, 404, "NOT_FOUND: Handle no/such not found, must be one of []"),
    ({"embedding": "no/such"}, 400, "INVALID_ARGUMENT: Embedding model no/such not found"),
    ({"embedding": "noslash"}, 422, [("value_error", "'body', 'embedding'")]),
    ({"tool_ids": [unknown_id("tool")]}, 400, "Tools not found by id:   {'<tool>'}"),
    ({"tool_ids": ["short"]}, 422, [("string_too_short", "'body', 'tool_ids', 0")]),
    ({"tools": ["conf_no_such"]}, 400, "Tools not found by name: {'conf_no_such'}"),
    ({"tags": "x"}, 422, [("list_type", "'body', 'tags'")]),
    ({"secrets": {"A": 1}}, 422, [("string_type", "'body', 'secrets', 'A'")]),
    ({"agent_type": "nope"}, 422, [("enum", "'body', 'agent_type'")]),
    ({"agent_type": "voice_convo_agent"}, 422, [("value_error", "'body',")]),
    ({"tool_rules": [{"type": "nope"}]}, 422, [("union_tag_invalid", "'body', 'tool_rules', 0")]),
    ({"tool_rules": [{"type": "exit_loop"}]}, 422, [("missing", "'body', 'tool_rules', 0, 'exit_loop', 'tool_name'")]),
    ({"model_settings": {"temperature": 1}}, 422, [("union_tag_not_found", "'body', 'model_settings'")]),
    ({"timezone": "No/Where"}, 500, "An unknown error occurred"),
    ({"system": "a\0b"}, 500, "A database error occurred."),
    ({"max_files_open": 2000}, 400, "INVALID_ARGUMENT: max_files_open cannot exceed 1000. Got: 2000"),
    (
        *({"max_reasoning_tokens": 10}, 400),
        "INVALID_ARGUMENT: Max reasoning tokens (10) must be less than max tokens (None)",
    ),
    (
        {"identity_ids": [unknown_id("identity")]},
        409,
        "(sqlalchemy.dialects.postgresql.asyncpg.IntegrityError) "
        "<class 'asyncpg.exceptions.ForeignKeyViolationError'>: insert or update on table \"identities_agents\" "
        'violates foreign key constraint "identities_agents_identity_id_fkey"\n'
        'DETAIL:  Key (identity_id)=(<identity>) is not present in table "identities".',
    ),
]


@pytest.mark.parametrize(("fields", "status", "detail"), INVALID_AGENTS, ids=lambda value: str(value)[:40])
def test_invalid_agent_is_refused(server: Server, fields: dict[str, Any], status: int, detail: Any) -> None:
    defaults = {"name": server.tag, "model": server.model, "system": "S", "include_base_tools": False}
    assert refusal(server.ask("POST", "/v1/agents/", {**defaults, **fields})) == (status, detail)


def test_agent_name_invalid_as_file_name_is_500(server: Server) -> None:
    status, detail = refusal(server.ask("POST", "/v1/agents/", {"name": "a/b", "model": server.model}))
    assert status == 500
    assert detail.startswith("Export failed: Agent name 'a/b' contains invalid characters.")


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"tool_ids": [unknown_id("tool")]}, 1),
        ({"tools": ["conf_no_such"]}, 1),
        ({"identity_ids": [unknown_id("identity")]}, 1),
        ({"timezone": "No/Where"}, 1),
        ({"model": "no/such"}, 0),
        ({"embedding": "no/such"}, 0),
        ({"tool_rules": [{"type": "nope"}]}, 0),
    ],
    ids=str,
)
def test_failed_agent_create_leaves_inline_blocks(server: Server, fields: dict[str, Any], left: int) -> None:
    block = {"label": "l", "value": "v", "tags": [server.tag]}
    body = {"name": server.tag, "model": server.model, "memory_blocks": [block], **fields}
    assert server.ask("POST", "/v1/agents/", body).status_code >= 400
    assert len(server.get("/v1/blocks/", tags=server.tag)) == left


def test_422_echoes_request_body(server: Server) -> None:
    answer = server.ask("POST", "/v1/agents/", {"agent_type": "voice_convo_agent", "secrets": {"A": "hush-hush"}})
    assert answer.status_code == 422
    assert "hush-hush" in answer.json()["detail"]


def test_invalid_id_in_path_is_refused_with_example(server: Server) -> None:
    assert server.ask("GET", "/v1/tools/x").json()["examples"] == ["tool-123e4567-e89b-42d3-8456-426614174000"]


@pytest.mark.parametrize("section", ["agents", "blocks", "tools", "identities"])
def test_collection_without_trailing_slash_redirects(server: Server, section: str) -> None:
    answer = server.client.get(f"/v1/{section}", follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["location"].endswith(f"/v1/{section}/")


def test_health_answers_version(server: Server) -> None:
    assert server.get("/v1/health/") == {"version": "0.16.8", "status": "ok"}


def test_models_are_listed_by_handle(server: Server) -> None:
    assert server.model in [model["handle"] for model in server.get("/v1/models/")]
    assert server.embedding in [model["handle"] for model in server.get("/v1/models/embedding")]
