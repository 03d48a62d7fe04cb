from __future__ import annotations

import base64
import json
import math
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lettaform.local import echo


def tool(name: str, required: tuple[str, ...] = (), **types: str) -> dict[str, Any]:
    properties = {argument: {"type": kind} for argument, kind in types.items()}
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def user(text: object) -> dict[str, Any]:
    return {"role": "user", "content": text}


def reply(messages: object, tools: object, choice: object) -> tuple[str | None, tuple[str, Any] | None]:
    return echo.reply({"messages": messages, "tools": tools, "tool_choice": choice})


def called(name: str, result: str, identity: str = "call_1") -> list[dict[str, Any]]:
    call = {"id": identity, "type": "function", "function": {"name": name, "arguments": "{}"}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": identity, "content": result},
    ]


@pytest.mark.parametrize(
    ("content", "heard"),
    [
        ("hello", "hello"),
        ([{"type": "text", "text": "hello"}, {"type": "text", "text": "there"}], "hello\nthere"),
        (json.dumps({"type": "user_message", "message": "wrapped", "time": "now"}), "wrapped"),
        ('{"not": "wrapped"}', '{"not": "wrapped"}'),
        ("", "…"),
    ],
)
def test_the_answer_is_the_last_message_of_the_user(content: object, heard: str) -> None:
    messages = [{"role": "system", "content": "Be quiet."}, user("first"), {"role": "assistant", "content": "first"}]
    assert reply([*messages, user(content)], [], None) == (heard, None)


def test_a_call_line_calls_the_tool() -> None:
    asked = user('please\n  call add {"a": 2, "b": 40}\nthank you')
    assert reply([asked], [tool("other"), tool("add")], "auto") == (None, ("add", {"a": 2, "b": 40}))


def test_several_call_lines_call_the_tools_in_turn_and_the_last_result_is_repeated() -> None:
    asked = user("call one\ncall two {}")
    offered = [tool("one"), tool("two")]
    first = called("one", json.dumps({"status": "OK", "message": "1", "time": "now"}), "call_1")
    second = called("two", "2", "call_2")
    assert reply([asked], offered, "auto") == (None, ("one", {}))
    assert reply([asked, *first], offered, "auto") == (None, ("two", {}))
    assert reply([asked, *first, *second], offered, "auto") == ("two answered: 2", None)


def test_results_of_an_earlier_turn_are_ignored() -> None:
    messages = [user("call one"), *called("one", "1"), {"role": "assistant", "content": "1"}, user("call one")]
    assert reply(messages, [tool("one")], "auto") == (None, ("one", {}))


def test_a_heartbeat_does_not_count_as_a_message_of_the_user() -> None:
    heartbeat = user(json.dumps({"type": "heartbeat", "reason": "go on", "time": "now"}))
    messages = [user("call one"), *called("one", json.dumps({"message": "1"})), heartbeat]
    assert reply(messages, [tool("one")], "auto") == ("one answered: 1", None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("call absent {}", "I have no tool named absent."),
        ('call add {"a": }', 'I cannot read these arguments: {"a": }'),
    ],
)
def test_an_impossible_call_is_answered_with_the_reason(line: str, words: str) -> None:
    assert reply([user(line)], [tool("add")], "auto") == (words, None)


def test_a_call_inside_a_sentence_calls_no_tool() -> None:
    asked = user("you could call add {} some day")
    assert reply([asked], [tool("add")], "auto") == (asked["content"], None)


def test_send_message_is_called_with_all_required_arguments() -> None:
    offered = [tool("other"), tool("send_message", ("thinking", "message"), thinking="string", message="string")]
    assert reply([user("hi")], offered, "required") == (
        None,
        ("send_message", {"thinking": "echo", "message": "hi"}),
    )


def test_a_heartbeat_is_requested_if_the_tool_supports_it() -> None:
    offered = [tool("save", ("request_heartbeat",), request_heartbeat="boolean")]
    assert reply([user("call save {}")], offered, "auto") == (None, ("save", {"request_heartbeat": True}))


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("auto", None),
        ("none", None),
        ("required", "memory_finish_edits"),
        ({"type": "function", "function": {"name": "insert"}}, "insert"),
    ],
)
def test_tool_choice_is_respected(choice: object, name: str | None) -> None:
    offered = [tool("insert", ("a",), a="integer"), tool("memory_finish_edits", ("b",), b="array")]
    _, call = reply([user("hi")], offered, choice)
    assert (call and call[0]) == name


