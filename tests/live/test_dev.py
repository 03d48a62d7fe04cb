"""A server of its own, through its whole life: started, found, killed, recovered, stopped, forgotten."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import local
from lettaform.errors import LocalError
from lettaform.local import process, state
from tests.live.versions import release

PASSWORD = "open sesame"


def processes_of(data: Path) -> list[str]:
    """The commands of all processes that have anything to do with this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            where = os.readlink(entry / "cwd")
        except OSError:
            continue
        if os.fsencode(data) in said or where.startswith(str(data)):
            found.append(said.decode(errors="replace"))
    return found


@dataclass
class Life:
    """The data folder of a server, and the server as it is now."""

    data: Path
    server: local.Running

    def up(self) -> local.Running:
        self.server = local.up(0, self.data, echo_model=True, password=PASSWORD)
        return self.server

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {PASSWORD}"}
        return httpx.request(method, self.server.url + path, headers=bearer, timeout=60, **options)

    @property
    def processes(self) -> dict[str, process.Process]:
        known = state.read(self.data)
        assert known is not None
        return dict(known.processes)


@pytest.fixture
def life() -> Iterator[Life]:
    # pytest shuts its folders to all but their owner whenever it starts, and PostgreSQL may run as somebody else
    with tempfile.TemporaryDirectory() as folder:
        # Longer than the path of a Unix socket may be, and with a space in it.
        data = Path(folder) / "a folder" / ("x" * 100)
        yield Life(data, local.up(0, data, echo_model=True, password=PASSWORD))
        local.down(data=data, purge=True)


def it_is_healthy_and_says_where_it_is(life: Life) -> None:
    health = httpx.get(f"{life.server.url}/v1/health/").json()
    assert health == {"version": life.server.version, "status": "ok"}
    assert life.server.version == release()
    assert life.server.pid == life.processes["letta"].pid
    assert len(processes_of(life.data)) >= 3


def it_asks_for_the_password(life: Life) -> None:
    assert httpx.get(f"{life.server.url}/v1/agents/").status_code == 401
    assert life.ask("GET", "/v1/agents/").status_code == 200


def a_second_up_finds_it_at_once(life: Life) -> None:
    before, began = life.server, time.monotonic()
    assert life.up() == before
    assert local.up(int(before.url.rpartition(":")[2]), password=PASSWORD) == before
    assert time.monotonic() - began < 5


def a_second_up_that_wants_something_else_is_told(life: Life, tmp_path: Path) -> None:
    port = int(life.server.url.rpartition(":")[2])
    with pytest.raises(LocalError, match="another password"):
        local.up(port)
    with pytest.raises(LocalError, match="already runs on port"):
        local.up(port + 1, life.data, password=PASSWORD)
    with pytest.raises(LocalError, match=f"port {port} is taken by a Letta {life.server.version}"):
        local.up(port, tmp_path / "other")


def after_a_crash_up_recovers_with_all_data(life: Life) -> None:
    blueprint = {"name": "survivor", "model": life.server.model, "embedding": life.server.embedding}
    agent = life.ask("POST", "/v1/agents/", json=blueprint).raise_for_status().json()["id"]
    before = life.processes
    for name in ("letta", "echo"):
        os.kill(before[name].pid, signal.SIGKILL)
        while before[name].alive():
            time.sleep(0.01)
    assert local.status(data=life.data)[0].condition == "broken"

    life.up()
    assert not {each.pid for each in before.values()} & {each.pid for each in life.processes.values()}
    assert life.ask("GET", f"/v1/agents/{agent}").json()["name"] == "survivor"
    # The echo model is where the agent expects it.
    message = {"messages": [{"role": "user", "content": "still there?"}]}
    answer = life.ask("POST", f"/v1/agents/{agent}/messages", json=message).raise_for_status().json()
    assert answer["messages"][-1]["content"] == "still there?"


def down_leaves_the_data_and_not_a_process(life: Life) -> None:
    # What a tool or an MCP server may leave behind: in a session of its own, with no parent that knows of it.
    orphan = process.start(
        ["/bin/sleep", "600"], log=life.data / "letta.log", folder=life.data, environment={"HOME": f"{life.data}/home"}
    )
    known = state.read(life.data)
    assert known is not None
    assert known.sockets is not None
    assert local.down(data=life.data) is True
    assert not orphan.alive()
    assert processes_of(life.data) == []
    assert not Path(known.sockets).exists()
    assert (life.data / "postgres" / "PG_VERSION").is_file()
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", known.port))
    assert local.down(data=life.data) is False
    assert local.status(known.port)[0].condition == "stopped"


def an_up_that_fails_shows_the_log_and_leaves_not_a_process(life: Life) -> None:
    with pytest.raises(LocalError, match="does not become healthy in time") as caught:
        local.up(0, life.data, timeout=2)
    assert str(life.data / "letta.log") in str(caught.value.hint)
    assert processes_of(life.data) == []


def purge_leaves_nothing(life: Life) -> None:
    local.down(data=life.data, purge=True)
    assert not life.data.exists()
    assert life.data not in {known.data for known in local.status()}


def test_a_server_through_its_whole_life(life: Life, tmp_path: Path) -> None:
    """One test, since the steps build on one another and pytest-xdist would spread them."""
    it_is_healthy_and_says_where_it_is(life)
    it_asks_for_the_password(life)
    a_second_up_finds_it_at_once(life)
    a_second_up_that_wants_something_else_is_told(life, tmp_path)
    after_a_crash_up_recovers_with_all_data(life)
    down_leaves_the_data_and_not_a_process(life)
    an_up_that_fails_shows_the_log_and_leaves_not_a_process(life)
    purge_leaves_nothing(life)


def test_agents_answer_stream_and_change_their_memory(letta: Any) -> None:
    if letta.model != local.MODELS[True][0]:
        pytest.skip("this server has no echo model")
    bearer = {"Authorization": f"Bearer {letta.password}"} if letta.password else {}
    with httpx.Client(base_url=letta.url, headers=bearer, timeout=60) as client:
        blueprint = {
            "name": "echo",
            "model": letta.model,
            "embedding": letta.embedding,
            "memory_blocks": [{"label": "human", "value": "Name: Ada"}],
        }
        agent = client.post("/v1/agents/", json=blueprint).raise_for_status().json()["id"]

        def body(text: str) -> dict[str, Any]:
            return {"messages": [{"role": "user", "content": text}]}

        def said(messages: list[dict[str, Any]]) -> str:
            return "".join(each["content"] for each in messages if each["message_type"] == "assistant_message")

        plain = client.post(f"/v1/agents/{agent}/messages", json=body("hello there")).raise_for_status().json()
        assert said(plain["messages"]) == "hello there"
        assert plain["usage"]["completion_tokens"] > 0

        asked = {**body("one two three"), "stream_tokens": True}
        lines = client.post(f"/v1/agents/{agent}/messages/stream", json=asked).raise_for_status().text.splitlines()
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        assert said(events) == "one two three"
        assert sum(event["message_type"] == "assistant_message" for event in events) == 3

        edit = json.dumps({"label": "human", "old_string": "Ada", "new_string": "Grace"})
        called = client.post(f"/v1/agents/{agent}/messages", json=body(f"call memory_replace {edit}")).json()
        assert "memory_replace answered" in said(called["messages"])
        block = client.get(f"/v1/agents/{agent}/core-memory/blocks/human").json()
        assert block["value"] == "Name: Grace"
        client.delete(f"/v1/agents/{agent}").raise_for_status()
