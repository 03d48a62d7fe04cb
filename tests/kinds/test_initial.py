"""What a new object has by itself is no part of what a manifest declares of it."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.kinds import kinds
from lettaform.kinds.base import without

SETTINGS = {
    "provider_type": "openai",
    "temperature": 1.0,
    "strict": False,
    "response_format": None,
    "max_output_tokens": 9,
}
GIVEN = {"model_settings": {"temperature": 1.0, "strict": False}, "context_window": 30000}
CONTINUE = {"type": "continue_loop", "tool_name": "conversation_search", "prompt_template": None}


@pytest.mark.parametrize(
    ("kind", "field", "values", "declared"),
    [
        ("agent", "agent_type", {"agent_type": "letta_v1_agent"}, None),
        ("agent", "agent_type", {"agent_type": "memgpt_agent"}, "memgpt_agent"),
        ("agent", "hidden", {"hidden": None}, None),
        ("agent", "hidden", {"hidden": True}, True),
        ("agent", "timezone", {"timezone": "UTC"}, None),
        ("agent", "context_window", {"context_window": 30000}, None),
        ("agent", "context_window", {"context_window": 8000}, 8000),
        ("agent", "max_files_open", {"max_files_open": 5, "context_window": 30000}, None),
        ("agent", "max_files_open", {"max_files_open": 7, "context_window": 30000}, 7),
        ("agent", "max_files_open", {"max_files_open": 15, "context_window": 1_000_000}, None),
        ("agent", "message_buffer_autoclear", {"message_buffer_autoclear": False}, None),
        ("agent", "message_buffer_autoclear", {"message_buffer_autoclear": True, "agent_type": "workflow_agent"}, None),
        ("agent", "system", {"system": "You lead."}, "You lead."),
        ("agent", "model_settings", {"model_settings": SETTINGS, "max_tokens": 9}, None),
        (
            *("agent", "model_settings", {"model_settings": {**SETTINGS, "temperature": 0.3}, "max_tokens": 9}),
            {"provider_type": "openai", "temperature": 0.3},
        ),
        (
            "agent",
            "compaction_settings",
            {"compaction_settings": {"mode": "sliding_window", "clip_chars": 50000}},
            None,
        ),
        (
            *("agent", "compaction_settings", {"compaction_settings": {"mode": "all", "model": "openai/gpt-5-mini"}}),
            {"mode": "all"},
        ),
        ("agent", "tool_rules", {"tool_rules": [CONTINUE], "agent_type": "memgpt_v2_agent", "tools": []}, "some"),
        ("agent", "tool_rules", {"tool_rules": [], "agent_type": "memgpt_v2_agent"}, None),
        ("agent", "tool_rules", {"tool_rules": [{"type": "requires_approval", "tool_name": "t"}]}, None),
        ("block", "limit", {"limit": 100_000}, None),
        ("block", "limit", {"limit": 20_000}, 20_000),
        ("block", "description", {"description": "", "label": "human"}, None),
        ("block", "description", {"description": "Mine.", "label": "human"}, "Mine."),
        ("tool", "source_type", {"source_type": "json"}, None),
        ("tool", "description", {"description": "d", "json_schema": {"description": "d"}}, None),
        ("tool", "description", {"description": "d", "json_schema": {"description": "e"}}, "d"),
        ("tool", "return_char_limit", {"return_char_limit": 50_000}, None),
        ("group", "frequency", {"frequency": 5}, None),
        ("folder", "embedding_chunk_size", {"embedding_chunk_size": 300}, None),
    ],
)
def test_what_is_declared(kind: str, field: str, values: dict[str, Any], declared: Any) -> None:
    found = kinds()[kind].without_initial(field, values, GIVEN)
    assert found == declared or (declared == "some" and found)


def test_a_schema_is_declared_if_the_source_would_name_the_tool_otherwise() -> None:
    values = {"source": 'def a() -> str:\n    """A."""\n', "json_schema": {"name": "b"}, "name": "b"}
    given = {"json_schema": {"name": "b"}}
    assert kinds()["tool"].without_initial("json_schema", values, given) == {"name": "b"}
    assert kinds()["tool"].without_initial("json_schema", {**values, "name": "a"}, given) is None


@pytest.mark.parametrize(
    ("value", "initial", "left"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, {"b": 2}),
        ({"a": 1}, {"a": 1}, None),
        ({"a": None}, {}, {"a": None}),
        ([], None, None),
        ("", None, None),
        (False, None, False),
        (0, False, None),
    ],
)
def test_without(value: Any, initial: Any, left: Any) -> None:
    assert without(value, initial) == left


@pytest.mark.parametrize("kind", kinds())
def test_initial_values_are_of_fields(kind: str) -> None:
    assert kinds()[kind].initial.keys() <= kinds()[kind].attrs().keys()
