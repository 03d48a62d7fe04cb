"""The client against bare httpx, in one run: requests per second, CPU time per request, and the first streamed piece.

    python bench/client.py [--requests 50] [--streams 5] [--rounds 41] [--server URL]

The requests go to a small server on loopback in another process, whose answers take no time: the overhead shows as much
as it can. With --server, streams are also measured on a Letta server with the echo model. Each round times both, one
after the other; the first quartiles of all rounds are printed, and the time of the client as a ratio to that of httpx.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from lettaform.client import AsyncClient, Client
from lettaform.client.messages import AssistantMessage
from lettaform.client.pools import IDLE

AGENT = {
    "id": "agent-1",
    "name": "clerk",
    "tags": ["a"] * 5,
    "system": "Be kind. " * 200,
    "blocks": [{"value": "x" * 99}],
}
PIECE = {"id": "message-1", "message_type": "assistant_message", "run_id": "run-1", "seq_id": None, "content": "word "}
PARALLEL = 8
T = TypeVar("T")
SERVER = """
import asyncio, sys
answer, stream = (part.encode().decode("unicode_escape").encode() for part in sys.argv[1:3])

async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\\r\\n\\r\\n"):
            for line in head.lower().split(b"\\r\\n"):
                if line.startswith(b"content-length:"):
                    await reader.readexactly(int(line.split(b":")[1]))
            writer.write(stream if b"/stream" in head else answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server whose answers take no time."""

    def answer(kind: str, body: str) -> str:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        return (head + body).encode("unicode_escape").decode()

    pieces = "".join(f"data: {json.dumps(PIECE)}\n\n" for _ in range(50)) + "data: [DONE]\n\n"
    answers = [answer("application/json", json.dumps(AGENT)), answer("text/event-stream", pieces)]
    process = subprocess.Popen([sys.executable, "-c", SERVER, *answers], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def spent(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock and of the processor."""
    clock, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - cpu


# --- the same work twice


def bare_gets(http: httpx.Client, url: str, times: int) -> None:
    for _ in range(times):
        http.get(f"{url}/v1/agents/agent-1").raise_for_status().json()


def gets(client: Client, times: int) -> None:
    for _ in range(times):
        client.agents.retrieve("agent-1")


async def bare_async(url: str, times: int) -> None:
    limits = httpx.Limits(keepalive_expiry=IDLE)
    async with httpx.AsyncClient(verify=False, limits=limits) as http:

        async def work() -> None:
            for _ in range(times // PARALLEL):
                (await http.get(f"{url}/v1/agents/agent-1")).raise_for_status().json()

        await asyncio.gather(*(work() for _ in range(PARALLEL)))


async def with_async(url: str, times: int) -> None:
    async with AsyncClient(base_url=url) as client:

        async def work() -> None:
            for _ in range(times // PARALLEL):
                await client.agents.retrieve("agent-1")

        await asyncio.gather(*(work() for _ in range(PARALLEL)))


def bare_first(http: httpx.Client, url: str, agent: str) -> float:
    """Seconds to the first piece of an answer."""
    body = {"messages": [{"role": "user", "content": "one two"}], "stream_tokens": True}
    started = time.perf_counter()
    first = 0.0
    with http.stream("POST", f"{url}/v1/agents/{agent}/messages/stream", json=body) as answer:
        for line in answer.iter_lines():
            piece = json.loads(line.removeprefix("data: ")) if line.startswith("data: {") else {}
            if not first and piece.get("message_type") == "assistant_message":
                first = time.perf_counter() - started
    return first


def first(client: Client, agent: str) -> float:
    """The same with the client."""
    started = time.perf_counter()
    found = 0.0
    for piece in client.agents.messages.stream(agent, [{"role": "user", "content": "one two"}], stream_tokens=True):
        if not found and isinstance(piece, AssistantMessage):
            found = time.perf_counter() - started
    return found


# --- rounds


def rounds_of(rounds: int, bare: Callable[[], T], ours: Callable[[], T]) -> list[tuple[T, T]]:
    """What both return, once for each round."""
    bare(), ours()  # connections and caches
    return [(bare(), ours()) for _ in range(rounds)]


def quick(values: Iterable[float]) -> float:
    """The first quartile: other work on the machine makes rounds slower, and none faster."""
    return statistics.quantiles(values, n=4)[0]


def show(title: str, unit: str, pairs: list[tuple[float, float]], scale: Callable[[float], float]) -> None:
    """Print the first quartiles of both, and the ratio between them. `scale`: seconds to the unit."""
    other, mine = (quick(values) for values in zip(*pairs, strict=True))
    print(f"{title:42} bare {scale(other):8.2f} {unit:4} client {scale(mine):8.2f} {unit:4} time {mine / other:.2f}")


def requests(url: str, times: int, rounds: int) -> None:
    with httpx.Client(limits=httpx.Limits(keepalive_expiry=IDLE)) as http, Client(base_url=url) as client:
        works: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "sync": (lambda: bare_gets(http, url, times), lambda: gets(client, times)),
            f"async, {PARALLEL} at a time": (
                lambda: asyncio.run(bare_async(url, times)),
                lambda: asyncio.run(with_async(url, times)),
            ),
        }
        for name, (bare, ours) in works.items():
            pairs = rounds_of(rounds, lambda run=bare: spent(run), lambda run=ours: spent(run))  # type: ignore[misc]
            show(f"requests, {name}", "1/s", [(b[0], o[0]) for b, o in pairs], lambda seconds: times / seconds)
            show(f"CPU per request, {name}", "µs", [(b[1], o[1]) for b, o in pairs], lambda s: 1e6 * s / times)


def streams(title: str, url: str, agent: str, times: int, rounds: int) -> None:
    with httpx.Client(timeout=60) as http, Client(base_url=url) as client:

        def bare() -> float:
            return statistics.median(bare_first(http, url, agent) for _ in range(times))

        def ours() -> float:
            return statistics.median(first(client, agent) for _ in range(times))

        show(f"first streamed piece, {title}", "ms", rounds_of(rounds, bare, ours), lambda seconds: 1000 * seconds)


def on_a_letta_server(url: str, rounds: int) -> None:
    with Client(base_url=url) as client:
        agent: dict[str, Any] = client.agents.create(name="bench", model="openai-proxy/echo", include_base_tools=False)
        try:
            streams("Letta server", url, agent["id"], 1, rounds)
        finally:
            client.agents.delete(agent["id"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--requests", type=int, default=50, help="in each round")
    parser.add_argument("--streams", type=int, default=5, help="in each round")
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument(
        "--server", metavar="URL", help="also measure streams on this Letta server, with the echo model"
    )
    given = parser.parse_args()
    with server() as url:
        requests(url, given.requests, given.rounds)
        streams("no wait", url, "agent-1", given.streams, given.rounds)
    if given.server:
        on_a_letta_server(given.server, given.rounds)


if __name__ == "__main__":
    main()
