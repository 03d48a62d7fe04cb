"""A provider: models under a key of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from lettaform.kinds.base import Kind, attr

# fmt: off
ProviderType = Literal["anthropic", "azure", "baseten", "bedrock", "cerebras", "chatgpt_oauth", "deepseek", "fireworks", "google_ai", "google_vertex", "groq", "hugging-face", "letta", "lmstudio_openai", "minimax", "mistral", "ollama", "openai", "together", "vllm", "sglang", "openrouter", "xai", "zai", "zai_coding"]


class Provider(Kind, section="providers", path="/v1/providers/", unique=True, mark="record"):
    """Models under a key of one's own."""

    name: str = attr("The first half of its models' handles; unique. The key, unless given.", fixed=True, constraints={"min_length": 1})
    provider_type: ProviderType = attr("Whose API it speaks.", birth=True, fixed=True)
    api_key: str = attr("Its key.", birth=True, secret=True, constraints={"min_length": 1})
    access_key: str = attr("The second half of a key that has two.", secret=True)
    base_url: str = attr("Where its API is.")
    region: str = attr("Where its models run.")
    api_version: str = attr("Of its API.")
    # fmt: on

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        # 0.16.8 answers keys under another name, in clear unless it has a key of its own to encrypt them with
        keys = {name: body.get(name) or body.get(f"{name}_enc") for name in ("api_key", "access_key")}
        return {**body, **keys}

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        if live is not None:
            body.setdefault("api_key", cls.decode(live)["api_key"])  # without it PATCH is refused
        return body
