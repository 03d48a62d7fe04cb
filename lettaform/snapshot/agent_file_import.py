"""An agent file to one that creates its agent with messages and own blocks, and nothing else. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from lettaform.errors import PlanError, Problem
from lettaform.kinds import kinds
from lettaform.ownership import marks
from lettaform.snapshot.agent_file_read import AgentFile
from lettaform.snapshot.agent_file_schema import COLLECTIONS

_BLOCK = ("label", "value", "limit", "description", "read_only", "metadata")


def only_agent(file: AgentFile) -> Mapping[str, Any]:
    """The agent of a file. PlanError if it has several."""
    agents: Sequence[Mapping[str, Any]] = file.body["agents"]
    if len(agents) == 1:
        return agents[0]
    names = ", ".join(f"`{each.get('name') or each['id']}`" for each in agents)
    message = f"{file.parsed.file} contains {len(agents)} agents: {names}"
    raise PlanError(
        message, "`import --af FILE` creates one; `lettaform from-af` declares all of them, without messages"
    )


def blocks_of(file: AgentFile) -> dict[str, Mapping[str, Any]]:
    """Label to block, of those that the agent has."""
    held = only_agent(file)["block_ids"]
    return {each["label"]: each for each in file.body["blocks"] if each["id"] in held}


def tools_of(file: AgentFile) -> dict[str, Mapping[str, Any]]:
    """Name to tool, of those that the agent has."""
    used = only_agent(file)["tool_ids"]
    return {each["name"]: each for each in file.body["tools"] if each["id"] in used}


def importable(
    file: AgentFile, name: str, own: Collection[str], tools: Sequence[str], replaced: Collection[str]
) -> dict[str, Any]:
    """The file that creates the agent. Its tools must exist: 0.16.8 finds them by name.

    An import that fails half-way leaves the blocks, tools and folders of the file. So the own blocks are those of the
    request that creates the agent, and nothing else is created.

    own       labels of the blocks to create
    replaced  `model` and `embedding`, where other handles than those of the file are sent along
    """
    agent = marks.unmarked(kinds()["agent"], only_agent(file))
    lists: dict[str, list[Any]] = {
        key: [] for key in ("block_ids", "tool_ids", "source_ids", "folder_ids", "group_ids", "files_agents")
    }
    blocks = [marks.unmarked(kinds()["block"], each) for label, each in blocks_of(file).items() if label in own]
    inline = [{key: each[key] for key in _BLOCK if each.get(key) is not None} for each in blocks]
    configs = {
        key: None for field, key in (("model", "llm_config"), ("embedding", "embedding_config")) if field in replaced
    }
    # the server would create more: tools, rules, a folder, a sleeptime agent
    more = ("include_base_tools", "include_multi_agent_tools", "include_base_tool_rules", "include_default_source")
    switches = dict.fromkeys((*more, "enable_sleeptime"), False)
    without: dict[str, Any] = {"secrets": {}, "tool_exec_environment_variables": {}, "identity_ids": None}
    agent |= {**lists, **configs, **switches, **without, "name": name, "memory_blocks": inline, "tools": list(tools)}
    agent["messages"] = [_sendable(message) for message in agent["messages"]]
    return {**{key: [] for key in (*COLLECTIONS, "skills")}, "agents": [agent], "metadata": {}}


def message_problems(file: AgentFile) -> Iterator[Problem]:
    """The messages with which a server could not list the messages of the agent (0.16.8 answers 500 then)."""
    for number, message in enumerate(only_agent(file)["messages"]):
        path = ("agents", 0, "messages", number)
        if message["role"] == "tool" and not message.get("tool_call_id"):
            yield file.problem(path, f"agents.0.messages.{number}: a message of a tool needs a `tool_call_id`")
        if message["role"] == "tool" and not _is_object(_text(message.get("content"))):
            hint = 'write it as {"status": "OK", "message": "…"}, as servers do'
            yield file.problem(
                path, f"agents.0.messages.{number}: the text of a tool's message is no JSON object", hint
            )


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _sendable(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message with its content as a list: 0.16.8 refuses a text, and leaves an agent without messages."""
    content = message.get("content")
    return {**message, "content": [{"type": "text", "text": content}] if isinstance(content, str) else content or []}


def same_history(file: AgentFile, exported: Mapping[str, Any]) -> bool:
    """Whether an agent, as it is exported, has the messages of the context of a file."""
    return _history(only_agent(file)) == _history(exported["agents"][0])


def _history(agent: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Role and text of each message in the context."""
    messages = {each["id"]: each for each in agent["messages"]}
    shown = [messages[id] for id in agent["in_context_message_ids"] if id in messages]
    return [(each["role"], _text(each.get("content"))) for each in shown]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or "") for part in content or () if part.get("type") in (None, "text"))
