"""A local server through its whole life cycle: start, reuse, crash, recover, stop, purge."""

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
    """The command lines and environments of all processes that use this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            where = os.readlink(entry / "cwd")
        except OSError:
            continue
        if os.fsencode(data) in text or where.startswith(str(data)):
            found.append(text.decode(errors="replace"))
    return found


@dataclass
class LocalServer:
    """The data folder of a server, and the server as it runs now."""

    data: Path
    running: local.Running

    def up(self) -> local.Running:
        self.running = local.up(0, self.data, echo_model=True, password=PASSWORD)
        return self.running

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {PASSWORD}"}
        return httpx.request(method, self.running.url + path, headers=bearer, timeout=60, **options)

    @property
    def processes(self) -> dict[str, process.Process]:
        known = state.read(self.data)
        assert known is not None
        return dict(known.processes)


@pytest.fixture
def local_server() -> Iterator[LocalServer]:
    # pytest restricts its folders to their owner, and PostgreSQL may run as another user
    with tempfile.TemporaryDirectory() as folder:
        # Longer than a Unix socket path may be, and with a space in it.
        data = Path(folder) / "a folder" / ("x" * 100)
        yield LocalServer(data, local.up(0, data, echo_model=True, password=PASSWORD))
        local.down(data=data, purge=True)


def reports_health_version_and_processes(local_server: LocalServer) -> None:
    health = httpx.get(f"{local_server.running.url}/v1/health/").json()
    assert health == {"version": local_server.running.version, "status": "ok"}
    assert local_server.running.version == release()
    assert local_server.running.pid == local_server.processes["letta"].pid
    assert len(processes_of(local_server.data)) >= 3


def requires_password(local_server: LocalServer) -> None:
    assert httpx.get(f"{local_server.running.url}/v1/agents/").status_code == 401
    assert local_server.ask("GET", "/v1/agents/").status_code == 200


def second_up_reuses_running_server(local_server: LocalServer) -> None:
    before, began = local_server.running, time.monotonic()
    assert local_server.up() == before
    assert local.up(int(before.url.rpartition(":")[2]), password=PASSWORD) == before
    assert time.monotonic() - began < 5


def second_up_with_other_options_fails(local_server: LocalServer, tmp_path: Path) -> None:
    port = int(local_server.running.url.rpartition(":")[2])
    with pytest.raises(LocalError, match="another password"):
        local.up(port)
    with pytest.raises(LocalError, match="already runs on port"):
        local.up(port + 1, local_server.data, password=PASSWORD)
    with pytest.raises(LocalError, match=f"port {port} is taken by a Letta {local_server.running.version}"):
        local.up(port, tmp_path / "other")


def up_recovers_all_data_after_crash(local_server: LocalServer) -> None:
    blueprint = {"name": "survivor", "model": local_server.running.model, "embedding": local_server.running.embedding}
    agent = local_server.ask("POST", "/v1/agents/", json=blueprint).raise_for_status().json()["id"]
    before = local_server.processes
    for name in ("letta", "echo"):
        os.kill(before[name].pid, signal.SIGKILL)
        while before[name].alive():
            time.sleep(0.01)
    assert local.status(data=local_server.data)[0].condition == "broken"

    local_server.up()
    assert not {each.pid for each in before.values()} & {each.pid for each in local_server.processes.values()}
    assert local_server.ask("GET", f"/v1/agents/{agent}").json()["name"] == "survivor"
    # The agent's model endpoint is still where the agent expects it.
    message = {"messages": [{"role": "user", "content": "still there?"}]}
    answer = local_server.ask("POST", f"/v1/agents/{agent}/messages", json=message).raise_for_status().json()
    assert answer["messages"][-1]["content"] == "still there?"


def down_stops_all_processes_and_keeps_data(local_server: LocalServer) -> None:
    # What a tool or an MCP server may leave: a process in its own session, whose parent is gone.
    orphan = process.start(
        ["/bin/sleep", "600"],
        log=local_server.data / "letta.log",
        folder=local_server.data,
        environment={"HOME": f"{local_server.data}/home"},
    )
    known = state.read(local_server.data)
    assert known is not None
    assert known.sockets is not None
    assert local.down(data=local_server.data) is True
    assert not orphan.alive()
    assert processes_of(local_server.data) == []
    assert not Path(known.sockets).exists()
    assert (local_server.data / "postgres" / "PG_VERSION").is_file()
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", known.port))
    assert local.down(data=local_server.data) is False
    assert local.status(known.port)[0].condition == "stopped"


def failed_up_names_log_and_leaves_no_process(local_server: LocalServer) -> None:
    with pytest.raises(LocalError, match="does not become healthy in time") as caught:
        local.up(0, local_server.data, timeout=2)
    assert str(local_server.data / "letta.log") in str(caught.value.hint)
    assert processes_of(local_server.data) == []


def purge_deletes_data_folder(local_server: LocalServer) -> None:
    local.down(data=local_server.data, purge=True)
    assert not local_server.data.exists()
    assert local_server.data not in {known.data for known in local.status()}


def test_local_server_life_cycle(local_server: LocalServer, tmp_path: Path) -> None:
    """One test, because each step needs the one before it and pytest-xdist would distribute them."""
    reports_health_version_and_processes(local_server)
    requires_password(local_server)
    second_up_reuses_running_server(local_server)
    second_up_with_other_options_fails(local_server, tmp_path)
    up_recovers_all_data_after_crash(local_server)
    down_stops_all_processes_and_keeps_data(local_server)
    failed_up_names_log_and_leaves_no_process(local_server)
    purge_deletes_data_folder(local_server)


def test_echo_agents_answer_stream_and_edit_memory(letta: Any) -> None:
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

        def text(messages: list[dict[str, Any]]) -> str:
            return "".join(each["content"] for each in messages if each["message_type"] == "assistant_message")

        plain = client.post(f"/v1/agents/{agent}/messages", json=body("hello there")).raise_for_status().json()
        assert text(plain["messages"]) == "hello there"
        assert plain["usage"]["completion_tokens"] > 0

        streamed = {**body("one two three"), "stream_tokens": True}
        lines = client.post(f"/v1/agents/{agent}/messages/stream", json=streamed).raise_for_status().text.splitlines()
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        assert text(events) == "one two three"
        assert sum(event["message_type"] == "assistant_message" for event in events) == 3

        edit = json.dumps({"label": "human", "old_string": "Ada", "new_string": "Grace"})
        called = client.post(f"/v1/agents/{agent}/messages", json=body(f"call memory_replace {edit}")).json()
        assert "memory_replace answered" in text(called["messages"])
        block = client.get(f"/v1/agents/{agent}/core-memory/blocks/human").json()
        assert block["value"] == "Name: Grace"
        client.delete(f"/v1/agents/{agent}").raise_for_status()
