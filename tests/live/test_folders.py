"""Files of folders and passages of archives: uploaded once, compared by content; foreign ones are kept."""

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
from tests.live.fleet import Fleet, RequestLog, changes

TOOLS = {"open_files", "grep_files", "semantic_search_files"}


def manifest(fleet: Fleet, embedding: str, **more: str) -> None:
    """A folder with every document, an archive with two passages, and an agent that has both."""
    fields = {"files": '["docs/**/*.md"]', "passages": "[One., {text: Two., tags: [t], metadata: {year: 2024}}]"} | more
    fleet.write(
        f"""
        folders: {{manuals: {{name: {fleet.stack}, embedding: {embedding}, files: {fields["files"]}}}}}
        archives: {{notes: {{embedding: {embedding}, passages: {fields["passages"]}}}}}
        agents: {{ann: {{include_base_tools: false, folders: [manuals], archive: notes}}}}
        """
    )


@pytest.fixture
def library(fleet: Fleet, letta: Any) -> Any:
    """The manifest above, applied; deleted afterwards."""
    document(fleet, "a.md", "# A\n")
    document(fleet, "deep/b.md", "# B\n")
    manifest(fleet, letta.embedding)
    yield fleet
    flow.apply(fleet.source, fleet.connection, PlanOptions(destroy=True, allow_destroy=("*",)), consent=True)


def document(fleet: Fleet, name: str, text: str) -> None:
    path = fleet.folder / "docs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def build(fleet: Fleet, **options: Any) -> None:
    """Apply, for tests that do not need to check the plan after it."""
    _, report = flow.apply(fleet.source, fleet.connection, PlanOptions(**options), consent=True)
    assert report is not None
    assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]


def uploads(requests: RequestLog) -> list[str]:
    """The folder of each upload."""
    return [path.split("/")[3] for _, path, _ in requests.writes() if path.endswith("/upload")]


def object_id(fleet: Fleet, kind: str) -> str:
    (found,) = [live.id for live in fleet.state() if live.kind == kind]
    return found


def files(fleet: Fleet) -> dict[str, dict[str, Any]]:
    asked = {"include_content": True, "limit": 100}
    found = fleet.raw.get(f"/v1/folders/{object_id(fleet, 'folder')}/files", params=asked).raise_for_status().json()
    assert len({each["original_file_name"] for each in found}) == len(found), "two files have one name"
    return {each["original_file_name"]: each for each in found}


def passages(fleet: Fleet) -> list[tuple[str, str]]:
    asked = {"archive_id": object_id(fleet, "archive"), "limit": 100}
    found = fleet.raw.post("/v1/passages/search", json=asked).raise_for_status().json()
    return sorted((each["passage"]["text"], each["passage"]["id"]) for each in found)


def tools(fleet: Fleet) -> set[str]:
    return {tool["name"] for tool in fleet.agent("ann")["tools"]}


def test_apply_uploads_everything_and_converges(library: Fleet) -> None:
    library.apply()
    assert {name: file["content"] for name, file in files(library).items()} == {"a.md": "# A\n", "deep__b.md": "# B\n"}
    assert [text for text, _ in passages(library)] == ["One.", "Two."]
    assert tools(library) == TOOLS


