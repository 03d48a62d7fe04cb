"""Files of folders and passages of archives: sent once, compared by content, and others' left alone."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.backend.v1 import client as client_module
from lettaform.backend.v1 import contents
from lettaform.errors import ManifestError, PlanError
from lettaform.model import Event, Plan, PlanOptions
from lettaform.values import Item
from tests.live.fleet import Fleet, Wire, changes

TOOLS = {"open_files", "grep_files", "semantic_search_files"}


def manifest(fleet: Fleet, embedding: str, **more: str) -> None:
    """A folder with every document, an archive with two passages, and an agent that has both."""
    told = {"files": '["docs/**/*.md"]', "passages": "[One., {text: Two., tags: [t], metadata: {year: 2024}}]"} | more
    fleet.write(
        f"""
        folders: {{manuals: {{name: {fleet.stack}, embedding: {embedding}, files: {told["files"]}}}}}
        archives: {{notes: {{embedding: {embedding}, passages: {told["passages"]}}}}}
        agents: {{ann: {{include_base_tools: false, folders: [manuals], archive: notes}}}}
        """
    )


@pytest.fixture
def library(fleet: Fleet, letta: Any) -> Any:
    """What stands there when everything is applied; removed afterwards."""
    document(fleet, "a.md", "# A\n")
    document(fleet, "deep/b.md", "# B\n")
    manifest(fleet, letta.embedding)
    yield fleet
    flow.apply(fleet.source, fleet.connection, PlanOptions(destroy=True, allow_destroy=("*",)))


def document(fleet: Fleet, name: str, text: str) -> None:
    path = fleet.folder / "docs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def build(fleet: Fleet, **options: Any) -> None:
    """Apply what another test shows to be settled."""
    _, report = flow.apply(fleet.source, fleet.connection, PlanOptions(**options))
    assert report is not None
    assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]


def sent(wire: Wire) -> list[str]:
    """What was uploaded: of each upload, the folder."""
    return [path.split("/")[3] for _, path, _ in wire.writes() if path.endswith("/upload")]


def the(fleet: Fleet, kind: str) -> str:
    (found,) = [live.id for live in fleet.state() if live.kind == kind]
    return found


def files(fleet: Fleet) -> dict[str, dict[str, Any]]:
    asked = {"include_content": True, "limit": 100}
    found = fleet.raw.get(f"/v1/folders/{the(fleet, 'folder')}/files", params=asked).raise_for_status().json()
    assert len({each["original_file_name"] for each in found}) == len(found), "twins"
    return {each["original_file_name"]: each for each in found}


def passages(fleet: Fleet) -> list[tuple[str, str]]:
    asked = {"archive_id": the(fleet, "archive"), "limit": 100}
    found = fleet.raw.post("/v1/passages/search", json=asked).raise_for_status().json()
    return sorted((each["passage"]["text"], each["passage"]["id"]) for each in found)


def tools(fleet: Fleet) -> set[str]:
    return {tool["name"] for tool in fleet.agent("ann")["tools"]}


def test_everything_is_there_and_stays(library: Fleet) -> None:
    library.apply()
    assert {name: file["content"] for name, file in files(library).items()} == {"a.md": "# A\n", "deep__b.md": "# B\n"}
    assert [text for text, _ in passages(library)] == ["One.", "Two."]
    assert tools(library) == TOOLS


def test_a_changed_file_alone_is_sent_again(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    library.apply()
    before = files(library)
    document(library, "a.md", "# Anew\n")
    assert changes(library.plan()) == [("update", "folders.manuals", ["files"])]
    wire = Wire(monkeypatch)
    library.apply()
    assert [path for _, path, _ in wire.writes() if path.endswith("/upload")] == [
        f"/v1/folders/{the(library, 'folder')}/upload"
    ]
    after = files(library)
    assert after["a.md"]["content"] == "# Anew\n"
    assert after["deep__b.md"]["id"] == before["deep__b.md"]["id"]


def test_what_leaves_is_removed_and_what_others_put_there_stays(library: Fleet, letta: Any) -> None:
    library.apply()
    folder, archive = the(library, "folder"), the(library, "archive")
    library.raw.post(f"/v1/folders/{folder}/upload", files={"file": ("theirs.md", b"# Theirs\n")}).raise_for_status()
    library.raw.post(f"/v1/archives/{archive}/passages", json={"text": "Theirs."}).raise_for_status()
    library.settled()
    (library.folder / "docs/deep/b.md").unlink()
    manifest(library, letta.embedding, passages="[One.]")
    library.apply()
    assert set(files(library)) == {"a.md", "theirs.md"}
    assert [text for text, _ in passages(library)] == ["One.", "Theirs."]


def test_a_file_that_somebody_replaced_is_drift(library: Fleet) -> None:
    library.apply()
    path = f"/v1/folders/{the(library, 'folder')}/upload?duplicate_handling=replace"
    library.raw.post(path, files={"file": ("a.md", b"# Somebody else's\n")}).raise_for_status()
    assert changes(library.plan()) == [("update", "folders.manuals", ["files"])]
    library.apply()
    assert files(library)["a.md"]["content"] == "# A\n"


def test_a_run_that_died_among_its_uploads_is_taken_up(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    assert library.dies(monkeypatch, lambda method, path: path.endswith(("/upload", "/passages")))
    library.apply()
    assert set(files(library)) == {"a.md", "deep__b.md"}
    assert [text for text, _ in passages(library)] == ["One.", "Two."]


def test_a_passage_whose_answer_was_lost_is_there_once(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    once, lost = httpx.AsyncClient.request, list[Any]()

    async def lose(client: httpx.AsyncClient, method: str, url: Any, **told: Any) -> Any:
        answer = await once(client, method, url, **told)
        if str(url).endswith("/passages") and not lost:
            lost.append(url)
            raise httpx.ReadTimeout("lost")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(httpx.AsyncClient, "request", lose)
        library.apply()
    assert lost
    assert [text for text, _ in passages(library)] == ["One.", "Two."]


def test_an_archive_that_is_in_the_way_is_named(library: Fleet) -> None:
    library.apply()
    other = library.raw.post("/v1/archives/", json={"name": "other"}).raise_for_status().json()["id"]
    agent = library.agent("ann")["id"]
    try:
        library.patch(f"/v1/agents/{agent}/archives/detach/{the(library, 'archive')}")
        library.patch(f"/v1/agents/{agent}/archives/attach/{other}")
        with pytest.raises(PlanError) as refused:
            library.plan()
        assert f"agents.ann has the archive {other} already" in refused.value.problems[0].message
    finally:
        library.raw.delete(f"/v1/archives/{other}")
    library.apply()


def test_what_cannot_be_sent_is_told_before_anything_is(fleet: Fleet, letta: Any) -> None:
    document(fleet, "a.md", "# A\n")
    document(fleet, "deep/a.md", "# A, too\n")
    document(fleet, "picture.png", "x")
    manifest(fleet, letta.embedding, files='["docs/*.md", "docs/deep/*.md", "docs/*.png", "docs/*.rst", "../x/*.md"]')
    with pytest.raises(ManifestError) as refused:
        fleet.plan()
    told = "\n".join(problem.message for problem in refused.value.problems)
    for words in ("two files would be called `a.md`", "text, code and PDF", "no file fits", "outside the project"):
        assert words in told


def test_a_snapshot_holds_the_passages_of_an_archive_that_dies(library: Fleet, letta: Any) -> None:
    library.apply()
    fleet = library
    fleet.write("agents: {ann: {include_base_tools: false, folders: [], archive: null}}")
    fleet.apply(prune=True)
    (snapshot,) = Path(fleet.folder).glob(".lettaform/snapshots/*/snapshot.json")
    assert "Two." in snapshot.read_text()
    assert tools(fleet) == set()


# --- what cannot be sent ---------------------------------------------------------------------------------------------

UNFIT = {
    "picture.png": (b"x", "the server takes text, code and PDF"),
    "letter.docx": (b"x", "the server takes text, code and PDF"),
    "program": (b"\x7fELF\x02\x01\x01\x00", "is no text in UTF-8"),
    "latin.md": ("Grüße".encode("latin-1"), "is no text in UTF-8"),
    "cut.md": ("ü".encode()[:1], "is no text in UTF-8"),
    "null.md": (b"a\0b", "is no text in UTF-8"),
    "nul.md": (b"x", "the server would not keep the name `nul.md`"),
    "what?.md": (b"x", "the server would not keep the name `what?.md`"),
    ".hidden.md": (b"x", "the server would not keep the name `.hidden.md`"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_file_that_the_server_could_not_keep_is_refused_with_its_place(fleet: Fleet, letta: Any, name: str) -> None:
    content, words = UNFIT[name]
    document(fleet, "a.md", "# A\n")
    (fleet.folder / "docs" / name).write_bytes(content)
    manifest(fleet, letta.embedding, files='["docs/*"]')
    with pytest.raises(ManifestError) as refused:
        fleet.plan()
    (problem,) = refused.value.problems
    assert words in problem.message
    assert problem.message.startswith(f"`{fleet.folder}/docs/{name}`")
    assert problem.place
    assert (problem.place.file.endswith("lettaform.yaml"), problem.place.line) == (True, 4)
    assert problem.place.column > 1
    assert fleet.raw.get("/v1/folders/", params={"name": fleet.stack}).json() == []


def test_a_file_of_more_than_50_megabytes_is_refused_and_one_of_just_as_many_is_not(fleet: Fleet, letta: Any) -> None:
    for name, size in (("large.txt", 50 * 2**20 + 1), ("fits.txt", 50 * 2**20)):
        document(fleet, name, "")
        with (fleet.folder / "docs" / name).open("wb") as stream:
            stream.write(b"x" * size)
    manifest(fleet, letta.embedding, files='["docs/*.txt"]')
    with pytest.raises(ManifestError) as refused:
        fleet.plan()
    (problem,) = refused.value.problems
    assert "large.txt` is larger than 50 MB" in problem.message
    assert problem.place


def test_text_of_any_ending_is_taken_byte_by_byte(library: Fleet, letta: Any) -> None:
    texts = {"LICENSE": "Free.\n", "a.rst": "A\n=\n", "b.log": "\ufeffé 🦜\r\n", "c.proto": "x", "empty.txt": ""}
    texts |= {"d.tex": "\\x\n", "with space [1].md": "y", "e.ts": "let a = 1\n"}
    for name, text in texts.items():
        (library.folder / "docs" / name).write_bytes(text.encode())
    (library.folder / "docs/a.md").unlink()
    manifest(library, letta.embedding, files='["docs/*"]')
    library.apply()
    assert {name: file["content"] for name, file in files(library).items()} == texts


# --- what goes wrong on the way --------------------------------------------------------------------------------------


def test_one_that_the_server_cannot_read_is_named_and_it_alone_is_sent_again(
    library: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    document(library, "bad.md", "# Bad\n")
    read = contents._bytes

    def spoiled(item: Item) -> bytes:
        return b"a\0b" if item.name == "bad.md" else read(item)

    with monkeypatch.context() as patch:
        patch.setattr(contents, "_bytes", spoiled)
        _, report = flow.apply(library.source, library.connection)
    assert report is not None
    assert report.exit_code == 5
    (failed,) = report.of("failed")
    assert failed.step.key.startswith("folders.manuals+files:bad.md")
    assert str(failed.error).startswith("bad.md: the server cannot read it: ")
    assert "INSERT" not in str(failed.error)
    there = files(library)
    assert {name for name, file in there.items() if file["processing_status"] == "completed"} == {"a.md", "deep__b.md"}
    wire = Wire(monkeypatch)
    build(library)
    assert len(sent(wire)) == 1
    library.settled()
    now = files(library)
    assert {name: file["id"] for name, file in now.items() if name != "bad.md"} == {
        name: file["id"] for name, file in there.items() if name != "bad.md"
    }
    assert now["bad.md"]["content"] == "# Bad\n"


def test_a_file_whose_successor_fails_is_still_there(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    build(library)
    before = files(library)["a.md"]["id"]
    document(library, "a.md", "# Anew\n")
    document(library, "more.md", "# More\n")
    once = httpx.AsyncClient.request

    async def fail(client: httpx.AsyncClient, method: str, url: Any, **told: Any) -> Any:
        if str(url).endswith("/upload") and told["files"]["file"][0] == "a.md":
            return httpx.Response(
                500, json={"detail": "An unknown error occurred"}, request=httpx.Request(method, "http://x")
            )
        return await once(client, method, url, **told)

    with monkeypatch.context() as patch:
        patch.setattr(httpx.AsyncClient, "request", fail)
        patch.setattr(client_module, "SETTLE", 0.1)
        _, report = flow.apply(library.source, library.connection)
    assert report is not None
    assert report.exit_code == 5
    now = files(library)
    assert (now["a.md"]["id"], now["a.md"]["content"], now["more.md"]["content"]) == (before, "# A\n", "# More\n")
    build(library)
    library.settled()
    assert files(library)["a.md"]["content"] == "# Anew\n"


def test_an_upload_that_comes_twice_leaves_one_file(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    # of two that come at once 0.16.8 keeps both, under one name
    once, seen = httpx.AsyncClient.request, list[str]()

    async def twice(client: httpx.AsyncClient, method: str, url: Any, **told: Any) -> Any:
        if not str(url).endswith("/upload") or told["files"]["file"][0] != "a.md":
            return await once(client, method, url, **told)
        seen.append(str(url))
        if len(seen) == 1:
            raise httpx.ReadTimeout("lost")
        answers = await asyncio.gather(*(once(client, method, url, **told) for _ in range(2 if len(seen) == 2 else 1)))
        return answers[-1]

    with monkeypatch.context() as patch:
        patch.setattr(httpx.AsyncClient, "request", twice)
        patch.setattr(client_module, "SETTLE", 0.1)
        build(library)
    assert len(seen) >= 2
    library.settled()
    assert set(files(library)) == {"a.md", "deep__b.md"}  # and no twins
    assert {each["file_name"].split("/")[-1] for each in files(library).values()} == {"a.md", "deep__b.md"}


def test_an_upload_whose_answer_was_lost_is_there_once(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    once, lost = httpx.AsyncClient.request, list[str]()

    async def lose(client: httpx.AsyncClient, method: str, url: Any, **told: Any) -> Any:
        answer = await once(client, method, url, **told)
        if str(url).endswith("/upload") and not lost:
            lost.append(str(url))
            raise httpx.ReadTimeout("lost")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(httpx.AsyncClient, "request", lose)
        patch.setattr(client_module, "SETTLE", 0.1)
        build(library)
    assert lost
    assert set(files(library)) == {"a.md", "deep__b.md"}


def test_a_file_that_changed_since_the_plan_was_made_is_not_sent(library: Fleet) -> None:
    def change(plan: Plan) -> bool:
        document(library, "a.md", "# Anew\n")
        return True

    _, report = flow.apply(library.source, library.connection, consent=change)
    # within the lock the plan is made again: what is sent is what stands there then, or nothing is
    if report is not None and report.exit_code:
        assert "has changed since the plan was made" in str(next(report.of("failed")).error)
    library.folder.joinpath("docs/a.md").write_text("# Anew\n")
    flow.apply(library.source, library.connection)
    assert files(library)["a.md"]["content"] == "# Anew\n"


def test_every_file_tells_that_it_has_arrived(library: Fleet) -> None:
    for number in range(12):
        document(library, f"more/{number:02}.md", f"# {number}\n")
    told: list[Event] = []
    flow.apply(library.source, library.connection, notify=told.append)
    done = [
        event for event in told if event.event == "done" and event.step.op == "attach" and event.step.kind == "folder"
    ]
    names = {event.step.member.name for event in done}
    assert names == {"a.md", "deep__b.md", *(f"more__{number:02}.md" for number in range(12))}
    assert all(event.finished <= event.total for event in told)
    assert {file["processing_status"] for file in files(library).values()} == {"completed"}  # it was waited for


# --- what is compared ------------------------------------------------------------------------------------------------


def test_the_sha256_of_each_stands_in_the_metadata_of_the_folder(library: Fleet) -> None:
    build(library)
    metadata = library.raw.get(f"/v1/folders/{the(library, 'folder')}").json()["metadata"]
    assert sorted(metadata["lettaform"]["members"]["files"]) == [
        f"a.md 4 {hashlib.sha256(b'# A' + bytes([10])).hexdigest()}",
        f"deep__b.md 4 {hashlib.sha256(b'# B' + bytes([10])).hexdigest()}",
    ]


def test_one_that_somebody_replaced_by_another_of_the_same_size_is_drift(library: Fleet) -> None:
    build(library)
    path = f"/v1/folders/{the(library, 'folder')}/upload?duplicate_handling=replace"
    library.raw.post(path, files={"file": ("a.md", b"# Z\n")}).raise_for_status()
    assert changes(library.plan()) == [("update", "folders.manuals", ["files"])]
    build(library)
    assert files(library)["a.md"]["content"] == "# A\n"


def test_a_large_folder_is_compared_by_what_the_mark_says(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    build(library)
    monkeypatch.setattr(contents, "LOOKED_INTO", 0)
    library.settled()
    document(library, "a.md", "# Y\n")
    assert changes(library.plan()) == [("update", "folders.manuals", ["files"])]


# --- who has it ------------------------------------------------------------------------------------------------------


def test_the_tools_for_files_come_and_go_with_the_last_folder(library: Fleet, letta: Any) -> None:
    library.apply()
    assert tools(library) == TOOLS
    path = library.folder / "lettaform.yaml"
    path.write_text(path.read_text().replace("folders: [manuals], archive", "folders: [], archive"))
    library.apply()
    assert tools(library) == set()
    path.write_text(path.read_text().replace("folders: [], archive", "folders: [manuals], archive"))
    library.apply()
    assert tools(library) == TOOLS


def test_a_folder_that_dies_is_detached_first(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    # deleted while it is attached, it leaves its agents the tools for files
    build(library)
    told = {"name": "guest", "model": "letta/letta-free", "include_base_tools": False}
    told |= {"folder_ids": [the(library, "folder")]}
    guest = library.raw.post("/v1/agents/", json=told).raise_for_status().json()["id"]
    try:
        library.write("agents: {ann: {include_base_tools: false, folders: []}}")
        build(library, prune=True)
        assert {tool["name"] for tool in library.raw.get(f"/v1/agents/{guest}").json()["tools"]} == TOOLS  # it was kept
        wire = Wire(monkeypatch)
        build(library, prune=True, allow_destroy=("folders.manuals",))
        writes = [path for _, path, _ in wire.writes()]
        detached = next(n for n, path in enumerate(writes) if path.startswith(f"/v1/agents/{guest}/folders/detach/"))
        assert detached < next(n for n, path in enumerate(writes) if path.startswith("/v1/folders/"))
        assert library.raw.get(f"/v1/agents/{guest}").json()["tools"] == []
        assert tools(library) == set()
    finally:
        library.raw.delete(f"/v1/agents/{guest}")


def test_a_folder_with_another_embedding_is_another_and_its_agents_have_it(library: Fleet, letta: Any) -> None:
    build(library)
    before = the(library, "folder")
    path = library.folder / "lettaform.yaml"
    path.write_text(
        path.read_text().replace(
            f"name: {library.stack}, embedding", f"name: {library.stack}, embedding_chunk_size: 222, embedding"
        )
    )
    library.apply(allow_destroy=("folders.manuals",))
    assert the(library, "folder") != before
    assert set(files(library)) == {"a.md", "deep__b.md"}
    assert tools(library) == TOOLS


# --- what the server does besides ------------------------------------------------------------------------------------


def test_what_an_agent_sees_of_its_files(library: Fleet, letta: Any) -> None:
    path = library.folder / "lettaform.yaml"
    path.write_text(
        path.read_text().replace("folders: [manuals], archive", "folders: [manuals], max_files_open: 1, archive")
    )
    build(library)
    agent, folder = library.agent("ann")["id"], the(library, "folder")
    told = library.raw.get(f"/v1/agents/{agent}/files").raise_for_status().json()
    assert told.keys() == {"files", "next_cursor", "has_more"}
    assert {each["file_name"] for each in told["files"]} == {
        f"{library.stack}/{name}" for name in ("a.md", "deep__b.md")
    }
    assert sum(each["is_open"] for each in told["files"]) <= 1  # and no more than it may have open
    document(library, "later.md", "# Later\n")
    build(library)  # arrives by itself
    assert len(library.raw.get(f"/v1/agents/{agent}/files").json()["files"]) == 3
    assert library.raw.get(f"/v1/sources/{folder}").json()["id"] == folder  # one thing under two names
    shown = library.raw.get(f"/v1/agents/{agent}", params={"include": "agent.sources"}).json()["sources"]
    assert "vector_db_provider" in shown[0]
    assert "vector_db_provider" not in library.raw.get(f"/v1/folders/{folder}").json()


def test_an_embedding_that_is_told_anew_embeds_nothing_anew(library: Fleet) -> None:
    build(library)
    folder = the(library, "folder")
    config = library.raw.get(f"/v1/folders/{folder}").json()["embedding_config"]
    before = files(library)
    library.patch(f"/v1/folders/{folder}", embedding_config=config | {"embedding_chunk_size": 77})
    after = files(library)
    assert {name: file["updated_at"] for name, file in after.items()} == {n: f["updated_at"] for n, f in before.items()}
    library.settled()  # it was not declared
