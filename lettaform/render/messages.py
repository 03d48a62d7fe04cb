"""Messages of agents, as they come and as lists, and runs, to text that is safe to print, and to JSON values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, assert_never

from lettaform.client.messages import (
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    AssistantMessage,
    Content,
    ErrorMessage,
    EventMessage,
    HiddenReasoningMessage,
    Message,
    OtherMessage,
    Ping,
    ReasoningMessage,
    StopReason,
    SummaryMessage,
    SystemMessage,
    ToolCall,
    ToolCallMessage,
    ToolReturnMessage,
    UsageStatistics,
    UserMessage,
    joined,
    text_of,
)
from lettaform.model import Run
from lettaform.render.clean import clean, clean_line
from lettaform.render.data import FORMAT_VERSION
from lettaform.render.paint import Meaning, Paint
from lettaform.render.table import Cell, Column, lines, shortened

if TYPE_CHECKING:
    from lettaform.model import Recipient

Where: TypeAlias = Literal["out", "err"]
"""What an agent says goes to `out`, everything else to `err`, so that a pipe gets the answer alone."""
Piece: TypeAlias = tuple[Where, str]

LINES = 20
"""How many lines of a result or of a prompt are shown, unless everything is asked for."""
STOPS: Mapping[str, str] = {
    "requires_approval": "it waits for an approval",
    "max_steps": "it has used up its steps",
    "max_tokens_exceeded": "the answer is longer than the model may write",
    "context_window_overflow_in_system_prompt": "its prompt does not fit into the context window",
    "llm_api_error": "the request to the language model failed",
    "invalid_llm_response": "the language model gave an answer that the server cannot read",
    "invalid_tool_call": "the language model called a tool in a wrong way",
    "no_tool_call": "the language model called no tool",
    "insufficient_credits": "the account has no credits left",
    "cancelled": "the run was cancelled",
    "error": "the server failed",
}
"""What a stop reason means, for those that are not the end of a turn."""


class Chunks:
    """Pieces of one text to clean pieces: together they are what the whole text would be, cleaned."""

    # what a CI runs as a command can come in two pieces: its beginning waits for what follows
    _WAITS = re.compile(r"(?:^[^\S\n]*:{0,2}|##\w*|#)\Z", re.MULTILINE)

    def __init__(self) -> None:
        self._held, self._before = "", "\n"

    def feed(self, piece: str) -> str:
        """What can be printed by now."""
        text = self._held + piece
        waits = self._WAITS.search(text if self._before == "\n" else f"x{text}")
        cut = len(text) if waits is None else max(0, waits.start() - (self._before != "\n"))
        self._held = text[cut:]
        return self._clean(text[:cut])

    def end(self) -> str:
        """The rest."""
        text, self._held = self._held, ""
        return self._clean(text)

    def _clean(self, text: str) -> str:
        if not text:
            return ""
        # in the middle of a line; what comes before decides about the form of a symbol
        context = "" if self._before == "\n" else f"x{self._before}" if self._before.isprintable() else "x"
        shown = clean(context + text)[len(clean(context)) :]
        self._before = text[-1]
        return shown


class Transcript:
    """Messages, or the pieces of messages, to what is printed."""

    def __init__(self, *, out: Paint, err: Paint, verbose: bool = False) -> None:
        self._out, self._err, self._verbose = out, err, verbose
        self._key: tuple[str, str] | None = None
        self._pieces: list[Message] = []
        self._chunks = Chunks()
        self._at_start = True

    def add(self, message: Message) -> list[Piece]:
        """What one more message, or a piece of one, adds."""
        if isinstance(message, Ping | StopReason | UsageStatistics):
            return self.end() if not isinstance(message, Ping) else []
        key = (message.id, message.message_type)
        shown = [] if key == self._key else self.end()
        begins, self._key = key != self._key, key
        if isinstance(message, AssistantMessage):
            return [*shown, *self._said("out", message.text)]
        if isinstance(message, ReasoningMessage):
            head: list[Piece] = [("err", self._err("Reasoning: ", "faint"))] if begins else []
            return [*shown, *head, *self._said("err", message.reasoning)]
        self._pieces.append(message)
        return shown

    def _said(self, where: Where, text: str) -> list[Piece]:
        shown = self._chunks.feed(text)
        return self._printed(where, shown)

    def _printed(self, where: Where, shown: str) -> list[Piece]:
        if not shown:
            return []
        self._at_start = shown.endswith("\n")
        return [(where, shown if where == "out" else self._err(shown, "faint"))]

    def end(self) -> list[Piece]:
        """The rest of the last message."""
        key, self._key = self._key, None
        pieces, self._pieces = self._pieces, []
        if pieces:
            return [("err", f"{each}\n") for whole in joined(pieces) for each in self._whole(whole)]
        if key is None:
            return []
        where: Where = "out" if key[1] == "assistant_message" else "err"
        shown = self._printed(where, self._chunks.end())
        self._chunks = Chunks()
        if not self._at_start:
            shown.append((where, "\n"))
        self._at_start = True
        return shown

    def _whole(self, message: Message) -> list[str]:
        title, meaning = _LABELS.get(message.message_type, ("Message", None))
        if isinstance(message, ToolReturnMessage) and message.status == "error":
            title, meaning = "Tool error", "alarm"
        head = f"{title}: "
        first, *rest = limited(body(message, self._verbose), None if self._verbose else LINES)
        painted = self._err(head, meaning) if meaning else head
        return [f"{painted}{first}", *(f"  {each}" for each in rest)]


_LABELS: Mapping[str, tuple[str, Meaning | None]] = {
    "system_message": ("System", "faint"),
    "user_message": ("User", "strong"),
    "assistant_message": ("Assistant", "strong"),
    "reasoning_message": ("Reasoning", "faint"),
    "hidden_reasoning_message": ("Reasoning", "faint"),
    "tool_call_message": ("Tool call", "changed"),
    "tool_return_message": ("Tool return", "adopted"),
    "approval_request_message": ("Approval request", "alarm"),
    "approval_response_message": ("Approval", "changed"),
    "summary_message": ("Summary", "faint"),
    "event_message": ("Event", "faint"),
    "error_message": ("Error", "alarm"),
}


def body(message: Message, verbose: bool = False) -> str:
    """What a message says, as clean text. `verbose`: also what a tool printed, and the details of an error."""
    match message:
        case SystemMessage() | UserMessage() | AssistantMessage():
            return clean(_content(message.content))
        case ReasoningMessage():
            return clean(message.reasoning)
        case HiddenReasoningMessage():
            return f"not shown by the provider of the model ({clean_line(message.state)})"
        case ToolCallMessage() | ApprovalRequestMessage():
            return "\n".join(map(call, message.tool_calls))
        case ToolReturnMessage():
            return _returned(message, verbose)
        case ApprovalResponseMessage():
            return _decided(message)
        case SummaryMessage():
            return clean(message.summary)
        case EventMessage():
            return clean_line(f"{message.event_type} {_compact(message.event_data)}")
        case ErrorMessage():
            detail = message.detail if verbose else None
            return clean("\n".join(filter(None, (message.message or message.error_type, detail))))
        case OtherMessage():
            return clean_line(f"{message.server_type or 'of no type'} {_compact(message.raw)}")
        case StopReason():
            return clean_line(message.stop_reason)
        case UsageStatistics():
            return f"{message.total_tokens} tokens"
        case Ping():
            return ""
        case _:
            assert_never(message)


def call(tool: ToolCall) -> str:
    """A call of a tool on one line."""
    values = tool.values
    return clean_line(f"{tool.name} {tool.arguments if values is None else _compact(values)}".strip())


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _content(content: Content) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(_part(each) for each in content)


def _part(part: Mapping[str, Any]) -> str:
    if part.get("type") == "text":
        return text_of((part,))
    source = part.get("source")
    kind = source.get("media_type") if isinstance(source, Mapping) else None
    return f"[{part.get('type', 'part')}{f' {kind}' if kind else ''}]"


def _returned(message: ToolReturnMessage, verbose: bool) -> str:
    each = message.tool_returns or (message,)
    texts = []
    for one in each:
        texts.append(_content(one.tool_return))
        if verbose:
            texts += [f"{name}: {text}" for name in ("stdout", "stderr") for text in getattr(one, name) if text.strip()]
    return clean("\n".join(text.rstrip("\n") for text in texts))


def _decided(message: ApprovalResponseMessage) -> str:
    if not message.approvals:
        return "approved" if message.approve else clean(f"denied {message.reason or ''}".rstrip())
    shown = []
    for each in message.approvals:
        approved = getattr(each, "approve", None)
        reason = getattr(each, "reason", None)
        words = "carried out by the client" if approved is None else "approved" if approved else "denied"
        shown.append(clean_line(f"{words}: {reason}" if reason else words))
    return "\n".join(shown)


def limited(text: str, most: int | None) -> list[str]:
    """The lines of a clean text; of more than `most`, the first ones, and how many are left out."""
    every = text.split("\n")
    if most is None or len(every) <= most:
        return every
    return [*every[: most - 1], f"… {len(every) - most + 1} more lines; -v shows them"]


# --- ends ------------------------------------------------------------------------------------------------------------


def ending(stopped: str, usage: UsageStatistics, run: str | None, seconds: float) -> str:
    """One line about a run that has ended."""
    why = STOPS.get(stopped)
    parts = [clean_line(stopped or "no stop reason") + (f": {why}" if why else "")]
    if usage.step_count:
        parts.append(f"{usage.step_count} step{'s' * (usage.step_count != 1)}")
    if usage.total_tokens:
        parts.append(f"{usage.total_tokens} tokens")
    return ", ".join([*parts, f"{seconds:.1f} s", *([clean_line(run)] if run else [])])


def usage_data(usage: UsageStatistics) -> dict[str, int]:
    """The tokens and steps that a run used."""
    names = ("prompt_tokens", "completion_tokens", "total_tokens", "step_count")
    return {name: getattr(usage, name) for name in names}


# --- lists -----------------------------------------------------------------------------------------------------------


def listed(messages: Iterable[Message], *, color: bool, verbose: bool = False) -> str:
    """Messages, each with its time and type, and its id where `verbose`."""
    paint, shown = Paint(color), list[str]()
    for each in messages:
        title, meaning = _LABELS.get(each.message_type, ("Message", None))
        head = paint(title, meaning) if meaning else title
        shown.append(f"{paint(moment(each.date), 'faint')}  {head}{f'  {clean_line(each.id)}' if verbose else ''}")
        shown += [f"  {line}".rstrip() for line in limited(body(each, verbose), None if verbose else LINES)]
    return "".join(f"{line}\n" for line in shown)


def messages_data(of: str, messages: Iterable[Message]) -> dict[str, Any]:
    """Messages as the server gave them."""
    return {"format_version": FORMAT_VERSION, "of": of, "messages": [message_data(each) for each in messages]}


def message_data(message: Message) -> dict[str, Any]:
    """A message as the server gave it, with its run and number where it did not write them."""
    known = {"run_id": message.run_id, "seq_id": message.seq_id}
    return {**message.raw, **{key: value for key, value in known.items() if value is not None}}


def moment(text: str) -> str:
    """A time of the server without its parts below a second."""
    return clean_line(text[:19].replace("T", " ")) or "-"


def runs_text(runs: Sequence[tuple[Run, str]], *, color: bool, width: int | None) -> str:
    """A table of runs, each with whose it is."""
    if not runs:
        return "No runs.\n"
    columns = [
        Column("RUN"),
        Column("AGENT", least=12),
        Column("STATUS"),
        Column("STOP REASON", rank=1),
        Column("STARTED", rank=2),
        Column("SECONDS", rank=3, right=True),
    ]
    rows = []
    for run, name in runs:
        bad = run.status in ("failed", "cancelled")
        status = Cell(clean_line(run.status), "alarm" if bad else "changed" if not run.ended else None)
        cells = [Cell(clean_line(run.id)), Cell(clean_line(name)), status, Cell(clean_line(run.stop_reason or "-"))]
        rows.append([*cells, Cell(moment(run.created_at)), Cell(_seconds(run))])
    return "".join(f"{line}\n" for line in lines(columns, rows, Paint(color), width))


def _seconds(run: Run) -> str:
    try:
        begun, ended = (datetime.fromisoformat(each or "").replace(tzinfo=None) for each in _times(run))
    except ValueError:
        return "-"
    return f"{(ended - begun).total_seconds():.1f}"


def _times(run: Run) -> tuple[str | None, str | None]:
    return run.created_at, run.completed_at


def run_text(run: Run, *, color: bool) -> str:
    """One run, a line for each of its values."""
    paint = Paint(color)
    values = {
        "agent": run.agent,
        "conversation": run.conversation,
        "status": run.status,
        "stop reason": run.stop_reason,
        "error": run.error,
        "started": moment(run.created_at),
        "completed": moment(run.completed_at) if run.completed_at else None,
        "background": "yes" if run.background else "no",
    }
    shown = [f"  {paint(f'{key:<13}', 'faint')}{clean_line(value)}" for key, value in values.items() if value]
    return "\n".join([clean_line(run.id), *shown]) + "\n"


def run_data(run: Run) -> dict[str, Any]:
    """A run as a JSON value."""
    return {
        "id": run.id,
        "agent": run.agent,
        "conversation": run.conversation,
        "status": run.status,
        "stop_reason": run.stop_reason,
        "error": run.error,
        "created_at": run.created_at,
        "completed_at": run.completed_at,
        "background": run.background,
    }


# --- many ------------------------------------------------------------------------------------------------------------


def result_line(to: Recipient, result: str, seconds: float, text: str, *, color: bool, width: int | None) -> str:
    """One line about a message to one of many. `text`: the answer, or why there is none."""
    meaning: Meaning = "added" if result == "ok" else "removed" if result == "failed" else "changed"
    line = f"  {clean_line(to.name)}  {seconds:.1f} s  {clean_line(text.strip())}"
    painted = Paint(color)(f"{result:<7}", meaning)
    return painted + (line if width is None else shortened(line, max(width - 7, 20)))
