"""Messages to agents and conversations, the runs that answer them with the echo model, and streams of their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lettaform.local import echo
from tests.standin import agents, conversations, messages
from tests.standin.lists import page
from tests.standin.server import Ask, Body, Refusal, StandIn, Stream, on

_NO_REDIS = (
    "Background streaming requires Redis to be running. Please ensure Redis is properly configured. "
    "LETTA_REDIS_HOST: None, LETTA_REDIS_PORT: 6379"
)
_PENDING = (
    "CONFLICT: Cannot send a new message: The agent is waiting for approval on a tool call. "
    "Please approve or deny the pending request before continuing."
)
_USED = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "context_tokens": 15}


class _Turn:
    """One run: the messages that it adds, and how it ends."""

    def __init__(self, server: StandIn, agent: Body, conversation: Body | None, background: bool, kind: str) -> None:
        self.server, self.agent, self.conversation, self.steps = server, agent, conversation, 0
        self.thread = conversation["id"] if conversation else None
        self.ids: list[str] = []
        self.run: Body = {"id": server.id("run"), "agent_id": agent["id"], "conversation_id": self.thread}
        self.run |= {"status": "running", "stop_reason": None, "background": background, "created_at": server.now()}
        self.run |= {"completed_at": None, "metadata": {"run_type": kind}}
        server.tables.runs[self.run["id"]] = self.run

    def say(self, role: str, text: str, **fields: Any) -> None:
        fields |= {"run_id": self.run["id"]}
        self.ids.append(messages.add(self.server, self.agent, role, text, self.thread, **fields))

    def hear(self, sent: list[Body]) -> None:
        """Take the messages in, and answer them."""
        answers = [each for each in sent if each.get("type") == "approval"]
        if self.agent.get("_pending") and not answers:
            self.fail("error", "internal_error", _PENDING)
            return
        if answers:
            (answer,) = answers[0]["approvals"]
            self.go_on(self.agent.pop("_pending"), answer)
            return
        for each in sent:
            self.say(each["role"], _text(each["content"]), content=each["content"])
        self.go_on([{"role": "user", "content": _text(sent[-1]["content"])}])

    def go_on(self, said: list[Body], answer: Body | None = None) -> None:
        """Ask the model until it answers. `answer`: to the approval that the last of its calls waits for."""
        if answer is not None:
            self.agent["pending_approval"] = None
            denied = f"Error: request to call tool denied. User reason: {answer.get('reason')}"
            said = [*said, self._result(said[-1]["tool_calls"][0], None if answer["approve"] else denied)]
        for self.steps in range(1, 51):
            request = {"messages": said, "tools": _offered(self.server, self.agent)}
            _, act, _ = echo.scripted(request)
            if act.fail.isdigit():
                self.fail("llm_api_error", "llm_error", "An error occurred with the LLM request.")
                return
            if act.thought:
                self.say("assistant", "", message_type="reasoning_message", reasoning=act.thought, signature=None)
            text, call = echo.reply(request)
            if call is None:
                self.say("assistant", text or "")
                self.end("end_turn")
                return
            said = [*said, self._call(*call)]
            if self.agent.get("_pending") == []:
                self.agent["_pending"] = said
                self.end("requires_approval")
                return
            said = [*said, self._result(said[-1]["tool_calls"][0])]
        self.end("max_steps")

    def _call(self, name: str, arguments: Body) -> Body:
        """The call of a tool, as a message of the model. `_pending` is set where it needs an approval."""
        call = {"name": name, "arguments": json.dumps(arguments), "tool_call_id": self.server.id("call")}
        rules = self.agent["tool_rules"] or ()
        asks = any(each["type"] == "requires_approval" and each["tool_name"] == name for each in rules)
        kind = "approval_request_message" if asks else "tool_call_message"
        self.say("assistant", "", message_type=kind, tool_call=call, tool_calls=[call])
        if asks:
            self.agent["pending_approval"] = messages.shown(self.server.tables.messages[self.ids[-1]])
            self.agent["_pending"] = []
        function = {"name": name, "arguments": call["arguments"]}
        return {"role": "assistant", "tool_calls": [{"id": call["tool_call_id"], "function": function}]}

    def _result(self, call: Body, denied: str | None = None) -> Body:
        """What a tool returned, or why it was not called."""
        name = call["function"]["name"]
        returned = denied or self._carry_out(name, json.loads(call["function"]["arguments"]))
        if denied is None:
            one = {"type": "tool", "tool_return": returned, "status": "success", "tool_call_id": call["id"]}
            one |= {"stdout": None, "stderr": None}
            self.say("tool", "", message_type="tool_return_message", name=name, tool_returns=[one], **one)
        return {"role": "tool", "tool_call_id": call["id"], "content": returned}

    def _carry_out(self, name: str, arguments: Body) -> str:
        if name == "memory_insert":
            here = [self.server.tables.blocks[id] for id in self.agent["_blocks"]]
            (block,) = (each for each in here if each["label"] == arguments["label"])
            block["value"] = "\n".join(filter(None, (block["value"], arguments["new_string"])))
            return str(block["value"])
        return "done"

    def fail(self, reason: str, kind: str, message: str) -> None:
        for id in self.ids:
            del self.server.tables.messages[id]
        self.ids = []
        error = {"message_type": "error_message", "run_id": self.run["id"], "error_type": kind, "message": message}
        self.run["metadata"] |= {"error": error}
        self.end(reason, "failed")

    def end(self, reason: str, status: str = "completed") -> None:
        self.run |= {"status": status, "stop_reason": reason, "completed_at": self.server.now()}
        if self.conversation:
            self.conversation |= {"_messages": [*self.conversation["_messages"], *self.ids]}
            self.conversation |= {"last_message_at": self.server.now()}
        else:
            self.agent |= {"message_ids": [*self.agent["message_ids"], *self.ids]}
            self.agent |= {"last_stop_reason": reason, "updated_at": self.server.now()}
        self.run["_ids"], self.run["_steps"] = self.ids, self.steps


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _offered(server: StandIn, agent: Body) -> list[Body]:
    """All tools but `send_message`: the server shows its calls as texts of the agent."""
    names = (server.tables.tools[id]["name"] for id in agent["_tools"])
    return [{"function": {"name": name}} for name in names if name != "send_message"]


# --- answers ---------------------------------------------------------------------------------------------------------


def _answered(server: StandIn, run: Body) -> list[Body]:
    """The messages of a run, without those that were sent."""
    every = [messages.shown(server.tables.messages[id]) for id in run["_ids"] if id in server.tables.messages]
    return [each for each in every if each["message_type"] not in ("user_message", "system_message")]


def _end(run: Body) -> tuple[Body, Body]:
    usage = {"message_type": "usage_statistics", **_USED, "step_count": run["_steps"]}
    return {"message_type": "stop_reason", "stop_reason": run["stop_reason"]}, usage


def _events(server: StandIn, run: Body, tokens: bool) -> Iterator[Body]:
    """What a stream of a run has, from the ping with which it begins."""
    empty = dict.fromkeys(("name", "otid", "sender_id", "step_id", "is_err", "seq_id"))
    yield {**empty, "id": server.id("ping"), "date": run["created_at"], "message_type": "ping", "run_id": run["id"]}
    for each in _answered(server, run):
        yield from _pieces(each) if tokens else [each]
    stop, usage = _end(run)
    yield stop
    yield run["metadata"]["error"] if run["status"] == "failed" else usage


def _pieces(message: Body) -> Iterator[Body]:
    """The chunks of a message: text word by word, the arguments of a call in three parts."""
    for key in ("content", "reasoning"):
        if isinstance(message.get(key), str):
            for word in message[key].split(" "):
                yield {**message, key: word if word == message[key].split(" ")[-1] else f"{word} "}
            return
    if message["message_type"] == "tool_return_message":
        yield message
        return
    call, written = message["tool_call"], message["tool_call"]["arguments"]
    for name, part in ((call["name"], None), (None, written[:4]), (None, written[4:])):
        delta = {"name": name, "arguments": part, "tool_call_id": call["tool_call_id"]}
        yield {**message, "tool_call": delta, "tool_calls": delta}


def _streamed(server: StandIn, turn: _Turn, body: Body) -> Stream:
    events = list(_events(server, turn.run, body.get("stream_tokens", False)))
    if not body.get("background"):
        return Stream(events)
    turn.run["_events"] = [{**each, "seq_id": number} for number, each in enumerate(events, 1)]
    return Stream(turn.run["_events"])


def _heard(server: StandIn, ask: Ask, agent: Body, conversation: Body | None, *, streams: bool) -> Any:
    body, background = ask.body, bool(ask.body.get("background"))
    kind = "send_message_streaming" if streams else "send_message"
    turn = _Turn(server, agent, conversation, background, kind)
    if background and not server.has_redis:
        turn.end("error", "failed")
        raise Refusal(503, f"INTERNAL_SERVER_ERROR: {_NO_REDIS}")
    turn.hear(body["messages"])
    if streams:
        return _streamed(server, turn, body)
    stop, usage = _end(turn.run)
    return {"messages": _answered(server, turn.run), "stop_reason": stop, "usage": usage}


@on("POST", "/v1/agents/{agent_id}/messages")
def _to_agent(server: StandIn, ask: Ask) -> Any:
    return _heard(server, ask, agents.find(server, ask.names["agent_id"]), None, streams=False)


@on("POST", "/v1/agents/{agent_id}/messages/stream")
def _stream_to_agent(server: StandIn, ask: Ask) -> Any:
    return _heard(server, ask, agents.find(server, ask.names["agent_id"]), None, streams=True)


@on("POST", "/v1/agents/{agent_id}/messages/async")
def _later(server: StandIn, ask: Ask) -> Body:
    """The run, which has ended here when it is answered."""
    turn = _Turn(server, agents.find(server, ask.names["agent_id"]), None, True, "send_message_async")
    begun = _show(turn.run) | {"status": "created"}
    turn.hear(ask.body["messages"])
    return begun


@on("POST", "/v1/conversations/{conversation}/messages")
def _to_conversation(server: StandIn, ask: Ask) -> Any:
    conversation = conversations.find(server, ask)
    agent, streams = agents.find(server, conversation["agent_id"]), ask.body.get("streaming", True)
    return _heard(server, ask, agent, conversation, streams=streams)


# --- runs ------------------------------------------------------------------------------------------------------------


def _show(run: Body) -> Body:
    return {key: value for key, value in run.items() if not key.startswith("_")}


def _find(server: StandIn, ask: Ask) -> Body:
    run = server.tables.runs.get(ask.names["run"])
    if run is None:
        raise Refusal(404, f"Run {ask.names['run']} not found")
    return run


@on("GET", "/v1/runs/")
def _list(server: StandIn, ask: Ask) -> list[Body]:
    wanted = {key: ask.query[key] for key in ("agent_id", "conversation_id") if key in ask.query}
    every = server.tables.runs
    found = [_show(run) for run in every.values() if all(run[key] == value for key, value in wanted.items())]
    ids = list(every)
    if (before := ask.query.get("before")) in every:  # older ones, whatever the order (0.16.8)
        found = [run for run in found if ids.index(run["id"]) < ids.index(before)]
    asked = Ask(ask.method, ask.path, ask.names, ask.query.remove("before"), ask.headers, ask.content)
    return page(asked, found, all_ids=ids, order="desc", limit=100, zero_is_all=False)


@on("GET", "/v1/runs/{run}")
def _get(server: StandIn, ask: Ask) -> Body:
    return _show(_find(server, ask))


@on("GET", "/v1/runs/{run}/messages")
def _messages(server: StandIn, ask: Ask) -> list[Body]:
    rows = [server.tables.messages[id] for id in _find(server, ask)["_ids"] if id in server.tables.messages]
    ids = [row["id"] for row in rows]
    return page(ask, map(messages.shown, rows), all_ids=ids, order="asc", limit=100, zero_is_all=False)


@on("GET", "/v1/runs/{run}/usage")
def _usage(server: StandIn, ask: Ask) -> Body:
    _find(server, ask)
    return {key: _USED[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens")}


@on("POST", "/v1/runs/{run}/stream")
def _stream_again(server: StandIn, ask: Ask) -> Stream:
    run = _find(server, ask)
    if not run["background"]:
        message = "Run was not created in background mode, so it cannot be retrieved."
        raise Refusal(400, f"INVALID_ARGUMENT: {message}")
    if not server.has_redis:
        raise Refusal(503, _NO_REDIS)
    after = ask.body.get("starting_after", 0)
    return Stream([each for each in run["_events"] if each["seq_id"] > after])


@on("POST", "/v1/agents/{agent_id}/messages/cancel")
def _cancel(server: StandIn, ask: Ask) -> Body:
    """A run that has ended stays as it is."""
    return {id: "cancelled" if id in server.tables.runs else "failed" for id in ask.body["run_ids"]}


# --- the context -----------------------------------------------------------------------------------------------------


@on("PATCH", "/v1/agents/{agent_id}/reset-messages")
def _reset(server: StandIn, ask: Ask) -> Body:
    """The messages stay in the list of the agent (0.16.8)."""
    agent = agents.find(server, ask.names["agent_id"])
    agent["message_ids"] = agent["message_ids"][:1]
    return agents.show(server, agent)


@on("POST", "/v1/conversations/{conversation}/compact")
def _compact(server: StandIn, ask: Ask) -> Body:
    direct = ask.names["conversation"] == "default"
    owner = agents.find(server, ask.body["agent_id"]) if direct else conversations.find(server, ask)
    key = "message_ids" if direct else "_messages"
    if len(owner[key]) < 4:
        raise Refusal(400, "Summarization failed to reduce the number of messages.")
    before = len(owner[key])
    agent = owner if direct else agents.find(server, owner["agent_id"])
    packed = messages.add(server, agent, "user", "summary", None if direct else owner["id"])
    owner[key] = [owner[key][0], packed, owner[key][-1]]
    return {"summary": "summary", "num_messages_before": before, "num_messages_after": len(owner[key])}
