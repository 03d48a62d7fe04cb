"""Model configuration: what PATCH rebuilds, what it keeps, what is answered."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.server_under_test import Server

SHOWN = (
    *("context_window", "max_tokens", "temperature", "reasoning_effort", "strict", "parallel_tool_calls"),
    *("response_format", "enable_reasoner", "put_inner_thoughts_in_kwargs", "max_reasoning_tokens"),
)
BARE: dict[str, Any] = {
    "context_window": 30_000,
    "max_tokens": ...,
    "temperature": 1.0,
    "reasoning_effort": None,
    "strict": False,
    "parallel_tool_calls": False,
    "response_format": None,
    "enable_reasoner": False,
    "put_inner_thoughts_in_kwargs": False,
    "max_reasoning_tokens": 0,
}
# defaults of openai settings
OPENAI = {"temperature": 0.7, "reasoning_effort": "high", "strict": True, "parallel_tool_calls": True}
TUNED = {
    "context_window_limit": 9000,
    "max_tokens": 99,
    "model_settings": {"provider_type": "openai", "temperature": 0.2, "reasoning": {"reasoning_effort": "low"}},
}
TUNED_SHOWN = {
    **BARE,
    **OPENAI,
    "context_window": 9000,
    "max_tokens": 99,
    "temperature": 0.2,
    "reasoning_effort": "low",
}
# PATCH rebuilds the configuration and restores the model's own reasoner flag, which create had cleared
REBUILT = {**BARE, "enable_reasoner": True}


def config(agent: dict[str, Any]) -> dict[str, Any]:
    return {key: agent["llm_config"][key] for key in SHOWN}


def expect(shown: dict[str, Any], default: int) -> dict[str, Any]:
    return {**shown, "max_tokens": default if shown["max_tokens"] is ... else shown["max_tokens"]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, BARE),
        ({"context_window_limit": 200_000, "max_tokens": 5}, {**BARE, "context_window": 200_000, "max_tokens": 5}),
        ({"model_settings": {"provider_type": "openai"}}, {**BARE, **OPENAI}),
        ({"model_settings": {"provider_type": "openai"}, "max_tokens": 5}, {**BARE, **OPENAI, "max_tokens": 5}),
        (
            {"model_settings": {"provider_type": "openai", "max_output_tokens": 77}, "max_tokens": 5},
            {**BARE, **OPENAI, "max_tokens": 77},
        ),
        (
            {"model_settings": {"provider_type": "openai", "parallel_tool_calls": False}, "parallel_tool_calls": True},
            {**BARE, **OPENAI},
        ),
        (
            {"model_settings": {"provider_type": "openai", "reasoning": {}}},
            {**BARE, **OPENAI, "reasoning_effort": "minimal"},
        ),
        ({"model_settings": {"provider_type": "anthropic"}}, {**BARE, "parallel_tool_calls": True}),
        ({"reasoning": True}, BARE),
        ({"max_reasoning_tokens": 10, "max_tokens": 20}, {**BARE, "max_tokens": 20}),
        (TUNED, TUNED_SHOWN),
    ],
    ids=str,
)
def test_create_builds_model_configuration(server: Server, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    default = server.agent()["llm_config"]["max_tokens"]
    agent = server.agent(**fields)
    assert config(agent) == expect(expected, default)
    assert config(server.read_agent(agent)) == config(agent)


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [(None, (True, True)), (True, (True, True)), (False, (False, False))],
)
def test_reasoning_of_older_agents_is_in_tool_calls(
    server: Server, reasoning: bool | None, expected: tuple[bool, bool]
) -> None:
    agent = server.agent(agent_type="memgpt_agent", reasoning=reasoning)
    shown = config(agent)
    assert (shown["put_inner_thoughts_in_kwargs"], shown["enable_reasoner"]) == expected


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({}, TUNED_SHOWN),
        ({"model": None, "context_window_limit": None, "parallel_tool_calls": None}, TUNED_SHOWN),
        ({"model": "{model}"}, REBUILT),  # same model; everything is reset nevertheless
        ({"context_window_limit": 8000}, {**REBUILT, "context_window": 8000}),
        ({"max_tokens": 7}, {**REBUILT, "max_tokens": 7}),
        ({"max_tokens": None}, {**REBUILT, "max_tokens": None}),
        (
            {"model_settings": {"provider_type": "openai", "strict": False}},
            {**BARE, **OPENAI, "context_window": 9000, "max_tokens": 99, "strict": False},
        ),
        (
            {"model": "{model}", "model_settings": {"provider_type": "openai"}},
            {**REBUILT, **OPENAI, "max_tokens": 99},  # kept only here
        ),
        (
            {"model": "{model}", "context_window_limit": 9000, "max_tokens": 99, **TUNED},
            {**TUNED_SHOWN, "enable_reasoner": True},
        ),
        ({"parallel_tool_calls": False}, {**TUNED_SHOWN, "parallel_tool_calls": False}),
        ({"reasoning": True}, TUNED_SHOWN),
        (
            {"model_settings": {"provider_type": "openai", "response_format": {"type": "json_object"}}},
            {
                **BARE,
                **OPENAI,
                "context_window": 9000,
                "max_tokens": 99,
                "response_format": {"type": "json_object"},
            },
        ),
        (
            {"model_settings": {"provider_type": "anthropic", "temperature": 0.3}},
            {
                **TUNED_SHOWN,
                "temperature": 0.3,
                "strict": False,
                "max_reasoning_tokens": 1024,
            },
        ),
    ],
    ids=str,
)
def test_patch_rebuilds_configuration_from_defaults(
    server: Server, patch: dict[str, Any], expected: dict[str, Any]
) -> None:
    default = server.agent()["llm_config"]["max_tokens"]
    agent = server.agent(**TUNED)
    answer = server.patch(agent, **{key: server.model if value == "{model}" else value for key, value in patch.items()})
    assert config(answer) == expect(expected, default)
    assert config(server.read_agent(agent)) == config(answer)


@pytest.mark.parametrize(
    ("patch", "expected"),
    [({}, True), ({"model": "{model}"}, False), ({"parallel_tool_calls": True}, False), ({"description": "d"}, True)],
    ids=str,
)
def test_patch_of_reasoning_alone_is_ignored(server: Server, patch: dict[str, Any], expected: bool) -> None:
    agent = server.agent(agent_type="memgpt_agent")
    patch = {key: server.model if value == "{model}" else value for key, value in patch.items()}
    server.patch(agent, reasoning=False, **patch)
    shown = config(server.read_agent(agent))
    assert (shown["put_inner_thoughts_in_kwargs"], shown["enable_reasoner"]) == (expected, expected)


def test_two_settings_are_always_answered_the_same(server: Server) -> None:
    settings = {"provider_type": "openai", "parallel_tool_calls": False, "response_format": {"type": "json_object"}}
    agent = server.agent(model_settings=settings)
    assert agent["model_settings"] == {
        "provider_type": "openai",
        "temperature": 0.7,
        "strict": True,
        "reasoning": {"reasoning_effort": "high"},
        "max_output_tokens": agent["llm_config"]["max_tokens"],
        "parallel_tool_calls": True,
        "response_format": None,
    }
    assert server.patch(agent, max_tokens=None)["model_settings"]["max_output_tokens"] == 4096


def test_patch_model(server: Server) -> None:
    agent = server.agent(model=server.model)
    answer = server.patch(agent, model="letta/letta-free")
    assert (answer["model"], answer["llm_config"]["handle"]) == ("letta/letta-free", "letta/letta-free")
    assert answer["llm_config"]["max_tokens"] == 4096
    assert answer["compaction_settings"]["model"] == "letta/auto"  # depends on the provider


def test_embedding_configuration(server: Server) -> None:
    agent = server.agent(embedding=server.embedding)
    assert agent["embedding"] == agent["embedding_config"]["handle"] == server.embedding
    assert (agent["embedding_config"]["embedding_chunk_size"], agent["embedding_config"]["batch_size"]) == (300, 32)
    assert (
        server.agent(embedding=server.embedding, embedding_chunk_size=77)["embedding_config"]["embedding_chunk_size"]
        == 77
    )
    assert server.patch(agent, embedding=None)["embedding"] == server.embedding


def _compaction(agent: dict[str, Any]) -> dict[str, Any]:
    settings = dict(agent["compaction_settings"])
    settings.pop("model")
    prompt = settings.pop("prompt")
    return {**settings, "prompt": "default" if prompt and len(prompt) > 20 else prompt}


def test_compaction_settings_are_merged(server: Server) -> None:
    expected: dict[str, Any] = {
        "mode": "sliding_window",
        "clip_chars": 50_000,
        "sliding_window_percentage": 0.3,
        "prompt": "default",
        "prompt_acknowledgement": False,
        "model_settings": None,
    }
    agent = server.agent()
    assert _compaction(agent) == expected
    for patch, after in (
        ({"clip_chars": 7}, {"clip_chars": 7}),
        ({}, {}),
        ({"prompt": "p"}, {"prompt": "p"}),
        ({"mode": "sliding_window"}, {}),  # same mode: the prompt is kept
        ({"mode": "all", "prompt": "q"}, {"mode": "all", "prompt": "default"}),  # other mode: the prompt is lost
        ({"prompt": None}, {"prompt": None}),
        ({"sliding_window_percentage": 0.5}, {"sliding_window_percentage": 0.5}),
    ):
        expected |= after
        assert _compaction(server.patch(agent, compaction_settings=patch)) == expected, patch
    assert _compaction(server.read_agent(agent)) == expected


def test_create_with_compaction_settings(server: Server) -> None:
    agent = server.agent(compaction_settings={"clip_chars": 7, "model": "some/model"})
    assert agent["compaction_settings"]["model"] == "some/model"
    assert (_compaction(agent)["clip_chars"], _compaction(agent)["prompt"]) == (7, "default")
