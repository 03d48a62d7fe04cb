"""Messages as text: each type, in pieces and whole, hostile ones too; lists of messages and of runs."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from lettaform.client.messages import Message, UsageStatistics, parse
from lettaform.model import Recipient, Run
from lettaform.render import messages as render
from lettaform.render.clean import clean
from lettaform.render.messages import Chunks, Transcript
from lettaform.render.paint import Paint
from tests.render.hostile import TEXTS


def message(kind: str, id: str = "message-1", **body: Any) -> Message:
    return parse({"id": id, "date": "2026-11-27T08:01:02+00:00", "message_type": kind, **body})


def call(name: str | None, arguments: str | None) -> dict[str, Any]:
    delta = {"name": name, "arguments": arguments, "tool_call_id": "call-1"}
    return {"tool_call": delta, "tool_calls": delta}


def printed(*messages: Message, verbose: bool = False) -> tuple[str, str]:
    """What a transcript prints on standard output and on standard error."""
    transcript = Transcript(out=Paint(), err=Paint(), verbose=verbose)
    pieces = [piece for each in messages for piece in transcript.add(each)] + transcript.end()
    out, err = ("".join(text for where, text in pieces if where == to) for to in ("out", "err"))
    return out, err


RETURN = {"tool_return": "21 °C", "status": "success", "tool_call_id": "call-1"}


@pytest.mark.parametrize(
    ("said", "out", "err"),
    [
        (message("assistant_message", content="Hello"), "Hello\n", ""),
        (message("assistant_message", content="Hello\n"), "Hello\n", ""),
        (message("assistant_message", content=""), "", ""),
        (message("reasoning_message", reasoning="a\nb"), "", "Reasoning: a\nb\n"),
        (
            message("hidden_reasoning_message", state="omitted"),
            "",
            "Reasoning: not shown by the provider of the model (omitted)\n",
        ),
        (message("user_message", content="Hi"), "", "User: Hi\n"),
        (message("system_message", content="Be kind."), "", "System: Be kind.\n"),
        (message("tool_call_message", **call("add", '{"a":1}')), "", 'Tool call: add {"a": 1}\n'),
        (message("tool_call_message", **call("add", '{"a":')), "", 'Tool call: add {"a":\n'),
        (message("tool_return_message", **RETURN), "", "Tool return: 21 °C\n"),
        (message("tool_return_message", **RETURN | {"status": "error"}), "", "Tool error: 21 °C\n"),
        (message("approval_request_message", **call("add", "{}")), "", "Approval request: add {}\n"),
        (
            message("approval_response_message", approvals=[{"type": "approval", "approve": False, "reason": "no"}]),
            "",
            "Approval: denied: no\n",
        ),
        (message("approval_response_message", approve=True), "", "Approval: approved\n"),
        (message("summary_message", summary="All of it"), "", "Summary: All of it\n"),
        (message("event_message", event_type="compaction", event_data={"n": 1}), "", 'Event: compaction {"n": 1}\n'),
        (message("error_message", error_type="llm_error", message="It failed."), "", "Error: It failed.\n"),
        (message("ping"), "", ""),
        (message("stop_reason", stop_reason="end_turn"), "", ""),
        (message("usage_statistics", total_tokens=3), "", ""),
    ],
    ids=lambda each: each.message_type if not isinstance(each, str) else "",
)
def test_each_type_of_message(said: Message, out: str, err: str) -> None:
    assert printed(said) == (out, err)


def test_a_type_of_a_later_server_is_shown() -> None:
    assert printed(message("news_message", x=1))[1].startswith("Message: news_message {")


def test_the_pieces_of_messages_are_joined() -> None:
    pieces = [
        message("ping"),
        message("reasoning_message", reasoning="be"),
        message("reasoning_message", reasoning="cause"),
        message("tool_call_message", **call("add", None)),
        message("tool_call_message", **call(None, '{"a"')),
        message("tool_call_message", **call(None, ":1}")),
        message("tool_return_message", "message-2", **RETURN),
        message("assistant_message", "message-3", content="Hel"),
        message("assistant_message", "message-3", content="lo"),
        message("assistant_message", "message-4", content="there"),
        message("stop_reason", stop_reason="end_turn"),
    ]
    assert printed(*pieces) == ("Hello\nthere\n", 'Reasoning: because\nTool call: add {"a": 1}\nTool return: 21 °C\n')


def test_results_are_limited_and_printed_output_is_left_out_unless_everything_is_asked_for() -> None:
    text = "\n".join(map(str, range(100)))
    said = message("tool_return_message", tool_return=text, status="success", stdout=["printed\n"])
    short, whole = printed(said)[1].splitlines(), printed(said, verbose=True)[1].splitlines()
    assert (len(short), short[-1]) == (20, "  … 81 more lines; -v shows them")
    assert (len(whole), whole[-1]) == (101, "  stdout: printed")


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_pieces_of_hostile_text_are_as_clean_as_the_whole(text: str) -> None:
    drawn = random.Random(1)
    for _ in range(20):
        chunks, rest, shown = Chunks(), text, ""
        while rest:
            cut = drawn.randint(1, 4)
            shown, rest = shown + chunks.feed(rest[:cut]), rest[cut:]
        assert shown + chunks.end() == clean(text)


def test_a_command_for_a_ci_in_two_pieces_is_broken_up_and_other_colons_stay() -> None:
    chunks = Chunks()
    assert "".join([chunks.feed("std:"), chunks.feed(":vector\n :"), chunks.feed(":set-env x"), chunks.end()]) == (
        "std::vector\n ‹::›set-env x"
    )


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_hostile_text_in_every_place(text: str) -> None:
    calls = {"name": text, "arguments": text, "tool_call_id": text}
    every = [
        message("assistant_message", text, content=text),
        message("user_message", text, content=[{"type": text, "source": {"media_type": text}}]),
        message("reasoning_message", text, reasoning=text),
        message("hidden_reasoning_message", text, state=text),
        message("tool_call_message", text, tool_call=calls, tool_calls=[calls]),
        message("tool_return_message", text, tool_return=text, status=text, stdout=[text], name=text),
        message("approval_response_message", text, approvals=[{"type": "approval", "approve": False, "reason": text}]),
        message("summary_message", text, summary=text),
        message("event_message", text, event_type=text, event_data={text: text}),
        message("error_message", error_type=text, message=text, detail=text),
        message(text),
    ]
    run = Run(text, text, text, text, text, text, text, error=text)
    shown = [
        *printed(*every, verbose=True),
        render.listed(every, color=False, verbose=True),
        render.runs_text([(run, text)], color=False, width=60),
        render.run_text(run, color=False),
        render.ending(text, UsageStatistics(), text, 1.0),
        render.result_line(Recipient(text, None, text), "ok", 1.0, text, color=False, width=60),
    ]
    for each in shown:
        assert clean(each) == each
    assert json.loads(json.dumps(render.messages_data(text, every)))["messages"][0]["content"] == text


def test_a_list_of_messages() -> None:
    every = [message("user_message", content="Hi\n\nthere"), message("assistant_message", content="Hello")]
    assert render.listed(every, color=False).splitlines() == [
        "2026-11-27 08:01:02  User",
        "  Hi",
        "",
        "  there",
        "2026-11-27 08:01:02  Assistant",
        "  Hello",
    ]
    assert "User  message-1" in render.listed(every, color=False, verbose=True)


@pytest.mark.parametrize(
    ("stopped", "steps", "line"),
    [
        ("end_turn", 1, "end_turn, 1 step, 7 tokens, 1.2 s, run-1"),
        ("max_steps", 50, "max_steps: it has used up its steps, 50 steps, 7 tokens, 1.2 s, run-1"),
        ("", 0, "no stop reason, 7 tokens, 1.2 s, run-1"),
    ],
)
def test_the_end_of_a_run(stopped: str, steps: int, line: str) -> None:
    assert render.ending(stopped, UsageStatistics(total_tokens=7, step_count=steps), "run-1", 1.2) == line


def test_runs_as_a_table_of_60_columns() -> None:
    times = ("2026-11-27T08:01:02Z", "2026-11-27T08:01:04.5")
    runs = [(Run("run-1", "agent-1", None, "completed", "end_turn", *times), "agents.é")] * 2
    assert render.runs_text([], color=False, width=60) == "No runs.\n"
    shown = render.runs_text(runs, color=False, width=60).splitlines()
    assert shown[1].split() == ["run-1", "agents.é", "completed", "end_turn", "2026-11-27", "08:01:02"]
    assert max(map(len, shown)) <= 60
    assert render.runs_text(runs, color=False, width=None).splitlines()[1].endswith("2.5")
    assert "stop reason  end_turn" in render.run_text(runs[0][0], color=False)