def test_only_changed_file_is_uploaded_again(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    library.apply()
    before = files(library)
    document(library, "a.md", "# Anew\n")
    assert changes(library.plan()) == [("update", "folders.manuals", ["files"])]
    requests = RequestLog(monkeypatch)
    library.apply()
    assert [path for _, path, _ in requests.writes() if path.endswith("/upload")] == [
        f"/v1/folders/{object_id(library, 'folder')}/upload"
    ]
    after = files(library)
    assert after["a.md"]["content"] == "# Anew\n"
    assert after["deep__b.md"]["id"] == before["deep__b.md"]["id"]


def test_removed_files_are_deleted_and_foreign_files_kept(library: Fleet, letta: Any) -> None:
    library.apply()
    folder, archive = object_id(library, "folder"), object_id(library, "archive")
    library.raw.post(f"/v1/folders/{folder}/upload", files={"file": ("theirs.md", b"# Theirs\n")}).raise_for_status()
    library.raw.post(f"/v1/archives/{archive}/passages", json={"text": "Theirs."}).raise_for_status()
    library.assert_no_changes()
    (library.folder / "docs/deep/b.md").unlink()
    manifest(library, letta.embedding, passages="[One.]")
    library.apply()
    assert set(files(library)) == {"a.md", "theirs.md"}
    assert [text for text, _ in passages(library)] == ["One.", "Theirs."]


def test_file_replaced_by_others_is_drift(library: Fleet) -> None:
    library.apply()
    path = f"/v1/folders/{object_id(library, 'folder')}/upload?duplicate_handling=replace"
    library.raw.post(path, files={"file": ("a.md", b"# Somebody else's\n")}).raise_for_status()
    assert changes(library.plan()) == [("update", "folders.manuals", ["files"])]
    library.apply()
    assert files(library)["a.md"]["content"] == "# A\n"


def test_apply_resumes_after_interrupted_uploads(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    assert library.apply_interrupted(monkeypatch, lambda method, path: path.endswith(("/upload", "/passages")))
    library.apply()
    assert set(files(library)) == {"a.md", "deep__b.md"}
    assert [text for text, _ in passages(library)] == ["One.", "Two."]


def test_passage_with_lost_answer_is_stored_once(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    once, lost = httpx.AsyncClient.request, list[Any]()

    async def lose(client: httpx.AsyncClient, method: str, url: Any, **options: Any) -> Any:
        answer = await once(client, method, url, **options)
        if str(url).endswith("/passages") and not lost:
            lost.append(url)
            raise httpx.ReadTimeout("lost")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(httpx.AsyncClient, "request", lose)
        library.apply()
    assert lost
    assert [text for text, _ in passages(library)] == ["One.", "Two."]


def test_plan_names_archive_already_attached_to_agent(library: Fleet) -> None:
    library.apply()
    other = library.raw.post("/v1/archives/", json={"name": "other"}).raise_for_status().json()["id"]
    agent = library.agent("ann")["id"]
    try:
        library.patch(f"/v1/agents/{agent}/archives/detach/{object_id(library, 'archive')}")
        library.patch(f"/v1/agents/{agent}/archives/attach/{other}")
        with pytest.raises(PlanError) as refused:
            library.plan()
        assert f"agents.ann already has the archive {other}" in refused.value.problems[0].message
    finally:
        library.raw.delete(f"/v1/archives/{other}")
    library.apply()


def test_plan_refuses_unsendable_files_before_any_upload(fleet: Fleet, letta: Any) -> None:
    document(fleet, "a.md", "# A\n")
    document(fleet, "deep/a.md", "# A, too\n")
    document(fleet, "picture.png", "x")
    manifest(fleet, letta.embedding, files='["docs/*.md", "docs/deep/*.md", "docs/*.png", "docs/*.rst", "../x/*.md"]')
    with pytest.raises(ManifestError) as refused:
        fleet.plan()
    options = "\n".join(problem.message for problem in refused.value.problems)
    for words in ("two files have the name `a.md`", "text, code and PDF", "no file matches", "outside the project"):
        assert words in options


def test_snapshot_contains_passages_of_deleted_archive(library: Fleet, letta: Any) -> None:
    library.apply()
    fleet = library
    fleet.write("agents: {ann: {include_base_tools: false, folders: [], archive: null}}")
    fleet.apply(prune=True)
    (snapshot,) = Path(fleet.folder).glob(".lettaform/snapshots/*")
    assert flow.snapshot_verify(snapshot) == []
    contents = "".join(each.read_text() for each in snapshot.glob("*.contents.json"))
    assert "Two." in contents
    assert tools(fleet) == set()


# --- files that cannot be uploaded -----------------------------------------------------------------------------------

UNFIT = {
    "picture.png": (b"x", "the server accepts text, code and PDF"),
    "letter.docx": (b"x", "the server accepts text, code and PDF"),
    "program": (b"\x7fELF\x02\x01\x01\x00", "is not UTF-8 text"),
    "latin.md": ("Grüße".encode("latin-1"), "is not UTF-8 text"),
    "cut.md": ("ü".encode()[:1], "is not UTF-8 text"),
    "null.md": (b"a\0b", "is not UTF-8 text"),
    "nul.md": (b"x", "the server would change the name `nul.md`"),
    "what?.md": (b"x", "the server would change the name `what?.md`"),
    ".hidden.md": (b"x", "the server would change the name `.hidden.md`"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_manifest_refuses_unsupported_file_with_place(fleet: Fleet, letta: Any, name: str) -> None:
    content, words = UNFIT[name]
    document(fleet, "a.md", "# A\n")
    (fleet.folder / "docs" / name).write_bytes(content)
    # a wildcard leaves out names that begin with a dot
    manifest(fleet, letta.embedding, files=f'["docs/*", "docs/{name}"]' if name.startswith(".") else '["docs/*"]')
    with pytest.raises(ManifestError) as refused:
        fleet.plan()
    (problem,) = refused.value.problems
    assert words in problem.message
    assert problem.message.startswith(f"`{fleet.folder}/docs/{name}`")
    assert problem.place
    assert (problem.place.file.endswith("lettaform.yaml"), problem.place.line) == (True, 4)
    assert problem.place.column > 1
    assert fleet.raw.get("/v1/folders/", params={"name": fleet.stack}).json() == []


def test_manifest_refuses_file_above_50_megabytes_and_accepts_exactly_50(fleet: Fleet, letta: Any) -> None:
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


def test_text_with_any_extension_is_stored_byte_by_byte(library: Fleet, letta: Any) -> None:
    texts = {"LICENSE": "Free.\n", "a.rst": "A\n=\n", "b.log": "\ufeffé 🦜\r\n", "c.proto": "x", "empty.txt": ""}
    texts |= {"d.tex": "\\x\n", "with space [1].md": "y", "e.ts": "let a = 1\n"}
    for name, text in texts.items():
        (library.folder / "docs" / name).write_bytes(text.encode())
    (library.folder / "docs/a.md").unlink()
    manifest(library, letta.embedding, files='["docs/*"]')
    library.apply()
    assert {name: file["content"] for name, file in files(library).items()} == texts


# --- failures during upload ------------------------------------------------------------------------------------------


def test_failed_file_is_named_and_only_it_is_uploaded_again(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    document(library, "bad.md", "# Bad\n")
    read = contents._bytes

    def spoiled(item: Item) -> bytes:
        return b"a\0b" if item.name == "bad.md" else read(item)

    with monkeypatch.context() as patch:
        patch.setattr(contents, "_bytes", spoiled)
        _, report = flow.apply(library.source, library.connection, consent=True)
    assert report is not None
    assert report.exit_code == 5
    (failed,) = report.of("failed")
    assert failed.step.key.startswith("folders.manuals+files:bad.md")
    assert str(failed.error).startswith("bad.md: the server cannot read it: ")
    assert "INSERT" not in str(failed.error)
    there = files(library)
    assert {name for name, file in there.items() if file["processing_status"] == "completed"} == {"a.md", "deep__b.md"}
    requests = RequestLog(monkeypatch)
    build(library)
    assert len(uploads(requests)) == 1
    library.assert_no_changes()
    now = files(library)
    assert {name: file["id"] for name, file in now.items() if name != "bad.md"} == {
        name: file["id"] for name, file in there.items() if name != "bad.md"
    }
    assert now["bad.md"]["content"] == "# Bad\n"


def test_old_file_is_kept_when_its_replacement_fails(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    build(library)
    before = files(library)["a.md"]["id"]
    document(library, "a.md", "# Anew\n")
    document(library, "more.md", "# More\n")
    once = httpx.AsyncClient.request

    async def fail(client: httpx.AsyncClient, method: str, url: Any, **options: Any) -> Any:
        if str(url).endswith("/upload") and options["files"]["file"][0] == "a.md":
            return httpx.Response(
                500, json={"detail": "An unknown error occurred"}, request=httpx.Request(method, "http://x")
            )
        return await once(client, method, url, **options)

    with monkeypatch.context() as patch:
        patch.setattr(httpx.AsyncClient, "request", fail)
        patch.setattr(client_module, "SETTLE", 0.1)
        _, report = flow.apply(library.source, library.connection, consent=True)
    assert report is not None
    assert report.exit_code == 5
    now = files(library)
    assert (now["a.md"]["id"], now["a.md"]["content"], now["more.md"]["content"]) == (before, "# A\n", "# More\n")
    build(library)
    library.assert_no_changes()
    assert files(library)["a.md"]["content"] == "# Anew\n"


def test_duplicated_upload_leaves_one_file(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    # 0.16.8 keeps both of two simultaneous uploads, under one name
    once, seen = httpx.AsyncClient.request, list[str]()

    async def twice(client: httpx.AsyncClient, method: str, url: Any, **options: Any) -> Any:
        if not str(url).endswith("/upload") or options["files"]["file"][0] != "a.md":
            return await once(client, method, url, **options)
        seen.append(str(url))
        if len(seen) == 1:
            raise httpx.ReadTimeout("lost")
        answers = await asyncio.gather(
            *(once(client, method, url, **options) for _ in range(2 if len(seen) == 2 else 1))
        )
        return answers[-1]

    with monkeypatch.context() as patch:
        patch.setattr(httpx.AsyncClient, "request", twice)
        patch.setattr(client_module, "SETTLE", 0.1)
        build(library)
    assert len(seen) >= 2
    library.assert_no_changes()
    assert set(files(library)) == {"a.md", "deep__b.md"}  # and no duplicates
    assert {each["file_name"].split("/")[-1] for each in files(library).values()} == {"a.md", "deep__b.md"}


def test_upload_with_lost_answer_is_stored_once(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    once, lost = httpx.AsyncClient.request, list[str]()

    async def lose(client: httpx.AsyncClient, method: str, url: Any, **options: Any) -> Any:
        answer = await once(client, method, url, **options)
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


def test_file_changed_after_plan_is_not_uploaded(library: Fleet) -> None:
    def change(plan: Plan) -> bool:
        document(library, "a.md", "# Anew\n")
        return True

    _, report = flow.apply(library.source, library.connection, consent=change)
    # under the lock the plan is made again: lettaform uploads the content of that moment, or nothing
    if report is not None and report.exit_code:
        assert "has changed since the plan was made" in str(next(report.of("failed")).error)
    library.folder.joinpath("docs/a.md").write_text("# Anew\n")
    flow.apply(library.source, library.connection, consent=True)
    assert files(library)["a.md"]["content"] == "# Anew\n"


def test_apply_reports_each_uploaded_file(library: Fleet) -> None:
    for number in range(12):
        document(library, f"more/{number:02}.md", f"# {number}\n")
    events: list[Event] = []
    flow.apply(library.source, library.connection, notify=events.append, consent=True)
    done = [
        event for event in events if event.event == "done" and event.step.op == "attach" and event.step.kind == "folder"
    ]
    names = {event.step.member.name for event in done}
    assert names == {"a.md", "deep__b.md", *(f"more__{number:02}.md" for number in range(12))}
    assert all(event.finished <= event.total for event in events)
    assert {file["processing_status"] for file in files(library).values()} == {"completed"}  # lettaform waited for it


# --- comparison ------------------------------------------------------------------------------------------------------


def test_folder_metadata_contains_sha256_of_each_file(library: Fleet) -> None:
    build(library)
    metadata = library.raw.get(f"/v1/folders/{object_id(library, 'folder')}").json()["metadata"]
    assert sorted(metadata["lettaform"]["members"]["files"]) == [
        f"a.md 4 {hashlib.sha256(b'# A' + bytes([10])).hexdigest()}",
        f"deep__b.md 4 {hashlib.sha256(b'# B' + bytes([10])).hexdigest()}",
    ]


def test_file_replaced_by_one_of_same_size_is_drift(library: Fleet) -> None:
    build(library)
    path = f"/v1/folders/{object_id(library, 'folder')}/upload?duplicate_handling=replace"
    library.raw.post(path, files={"file": ("a.md", b"# Z\n")}).raise_for_status()
    assert changes(library.plan()) == [("update", "folders.manuals", ["files"])]
    build(library)
    assert files(library)["a.md"]["content"] == "# A\n"


def test_large_folder_is_compared_by_hashes_in_mark(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    build(library)
    monkeypatch.setattr(contents, "LOOKED_INTO", 0)
    library.assert_no_changes()
    document(library, "a.md", "# Y\n")
    assert changes(library.plan()) == [("update", "folders.manuals", ["files"])]


# --- agents that have the folder -------------------------------------------------------------------------------------


def test_file_tools_are_attached_with_first_and_detached_with_last_folder(library: Fleet, letta: Any) -> None:
    library.apply()
    assert tools(library) == TOOLS
    path = library.folder / "lettaform.yaml"
    path.write_text(path.read_text().replace("folders: [manuals], archive", "folders: [], archive"))
    library.apply()
    assert tools(library) == set()
    path.write_text(path.read_text().replace("folders: [], archive", "folders: [manuals], archive"))
    library.apply()
    assert tools(library) == TOOLS


def test_folder_is_detached_before_delete(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    # deleting an attached folder leaves the file tools on its agents
    build(library)
    guest_body = {"name": "guest", "model": "letta/letta-free", "include_base_tools": False}
    guest_body |= {"folder_ids": [object_id(library, "folder")]}
    guest = library.raw.post("/v1/agents/", json=guest_body).raise_for_status().json()["id"]
    try:
        library.write("agents: {ann: {include_base_tools: false, folders: []}}")
        build(library, prune=True)
        assert {tool["name"] for tool in library.raw.get(f"/v1/agents/{guest}").json()["tools"]} == TOOLS  # it was kept
        requests = RequestLog(monkeypatch)
        build(library, prune=True, allow_destroy=("folders.manuals",))
        writes = [path for _, path, _ in requests.writes()]
        detached = next(n for n, path in enumerate(writes) if path.startswith(f"/v1/agents/{guest}/folders/detach/"))
        assert detached < next(n for n, path in enumerate(writes) if path.startswith("/v1/folders/"))
        assert library.raw.get(f"/v1/agents/{guest}").json()["tools"] == []
        assert tools(library) == set()
    finally:
        library.raw.delete(f"/v1/agents/{guest}")


def test_changed_embedding_replaces_folder_and_reattaches_agents(library: Fleet, letta: Any) -> None:
    build(library)
    before = object_id(library, "folder")
    path = library.folder / "lettaform.yaml"
    path.write_text(
        path.read_text().replace(
            f"name: {library.stack}, embedding", f"name: {library.stack}, embedding_chunk_size: 222, embedding"
        )
    )
    library.apply(allow_destroy=("folders.manuals",))
    assert object_id(library, "folder") != before
    assert set(files(library)) == {"a.md", "deep__b.md"}
    assert tools(library) == TOOLS


# --- server behaviour that lettaform does not use --------------------------------------------------------------------


def test_agent_sees_files_up_to_max_files_open(library: Fleet, letta: Any) -> None:
    path = library.folder / "lettaform.yaml"
    path.write_text(
        path.read_text().replace("folders: [manuals], archive", "folders: [manuals], max_files_open: 1, archive")
    )
    build(library)
    agent, folder = library.agent("ann")["id"], object_id(library, "folder")
    page = library.raw.get(f"/v1/agents/{agent}/files").raise_for_status().json()
    assert page.keys() == {"files", "next_cursor", "has_more"}
    assert {each["file_name"] for each in page["files"]} == {
        f"{library.stack}/{name}" for name in ("a.md", "deep__b.md")
    }
    assert sum(each["is_open"] for each in page["files"]) <= 1  # at most max_files_open of them
    document(library, "later.md", "# Later\n")
    build(library)  # opened without a request
    assert len(library.raw.get(f"/v1/agents/{agent}/files").json()["files"]) == 3
    assert library.raw.get(f"/v1/sources/{folder}").json()["id"] == folder  # folders and sources are the same objects
    shown = library.raw.get(f"/v1/agents/{agent}", params={"include": "agent.sources"}).json()["sources"]
    assert "vector_db_provider" in shown[0]
    assert "vector_db_provider" not in library.raw.get(f"/v1/folders/{folder}").json()


def test_patched_embedding_does_not_embed_files_again(library: Fleet) -> None:
    build(library)
    folder = object_id(library, "folder")
    config = library.raw.get(f"/v1/folders/{folder}").json()["embedding_config"]
    before = files(library)
    library.patch(f"/v1/folders/{folder}", embedding_config=config | {"embedding_chunk_size": 77})
    after = files(library)
    assert {name: file["updated_at"] for name, file in after.items()} == {n: f["updated_at"] for n, f in before.items()}
    library.assert_no_changes()  # the embedding was not declared
