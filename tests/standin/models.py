"""`/v1/models/`, and how 0.16.8 creates, updates and shows an agent's model configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.standin.server import Ask, Body, Refusal, StandIn, on

_WINDOW_LIMIT = 128_000
# handle: provider, window, output tokens, the model that summarises
_MODELS: Mapping[str, tuple[str, int, int, str]] = {
    "letta/letta-free": ("letta", 30_000, 4096, "letta/auto"),
    "openai-proxy/echo": ("openai", 30_000, 16_384, "openai/gpt-5-mini"),
}
_EMBEDDINGS: Mapping[str, int] = {
    "letta/letta-free": 1536,
    "openai/text-embedding-3-large": 3072,
    "openai/text-embedding-3-small": 1536,
    "openai/text-embedding-ada-002": 1536,
}


def config(handle: str) -> Body:
    """The default configuration of a model; 404 if unknown."""
    if handle not in _MODELS:
        raise Refusal(404, f"NOT_FOUND: Handle {handle} not found, must be one of []")
    provider, window, tokens, _ = _MODELS[handle]
    # fmt: off
    return {
        "model": handle.split("/")[1], "display_name": None, "model_endpoint_type": "openai",
        "model_endpoint": "http://stand.in/v1", "provider_name": provider, "provider_category": "base",
        "model_wrapper": None, "context_window": min(window, _WINDOW_LIMIT), "handle": handle,
        "put_inner_thoughts_in_kwargs": False, "temperature": 1.0, "max_tokens": tokens, "enable_reasoner": True,
        "reasoning_effort": None, "max_reasoning_tokens": 0, "effort": None, "frequency_penalty": None,
        "compatibility_type": None, "verbosity": None, "tier": None, "parallel_tool_calls": False,
        "response_format": None, "strict": False, "return_logprobs": False, "top_logprobs": None,
        "return_token_ids": False, "tool_call_parser": None,
    }
    # fmt: on


def embedding(handle: str, chunk: int | None = None) -> Body:
    """The configuration of an embedding model; 400 if unknown."""
    if handle not in _EMBEDDINGS:
        raise Refusal(400, f"INVALID_ARGUMENT: Embedding model {handle} not found")
    return {
        "embedding_endpoint_type": "openai",
        "embedding_endpoint": "http://stand.in/v1",
        "embedding_model": handle.split("/")[1],
        "embedding_dim": _EMBEDDINGS[handle],
        "embedding_chunk_size": chunk or 300,
        "handle": handle,
        "batch_size": 32,
        "azure_endpoint": None,
        "azure_version": None,
        "azure_deployment": None,
    }


def summariser(provider: str) -> str:
    """The model that summarises for a provider's models."""
    return next(each for name, _, _, each in _MODELS.values() if name == provider)


def new_config(body: Mapping[str, Any]) -> Body:
    """The configuration of a new agent."""
    if body.get("llm_config") is not None:
        created = dict(body["llm_config"])
    else:
        if body.get("model") is None:
            raise Refusal(400, "INVALID_ARGUMENT: Must specify either model or llm_config in request")
        created = config(body["model"])
        created |= _sizes(body)
        thinking = body.get("max_reasoning_tokens")
        if thinking is not None and (not body.get("max_tokens") or thinking > body["max_tokens"]):
            most = f"({thinking}) must be less than max tokens ({body.get('max_tokens')})"
            raise Refusal(400, f"INVALID_ARGUMENT: Max reasoning tokens {most}")
        created["max_reasoning_tokens"] = thinking or 0
        if body.get("enable_reasoner") is not None:
            created["enable_reasoner"] = body["enable_reasoner"]
    _apply_settings(created, body)
    think = body.get("reasoning")
    if think is None:
        think = bool(created["enable_reasoner"] or created["put_inner_thoughts_in_kwargs"])
    return reasoning(created, think, body.get("agent_type") or "letta_v1_agent")


def _sizes(body: Mapping[str, Any]) -> Body:
    sizes = {"context_window": body.get("context_window_limit"), "max_tokens": body.get("max_tokens")}
    return {key: value for key, value in sizes.items() if value is not None}


