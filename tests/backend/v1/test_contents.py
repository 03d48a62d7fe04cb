"""Passages and files: read within the server's limits, added once, downloaded only where that is needed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform.backend.v1 import client as client_module
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.contents import CONTENTS, SLOWEST_UPLOAD
from lettaform.backend.v1.send import _detach_from_agents
from lettaform.errors import ServerError
from lettaform.kinds import kinds
from lettaform.model import Live, Mark
from lettaform.values import Item
from tests.faults.clock import Clock
from tests.standin import StandIn

URL, EMBEDDING = "http://stand.in", "openai/text-embedding-3-small"


class Server(httpx.AsyncBaseTransport):
    """The stand-in, with one archive and one folder, and a request that may be disturbed."""

    def __init__(self) -> None:
        self.standin = StandIn()
        self.raw = httpx.Client(transport=self.standin, base_url=URL)
        made = {path: {"name": "x", "embedding": EMBEDDING} for path in ("archives", "folders")}
        ids = {path: self.raw.post(f"/v1/{path}/", json=body).json()["id"] for path, body in made.items()}
        self.archive, self.folder = ids["archives"], ids["folders"]
        self.asked: list[httpx.Request] = []
        self.disturb: Callable[[httpx.Request, httpx.Response], httpx.Response] = lambda request, answer: answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        return self.disturb(request, await self.standin.handle_async_request(request))

    def run(self, call: Callable[[Client], Any], **options: Any) -> Any:
        async def go() -> Any:
            client = Client(URL, transport=self, **options)
            return await call(client)

        return asyncio.run(go())

    def add(self, text: str, **more: Any) -> None:
        """A passage of somebody else."""
        answer = self.raw.post(f"/v1/archives/{self.archive}/passages", json={"text": text, **more})
        answer.raise_for_status()

    def upload(self, name: str, content: bytes) -> None:
        """A file of somebody else."""
        files = {"file": (name, content, "text/plain")}
        self.raw.post(f"/v1/folders/{self.folder}/upload", files=files).raise_for_status()

    def passages(self) -> list[Item]:
        live = Live("archive", self.archive, "", {})
        found: list[Item] = self.run(lambda client: CONTENTS["passages"].read(client, live, "passages", ()))
        return found

    def files(self, marked: tuple[str, ...] = (), wanted: tuple[str, ...] = ()) -> list[str]:
        live = Live("folder", self.folder, "", {}, mark=Mark(members={"files": marked}))
        found = self.run(lambda client: CONTENTS["files"].read(client, live, "files", wanted))
        return [item.key for item in found]

    def downloads(self) -> list[str]:
        """Requests that download contents."""
        return [each.url.path for each in self.asked if "include_content" in each.url.params]


def key(name: str, content: bytes) -> str:
    return f"{name} {len(content)} {hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_all_passages_are_read_in_requests_of_at_most_100(count: int) -> None:
    server = Server()
    for number in range(count):
        server.add(f"passage {number}")
    found = server.passages()
    assert [item.name for item in found] == [f"passage {number}" for number in range(count)]
    assert len(server.asked) == count // 100 + 1


@pytest.mark.parametrize(("batch", "read"), [(60, 60), (100, 100), (150, 100)])
def test_passages_of_one_instant_do_not_stop_the_reading(batch: int, read: int) -> None:
    """Of more than a page that were created at the same time one page is read; what was created later is read, too."""
    server = Server()
    for number in range(batch):
        server.add(f"batch {number}")
    for passage in server.standin.tables.passages.values():
        passage["created_at"] = "2026-01-01T00:00:00.123456Z"
    server.add("later")
    names = [item.name for item in server.passages()]
    assert len(names) == read + 1
    assert names[-1] == "later"


@pytest.mark.parametrize("answer", [{"odd": 1}, [{"odd": 1}], [{"passage": {"odd": 1}}]])
def test_an_odd_answer_to_a_search_is_a_server_error(answer: Any) -> None:
    server = Server()
    server.disturb = lambda request, _: httpx.Response(200, json=answer)
    with pytest.raises(ServerError, match="/v1/passages/search answered"):
        server.passages()


@pytest.mark.parametrize("created", [True, False])
def test_a_passage_whose_answer_was_lost_is_there_once(created: bool) -> None:
    server, lost = Server(), list[str]()

    def disturb(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if request.url.path.endswith("/passages") and not lost:
            lost.append(request.url.path)
            if not created:
                server.standin.tables.passages.clear()
            raise httpx.ReadError("cut", request=request)
        return answer

    server.disturb = disturb
    item, live = kinds()["archive"].item("passages", "One."), Live("archive", server.archive, "", {})
    with Clock().running():
        server.run(lambda client: CONTENTS["passages"].add(client, live, "passages", item))
    assert lost
    assert [each["text"] for each in server.standin.tables.passages.values()] == ["One."]


def test_contents_are_downloaded_only_of_files_that_carry_our_mark() -> None:
    server = Server()
    server.upload("ours.md", b"ours")
    server.upload("theirs.md", b"t" * 1000)
    assert server.files(marked=(key("ours.md", b"ours"),)) == [key("ours.md", b"ours"), "theirs.md 1000 ?"]
    assert len(server.downloads()) == 1
    assert "/files/" in server.downloads()[0]


def test_contents_of_a_folder_of_our_files_are_downloaded_in_one_list() -> None:
    server = Server()
    names = [f"{number}.md" for number in range(5)]
    for name in names:
        server.upload(name, name.encode())
    keys = [key(name, name.encode()) for name in names]
    assert server.files(marked=tuple(keys)) == keys
    assert server.downloads() == [f"/v1/folders/{server.folder}/files"]


def test_a_file_without_a_mark_is_downloaded_if_the_manifest_declares_its_name_and_size() -> None:
    server = Server()
    server.upload("a.md", b"new")
    server.upload("b.md", b"other")
    assert server.files(wanted=(key("a.md", b"new"),)) == [key("a.md", b"new"), "b.md 5 ?"]


def upload_with_lost_answer(server: Server, folder: Path, *, created: bool = True) -> None:
    """Upload `a.md` while the answer to the first request is lost. `created`: whether the server keeps that file."""
    content, lost = b"# A\n", list[str]()
    (folder / "a.md").write_bytes(content)

    def disturb(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if request.url.path.endswith("/upload") and not lost:
            lost.append(request.url.path)
            if not created:
                server.standin.tables.files.clear()
            raise httpx.ReadError("cut", request=request)
        return answer

    server.disturb = disturb
    item = Item(key("a.md", content), "a.md", {"path": str(folder / "a.md")})
    with Clock().running():
        server.run(lambda client: CONTENTS["files"].add(client, Live("folder", server.folder, "", {}), "files", item))


@pytest.mark.parametrize("created", [True, False])
def test_a_file_whose_answer_was_lost_is_there_once(created: bool, tmp_path: Path) -> None:
    server = Server()
    upload_with_lost_answer(server, tmp_path, created=created)
    assert [each["_content"] for each in server.standin.tables.files.values()] == ["# A\n"]
    assert sum(each.url.path.endswith("/upload") for each in server.asked) == (1 if created else 2)


def test_what_a_lost_upload_left_is_looked_for_without_the_contents_of_other_files(tmp_path: Path) -> None:
    server = Server()
    for number in range(3):
        server.upload(f"{number}.md", b"large" * 1000)
    upload_with_lost_answer(server, tmp_path)
    (downloaded,) = {*server.downloads()}
    assert downloaded.rsplit("/", 1)[1] in [each["id"] for each in server.standin.tables.files.values()]
    assert server.standin.tables.files[downloaded.rsplit("/", 1)[1]]["original_file_name"] == "a.md"


def test_the_time_limit_of_an_upload_grows_with_its_size(tmp_path: Path) -> None:
    server, content = Server(), b"x" * 3_000_000
    (tmp_path / "a.md").write_bytes(content)
    item = Item(key("a.md", content), "a.md", {"path": str(tmp_path / "a.md")})
    live = Live("folder", server.folder, "", {})
    server.run(lambda client: CONTENTS["files"].add(client, live, "files", item), timeout=10)
    limit = server.asked[0].extensions["timeout"]["read"]
    assert limit == 10 + 3_000_000 / SLOWEST_UPLOAD


def test_a_folder_is_detached_from_all_agents_before_it_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers 50 agents where no limit is asked for."""
    monkeypatch.setattr(client_module, "PAGE", 25)
    server = Server()
    for number in range(60):
        agent = server.raw.post("/v1/agents/", json={"name": f"a{number}", "model": "openai-proxy/echo"}).json()["id"]
        server.raw.patch(f"/v1/agents/{agent}/folders/attach/{server.folder}").raise_for_status()
    assert len(server.raw.get(f"/v1/folders/{server.folder}/agents").json()) == 50
    server.run(lambda client: _detach_from_agents(client, f"/v1/folders/{server.folder}"))
    assert server.raw.get(f"/v1/folders/{server.folder}/agents").json() == []
