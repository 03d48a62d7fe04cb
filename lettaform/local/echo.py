"""An OpenAI-compatible endpoint on loopback whose model repeats the last message of the user. It needs no key.

    python -m lettaform.local.echo --port 8484

Equal requests get equal answers. Lines of the last message of the user can say what the model does instead of repeating
it. Lines that act are carried out in turn, one for each request; after that, the model repeats the last result.

    call NAME {"argument": 1}  calls this tool, if the request offers it
    remember LABEL: TEXT       adds TEXT to a memory block, if the request offers a tool for it; otherwise no effect
    think: TEXT                reasons before the next line that acts, or before the answer
    fail: 500                  the request fails with this HTTP status, from 400 to 599
    fail: refusal              the model refuses to answer
    write: 300 words           the answer is the numbers from 1 to 300
    slowly: 20 ms              waits before each piece of a stream, for as long in total if the answer is not streamed

A tool that needs approval asks for it when it is called. Embeddings are computed from the words of a text: texts with
common words are close to each other.

This file uses only the standard library, so that it starts quickly and in any Python.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import math
import re
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]

MODEL = "echo"
DIMENSIONS = 1536
DIMENSIONS_OF = {"text-embedding-3-large": 3072}
PIECES = re.compile(r"""[{,]"|\w+":"?|\s*\w+|.""", re.DOTALL)
LINE = re.compile(
    r"""[ \t]*(?:
        (?P<call>call)[ \t]+(?P<name>[\w.-]+)[ \t]*(?P<arguments>\{.*\})?
        | (?P<remember>remember)[ \t]+(?P<label>[\w./-]+):[ \t]*(?P<text>.+?)
        | think:[ \t]*(?P<think>.+?)
        | fail:[ \t]*(?P<fail>[45]\d\d|refusal)
        | write:[ \t]*(?P<write>\d{1,6})[ \t]words
        | slowly:[ \t]*(?P<slowly>\d{1,4})[ \t]ms
    )[ \t]*""",
    re.VERBOSE,
)
REFUSAL = "I cannot help with that."
MEMORY: Mapping[str, Callable[[str, str], Json]] = {
    "memory_insert": lambda label, text: {"label": label, "new_string": text},
    "core_memory_append": lambda label, text: {"label": label, "content": text},
    "memory": lambda label, text: (
        {"command": "insert", "path": f"/memories/{label}", "insert_text": text} | {"insert_line": -1}
    ),
}
"""The tools that add text to a memory block, with their arguments."""


def models() -> Json:
    """The list of models. It has no embeddings, because Letta 0.16.8 makes a chat model of every entry."""
    return {
        "object": "list",
        "data": [
            {"id": MODEL, "object": "model", "created": 0, "owned_by": "lettaform", "context_length": 128000},
        ],
    }


