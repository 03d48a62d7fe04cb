"""JSON of a message to one of a closed set of values, and the pieces of a stream to whole messages.

The types are those of 0.16.8. A type that is not known becomes an OtherMessage. Reading never fails: a value that is
missing or of another type becomes an empty one, and `raw` has the JSON as it came.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, Literal, TypeAlias

Part: TypeAlias = Mapping[str, Any]
"""A part of a text, an image or another content, as the JSON of the server: `type` tells which."""
Content: TypeAlias = str | tuple[Part, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A call of a tool. `arguments`: a JSON object as text; in a piece of a stream, a part of it."""

    name: str = ""
    arguments: str = ""
    tool_call_id: str = ""

    @property
    def values(self) -> Mapping[str, Any] | None:
        """The arguments by name; None if they are no JSON object."""
        try:
            found = json.loads(self.arguments)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolReturn:
    """What a tool returned. `status`: `success` or `error`."""

    tool_return: Content = ""
    status: str = ""
    tool_call_id: str = ""
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Approval:
    """Whether a call of a tool was approved."""

    tool_call_id: str = ""
    approve: bool | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """What all messages have.

    id       equal in all pieces of a message, and in all messages that one answer of a model was divided into
    date     ISO 8601
    seq_id   the number of a piece in the stream of a background run, from 1
    raw      the JSON
    """

    id: str = ""
    date: str = ""
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    step_id: str | None = None
    run_id: str | None = None
    seq_id: int | None = None
    is_err: bool | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemMessage(Base):
    """The prompt of an agent, or another message of the system."""

    message_type: Literal["system_message"] = "system_message"
    content: Content = ""

    @property
    def text(self) -> str:
        """The text of the content."""
        return text_of(self.content)


@dataclass(frozen=True, kw_only=True, slots=True)
class UserMessage(Base):
    """What a user said."""

    message_type: Literal["user_message"] = "user_message"
    content: Content = ""

    @property
    def text(self) -> str:
        """The text of the content."""
        return text_of(self.content)


