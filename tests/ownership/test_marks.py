"""Marks: written into the body of a request, read from the body of an answer, erased, and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lettaform.address import Address
from lettaform.backend.v1.decode import decode
from lettaform.kinds import kinds
from lettaform.model import Lent, Live, Mark
from lettaform.ownership import marks
from lettaform.ownership.marks import Claim

at = Address.parse

ADDRESSES = {
    "agent": at("agents.a"),
    "block": at("agents.a.memory.human"),
    "tool": at("tools.t"),
    "folder": at("folders.f"),
    "archive": at('archives["two words"]'),
    "group": at("groups.g"),
    "conversation": at("conversations.c[emea]"),
    "mcp_server": at("mcp_servers.m"),
    "identity": at("identities.i"),
    "provider": at("providers.p"),
    "schedule": at("schedules.s"),
}
TAGS_AND_METADATA, TAGS, INSIDE = ("agent", "block"), ("tool",), ("folder",)
TEXTS = {"archive": "description", "group": "description", "conversation": "summary"}
NOWHERE = ("mcp_server", "identity", "provider", "schedule")

MARK = Mark({"name": "d1"}, {"tags": ("x",)}, {"human": {"value": "d2"}})
STORED = {"v": 1, "base": {"name": "d1"}, "members": {"tags": ["x"]}, "parts": {"human": {"value": "d2"}}}
AGENT_TAGS = ["lettaform:stack=s", "lettaform:addr=agents.a"]
BLOCK_TAGS = ["lettaform:stack=s", "lettaform:addr=agents.a.memory.human"]
TOOL_TAGS = ["lettaform:stack=s", "lettaform:addr=tools.t"]
METADATA = {"lettaform": STORED}
SIGNATURE = '[lettaform s archives["two words"]]'


def written(kind: str, body: Mapping[str, Any] = {}, now: Mapping[str, Any] = {}) -> dict[str, Any]:
    """The body of a request, with the mark of stack `s`."""
    request = dict(body)
    marks.write(kinds()[kind], request, now, "s", ADDRESSES[kind], MARK)
    return request


def erased(kind: str, now: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {}
    marks.erase(kinds()[kind], request, now)
    return request


def kept(kind: str, body: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    request = dict(body)
    marks.keep(kinds()[kind], request, now)
    return request


def read(kind: str, body: Mapping[str, Any]) -> Live:
    """The object of an answer with this body."""
    return decode(kind, {"id": "id-1", "agent_id": "agent-1", **body})


def test_every_kind_stands_in_these_tables() -> None:
    assert ADDRESSES.keys() == kinds().keys()
    assert {*TAGS_AND_METADATA, *TAGS, *INSIDE, *TEXTS, *NOWHERE} == kinds().keys()


# --- write -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body", "now", "request_"),
    [
        ("agent", {}, {}, {"tags": AGENT_TAGS, "metadata": METADATA}),
        ("agent", {"tags": ["mine"]}, {"tags": ["old"]}, {"tags": ["mine", *AGENT_TAGS], "metadata": METADATA}),
        ("agent", {}, {"tags": ["theirs", *AGENT_TAGS]}, {"tags": ["theirs", *AGENT_TAGS], "metadata": METADATA}),
        (
            "agent",
            {},
            {"metadata": {"theirs": 1, "lettaform": {"v": 1}}},
            {"tags": AGENT_TAGS, "metadata": {"theirs": 1, "lettaform": STORED}},
        ),
        (
            "agent",
            {"metadata": {"mine": 2}},
            {"metadata": {"theirs": 1}},
            {"tags": AGENT_TAGS, "metadata": {"mine": 2, "lettaform": STORED}},
        ),
        ("block", {}, {"tags": None, "metadata": None}, {"tags": BLOCK_TAGS, "metadata": METADATA}),
        ("tool", {}, {"tags": ["theirs"]}, {"tags": ["theirs", *TOOL_TAGS]}),
        (
            "folder",
            {},
            {"metadata": {"theirs": 1}},
            {"metadata": {"theirs": 1, "lettaform": {**STORED, "stack": "s", "addr": "folders.f"}}},
        ),
        ("archive", {}, {}, {"description": SIGNATURE}),
        ("archive", {"description": "Facts."}, {}, {"description": f"Facts.\n{SIGNATURE}"}),
        ("archive", {"description": None}, {"description": f"Facts.\n{SIGNATURE}"}, {"description": SIGNATURE}),
        ("archive", {"name": "n"}, {"description": "Theirs."}, {"name": "n", "description": f"Theirs.\n{SIGNATURE}"}),
        ("archive", {"name": "n"}, {"description": f"Facts.\n{SIGNATURE}"}, {"name": "n"}),
        (
            "archive",
            {},
            {"description": "Facts.\n[lettaform other archives.x]"},
            {"description": f"Facts.\n{SIGNATURE}"},
        ),
        ("group", {"description": "g"}, {}, {"description": "g\n[lettaform s groups.g]"}),
        ("conversation", {"summary": "c"}, {}, {"summary": "c\n[lettaform s conversations.c[emea]]"}),
        *((kind, {"name": "n"}, {}, {"name": "n"}) for kind in NOWHERE),
    ],
)
def test_write(kind: str, body: Mapping[str, Any], now: Mapping[str, Any], request_: Mapping[str, Any]) -> None:
    assert written(kind, body, now) == request_


def test_empty_parts_of_a_mark_are_not_stored() -> None:
    assert marks.metadata(Mark()) == {"v": 1}
    assert marks.metadata(Mark({"name": "d"})) == {"v": 1, "base": {"name": "d"}}


# --- read ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*TAGS_AND_METADATA, *TAGS, *INSIDE, *TEXTS])
def test_what_was_written_is_read(kind: str) -> None:
    live = read(kind, written(kind))
    assert (live.stack, live.address, live.marked) == ("s", ADDRESSES[kind], True)
    assert live.mark == (MARK if kind in (*TAGS_AND_METADATA, *INSIDE) else Mark())


@pytest.mark.parametrize("kind", NOWHERE)
def test_a_kind_without_room_claims_nothing(kind: str) -> None:
    live = read(kind, {"tags": AGENT_TAGS, "metadata": METADATA, "description": SIGNATURE, "messages": []})
    assert (live.stack, live.address, live.marked, live.mark) == (None, None, False, Mark())


def test_the_mark_is_not_among_the_values() -> None:
    agent = read("agent", {"tags": ["b", *AGENT_TAGS, "a"], "metadata": {"theirs": 1, "lettaform": STORED}})
    assert (agent.values["tags"], agent.values["metadata"]) == (["a", "b"], {"theirs": 1})
    assert read("tool", {"tags": ["theirs", *TOOL_TAGS]}).values["tags"] == ["theirs"]
    assert read("folder", written("folder", {}, {"metadata": {"theirs": 1}})).values["metadata"] == {"theirs": 1}
    assert read("archive", {"description": f"Facts.\n{SIGNATURE}"}).values["description"] == "Facts."
    assert read("archive", {"description": SIGNATURE}).values["description"] is None
    assert read("conversation", {"summary": "c\n[lettaform s conversations.c]"}).name == "c"


@pytest.mark.parametrize("kind", [*TAGS_AND_METADATA, *TAGS, *INSIDE, *TEXTS])
def test_an_object_without_a_mark_claims_nothing(kind: str) -> None:
    body = {"tags": ["theirs"], "metadata": {"theirs": 1}, "description": "Theirs.", "summary": "Theirs."}
    live = read(kind, body)
    assert (live.stack, live.address, live.marked, live.mark) == (None, None, False, Mark())


@pytest.mark.parametrize(
    ("kind", "body", "claim"),
    [
        ("agent", {"tags": ["lettaform:stack=s"]}, ("s", None)),
        ("agent", {"tags": ["lettaform:stack=s", "lettaform:addr=agents.a..b"]}, ("s", None)),
        ("agent", {"tags": ["lettaform:stack=s", "lettaform:addr="]}, ("s", None)),
        ("agent", {"tags": ["lettaform:addr=agents.a"]}, (None, None)),
        ("agent", {"tags": ["lettaform:stack=", "lettaform:addr=agents.a"]}, (None, None)),
        ("agent", {"tags": ["lettaform", "lettaform:", "lettaform:stack"]}, (None, None)),
        ("folder", {"metadata": {"lettaform": {"stack": "s", "addr": "folders"}}}, ("s", None)),
        ("folder", {"metadata": {"lettaform": {"stack": "s", "addr": 7}}}, ("s", None)),
        ("folder", {"metadata": {"lettaform": {"stack": 7, "addr": "folders.f"}}}, (None, None)),
        ("folder", {"metadata": {"lettaform": {"stack": "s"}}}, ("s", None)),
        ("folder", {"metadata": {"lettaform": "s folders.f"}}, (None, None)),
        ("folder", {"metadata": {"lettaform": ["stack", "addr"]}}, (None, None)),
        ("archive", {"description": "[lettaform s archives..x]"}, ("s", None)),
        ("archive", {"description": "[lettaform s archives.x] and more"}, (None, None)),
        ("archive", {"description": "[lettaform s]"}, (None, None)),
        ("archive", {"description": "[lettaform Not-a-stack archives.x]"}, (None, None)),
    ],
)
def test_a_damaged_claim(kind: str, body: Mapping[str, Any], claim: tuple[str | None, None]) -> None:
    live = read(kind, body)
    assert ((live.stack, live.address), live.marked) == (claim, False)


@pytest.mark.parametrize(
    ("stored", "mark"),
    [
        (None, Mark()),
        ("text", Mark()),
        ([1], Mark()),
        ({}, Mark()),
        ({"base": None, "members": None, "parts": None}, Mark()),
        ({"base": "text", "members": {"tags": ["x"]}}, Mark(members={"tags": ("x",)})),
        ({"base": {"name": "d"}, "members": ["x"], "parts": 7}, Mark({"name": "d"})),
        ({"members": {"tags": "x", "blocks": ["b"]}}, Mark(members={"blocks": ("b",)})),
        ({"members": {"tags": 7}}, Mark()),
        ({"parts": {"human": "d", "persona": {"value": "d"}}}, Mark(parts={"persona": {"value": "d"}})),
    ],
)
def test_what_is_damaged_in_a_mark_is_left_out(stored: Any, mark: Mark) -> None:
    assert marks.from_metadata(stored) == mark
    assert read("agent", {"tags": AGENT_TAGS, "metadata": {"lettaform": stored}}).mark == mark


def test_a_clone_claims_what_its_original_claims() -> None:
    answer = written("agent")
    original, clone = decode("agent", {"id": "agent-1", **answer}), decode("agent", {"id": "agent-2", **answer})
    assert (original.address, original.stack, original.mark) == (clone.address, clone.stack, clone.mark)


# --- erase -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "now", "request_"),
    [
        (
            "agent",
            {"tags": ["theirs", *AGENT_TAGS], "metadata": {"theirs": 1, "lettaform": STORED}},
            {"tags": ["theirs"], "metadata": {"theirs": 1}},
        ),
        ("block", {"tags": BLOCK_TAGS, "metadata": METADATA}, {"tags": [], "metadata": {}}),
        ("block", {"tags": None, "metadata": None}, {"tags": [], "metadata": {}}),
        ("tool", {"tags": ["theirs", *TOOL_TAGS]}, {"tags": ["theirs"]}),
        ("folder", {"metadata": {"theirs": 1, "lettaform": STORED}}, {"metadata": {"theirs": 1}}),
        ("archive", {"description": f"Facts.\n{SIGNATURE}"}, {"description": "Facts."}),
        ("archive", {"description": SIGNATURE}, {"description": ""}),
        ("group", {"description": "[lettaform s groups.g]"}, {"description": " "}),
        ("conversation", {"summary": "c\n[lettaform s conversations.c]"}, {"summary": "c"}),
        ("conversation", {"summary": "[lettaform s conversations.c]"}, {"summary": " "}),
        *((kind, {"name": "n"}, {}) for kind in NOWHERE),
    ],
)
def test_erase(kind: str, now: Mapping[str, Any], request_: Mapping[str, Any]) -> None:
    assert erased(kind, now) == request_


@pytest.mark.parametrize("kind", [*TAGS_AND_METADATA, *TAGS, *INSIDE, *TEXTS])
def test_what_was_erased_claims_nothing(kind: str) -> None:
    live = read(kind, erased(kind, written(kind)))
    assert (live.stack, live.address, live.mark) == (None, None, Mark())


# --- keep ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body", "now", "request_"),
    [
        ("agent", {"name": "n"}, {"tags": AGENT_TAGS, "metadata": METADATA}, {"name": "n"}),
        ("agent", {"tags": ["new"]}, {"tags": ["old", *AGENT_TAGS]}, {"tags": ["new", *AGENT_TAGS]}),
        ("agent", {"tags": ["new"]}, {"tags": None}, {"tags": ["new"]}),
        (
            "agent",
            {"metadata": {"new": 2}},
            {"metadata": {"old": 1, "lettaform": STORED}},
            {"metadata": {"new": 2, "lettaform": STORED}},
        ),
        ("agent", {"metadata": {"new": 2}}, {"metadata": None}, {"metadata": {"new": 2}}),
        ("tool", {"tags": ["new"]}, {"tags": TOOL_TAGS}, {"tags": ["new", *TOOL_TAGS]}),
        (
            "folder",
            {"metadata": {}},
            {"metadata": {"lettaform": {**STORED, "stack": "s", "addr": "folders.f"}}},
            {"metadata": {"lettaform": {**STORED, "stack": "s", "addr": "folders.f"}}},
        ),
        (
            "archive",
            {"description": "New."},
            {"description": f"Old.\n{SIGNATURE}"},
            {"description": f"New.\n{SIGNATURE}"},
        ),
        ("archive", {"description": None}, {"description": f"Old.\n{SIGNATURE}"}, {"description": SIGNATURE}),
        ("archive", {"name": "n"}, {"description": f"Old.\n{SIGNATURE}"}, {"name": "n"}),
        ("archive", {"description": "New."}, {"description": "Old."}, {"description": "New."}),
        ("provider", {"name": "n"}, {}, {"name": "n"}),
    ],
)
def test_keep(kind: str, body: Mapping[str, Any], now: Mapping[str, Any], request_: Mapping[str, Any]) -> None:
    assert kept(kind, body, now) == request_


# --- round trips -----------------------------------------------------------------------------------------------------

_KEYS = st.text(min_size=1, max_size=12).filter(lambda key: "\n" not in key)
_WORDS = st.text(max_size=12)


@st.composite
def _texts(draw: st.DrawFn) -> str:
    """Texts, some of which contain what looks like a claim."""
    near = ["[lettaform s archives.x]", "[lettaform s ", "]", "\n", "lettaform"]
    return "".join(draw(st.lists(st.one_of(_WORDS, st.sampled_from(near)), max_size=5)))


@settings(max_examples=50)
@given(text=_texts(), key=_KEYS)
def test_any_text_is_read_back_as_it_was_without_its_claim(text: str, key: str) -> None:
    address = Address.of("archives", key)
    body: dict[str, Any] = {"description": text}
    marks.write(kinds()["archive"], body, {}, "my-stack", address, Mark())
    live = read("archive", body)
    assert (live.values["description"] or "", live.stack, live.address) == (text, "my-stack", address)
    marks.write(kinds()["archive"], unchanged := {}, body, "my-stack", address, Mark())
    assert unchanged == {}
    assert erased("archive", body) == {"description": text}


@settings(max_examples=20)
@given(
    base=st.dictionaries(_WORDS, _WORDS),
    members=st.dictionaries(_WORDS, st.lists(_WORDS, min_size=1).map(tuple)),
    parts=st.dictionaries(_WORDS, st.dictionaries(_WORDS, _WORDS)),
)
def test_any_mark_is_read_back(base: Any, members: Any, parts: Any) -> None:
    mark = Mark(base, members, parts)
    assert marks.from_metadata(marks.metadata(mark)) == mark


@settings(max_examples=20)
@given(theirs=st.lists(_WORDS.filter(lambda tag: not tag.startswith("lettaform:"))), key=_KEYS)
def test_tags_of_others_stay_whatever_is_written_and_erased(theirs: list[str], key: str) -> None:
    address = Address.of("agents", key)
    body: dict[str, Any] = {}
    marks.write(kinds()["agent"], body, {"tags": theirs}, "s", address, Mark())
    assert claim_of(body["tags"]) == Claim("s", address)
    assert marks.foreign_tags(body["tags"]) == theirs
    assert erased("agent", body)["tags"] == theirs


def claim_of(tags: list[str]) -> Claim | None:
    return marks.read(kinds()["agent"], {"tags": tags}, {})[0]


def test_a_context_that_was_lent_is_read_back_and_comes_back_with_what_was_said_meanwhile() -> None:
    mark = Mark({"system": "digest"}, lent=Lent(("prompt", "own"), 2))
    body = {"metadata": {"a": 1}}
    assert marks.metadata_with(body, mark)["a"] == 1
    assert marks.from_metadata(marks.metadata_with(body, mark)[marks.MARK]) == mark
    assert mark.lent is not None
    assert mark.lent.returned(["prompt", "talk-1", "talk-2", "new"]) == ["prompt", "own", "new"]


@pytest.mark.parametrize("lent", [{}, {"own": []}, {"own": [1], "count": 1}, {"own": ["a"], "count": "1"}, "nonsense"])
def test_a_damaged_note_of_a_context_is_left_out(lent: Any) -> None:
    assert marks.from_metadata({"lent": lent}).lent is None
