"""Schedules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from lettaform.kinds.base import Kind, attr
from lettaform.kinds.maps import ScheduledMessage
from lettaform.kinds.traits import Availability, Naming, Owner, Requests
from lettaform.values import digest

_NAMED_BY = ("messages", "cron", "at")
_MESSAGE = ("messages", "callback_url", "include_return_message_types", "max_steps")


def _name(values: Mapping[str, Any]) -> str:
    return digest({key: Schedule.normal(key, values.get(key)) for key in _NAMED_BY})


# fmt: off
MessageType = Literal["system_message", "user_message", "assistant_message", "reasoning_message", "hidden_reasoning_message", "tool_call_message", "tool_return_message", "approval_request_message", "approval_response_message", "summary_message", "event_message"]


class Schedule(Kind, section="schedules", path="/v1/agents/", mark="state"):
    """Messages that are sent to an agent once or repeatedly. Available on Letta Cloud only."""

    name: str = attr("Derived from the messages and the time; cannot be set.", write=None, read="name")
    agent: str = attr("Agent that receives the messages: a key of `agents`.", to="agent", write="agent_id", required=True, immutable=True, relation=Owner())
    messages: list[ScheduledMessage] = attr("Messages to send: maps of `role` and `content`.", required=True, immutable=True, constraints={"min_length": 1})
    cron: str = attr("Time of a repeated schedule, as a cron expression of five fields.", write="cron_expression", immutable=True, constraints={"min_length": 1})
    at: int = attr("Time of a one-time schedule, in milliseconds since 1970-01-01 UTC.", write="scheduled_at", immutable=True, constraints={"ge": 0})
    callback_url: str = attr("URL to call when a run has ended.", immutable=True, constraints={"pattern": "^https?://."})
    include_return_message_types: list[MessageType] = attr("Types of messages to include in that call.", immutable=True, unordered=True)
    max_steps: int = attr("Maximum number of steps per run.", immutable=True, constraints={"ge": 1})
    # fmt: on

    availability: ClassVar[Availability] = Availability(cloud=True)
    requests: ClassVar[Requests] = Requests(below="schedule")
    naming: ClassVar[Naming] = Naming(_NAMED_BY, _name)

    @classmethod
    def normal(cls, field: str, value: Any) -> Any:
        if field == "messages" and isinstance(value, list):
            keys = ("role", "content", "name", "sender_id")
            return [{key: each[key] for key in keys if each.get(key) is not None} for each in value]
        return int(value) if isinstance(value, float) and field in ("at", "max_steps") else value

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        message, when = body.get("message") or {}, body.get("schedule") or {}
        flat = {**body, **when, **message, "id": f"{body.get('agent_id')}/{cls.requests.below}/{body['id']}"}
        named = {"messages": flat.get("messages"), "cron": when.get("cron_expression"), "at": when.get("scheduled_at")}
        return {**flat, "name": _name(named)}

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        message = {key: body[key] for key in _MESSAGE if key in body}
        cron = body.get("cron_expression")
        once = {"type": "one-time", "scheduled_at": body.get("scheduled_at")}
        return message | {"schedule": {"type": "recurring", "cron_expression": cron} if cron else once}

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        problems = super().check(values)
        if (values.get("cron") is None) == (values.get("at") is None):
            problems.append(("cron", "exactly one of `cron` and `at` must be set", None))
        elif isinstance(values.get("cron"), str) and len(values["cron"].split()) != 5:
            problems.append(("cron", "is not a cron expression of five fields", "for example `0 9 * * 1-5`"))
        for number, each in enumerate(values.get("messages") or ()):
            if isinstance(each, Mapping) and not each.get("content"):
                problems.append((f"messages.{number}.content", "is empty", "write the text of the message"))
        return problems
