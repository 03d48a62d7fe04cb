"""The body of a model to the values that it gives a new agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PATH = "/v1/models/"
CONTEXT_WINDOW = 128_000
"""The largest context window that 0.16.8 gives an agent by itself."""
_EFFORT = "minimal"
_THINKING = 1024


def initial(body: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the fields of a new agent that depend on its model, as 0.16.8 derives them."""
    window = body.get("context_window") or body.get("max_context_window") or 0
    return {
        "context_window": min(window, CONTEXT_WINDOW),
        "max_tokens": body.get("max_tokens"),
        "parallel_tool_calls": body.get("parallel_tool_calls"),
        "model_settings": _settings(body),
    }


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the provider, of which each provider has some."""
    thought = body.get("max_reasoning_tokens") or 0
    return {
        "temperature": body.get("temperature"),
        "strict": body.get("strict"),
        "reasoning": {"reasoning_effort": body.get("reasoning_effort") or _EFFORT},
        "thinking_config": {"include_thoughts": thought > 0, "thinking_budget": thought or _THINKING},
    }


_REASONING = ("openai", "chatgpt_oauth")
_THINKS = ("anthropic", "zai")
_GOOGLE = ("google_ai", "google_vertex")
_PLAIN = ("azure", "xai", "groq", "deepseek", "together", "bedrock", "openrouter", "baseten")
_OTHER_NAMES = {"minimax": "anthropic", "zai_coding": "zai"}


def settings(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings of the provider that an `llm_config` holds; None if its provider has none (0.16.8)."""
    kind = str(config.get("model_endpoint_type"))
    kind = _OTHER_NAMES.get(kind, kind)
    if kind not in (*_REASONING, *_THINKS, *_GOOGLE, *_PLAIN):
        return None
    names = ("temperature", *(("verbosity", "effort") if kind == "anthropic" else ()))
    found: dict[str, Any] = {name: config[name] for name in names if config.get(name) is not None}
    budget = config.get("max_reasoning_tokens") or 0
    if kind in _REASONING and config.get("reasoning_effort"):
        found["reasoning"] = {"reasoning_effort": config["reasoning_effort"]}
    if kind in _THINKS and config.get("enable_reasoner") is not None:
        found["thinking"] = {"type": "enabled" if config["enable_reasoner"] else "disabled"}
        found["thinking"] |= {"budget_tokens": budget} if budget and kind == "anthropic" else {}
    if kind in _GOOGLE:
        found["thinking_config"] = {"include_thoughts": budget > 0, "thinking_budget": budget or _THINKING}
    return {"provider_type": kind, **found}
