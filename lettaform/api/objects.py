"""Typed objects of a manifest. Made by `python -m scripts.generate`: change the kinds, not this file."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NotRequired, TypedDict

from lettaform.api.declared import ABSENT, Declared, Expression, Maybe, Text, Values
from lettaform.values import CsvFile, JsonFile, Unset

__all__ = [
    "Agent",
    "Archive",
    "Block",
    "Conversation",
    "Fleet",
    "Folder",
    "Group",
    "Identity",
    "Match",
    "McpServer",
    "OwnBlock",
    "Provider",
    "Schedule",
    "Tool",
]


class ToolCall(TypedDict):
    """Arguments with which a tool is called."""

    name: Text
    """Name of the tool."""
    args: NotRequired[Values | None]
    """Arguments that are set."""


class ToolRule(TypedDict):
    """Which keys it can have depends on `type`."""

    tool_name: Text
    """Name of the tool that the rule is about."""
    prompt_template: NotRequired[Text | None]
    """Text that explains the rule to the model."""
    type: Literal["continue_loop", "exit_loop", "required_before_exit", "requires_approval", "run_first", "constrain_child_tools", "parent_last_tool", "conditional", "max_count_per_step"]
    args: NotRequired[Values | None]
    """Arguments of that call."""
    children: NotRequired[Sequence[Text] | Expression]
    """Names of those tools."""
    child_arg_nodes: NotRequired[Sequence[ToolCall | JsonFile | Expression] | Expression | None]
    """Arguments that are set in those calls."""
    child_output_mapping: NotRequired[Mapping[str, Text] | JsonFile | Expression]
    """Result to the name of the tool that follows."""
    default_child: NotRequired[Text | None]
    """Name of the tool that follows other results."""
    require_output_mapping: NotRequired[bool | Expression]
    """Whether other results are errors."""
    max_count_limit: NotRequired[int | Expression]
    """Maximum number of calls per step."""


class Reasoning(TypedDict):
    """Which keys it can have depends on `reasoning_effort`."""

    reasoning_effort: NotRequired[Literal["none", "minimal", "low", "medium", "high", "xhigh"]]
    """How much the model reasons."""


class ResponseFormat(TypedDict):
    """Which keys it can have depends on `type`."""

    type: NotRequired[Literal["text", "json_object", "json_schema"]]
    json_schema: NotRequired[Values]
    """JSON schema of responses, with its `name`."""


class Thinking(TypedDict):
    """Which keys it can have depends on `type`."""

    type: NotRequired[Literal["enabled", "disabled"]]
    """Whether the model thinks before it responds."""
    budget_tokens: NotRequired[int | Expression]
    """Maximum number of tokens for thinking."""
    clear_thinking: NotRequired[bool | Expression]
    """Whether thinking is left out of later requests."""


class GoogleThinking(TypedDict):
    """Thinking of Google's models."""

    include_thoughts: NotRequired[bool | Expression]
    """Whether responses include the thoughts."""
    thinking_budget: NotRequired[int | Expression]
    """Maximum number of tokens for thinking."""


class ModelSettings(TypedDict):
    """Which keys it can have depends on `provider_type`."""

    max_output_tokens: NotRequired[int | Expression]
    """Maximum number of output tokens per response."""
    temperature: NotRequired[float | Expression]
    """Randomness of responses."""
    parallel_tool_calls: NotRequired[bool | Expression]
    """Whether the model can call several tools in one response."""
    reasoning: NotRequired[Reasoning | JsonFile | Expression]
    """Reasoning of the model."""
    response_format: NotRequired[ResponseFormat | JsonFile | Expression | None]
    """Format of responses."""
    strict: NotRequired[bool | Expression]
    """Whether arguments of tools must match their schemas."""
    provider_type: NotRequired[Literal["openai", "sglang", "chatgpt_oauth", "anthropic", "zai", "google_ai", "google_vertex", "baseten", "azure", "bedrock", "deepseek", "groq", "openrouter", "together", "xai"]]
    tool_call_parser: NotRequired[Text | None]
    """Parser of tool calls."""
    thinking: NotRequired[Thinking | JsonFile | Expression]
    """Thinking of the model."""
    verbosity: NotRequired[Literal["low", "medium", "high"] | Expression | None]
    """Length of responses."""
    effort: NotRequired[Literal["low", "medium", "high", "max"] | Expression | None]
    """How much work the model does for a response."""
    thinking_config: NotRequired[GoogleThinking | JsonFile | Expression]
    """Thinking of the model."""
    response_schema: NotRequired[ResponseFormat | JsonFile | Expression | None]
    """Format of responses."""


class CompactionSettings(TypedDict):
    """How old messages are replaced by a summary."""

    mode: NotRequired[Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"]]
    """Which messages are replaced, and by whom."""
    model: NotRequired[Text | None]
    """Handle of the model that writes the summary, as `provider/model`."""
    model_settings: NotRequired[ModelSettings | JsonFile | Expression | None]
    """Settings of that model."""
    prompt: NotRequired[Text | None]
    """Instructions for the summary."""
    prompt_acknowledgement: NotRequired[bool | Expression]
    """Whether the prompt asks the model to acknowledge it."""
    clip_chars: NotRequired[int | Expression | None]
    """Maximum number of characters of the summary."""
    sliding_window_percentage: NotRequired[float | Expression]
    """Part of the context window that is kept, from 0 to 1."""


class Sleeptime(TypedDict):
    """Whether a second agent maintains the memory in the background. A map sets its `frequency` in turns and fields of the second agent."""

    frequency: NotRequired[int | Expression]
    """Number of turns between two updates of the memory. Only for groups that `sleeptime` creates."""
    name: NotRequired[Text]
    """Display name; does not have to be unique. Default: the key."""
    description: NotRequired[Text | None]
    """Purpose of the agent."""
    model: NotRequired[Text]
    """Handle of the language model, as `provider/model`."""
    embedding: NotRequired[Text]
    """Handle of the embedding model, as `provider/model`."""
    system: NotRequired[Text | None]
    """System prompt."""
    blocks: NotRequired[Sequence[str | Block] | Expression | None]
    """Shared memory blocks: keys of `blocks`."""
    tools: NotRequired[Sequence[str | Tool] | Expression | None]
    """Tools that the agent can call: keys of `tools`, or names of the server's built-in tools."""
    folders: NotRequired[Sequence[str | Folder] | Expression | None]
    """Folders of files that the agent can open and search: keys of `folders`."""
    archive: NotRequired[str | Archive | None]
    """Archive of long-term memory: a key of `archives`."""
    identities: NotRequired[Sequence[str | Identity] | Expression | None]
    """Identities that the agent works for: keys of `identities`."""
    tool_rules: NotRequired[Sequence[ToolRule | JsonFile | Expression] | Expression | None]
    """Rules for the order in which tools are called."""
    secrets: NotRequired[Mapping[str, Text | None] | JsonFile | Expression | None]
    """Environment variables available to the agent's tools."""
    tags: NotRequired[Sequence[Text] | Expression | None]
    """Tags to find the agent by."""
    metadata: NotRequired[Values | None]
    """Additional data to store with the agent."""
    context_window: NotRequired[int | Expression]
    """Maximum number of tokens in the context window."""
    max_tokens: NotRequired[int | Expression | None]
    """Maximum number of output tokens per response."""
    model_settings: NotRequired[ModelSettings | JsonFile | Expression]
    """Settings of the model provider: `provider_type`, `temperature` and others."""
    parallel_tool_calls: NotRequired[bool | Expression]
    """Whether the model can call several tools in one response."""
    reasoning: NotRequired[bool | Expression]
    """Whether the model reasons before it responds, if it supports reasoning."""
    response_format: NotRequired[ResponseFormat | JsonFile | Expression]
    """Format of responses: a map with the `type` `text`, `json_object` or `json_schema`."""
    compaction_settings: NotRequired[CompactionSettings | JsonFile | Expression]
    """Settings for the summary of old messages."""
    message_buffer_autoclear: NotRequired[bool | Expression]
    """Whether the agent forgets the conversation after each response."""
    timezone: NotRequired[Text]
    """Time zone of the agent, as `Europe/Berlin`."""
    max_files_open: NotRequired[int | Expression]
    """Maximum number of files that can be open at the same time."""
    per_file_view_window_char_limit: NotRequired[int | Expression]
    """Maximum number of characters of an open file that the agent sees."""
    project_id: NotRequired[Text]
    """ID of the project that the agent belongs to (Letta Cloud)."""


class InitialMessage(TypedDict):
    """A message of a new conversation."""

    role: Literal["user", "assistant", "system"]
    type: NotRequired[Literal["message"] | Expression | None]
    """Type of the item."""
    name: NotRequired[Text | None]
    """Name of the sender."""
    sender_id: NotRequired[Text | None]
    """ID of the identity or agent that sends the message."""
    otid: NotRequired[Text | None]
    """ID that the client gives the message."""
    group_id: NotRequired[Text | None]
    """ID of the group in which the message is sent."""
    batch_item_id: NotRequired[Text | None]
    """ID of the message in a batch."""
    content: Text
    """Text of the message."""


class AgentPolicy(TypedDict):
    """The policy of each field, by field name."""

    name: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    description: NotRequired[Literal["enforce", "seed", "yield", "merge", "ignore"]]
    model: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    embedding: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    system: NotRequired[Literal["enforce", "seed", "yield", "merge", "ignore"]]
    agent_type: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    blocks: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    tools: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    folders: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    archive: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    identities: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    sleeptime: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    tool_rules: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    secrets: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    tags: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    metadata: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    context_window: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    max_tokens: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    model_settings: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    parallel_tool_calls: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    reasoning: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    response_format: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    compaction_settings: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    message_buffer_autoclear: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    timezone: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    max_files_open: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    per_file_view_window_char_limit: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    hidden: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    embedding_chunk_size: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    max_reasoning_tokens: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    include_base_tools: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    include_multi_agent_tools: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    include_base_tool_rules: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    initial_message_sequence: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    project_id: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]