def embeddings(request: Json) -> Json:
    """The answer to a request for embeddings: vectors of length one, as lists of numbers or in base64."""
    given = request.get("input", "")
    # `input` is a text, a list of texts, a list of tokens, or a list of lists of tokens.
    single = isinstance(given, str) or (isinstance(given, list) and bool(given) and isinstance(given[0], int))
    texts = [given] if single else list(given)
    model = str(request.get("model", ""))
    size = int(request.get("dimensions") or DIMENSIONS_OF.get(model, DIMENSIONS))
    data: list[Json] = []
    for index, text in enumerate(texts):
        numbers = vector(text if isinstance(text, str) else " ".join(map(str, text)), size)
        value: object = numbers
        if request.get("encoding_format") == "base64":
            value = base64.b64encode(struct.pack(f"<{size}f", *numbers)).decode()
        data.append({"object": "embedding", "index": index, "embedding": value})
    tokens = sum(_tokens(text) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def vector(text: str, size: int) -> list[float]:
    """The vector of a text: every word adds or subtracts one at eight indexes of its digest; scaled to length one."""
    sums = [0.0] * size
    for word in re.findall(r"\w+", text.lower()) or [text]:
        seed = hashlib.sha256(word.encode()).digest()
        for place in range(8):
            (drawn,) = struct.unpack_from("<I", seed, place * 4)
            sums[drawn % size] += 1.0 if drawn >> 31 else -1.0
    length = math.sqrt(sum(number * number for number in sums))
    if length == 0:
        sums[0] = length = 1.0
    return [number / length for number in sums]


class Failed(Exception):
    """The request fails with this HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the message asks for a failure with status {status}")
        self.status = status


@dataclass(frozen=True)
class Act:
    """What the model does for one request. `name`: of the tool that it calls; without it and `fail`, it answers."""

    name: str = ""
    arguments: str = ""
    fail: str = ""
    thought: str = ""


@dataclass(frozen=True)
class Script:
    """What the lines of a message say: the acts in their order, the last one the answer.

    said   the other lines, which the answer repeats
    write  how many numbers the answer has instead
    pause  seconds before each piece of a stream
    """

    acts: tuple[Act, ...]
    said: str
    write: int = 0
    pause: float = 0.0


def script(message: str, offered: Mapping[str, Json]) -> Script:
    """The script in a message of the user. `offered`: the tools of the request by their names."""
    memory = next((name for name in MEMORY if name in offered), None)
    acts, said, thoughts, write, pause = list[Act](), list[str](), list[str](), 0, 0.0
    for line in message.split("\n"):
        found = LINE.fullmatch(line)
        if found is None:
            said.append(line)
        elif found["think"]:
            thoughts.append(found["think"])
        elif found["write"] or found["slowly"]:
            write, pause = int(found["write"] or write), int(found["slowly"]) / 1000 if found["slowly"] else pause
        elif memory or not found["remember"]:
            name, arguments = found["name"] or "", found["arguments"] or ""
            if memory and found["remember"]:
                name, arguments = memory, json.dumps(MEMORY[memory](found["label"], found["text"]))
            acts.append(Act(name, arguments, found["fail"] or "", "\n".join(thoughts)))
            thoughts = []
    text = "\n".join(said)
    acts.append(Act(thought="\n".join(thoughts)))
    return Script(tuple(acts), text if text == message else text.strip(), write, pause)


def scripted(request: Json) -> tuple[Script, Act, list[str]]:
    """The script of a request for a chat completion, what it says for this request, and the results until now."""
    message, results = _last_turn(list(request.get("messages") or []))
    found = script(message, _offered(request))
    return found, found.acts[min(len(results), len(found.acts) - 1)], results


def _offered(request: Json) -> dict[str, Json]:
    return {tool["function"]["name"]: tool["function"] for tool in request.get("tools") or [] if "function" in tool}


def chat(request: Json) -> Json:
    """The answer to a request for a chat completion. Failed if its message asks for that."""
    messages = list(request.get("messages") or [])
    _, act, _ = scripted(request)
    if act.fail.isdigit():
        raise Failed(int(act.fail))
    content, call = (None, None) if act.fail else reply(request)
    message: Json = {"role": "assistant", "content": content}
    finish = "content_filter" if act.fail else "tool_calls" if call else "stop"
    if act.fail:
        message["refusal"] = REFUSAL
    if act.thought:
        message["reasoning_content"] = act.thought
    identity = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()[:24]
    if call is not None:
        name, arguments = call
        function = {"name": name, "arguments": json.dumps(arguments, separators=(",", ":"))}
        message["tool_calls"] = [{"id": f"call_{identity}", "type": "function", "function": function}]
    prompt, completion = _tokens(messages), _tokens(content or call)
    return {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.get("model", MODEL),
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }


def streamed(request: Json) -> Iterator[Json]:
    """The same answer as a stream of chunks, word by word."""
    whole = chat(request)
    message, finish = whole["choices"][0]["message"], whole["choices"][0]["finish_reason"]
    head = {key: whole[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}

    def piece(delta: Json, finish_reason: str | None = None) -> Json:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}]}

    yield piece({"role": "assistant", "content": "" if message["content"] is not None else None})
    for word in re.findall(r"\S+\s*|\s+", message.get("reasoning_content") or ""):
        yield piece({"reasoning_content": word})
    if "refusal" in message:
        yield piece({"refusal": message["refusal"]})
    for word in re.findall(r"\S+\s*|\s+", message["content"] or ""):
        yield piece({"content": word})
    for index, call in enumerate(message.get("tool_calls", [])):
        arguments = call["function"]["arguments"]
        yield piece({"tool_calls": [{**call, "index": index, "function": {**call["function"], "arguments": ""}}]})
        # As small as those of a real model, but cut at these places: 0.16.8 drops the message of an agent that answers
        # by send_message unless `message":"` comes in one chunk, and the comma before it in an earlier one.
        for part in PIECES.findall(arguments):
            yield piece({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield piece({}, finish)
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": whole["usage"]}


def reply(request: Json) -> tuple[str | None, tuple[str, Json] | None]:
    """The text of the answer, or the tool that it calls with its arguments."""
    offered, choice = _offered(request), request.get("tool_choice")
    found, act, results = scripted(request)
    if act.name:
        arguments = _arguments(act.arguments)
        if act.name in offered and arguments is not None:
            return None, (act.name, _completed(offered[act.name], arguments))
        unread = f"I cannot read these arguments: {act.arguments}"
        return _say(unread if act.name in offered else f"I have no tool named {act.name}.", offered, choice)
    if found.write:
        return _say(" ".join(map(str, range(1, found.write + 1))), offered, choice)
    return _say(results[-1] if results else found.said or "…", offered, choice)


def _say(words: str, offered: dict[str, Json], choice: object) -> tuple[str | None, tuple[str, Json] | None]:
    """The text as plain content, unless the agent answers by calling a tool or is required to call one."""
    forced = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    if choice == "none" or not offered:
        return words, None
    # Agents of the types before `letta_v1_agent` answer by calling send_message.
    if forced is None and "send_message" in offered:
        forced = "send_message"
    if forced is None and choice == "required":
        forced = min(offered, key=lambda name: (not name.endswith("finish_edits"), len(_required(offered[name]))))
    if forced not in offered:
        return words, None
    given = {"message": words} if forced == "send_message" else {}
    return None, (forced, _completed(offered[forced], given))


def _last_turn(messages: list[Json]) -> tuple[str, list[str]]:
    """The last message of the user, and the results of the tools that were called since then."""
    results: list[str] = []
    names: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls") or []:
            names[call.get("id", "")] = call["function"]["name"]
    for message in reversed(messages):
        if message.get("role") == "tool":
            name = names.get(message.get("tool_call_id", ""), "the tool")
            results.insert(0, f"{name} answered: {_unwrapped(_text(message))[0]}")
        elif message.get("role") == "user":
            words, kind = _unwrapped(_text(message))
            # Letta sends a user message of this type to an agent that wants to continue.
            if kind != "heartbeat":
                return words, results
    return "", results


def _text(message: Json) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict) and "text" in part)
    return str(content or "")


def _unwrapped(text: str) -> tuple[str, str]:
    """The text and the type of a message or result, which Letta wraps in JSON with the time."""
    try:
        wrapped = json.loads(text)
    except ValueError:
        return text, ""
    if not isinstance(wrapped, dict):
        return text, ""
    return str(wrapped.get("message", text)), str(wrapped.get("type", ""))


def _arguments(written: str) -> Json | None:
    try:
        read = json.loads(written or "{}")
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def _required(function: Json) -> list[str]:
    return list((function.get("parameters") or {}).get("required") or [])


def _completed(function: Json, given: Json) -> Json:
    """The given arguments, and a value for each required one that is missing, such as `thinking`."""
    properties = (function.get("parameters") or {}).get("properties") or {}
    empty = {"string": MODEL, "integer": 0, "number": 0, "boolean": True, "array": [], "object": {}}
    missing = [name for name in _required(function) if name not in given]
    filled = {name: empty.get((properties.get(name) or {}).get("type", "string"), MODEL) for name in missing}
    # Agents of the older types continue after the result of the tool only if this is set.
    if "request_heartbeat" in properties and "request_heartbeat" not in given:
        filled["request_heartbeat"] = True
    return {**filled, **given}


def _tokens(value: object) -> int:
    """About as many tokens as a real model would count; at least one."""
    return max(1, len(value if isinstance(value, str) else json.dumps(value)) // 4)


class Answers(BaseHTTPRequestHandler):
    """The HTTP interface of the endpoint."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/v1/models":
            self._send(200, models())
        else:
            self._refuse(404, f"there is no {self.path}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            request = json.loads(body)
            if not isinstance(request, dict):
                raise ValueError("the body is not an object")
            path = self.path.rstrip("/")
            if path == "/v1/embeddings":
                self._send(200, embeddings(request))
            elif path == "/v1/chat/completions" and request.get("stream"):
                self._stream(list(streamed(request)), scripted(request)[0].pause)
            elif path == "/v1/chat/completions":
                answer, pause = chat(request), scripted(request)[0].pause
                time.sleep(pause and pause * len(list(streamed(request))))
                self._send(200, answer)
            else:
                self._refuse(404, f"there is no {self.path}")
        except Failed as error:
            self._refuse(error.status, str(error))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._refuse(400, f"{type(error).__name__}: {error}")

    def _send(self, code: int, answer: Json) -> None:
        body = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, code: int, words: str) -> None:
        self._send(code, {"error": {"message": words, "type": "invalid_request_error", "param": None, "code": None}})

    def _stream(self, pieces: list[Json], pause: float) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        with suppress(ConnectionError):  # the client has left
            for piece in pieces:
                time.sleep(pause)
                self.wfile.write(b"data: " + json.dumps(piece).encode() + b"\n\n")
            self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: messages of agents are private, and the log would grow without limit."""


class Endpoint(ThreadingHTTPServer):
    """Accepts many connections at the same time, because Letta embeds files in parallel."""

    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lettaform.local.echo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--port", type=int, default=8484)
    Endpoint(("127.0.0.1", parser.parse_args().port), Answers).serve_forever()


if __name__ == "__main__":
    main()
