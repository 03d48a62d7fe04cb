"""The messages of a snapshot to those of an agent file, also those that no context has, and to their keys. Pure.

A server exports whole messages of a context alone. Of the others it shows what people see: one entry for each thought,
text and call of a message. A message that is put together of its entries is shown as before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lettaform.backend.listed import ROLES, Listed, grouped, keys, role


@dataclass(frozen=True)
class Thread:
    """The messages of an agent, or of a conversation, in a snapshot.

    listed    all, as the server lists them; those of an agent are also those of its conversations
    context   ids of those in the context, the prompt first
    exported  those in the context, as the server exports them
    agent     the agent of the agent file
    """

    listed: Listed
    context: Sequence[str] = ()
    exported: Sequence[Mapping[str, Any]] = ()
    agent: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_id(self) -> dict[str, Mapping[str, Any]]:
        """Id of a message in the context to the whole message."""
        return dict(zip(self.context, self.exported, strict=True))

    @property
    def said(self) -> list[str]:
        """The ids of the messages that are no prompt."""
        return [id for id, entries in grouped(self.listed).items() if role(entries) != "system"]

    @property
    def prompts(self) -> set[str]:
        """The ids of its prompts."""
        return {str(each["id"]) for each in self.listed}.difference(self.said)


def thread(file: Any, messages: Any, name: str) -> Thread:
    """The messages in an agent file and in the file beside it. ValueError if they do not fit each other.

    name  of the agent: a file also has the agents of its group
    """
    agent = next((each for each in file["agents"] if each["name"] == name), None)
    if agent is None:
        raise ValueError(f"no agent `{name}`")
    whole = {each["id"]: each for each in agent["messages"]}
    exported = [whole[id] for id in agent["in_context_message_ids"]]
    if len(exported) != len(messages["context"]):
        raise ValueError("the context has other messages")
    return Thread(messages["messages"], messages["context"], exported, agent)


def context_keys(talk: Thread, agent: Thread) -> list[str]:
    """The keys of the messages in the context of a conversation, without its prompt, as far as a list shows them."""
    known = keys(agent.listed)
    return [known[id] for id in talk.context[1:] if id in known]


# --- one agent file --------------------------------------------------------------------------------------------------


def whole_history(agent: Mapping[str, Any], own: Thread, talks: Sequence[Thread]) -> tuple[dict[str, Any], int]:
    """The agent of a file with all its messages, in their order, and the number of those that are of no known type.

    The context stays as it is. `talks`: its conversations. Their messages are the agent's, too; their prompts are not.
    """
    prompts = {id for talk in talks for id in talk.prompts}
    whole = {id: message for each in (*talks, own) for id, message in each.by_id.items()}
    every = {id: whole.get(id) or rebuilt(entries) for id, entries in grouped(own.listed).items() if id not in prompts}
    order = [id for id, message in every.items() if message is not None]
    for number, id in enumerate(own.context):
        if id not in every:  # one without text and calls is in no list
            order.insert(order.index(own.context[number - 1]) + 1 if number else 0, id)
    numbers = {id: f"message-{number}" for number, id in enumerate(order)}
    messages = [
        {**(whole.get(id) or every[id] or {}), "id": number, "agent_id": agent["id"]} for id, number in numbers.items()
    ]
    shown = [numbers[id] for id in own.context]
    found = {**agent, "messages": messages, "in_context_message_ids": shown}
    return found, len(every) - sum(message is not None for message in every.values())


# --- one message -----------------------------------------------------------------------------------------------------


def rebuilt(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """A message of an agent file that is shown as these entries; None if one of them is of no known type."""
    if not all(str(each.get("message_type")) in ROLES for each in entries):
        return None
    first, kind = entries[0], role(entries)
    body: dict[str, Any] = {"role": kind, "created_at": first.get("date"), "name": first.get("name")}
    if kind in ("user", "system"):
        content = first.get("content")
        parts = [_text(content)] if isinstance(content, str) else list(content or ())
        return body | {"content": parts}
    if kind == "tool":
        return body | _tool_returns(first)
    body |= {
        "content": [part for each in entries for part in _content(each)],
        "tool_calls": list(_calls(entries)) or None,
    }
    for each in entries:
        if each.get("message_type") == "approval_response_message":
            body |= _approvals(each)
    return body


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _content(entry: Mapping[str, Any]) -> Iterator[Any]:
    """The parts of a message that an entry shows."""
    match entry.get("message_type"):
        case "assistant_message":
            content = entry.get("content")
            yield from [_text(content)] if isinstance(content, str) else content or ()
        case "reasoning_message" if entry.get("source") == "reasoner_model":
            thought = {"reasoning": entry.get("reasoning"), "signature": entry.get("signature")}
            yield {"type": "reasoning", "is_native": True, **thought}
        case "reasoning_message":  # older kinds of agents show a text like this
            yield _text(str(entry.get("reasoning") or ""))
        case "hidden_reasoning_message" if entry.get("state") == "redacted":
            yield {"type": "redacted_reasoning", "data": entry.get("hidden_reasoning") or ""}
        case "hidden_reasoning_message":
            yield {"type": "omitted_reasoning"}


def _calls(entries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        if entry.get("message_type") in ("tool_call_message", "approval_request_message"):
            for call in entry.get("tool_calls") or [entry["tool_call"]]:
                function = {"name": call["name"], "arguments": call["arguments"]}
                yield {"id": call["tool_call_id"], "type": "function", "function": function}


def _tool_returns(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What tools answered. 0.16.8 keeps a text as JSON with its status and time."""
    returns = [_tool_return(each, entry.get("date")) for each in entry.get("tool_returns") or [entry]]
    response = returns[0]["func_response"]
    content = [_text(response)] if isinstance(response, str) else list(response or ())
    return {"content": content, "tool_returns": returns, "tool_call_id": returns[0]["tool_call_id"]}


def _tool_return(answer: Mapping[str, Any], date: Any) -> dict[str, Any]:
    value, status = answer.get("tool_return"), answer.get("status") or "success"
    if not isinstance(value, list):
        stored = {"status": "OK" if status == "success" else "Failed", "message": value, "time": date}
        value = json.dumps(stored, ensure_ascii=False)
    outputs = {name: answer.get(name) for name in ("tool_call_id", "stdout", "stderr")}
    return {**outputs, "status": status, "func_response": value}


def _approvals(entry: Mapping[str, Any]) -> dict[str, Any]:
    answers = [
        _tool_return(each, entry.get("date")) if each.get("type") == "tool" else dict(each)
        for each in entry.get("approvals") or ()
    ]
    older = {"approve": "approve", "approval_request_id": "approval_request_id", "denial_reason": "reason"}
    return {"approvals": answers, **{name: entry.get(key) for name, key in older.items()}}