class AgentLifecycle(TypedDict):
    """How the object may change."""

    prevent_destroy: NotRequired[bool | Expression]
    """Whether to reject every plan that deletes or replaces the object. Default: false."""
    ignore_changes: NotRequired[Sequence[Literal["name", "description", "model", "embedding", "system", "agent_type", "blocks", "tools", "folders", "archive", "identities", "sleeptime", "tool_rules", "secrets", "tags", "metadata", "context_window", "max_tokens", "model_settings", "parallel_tool_calls", "reasoning", "response_format", "compaction_settings", "message_buffer_autoclear", "timezone", "max_files_open", "per_file_view_window_char_limit", "hidden", "embedding_chunk_size", "max_reasoning_tokens", "include_base_tools", "include_multi_agent_tools", "include_base_tool_rules", "initial_message_sequence", "project_id"]]]
    """Fields that are set at creation and never updated."""
    recompile: NotRequired[Literal["agents", "none"]]
    """What to recompile after a change to the prompt. Default: the agent and all its conversations."""


class Passage(TypedDict):
    """A text with what describes it."""

    text: Text
    """Text of the passage."""
    tags: NotRequired[Sequence[Text] | Expression]
    """Tags to find the passage by."""
    metadata: NotRequired[Values]
    """Additional data to store with the passage."""


class ArchivePolicy(TypedDict):
    """The policy of each field, by field name."""

    name: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    description: NotRequired[Literal["enforce", "seed", "yield", "merge", "ignore"]]
    embedding: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    passages: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]


class ArchiveLifecycle(TypedDict):
    """How the object may change."""

    prevent_destroy: NotRequired[bool | Expression]
    """Whether to reject every plan that deletes or replaces the object. Default: false."""
    ignore_changes: NotRequired[Sequence[Literal["name", "description", "embedding", "passages"]]]
    """Fields that are set at creation and never updated."""


class BlockPolicy(TypedDict):
    """The policy of each field, by field name."""

    label: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    value: NotRequired[Literal["enforce", "seed", "yield", "merge", "ignore"]]
    description: NotRequired[Literal["enforce", "seed", "yield", "merge", "ignore"]]
    limit: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    read_only: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    hidden: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    tags: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    metadata: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    project_id: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]


class BlockLifecycle(TypedDict):
    """How the object may change."""

    prevent_destroy: NotRequired[bool | Expression]
    """Whether to reject every plan that deletes or replaces the object. Default: false."""
    ignore_changes: NotRequired[Sequence[Literal["label", "value", "description", "limit", "read_only", "hidden", "tags", "metadata", "project_id"]]]
    """Fields that are set at creation and never updated."""


class ConversationPolicy(TypedDict):
    """The policy of each field, by field name."""

    summary: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    agent: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    isolated: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    model: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    model_settings: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]


class ConversationLifecycle(TypedDict):
    """How the object may change."""

    prevent_destroy: NotRequired[bool | Expression]
    """Whether to reject every plan that deletes or replaces the object. Default: false."""
    ignore_changes: NotRequired[Sequence[Literal["summary", "agent", "isolated", "model", "model_settings"]]]
    """Fields that are set at creation and never updated."""


class FolderPolicy(TypedDict):
    """The policy of each field, by field name."""

    name: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    description: NotRequired[Literal["enforce", "seed", "yield", "merge", "ignore"]]
    instructions: NotRequired[Literal["enforce", "seed", "yield", "merge", "ignore"]]
    embedding: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    embedding_chunk_size: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    metadata: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    files: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]


class FolderLifecycle(TypedDict):
    """How the object may change."""

    prevent_destroy: NotRequired[bool | Expression]
    """Whether to reject every plan that deletes or replaces the object. Default: false."""
    ignore_changes: NotRequired[Sequence[Literal["name", "description", "instructions", "embedding", "embedding_chunk_size", "metadata", "files"]]]
    """Fields that are set at creation and never updated."""


class GroupPolicy(TypedDict):
    """The policy of each field, by field name."""

    description: NotRequired[Literal["enforce", "seed", "yield", "merge", "ignore"]]
    type: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    agents: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    manager: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    max_turns: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    frequency: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    termination_token: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]


class GroupLifecycle(TypedDict):
    """How the object may change."""

    prevent_destroy: NotRequired[bool | Expression]
    """Whether to reject every plan that deletes or replaces the object. Default: false."""
    ignore_changes: NotRequired[Sequence[Literal["description", "type", "agents", "manager", "max_turns", "frequency", "termination_token"]]]
    """Fields that are set at creation and never updated."""


class IdentityPolicy(TypedDict):
    """The policy of each field, by field name."""

    identifier_key: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    name: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    identity_type: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    properties: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    project_id: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]


class IdentityLifecycle(TypedDict):
    """How the object may change."""

    prevent_destroy: NotRequired[bool | Expression]
    """Whether to reject every plan that deletes or replaces the object. Default: false."""
    ignore_changes: NotRequired[Sequence[Literal["identifier_key", "name", "identity_type", "properties", "project_id"]]]
    """Fields that are set at creation and never updated."""


class McpServerPolicy(TypedDict):
    """The policy of each field, by field name."""

    name: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    type: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    url: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    token: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    headers: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    command: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    args: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    env: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]


class McpServerLifecycle(TypedDict):
    """How the object may change."""

    prevent_destroy: NotRequired[bool | Expression]
    """Whether to reject every plan that deletes or replaces the object. Default: false."""
    ignore_changes: NotRequired[Sequence[Literal["name", "type", "url", "token", "headers", "command", "args", "env"]]]
    """Fields that are set at creation and never updated."""
    recompile: NotRequired[Literal["agents", "none"]]
    """What to recompile after a change to the prompt. Default: the agent and all its conversations."""


class ProviderPolicy(TypedDict):
    """The policy of each field, by field name."""

    name: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    provider_type: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    api_key: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    access_key: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    base_url: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    region: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    api_version: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]


class ProviderLifecycle(TypedDict):
    """How the object may change."""

    prevent_destroy: NotRequired[bool | Expression]
    """Whether to reject every plan that deletes or replaces the object. Default: false."""
    ignore_changes: NotRequired[Sequence[Literal["name", "provider_type", "api_key", "access_key", "base_url", "region", "api_version"]]]
    """Fields that are set at creation and never updated."""


