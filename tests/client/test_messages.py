"""Every type of 0.16.8 is told apart, nothing is an error, and pieces are joined."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from lettaform.client import messages
from lettaform.client.messages import (
    TYPES,
    Approval,
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    AssistantMessage,
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
    ToolReturn,
    ToolReturnMessage,
    UsageStatistics,
    UserMessage,
    joined,
    parse,
    parse_response,
    text_of,
)

CALL = {"name": "roll", "arguments": '{"sides": 6}', "tool_call_id": "call_1"}
RETURN = {"type": "tool", "tool_return": "4", "status": "success", "tool_call_id": "call_1", "stdout": ["a"]}
ROLL = ToolCall(name="roll", arguments='{"sides": 6}', tool_call_id="call_1")

CASES: list[tuple[dict[str, Any], Message]] = [
    ({"message_type": "system_message", "content": "Be kind."}, SystemMessage(content="Be kind.")),
    ({"message_type": "user_message", "content": "Hello!"}, UserMessage(content="Hello!")),
    (
        {"message_type": "user_message", "content": [{"type": "text", "text": "a"}, {"type": "image"}, 7]},
        UserMessage(content=({"type": "text", "text": "a"}, {"type": "image"})),
    ),
    ({"message_type": "assistant_message", "content": "Hi", "seq_id": 3}, AssistantMessage(content="Hi", seq_id=3)),
    (
        {"message_type": "reasoning_message", "reasoning": "hm", "source": "reasoner_model", "signature": "s"},
        ReasoningMessage(reasoning="hm", source="reasoner_model", signature="s"),
    ),
    ({"message_type": "hidden_reasoning_message", "state": "omitted"}, HiddenReasoningMessage(state="omitted")),
    (
        {"message_type": "tool_call_message", "tool_call": CALL, "tool_calls": [CALL]},
        ToolCallMessage(tool_call=ROLL, tool_calls=(ROLL,)),
    ),
    (
        {"message_type": "tool_call_message", "tool_call": {"arguments": "{"}, "tool_calls": {"arguments": "{"}},
        ToolCallMessage(tool_call=ToolCall(arguments="{"), tool_calls=(ToolCall(arguments="{"),)),
    ),
    (
        {"message_type": "tool_return_message", **RETURN, "tool_returns": [RETURN], "stderr": None},
        ToolReturnMessage(
            tool_return="4",
            status="success",
            tool_call_id="call_1",
            stdout=("a",),
            tool_returns=(ToolReturn(tool_return="4", status="success", tool_call_id="call_1", stdout=("a",)),),
        ),
    ),
    (
        {"message_type": "approval_request_message", "tool_call": CALL, "tool_calls": None},
        ApprovalRequestMessage(tool_call=ROLL, tool_calls=(ROLL,)),
    ),
    (
        {
            "message_type": "approval_response_message",
            "approvals": [{"type": "approval", "tool_call_id": "call_1", "approve": False, "reason": "no"}, RETURN],
        },
        ApprovalResponseMessage(
            approvals=(
                Approval(tool_call_id="call_1", approve=False, reason="no"),
                ToolReturn(tool_return="4", status="success", tool_call_id="call_1", stdout=("a",)),
            )
        ),
    ),
    (
        {"message_type": "summary_message", "summary": "short", "compaction_stats": {"trigger": "x"}},
        SummaryMessage(summary="short", compaction_stats={"trigger": "x"}),
    ),
    (
        {"message_type": "event_message", "event_type": "compaction", "event_data": {"a": 1}},
        EventMessage(event_type="compaction", event_data={"a": 1}),
    ),
    ({"message_type": "stop_reason", "stop_reason": "end_turn"}, StopReason(stop_reason="end_turn")),
    (
        {"message_type": "usage_statistics", "total_tokens": 9, "run_ids": ["run-1"], "reasoning_tokens": None},
        UsageStatistics(total_tokens=9, run_ids=("run-1",)),
    ),
    ({"message_type": "ping", "id": "ping-1", "run_id": "run-1"}, Ping(id="ping-1", run_id="run-1")),
    (
        {"message_type": "error_message", "error_type": "llm_error", "message": "no", "detail": None},
        ErrorMessage(error_type="llm_error", message="no"),
    ),
    ({"message_type": "new_message", "id": "m", "content": 7}, OtherMessage(id="m", server_type="new_message")),
    ({"id": "m"}, OtherMessage(id="m")),
]


@pytest.mark.parametrize(("body", "message"), CASES, ids=[str(body.get("message_type")) for body, _ in CASES])
def test_json_becomes_the_message_of_its_type(body: dict[str, Any], message: Message) -> None:
    found = parse(body)
    assert found == message
    assert found.raw == body
    assert type(found) is OtherMessage or found.message_type == body["message_type"]


def test_the_union_the_table_and_the_cases_have_the_same_types() -> None:
    assert set(get_args(Message)) == {*TYPES.values(), OtherMessage} == {type(message) for _, message in CASES}
    for name, found in TYPES.items():
        assert found().message_type == name


@pytest.mark.parametrize("odd", [None, 1, "x", [], {"message_type": 3}, {"message_type": ["x"]}])
def test_what_is_no_message_is_another_message(odd: Any) -> None:
    assert isinstance(parse(odd), OtherMessage)


@pytest.mark.parametrize("named", TYPES)
@pytest.mark.parametrize("odd", [None, 1, "x", [1, None, {}], {"x": 1}, True])
def test_values_of_another_type_are_no_error(named: str, odd: Any) -> None:
    found = parse(dict.fromkeys(TYPES[named].__dataclass_fields__, odd) | {"message_type": named})
    assert type(found) is TYPES[named]
    assert isinstance(repr(found), str)


def test_the_arguments_of_a_call_are_values_where_they_are_an_object() -> None:
    assert ROLL.values == {"sides": 6}
    assert ToolCall(arguments='{"sides').values is None
    assert ToolCall(arguments="[1]").values is None


def test_the_text_of_a_content_is_that_of_its_texts() -> None:
    assert text_of(({"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"})) == "ab"
    assert UserMessage(content="x").text == AssistantMessage(content="x").text == SystemMessage(content="x").text == "x"


def test_a_response_has_its_messages_its_end_and_its_usage() -> None:
    body = {
        "messages": [
            {"message_type": "reasoning_message", "reasoning": "hm"},
            {"message_type": "assistant_message", "content": "one"},
            {"message_type": "assistant_message", "content": "two"},
        ],
        "stop_reason": {"message_type": "stop_reason", "stop_reason": "end_turn"},
        "usage": {"message_type": "usage_statistics", "total_tokens": 7},
    }
    found = parse_response(body)
    assert [each.message_type for each in found.messages] == [
        "reasoning_message",
        "assistant_message",
        "assistant_message",
    ]
    assert (found.text, found.stop_reason.stop_reason, found.usage.total_tokens) == ("one\ntwo", "end_turn", 7)
    assert found.raw is body


@pytest.mark.parametrize("odd", [None, [], {"messages": 3, "usage": []}, {"messages": [None]}])
def test_an_odd_response_is_no_error(odd: Any) -> None:
    assert parse_response(odd).text == ""


# --- pieces


def piece(number: int, **values: Any) -> Message:
    return parse({"id": "message-1", "seq_id": number, **values})


def test_pieces_of_a_text_are_joined_and_pings_are_left_out() -> None:
    said = [
        piece(1, message_type="ping"),
        piece(2, message_type="reasoning_message", reasoning="I "),
        piece(3, message_type="reasoning_message", reasoning="think", signature="s"),
        piece(4, message_type="assistant_message", content="Hel"),
        piece(5, message_type="assistant_message", content="lo"),
        parse({"message_type": "stop_reason", "stop_reason": "end_turn"}),
        parse({"message_type": "usage_statistics", "total_tokens": 1}),
    ]
    thought, answer, stopped, usage = joined(said)
    assert thought == ReasoningMessage(id="message-1", seq_id=3, reasoning="I think", signature="s")
    assert answer == AssistantMessage(id="message-1", seq_id=5, content="Hello")
    assert (type(stopped), type(usage)) == (StopReason, UsageStatistics)


def test_pieces_of_parallel_calls_are_joined_by_the_id_of_the_call() -> None:
    deltas: list[dict[str, Any]] = [
        {"name": "roll", "tool_call_id": "a"},
        {"arguments": "{}", "tool_call_id": "a"},
        {"name": "flip", "tool_call_id": "b"},
        {"arguments": '{"x"', "tool_call_id": "b"},
        {"arguments": ": 1}"},
    ]
    (found,) = joined(piece(n, message_type="tool_call_message", tool_call=d) for n, d in enumerate(deltas))
    assert isinstance(found, ToolCallMessage)
    assert [(call.name, call.arguments) for call in found.tool_calls] == [("roll", "{}"), ("flip", '{"x": 1}')]
    assert found.tool_call == found.tool_calls[0]


def test_pieces_with_parts_keep_their_parts() -> None:
    image = {"type": "image"}
    (found,) = joined(piece(n, message_type="user_message", content=c) for n, c in enumerate(["a", [image], "b"]))
    assert isinstance(found, UserMessage)
    assert found.content == ({"type": "text", "text": "a"}, image, {"type": "text", "text": "b"})


def test_results_of_one_id_are_joined() -> None:
    every = [{"tool_return": n, "tool_call_id": n} for n in ("a", "b")]
    (found,) = joined(piece(0, message_type="tool_return_message", tool_returns=[each]) for each in every)
    assert isinstance(found, ToolReturnMessage)
    assert [each.tool_return for each in found.tool_returns] == ["a", "b"]


def test_hidden_thoughts_and_summaries_are_joined() -> None:
    hidden = [piece(n, message_type="hidden_reasoning_message", hidden_reasoning=t) for n, t in enumerate([None, None])]
    (found,) = joined(hidden)
    assert isinstance(found, HiddenReasoningMessage)
    assert found.hidden_reasoning is None
    (summary,) = joined(piece(n, message_type="summary_message", summary=t) for n, t in enumerate("ab"))
    assert isinstance(summary, SummaryMessage)
    assert summary.summary == "ab"


def test_messages_need_no_http_library() -> None:
    assert not hasattr(messages, "httpx")
