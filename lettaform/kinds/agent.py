"""Agents."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from lettaform.kinds.base import Kind, attr, without
from lettaform.kinds.maps import AnyToolRule, CompactionSettings, InitialMessage, ModelSettings, ResponseFormat
from lettaform.kinds.traits import (
    AddedByServer,
    AddsTo,
    AgentFile,
    Companions,
    FollowUp,
    ListedAt,
    Mention,
    Mentions,
    Parts,
    PerMember,
    Requests,
    Runs,
)
from lettaform.values import canonical, digest

# fmt: off
AgentType = Literal["letta_v1_agent", "memgpt_agent", "memgpt_v2_agent", "react_agent", "workflow_agent", "sleeptime_agent", "voice_convo_agent", "voice_sleeptime_agent"]
# 0.16.8 also lists split_thread_agent, and answers 400 to it
FILE_TOOLS = ("open_files", "grep_files", "semantic_search_files")


_MEMORY_TOOLS = ("memory_insert", "memory_replace")
BASE_TOOLS: Mapping[str, tuple[str, ...]] = {
    "letta_v1_agent": ("conversation_search", *_MEMORY_TOOLS),
    "memgpt_v2_agent": ("conversation_search", *_MEMORY_TOOLS, "send_message"),
    "memgpt_agent": (
        *("conversation_search", "core_memory_append", "core_memory_replace", "memory", "memory_apply_patch"),
        "send_message",
    ),
    "sleeptime_agent": (*_MEMORY_TOOLS, "memory_rethink", "memory_finish_edits"),
    "voice_convo_agent": ("search_memory", "send_message"),
    "voice_sleeptime_agent": ("store_memories", "rethink_user_memory", "finish_rethinking_memory"),
}
"""The tools that 0.16.8 adds to a new agent, by its type; none to other types."""
WITH_SLEEPTIME = ("archival_memory_search", "conversation_search", "send_message")
"""The tools that 0.16.8 adds instead if the agent has a sleeptime agent; not to agents of the three types below."""
_ALWAYS_THE_SAME = ("sleeptime_agent", "voice_convo_agent", "voice_sleeptime_agent")
MADE_ALONG = ("sleeptime_agent", "voice_sleeptime_agent")
"""The types of the agents that the server creates along with others."""
WRITING_TOOLS = frozenset(
    {
        *("memory", "memory_apply_patch", "core_memory_append", "core_memory_replace"),
        *(*_MEMORY_TOOLS, "memory_rethink", "rethink_user_memory"),
    }
)
"""The built-in tools with which an agent writes its memory blocks (0.16.8)."""
MULTI_AGENT_TOOLS = (
    *("send_message_to_agent_and_wait_for_reply", "send_message_to_agents_matching_tags"),
    "send_message_to_agent_async",
)
_ENDING = ("send_message", "send_message_to_agent_async", "memory_finish_edits")
BASE_RULES: Mapping[str, str] = {
    **dict.fromkeys(("conversation_search", "archival_memory_insert", "archival_memory_search"), "continue_loop"),
    **dict.fromkeys(("memory", "memory_apply_patch", "core_memory_append", "core_memory_replace"), "continue_loop"),
    **dict.fromkeys((*_MEMORY_TOOLS, "memory_rethink"), "continue_loop"),
    **dict.fromkeys(_ENDING, "exit_loop"),
}
"""Tool to the type of the rule that 0.16.8 adds to a new agent that has the tool."""


def _named_tools(values: Mapping[str, Any]) -> Iterator[Mention]:
    """The names of tools in the rules for tools. 0.16.8 accepts every name, and ignores those that it does not know."""
    rules = values.get("tool_rules")
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        for path, name, arguments in _names(rule) if isinstance(rule, Mapping) else ():
            if isinstance(name, str):
                given = tuple(map(str, arguments)) if isinstance(arguments, Mapping) else ()
                yield Mention(f"tool_rules.{number}.{path}", name, given)


def _names(rule: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Path, name and prefilled arguments of each tool in a rule."""
    yield "tool_name", rule.get("tool_name"), rule.get("args")
    yield "default_child", rule.get("default_child"), None
    children, mapping, nodes = rule.get("children"), rule.get("child_output_mapping"), rule.get("child_arg_nodes")
    yield from ((f"children.{n}", name, None) for n, name in enumerate(children if isinstance(children, list) else ()))
    entries = mapping.items() if isinstance(mapping, Mapping) else ()
    yield from ((f"child_output_mapping.{key}", name, None) for key, name in entries)
    for n, node in enumerate(nodes if isinstance(nodes, list) else ()):
        if isinstance(node, Mapping):
            yield f"child_arg_nodes.{n}.name", node.get("name"), node.get("args")