class ScheduledMessage(TypedDict):
    """A message to send."""

    role: Literal["user", "assistant", "system"]
    type: NotRequired[Literal["message"] | Expression | None]
    """Type of the item."""
    name: NotRequired[Text | None]
    """Name of the sender."""
    sender_id: NotRequired[Text | None]
    """ID of the identity or agent that sends the message."""
    otid: NotRequired[Text | None]
    """ID that the client gives the message."""
    group_id: NotRequired[Text | None]
    """ID of the group in which the message is sent."""
    batch_item_id: NotRequired[Text | None]
    """ID of the message in a batch."""
    content: Text | Sequence[Values] | Expression
    """Text of the message, or its parts."""


class SchedulePolicy(TypedDict):
    """The policy of each field, by field name."""

    name: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    agent: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    messages: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    cron: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    at: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    callback_url: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    include_return_message_types: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    max_steps: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]


class ScheduleLifecycle(TypedDict):
    """How the object may change."""

    prevent_destroy: NotRequired[bool | Expression]
    """Whether to reject every plan that deletes or replaces the object. Default: false."""
    ignore_changes: NotRequired[Sequence[Literal["name", "agent", "messages", "cron", "at", "callback_url", "include_return_message_types", "max_steps"]]]
    """Fields that are set at creation and never updated."""


class PipRequirement(TypedDict):
    """A package from PyPI that the source of a tool imports."""

    name: Text
    """Name of the package, or a requirement as `httpx>=0.27`."""
    version: NotRequired[Text | None]
    """Exact version of the package."""


class NpmRequirement(TypedDict):
    """A package from npm that the source of a tool imports."""

    name: Text
    """Name of the package."""
    version: NotRequired[Text | None]
    """Version of the package."""


class ToolPolicy(TypedDict):
    """The policy of each field, by field name."""

    name: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    source: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    source_type: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    json_schema: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    args_json_schema: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    description: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    return_char_limit: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    pip_requirements: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    npm_requirements: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    default_requires_approval: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    enable_parallel_execution: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    mcp: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    tags: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]


class ToolLifecycle(TypedDict):
    """How the object may change."""

    prevent_destroy: NotRequired[bool | Expression]
    """Whether to reject every plan that deletes or replaces the object. Default: false."""
    ignore_changes: NotRequired[Sequence[Literal["name", "source", "source_type", "json_schema", "args_json_schema", "description", "return_char_limit", "pip_requirements", "npm_requirements", "default_requires_approval", "enable_parallel_execution", "mcp", "tags"]]]
    """Fields that are set at creation and never updated."""


class Server(TypedDict):
    """The Letta server. --server and LETTA_BASE_URL take precedence."""

    url: NotRequired[str]
    """The URL of the server."""
    api_key: NotRequired[str]
    """The API key, for example `${env.LETTA_API_KEY}`. It is sent to `url` and to no other URL. LETTA_API_KEY itself is sent only to the URL of --server or LETTA_BASE_URL."""
    project: NotRequired[str]
    """The project on Letta Cloud. LETTA_PROJECT takes precedence."""


class Snapshots(TypedDict):
    """Where and when snapshots are written: before objects are deleted, and by `lettaform snapshot create`."""

    to: NotRequired[str]
    """The folder in which snapshots are written. --snapshot-dir takes precedence. Default: `.lettaform/snapshots`."""
    before: NotRequired[Literal["delete", "apply"]]
    """What a snapshot is taken before: `delete`, an apply that deletes something; `apply`, each apply that changes or deletes something, so that `lettaform rollback` can undo it. Default: delete."""


class Limits(TypedDict):
    """How much one plan may do. --ignore-limits lifts all limits for one run. `destroy` has none."""

    deleted: NotRequired[int | None]
    """Number of objects that one plan may delete or replace. Default: null, no limit."""
    deleted_percent: NotRequired[int | None]
    """Share of the stack's objects that one plan may delete or replace, in percent. A plan that deletes at most 5 objects is not judged. null: no limit. Default: 50."""
    agents: NotRequired[int | None]
    """Number of existing agents that one plan may change, delete or recompile. Default: null, no limit."""
    memory_lost: NotRequired[int | None]
    """Number of characters that one plan may remove from memory blocks: in deleted blocks, and in lines that leave others. Default: null, no limit."""
    prompt_tokens: NotRequired[int | None]
    """Number of estimated tokens that the prompt of an agent may have, memory blocks included, if one plan creates it or makes it longer. Default: null, no limit."""


class PolicyWaiver(TypedDict):
    """An object to which the policy does not apply."""

    address: NotRequired[str]
    """The address of the object, for example `agents.worker`; `*` stands for any text. Default: all."""
    reason: str
    """Why the policy does not apply."""


Policy = TypedDict("Policy", {
    "rule": str,
    "for": NotRequired[Literal["change", "plan"]],
    "severity": NotRequired[Literal["error", "warning"]],
    "message": NotRequired[str],
    "waivers": NotRequired[Sequence[PolicyWaiver]],
})
"""A rule that plans must meet."""


class ExpectedText(TypedDict):
    """What a text must be like."""

    contains: NotRequired[str | Sequence[str]]
    """A text that it contains, or a list of texts. Upper and lower case are equal."""
    excludes: NotRequired[str | Sequence[str]]
    """A text that it does not contain, or a list of texts. Upper and lower case are equal."""
    matches: NotRequired[str]
    """A regular expression of Python that matches a part of the text."""
    json_schema: NotRequired[Any]
    """A JSON Schema that the text, read as JSON, meets."""


class ExpectationCall(TypedDict):
    """A call of a tool."""

    tool: str
    """The name of the tool on the server."""
    arguments: NotRequired[Any]
    """A map of arguments that the call has at least, with these values."""


class ExpectationAtMost(TypedDict):
    """How much the agent takes at most."""

    seconds: NotRequired[float]
    """Number of seconds from the first message to the last answer."""
    steps: NotRequired[int]
    """Number of steps: of requests to the model."""
    tokens: NotRequired[int]
    """Number of tokens, of prompts and answers."""


class Expectation(TypedDict):
    """What is expected."""

    answer: NotRequired[ExpectedText]
    calls: NotRequired[Sequence[ExpectationCall]]
    """Tools that the agent calls, in any order, among others."""
    no_calls: NotRequired[Sequence[str]]
    """Names of tools that the agent does not call; `*` stands for any text, and alone for every tool."""
    memory: NotRequired[Mapping[str, ExpectedText]]
    """Label of a memory block of the agent to what its text is like after the last answer."""
    at_most: NotRequired[ExpectationAtMost]
    """How much the agent takes at most."""


class CheckSay(TypedDict):
    """A message, and what is expected of its answer."""

    say: str
    expect: NotRequired[Expectation]


class CheckJudge(TypedDict):
    """A model that decides whether the conversation meets criteria."""

    criteria: str
    """What the conversation must be like, for a model that reads it."""
    model: NotRequired[str]
    """The model that judges. Default: that of the agent."""


class Check(TypedDict):
    """A conversation with a copy of an agent, and what is expected of it."""

    agent: str
    """The agent: a key of `agents`. The key of a declaration with `for_each` stands for all its instances. An agent of a component is named by its address: `components.KEY.agents.NAME`."""
    say: str | Sequence[str | CheckSay]
    """The message to the agent; a list of messages is sent one after the other. A message can be a map of `say` and `expect`."""
    expect: NotRequired[Expectation]
    runs: NotRequired[int]
    """How often the agent is checked, each time with a new copy. Default: 1."""
    pass_rate: NotRequired[float]
    """Share of the runs that must pass, such as 0.8. Default: 1."""
    quarantine: NotRequired[bool]
    """Whether a failure is reported alone: it changes no exit code, and stops nothing. Default: false."""
    on_failure: NotRequired[Literal["stop", "rollback"]]
    """What `apply --check` does if the check fails: `stop` reports it; `rollback` also restores the snapshot that was taken before the apply. Default: stop."""
    deny_tools: NotRequired[Sequence[str]]
    """Names of tools that do not run: the call is recorded, and the agent is told that it was denied. `*` stands for any text."""
    judge: NotRequired[CheckJudge]
    """A model that decides whether the conversation meets criteria."""


