"""Maps whose keys 0.16.8 fixes: the schemas of its requests, 422 in the words of pydantic, and the missing defaults."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, TypeAdapter, ValidationError, field_validator

from tests.standin.server import Body

# fmt: off
# --- response formats: unknown keys are dropped


class _TextFormat(BaseModel):
    type: Literal["text"] = "text"


class _JsonFormat(BaseModel):
    type: Literal["json_object"] = "json_object"


class _SchemaFormat(BaseModel):
    type: Literal["json_schema"] = "json_schema"
    json_schema: dict[str, Any]


ResponseFormat = Annotated[_TextFormat | _SchemaFormat | _JsonFormat, Discriminator("type")]


# --- model settings: unknown keys are dropped


class _Settings(BaseModel):
    max_output_tokens: int = 4096
    parallel_tool_calls: bool = True


class _Reasoning(BaseModel):
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] = "minimal"


class _OpenAI(_Settings):
    provider_type: Literal["openai"]
    temperature: float = 0.7
    reasoning: _Reasoning = _Reasoning(reasoning_effort="high")
    response_format: ResponseFormat | None = None
    strict: bool = True


class _Thinking(BaseModel):
    type: Literal["enabled", "disabled"] = "enabled"
    budget_tokens: int = 1024


class _Anthropic(_Settings):
    provider_type: Literal["anthropic"]
    temperature: float = 1.0
    thinking: _Thinking = _Thinking()
    response_format: ResponseFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    effort: Literal["low", "medium", "high", "max"] | None = None
    strict: bool = False


class _Others(BaseModel):
    """The stand-in does not model the settings of these."""

    model_config = ConfigDict(extra="allow")
    provider_type: Literal[
        "sglang", "google_ai", "google_vertex", "azure", "xai", "zai", "groq", "deepseek", "together", "bedrock",
        "baseten", "openrouter", "chatgpt_oauth",
    ]


ModelSettings = Annotated[_OpenAI | _Anthropic | _Others, Discriminator("provider_type")]


class _CompactionSettings(BaseModel):
    model: str | None = None
    model_settings: ModelSettings | None = None
    prompt: str | None = None
    prompt_acknowledgement: bool = False
    clip_chars: int | None = 50_000
    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"] = "sliding_window"
    sliding_window_percentage: float = 0.3


# --- tool rules: unknown keys are errors


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tool_name: str
    prompt_template: str | None = None


class _Continue(_Rule):
    type: Literal["continue_loop"]


class _Exit(_Rule):
    type: Literal["exit_loop"]


class _Required(_Rule):
    type: Literal["required_before_exit"]


class _Approval(_Rule):
    type: Literal["requires_approval"]


class _First(_Rule):
    type: Literal["run_first"]
    args: dict[str, Any] | None = None


class _Call(BaseModel):
    name: str
    args: dict[str, Any] | None = None


class _Child(_Rule):
    type: Literal["constrain_child_tools"]
    children: list[str]
    child_arg_nodes: list[_Call] | None = None


class _Parent(_Rule):
    type: Literal["parent_last_tool"]
    children: list[str]


class _Conditional(_Rule):
    type: Literal["conditional"]
    default_child: str | None = None
    child_output_mapping: dict[str, str]
    require_output_mapping: bool = False

    @field_validator("child_output_mapping")
    @classmethod
    def _is_not_empty(cls, mapping: dict[str, str]) -> dict[str, str]:
        if not mapping:
            raise ValueError("Conditional tool rule must have at least one child tool.")
        return mapping


class _Count(_Rule):
    type: Literal["max_count_per_step"]
    max_count_limit: int


_AnyRule = Annotated[
    _Continue | _Exit | _Required | _Approval | _First | _Child | _Parent | _Conditional | _Count, Discriminator("type")
]


# --- items of other lists


class _Pip(BaseModel):
    name: str = Field(min_length=1)
    version: str | None = None


class _Npm(BaseModel):
    name: str = Field(min_length=1)
    version: str | None = None


class _Type(StrEnum):
    string = "string"
    number = "number"
    boolean = "boolean"
    json = "json"


class _Property(BaseModel):
    model_config = ConfigDict(extra="forbid")
    key: str
    value: str | int | float | bool | dict[str, Any]
    type: _Type
# fmt: on


_SCHEMAS: Mapping[str, Any] = {
    "model_settings": ModelSettings,
    "response_format": ResponseFormat,
    "compaction_settings": _CompactionSettings,
    "tool_rules": list[_AnyRule],
    "pip_requirements": list[_Pip],
    "npm_requirements": list[_Npm],
    "properties": list[_Property],
}


@cache
def _schema(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_SCHEMAS[name])


def faults(name: str, value: Any, at: tuple[Any, ...]) -> list[Body]:
    """What 0.16.8 finds wrong with a value of the field with this name."""
    try:
        _schema(name).validate_python(value, from_attributes=True)
    except ValidationError as error:
        return [{**each, "loc": (*at, *each["loc"])} for each in error.errors(include_url=False)]
    return []


def stored(name: str, value: Any, *, given: bool = False) -> Any:
    """A valid value as 0.16.8 stores it: with defaults, without unknown keys. `given`: without defaults at its top."""
    schema = _schema(name)
    whole = schema.dump_python(schema.validate_python(value, from_attributes=True), mode="json")
    return {key: each for key, each in whole.items() if key in value} if given else whole