def _added_tools(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the tools that 0.16.8 adds to a new agent. Those for its folders are not among them."""
    kind, names = values.get("agent_type") or "letta_v1_agent", tuple[str, ...]()
    if values.get("include_base_tools") is not False:
        awake = values.get("sleeptime") and kind not in _ALWAYS_THE_SAME
        names = WITH_SLEEPTIME if awake else BASE_TOOLS.get(kind, ())
    return names + (MULTI_AGENT_TOOLS if values.get("include_multi_agent_tools") else ())


def _added_rules(values: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    """The rules that 0.16.8 adds to a new agent for its built-in tools."""
    included = values.get("include_base_tool_rules")
    if included is None:
        plain = (values.get("agent_type") or "letta_v1_agent") == "letta_v1_agent" and not values.get("sleeptime")
        included = not plain or bool(values.get("tool_rules")) or values.get("include_base_tools") is False
    declared = values.get("tools")
    names = dict.fromkeys((*_added_tools(values), *(declared if isinstance(declared, list) else ())))
    return tuple({"type": BASE_RULES[name], "tool_name": name} for name in names if included and name in BASE_RULES)


_APPROVAL = PerMember(
    "tools",
    "default_requires_approval",
    item=lambda name: {"type": "requires_approval", "tool_name": name},
    of=lambda rule: rule.get("tool_name") if rule.get("type") == "requires_approval" else None,
)
"""0.16.8 adds such a rule at creation and on attach, not when the tool changes, and keeps it on detach."""

_PROMPTS = frozenset(
    {
        *("161bae528251dfb35d25745be82534f1", "ba1dd0cc68c8d02a85d1d54fc77145f7", "6645f2c24bc39551e4b2901b110362a2"),
        *("c1920461b93e02e151f6454b3e7ea0e9", "aeec434d89246b55a48e796dc2129af1", "0ab124939dcb55f82f6a0ff2757b26b6"),
        "3b35bb4b9b551043c47c0b66c70189bb",
    }
)
"""Digests of the system prompts that 0.16.8 gives new agents, one for each type of agent."""
_SUMMARIES: Mapping[str, Any] = {
    "mode": "sliding_window", "prompt_acknowledgement": False, "clip_chars": 50000, "sliding_window_percentage": 0.3, "model_settings": None,
}
_SUMMARY_MODELS = ("openai/gpt-5-mini", "anthropic/claude-haiku-4-5", "anthropic/claude-haiku-4-5-20251001", "google_ai/gemini-2.5-flash", "letta/auto")
_SUMMARY_PROMPTS = frozenset(
    {
        *("b7fde31b1a670d1a64354ccc78fc6ff5", "cc6189db6579450aea0b4066b1423db8", "f97a3d6ccfc7797247802be57ac4e176"),
        *("50b34f184757053734b94feb80eba1af", "8f3e5c15a826e0aa863c920131e58c77", "2e397930ceae9843ef1576f6960c3ee7"),
        *("e2a622e58ac7b674efb6f38df380cc3a", "9b403b3ca8ef45311648c0f1c3ecc989"),
    }
)
"""What 0.16.5 and 0.16.8 store as the settings for summaries of a new agent: a model by its provider, a prompt by the
mode, of which these are the digests."""
_FILE_LIMITS = ((8_000, 3, 5_000), (32_000, 5, 15_000), (128_000, 10, 25_000), (200_000, 10, 40_000))
"""Up to which context window a new agent may open how many files, and see how many characters of each (0.16.8)."""


def _file_limits(values: Mapping[str, Any]) -> Mapping[str, int]:
    size = values.get("context_window") or 0
    files, characters = next(((files, seen) for limit, files, seen in _FILE_LIMITS if size <= limit), (15, 40_000))
    return {"max_files_open": files, "per_file_view_window_char_limit": characters}


def _summaries(settings: Mapping[str, Any]) -> Any:
    """The settings for summaries that a new agent does not have by itself."""
    model, prompt = settings.get("model"), settings.get("prompt")
    same = {"model": model} if model in (None, *_SUMMARY_MODELS) else {}
    same |= {"prompt": prompt} if prompt is None or digest(prompt) in _SUMMARY_PROMPTS else {}
    return without(settings, {**_SUMMARIES, **same})


def _settings(settings: Mapping[str, Any], values: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """The settings of a model provider that neither a new agent has by itself nor another field sets."""
    # 0.16.8 answers every key of the provider, empty ones, too, and what other fields of the agent say once more
    same = {"max_output_tokens": values.get("max_tokens"), "parallel_tool_calls": values.get("parallel_tool_calls")}
    kept = {key: item for key, item in settings.items() if item is not None and (key not in same or item != same[key])}
    found = without(kept, {key: item for key, item in given.items() if key != "provider_type"})
    return found if found and found.keys() - {"provider_type"} else None


def _own_rules(rules: list[Any], values: Mapping[str, Any]) -> list[Any] | None:
    """The rules of an agent; None if they are those that the server adds by itself, in any order."""
    added = _added_rules({**values, "tool_rules": []})
    return None if not rules or sorted(map(canonical, rules)) == sorted(map(canonical, added)) else rules


_MESSAGES_AT_CREATION = {
    "letta_v1_agent": 1, "sleeptime_agent": 1, "memgpt_agent": 4, "memgpt_v2_agent": 4, "react_agent": 4, "workflow_agent": 4,
}
"""The number of `message_ids` of a new agent on 0.16.8, by its type."""


def _never_ran(body: Mapping[str, Any]) -> bool:
    """Whether an agent has no messages but those of its creation."""
    # 0.16.8: both are null until the first run; a reset of the messages leaves last_stop_reason
    never = all(name in body and body[name] is None for name in ("last_stop_reason", "last_run_completion"))
    messages = body.get("message_ids")
    return never and messages is not None and len(messages) <= _MESSAGES_AT_CREATION.get(str(body.get("agent_type")), -1)


def _activity(body: Mapping[str, Any]) -> Any:
    """The ids of the messages in the context: 0.16.8 changes no message, and puts every new one there.

    They say nothing of an agent that forgets them after each response, or that leads others, which its file contains.
    """
    group = body.get("multi_agent_group") or {}
    silent = body.get("message_buffer_autoclear") is not False or group.get("manager_type", "sleeptime") != "sleeptime"
    return None if silent else body.get("message_ids")


class Agent(Kind, section="agents", path="/v1/agents/", mark="metadata", precious=True):
    """A language model with a prompt, tools, and memory that it edits while it runs."""

    name: str = attr("Display name; does not have to be unique. Default: the key.")
    description: str = attr("Purpose of the agent.", clear="", mergeable=True)
    model: str = attr("Handle of the language model, as `provider/model`.", required=True, group="model", offered="/v1/models/", constraints={"pattern": ".+/.+"})
    embedding: str = attr("Handle of the embedding model, as `provider/model`.", offered="/v1/models/embedding", constraints={"pattern": ".+/.+"})
    system: str = attr("System prompt.", clear="", mergeable=True)
    agent_type: AgentType = attr("Architecture of the agent. Default: `letta_v1_agent`.", immutable=True)
    memory: dict[str, Any] = attr("Memory blocks of this agent alone: a map of label to text or block.", write="memory_blocks", read=None, relation=Parts("block", discovered="memory_persona"))
    blocks: list[str] = attr("Shared memory blocks: keys of `blocks`.", to="block", write="block_ids", read="blocks[].id", unordered=True, additive=True, link="core-memory/blocks", clear=[])
    tools: list[str] = attr("Tools that the agent can call: keys of `tools`, or names of the server's built-in tools.", to="tool", write="tool_ids", read="tools[].id", unordered=True, additive=True, link="tools", relation=AddedByServer(_added_tools, {"include_base_tools": True, "include_multi_agent_tools": False}), clear=[])
    folders: list[str] = attr("Folders of files that the agent can open and search: keys of `folders`.", to="folder", write="folder_ids", read="sources[].id", unordered=True, additive=True, link="folders", include="agent.sources", relation=AddsTo({"tools": FILE_TOOLS}), clear=[])
    archive: str = attr("Archive of long-term memory: a key of `archives`.", to="archive", write=None, read=None, additive=True, link="archives", relation=ListedAt("/v1/archives/", users="/agents"), clear=[])
    identities: list[str] = attr("Identities that the agent works for: keys of `identities`.", to="identity", write="identity_ids", read="identities[].id", unordered=True, additive=True, link="identities", include="agent.identities", clear=[])
    sleeptime: bool | dict[str, Any] = attr("Whether a second agent maintains the memory in the background. A map sets its `frequency` in turns and fields of the second agent.", write="enable_sleeptime", include="agent.managed_group", relation=Companions({"group": ("frequency",), "agent": ()}, shared=("blocks",)))
    tool_rules: list[AnyToolRule] = attr("Rules for the order in which tools are called.", clear=[], relation=AddedByServer(_added_rules, {"include_base_tool_rules": True}, _APPROVAL))
    secrets: dict[str, str] = attr("Environment variables available to the agent's tools.", secret=True, partial=True, clear={})
    tags: list[str] = attr("Tags to find the agent by.", unordered=True, additive=True, clear=[])
    metadata: dict[str, Any] = attr("Additional data to store with the agent.", partial=True, clear={})
    context_window: int = attr("Maximum number of tokens in the context window.", write="context_window_limit", read="llm_config.context_window", group="model", constraints={"ge": 1})
    max_tokens: int = attr("Maximum number of output tokens per response.", read="llm_config.max_tokens", group="model", clear=None, constraints={"ge": 1})
    model_settings: ModelSettings = attr("Settings of the model provider: `provider_type`, `temperature` and others.", partial=True, merges=True, group="model")
    parallel_tool_calls: bool = attr("Whether the model can call several tools in one response.", read="llm_config.parallel_tool_calls", group="model")
    reasoning: bool = attr("Whether the model reasons before it responds, if it supports reasoning.", read=None, group="model")
    response_format: ResponseFormat = attr("Format of responses: a map with the `type` `text`, `json_object` or `json_schema`.")
    compaction_settings: CompactionSettings = attr("Settings for the summary of old messages.", partial=True, merges=True)
    message_buffer_autoclear: bool = attr("Whether the agent forgets the conversation after each response.")
    timezone: str = attr("Time zone of the agent, as `Europe/Berlin`.")
    max_files_open: int = attr("Maximum number of files that can be open at the same time.", constraints={"ge": 1, "le": 1000})
    per_file_view_window_char_limit: int = attr("Maximum number of characters of an open file that the agent sees.", constraints={"ge": 1, "le": 2**31 - 1})
    hidden: bool = attr("Whether default lists leave the agent out.", immutable=True)  # 0.16.8 accepts PATCH hidden and ignores it
    embedding_chunk_size: int = attr("Number of characters in each embedded chunk.", immutable=True, read="embedding_config.embedding_chunk_size", constraints={"ge": 1})
    max_reasoning_tokens: int = attr("Maximum number of reasoning tokens per response.", create_only=True, constraints={"ge": 0})
    include_base_tools: bool = attr("Whether to add the server's base tools. Default: true, or false if `tools` has the policy `enforce`.", create_only=True)
    include_multi_agent_tools: bool = attr("Whether to add the server's tools for messages between agents. Default: false.", create_only=True)
    include_base_tool_rules: bool = attr("Whether to add the tool rules of the base tools. Default: true, or false if `tool_rules` is set.", create_only=True)
    initial_message_sequence: list[InitialMessage] = attr("Initial messages of the conversation, instead of the server's own.", create_only=True)
    project_id: str = attr("ID of the project that the agent belongs to (Letta Cloud).")
    # fmt: on

    compiled: ClassVar[frozenset[str]] = frozenset({"system", "blocks", "tools", "folders", "tool_rules", "timezone", "memory", "max_files_open"})
    replacement: ClassVar[str] = "with its blocks, without its conversation"
    call: ClassVar[FollowUp | None] = FollowUp("recompile", "POST", str, "its prompt was recompiled", since="0.16.5")
    mentions: ClassVar[Mentions | None] = Mentions("tool_rules", "tool", "tools", _named_tools)
    initial: ClassVar[Mapping[str, Any]] = {
        "agent_type": "letta_v1_agent", "sleeptime": False, "message_buffer_autoclear": False, "hidden": False, "timezone": "UTC", "embedding_chunk_size": 300,
    }
    discovers: ClassVar[Mapping[str, str]] = {"group": "managed_group.id", "agent": "managed_group.agent_ids", "block": "blocks"}
    agent_file: ClassVar[AgentFile | None] = AgentFile(unused=_never_ran, activity=_activity)
    # 0.16.8 leaves the time null, and sets the reason
    runs: ClassVar[Runs | None] = Runs("last_run_completion", "last_stop_reason")
    # 0.16.8 answers relations that are not asked for as empty lists; those that are asked for come for every client
    requests: ClassVar[Requests] = Requests(
        include=("agent.blocks", "agent.tools", "agent.tags", "agent.secrets"), parameters={"show_hidden_agents": True}
    )

    unmanaged: ClassVar[Mapping[str, str]] = {
        "llm_config": "model, context_window, max_tokens, model_settings and reasoning manage its parts",
        "embedding_config": "embedding and embedding_chunk_size manage its parts",
        "tool_exec_environment_variables": "the old name of secrets",
        "source_ids": "the old name of folder_ids; folders sets it",
        "include_default_source": "0.16.8 creates a folder that outlives the agent, and answers 409 when the agent is created again",
        "enable_reasoner": "deprecated; the same as reasoning",
        "message_ids": "the conversation belongs to the agent",
        "last_run_completion": "written by the server as the agent runs",
        "last_run_duration_ms": "written by the server as the agent runs",
        "last_stop_reason": "written by the server as the agent runs",
        "from_template": "templates exist on Letta Cloud only",
        "template": "templates exist on Letta Cloud only",
        "template_id": "templates exist on Letta Cloud only",
        "base_template_id": "templates exist on Letta Cloud only",
        "memory_variables": "templates exist on Letta Cloud only",
        "project": "deprecated; the same as project_id",
        "actor_id": "set by the server",
        "tools": "names, at creation only; tools sets the same with IDs",
    }

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        settings, config = body.get("model_settings"), body.get("llm_config") or {}
        if settings:
            # 0.16.8 always answers parallel_tool_calls true and response_format null here; llm_config is right
            actual = {key: config[key] for key in ("parallel_tool_calls", "response_format") if key in config and key in settings}
            settings = settings | actual
        variables = {item["key"]: item["value"] for item in body.get("secrets") or ()}
        decoded = {"model": config.get("handle") or body.get("model"), "model_settings": settings, "secrets": variables}
        group = body.get("managed_group") or {}
        group = group if str(group.get("manager_type")).endswith("sleeptime") else None
        # the flag stays true where the group no longer exists, or where another group takes its place
        return {**body, **decoded, "managed_group": group, "enable_sleeptime": bool(body.get("enable_sleeptime") and group)}

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        """Send all model fields together: 0.16.8 rebuilds the whole model configuration from those in the request."""
        lines = {line.write for line in cls.attrs().values() if line.group == "model"}
        if live is None or not lines & body.keys():
            return body
        now = cls.decode(live)
        config, settings = now.get("llm_config") or {}, dict(now.get("model_settings") or {})
        wanted = body.get("model_settings") or {}
        if body.setdefault("model", now["model"]) == now["model"]:
            body.setdefault("context_window_limit", config.get("context_window"))
            body.setdefault("max_tokens", config.get("max_tokens"))
            if config.get("parallel_tool_calls") is not None:
                body.setdefault("parallel_tool_calls", wanted.get("parallel_tool_calls", config["parallel_tool_calls"]))
            if wanted.get("provider_type", settings.get("provider_type")) == settings.get("provider_type"):
                settings["max_output_tokens"] = body["max_tokens"]
                body["model_settings"] = {key: value for key, value in (settings | wanted).items() if value is not None}
        if body.get("max_tokens") is not None and body.get("model_settings"):
            wanted.get("max_output_tokens") or body["model_settings"].__setitem__("max_output_tokens", body["max_tokens"])
        return body

    @classmethod
    def normal(cls, field: str, value: Any) -> Any:
        if field == "tool_rules" and isinstance(value, list):
            # the server answers each rule with the optional keys of its type, empty
            return [{k: v for k, v in rule.items() if v is not None and (k, v) not in _EMPTY} for rule in value]
        return value

    @classmethod
    def without_initial(cls, field: str, values: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
        value = values.get(field)
        if field == "system" and isinstance(value, str):
            return None if digest(value) in _PROMPTS else value
        if field == "compaction_settings" and isinstance(value, Mapping):
            return _summaries(value)
        if field == "model_settings" and isinstance(value, Mapping):
            return _settings(value, values, given.get(field) or {})
        if field == "tool_rules":
            return _own_rules([rule for rule in cls.normal(field, value) or () if not cls.foreign(field, rule)], values)
        given = {"message_buffer_autoclear": values.get("agent_type") == "workflow_agent", **_file_limits(values), **given}
        return super().without_initial(field, values, given)

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        problems: list[tuple[str, str, str | None]] = []
        name = values.get("name")
        # 0.16.8 answers 500 at creation, and accepts it by PATCH, after which no export works
        if isinstance(name, str) and not re.fullmatch(r"[\w '\-]+", name):
            composed = re.fullmatch(r"[\w '\-]+", unicodedata.normalize("NFC", name))
            hint = "write each accented letter as one character (Unicode NFC)" if composed else "use letters, digits, spaces, `-`, `_` and `'`"
            problems.append(("name", f"the server does not accept the name {name!r}", hint))
        for key, value in (values.get("secrets") or {}).items():
            if value == "" or getattr(value, "value", None) == "":  # reads back as "<encrypted>" on 0.16.8
                problems.append((f"secrets.{key}", "is empty, and the server cannot store an empty secret", "remove it"))
        problems += _rules(values.get("tool_rules"))
        settings = values.get("model_settings")
        tokens, thinking = values.get("max_tokens"), values.get("max_reasoning_tokens")
        if isinstance(thinking, int) and (tokens is None or (isinstance(tokens, int) and thinking > tokens)):
            problems.append(("max_reasoning_tokens", "`max_tokens` must be set, and must not be smaller", None))  # 0.16.8: 400
        for inner, field in (("max_output_tokens", "max_tokens"), ("parallel_tool_calls", "parallel_tool_calls")):
            both = (settings.get(inner), values.get(field)) if isinstance(settings, Mapping) else (None, None)
            if None not in both and both[0] != both[1]:
                message = f"is {both[0]}, but `{field}` is {both[1]}"
                problems.append((f"model_settings.{inner}", message, "set only one of the two"))
        if isinstance(values.get("timezone"), str):
            problems += _timezone(values["timezone"])
        problems += _forced(values)
        reserved = {"git-memory-enabled", "role:subagent"} & set(values.get("tags") or ())
        problems += [("tags", f"the tag `{tag}` is reserved by the server", "choose another tag") for tag in reserved]
        return problems


def _forced(values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
    """What the type of an agent does not leave open."""
    kind, problems = values.get("agent_type"), list[tuple[str, str, str | None]]()
    if kind == "workflow_agent" and values.get("message_buffer_autoclear") is False:  # 0.16.8 ignores it at creation
        message = "the server sets it to true on a new `workflow_agent`"
        problems.append(("message_buffer_autoclear", message, "remove the line, or choose another `agent_type`"))
    if kind == "voice_convo_agent" and not values.get("sleeptime"):  # 0.16.8: 422 at creation
        problems.append(("agent_type", "the server creates a `voice_convo_agent` only with a sleeptime agent", "add `sleeptime: true`"))
    return problems


_EMPTY: tuple[tuple[str, Any], ...] = (("require_output_mapping", False), ("child_arg_nodes", []), ("args", {}))


def _rules(rules: Any) -> list[tuple[str, str, str | None]]:
    # 0.16.8 compares rules without these keys, and keeps one of two equal rules
    compared = [{k: v for k, v in rule.items() if k not in ("args", "prompt_template")} for rule in rules or ()]
    message = "is the same as an earlier rule, and the server keeps only one"
    duplicates = [n for n, rule in enumerate(compared) if rule in compared[:n]]
    problems: list[tuple[str, str, str | None]] = [(f"tool_rules.{n}", message, "remove one") for n in duplicates]
    first = [n for n, rule in enumerate(compared) if rule.get("type") == "run_first"]
    if len(first) > 1:  # 0.16.8: 400 at creation
        problems.append((f"tool_rules.{first[1]}", "is a second `run_first` rule", "only one tool can run first"))
    for number, rule in enumerate(rules or ()):
        children = rule.get("children") or ()
        for index, call in enumerate(rule.get("child_arg_nodes") or ()):
            if isinstance(call.get("name"), str) and call["name"] not in children:  # 0.16.8: 422
                where = f"tool_rules.{number}.child_arg_nodes.{index}.name"
                problems.append((where, f"`{call['name']}` is none of the rule's `children`", "add it to `children`"))
    return problems


def _timezone(name: str) -> list[tuple[str, str, str | None]]:
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # 0.16.8: 500 at creation, and PATCH stores any text
        from lettaform.errors import nearest

        return [("timezone", f"{name!r} is not a time zone", nearest(name, sorted(available_timezones())))]
    return []
