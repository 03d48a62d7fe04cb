"""A server to what nobody owns: in how many requests, and with which contents."""

from __future__ import annotations

import httpx
import pytest

from lettaform.errors import PlanError
from lettaform.ownership.unowned import Filter
from lettaform.session.survey import Survey, survey
from tests.backend.v1.served import Served

FREE = "letta/letta-free"


@pytest.fixture
def server() -> Served:
    return Served()


def found(server: Served, only: Filter = Filter(), **more: tuple[str, ...]) -> Survey:  # noqa: B008
    return server.run(lambda reads: survey(reads, only, **more))


def test_contents_are_read_of_what_is_selected(server: Served) -> None:
    notes, other = server.archive("notes"), server.archive("other")
    for archive in (notes, other):
        server.post(f"/v1/archives/{archive['id']}/passages", text="A fact.")
    agent = server.agent("a")
    server.attach(agent["id"], "archives", notes["id"])
    tool = server.tool("shop")
    seen = found(server, Filter(ids=(agent["id"], tool["id"])))
    assert {live.name for live in seen.chosen} == {"a", "notes", "shop"}
    by_name = {live.name: live for live in seen.chosen}
    assert by_name["a"].values["archive"] == notes["id"]
    assert [item.name for item in by_name["notes"].values["passages"]] == ["A fact."]
    assert seen.facts.schemas[tool["id"]]["name"] == "shop"  # type: ignore[index]
    assert seen.facts.models[FREE]["context_window"]
    assert len([each for each in server.asked if "passages" in each]) == 1


def test_the_texts_of_files_are_read(server: Served) -> None:
    folder = server.post("/v1/folders/", name="docs", embedding=FREE)["id"]
    with httpx.Client(transport=server.standin, base_url="http://stand.in") as http:
        http.post(f"/v1/folders/{folder}/upload", files={"file": ("a.md", b"# A\n")}).raise_for_status()
    (live,) = found(server).chosen
    assert [(each.name, each.body.get("text")) for each in live.values["files"]] == [("a.md", "# A\n")]


def test_a_kind_can_be_left_out(server: Served) -> None:
    agent = server.agent("a")
    server.conversation(agent["id"], "Talk")
    assert {live.kind for live in found(server, without=("conversation",)).chosen} == {"agent"}


def test_a_state_that_cannot_be_read_is_an_error(server: Served) -> None:
    server.block("lettaform", tags=["lettaform:stack=s", "lettaform:state=0"], value="{")
    with pytest.raises(PlanError, match="the state of stack `s` cannot be read"):
        found(server)


def test_a_lock_is_no_identity_to_import(server: Served) -> None:
    server.identity("lettaform:lock:s")
    server.identity("ann")
    assert [live.name for live in found(server).chosen] == ["ann"]