class LintIgnore(TypedDict):
    """A rule that is switched off, for one object or for all."""

    rule: Literal["block-without-description", "duplicate-block", "duplicate-name", "empty-block", "expression-in-file", "external-by-id", "long-prompt", "memory-exceeds-context", "misspelled-variable", "near-limit", "no-file-matches", "no-memory-tool", "path-as-text", "placeholder-text", "secret-in-clear", "single-for-each", "unattached-tool", "unused-declaration", "unused-exclusion", "unused-variable", "unused-waiver"]
    """The id of the rule."""
    address: NotRequired[str]
    """The address of the object, for example `blocks.notes`; `*` stands for any text. Default: all."""
    reason: str
    """Why the rule does not apply."""


class Lint(TypedDict):
    """Which warnings of `lettaform validate` are switched off."""

    ignore: NotRequired[Sequence[LintIgnore]]
    """Warnings that are not reported, each with a reason."""


class Variable(TypedDict):
    """A variable."""

    type: NotRequired[Literal["string", "number", "bool", "list", "map"]]
    """How values from --var and from environment variables are parsed. Default: string."""
    default: NotRequired[Any]
    """The value if none is given. Must not contain expressions."""
    description: NotRequired[str]
    """A description of the variable."""
    secret: NotRequired[bool]
    """Whether to hide the value. A secret can only be used in secret fields. Default: false."""
    env: NotRequired[str]
    """The environment variable to read the value from."""


class Defaults(TypedDict):
    agents: NotRequired[Agent]
    archives: NotRequired[Archive]
    blocks: NotRequired[Block]
    conversations: NotRequired[Conversation]
    folders: NotRequired[Folder]
    groups: NotRequired[Group]
    identities: NotRequired[Identity]
    mcp_servers: NotRequired[McpServer]
    providers: NotRequired[Provider]
    schedules: NotRequired[Schedule]
    tools: NotRequired[Tool]


class AgentMatchExclude(TypedDict):
    """Agents that are left out."""

    name: NotRequired[str | Sequence[str]]
    """The name of an agent, with `*` for any text, or a list of names: agents with one of them."""
    tags: NotRequired[Sequence[str]]
    """Tags: agents that have one of them."""
    id: NotRequired[str | Sequence[str]]
    """The ID of an agent, or a list of IDs."""


class AgentMatch(TypedDict):
    """Which existing agents are selected, whoever created them. Agents of this stack are not: their fields are declared in `agents`."""

    name: NotRequired[str | Sequence[str]]
    """The name of an agent, with `*` for any text, or a list of names: agents with one of them."""
    tags: NotRequired[Sequence[str]]
    """Tags: agents that have all of them."""
    exclude: NotRequired[AgentMatchExclude]
    """Agents that are left out."""
    stacks: NotRequired[Sequence[str]]
    """Other stacks whose agents are selected, too. Default: agents of other stacks are left out."""


class MatchPolicy(TypedDict):
    """The policy of each field, by field name."""

    archive: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    blocks: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    compaction_settings: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    context_window: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    description: NotRequired[Literal["enforce", "seed", "yield", "merge", "ignore"]]
    embedding: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    folders: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    identities: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    max_files_open: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    max_tokens: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    message_buffer_autoclear: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    metadata: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    model: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    model_settings: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    parallel_tool_calls: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    per_file_view_window_char_limit: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    project_id: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    reasoning: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    response_format: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    secrets: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    system: NotRequired[Literal["enforce", "seed", "yield", "merge", "ignore"]]
    tags: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    timezone: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    tool_rules: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]
    tools: NotRequired[Literal["enforce", "seed", "yield", "ignore"]]


class ComponentDefaults(TypedDict):
    """Default values of fields, by section, below the `defaults` of the component."""

    agents: NotRequired[Agent | Unset | None]
    archives: NotRequired[Archive | Unset | None]
    blocks: NotRequired[Block | Unset | None]
    conversations: NotRequired[Conversation | Unset | None]
    folders: NotRequired[Folder | Unset | None]
    groups: NotRequired[Group | Unset | None]
    identities: NotRequired[Identity | Unset | None]
    mcp_servers: NotRequired[McpServer | Unset | None]
    providers: NotRequired[Provider | Unset | None]
    schedules: NotRequired[Schedule | Unset | None]
    tools: NotRequired[Tool | Unset | None]


class ComponentOverlay(TypedDict):
    """What differs from the component, by section and key. It is merged over the component as an environment."""

    agents: NotRequired[Mapping[str, Agent | Unset | None]]
    """A language model with a prompt, tools, and memory that it edits while it runs."""
    archives: NotRequired[Mapping[str, Archive | Unset | None]]
    """Long-term memory that agents search: passages of text."""
    blocks: NotRequired[Mapping[str, Block | Unset | None]]
    """A labelled text in the context of agents, which they can edit while they run."""
    conversations: NotRequired[Mapping[str, Conversation | Unset | None]]
    """A separate thread of messages with one agent, optionally with copies of some of its blocks."""
    folders: NotRequired[Mapping[str, Folder | Unset | None]]
    """Files that agents open and search."""
    groups: NotRequired[Mapping[str, Group | Unset | None]]
    """Several agents that answer messages together."""
    identities: NotRequired[Mapping[str, Identity | Unset | None]]
    """A person or an organisation that agents work for."""
    mcp_servers: NotRequired[Mapping[str, McpServer | Unset | None]]
    """A program that offers tools, over HTTP or as a process on the machine of the Letta server."""
    providers: NotRequired[Mapping[str, Provider | Unset | None]]
    """A provider of models, used with your own API key."""
    schedules: NotRequired[Mapping[str, Schedule | Unset | None]]
    """Messages that are sent to an agent once or repeatedly. Available on Letta Cloud only."""
    tools: NotRequired[Mapping[str, Tool | Unset | None]]
    """A function that agents can call: Python source, named after its last function or by `json_schema`."""


class Component(TypedDict):
    """One use of a component."""

    use: str
    """The component: a folder or a YAML file of the project, such as `./components/desk`; or a folder of a git repository at a commit, `git::https://HOST/REPOSITORY.git//FOLDER?ref=COMMIT`, which `lettaform vendor` fetches."""
    for_each: NotRequired[Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression]
    """Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the key and the value of the current one."""
    when: NotRequired[bool | Expression]
    """Whether to create the objects of the component. Default: true."""
    inputs: NotRequired[Mapping[str, Any]]
    """The values of the component's `variables`."""
    defaults: NotRequired[ComponentDefaults | None]
    """Default values of fields, by section, below the `defaults` of the component."""
    overlay: NotRequired[ComponentOverlay | None]
    """What differs from the component, by section and key. It is merged over the component as an environment."""


Moved = TypedDict("Moved", {
    "from": str,
    "to": str,
})
"""A renamed address."""


class Import(TypedDict):
    """An object to import, by its `id` or its `name`."""

    to: str
    """The address of the object in the manifest, for example `agents.supervisor`."""
    id: NotRequired[str]
    """The ID of the existing object."""
    name: NotRequired[str]
    """The name, label or topic of the existing object, in place of its ID. If the server has no such object that no stack owns, the object is created."""


