"""What an answer does not contain of a Step, and the fields that a refusal is about."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.address import Address
from lettaform.backend.v1 import verify
from lettaform.errors import NotStored, Problem, ServerError
from lettaform.kinds import kinds
from lettaform.model import Create, Update
from lettaform.values import Patch, Ref, Secret

AGENT, BLOCK = Address.of("agents", "a"), Address.of("blocks", "b")
PERSONA = {"label": "persona", "value": "I am."}
LIVE: dict[str, dict[str, Any]] = {
    "block": {"id": "block-1", "label": "b", "value": "v", "tags": ["theirs"], "metadata": {"a": 1}},
    "agent": {
        "id": "agent-1",
        "name": "a",
        "model_settings": {"provider_type": "openai", "temperature": 0.7, "reasoning": {"reasoning_effort": "high"}},
        "llm_config": {"handle": "openai/x", "max_tokens": 50},
        "tool_rules": [
            {"type": "exit_loop", "tool_name": "x", "prompt_template": None},
            {"type": "requires_approval", "tool_name": "y"},
        ],
        "secrets": [{"key": "A", "value": "‹encrypted›"}],
        "tools": [{"id": "tool-1"}],
        "tags": ["t"],
        "blocks": [{"id": "block-2", **PERSONA}],
    },
    "tool": {"id": "tool-1", "name": "t", "source_code": "def t(): ...", "pip_requirements": [{"name": "x"}]},
    "identity": {"id": "identity-1", "name": "i", "properties": [{"key": "a", "value": 1}]},
    "mcp_server": {"id": "mcp_server-1", "server_name": "m", "custom_headers": {"X": "1"}, "auth_token": None},
    "provider": {"id": "provider-1", "name": "p", "api_key_enc": "‹encrypted›"},
}


def answer(ref: Ref) -> Any:
    return {BLOCK: "block-1"}[ref.address]


@pytest.mark.parametrize(
    ("kind", "fields", "lost"),
    [
        ("block", {"value": "v"}, []),
        ("block", {"value": "new"}, ["value"]),
        ("block", {"description": ""}, []),
        ("block", {"tags": ["theirs", "mine"]}, ["tags"]),
        ("block", {"tags": Patch(put=("mine",))}, ["tags"]),
        ("block", {"tags": Patch(put=("theirs",))}, []),
        ("block", {"tags": Patch(drop=("theirs",))}, ["tags"]),
        ("block", {"metadata": {"a": 1, "b": 2}}, ["metadata.b"]),
        ("block", {"metadata": Patch(entries=(("a", 2),))}, ["metadata.a"]),
        ("block", {"metadata": Patch(entries=(), drop=("a",))}, ["metadata.a"]),
        ("agent", {"model_settings": {"provider_type": "openai", "temperature": 0.7}}, []),
        (
            "agent",
            {"model_settings": {"provider_type": "zai", "temprature": 1}},
            ["model_settings.provider_type", "model_settings.temprature"],
        ),
        ("agent", {"model_settings": Patch(entries=(("strict", True),))}, ["model_settings.strict"]),
        ("agent", {"model_settings": {"reasoning": {"reasoning_effort": "low"}}}, ["model_settings.reasoning"]),
        ("agent", {"max_tokens": 60}, ["max_tokens"]),
        ("agent", {"tool_rules": [{"type": "exit_loop", "tool_name": "x"}]}, []),
        ("agent", {"tool_rules": [{"type": "exit_loop", "tool_name": "z"}]}, ["tool_rules"]),
        ("agent", {"tools": ["tool-1"], "blocks": ["block-2"]}, []),
        ("agent", {"tools": ["tool-1", "tool-2"], "blocks": [Ref(BLOCK)]}, ["tools", "blocks"]),
        ("agent", {"secrets": {"A": Secret("x", "s3cret"), "B": Secret("x", "s3cret")}}, ["secrets.B"]),
        ("agent", {"include_base_tools": False, "reasoning": True}, []),
        ("tool", {"pip_requirements": [{"name": "x", "version": None}]}, []),
        ("tool", {"pip_requirements": [{"name": "x", "version": "1"}]}, ["pip_requirements"]),
        ("identity", {"properties": {"a": 1, "b": 2}}, ["properties.b"]),
        ("mcp_server", {"headers": {"X": "1", "Y": "2"}, "token": "t"}, ["headers.Y", "token"]),
        ("provider", {"api_key": "k", "access_key": "k"}, ["access_key"]),
    ],
)
def test_values_that_the_answer_does_not_contain(kind: str, fields: dict[str, Any], lost: list[str]) -> None:
    assert verify.not_stored(kind, fields, LIVE[kind], answer) == lost


@pytest.mark.parametrize("kind", sorted(name for name, kind in kinds().items() if not kind.requests.below))
def test_every_field_that_is_written_and_read_is_compared(kind: str) -> None:
    """Or its members are attached one at a time, after which they are compared."""
    empty = {"id": f"{kind}-1", "agent_id": "agent-1"}
    for line in kinds()[kind].attrs().values():
        if line.write and line.read and not line.create_only:
            items = [{"name": "x"}] if line.name.endswith("requirements") else ["x"]
            sent = {"x": "y"} if line.partial else items if line.additive or line.unordered else "x"
            assert verify.not_stored(kind, {line.name: sent}, empty, answer), line.name


def test_blocks_that_were_not_created_with_their_agent_are_named() -> None:
    parts = {"persona": PERSONA, "human": {"label": "human", "value": "h"}}
    step = Create("a", AGENT, "agent", fields={"name": "a", "tags": ["u"]}, parts=parts)
    with pytest.raises(NotStored) as caught:
        verify.check_created(step, LIVE["agent"], answer)
    assert [(each.address, each.field) for each in caught.value.problems] == [
        ("agents.a", "tags"),
        ("agents.a.memory.human", None),
    ]
    changed = Create("a", AGENT, "agent", fields={}, parts={"persona": {**PERSONA, "value": "I was.", "limit": 5}})
    with pytest.raises(NotStored) as caught:
        verify.check_created(changed, LIVE["agent"], answer)
    own = "agents.a.memory.persona"
    assert [(each.address, each.field) for each in caught.value.problems] == [(own, "value"), (own, "limit")]


STEP = Create(
    "a",
    AGENT,
    "agent",
    fields={
        "model_settings": {"provider_type": "openai", "reasoning": {"reasoning_effort": "lowest"}},
        "tool_rules": [{"type": "run_first", "tool_name": "x", "args": 5}],
        "initial_message_sequence": [{"role": "user", "content": [1]}],
        "context_window": 5,
    },
    parts={"human": {"label": "human"}, "persona": {"label": "persona", "limit": 5}},
)


@pytest.mark.parametrize(
    ("property", "address", "field"),
    [
        (
            "body.model_settings.openai.reasoning.reasoning_effort",
            "agents.a",
            "model_settings.reasoning.reasoning_effort",
        ),
        ("body.tool_rules.0.run_first.args", "agents.a", "tool_rules.0.args"),
        ("body.tool_rules.0", "agents.a", "tool_rules.0"),
        ("body.initial_message_sequence.0.content.str", "agents.a", "initial_message_sequence.0.content"),
        ("body.context_window_limit", "agents.a", "context_window"),
        ("body.memory_blocks.1.limit", "agents.a.memory.persona", "limit"),
        ("body.nothing", "agents.a", None),
    ],
)
def test_a_refusal_names_the_field_of_the_manifest(property: str, address: str, field: str | None) -> None:
    problem = Problem("no", field=property)
    error = ServerError("POST /v1/agents/: 422 no", status=422, words="no", problems=[problem, problem])
    refused = verify.refused(STEP, error)
    assert refused.problems == (Problem("no", address=address, field=field),)
    assert (refused.status, refused.may_pass) == (422, False)


def test_a_refused_change_of_a_part_of_a_map_has_its_path() -> None:
    fields = {"args": ["x"], "headers": Patch(entries=(("X", 1),))}
    step = Update("m", Address.of("mcp_servers", "m"), "mcp_server", id="mcp_server-1", fields=fields)
    problems = [Problem("no", field=f"body.config.sse.{each}") for each in ("args.0", "custom_headers.X.str")]
    found = verify.refused(step, ServerError("", status=422, problems=problems)).problems
    assert [each.field for each in found] == ["args.0", "headers.X"]
