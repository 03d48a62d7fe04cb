"""Messages as a server lists them to the keys by which they are found again on another server. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any

from lettaform.values import digest

Listed = Sequence[Mapping[str, Any]]
"""Oldest first. A message has one entry for each thought, text and call of it."""

ROLES: Mapping[str, str] = {
    "system_message": "system",
    "user_message": "user",
    "tool_return_message": "tool",
    "approval_request_message": "approval",
    "approval_response_message": "approval",
    "reasoning_message": "assistant",
    "hidden_reasoning_message": "assistant",
    "assistant_message": "assistant",
    "tool_call_message": "assistant",
}
"""Type of an entry to the role of its message."""


_SHOWN = ("message_type", "content", "reasoning", "hidden_reasoning", "tool_calls", "tool_return", "approvals")


def grouped(listed: Listed) -> dict[str, list[Mapping[str, Any]]]:
    """Id of a message to its entries. Messages are in the order of the list."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in listed:
        found.setdefault(str(entry["id"]), []).append(entry)
    return found


def role(entries: Listed) -> str:
    """The role of a message, by its entries."""
    roles = [ROLES.get(str(each.get("message_type")), "") for each in entries]
    return "approval" if "approval" in roles else roles[0]


def keys(listed: Listed) -> dict[str, str]:
    """Id of a message to its key: its time, its role, and a digest of its texts and calls."""
    found = {}
    for id, entries in grouped(listed).items():
        shown = digest([[each.get(name) for name in _SHOWN] for each in map(_texts, entries)])
        found[id] = f"{entries[0].get('date')} {role(entries)} {shown[:16]}"
    return found


def _texts(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """An entry without its pictures: 0.16.8 gives each another id when it is imported."""
    content = entry.get("content")
    if not isinstance(content, list):
        return entry
    return {**entry, "content": [each.get("text") for each in content if isinstance(each, Mapping)]}


def ids_of(wanted: Sequence[str], listed: Listed) -> list[str] | None:
    """The ids of the messages with these keys; None unless each is there."""
    waiting: dict[str, deque[str]] = defaultdict(deque)
    for id, each in keys(listed).items():
        waiting[each].append(id)
    found = [waiting[each].popleft() for each in wanted if waiting[each]]
    return found if len(found) == len(wanted) else None