Removed = TypedDict("Removed", {
    "from": str,
    "destroy": NotRequired[bool | Expression],
})
"""A removed address."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Agent(Declared):
    """A language model with a prompt, tools, and memory that it edits while it runs."""

    section: ClassVar[str | None] = "agents"

    name: Maybe[Text] = ABSENT
    """Display name; does not have to be unique. Default: the key."""
    description: Maybe[Text | None] = ABSENT
    """Purpose of the agent."""
    model: Maybe[Text] = ABSENT
    """Handle of the language model, as `provider/model`."""
    embedding: Maybe[Text] = ABSENT
    """Handle of the embedding model, as `provider/model`."""
    system: Maybe[Text | None] = ABSENT
    """System prompt."""
    agent_type: Maybe[Literal["letta_v1_agent", "memgpt_agent", "memgpt_v2_agent", "react_agent", "workflow_agent", "sleeptime_agent", "voice_convo_agent", "voice_sleeptime_agent"] | Expression] = ABSENT
    """Architecture of the agent. Default: `letta_v1_agent`."""
    memory: Maybe[Mapping[str, Text | OwnBlock | Unset]] = ABSENT
    """Memory blocks of this agent alone: a map of label to text or block."""
    blocks: Maybe[Sequence[str | Block] | Expression | None] = ABSENT
    """Shared memory blocks: keys of `blocks`."""
    tools: Maybe[Sequence[str | Tool] | Expression | None] = ABSENT
    """Tools that the agent can call: keys of `tools`, or names of the server's built-in tools."""
    folders: Maybe[Sequence[str | Folder] | Expression | None] = ABSENT
    """Folders of files that the agent can open and search: keys of `folders`."""
    archive: Maybe[str | Archive | None] = ABSENT
    """Archive of long-term memory: a key of `archives`."""
    identities: Maybe[Sequence[str | Identity] | Expression | None] = ABSENT
    """Identities that the agent works for: keys of `identities`."""
    sleeptime: Maybe[bool | Sleeptime | Expression] = ABSENT
    """Whether a second agent maintains the memory in the background. A map sets its `frequency` in turns and fields of the second agent."""
    tool_rules: Maybe[Sequence[ToolRule | JsonFile | Expression] | Expression | None] = ABSENT
    """Rules for the order in which tools are called."""
    secrets: Maybe[Mapping[str, Text | None] | JsonFile | Expression | None] = field(default=ABSENT, repr=False)
    """Environment variables available to the agent's tools."""
    tags: Maybe[Sequence[Text] | Expression | None] = ABSENT
    """Tags to find the agent by."""
    metadata: Maybe[Values | None] = ABSENT
    """Additional data to store with the agent."""
    context_window: Maybe[int | Expression] = ABSENT
    """Maximum number of tokens in the context window."""
    max_tokens: Maybe[int | Expression | None] = ABSENT
    """Maximum number of output tokens per response."""
    model_settings: Maybe[ModelSettings | JsonFile | Expression] = ABSENT
    """Settings of the model provider: `provider_type`, `temperature` and others."""
    parallel_tool_calls: Maybe[bool | Expression] = ABSENT
    """Whether the model can call several tools in one response."""
    reasoning: Maybe[bool | Expression] = ABSENT
    """Whether the model reasons before it responds, if it supports reasoning."""
    response_format: Maybe[ResponseFormat | JsonFile | Expression] = ABSENT
    """Format of responses: a map with the `type` `text`, `json_object` or `json_schema`."""
    compaction_settings: Maybe[CompactionSettings | JsonFile | Expression] = ABSENT
    """Settings for the summary of old messages."""
    message_buffer_autoclear: Maybe[bool | Expression] = ABSENT
    """Whether the agent forgets the conversation after each response."""
    timezone: Maybe[Text] = ABSENT
    """Time zone of the agent, as `Europe/Berlin`."""
    max_files_open: Maybe[int | Expression] = ABSENT
    """Maximum number of files that can be open at the same time."""
    per_file_view_window_char_limit: Maybe[int | Expression] = ABSENT
    """Maximum number of characters of an open file that the agent sees."""
    hidden: Maybe[bool | Expression] = ABSENT
    """Whether default lists leave the agent out."""
    embedding_chunk_size: Maybe[int | Expression] = ABSENT
    """Number of characters in each embedded chunk."""
    max_reasoning_tokens: Maybe[int | Expression] = ABSENT
    """Maximum number of reasoning tokens per response."""
    include_base_tools: Maybe[bool | Expression] = ABSENT
    """Whether to add the server's base tools. Default: true, or false if `tools` has the policy `enforce`."""
    include_multi_agent_tools: Maybe[bool | Expression] = ABSENT
    """Whether to add the server's tools for messages between agents. Default: false."""
    include_base_tool_rules: Maybe[bool | Expression] = ABSENT
    """Whether to add the tool rules of the base tools. Default: true, or false if `tool_rules` is set."""
    initial_message_sequence: Maybe[Sequence[InitialMessage | JsonFile | Expression] | Expression] = ABSENT
    """Initial messages of the conversation, instead of the server's own."""
    project_id: Maybe[Text] = ABSENT
    """ID of the project that the agent belongs to (Letta Cloud)."""
    external: Maybe[bool] = ABSENT
    """Whether the object is managed elsewhere. It is used and never changed. Give `name`, `id`, or both `stack` and `address` to identify it. In an environment, it drops the other fields of the object. Default: false."""
    id: Maybe[str] = ABSENT
    """The ID of the external object."""
    stack: Maybe[str] = ABSENT
    """The stack that manages the external object."""
    address: Maybe[str] = ABSENT
    """The address of the external object in its stack, for example `blocks.organization`."""
    for_each: Maybe[Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression] = ABSENT
    """Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the key and the value of the current one."""
    when: Maybe[bool | Expression] = ABSENT
    """Whether to create the object. Default: true."""
    policy: Maybe[AgentPolicy | None] = ABSENT
    """The policy of each field, by field name."""
    lifecycle: Maybe[AgentLifecycle | None] = ABSENT
    """How the object may change."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Archive(Declared):
    """Long-term memory that agents search: passages of text."""

    section: ClassVar[str | None] = "archives"

    name: Maybe[Text] = ABSENT
    """Display name; does not have to be unique. Default: the key."""
    description: Maybe[Text | None] = ABSENT
    """Contents and purpose of the archive."""
    embedding: Maybe[Text] = ABSENT
    """Handle of the embedding model, as `provider/model`."""
    passages: Maybe[Sequence[Text | Passage | JsonFile | Expression] | Expression | None] = ABSENT
    """Passages: texts, or maps of `text`, `tags` and `metadata`. Compared by content."""
    external: Maybe[bool] = ABSENT
    """Whether the object is managed elsewhere. It is used and never changed. Give `name`, `id`, or both `stack` and `address` to identify it. In an environment, it drops the other fields of the object. Default: false."""
    id: Maybe[str] = ABSENT
    """The ID of the external object."""
    stack: Maybe[str] = ABSENT
    """The stack that manages the external object."""
    address: Maybe[str] = ABSENT
    """The address of the external object in its stack, for example `blocks.organization`."""
    for_each: Maybe[Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression] = ABSENT
    """Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the key and the value of the current one."""
    when: Maybe[bool | Expression] = ABSENT
    """Whether to create the object. Default: true."""
    policy: Maybe[ArchivePolicy | None] = ABSENT
    """The policy of each field, by field name."""
    lifecycle: Maybe[ArchiveLifecycle | None] = ABSENT
    """How the object may change."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Block(Declared):
    """A labelled text in the context of agents, which they can edit while they run."""

    section: ClassVar[str | None] = "blocks"

    label: Maybe[Text] = ABSENT
    """Label by which agents refer to the block. Default: the key."""
    value: Maybe[Text | None] = ABSENT
    """Text of the block."""
    description: Maybe[Text | None] = ABSENT
    """Instructions for agents: what to store in the block."""
    limit: Maybe[int | Expression] = ABSENT
    """Maximum number of characters of the text."""
    read_only: Maybe[bool | Expression] = ABSENT
    """Whether agents can only read the block."""
    hidden: Maybe[bool | Expression] = ABSENT
    """Whether default lists leave the block out."""
    tags: Maybe[Sequence[Text] | Expression | None] = ABSENT
    """Tags to find the block by."""
    metadata: Maybe[Values | None] = ABSENT
    """Additional data to store with the block."""
    project_id: Maybe[Text] = ABSENT
    """ID of the project that the block belongs to (Letta Cloud)."""
    external: Maybe[bool] = ABSENT
    """Whether the object is managed elsewhere. It is used and never changed. Give `name`, `id`, or both `stack` and `address` to identify it. In an environment, it drops the other fields of the object. Default: false."""
    name: Maybe[str] = ABSENT
    """The name of the external object."""
    id: Maybe[str] = ABSENT
    """The ID of the external object."""
    stack: Maybe[str] = ABSENT
    """The stack that manages the external object."""
    address: Maybe[str] = ABSENT
    """The address of the external object in its stack, for example `blocks.organization`."""
    for_each: Maybe[Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression] = ABSENT
    """Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the key and the value of the current one."""
    when: Maybe[bool | Expression] = ABSENT
    """Whether to create the object. Default: true."""
    policy: Maybe[BlockPolicy | None] = ABSENT
    """The policy of each field, by field name."""
    lifecycle: Maybe[BlockLifecycle | None] = ABSENT
    """How the object may change."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Conversation(Declared):
    """A separate thread of messages with one agent, optionally with copies of some of its blocks."""

    section: ClassVar[str | None] = "conversations"

    summary: Maybe[Text] = ABSENT
    """Topic of the conversation. Default: the key."""
    agent: Maybe[str | Agent] = ABSENT
    """Agent of the conversation: a key of `agents`."""
    isolated: Maybe[Sequence[Text] | Expression] = ABSENT
    """Labels of the agent's blocks that the conversation has its own copies of."""
    model: Maybe[Text] = ABSENT
    """Handle of the language model, as `provider/model`. Default: the agent's model."""
    model_settings: Maybe[ModelSettings | JsonFile | Expression] = ABSENT
    """Settings of the model provider: `provider_type`, `temperature` and others."""
    external: Maybe[bool] = ABSENT
    """Whether the object is managed elsewhere. It is used and never changed. Give `name`, `id`, or both `stack` and `address` to identify it. In an environment, it drops the other fields of the object. Default: false."""
    name: Maybe[str] = ABSENT
    """The name of the external object."""
    id: Maybe[str] = ABSENT
    """The ID of the external object."""
    stack: Maybe[str] = ABSENT
    """The stack that manages the external object."""
    address: Maybe[str] = ABSENT
    """The address of the external object in its stack, for example `blocks.organization`."""
    for_each: Maybe[Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression] = ABSENT
    """Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the key and the value of the current one."""
    when: Maybe[bool | Expression] = ABSENT
    """Whether to create the object. Default: true."""
    policy: Maybe[ConversationPolicy | None] = ABSENT
    """The policy of each field, by field name."""
    lifecycle: Maybe[ConversationLifecycle | None] = ABSENT
    """How the object may change."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Folder(Declared):
    """Files that agents open and search."""

    section: ClassVar[str | None] = "folders"

    name: Maybe[Text] = ABSENT
    """Name by which agents refer to the folder; unique on the server. Default: the key."""
    description: Maybe[Text | None] = ABSENT
    """Contents of the folder."""
    instructions: Maybe[Text | None] = ABSENT
    """Instructions for agents: how to use the files."""
    embedding: Maybe[Text] = ABSENT
    """Handle of the embedding model, as `provider/model`."""
    embedding_chunk_size: Maybe[int | Expression] = ABSENT
    """Number of characters in each embedded chunk."""
    metadata: Maybe[Values | None] = ABSENT
    """Additional data to store with the folder."""
    files: Maybe[Sequence[Text] | Expression | None] = ABSENT
    """Files to upload: paths and patterns, as `docs/**/*.md`. `*` and `**` leave out names that begin with a dot, and `"!docs/drafts/*"` excludes files. Compared by content."""
    external: Maybe[bool] = ABSENT
    """Whether the object is managed elsewhere. It is used and never changed. Give `name`, `id`, or both `stack` and `address` to identify it. In an environment, it drops the other fields of the object. Default: false."""
    id: Maybe[str] = ABSENT
    """The ID of the external object."""
    stack: Maybe[str] = ABSENT
    """The stack that manages the external object."""
    address: Maybe[str] = ABSENT
    """The address of the external object in its stack, for example `blocks.organization`."""
    for_each: Maybe[Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression] = ABSENT
    """Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the key and the value of the current one."""
    when: Maybe[bool | Expression] = ABSENT
    """Whether to create the object. Default: true."""
    policy: Maybe[FolderPolicy | None] = ABSENT
    """The policy of each field, by field name."""
    lifecycle: Maybe[FolderLifecycle | None] = ABSENT
    """How the object may change."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Group(Declared):
    """Several agents that answer messages together."""

    section: ClassVar[str | None] = "groups"

    description: Maybe[Text] = ABSENT
    """Purpose of the group. Default: the key."""
    type: Maybe[Literal["round_robin", "supervisor", "dynamic"] | Expression] = ABSENT
    """How the next speaker is chosen: `round_robin` takes turns; with `supervisor` and `dynamic` the manager chooses."""
    agents: Maybe[Sequence[str | Agent] | Expression] = ABSENT
    """Members, in order: keys of `agents`."""
    manager: Maybe[str | Agent] = ABSENT
    """Agent that manages the group: a key of `agents`. Not allowed for `round_robin`."""
    max_turns: Maybe[int | Expression] = ABSENT
    """Maximum number of turns per message."""
    frequency: Maybe[int | Expression] = ABSENT
    """Number of turns between two updates of the memory. Only for groups that `sleeptime` creates."""
    termination_token: Maybe[Text] = ABSENT
    """Text with which the manager ends the turns."""
    external: Maybe[bool] = ABSENT
    """Whether the object is managed elsewhere. It is used and never changed. Give `name`, `id`, or both `stack` and `address` to identify it. In an environment, it drops the other fields of the object. Default: false."""
    name: Maybe[str] = ABSENT
    """The name of the external object."""
    id: Maybe[str] = ABSENT
    """The ID of the external object."""
    stack: Maybe[str] = ABSENT
    """The stack that manages the external object."""
    address: Maybe[str] = ABSENT
    """The address of the external object in its stack, for example `blocks.organization`."""
    for_each: Maybe[Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression] = ABSENT
    """Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the key and the value of the current one."""
    when: Maybe[bool | Expression] = ABSENT
    """Whether to create the object. Default: true."""
    policy: Maybe[GroupPolicy | None] = ABSENT
    """The policy of each field, by field name."""
    lifecycle: Maybe[GroupLifecycle | None] = ABSENT
    """How the object may change."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Identity(Declared):
    """A person or an organisation that agents work for."""

    section: ClassVar[str | None] = "identities"

    identifier_key: Maybe[Text] = ABSENT
    """Key by which applications look the identity up; unique on the server. Default: the key in the manifest."""
    name: Maybe[Text] = ABSENT
    """Display name."""
    identity_type: Maybe[Literal["user", "org", "other"] | Expression] = ABSENT
    """Type of the identity."""
    properties: Maybe[Mapping[str, Text | bool | Expression | float | Values | None] | JsonFile | None] = ABSENT
    """Properties of the identity: texts, numbers, booleans or maps."""
    project_id: Maybe[Text] = ABSENT
    """ID of the project that the identity belongs to (Letta Cloud)."""
    external: Maybe[bool] = ABSENT
    """Whether the object is managed elsewhere. It is used and never changed. Give `name`, `id`, or both `stack` and `address` to identify it. In an environment, it drops the other fields of the object. Default: false."""
    id: Maybe[str] = ABSENT
    """The ID of the external object."""
    stack: Maybe[str] = ABSENT
    """The stack that manages the external object."""
    address: Maybe[str] = ABSENT
    """The address of the external object in its stack, for example `blocks.organization`."""
    for_each: Maybe[Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression] = ABSENT
    """Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the key and the value of the current one."""
    when: Maybe[bool | Expression] = ABSENT
    """Whether to create the object. Default: true."""
    policy: Maybe[IdentityPolicy | None] = ABSENT
    """The policy of each field, by field name."""
    lifecycle: Maybe[IdentityLifecycle | None] = ABSENT
    """How the object may change."""


@dataclass(frozen=True, kw_only=True, repr=False)
class McpServer(Declared):
    """A program that offers tools, over HTTP or as a process on the machine of the Letta server."""

    section: ClassVar[str | None] = "mcp_servers"

    name: Maybe[Text] = ABSENT
    """Display name; unique on the server. Default: the key."""
    type: Maybe[Literal["streamable_http", "sse", "stdio"] | Expression] = ABSENT
    """Transport: how the Letta server connects to the MCP server."""
    url: Maybe[Text] = field(default=ABSENT, repr=False)
    """URL of the MCP server. Only for `streamable_http` and `sse`."""
    token: Maybe[Text] = field(default=ABSENT, repr=False)
    """Token to send as `Authorization: Bearer`."""
    headers: Maybe[Mapping[str, Text | None] | JsonFile | Expression | None] = field(default=ABSENT, repr=False)
    """HTTP headers to send with each request."""
    command: Maybe[Text] = field(default=ABSENT, repr=False)
    """Program that the Letta server starts. Only for `stdio`."""
    args: Maybe[Sequence[Text] | Expression | None] = field(default=ABSENT, repr=False)
    """Arguments of the program."""
    env: Maybe[Mapping[str, Text | None] | JsonFile | Expression | None] = field(default=ABSENT, repr=False)
    """Environment variables of the program."""
    external: Maybe[bool] = ABSENT
    """Whether the object is managed elsewhere. It is used and never changed. Give `name`, `id`, or both `stack` and `address` to identify it. In an environment, it drops the other fields of the object. Default: false."""
    id: Maybe[str] = ABSENT
    """The ID of the external object."""
    stack: Maybe[str] = ABSENT
    """The stack that manages the external object."""
    address: Maybe[str] = ABSENT
    """The address of the external object in its stack, for example `blocks.organization`."""
    for_each: Maybe[Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression] = ABSENT
    """Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the key and the value of the current one."""
    when: Maybe[bool | Expression] = ABSENT
    """Whether to create the object. Default: true."""
    policy: Maybe[McpServerPolicy | None] = ABSENT
    """The policy of each field, by field name."""
    lifecycle: Maybe[McpServerLifecycle | None] = ABSENT
    """How the object may change."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Provider(Declared):
    """A provider of models, used with your own API key."""

    section: ClassVar[str | None] = "providers"

    name: Maybe[Text] = ABSENT
    """Name of the provider and first part of its models' handles; unique on the server. Default: the key."""
    provider_type: Maybe[Literal["anthropic", "azure", "baseten", "bedrock", "cerebras", "chatgpt_oauth", "deepseek", "fireworks", "google_ai", "google_vertex", "groq", "hugging-face", "letta", "lmstudio_openai", "minimax", "mistral", "ollama", "openai", "together", "vllm", "sglang", "openrouter", "xai", "zai", "zai_coding"] | Expression] = ABSENT
    """API of the provider."""
    api_key: Maybe[Text] = field(default=ABSENT, repr=False)
    """API key."""
    access_key: Maybe[Text] = field(default=ABSENT, repr=False)
    """Second part of the credentials, for providers that require two."""
    base_url: Maybe[Text] = field(default=ABSENT, repr=False)
    """Base URL of the API."""
    region: Maybe[Text] = ABSENT
    """Region in which the models run."""
    api_version: Maybe[Text] = ABSENT
    """Version of the API."""
    external: Maybe[bool] = ABSENT
    """Whether the object is managed elsewhere. It is used and never changed. Give `name`, `id`, or both `stack` and `address` to identify it. In an environment, it drops the other fields of the object. Default: false."""
    id: Maybe[str] = ABSENT
    """The ID of the external object."""
    stack: Maybe[str] = ABSENT
    """The stack that manages the external object."""
    address: Maybe[str] = ABSENT
    """The address of the external object in its stack, for example `blocks.organization`."""
    for_each: Maybe[Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression] = ABSENT
    """Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the key and the value of the current one."""
    when: Maybe[bool | Expression] = ABSENT
    """Whether to create the object. Default: true."""
    policy: Maybe[ProviderPolicy | None] = ABSENT
    """The policy of each field, by field name."""
    lifecycle: Maybe[ProviderLifecycle | None] = ABSENT
    """How the object may change."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Schedule(Declared):
    """Messages that are sent to an agent once or repeatedly. Available on Letta Cloud only."""

    section: ClassVar[str | None] = "schedules"

    name: Maybe[Text] = ABSENT
    """Derived from the messages and the time; cannot be set."""
    agent: Maybe[str | Agent] = ABSENT
    """Agent that receives the messages: a key of `agents`."""
    messages: Maybe[Sequence[ScheduledMessage | JsonFile | Expression] | Expression] = ABSENT
    """Messages to send: maps of `role` and `content`."""
    cron: Maybe[Text] = ABSENT
    """Time of a repeated schedule, as a cron expression of five fields."""
    at: Maybe[int | Expression] = ABSENT
    """Time of a one-time schedule, in milliseconds since 1970-01-01 UTC."""
    callback_url: Maybe[Text] = ABSENT
    """URL to call when a run has ended."""
    include_return_message_types: Maybe[Sequence[Literal["system_message", "user_message", "assistant_message", "reasoning_message", "hidden_reasoning_message", "tool_call_message", "tool_return_message", "approval_request_message", "approval_response_message", "summary_message", "event_message"] | Expression] | Expression] = ABSENT
    """Types of messages to include in that call."""
    max_steps: Maybe[int | Expression] = ABSENT
    """Maximum number of steps per run."""
    external: Maybe[bool] = ABSENT
    """Whether the object is managed elsewhere. It is used and never changed. Give `name`, `id`, or both `stack` and `address` to identify it. In an environment, it drops the other fields of the object. Default: false."""
    id: Maybe[str] = ABSENT
    """The ID of the external object."""
    stack: Maybe[str] = ABSENT
    """The stack that manages the external object."""
    address: Maybe[str] = ABSENT
    """The address of the external object in its stack, for example `blocks.organization`."""
    for_each: Maybe[Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression] = ABSENT
    """Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the key and the value of the current one."""
    when: Maybe[bool | Expression] = ABSENT
    """Whether to create the object. Default: true."""
    policy: Maybe[SchedulePolicy | None] = ABSENT
    """The policy of each field, by field name."""
    lifecycle: Maybe[ScheduleLifecycle | None] = ABSENT
    """How the object may change."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Tool(Declared):
    """A function that agents can call: Python source, named after its last function or by `json_schema`."""

    section: ClassVar[str | None] = "tools"

    name: Maybe[Text] = ABSENT
    """Name of the function. Derived from the source; cannot be set."""
    source: Maybe[Text] = ABSENT
    """Source code: a path that ends in `.py` or `.ts`, or the text."""
    source_type: Maybe[Literal["python", "typescript"] | Expression] = ABSENT
    """Language of the source. Default: `python`."""
    json_schema: Maybe[Values] = ABSENT
    """JSON schema of the function for models. Default: derived from the source."""
    args_json_schema: Maybe[Values] = ABSENT
    """JSON schema of the arguments, in place of the derived one."""
    description: Maybe[Text] = ABSENT
    """Description for people. Models read the docstring, or the `json_schema`."""
    return_char_limit: Maybe[int | Expression] = ABSENT
    """Maximum number of characters of the result that agents see."""
    pip_requirements: Maybe[Sequence[PipRequirement | JsonFile | Expression] | Expression] = ABSENT
    """Packages from PyPI that the source imports: maps of `name` and `version`."""
    npm_requirements: Maybe[Sequence[NpmRequirement | JsonFile | Expression] | Expression] = ABSENT
    """Packages from npm that the source imports: maps of `name` and `version`."""
    default_requires_approval: Maybe[bool | Expression] = ABSENT
    """Whether agents to which the tool is attached need approval to call it. Written to the `tool_rules` of the stack's agents."""
    enable_parallel_execution: Maybe[bool | Expression] = ABSENT
    """Whether the tool can run at the same time as other tools."""
    mcp: Maybe[str | McpServer] = ABSENT
    """MCP server that offers the tool of this name: a key of `mcp_servers`. Excludes all other fields."""
    tags: Maybe[Sequence[Text] | Expression | None] = ABSENT
    """Tags to find the tool by."""
    external: Maybe[bool] = ABSENT
    """Whether the object is managed elsewhere. It is used and never changed. Give `name`, `id`, or both `stack` and `address` to identify it. In an environment, it drops the other fields of the object. Default: false."""
    id: Maybe[str] = ABSENT
    """The ID of the external object."""
    stack: Maybe[str] = ABSENT
    """The stack that manages the external object."""
    address: Maybe[str] = ABSENT
    """The address of the external object in its stack, for example `blocks.organization`."""
    for_each: Maybe[Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression] = ABSENT
    """Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the key and the value of the current one."""
    when: Maybe[bool | Expression] = ABSENT
    """Whether to create the object. Default: true."""
    policy: Maybe[ToolPolicy | None] = ABSENT
    """The policy of each field, by field name."""
    lifecycle: Maybe[ToolLifecycle | None] = ABSENT
    """How the object may change."""


