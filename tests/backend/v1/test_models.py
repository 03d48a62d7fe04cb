"""What a model gives a new agent, as 0.16.8 derives it."""

from __future__ import annotations

from lettaform.backend.v1.models import initial


def test_the_values_of_a_new_agent() -> None:
    found = initial({"context_window": 30000, "max_tokens": 4096, "parallel_tool_calls": False, "temperature": 1.0})
    assert (found["context_window"], found["max_tokens"], found["parallel_tool_calls"]) == (30000, 4096, False)
    assert found["model_settings"]["temperature"] == 1.0
    assert found["model_settings"]["reasoning"] == {"reasoning_effort": "minimal"}


def test_a_large_context_window_is_limited() -> None:
    assert initial({"context_window": 1_000_000})["context_window"] == 128_000
    assert initial({"max_context_window": 8000})["context_window"] == 8000
