"""A schedule: messages that an agent gets at a time, or again and again. Letta Cloud alone keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lettaform.kinds.base import Kind, attr
from lettaform.values import digest

_MESSAGE = ("messages", "callback_url", "include_return_message_types", "max_steps")


# fmt: off
class Schedule(Kind, section="schedules", path="/v1/agents/", name="name", mark="record"):
    """Messages that an agent gets at a time, or again and again. Letta Cloud alone keeps them."""

    name: str = attr("Read from what it says, never written.", write=None, read="name")
    agent: str = attr("Who gets them: a key of `agents`.", to="agent", write="agent_id", birth=True, fixed=True, home=True)
    messages: list[dict[str, Any]] = attr("What it gets: maps of `role` and `content`.", birth=True, fixed=True, constraints={"min_length": 1})
    cron: str = attr("When, again and again: a cron expression of five fields.", write="cron_expression", fixed=True, constraints={"min_length": 1})
    at: int = attr("When, once: milliseconds since 1970.", write="scheduled_at", fixed=True, constraints={"ge": 0})
    callback_url: str = attr("Told when it is done.", fixed=True, constraints={"pattern": "^https?://."})
    include_return_message_types: list[str] = attr("Which kinds of answers that call tells.", fixed=True, unordered=True)
    max_steps: int = attr("After how many steps a run ends.", fixed=True, constraints={"ge": 1})
    # fmt: on

    cloud: ClassVar[bool | None] = True
    below: ClassVar[str] = "schedule"
    named_by: ClassVar[tuple[str, ...]] = ("messages", "cron", "at")

    @classmethod
    def named(cls, values: Mapping[str, Any]) -> str | None:
        return digest({key: cls.normal(key, values.get(key)) for key in ("messages", "cron", "at")})

    @classmethod
    def normal(cls, field: str, value: Any) -> Any:
        if field == "messages" and isinstance(value, list):
            keys = ("role", "content", "name", "sender_id")
            return [{key: each[key] for key in keys if each.get(key) is not None} for each in value]
        return int(value) if isinstance(value, float) and field in ("at", "max_steps") else value

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        message, when = body.get("message") or {}, body.get("schedule") or {}
        told = {**body, **when, **message, "id": f"{body.get('agent_id')}/{cls.below}/{body['id']}"}
        said = {"messages": told.get("messages"), "cron": when.get("cron_expression"), "at": when.get("scheduled_at")}
        return {**told, "name": cls.named(said)}

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        told = {key: body[key] for key in _MESSAGE if key in body}
        cron = body.get("cron_expression")
        once = {"type": "one-time", "scheduled_at": body.get("scheduled_at")}
        return told | {"schedule": {"type": "recurring", "cron_expression": cron} if cron else once}

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        problems = super().check(values)
        if (values.get("cron") is None) == (values.get("at") is None):
            problems.append(("cron", "exactly one of `cron` and `at` says when", None))
        elif values.get("cron") and len(str(values["cron"]).split()) != 5:
            problems.append(("cron", "is no cron expression of five fields", "as in `0 9 * * 1-5`"))
        for number, each in enumerate(values.get("messages") or ()):
            if isinstance(each, Mapping) and (not each.get("content") or each.get("role") not in ("user", "assistant", "system")):
                problems.append((f"messages.{number}", "needs a `role` and a `content`", "role: user, assistant or system"))
        return problems
