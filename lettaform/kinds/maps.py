"""Maps whose keys the server fixes: one class for each form. The types of fields name them.

Maps with free keys, as `metadata`, are plain dicts. A test compares every class with Letta's OpenAPI document.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field

EXACT_VERSION = r"^[^\s<>=!~^]+$"
"""A version without operators: 0.16.8 writes `==` before it."""


class Map(BaseModel):
    """A map with these keys and no others. A key without a default must be set."""

    model_config = ConfigDict(extra="forbid", strict=True)


def key(doc: str, **constraints: Any) -> Any:
    """One key that can be left out. `doc` is shown to users; `constraints` go to pydantic (`ge`, …)."""
    return Field(None, description=doc, **constraints)


# fmt: off
# --- response formats


class PlainFormat(Map):
    """Responses that are texts, or JSON of any form."""

    type: Literal["text", "json_object"]


class SchemaFormat(Map):
    """Responses that match a JSON schema."""

    type: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(description="JSON schema of responses, with its `name`.")


ResponseFormat: TypeAlias = Annotated[PlainFormat | SchemaFormat, Discriminator("type")]


# --- model settings


class Settings(Map):
    """Settings that every model provider has."""

    max_output_tokens: int = key("Maximum number of output tokens per response.", ge=1)  # 0.16.8 replaces 0
    temperature: float = key("Randomness of responses.")
    parallel_tool_calls: bool = key("Whether the model can call several tools in one response.")


class FormatSettings(Settings):
    """Settings of providers that have no others than the format of responses."""

    provider_type: Literal["azure", "bedrock", "deepseek", "groq", "openrouter", "together", "xai"]
    response_format: ResponseFormat | None = key("Format of responses.")


class BasetenSettings(Settings):
    """Settings of Baseten."""

    provider_type: Literal["baseten"]


class Reasoning(Map):
    """Reasoning of OpenAI's models."""

    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] = key("How much the model reasons.")


class ReasoningSettings(Settings):
    """Settings that OpenAI and SGLang have in common."""

    reasoning: Reasoning = key("Reasoning of the model.")
    response_format: ResponseFormat | None = key("Format of responses.")
    strict: bool = key("Whether arguments of tools must match their schemas.")


class OpenAISettings(ReasoningSettings):
    """Settings of OpenAI."""

    provider_type: Literal["openai"]


class SGLangSettings(ReasoningSettings):
    """Settings of SGLang."""

    provider_type: Literal["sglang"]
    tool_call_parser: str | None = key("Parser of tool calls.")


class ChatGPTReasoning(Map):
    """Reasoning of models that are used with a ChatGPT account."""

    reasoning_effort: Literal["none", "low", "medium", "high", "xhigh"] = key("How much the model reasons.")


class ChatGPTSettings(Settings):
    """Settings of models that are used with a ChatGPT account."""

    provider_type: Literal["chatgpt_oauth"]
    reasoning: ChatGPTReasoning = key("Reasoning of the model.")


class AnthropicThinking(Map):
    """Thinking of Anthropic's models."""

    type: Literal["enabled", "disabled"] = key("Whether the model thinks before it responds.")
    budget_tokens: int = key("Maximum number of tokens for thinking.")


class AnthropicSettings(Settings):
    """Settings of Anthropic."""

    provider_type: Literal["anthropic"]
    thinking: AnthropicThinking = key("Thinking of the model.")
    response_format: ResponseFormat | None = key("Format of responses.")
    verbosity: Literal["low", "medium", "high"] | None = key("Length of responses.")
    effort: Literal["low", "medium", "high", "max"] | None = key("How much work the model does for a response.")
    strict: bool = key("Whether arguments of tools must match their schemas.")


class ZAIThinking(Map):
    """Thinking of Z.ai's models."""

    type: Literal["enabled", "disabled"] = key("Whether the model thinks before it responds.")
    clear_thinking: bool = key("Whether thinking is left out of later requests.")


class ZAISettings(Settings):
    """Settings of Z.ai."""

    provider_type: Literal["zai"]
    thinking: ZAIThinking = key("Thinking of the model.")
    response_format: ResponseFormat | None = key("Format of responses.")


class GoogleThinking(Map):
    """Thinking of Google's models."""

    include_thoughts: bool = key("Whether responses include the thoughts.")
    thinking_budget: int = key("Maximum number of tokens for thinking.")