@pytest.mark.parametrize("text", ["one two  three\nfour", 'call send {"message": "a b, \\"c\\" ü"}'])
def test_the_chunks_of_a_stream_add_up_to_the_answer(text: str) -> None:
    request = {"messages": [user(text)], "tools": [tool("send")], "stream": True}
    whole = echo.chat(request)["choices"][0]
    pieces = [piece["choices"][0] for piece in echo.streamed(request)]
    calls = [call for piece in pieces for call in piece["delta"].get("tool_calls", [])]
    assert "".join(piece["delta"].get("content") or "" for piece in pieces) == (whole["message"]["content"] or "")
    assert "".join(call["function"]["arguments"] for call in calls) == "".join(
        call["function"]["arguments"] for call in whole["message"].get("tool_calls", [])
    )
    assert [call["function"]["name"] for call in calls if "name" in call["function"]] == (["send"] if calls else [])
    assert [piece["finish_reason"] for piece in pieces if piece["finish_reason"]] == [whole["finish_reason"]]
    assert len(pieces) > 4


def test_a_send_message_call_is_cut_into_the_chunks_that_letta_needs() -> None:
    offered = [tool("send_message", ("thinking", "message"), thinking="string", message="string")]
    pieces = list(echo.streamed({"messages": [user("hi")], "tools": offered, "tool_choice": "required"}))
    calls = [call for piece in pieces for call in piece["choices"][0]["delta"].get("tool_calls", [])]
    written = [call["function"]["arguments"] for call in calls]
    assert written.index('message":"') > written.index(',"')


def test_usage_is_streamed_only_on_request() -> None:
    request: dict[str, Any] = {"messages": [user("hi")]}
    asking = {**request, "stream_options": {"include_usage": True}}
    assert all("usage" not in piece for piece in echo.streamed(request))
    assert list(echo.streamed(asking))[-1]["usage"] == echo.chat(request)["usage"]
    usage = echo.chat(request)["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_equal_requests_have_equal_call_ids_and_different_requests_have_different_ones() -> None:
    first = {"messages": [user("call one")], "tools": [tool("one")]}
    second = {"messages": [user("again"), *first["messages"]], "tools": [tool("one")]}
    identities = [
        echo.chat(request)["choices"][0]["message"]["tool_calls"][0]["id"] for request in (first, first, second)
    ]
    assert identities[0] == identities[1] != identities[2]


def product(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("text", ["the cat sat on the mat", "", "…", "a " * 5000])
def test_vectors_have_length_one_and_are_deterministic(text: str) -> None:
    assert math.isclose(product(echo.vector(text, 1536), echo.vector(text, 1536)), 1.0)


def test_texts_with_common_words_are_closer() -> None:
    cat, same, other = (echo.vector(text, 1536) for text in ("the cat sleeps", "where is the Cat", "stocks fell again"))
    assert product(cat, same) > 0.3 > product(cat, other)


@pytest.mark.parametrize(
    ("request_", "sizes"),
    [
        ({"input": "one"}, [1536]),
        ({"input": ["one", "two"]}, [1536, 1536]),
        ({"input": [1, 2, 3]}, [1536]),
        ({"input": [[1, 2], [3]], "dimensions": 8}, [8, 8]),
        ({"input": "one", "model": "text-embedding-3-large"}, [3072]),
        ({"input": []}, []),
    ],
)
def test_embeddings_have_the_requested_size(request_: dict[str, Any], sizes: list[int]) -> None:
    answer = echo.embeddings(request_)
    assert [len(each["embedding"]) for each in answer["data"]] == sizes
    assert [each["index"] for each in answer["data"]] == list(range(len(sizes)))


def test_embeddings_in_base64_have_the_same_numbers() -> None:
    plain = echo.embeddings({"input": "one two", "dimensions": 16})["data"][0]["embedding"]
    packed = echo.embeddings({"input": "one two", "dimensions": 16, "encoding_format": "base64"})["data"][0][
        "embedding"
    ]
    assert struct.unpack("<16f", base64.b64decode(packed)) == pytest.approx(plain)


@pytest.fixture
def endpoint() -> Iterator[httpx.Client]:
    server = echo.Endpoint(("127.0.0.1", 0), echo.Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
        yield client
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_endpoint_answers_like_openai(endpoint: httpx.Client) -> None:
    assert [model["id"] for model in endpoint.get("/v1/models").json()["data"]] == ["echo"]
    answer = endpoint.post("/v1/chat/completions", json={"model": "echo", "messages": [user("hi")]}).json()
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "hi"}
    assert len(endpoint.post("/v1/embeddings", json={"input": "hi"}).json()["data"][0]["embedding"]) == 1536


def test_the_endpoint_streams_events_and_ends_with_done(endpoint: httpx.Client) -> None:
    answer = endpoint.post("/v1/chat/completions", json={"messages": [user("one two")], "stream": True})
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert answer.headers["content-type"] == "text/event-stream"
    assert lines[-1] == "[DONE]"
    words = [json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines[:-1]]
    assert "".join(words) == "one two"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", b"[]", 400),
        ("/v1/chat/completions", b'{"messages": [1]}', 400),
        ("/v1/embeddings", b'{"input": "a", "dimensions": "many"}', 400),
        ("/v1/nowhere", b"{}", 404),
    ],
)
def test_the_endpoint_refuses_invalid_requests(endpoint: httpx.Client, path: str, body: bytes, code: int) -> None:
    answer = endpoint.post(path, content=body)
    assert answer.status_code == code
    assert answer.json()["error"]["message"]
    # The connection is still good for the next request.
    assert endpoint.get("/v1/models").status_code == 200


