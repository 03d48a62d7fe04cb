"""Steps to bodies."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.address import Address
from lettaform.backend.v1 import encode, verify
from lettaform.model import Create, Mark, Update
from lettaform.ownership import marks
from lettaform.values import Digest, Patch, Ref, Secret, digest

AGENT, BLOCK = Address.of("agents", "a"), Address.of("blocks", "b")
LIVE = {"id": "block-1", "label": "b", "value": "v", "tags": ["theirs"], "metadata": {"a": 1}}


def answer(ref: Ref) -> Any:
    return {BLOCK: "block-1"}[ref.address]


def agent(**words: Any) -> Create:
    return Create("a", AGENT, "agent", **{"fields": {"name": "a"}, **words})


def update(**words: Any) -> Update:
    return Update("b", BLOCK, "block", id="block-1", **words)


@pytest.mark.parametrize(
    ("field", "value", "name", "sent"),
    [
        ("context_window", 9000, "context_window_limit", 9000),
        ("blocks", [Ref(BLOCK)], "block_ids", ["block-1"]),
        ("secrets", {"K": Secret("${env.K}", "s3cret")}, "secrets", {"K": "s3cret"}),
    ],
)
def test_fields_have_their_names_in_requests(field: str, value: Any, name: str, sent: Any) -> None:
    body = encode.creation(agent(fields={"name": "a", field: value}), "s", answer)
    assert body[name] == sent


def test_an_own_block_claims_its_address() -> None:
    body = encode.creation(agent(parts={"human": {"label": "human", "value": "h"}}), "s", answer)
    (block,) = body["memory_blocks"]
    assert (block["label"], block["value"]) == ("human", "h")
    assert block["tags"] == marks.tags("s", AGENT.part("memory", "human"))


def test_a_mark_is_written_with_known_digests_and_without_members_that_failed() -> None:
    mark = Mark({"x": Digest([Ref(BLOCK)])}, {"blocks": (Ref(BLOCK), Ref(Address.of("blocks", "failed")))})
    body = encode.creation(agent(mark=mark), "s", answer)
    _, written = marks.read(encode.kinds()["agent"], body, {"metadata": body["metadata"], "tags": body["tags"]})
    assert written == Mark({"x": digest(["block-1"])}, {"blocks": ("block-1",)})


@pytest.mark.parametrize(
    ("fields", "name", "sent"),
    [
        ({"value": "new"}, "value", "new"),
        ({"metadata": Patch(entries=(("b", 2),))}, "metadata", {"a": 1, "b": 2}),
        ({"metadata": Patch(entries=(("b", 2),), drop=("a",))}, "metadata", {"b": 2}),
        ({"tags": Patch(put=("mine",))}, "tags", ["theirs", "mine"]),
        ({"tags": Patch(put=("mine",), drop=("theirs",))}, "tags", ["mine"]),
    ],
)
def test_a_patch_is_applied_to_what_is_live(fields: dict[str, Any], name: str, sent: Any) -> None:
    assert encode.change(update(fields=fields), "s", answer, LIVE)[name] == sent


@pytest.mark.parametrize(
    ("fields", "lost", "again"),
    [
        ({"value": "new"}, ["value"], {"value": "new"}),
        ({"limit": 5, "value": "new"}, ["limit"], {"limit": 5}),
        ({"metadata": Patch(entries=(("b", 2),))}, ["metadata.b"], {"metadata": {"a": 1, "b": 2}}),
        ({"tags": Patch(put=("mine",))}, ["tags"], {"tags": ["theirs", "mine"]}),
    ],
)
def test_what_was_not_stored_is_sent_again_without_losing_what_others_put_there(
    fields: dict[str, Any], lost: list[str], again: dict[str, Any]
) -> None:
    step = update(fields=fields)
    assert encode.again(step, lost, encode.change(step, "s", answer, LIVE), answer) == again


def test_only_the_lost_entries_of_a_map_that_the_server_merges_are_sent_again() -> None:
    settings = Patch(entries=(("provider_type", "openai"), ("temperature", 1)))
    step = Update("a", AGENT, "agent", id="agent-1", fields={"model_settings": settings})
    assert encode.again(step, ["model_settings.temperature"], {}, answer) == {"model_settings": {"temperature": 1}}


RULE = {"type": "requires_approval", "tool_name": "pay"}
ANSWERED = {"tool_name": "pay", "type": "requires_approval", "prompt_template": None}
FIRST = {"tool_name": "pay", "type": "run_first", "prompt_template": None, "args": None}


@pytest.mark.parametrize(
    ("patch", "have", "sent"),
    [
        pytest.param(Patch(put=(RULE,)), [FIRST], [FIRST, RULE], id="added"),
        pytest.param(Patch(put=(RULE,)), [ANSWERED], [ANSWERED], id="added by somebody else in the meantime"),
        pytest.param(Patch(drop=(RULE,)), [FIRST, ANSWERED], [FIRST], id="removed"),
        pytest.param(Patch(drop=(RULE,)), [FIRST], [FIRST], id="removed by somebody else in the meantime"),
    ],
)
def test_a_patch_of_a_list_compares_items_in_their_normal_form(patch: Patch, have: list[Any], sent: list[Any]) -> None:
    live = {"id": "agent-1", "name": "a", "tool_rules": have}
    step = Update("a", BLOCK, "agent", id="agent-1", fields={"tool_rules": patch})
    assert encode.change(step, "s", answer, live)["tool_rules"] == sent
    assert verify.not_stored("agent", step.fields, live, answer) == ([] if sent == have else ["tool_rules"])
    assert verify.not_stored("agent", step.fields, {**live, "tool_rules": sent}, answer) == []


@pytest.mark.parametrize("kind", ["block", "agent"])
def test_a_created_object_is_searched_by_its_claim(kind: str) -> None:
    step = Create("b", BLOCK, kind, fields={})
    assert encode.search(step, "s")["tags"] == marks.tags("s", BLOCK)


def test_an_agent_whose_context_was_lent_gets_it_back_with_its_mark() -> None:
    live = {"id": "agent-1", "name": "a", "tags": [], "metadata": {"a": 1}, "message_ids": ["prompt", "own"]}
    lent = encode.lent(live, ["talk"])
    assert lent["message_ids"] == ["prompt", "talk"]
    assert lent["metadata"]["lettaform"]["lent"] == {"own": ["prompt", "own"], "count": 1}
    ran = {**live, **lent, "message_ids": ["prompt", "talk", "new"]}
    again = encode.lent(ran, ["other"])["metadata"]["lettaform"]
    assert again["lent"] == {"own": ["prompt", "own", "new"], "count": 1}
    written = encode.change(Update("a", AGENT, "agent", id="agent-1", mark=Mark()), "s", answer, ran)
    assert written["message_ids"] == ["prompt", "own", "new"]
    assert "lent" not in written["metadata"]["lettaform"]
    kept = encode.change(Update("a", AGENT, "agent", id="agent-1", fields={"description": "b"}), "s", answer, ran)
    assert "message_ids" not in kept
    assert encode.given_back(ran) == {
        "message_ids": ["prompt", "own", "new"],
        "metadata": {"a": 1, "lettaform": {"v": 1}},
    }
    assert encode.given_back(live) == {}