class GoogleSettings(Settings):
    """Settings of Google AI and Vertex AI."""

    provider_type: Literal["google_ai", "google_vertex"]
    thinking_config: GoogleThinking = key("Thinking of the model.")
    response_schema: ResponseFormat | None = key("Format of responses.")


ModelSettings: TypeAlias = Annotated[
    OpenAISettings | SGLangSettings | ChatGPTSettings | AnthropicSettings | ZAISettings | GoogleSettings
    | BasetenSettings | FormatSettings,
    Discriminator("provider_type"),
]


# --- summaries of old messages


class CompactionSettings(Map):
    """How old messages are replaced by a summary."""

    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"] = key("Which messages are replaced, and by whom.")
    model: str | None = key("Handle of the model that writes the summary, as `provider/model`.", pattern=".+/.+")
    model_settings: ModelSettings | None = key("Settings of that model.")
    prompt: str | None = key("Instructions for the summary.")
    prompt_acknowledgement: bool = key("Whether the prompt asks the model to acknowledge it.")
    clip_chars: int | None = key("Maximum number of characters of the summary.")
    sliding_window_percentage: float = key("Part of the context window that is kept, from 0 to 1.", ge=0, le=1)


# --- tool rules


class ToolRule(Map):
    """What every rule has."""

    tool_name: str = Field(description="Name of the tool that the rule is about.")
    prompt_template: str | None = key("Text that explains the rule to the model.")


class PlainRule(ToolRule):
    """A rule about one tool alone."""

    type: Literal["continue_loop", "exit_loop", "required_before_exit", "requires_approval"]


class FirstRule(ToolRule):
    """The tool is called first."""

    type: Literal["run_first"]
    args: dict[str, Any] | None = key("Arguments of that call.")


class ToolCall(Map):
    """Arguments with which a tool is called."""

    name: str = Field(description="Name of the tool.")
    args: dict[str, Any] | None = key("Arguments that are set.")


class ChildRule(ToolRule):
    """Only certain tools can follow the tool."""

    type: Literal["constrain_child_tools"]
    children: list[str] = Field(description="Names of those tools.")
    child_arg_nodes: list[ToolCall] | None = key("Arguments that are set in those calls.")


class ParentRule(ToolRule):
    """Certain tools can only be called after the tool."""

    type: Literal["parent_last_tool"]
    children: list[str] = Field(description="Names of those tools.")


class ConditionalRule(ToolRule):
    """The result of the tool decides which tool follows."""

    type: Literal["conditional"]
    child_output_mapping: dict[str, str] = Field(description="Result to the name of the tool that follows.", min_length=1)
    default_child: str | None = key("Name of the tool that follows other results.")
    require_output_mapping: bool = key("Whether other results are errors.")


class CountRule(ToolRule):
    """The tool can only be called this often."""

    type: Literal["max_count_per_step"]
    max_count_limit: int = Field(description="Maximum number of calls per step.")


AnyToolRule: TypeAlias = Annotated[
    PlainRule | FirstRule | ChildRule | ParentRule | ConditionalRule | CountRule, Discriminator("type")
]


# --- items of lists


class AnyMessage(Map):
    """What every message has."""

    role: Literal["user", "assistant", "system"]
    type: Literal["message"] | None = key("Type of the item.")
    name: str | None = key("Name of the sender.")
    sender_id: str | None = key("ID of the identity or agent that sends the message.")
    otid: str | None = key("ID that the client gives the message.")
    group_id: str | None = key("ID of the group in which the message is sent.")
    batch_item_id: str | None = key("ID of the message in a batch.")


class InitialMessage(AnyMessage):
    """A message of a new conversation."""

    content: str = Field(description="Text of the message.")  # 0.16.8 answers 500 to a list of parts


class ScheduledMessage(AnyMessage):
    """A message to send."""

    content: str | list[dict[str, Any]] = Field(description="Text of the message, or its parts.")


class PipRequirement(Map):
    """A package from PyPI that the source of a tool imports."""

    name: str = Field(description="Name of the package, or a requirement as `httpx>=0.27`.", min_length=1)
    version: str | None = key("Exact version of the package.", pattern=EXACT_VERSION)


class NpmRequirement(Map):
    """A package from npm that the source of a tool imports."""

    name: str = Field(description="Name of the package.", min_length=1)
    version: str | None = key("Version of the package.")


class Passage(Map):
    """A text with what describes it."""

    text: str = Field(description="Text of the passage.", min_length=1)
    tags: list[str] = key("Tags to find the passage by.")
    metadata: dict[str, Any] = key("Additional data to store with the passage.")
# fmt: on