# --- lines that say what the model does ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tools", "call"),
    [
        ((), None),
        (("memory_replace",), None),
        (("memory_insert", "memory"), ("memory_insert", {"label": "human", "new_string": "likes tea"})),
        (("core_memory_append",), ("core_memory_append", {"label": "human", "content": "likes tea"})),
        (
            ("memory",),
            ("memory", {"command": "insert", "path": "/memories/human", "insert_text": "likes tea", "insert_line": -1}),
        ),
    ],
)
def test_remember_edits_memory_with_the_tool_that_is_offered(
    tools: tuple[str, ...], call: tuple[str, dict[str, Any]] | None
) -> None:
    asked = [user("hello\nremember human: likes tea")]
    assert reply(asked, [tool(name) for name in tools], "auto") == (None if call else "hello", call)


def test_thoughts_belong_to_the_next_act_or_to_the_answer() -> None:
    text = "think: first\nthink: then\ncall one {}\nthink: last"
    asked, offered = user(text), [tool("one")]
    first = echo.chat({"messages": [asked], "tools": offered})["choices"][0]["message"]
    assert (first["reasoning_content"], first["content"]) == ("first\nthen", None)
    last = echo.chat({"messages": [asked, *called("one", "1")], "tools": offered})["choices"][0]["message"]
    assert (last["reasoning_content"], last["content"]) == ("last", "one answered: 1")


def test_a_thought_is_streamed_before_the_answer() -> None:
    pieces = [each["choices"][0]["delta"] for each in echo.streamed({"messages": [user("think: why not\nyes")]})]
    words = [(key, value) for piece in pieces for key, value in piece.items() if key != "role" and value]
    assert words == [("reasoning_content", "why "), ("reasoning_content", "not"), ("content", "yes")]


def test_a_long_answer_consists_of_numbers() -> None:
    assert reply([user("write: 5 words\nignored")], [], None) == ("1 2 3 4 5", None)


def test_a_failure_can_follow_a_call() -> None:
    asked, offered = user("call one {}\nfail: 429"), [tool("one")]
    assert reply([asked], offered, "auto") == (None, ("one", {}))
    with pytest.raises(echo.Failed) as caught:
        echo.chat({"messages": [asked, *called("one", "1")], "tools": offered})
    assert caught.value.status == 429


def test_a_refusal_has_no_content() -> None:
    request = {"messages": [user("fail: refusal")], "tools": [tool("send_message")]}
    (choice,) = echo.chat(request)["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", None)
    assert "tool_calls" not in choice["message"]
    assert [each["choices"][0]["delta"].get("refusal") for each in echo.streamed(request)][1:2] == [echo.REFUSAL]


@pytest.mark.parametrize("line", ["think about it", "fail: 200", "slowly", "write: many words", "remember this"])
def test_a_line_of_another_form_is_repeated(line: str) -> None:
    assert reply([user(f"  {line}")], [tool("memory_insert")], None) == (f"  {line}", None)


@pytest.mark.parametrize("stream", [False, True])
def test_the_endpoint_fails_with_the_status_that_is_asked_for(endpoint: httpx.Client, stream: bool) -> None:
    answer = endpoint.post("/v1/chat/completions", json={"messages": [user("fail: 503")], "stream": stream})
    assert answer.status_code == 503
    assert "asks for a failure" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_slow_answers_take_as_long_with_and_without_a_stream(endpoint: httpx.Client, stream: bool) -> None:
    asked = {"messages": [user("slowly: 10 ms\nwrite: 8 words")], "stream": stream}
    started = time.monotonic()
    assert "8" in endpoint.post("/v1/chat/completions", json=asked).text
    assert time.monotonic() - started >= 0.1


def test_the_endpoint_survives_a_client_that_leaves(endpoint: httpx.Client, capfd: pytest.CaptureFixture[str]) -> None:
    asked = {"messages": [user("slowly: 1 ms\nwrite: 3000 words")], "stream": True}
    with endpoint.stream("POST", "/v1/chat/completions", json=asked) as answer:
        next(answer.iter_raw())
    assert endpoint.get("/v1/models").status_code == 200
    assert capfd.readouterr().err == ""
