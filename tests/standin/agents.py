"""`/v1/agents/`: models, prompts, tools, blocks, and the sleeptime agent."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from tests.standin import blocks, groups, identities, models, tools
from tests.standin.lists import choice, invalid_choice, matches_tags, page, page_of
from tests.standin.server import (
    DATABASE,
    ORGANIZATION,
    UNKNOWN,
    USER,
    Ask,
    Body,
    Refusal,
    StandIn,
    absent,
    dangling,
    invalid,
    on,
    taken,
)
from tests.standin.validate import check, faults

_KINDS = (
    *("memgpt_agent", "memgpt_v2_agent", "letta_v1_agent", "react_agent", "workflow_agent", "split_thread_agent"),
    *("sleeptime_agent", "voice_convo_agent", "voice_sleeptime_agent"),
)
_V2 = ("memory_insert", "memory_replace", "conversation_search", "send_message")
_V1 = (
    "memory",
    "memory_apply_patch",
    "core_memory_append",
    "core_memory_replace",
    "conversation_search",
    "send_message",
)
_BASE_TOOLS: Mapping[str, tuple[str, ...]] = {
    "letta_v1_agent": _V2[:3],
    "memgpt_v2_agent": _V2,
    "memgpt_agent": _V1,
    "split_thread_agent": _V1,
    "sleeptime_agent": ("memory_insert", "memory_replace", "memory_rethink", "memory_finish_edits"),
    "voice_sleeptime_agent": ("store_memories", "rethink_user_memory", "finish_rethinking_memory"),
}
_WITH_SLEEPER = ("archival_memory_search", "conversation_search", "send_message")
_SLEEPERS = ("sleeptime_agent", "voice_sleeptime_agent")
_ENDING = ("send_message", "send_message_to_agent_async", "memory_finish_edits")
_GOING_ON = ("letta_core", "letta_memory_core", "letta_sleeptime_core")
_RELATIONS = tuple(
    f"agent.{each}"
    for each in ("blocks", "identities", "managed_group", "pending_approval", "secrets", "sources", "tags", "tools")
)
# fmt: off
_BOTH = {
    "name": "str?", "tool_ids": "ids:tool?", "source_ids": "ids:source?", "folder_ids": "ids:source?",
    "block_ids": "ids:block?", "tags": "strs?", "system": "str?", "description": "str?",
    "tool_rules": "map:tool_rules?", "metadata": "dict?", "llm_config": "dict?",
    "embedding_config": "dict?", "model": "str?",
    "embedding": "str?",
    "model_settings": "map:model_settings?", "compaction_settings": "map:compaction_settings?",
    "context_window_limit": "int?", "max_tokens": "int?",
    "reasoning": "bool?", "tool_exec_environment_variables": "env?", "secrets": "env?", "project_id": "str?",
    "identity_ids": "ids:identity?", "message_buffer_autoclear": "bool?", "enable_sleeptime": "bool?",
    "response_format": "map:response_format?", "timezone": "str?", "max_files_open": "int?",
    "parallel_tool_calls": "bool?", "per_file_view_window_char_limit": "int?",
}
_CREATE = {
    **_BOTH, "name": "str", "message_buffer_autoclear": "bool", "memory_blocks": "list?", "tools": "strs?",
    "agent_type": "enum:" + "|".join(_KINDS), "include_base_tools": "bool", "include_multi_agent_tools": "bool",
    "include_base_tool_rules": "bool?", "include_default_source": "bool", "embedding_chunk_size": "int?",
    "max_reasoning_tokens": "int?", "enable_reasoner": "bool?", "hidden": "bool?",
}
# fmt: on
_SCALARS = (
    *("name", "system", "description", "project_id", "message_buffer_autoclear", "enable_sleeptime"),
    *("response_format", "timezone", "max_files_open", "per_file_view_window_char_limit", "metadata"),
)
# fmt: off
_COMPACTION: Mapping[str, Any] = {
    "model": None, "model_settings": None, "prompt": None, "prompt_acknowledgement": False,
    "clip_chars": 50_000, "mode": "sliding_window", "sliding_window_percentage": 0.3,
}
_EMPTY: Mapping[str, Any] = {
    "created_by_id": USER, "last_updated_by_id": USER, "created_at": None, "updated_at": None, "id": None,
    "name": None, "tool_rules": [], "message_ids": [], "system": None, "agent_type": "letta_v1_agent",
    "llm_config": None, "embedding_config": None, "model": None, "embedding": None, "model_settings": None,
    "compaction_settings": None, "response_format": None, "description": None, "metadata": None, "memory": None,
    "blocks": [], "tools": [], "sources": [], "tags": [], "tool_exec_environment_variables": [], "secrets": [],
    "project_id": None, "template_id": None, "base_template_id": None, "deployment_id": None, "entity_id": None,
    "identity_ids": [], "identities": [], "pending_approval": None, "message_buffer_autoclear": False,
    "enable_sleeptime": None, "multi_agent_group": None, "managed_group": None, "last_run_completion": None,
    "last_run_duration_ms": None, "last_stop_reason": None, "timezone": "UTC", "max_files_open": None,
    "per_file_view_window_char_limit": None, "hidden": None,
}
# fmt: on


def show(server: StandIn, agent: Mapping[str, Any], include: Collection[str] = _RELATIONS) -> Body:
    """An agent as the server answers it: relations that are not included are empty lists (0.16.8)."""
    shown = json.loads(json.dumps({key: value for key, value in agent.items() if not key.startswith("_")}))
    config = shown["llm_config"]
    shown |= {"model": config["handle"], "model_settings": models.settings(config)}
    shown["embedding"] = (shown["embedding_config"] or {}).get("handle")
    files, chars = _view(config["context_window"])
    for key, most in (("max_files_open", files), ("per_file_view_window_char_limit", chars)):
        shown[key] = most if shown[key] is None else shown[key]
    inside: list[Body] = []
    if "agent.blocks" in include:
        # the tags of a block are not shown inside an agent (0.16.8)
        inside = [{**server.tables.blocks[id], "tags": []} for id in server.shuffled(agent["_blocks"])]
    shown["blocks"] = inside
    shown["memory"] = {"agent_type": shown["agent_type"], "git_enabled": False, "blocks": inside, "file_blocks": []}
    shown["memory"]["prompt_template"] = ""
    if "agent.tags" in include or "agent.blocks" in include:  # 0.16.8 needs the tags to show blocks, and shows them
        shown["tags"] = server.shuffled(agent["_tags"])
    if "agent.tools" in include:
        shown["tools"] = [server.tables.tools[id] for id in server.shuffled(agent["_tools"])]
    if "agent.secrets" in include:
        secrets = [_secret(agent, key) for key in server.shuffled(agent["_secrets"])]
        shown |= {"secrets": secrets, "tool_exec_environment_variables": secrets}
    if "agent.identities" in include:
        shown["identity_ids"] = server.shuffled(agent["_identities"])
        shown["identities"] = [server.tables.identities[id] for id in shown["identity_ids"]]
    if "agent.sources" in include:
        native = {"vector_db_provider": "native"}  # shown only here
        shown["sources"] = [{**server.tables.folders[id], **native} for id in server.shuffled(agent["_folders"])]
    if "agent.managed_group" in include:
        group = copy.deepcopy(groups.managed(server, agent["id"]))
        shown |= {"managed_group": group, "multi_agent_group": group}
    return shown


def _secret(agent: Mapping[str, Any], key: str) -> Body:
    id, value = agent["_secrets"][key]
    # 0.16.8 cannot store an empty value
    secret = {"key": key, "value": value or "<encrypted>", "value_enc": value or None, "description": None}
    secret |= {"id": id, "agent_id": agent["id"], "organization_id": ORGANIZATION}
    return secret | {"created_by_id": None, "last_updated_by_id": None, "created_at": None, "updated_at": None}


def _view(window: int) -> tuple[int, int]:
    """The number of open files, and of characters of each, that 0.16.8 derives from a context window."""
    steps = ((8_000, 3, 5_000), (32_000, 5, 15_000), (128_000, 10, 25_000), (200_000, 10, 40_000))
    return next(((files, chars) for most, files, chars in steps if window <= most), (15, 40_000))


def find(server: StandIn, id: str) -> Body:
    """An agent, or 404."""
    if id not in server.tables.agents:
        raise absent("Agent", id)
    return server.tables.agents[id]


# --- create ----------------------------------------------------------------------------------------------------------


@on("POST", "/v1/agents/")
def _create(server: StandIn, ask: Ask) -> Body:
    body = ask.body
    if isinstance(body, dict) and body.get("memory_blocks"):
        fresh = [
            {**each, "value": "" if each.get("value") is None else each["value"]} for each in body["memory_blocks"]
        ]
        body = {**body, "memory_blocks": fresh}
    inline = body.get("memory_blocks") or () if isinstance(body, dict) else ()
    wrong = [faults(b, blocks.FIELDS, at=("body", "memory_blocks", at)) for at, b in enumerate(inline)]
    if errors := [*(fault for each in wrong for fault in each), *faults(body, _CREATE)]:
        raise invalid(errors)
    body = check(body, _CREATE)
    _refuse_what_is_not_modelled(body)
    _check_values(body)
    created = create(server, body)
    if not body.get("enable_sleeptime"):
        return created
    agent = server.tables.agents[created["id"]]
    if not _add_sleeptime_agent(server, agent):  # 0.16.8 cannot answer then, and leaves the agent
        raise Refusal(500, UNKNOWN)
    return show(server, agent)


def create(server: StandIn, body: Mapping[str, Any]) -> Body:
    """Create an agent. Not atomic: inline blocks remain where a later reference fails (0.16.8)."""
    kind = body.get("agent_type") or "letta_v1_agent"
    config = models.new_config(body)
    embedding = body.get("embedding_config")
    if body.get("embedding"):
        embedding = models.embedding(body["embedding"], body.get("embedding_chunk_size"))
    # 0.16.8 loses the metadata of an inline block, and keeps its tags
    inline = [
        blocks.create(server, {**each, "metadata": None}, inline=True) for each in body.get("memory_blocks") or ()
    ]
    used = _tools(server, body, kind)
    rules = _rules(server, body, kind, used)
    if sum(rule["type"] == "run_first" for rule in rules) > 1:  # PATCH accepts any number
        message = "Multiple initial tools are not supported for non-structured models. "
        raise Refusal(400, f"{message}Please use only one initial tool rule.")
    system = body.get("system")
    if system is None and kind == "split_thread_agent":
        raise Refusal(400, f"Invalid agent type: {kind}")
    for id in body.get("identity_ids") or ():
        if id not in server.tables.identities:
            raise dangling("identities_agents", "identity_id", id, "identities")
    for id in body.get("folder_ids") or ():
        if id not in server.tables.folders:
            raise dangling("sources_agents", "source_id", id, "sources")
    if "\0" in (system or ""):
        raise Refusal(500, DATABASE)
    _fits(body.get("timezone"))
    now, tags = server.now(), list(dict.fromkeys(body.get("tags") or ()))
    agent = copy.deepcopy(dict(_EMPTY))
    agent |= {key: body[key] for key in _SCALARS if body.get(key) is not None}
    agent |= {"id": server.id("agent"), "created_at": now, "updated_at": now, "message_ids": [server.id("message")]}
    agent |= {"agent_type": kind, "llm_config": config, "embedding_config": embedding}
    agent["name"] = agent["name"] or f"Agent{len(server.tables.agents)}"
    agent["system"] = f"(the server's own prompt for a {kind})" if system is None else system
    agent["tool_rules"] = _unique(rules)
    agent["compaction_settings"] = _compaction(body, models.summariser(config["provider_name"]))
    agent["message_buffer_autoclear"] |= kind == "workflow_agent"
    agent["hidden"] = True if "role:subagent" in tags else body.get("hidden")  # 0.16.8 hides these
    secrets = body.get("secrets") or body.get("tool_exec_environment_variables") or {}
    agent |= {"_tools": used, "_tags": tags, "_identities": list(dict.fromkeys(body.get("identity_ids") or ()))}
    agent |= {"_folders": list(dict.fromkeys(body.get("folder_ids") or ())), "_archive": None}
    agent |= {"_blocks": {}, "_secrets": {key: (server.id("agent-env"), value) for key, value in secrets.items()}}
    # unknown blocks and blocks with a label already attached are silently left out (0.16.8)
    _attach(server, agent, {*(body.get("block_ids") or ()), *(block["id"] for block in inline)})
    agent["_compiled"] = blocks.compiled(server, agent)
    server.tables.agents[agent["id"]] = agent
    shown = show(server, agent)
    for secret in shown["secrets"]:  # only this answer shows an empty secret and duplicate rules
        secret |= {"value": secrets[secret["key"]], "value_enc": secrets[secret["key"]]}
    return shown | {"tool_rules": rules}


def _refuse_what_is_not_modelled(body: Mapping[str, Any]) -> None:
    if any(body.get(key) for key in ("include_default_source", "source_ids")):
        raise Refusal(501, "the stand-in does not model default folders")
    if body.get("enable_sleeptime") and body.get("agent_type") == "voice_convo_agent":
        raise Refusal(501, "the stand-in does not model voice")
    if "git-memory-enabled" in (body.get("tags") or ()):
        raise Refusal(501, "the stand-in does not model git memory")


def _check_values(body: Mapping[str, Any]) -> None:
    """What 0.16.8 refuses in a body with valid types."""
    name = body.get("name")
    if name and not re.match(r"^[\w '\-]+$", name):
        raise Refusal(500, f"Export failed: Agent name '{name}' contains invalid characters. …")
    if body.get("model") and not re.match(r"[^/]+/.+", body["model"]):
        raise Refusal(400, "INVALID_ARGUMENT: The model handle should be in the format provider/model-name")
    if body.get("embedding") and not re.match(r"[^/]+/.+", body["embedding"]):
        message = "The embedding handle should be in the format provider/model-name"
        wrong = {"type": "value_error", "loc": ("body", "embedding"), "msg": f"Value error, {message}"}
        raise invalid([wrong | {"input": body["embedding"], "ctx": {"error": ValueError(message)}}])
    if body.get("agent_type") == "voice_convo_agent":
        message = "Agent type AgentType.voice_convo_agent requires enable_sleeptime to be True"
        error: Body = {"type": "value_error", "loc": ("body",), "msg": f"Value error, {message}", "input": dict(body)}
        raise invalid([error | {"ctx": {"error": ValueError(message)}}])
    _check_shared(body)


def _check_shared(body: Mapping[str, Any]) -> None:
    for key, most in (("max_files_open", 1000), ("per_file_view_window_char_limit", 2**31 - 1)):
        if (body.get(key) or 0) > most:
            raise Refusal(400, f"INVALID_ARGUMENT: {key} cannot exceed {most}. Got: {body[key]}")
    if body.get("model_settings") is not None:
        models.from_settings(body["model_settings"])


def _fits(timezone: str | None) -> None:
    try:
        ZoneInfo(timezone or "UTC")
    except (KeyError, ValueError, OSError):
        raise Refusal(500, UNKNOWN) from None


def _tools(server: StandIn, body: Mapping[str, Any], kind: str) -> list[str]:
    names = set(body.get("tools") or ())
    if body.get("include_base_tools", True):
        awake = bool(body.get("enable_sleeptime")) and kind not in _SLEEPERS
        names |= set(_WITH_SLEEPER if awake else _BASE_TOOLS.get(kind, ()))
    if body.get("include_multi_agent_tools"):
        names |= set(tools.BUILT_IN["letta_multi_agent_core"])
    found = [tool for tool in server.tables.tools.values() if tool["name"] in names]
    lost = names - {tool["name"] for tool in found}
    if lost:
        raise Refusal(400, f"Tools not found by name: {lost}")
    lost = set(body.get("tool_ids") or ()) - set(server.tables.tools)
    if lost:
        raise Refusal(400, f"Tools not found by id:   {lost}")
    ids = {*(tool["id"] for tool in found), *(body.get("tool_ids") or ())}
    ids |= set(file_tools(server)) if body.get("folder_ids") else set()
    return [id for id in server.tables.tools if id in ids]


def file_tools(server: StandIn) -> list[str]:
    """The ids of the tools that are attached and detached with folders."""
    names = tools.BUILT_IN["letta_files_core"]
    return [tool["id"] for tool in server.tables.tools.values() if tool["name"] in names]


def _rules(server: StandIn, body: Mapping[str, Any], kind: str, used: Iterable[str]) -> list[Body]:
    rules = list(body.get("tool_rules") or ())
    with_base = body.get("include_base_tool_rules")
    if with_base is None:
        # 0.16.8 adds none to a v1 agent, unless rules are given or base tools are off
        plain = body.get("include_base_tools", True) and not body.get("enable_sleeptime")
        with_base = kind != "letta_v1_agent" or bool(rules) or not plain
    here = [server.tables.tools[id] for id in used]
    for tool in here if with_base else ():
        if tool["name"] in _ENDING:
            rules.append(_rule("exit_loop", tool["name"]))
        elif any(tool["name"] in tools.BUILT_IN[each] for each in _GOING_ON):
            rules.append(_rule("continue_loop", tool["name"]))
    return rules + [_rule("requires_approval", t["name"]) for t in here if t["default_requires_approval"]]


def _rule(kind: str, tool: str) -> Body:
    return {"tool_name": tool, "type": kind, "prompt_template": None}


_TOLD_APART = ("type", "tool_name", "children", "child_output_mapping", "default_child", "max_count_limit")


def _unique(rules: Iterable[Body]) -> list[Body]:
    """0.16.8 stores one of equal rules; `args` and `prompt_template` do not make a difference."""
    kept: dict[str, Body] = {}
    for rule in rules:
        kept.setdefault(repr([rule.get(key) for key in _TOLD_APART]), rule)
    return list(kept.values())


def _compaction(body: Mapping[str, Any], model: str) -> Body:
    created = {**_COMPACTION, **{k: v for k, v in (body.get("compaction_settings") or {}).items() if k in _COMPACTION}}
    created["model"] = created["model"] or model
    created["prompt"] = created["prompt"] or _prompt(created["mode"])
    return created


def _prompt(mode: str) -> str:
    return f"(the server's own prompt for {mode})"


def _attach(server: StandIn, agent: Body, ids: Collection[str]) -> None:
    """Attach these blocks, oldest first, each unless its label is already attached."""
    labels = {server.tables.blocks[each]["label"] for each in agent["_blocks"]}
    places = server.tables.blocks.places
    for id in sorted((id for id in ids if id in places and id not in agent["_blocks"]), key=places.__getitem__):
        label = server.tables.blocks[id]["label"]
        if label not in labels:
            agent["_blocks"][id] = None
            labels.add(label)


# --- sleeptime -------------------------------------------------------------------------------------------------------


def _add_sleeptime_agent(server: StandIn, agent: Body) -> bool:
    """Create a sleeptime agent, which keeps the memory of this one, and the group of both.

    0.16.8 creates none without an embedding. The sleeptime agent shares the current blocks, and those attached later.
    """
    if agent["embedding_config"] is None:
        return False
    fields = {
        "name": f"{agent['name']}-sleeptime",
        "agent_type": "sleeptime_agent",
        "block_ids": list(agent["_blocks"]),
    }
    fields["memory_blocks"] = [{"label": "memory_persona", "value": "(the server's own words)"}]
    fields |= {key: copy.deepcopy(agent[key]) for key in ("llm_config", "embedding_config", "project_id")}
    config = {"manager_type": "sleeptime", "manager_agent_id": agent["id"], "sleeptime_agent_frequency": 5}
    sleeptime_agent = create(server, fields)["id"]
    groups.create(server, {"agent_ids": [sleeptime_agent], "description": "", "manager_config": config})
    return True


def _sleeptime_agents(server: StandIn, agent: Body) -> list[Body]:
    """The sleeptime agents of an agent."""
    group = groups.managed(server, agent["id"]) or {}
    ids = group["agent_ids"] if group.get("manager_type") == "sleeptime" else ()
    return [server.tables.agents[id] for id in ids if id in server.tables.agents]


# --- read ------------------------------------------------------------------------------------------------------------


def _include(ask: Ask) -> Collection[str]:
    asked = ask.query.get_list("include")
    for number, word in enumerate(asked):
        if word not in _RELATIONS:
            raise invalid_choice(("query", "include", number), word, _RELATIONS)
    # 0.16.8 decides by the User-Agent if nothing is requested
    return asked or (() if ask.is_new_sdk else _RELATIONS)


def _filter(server: StandIn, ask: Ask) -> Callable[[Body], bool]:
    query, tests = ask.query, list[Callable[[Body], bool]]()
    if query.get_list("tags"):
        tests.append(lambda agent: matches_tags(ask, agent["_tags"]))
    if name := query.get("name"):
        tests.append(lambda agent: agent["name"] == name)
    if project := query.get("project_id"):
        tests.append(lambda agent: agent["project_id"] == project)
    if text := query.get("query_text", "").lower():
        tests.append(lambda agent: text in agent["name"].lower())
    if identity := query.get("identity_id"):
        tests.append(lambda agent: identity in agent["_identities"])
    if keys := query.get_list("identifier_keys"):
        known = {id for id, each in server.tables.identities.items() if each["identifier_key"] in keys}
        tests.append(lambda agent: bool(known & set(agent["_identities"])))
    if not ask.flag("show_hidden_agents"):
        tests.append(lambda agent: not agent["hidden"])
    return lambda agent: all(test(agent) for test in tests)


@on("GET", "/v1/agents/")
def _list(server: StandIn, ask: Ask) -> list[Body]:
    include = _include(ask)
    if choice(ask, "order_by", ("created_at", "updated_at", "last_run_completion"), "created_at") != "created_at":
        raise Refusal(501, "the stand-in sorts agents by created_at alone")
    found = page_of(ask, server.tables.agents, _filter(server, ask), order="desc")
    return [show(server, agent, include) for agent in found]


@on("GET", "/v1/agents/count")
def _count(server: StandIn, ask: Ask) -> int:
    return sum(map(_filter(server, ask), server.tables.agents.values()))


@on("GET", "/v1/agents/{agent_id}")
def _get(server: StandIn, ask: Ask) -> Body:
    return show(server, _known(server, ask), _include(ask))


def _known(server: StandIn, ask: Ask) -> Body:
    id = ask.names["agent_id"]
    if id not in server.tables.agents:
        raise Refusal(404, f"Agent with ID {id} not found")
    return server.tables.agents[id]


@on("GET", "/v1/blocks/{block_id}/agents")
def _of_block(server: StandIn, ask: Ask) -> list[Body]:
    found = blocks.users(server, ask.names["block_id"])  # 0.16.8 answers [] for an unknown block
    return _only(server, ask, found)


@on("GET", "/v1/identities/{identity_id}/agents")
def _of_identity(server: StandIn, ask: Ask) -> list[Body]:
    id = identities.find(server, ask.names["identity_id"])["id"]
    found = [agent for agent in server.tables.agents.values() if id in agent["_identities"]]
    return _only(server, ask, found)


def _only(server: StandIn, ask: Ask, found: Iterable[Body]) -> list[Body]:
    # here 0.16.8 loads only what is included, for every client
    include = _include(ask) if ask.query.get("include") else ()
    return [show(server, a, include) for a in page(ask, found, all_ids=list(server.tables.agents), order="desc")]


@on("GET", "/v1/agents/{agent_id}/tools")
def _of_agent(server: StandIn, ask: Ask) -> list[Body]:
    used = [server.tables.tools[id] for id in find(server, ask.names["agent_id"])["_tools"]]
    return page(ask, used, all_ids=list(server.tables.tools), order="desc", limit=10)


@on("GET", "/v1/agents/{agent_id}/core-memory/blocks")
def _memory(server: StandIn, ask: Ask) -> list[Body]:
    # here their tags are shown
    attached = [server.tables.blocks[id] for id in find(server, ask.names["agent_id"])["_blocks"]]
    return page(ask, attached, all_ids=list(server.tables.blocks), order="desc", limit=100)


def _labelled(server: StandIn, ask: Ask) -> Body:
    agent, label = find(server, ask.names["agent_id"]), ask.names["label"]
    here = [server.tables.blocks[id] for id in agent["_blocks"]]
    found = next((block for block in here if block["label"] == label), None)
    if found is None:
        raise Refusal(404, f"No block with label '{label}' found for agent '{agent['id']}'")
    return found


@on("GET", "/v1/agents/{agent_id}/core-memory/blocks/{label}")
def _one_of_memory(server: StandIn, ask: Ask) -> Body:
    return _labelled(server, ask)


@on("PATCH", "/v1/agents/{agent_id}/core-memory/blocks/{label}")
def _write_memory(server: StandIn, ask: Ask) -> Body:
    body = check(ask.body, blocks.UPDATE)
    return blocks.update(server, _labelled(server, ask), body)


# --- update ----------------------------------------------------------------------------------------------------------


@on("PATCH", "/v1/agents/{agent_id}")
def _patch(server: StandIn, ask: Ask) -> Body:
    body = check(ask.body, {**_BOTH, "message_ids": "ids:message?"})
    _refuse_what_is_not_modelled(body)
    if body.get("folder_ids"):
        raise Refusal(501, "the stand-in does not model folders that come by PATCH")
    _check_shared(body)
    back = models.needs_old_config(body) or body.get("enable_sleeptime")
    have = _known(server, ask) if back else find(server, ask.names["agent_id"])
    agent = copy.deepcopy(have)  # nothing is written if one reference is unknown
    old = agent["llm_config"]
    agent["llm_config"] = models.patched_config(old, body, agent["agent_type"])
    if body.get("embedding") is not None:
        agent["embedding_config"] = models.embedding(body["embedding"])
    if body.get("enable_sleeptime") and groups.managed(server, have["id"]) is None:
        _add_sleeptime_agent(server, have)  # the tool set from before the rest of the body (0.16.8)
    agent["compaction_settings"] = _compacted(agent, body, old["provider_name"])
    kept = (*_SCALARS, "message_ids")  # any ids: 0.16.8 does not look whether the agent has such messages
    agent |= {key: body[key] for key in kept if body.get(key) is not None}  # null is no change
    if "\0" in agent["system"]:
        raise Refusal(500, DATABASE)
    if body.get("tool_rules") is not None:
        agent["tool_rules"] = _unique(body["tool_rules"])
    if body.get("tags") is not None:
        agent["_tags"] = list(dict.fromkeys(body["tags"]))
    _relink(server, agent, body)
    secrets = body.get("secrets")
    secrets = body.get("tool_exec_environment_variables") if secrets is None else secrets
    if secrets is not None:  # all secrets, not only those in the body
        agent["_secrets"] = {key: (server.id("agent-env"), value) for key, value in secrets.items()}
    have.update(agent | {"updated_at": server.now()})
    return show(server, have)


def _relink(server: StandIn, agent: Body, body: Mapping[str, Any]) -> None:
    if body.get("tool_ids") is not None:
        for id in body["tool_ids"]:
            if id not in server.tables.tools:
                raise dangling("tools_agents", "tool_id", id, "tools")
        agent["_tools"] = list(dict.fromkeys(body["tool_ids"]))
    if body.get("block_ids") is not None:
        if any(id not in server.tables.blocks for id in body["block_ids"]):
            raise Refusal(500, UNKNOWN)
        # 0.16.8 inserts before it deletes: a block with the label of a block being removed is not inserted
        _attach(server, agent, body["block_ids"])
        agent["_blocks"] = {id: None for id in agent["_blocks"] if id in body["block_ids"]}
    if body.get("identity_ids") is not None:
        for id in body["identity_ids"]:
            if id not in server.tables.identities:
                raise dangling("identities_agents", "identity_id", id, "identities")
        agent["_identities"] = list(dict.fromkeys(body["identity_ids"]))


def _compacted(agent: Body, body: Mapping[str, Any], provider: str) -> Body:
    have, settings = agent["compaction_settings"], dict(body.get("compaction_settings") or {})
    now = agent["llm_config"]["provider_name"]
    # follows a change of provider unless it was set to something else
    if now != provider and "model" not in settings and have["model"] == models.summariser(provider):
        settings |= {"model": models.summariser(now), "model_settings": settings.get("model_settings")}
    if "mode" in settings and settings["mode"] != have["mode"]:
        settings["prompt"] = _prompt(settings["mode"])  # even if the same body has a prompt (0.16.8)
    return {**have, **{key: value for key, value in settings.items() if key in have}}


@on("DELETE", "/v1/agents/{agent_id}")
def _delete(server: StandIn, ask: Ask) -> Body:
    agent, manager = find(server, ask.names["agent_id"]), None
    deleted = [agent]
    if agent["agent_type"] in _SLEEPERS:
        group = groups.sleeptime_of(server, agent["id"])
        manager = group and server.tables.agents.get(group["manager_agent_id"])
    else:
        deleted += _sleeptime_agents(server, agent)
        group = groups.managed(server, agent["id"]) if len(deleted) > 1 else None
    if group:  # deleted even where its agents cannot be deleted (0.16.8)
        del server.tables.groups[group["id"]]
    for each in deleted:
        _refuse_a_manager(server, each["id"])
    for each in deleted:  # their blocks remain
        del server.tables.agents[each["id"]]
        talks = server.tables.conversations
        server.tables.conversations = {id: talk for id, talk in talks.items() if talk["agent_id"] != each["id"]}
    if manager:
        manager["enable_sleeptime"] = None
    return {"message": f"Agent id={agent['id']} successfully deleted"}


def _refuse_a_manager(server: StandIn, id: str) -> None:
    if any(group["manager_agent_id"] == id for group in server.tables.groups.values()):
        raise Refusal(
            409,
            "(sqlalchemy.dialects.postgresql.asyncpg.IntegrityError) "
            "<class 'asyncpg.exceptions.RestrictViolationError'>: "
            'update or delete on table "agents" violates RESTRICT setting of foreign key constraint '
            f'"groups_manager_agent_id_fkey" on table "groups"\nDETAIL:  Key (id)=({id}) is referenced from table '
            '"groups".\n[SQL: …]',
        )


@on("POST", "/v1/agents/{agent_id}/recompile")
def _recompile(server: StandIn, ask: Ask) -> str:
    agent = _known(server, ask)
    before, now = str(agent["_compiled"]), blocks.compiled(server, agent)
    if ask.flag("dry_run"):
        return now
    agent["_compiled"] = now
    return before  # 0.16.8 answers the old prompt, not the new one


@on("PATCH", "/v1/agents/{agent_id}/core-memory/blocks/attach/{block_id}")
def _attach_block(server: StandIn, ask: Ask) -> Body:
    agent = find(server, ask.names["agent_id"])
    block = blocks.find(server, ask.names["block_id"])
    labels = [server.tables.blocks[id]["label"] for id in agent["_blocks"]]
    if block["id"] not in agent["_blocks"] and block["label"] in labels:
        columns = {"agent_id": agent["id"], "block_label": block["label"]}
        raise taken("Agent", "unique_label_per_agent", columns)
    agent["_blocks"][block["id"]] = None
    for sleeptime_agent in _sleeptime_agents(
        server, agent
    ):  # only attach reaches the sleeptime agent; detach and `block_ids` do not (0.16.8)
        if sleeptime_agent["agent_type"] == "sleeptime_agent":
            _follow(server, sleeptime_agent, block)
    return show(server, agent)


def _follow(server: StandIn, sleeptime_agent: Body, block: Body) -> None:
    others = [server.tables.blocks[id]["label"] for id in sleeptime_agent["_blocks"] if id != block["id"]]
    if block["label"] in others:  # attached to the primary agent all the same (0.16.8)
        columns = {"agent_id": sleeptime_agent["id"], "block_label": block["label"]}
        raise taken("Agent", "unique_label_per_agent", columns)
    sleeptime_agent["_blocks"][block["id"]] = None


@on("PATCH", "/v1/agents/{agent_id}/core-memory/blocks/detach/{block_id}")
def _detach_block(server: StandIn, ask: Ask) -> Body:
    agent, id = find(server, ask.names["agent_id"]), ask.names["block_id"]
    if id not in agent["_blocks"]:
        message = f"No block with id '{id}' found for agent '{agent['id']}' with actor id: '{USER}'"
        raise Refusal(404, message)
    del agent["_blocks"][id]
    return show(server, agent)


def _without_relations(server: StandIn, ask: Ask) -> Body:
    if ask.names["agent_id"] not in server.tables.agents:
        raise Refusal(404, "Agent not found")
    return server.tables.agents[ask.names["agent_id"]]


@on("PATCH", "/v1/agents/{agent_id}/tools/attach/{tool_id}")
def _attach_tool(server: StandIn, ask: Ask) -> Body | None:
    agent, id = _without_relations(server, ask), ask.names["tool_id"]
    if id not in server.tables.tools:
        raise Refusal(404, f"Tool with id={id} not found in organization={ORGANIZATION}")
    agent["_tools"] = list(dict.fromkeys([*agent["_tools"], id]))
    tool = server.tables.tools[id]
    if tool["default_requires_approval"]:
        _approve(agent, tool["name"], True)
    return None if ask.is_new_sdk else show(server, agent)


@on("PATCH", "/v1/agents/{agent_id}/tools/detach/{tool_id}")
def _detach_tool(server: StandIn, ask: Ask) -> Body | None:
    agent = _without_relations(server, ask)
    agent["_tools"] = [id for id in agent["_tools"] if id != ask.names["tool_id"]]  # its rules remain
    return None if ask.is_new_sdk else show(server, agent)


@on("PATCH", "/v1/agents/{agent_id}/tools/approval/{tool}")
def _approval(server: StandIn, ask: Ask) -> Body | None:
    body = check(ask.body, {"requires_approval": "bool!"})
    agent = find(server, ask.names["agent_id"])
    _approve(agent, ask.names["tool"], body["requires_approval"])  # any tool name is accepted
    return None if ask.is_new_sdk else show(server, agent)


def _approve(agent: Body, tool: str, needed: bool) -> None:
    rule = _rule("requires_approval", tool)
    number = sum(each["type"] == rule["type"] and each["tool_name"] == tool for each in agent["tool_rules"])
    if needed and number == 0:
        agent["tool_rules"] = [*agent["tool_rules"], rule]
    elif not needed and number == 1:  # 0.16.8 does not change these two
        agent["tool_rules"] = [
            each for each in agent["tool_rules"] if (each["type"], each["tool_name"]) != (rule["type"], tool)
        ]


@on("PATCH", "/v1/agents/{agent_id}/identities/attach/{identity_id}")
def _attach_identity(server: StandIn, ask: Ask) -> None:
    identity = identities.find(server, ask.names["identity_id"])
    agent = find(server, ask.names["agent_id"])
    agent["_identities"] = list(dict.fromkeys([*agent["_identities"], identity["id"]]))


@on("PATCH", "/v1/agents/{agent_id}/identities/detach/{identity_id}")
def _detach_identity(server: StandIn, ask: Ask) -> None:
    identity = identities.find(server, ask.names["identity_id"])
    agent = find(server, ask.names["agent_id"])
    agent["_identities"] = [id for id in agent["_identities"] if id != identity["id"]]
