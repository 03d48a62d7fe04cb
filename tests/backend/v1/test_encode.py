"""Steps to bodies, and what an answer does not contain of them."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.address import Address
from lettaform.backend.v1 import encode
from lettaform.errors import ServerError
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
    ("fields", "result", "lost"),
    [
        ({"value": "v"}, LIVE, {}),
        ({"value": "new"}, LIVE, {"value": "new"}),
        ({"description": ""}, {**LIVE, "description": None}, {}),
        ({"tags": Patch(put=("x",))}, LIVE, {}),
    ],
    ids=["written", "not written", "two spellings of nothing", "patch of a list"],
)
def test_what_the_answer_does_not_contain(fields: dict[str, Any], result: Any, lost: dict[str, Any]) -> None:
    assert encode.not_written(encode.kinds()["block"], update(fields=fields), result, answer) == lost


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
    kind = encode.kinds()["agent"]
    lost = {} if sent == have else {"tool_rules": sent}
    assert encode.not_written(kind, step, live, answer) == lost
    assert encode.not_written(kind, step, {**live, "tool_rules": sent}, answer) == {}


def test_a_dropped_block_is_an_error() -> None:
    step = agent(fields={"name": "a", "blocks": [Ref(BLOCK)]})
    body = encode.creation(step, "s", answer)
    with pytest.raises(ServerError, match="did not attach block-1"):
        encode.check_created(step, encode.kinds()["agent"], body, {"id": "agent-1", "name": "a", "blocks": []})


@pytest.mark.parametrize("kind", ["block", "agent"])
def test_a_created_object_is_searched_by_its_claim(kind: str) -> None:
    step = Create("b", BLOCK, kind, fields={})
    assert encode.search(step, "s")["tags"] == marks.tags("s", BLOCK)