@dataclass(frozen=True, kw_only=True, slots=True)
class AssistantMessage(Base):
    """What the agent said."""

    message_type: Literal["assistant_message"] = "assistant_message"
    content: Content = ""

    @property
    def text(self) -> str:
        """The text of the content."""
        return text_of(self.content)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasoningMessage(Base):
    """What the model thought. `source`: `reasoner_model` or `non_reasoner_model`."""

    message_type: Literal["reasoning_message"] = "reasoning_message"
    reasoning: str = ""
    source: str = ""
    signature: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HiddenReasoningMessage(Base):
    """Thoughts that the provider of the model does not show. `state`: `redacted` or `omitted`."""

    message_type: Literal["hidden_reasoning_message"] = "hidden_reasoning_message"
    state: str = ""
    hidden_reasoning: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCallMessage(Base):
    """The agent calls tools. `tool_call` is the first of `tool_calls`."""

    message_type: Literal["tool_call_message"] = "tool_call_message"
    tool_call: ToolCall = ToolCall()
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolReturnMessage(Base):
    """What tools returned. The other fields are those of the first of `tool_returns`."""

    message_type: Literal["tool_return_message"] = "tool_return_message"
    tool_return: Content = ""
    status: str = ""
    tool_call_id: str = ""
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    tool_returns: tuple[ToolReturn, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalRequestMessage(Base):
    """The agent waits for the approval of these calls. `tool_call` is the first of `tool_calls`."""

    message_type: Literal["approval_request_message"] = "approval_request_message"
    tool_call: ToolCall = ToolCall()
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalResponseMessage(Base):
    """Which calls were approved. A result instead of an approval: the client has carried out the call itself."""

    message_type: Literal["approval_response_message"] = "approval_response_message"
    approvals: tuple[Approval | ToolReturn, ...] = ()
    approve: bool | None = None
    approval_request_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SummaryMessage(Base):
    """The summary of the messages that left the context of the agent."""

    message_type: Literal["summary_message"] = "summary_message"
    summary: str = ""
    compaction_stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class EventMessage(Base):
    """Something that the server did, such as the `event_type` `compaction`."""

    message_type: Literal["event_message"] = "event_message"
    event_type: str = ""
    event_data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StopReason(Base):
    """Why the agent stopped, such as `end_turn`, `max_steps`, `requires_approval`, `cancelled` or `error`."""

    message_type: Literal["stop_reason"] = "stop_reason"
    stop_reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageStatistics(Base):
    """The tokens that all steps together used."""

    message_type: Literal["usage_statistics"] = "usage_statistics"
    completion_tokens: int = 0
    prompt_tokens: int = 0
    total_tokens: int = 0
    step_count: int = 0
    run_ids: tuple[str, ...] = ()
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    context_tokens: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ping(Base):
    """Says that the run goes on. The first piece of a stream is one, with the id of the run."""

    message_type: Literal["ping"] = "ping"


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorMessage(Base):
    """The run failed. `error_type` is a word such as `llm_timeout`."""

    message_type: Literal["error_message"] = "error_message"
    error_type: str = ""
    message: str = ""
    detail: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherMessage(Base):
    """A message of a type that is not known here. `server_type` is the name that the server gives it."""

    message_type: Literal["other_message"] = "other_message"
    server_type: str = ""


Message: TypeAlias = (
    SystemMessage
    | UserMessage
    | AssistantMessage
    | ReasoningMessage
    | HiddenReasoningMessage
    | ToolCallMessage
    | ToolReturnMessage
    | ApprovalRequestMessage
    | ApprovalResponseMessage
    | SummaryMessage
    | EventMessage
    | StopReason
    | UsageStatistics
    | Ping
    | ErrorMessage
    | OtherMessage
)

TYPES: Mapping[str, type[Message]] = {
    "system_message": SystemMessage,
    "user_message": UserMessage,
    "assistant_message": AssistantMessage,
    "reasoning_message": ReasoningMessage,
    "hidden_reasoning_message": HiddenReasoningMessage,
    "tool_call_message": ToolCallMessage,
    "tool_return_message": ToolReturnMessage,
    "approval_request_message": ApprovalRequestMessage,
    "approval_response_message": ApprovalResponseMessage,
    "summary_message": SummaryMessage,
    "event_message": EventMessage,
    "stop_reason": StopReason,
    "usage_statistics": UsageStatistics,
    "ping": Ping,
    "error_message": ErrorMessage,
}
"""The type of the server to the type of a message."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """The whole answer of an agent. `raw`: the JSON."""

    messages: tuple[Message, ...] = ()
    stop_reason: StopReason = StopReason()
    usage: UsageStatistics = UsageStatistics()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def text(self) -> str:
        """What the agent said, a line for each of its messages."""
        return "\n".join(each.text for each in self.messages if isinstance(each, AssistantMessage))


def parse(body: Any, **known: Any) -> Message:
    """The message of a JSON value. `known`: fields that it gets whatever the JSON says. Never fails."""
    if not isinstance(body, Mapping):
        return OtherMessage(raw={"value": body}, **known)
    named = body.get("message_type")
    found = TYPES.get(named) if isinstance(named, str) else None
    if found is None:
        return OtherMessage(**{**_read(OtherMessage, body), "server_type": _text(named), **known})
    return found(**{**_read(found, body), **known})


def parse_response(body: Any) -> Response:
    """The answer of an agent to a message. Never fails."""
    known = body if isinstance(body, Mapping) else {}
    messages = known.get("messages")
    stopped, usage = parse(known.get("stop_reason")), parse(known.get("usage"))
    return Response(
        messages=tuple(parse(each) for each in messages) if isinstance(messages, list) else (),
        stop_reason=stopped if isinstance(stopped, StopReason) else StopReason(),
        usage=usage if isinstance(usage, UsageStatistics) else UsageStatistics(),
        raw=known,
    )


def text_of(content: Content) -> str:
    """The text of a content, its parts one after another. Images and other parts are left out."""
    if isinstance(content, str):
        return content
    return "".join(_text(part.get("text")) for part in content if part.get("type") == "text")


# --- reading ---------------------------------------------------------------------------------------------------------


def _read(found: Any, body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a type that the JSON has."""
    values = {name: reader(body[name]) for name, reader in _readers(found) if body.get(name) is not None}
    if "raw" in found.__dataclass_fields__:
        values["raw"] = body
    if "tool_call" in values and not values.get("tool_calls"):
        values["tool_calls"] = (values["tool_call"],)
    return values


@cache
def _readers(found: Any) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """The name of each field of a type and what reads it. A name means the same in all types."""
    skipped = ("message_type", "server_type", "raw")
    names = (name for name in found.__dataclass_fields__ if name not in skipped)
    return tuple((name, _READERS.get(name, _text)) for name in names)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _choice(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _content(value: Any) -> Content:
    if isinstance(value, list):
        return tuple(each for each in value if isinstance(each, Mapping))
    return _text(value)


def _call(value: Any) -> ToolCall:
    return ToolCall(**_read(ToolCall, _mapping(value)))


def _calls(value: Any) -> tuple[ToolCall, ...]:
    # in a stream, 0.16.8 answers the piece of one call in place of the list
    return tuple(_call(each) for each in (value if isinstance(value, list) else [value]))


def _return(value: Any) -> ToolReturn:
    return ToolReturn(**_read(ToolReturn, _mapping(value)))


def _returns(value: Any) -> tuple[ToolReturn, ...]:
    return tuple(_return(each) for each in value) if isinstance(value, list) else ()


def _approvals(value: Any) -> tuple[Approval | ToolReturn, ...]:
    every = value if isinstance(value, list) else []
    return tuple(
        _return(each) if _mapping(each).get("type") == "tool" else Approval(**_read(Approval, _mapping(each)))
        for each in every
    )


_READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("content", "tool_return"), _content),
    **dict.fromkeys(("stdout", "stderr", "run_ids"), _texts),
    **dict.fromkeys(("is_err", "approve"), _choice),
    **dict.fromkeys(("event_data", "compaction_stats"), _mapping),
    **dict.fromkeys(("seq_id", "step_count", "completion_tokens", "prompt_tokens", "total_tokens"), _number),
    **dict.fromkeys(("cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "context_tokens"), _number),
    "tool_call": _call,
    "tool_calls": _calls,
    "tool_returns": _returns,
    "approvals": _approvals,
}
"""What reads a field, by its name. All others are texts."""


# --- pieces ----------------------------------------------------------------------------------------------------------


def joined(pieces: Iterable[Message]) -> list[Message]:
    """Whole messages, in the order in which each began. The pieces of one have the same id and type. Without pings."""
    found: dict[tuple[str, str], Message] = {}
    for number, piece in enumerate(pieces):
        if isinstance(piece, Ping):
            continue
        key = (piece.id or str(number), piece.message_type)
        found[key] = _appended(found[key], piece) if key in found else piece
    return list(found.values())


def _appended(whole: Message, piece: Message) -> Message:
    """A message and its next piece, of the same type. `raw` and `seq_id` are those of the last piece."""
    changes: dict[str, Any] = {"raw": piece.raw, "seq_id": piece.seq_id}
    for each in fields(whole):
        if grow := _GROWING.get(each.name):
            changes[each.name] = grow(getattr(whole, each.name), getattr(piece, each.name))
    if calls := changes.get("tool_calls"):
        changes["tool_call"] = calls[0]
    return replace(whole, **changes)


def _longer(whole: Content, piece: Content) -> Content:
    if isinstance(whole, str) and isinstance(piece, str):
        return whole + piece
    return (*_parts(whole), *_parts(piece))


def _parts(content: Content) -> tuple[Part, ...]:
    if isinstance(content, str):
        return ({"type": "text", "text": content},) if content else ()
    return content


def _more_calls(calls: tuple[ToolCall, ...], pieces: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    """The calls with their next pieces. A piece without an id belongs to the last call."""
    found = list(calls)
    for piece in pieces:
        same = [
            at for at, call in enumerate(found) if call.tool_call_id == piece.tool_call_id or not piece.tool_call_id
        ]
        if not same:
            found.append(piece)
            continue
        call = found[same[-1]]
        found[same[-1]] = replace(call, name=call.name + piece.name, arguments=call.arguments + piece.arguments)
    return tuple(found)


_GROWING: Mapping[str, Callable[[Any, Any], Any]] = {
    "content": _longer,
    "reasoning": lambda whole, piece: whole + piece,
    "hidden_reasoning": lambda whole, piece: None if whole is piece is None else (whole or "") + (piece or ""),
    "signature": lambda whole, piece: piece or whole,
    "summary": lambda whole, piece: whole + piece,
    "tool_calls": _more_calls,
    # 0.16.8 divides the results of parallel calls into messages of one id
    "tool_returns": lambda whole, piece: (*whole, *piece),
}
"""The fields that pieces lengthen, by name, each with how. All others are those of the first piece."""