def patched_config(have: Mapping[str, Any], body: Mapping[str, Any], agent_type: str) -> Body:
    """The configuration after a PATCH.

    0.16.8 rebuilds it from the model's defaults as soon as model, window or tokens are given, changed or not; a null
    `max_tokens` counts as given. Settings are not merged: what they leave out gets the settings' own defaults.
    """
    created = dict(have)
    rebuilds = _rebuilds(body)
    if body.get("llm_config") is not None:
        created, rebuilds = dict(body["llm_config"]), True
    elif rebuilds:
        created = config(body.get("model") or have["handle"]) | _sizes(body)
        if "max_tokens" in body:  # the only null that counts
            created["max_tokens"] = body["max_tokens"]
    settings = body.get("model_settings")
    if settings is not None and rebuilds and "max_tokens" not in body and "max_output_tokens" not in settings:
        created["max_tokens"] = have["max_tokens"]
    _apply_settings(created, body)
    # 0.16.8 writes it into the old configuration, and then sees no change to store
    alone = not rebuilds and settings is None and body.get("parallel_tool_calls") is None
    return created if alone or body.get("reasoning") is None else reasoning(created, body["reasoning"], agent_type)


def _rebuilds(body: Mapping[str, Any]) -> bool:
    return any(body.get(key) is not None for key in ("model", "context_window_limit")) or "max_tokens" in body


def needs_old_config(body: Mapping[str, Any]) -> bool:
    """Whether 0.16.8 needs the old configuration for a PATCH: its message for an unknown agent differs then."""
    settings, rebuilt = body.get("model_settings"), _rebuilds(body)
    if rebuilt and body.get("model") is None:
        return True
    if settings is not None:
        return not (rebuilt and ("max_tokens" in body or "max_output_tokens" in settings))
    return body.get("parallel_tool_calls") is not None and not rebuilt


def _apply_settings(created: Body, body: Mapping[str, Any]) -> None:
    """Apply `model_settings` and `parallel_tool_calls` to a configuration."""
    settings = body.get("model_settings")
    if settings is not None:
        created |= from_settings(settings)
    if body.get("parallel_tool_calls") is not None:
        created["parallel_tool_calls"] = body["parallel_tool_calls"]


def from_settings(settings_: Mapping[str, Any]) -> Body:
    """The part of the configuration that valid `model_settings` set."""
    kind = settings_["provider_type"]
    if kind not in ("openai", "anthropic"):
        raise Refusal(501, f"the stand-in does not model the settings of {kind}")
    created = {
        "parallel_tool_calls": settings_.get("parallel_tool_calls", True),
        "response_format": settings_.get("response_format"),
    }
    if "max_output_tokens" in settings_:
        created["max_tokens"] = settings_["max_output_tokens"]
    if kind == "openai":
        effort = settings_.get("reasoning", {"reasoning_effort": "high"}).get("reasoning_effort", "minimal")
        return created | {
            "temperature": settings_.get("temperature", 0.7),
            "reasoning_effort": effort,
            "strict": settings_.get("strict", True),
        }
    # 0.16.8 applies any provider's settings to any model
    budget = settings_.get("thinking", {}).get("budget_tokens", 1024)
    created |= {"temperature": settings_.get("temperature", 1.0), "max_reasoning_tokens": budget}
    return (
        created
        | {key: settings_.get(key) for key in ("verbosity", "effort")}
        | {"strict": settings_.get("strict", False)}
    )


def reasoning(created: Mapping[str, Any], think: bool, agent_type: str) -> Body:
    """The effect of `reasoning` on a model that cannot reason by itself."""
    if agent_type == "letta_v1_agent":
        return {**created, "put_inner_thoughts_in_kwargs": False, "enable_reasoner": False, "max_reasoning_tokens": 0}
    return {**created, "put_inner_thoughts_in_kwargs": think, "enable_reasoner": think}


def settings(config: Mapping[str, Any]) -> Body:
    """An agent's `model_settings` as 0.16.8 shows them: two of them are always the same."""
    return {
        "max_output_tokens": config["max_tokens"] or 4096,
        "parallel_tool_calls": True,
        "provider_type": "openai",
        "temperature": config["temperature"],
        "strict": config["strict"],
        "response_format": None,
        "reasoning": {"reasoning_effort": config["reasoning_effort"] or "minimal"},
    }


@on("GET", "/v1/models/")
def _list(server: StandIn, ask: Ask) -> list[Body]:
    created = []
    for handle in _MODELS:
        each = config(handle)
        name = {"handle": handle, "name": each["model"], "display_name": each["model"], "model_type": "llm"}
        created.append({**each, **name, "provider_type": "openai", "max_context_window": each["context_window"]})
    return created


@on("GET", "/v1/models/embedding")
def _embeddings(server: StandIn, ask: Ask) -> list[Body]:
    created = []
    for handle in _EMBEDDINGS:
        each = embedding(handle)
        name = {"name": each["embedding_model"], "display_name": each["embedding_model"], "model_type": "embedding"}
        created.append({**each, **name, "provider_type": "openai", "provider_name": "openai"})
    return created
