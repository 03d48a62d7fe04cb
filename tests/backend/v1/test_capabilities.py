"""What the v1 API can do, by kind, written out; and what a release or Letta Cloud lacks."""

from __future__ import annotations

import pytest

from lettaform.address import Address
from lettaform.backend.v1.capabilities import capabilities, is_cloud, is_elsewhere, require
from lettaform.errors import Place, Unsupported
from lettaform.kinds import kinds
from lettaform.kinds.traits import Availability
from lettaform.model import Desired, Manifest

CLOUD, OWN = "https://api.letta.com", "http://localhost:8283"

#            claims marks  search listed nested call
TABLE = {
    "agent": (True, True, True, False, False, "recompile"),
    "archive": (True, False, False, True, False, None),
    "block": (True, True, True, False, False, None),
    "conversation": (True, False, False, False, False, "recompile"),
    "folder": (True, True, False, True, False, None),
    "group": (True, False, False, True, False, None),
    "identity": (False, False, False, True, False, None),
    "mcp_server": (False, False, False, True, False, "refresh"),
    "provider": (False, False, False, True, False, None),
    "schedule": (False, False, False, False, True, None),
    "tool": (True, False, True, True, False, None),
}


def test_every_kind_stands_in_the_table() -> None:
    assert TABLE.keys() == kinds().keys()


@pytest.mark.parametrize("kind", TABLE)
def test_what_a_kind_can_do(kind: str) -> None:
    able = capabilities()
    call = able.calls.get(kind)
    sets = (able.claims, able.marks, able.searchable, able.listed, able.nested)
    assert (*(kind in each for each in sets), call and call.name) == TABLE[kind]


@pytest.mark.parametrize(
    ("url", "version", "called"),
    [(OWN, "0.16.6", False), (OWN, "0.16.7", True), (OWN, "0.16.8", True), (CLOUD, "0.1.0", True), ("", "", True)],
)
def test_a_release_lacks_calls_that_came_later(url: str, version: str, called: bool) -> None:
    able = capabilities(url, version)
    assert ("conversation" in able.calls, "agent" in able.calls) == (called, True)
    assert ("conversation" in able.histories, "agent" in able.histories) == (called, True)


def test_own_blocks_are_created_inline_and_attached() -> None:
    assert (capabilities().inline_parts, capabilities().attach_parts) == (True, True)


@pytest.mark.parametrize(
    ("url", "cloud"),
    [
        (CLOUD, True),
        ("https://letta.com", True),
        ("https://API.LETTA.COM/", True),
        ("https://notletta.com", False),
        ("https://letta.com.example", False),
        (OWN, False),
        ("", False),
    ],
)
def test_is_cloud(url: str, cloud: bool) -> None:
    assert is_cloud(url) is cloud


@pytest.mark.parametrize(
    ("kind", "url", "elsewhere"),
    [
        ("schedule", OWN, True),
        ("schedule", CLOUD, False),
        ("folder", OWN, False),
        ("folder", CLOUD, True),
        ("agent", OWN, False),
        ("agent", CLOUD, False),
    ],
)
def test_kinds_that_one_of_both_has(kind: str, url: str, elsewhere: bool) -> None:
    assert is_elsewhere(kinds()[kind], url) is elsewhere


# --- require ---------------------------------------------------------------------------------------------------------


def wants(text: str, kind: str, *fields: str) -> Manifest:
    address = Address.parse(text)
    places = {field: Place("lettaform.yaml", 7, 1) for field in fields}
    return Manifest(
        "s", {address: Desired(address, kind, dict.fromkeys(fields), Place("lettaform.yaml", 3, 1), places)}
    )


NOTHING = Manifest("s", {})


@pytest.mark.parametrize(
    ("manifest", "url", "version"),
    [
        (NOTHING, OWN, "0.16.5"),
        (NOTHING, OWN, "0.16.10"),
        (NOTHING, OWN, "1.0"),
        (NOTHING, OWN, "main-4f2c"),  # a version that is no number is new
        (NOTHING, CLOUD, "0.1.0"),  # Cloud's versions say nothing
        (wants("schedules.s", "schedule"), CLOUD, "0.16.8"),
        (wants("folders.f", "folder"), OWN, "0.16.8"),
        (wants("conversations.c", "conversation"), OWN, "0.16.5"),
        (wants("blocks.b", "block", "tags"), OWN, "0.16.5"),
    ],
)
def test_what_a_server_has(manifest: Manifest, url: str, version: str) -> None:
    require(manifest, url, version, {})


@pytest.mark.parametrize("version", ["0.16.4", "0.15.9", "0.9.0"])
def test_a_release_that_is_too_old(version: str) -> None:
    with pytest.raises(Unsupported) as refused:
        require(NOTHING, OWN, version, {})
    assert str(refused.value) == f"Letta {version} at {OWN} is too old for lettaform"
    assert (refused.value.hint or "").startswith("use 0.16.5 or newer")


@pytest.mark.parametrize(
    ("manifest", "url", "message", "hint"),
    [
        (
            wants("schedules.s", "schedule"),
            OWN,
            "schedules.s: Letta 0.16.8 has no schedules",
            "only Letta Cloud has them",
        ),
        (
            wants("folders.f", "folder"),
            CLOUD,
            "folders.f: Letta Cloud has no folders",
            "Letta Cloud no longer has them",
        ),
    ],
)
def test_kinds_that_a_server_lacks(manifest: Manifest, url: str, message: str, hint: str) -> None:
    with pytest.raises(Unsupported) as refused:
        require(manifest, url, "0.16.8", {})
    (problem,) = refused.value.problems
    assert (problem.message, problem.hint, problem.place) == (message, hint, Place("lettaform.yaml", 3, 1))


def test_a_kind_and_a_field_that_an_older_release_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds()["conversation"], "availability", Availability(since="0.16.9"))
    with pytest.raises(Unsupported) as refused:
        require(wants("conversations.c", "conversation"), OWN, "0.16.8", {})
    assert [problem.hint for problem in refused.value.problems] == ["since 0.16.9"]
    monkeypatch.setattr("lettaform.backend.v1.capabilities.oldest", lambda: "0.16.0")
    with pytest.raises(Unsupported) as refused:
        require(wants("blocks.b", "block", "tags"), OWN, "0.16.3", {})
    (problem,) = refused.value.problems
    assert (problem.message, problem.hint) == ("blocks.b: Letta 0.16.3 has no `tags`", "since 0.16.4")
    assert (problem.place, problem.field) == (Place("lettaform.yaml", 7, 1), "tags")


def test_kinds_that_the_server_refused_to_list() -> None:
    refused = {"folder": "folders are deprecated", "identity": "no"}
    with pytest.raises(Unsupported) as error:
        require(wants("folders.f", "folder"), OWN, "0.16.8", refused)
    assert str(error.value).startswith(f"Letta 0.16.8 at {OWN} lacks what the manifest declares: folders, identities")
    (problem,) = error.value.problems
    assert (problem.message, problem.hint) == ("folders.f: Letta 0.16.8 has no folders", "folders are deprecated")


def test_a_refused_kind_that_only_the_state_names() -> None:
    with pytest.raises(Unsupported) as error:
        require(NOTHING, OWN, "0.16.8", {"folder": "no"})
    assert not error.value.problems
