"""Model providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from lettaform.kinds.base import Kind, attr

# fmt: off
ProviderType = Literal["anthropic", "azure", "baseten", "bedrock", "cerebras", "chatgpt_oauth", "deepseek", "fireworks", "google_ai", "google_vertex", "groq", "hugging-face", "letta", "lmstudio_openai", "minimax", "mistral", "ollama", "openai", "together", "vllm", "sglang", "openrouter", "xai", "zai", "zai_coding"]


class Provider(Kind, section="providers", path="/v1/providers/", unique=True, mark="state"):
    """A provider of models, used with your own API key."""

    name: str = attr("Name of the provider and first part of its models' handles; unique on the server. Default: the key.", immutable=True, constraints={"min_length": 1})
    provider_type: ProviderType = attr("API of the provider.", required=True, immutable=True)
    api_key: str = attr("API key.", required=True, secret=True, constraints={"min_length": 1})
    access_key: str = attr("Second part of the credentials, for providers that require two.", secret=True)
    base_url: str = attr("Base URL of the API.", embeds=True)
    region: str = attr("Region in which the models run.")
    api_version: str = attr("Version of the API.")
    # fmt: on

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        # 0.16.8 answers keys under another name, in plain text unless the server has an encryption key
        keys = {name: body.get(name) or body.get(f"{name}_enc") for name in ("api_key", "access_key")}
        return {**body, **keys}

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        if live is not None:
            body.setdefault("api_key", cls.decode(live)["api_key"])  # the server refuses a PATCH without it
        return body
