"""Files of folders and passages of archives: sent once, compared by content, and others' left alone."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import ManifestError, PlanError
from lettaform.model import Wish
from lettaform.server.client import Client
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
    flow.apply(fleet.source, fleet.connection, Wish(destroy=True, allow_destroy=("*",)))


def document(fleet: Fleet, name: str, text: str) -> None:
    path = fleet.folder / "docs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


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
    once, sent = Client._exchange, []

    async def die(client: Client, ask: Any) -> Any:
        answer = await once(client, ask)
        if ask.path.endswith(("/upload", "/passages")):
            sent.append(ask.path)
            raise KeyboardInterrupt
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Client, "_exchange", die)
        with suppress(BaseException):
            flow.apply(library.source, library.connection)
    assert sent
    library.apply()
    assert set(files(library)) == {"a.md", "deep__b.md"}
    assert [text for text, _ in passages(library)] == ["One.", "Two."]


def test_a_passage_whose_answer_was_lost_is_there_once(library: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    once, lost = httpx.AsyncClient.request, []

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
