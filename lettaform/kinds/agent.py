"""An agent: a model with a prompt, tools, and memory that it rewrites while it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from lettaform.kinds.base import Call, Kind, attr

# fmt: off
AgentType = Literal["letta_v1_agent", "memgpt_agent", "memgpt_v2_agent", "react_agent", "workflow_agent", "sleeptime_agent", "voice_convo_agent", "voice_sleeptime_agent"]
# 0.16.8 also lists split_thread_agent, and answers 400 to it
FILE_TOOLS = ("open_files", "grep_files", "semantic_search_files")


class Agent(Kind, section="agents", path="/v1/agents/", mark="metadata", precious=True):
    """A model with a prompt, tools, and memory that it rewrites while it runs."""

    name: str = attr("What people call it; need not be unique. The key, unless given.")
    description: str = attr("What it is for.", clear="")
    model: str = attr("The model that answers, as `provider/model`.", birth=True, group="model", offered="/v1/models/", constraints={"pattern": ".+/.+"})
    embedding: str = attr("The model that embeds, as `provider/model`.", offered="/v1/models/embedding", constraints={"pattern": ".+/.+"})
    system: str = attr("The system prompt.", clear="")
    agent_type: AgentType = attr("Its architecture; letta_v1_agent unless given.", fixed=True)
    memory: dict[str, Any] = attr("Its own blocks: label to text, or to a whole block.", own="block", write="memory_blocks", read=None)
    blocks: list[str] = attr("Shared memory: keys of `blocks`.", to="block", write="block_ids", read="blocks[].id", unordered=True, additive=True, link="core-memory/blocks", clear=[])
    tools: list[str] = attr("Tools: keys of `tools`, or names of the server's own.", to="tool", write="tool_ids", read="tools[].id", unordered=True, additive=True, link="tools", clear=[])
    folders: list[str] = attr("Files that it may open and search: keys of `folders`.", to="folder", write="folder_ids", read="sources[].id", unordered=True, additive=True, link="folders", include="agent.sources", entails={"tools": FILE_TOOLS}, clear=[])
    archive: str = attr("Its long-term memory: a key of `archives`.", to="archive", write=None, read=None, listed="/v1/archives/", additive=True, link="archives", clear=[])
    identities: list[str] = attr("On whose behalf it works: keys of `identities`.", to="identity", write="identity_ids", read="identities[].id", unordered=True, additive=True, link="identities", include="agent.identities", clear=[])
    sleeptime: bool | dict[str, Any] = attr("A second agent that tends its memory: true, or a map of its `frequency` in turns and of fields of its own.", write="enable_sleeptime", include="agent.managed_group", along={"group": ("frequency",), "agent": ()})
    tool_rules: list[dict[str, Any]] = attr("Which tools may, must or must not follow which.", clear=[])
    secrets: dict[str, str] = attr("Environment variables of its tools.", secret=True, partial=True, clear={})
    tags: list[str] = attr("Labels to find it by.", unordered=True, additive=True, clear=[])
    metadata: dict[str, Any] = attr("Anything else worth keeping with it.", partial=True, clear={})
    context_window: int = attr("How many tokens of context it uses.", write="context_window_limit", read="llm_config.context_window", group="model", constraints={"ge": 1})
    max_tokens: int = attr("How many tokens one answer may have.", read="llm_config.max_tokens", group="model", clear=None, constraints={"ge": 1})
    model_settings: dict[str, Any] = attr("Settings of the provider: `provider_type`, `temperature` and more.", partial=True, merges=True, group="model")
    parallel_tool_calls: bool = attr("The model may call several tools at once.", read="llm_config.parallel_tool_calls", group="model")
    reasoning: bool = attr("Think before answering, where the model can.", read=None, group="model")
    response_format: dict[str, Any] = attr("The form of its answers: text, json_object, json_schema.")
    compaction_settings: dict[str, Any] = attr("How old messages are summarised.", partial=True, merges=True)
    message_buffer_autoclear: bool = attr("Forget the conversation after each answer.")
    timezone: str = attr("Its time zone, as `Europe/Berlin`.")
    max_files_open: int = attr("How many files it may have open.", constraints={"ge": 1, "le": 1000})
    per_file_view_window_char_limit: int = attr("How many characters of a file it sees.", constraints={"ge": 1})
    hidden: bool = attr("Left out of ordinary listings.", fixed=True)  # 0.16.8 accepts PATCH hidden and ignores it
    embedding_chunk_size: int = attr("Characters per embedded piece.", fixed=True, read="embedding_config.embedding_chunk_size", constraints={"ge": 1})
    max_reasoning_tokens: int = attr("Tokens for thinking, at birth.", once=True, constraints={"ge": 0})
    include_base_tools: bool = attr("Be born with Letta's memory and search tools; yes unless given.", once=True)
    include_multi_agent_tools: bool = attr("Be born with the tools that talk to other agents.", once=True)
    include_base_tool_rules: bool = attr("Be born with the rules of the base tools.", once=True)
    initial_message_sequence: list[dict[str, Any]] = attr("Its first messages, instead of the usual ones.", once=True)
    project_id: str = attr("The project that it belongs to (Letta Cloud).")
    # fmt: on

    compiled: ClassVar[frozenset[str]] = frozenset({"system", "blocks", "tools", "folders", "tool_rules", "timezone", "memory"})
    replaced: ClassVar[str] = "with its blocks, without its conversation"
    call: ClassVar[Call | None] = Call("recompile", "POST", str, "its prompt was compiled again", since="0.16.5")
    brings: ClassVar[Mapping[str, str]] = {"group": "managed_group.id", "agent": "managed_group.agent_ids", "block": "blocks"}
    filed: ClassVar[str | None] = ""
    born_with: ClassVar[Mapping[str, str]] = {"memory": "memory_persona"}
    # 0.16.8 leaves out what is not asked for, as an empty list; what is asked for comes whatever the client is
    include: ClassVar[tuple[str, ...]] = ("agent.blocks", "agent.tools", "agent.tags", "agent.secrets")
    listing: ClassVar[Mapping[str, Any]] = {"show_hidden_agents": True}

    unmanaged: ClassVar[Mapping[str, str]] = {
        "llm_config": "model, context_window, max_tokens, model_settings and reasoning say it in parts",
        "embedding_config": "embedding and embedding_chunk_size say it in parts",
        "tool_exec_environment_variables": "the old name of secrets",
        "source_ids": "the old name of folder_ids",
        "include_default_source": "0.16.8 makes a folder that outlives the agent, and answers 409 to its next birth",
        "enable_reasoner": "deprecated twin of reasoning",
        "message_ids": "the conversation is the agent's own",
        "last_run_completion": "written by the server as the agent runs",
        "last_run_duration_ms": "written by the server as the agent runs",
        "last_stop_reason": "written by the server as the agent runs",
        "from_template": "templates exist on Letta Cloud alone",
        "template": "templates exist on Letta Cloud alone",
        "template_id": "templates exist on Letta Cloud alone",
        "base_template_id": "templates exist on Letta Cloud alone",
        "memory_variables": "templates exist on Letta Cloud alone",
        "project": "deprecated twin of project_id",
        "actor_id": "set by the server",
        "tools": "names, at birth alone; tools says it with ids",
    }

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        settings, config = body.get("model_settings"), body.get("llm_config") or {}
        if settings:
            # 0.16.8 always answers parallel_tool_calls true and response_format null here; llm_config tells the truth.
            told = {key: config[key] for key in ("parallel_tool_calls", "response_format") if key in config and key in settings}
            settings = settings | told
        variables = {item["key"]: item["value"] for item in body.get("secrets") or ()}
        told = {"model": config.get("handle") or body.get("model"), "model_settings": settings, "secrets": variables}
        group = body.get("managed_group") or {}
        group = group if str(group.get("manager_type")).endswith("sleeptime") else None
        # the flag stays where the group is gone, or another leaves no room for one; and then nothing happens
        return {**body, **told, "managed_group": group, "enable_sleeptime": bool(body.get("enable_sleeptime") and group)}

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        """Model fields go together: 0.16.8 rebuilds the whole model configuration from whichever it is given."""
        if live is None:
            if body.get("tool_rules"):  # or else 0.16.8 adds rules of its own
                body.setdefault("include_base_tool_rules", False)
            return body
        lines = {line.write for line in cls.attrs().values() if line.group == "model"}
        if not lines & body.keys():
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
            # each rule comes back with the optional keys of its type, empty
            return [{k: v for k, v in rule.items() if v is not None and (k, v) not in _EMPTY} for rule in value]
        return value

    @classmethod
    def foreign(cls, field: str, item: Any) -> bool:
        # 0.16.8 adds such a rule at birth and on attach for each tool that asks for approval by default.
        return field == "tool_rules" and item.get("type") == "requires_approval"

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        problems: list[tuple[str, str, str | None]] = []
        name = values.get("name")
        # 0.16.8 answers 500 at birth, and lets PATCH through, after which no export works.
        if isinstance(name, str) and not re.fullmatch(r"[\w '\-]+", name):
            problems.append(("name", f"{name!r} is not a name that the server takes", "letters, digits, space, `-`, `_`, `'`"))
        if isinstance(values.get("system"), str) and "\0" in values["system"]:  # 0.16.8: 500
            problems.append(("system", "holds a NUL character, which the server cannot store", None))
        for key, value in (values.get("secrets") or {}).items():
            if value == "" or getattr(value, "value", None) == "":  # reads back as "<encrypted>" on 0.16.8
                problems.append((f"secrets.{key}", "is empty, which the server cannot store", "leave it out"))
        problems += _rules(values.get("tool_rules"))
        settings = values.get("model_settings")
        if isinstance(settings, Mapping) and "provider_type" not in settings:
            problems.append(("model_settings", "needs `provider_type`", "openai, anthropic, google_ai, …"))
        tokens, thinking = values.get("max_tokens"), values.get("max_reasoning_tokens")
        if isinstance(thinking, int) and (tokens is None or (isinstance(tokens, int) and thinking > tokens)):
            problems.append(("max_reasoning_tokens", "needs a larger `max_tokens` beside it", None))  # 0.16.8: 400
        for inner, field in (("max_output_tokens", "max_tokens"), ("parallel_tool_calls", "parallel_tool_calls")):
            if isinstance(settings, Mapping) and None not in (said := (settings.get(inner), values.get(field))) and said[0] != said[1]:
                problems.append((f"model_settings.{inner}", f"says {said[0]}, and `{field}` says {said[1]}", "say it once"))
        if isinstance(values.get("timezone"), str):
            problems += _timezone(values["timezone"])
        reserved = {"git-memory-enabled", "role:subagent"} & set(values.get("tags") or ())
        problems += [("tags", f"`{tag}` has a meaning of its own on the server", "choose another tag") for tag in reserved]
        return problems


_EMPTY: tuple[tuple[str, Any], ...] = (("require_output_mapping", False), ("child_arg_nodes", []), ("args", {}))


def _rules(rules: Any) -> list[tuple[str, str, str | None]]:
    said = [{k: v for k, v in rule.items() if k not in ("args", "prompt_template")} for rule in rules or ()]
    twice = [(n, rule) for n, rule in enumerate(said) if rule in said[:n]]
    told = "says what an earlier rule says: the server keeps one"  # 0.16.8 tells rules apart by the rest alone
    problems: list[tuple[str, str, str | None]] = [(f"tool_rules.{n}", told, "leave one out") for n, _ in twice]
    first = [n for n, rule in enumerate(said) if rule.get("type") == "run_first"]
    if len(first) > 1:  # 0.16.8: 400 at birth
        problems.append((f"tool_rules.{first[1]}", "is a second `run_first` rule", "one tool can run first"))
    return problems


def _timezone(name: str) -> list[tuple[str, str, str | None]]:
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # 0.16.8: 500 at birth, and PATCH stores anything
        from lettaform.errors import nearest

        return [("timezone", f"{name!r} is not a time zone", nearest(name, sorted(available_timezones())))]
    return []