@dataclass(frozen=True, kw_only=True, repr=False)
class OwnBlock(Declared):
    """A block that is a part of the object that contains it."""

    value: Maybe[Text | None] = ABSENT
    """Text of the block."""
    description: Maybe[Text | None] = ABSENT
    """Instructions for agents: what to store in the block."""
    limit: Maybe[int | Expression] = ABSENT
    """Maximum number of characters of the text."""
    read_only: Maybe[bool | Expression] = ABSENT
    """Whether agents can only read the block."""
    hidden: Maybe[bool | Expression] = ABSENT
    """Whether default lists leave the block out."""
    tags: Maybe[Sequence[Text] | Expression | None] = ABSENT
    """Tags to find the block by."""
    metadata: Maybe[Values | None] = ABSENT
    """Additional data to store with the block."""
    project_id: Maybe[Text] = ABSENT
    """ID of the project that the block belongs to (Letta Cloud)."""
    policy: Maybe[BlockPolicy | None] = ABSENT
    """The policy of each field, by field name."""
    lifecycle: Maybe[BlockLifecycle | None] = ABSENT
    """How the object may change."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Match(Declared):
    """Fields of every existing agent that is selected. Nothing else of these agents is changed."""

    section: ClassVar[str | None] = "matches"

    description: Maybe[Text | None] = ABSENT
    """Purpose of the agent."""
    model: Maybe[Text] = ABSENT
    """Handle of the language model, as `provider/model`."""
    embedding: Maybe[Text] = ABSENT
    """Handle of the embedding model, as `provider/model`."""
    system: Maybe[Text | None] = ABSENT
    """System prompt."""
    blocks: Maybe[Sequence[str | Block] | Expression | None] = ABSENT
    """Shared memory blocks: keys of `blocks`."""
    tools: Maybe[Sequence[str | Tool] | Expression | None] = ABSENT
    """Tools that the agent can call: keys of `tools`, or names of the server's built-in tools."""
    folders: Maybe[Sequence[str | Folder] | Expression | None] = ABSENT
    """Folders of files that the agent can open and search: keys of `folders`."""
    archive: Maybe[str | Archive | None] = ABSENT
    """Archive of long-term memory: a key of `archives`."""
    identities: Maybe[Sequence[str | Identity] | Expression | None] = ABSENT
    """Identities that the agent works for: keys of `identities`."""
    tool_rules: Maybe[Sequence[ToolRule | JsonFile | Expression] | Expression | None] = ABSENT
    """Rules for the order in which tools are called."""
    secrets: Maybe[Mapping[str, Text | None] | JsonFile | Expression | None] = field(default=ABSENT, repr=False)
    """Environment variables available to the agent's tools."""
    tags: Maybe[Sequence[Text] | Expression | None] = ABSENT
    """Tags to find the agent by."""
    metadata: Maybe[Values | None] = ABSENT
    """Additional data to store with the agent."""
    context_window: Maybe[int | Expression] = ABSENT
    """Maximum number of tokens in the context window."""
    max_tokens: Maybe[int | Expression | None] = ABSENT
    """Maximum number of output tokens per response."""
    model_settings: Maybe[ModelSettings | JsonFile | Expression] = ABSENT
    """Settings of the model provider: `provider_type`, `temperature` and others."""
    parallel_tool_calls: Maybe[bool | Expression] = ABSENT
    """Whether the model can call several tools in one response."""
    reasoning: Maybe[bool | Expression] = ABSENT
    """Whether the model reasons before it responds, if it supports reasoning."""
    response_format: Maybe[ResponseFormat | JsonFile | Expression] = ABSENT
    """Format of responses: a map with the `type` `text`, `json_object` or `json_schema`."""
    compaction_settings: Maybe[CompactionSettings | JsonFile | Expression] = ABSENT
    """Settings for the summary of old messages."""
    message_buffer_autoclear: Maybe[bool | Expression] = ABSENT
    """Whether the agent forgets the conversation after each response."""
    timezone: Maybe[Text] = ABSENT
    """Time zone of the agent, as `Europe/Berlin`."""
    max_files_open: Maybe[int | Expression] = ABSENT
    """Maximum number of files that can be open at the same time."""
    per_file_view_window_char_limit: Maybe[int | Expression] = ABSENT
    """Maximum number of characters of an open file that the agent sees."""
    project_id: Maybe[Text] = ABSENT
    """ID of the project that the agent belongs to (Letta Cloud)."""
    match: Maybe[AgentMatch] = ABSENT
    """Which existing agents are selected, whoever created them. Agents of this stack are not: their fields are declared in `agents`."""
    limit: Maybe[int | None] = ABSENT
    """The largest number of agents that may be selected; a plan that selects more is refused. null: no limit. Default: 20."""
    policy: Maybe[MatchPolicy | None] = ABSENT
    """The policy of each field, by field name."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Fleet(Declared):
    """A whole manifest. The value of an entry of `environments` is a Fleet, too."""

    stack: Maybe[str] = ABSENT
    """The name of the stack, which owns the objects of this manifest on the server."""
    server: Maybe[Server | None] = field(default=ABSENT, repr=False)
    """The Letta server. --server and LETTA_BASE_URL take precedence."""
    snapshots: Maybe[Snapshots | None] = ABSENT
    """Where and when snapshots are written: before objects are deleted, and by `lettaform snapshot create`."""
    limits: Maybe[Limits | None] = ABSENT
    """How much one plan may do. --ignore-limits lifts all limits for one run. `destroy` has none."""
    policies: Maybe[Mapping[str, Policy]] = ABSENT
    """Rules that each plan must meet, before anything is written. They need `lettaform[policy]`."""
    checks: Maybe[Mapping[str, Check]] = ABSENT
    """Conversations with throw-away copies of agents, and what is expected of them: `lettaform check` runs them."""
    lint: Maybe[Lint | None] = ABSENT
    """Which warnings of `lettaform validate` are switched off."""
    variables: Maybe[Mapping[str, Variable | None]] = field(default=ABSENT, repr=False)
    """Values that can differ between runs."""
    include: Maybe[Sequence[str]] = ABSENT
    """Other files of this stack, inside the project folder."""
    defaults: Maybe[Defaults] = ABSENT
    """Default values of fields, by section. Objects override them."""
    agents: Maybe[Mapping[str, Agent | Unset | None]] = ABSENT
    """A language model with a prompt, tools, and memory that it edits while it runs."""
    archives: Maybe[Mapping[str, Archive | Unset | None]] = ABSENT
    """Long-term memory that agents search: passages of text."""
    blocks: Maybe[Mapping[str, Block | Unset | None]] = ABSENT
    """A labelled text in the context of agents, which they can edit while they run."""
    conversations: Maybe[Mapping[str, Conversation | Unset | None]] = ABSENT
    """A separate thread of messages with one agent, optionally with copies of some of its blocks."""
    folders: Maybe[Mapping[str, Folder | Unset | None]] = ABSENT
    """Files that agents open and search."""
    groups: Maybe[Mapping[str, Group | Unset | None]] = ABSENT
    """Several agents that answer messages together."""
    identities: Maybe[Mapping[str, Identity | Unset | None]] = ABSENT
    """A person or an organisation that agents work for."""
    mcp_servers: Maybe[Mapping[str, McpServer | Unset | None]] = ABSENT
    """A program that offers tools, over HTTP or as a process on the machine of the Letta server."""
    providers: Maybe[Mapping[str, Provider | Unset | None]] = ABSENT
    """A provider of models, used with your own API key."""
    schedules: Maybe[Mapping[str, Schedule | Unset | None]] = ABSENT
    """Messages that are sent to an agent once or repeatedly. Available on Letta Cloud only."""
    tools: Maybe[Mapping[str, Tool | Unset | None]] = ABSENT
    """A function that agents can call: Python source, named after its last function or by `json_schema`."""
    matches: Maybe[Mapping[str, Match | Unset | None]] = ABSENT
    """Fields of existing agents that this stack does not own, whoever created them."""
    components: Maybe[Mapping[str, Component]] = field(default=ABSENT, repr=False)
    """Components: the objects of other files, used as a whole. Their addresses begin with `components.KEY`."""
    moved: Maybe[Sequence[Moved]] = ABSENT
    """Addresses that were renamed. The objects are kept."""
    imports: Maybe[Sequence[Import]] = ABSENT
    """Existing objects of the server that this stack takes over."""
    removed: Maybe[Sequence[Removed]] = ABSENT
    """Addresses that are no longer declared, and whether to delete their objects."""
    outputs: Maybe[Mapping[str, Any]] = ABSENT
    """Values that plan and apply report."""
    environments: Maybe[Mapping[str, Fleet | None]] = ABSENT
    """Environments. The one selected with -e is merged over the rest of the manifest, key by key."""
