"""An OpenAI-compatible endpoint on loopback whose model repeats the last message of the user. It needs no key.

    python -m lettaform.local.echo --port 8484

Equal requests get equal answers. A line `call NAME {"argument": 1}` in the last message of the user makes the model
call that tool, if the request offers it; several such lines make it call several tools in turn. After that, it repeats
the last result. Embeddings are computed from the words of a text: texts with common words are close to each other.

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
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]

MODEL = "echo"
DIMENSIONS = 1536
DIMENSIONS_OF = {"text-embedding-3-large": 3072}
PIECES = re.compile(r"""[{,]"|\w+":"?|\s*\w+|.""", re.DOTALL)
CALL = re.compile(r"^[ \t]*call[ \t]+([\w.-]+)[ \t]*(\{.*\})?[ \t]*$", re.MULTILINE)


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


def chat(request: Json) -> Json:
    """The answer to a request for a chat completion."""
    messages = list(request.get("messages") or [])
    content, call = reply(messages, request.get("tools") or [], request.get("tool_choice"))
    message: Json = {"role": "assistant", "content": content}
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
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop", "logprobs": None}
        ],
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


def reply(messages: list[Json], tools: list[Json], choice: object) -> tuple[str | None, tuple[str, Json] | None]:
    """The text of the answer, or the tool that it calls with its arguments."""
    offered = {tool["function"]["name"]: tool["function"] for tool in tools if "function" in tool}
    message, results = _last_turn(messages)
    wanted = CALL.findall(message)[len(results) :]
    if wanted:
        name, written = wanted[0]
        arguments = _arguments(written)
        if name in offered and arguments is not None:
            return None, (name, _completed(offered[name], arguments))
        wrong = f"I cannot read these arguments: {written}" if name in offered else f"I have no tool named {name}."
        return _say(wrong, offered, choice)
    return _say(results[-1] if results else message or "…", offered, choice)


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
                self._stream(list(streamed(request)))
            elif path == "/v1/chat/completions":
                self._send(200, chat(request))
            else:
                self._refuse(404, f"there is no {self.path}")
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

    def _stream(self, pieces: list[Json]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"data: " + json.dumps(piece).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

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
