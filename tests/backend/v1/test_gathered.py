"""What pages of lists show, whatever the order of the lists; bodies are not kept."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

import pytest

from lettaform.backend.v1.decode import decode
from lettaform.backend.v1.gathered import Gathered
from lettaform.model import Live

TAGS = ["lettaform:stack=s", "lettaform:addr=agents.a.memory.own"]
OWN = {"id": "block-own", "label": "own", "value": "x", "tags": TAGS}
FOREIGN = {"id": "block-foreign", "label": "foreign", "value": "y"}
STATE = {"id": "block-state", "label": "lettaform", "value": "{}", "tags": ["lettaform:stack=s", "lettaform:state=0"]}
AGENT = {"id": "agent-1", "name": "a", "blocks": [{**OWN, "tags": []}, FOREIGN], "llm_config": {}}
OTHER = {"id": "agent-2", "name": "b", "blocks": [FOREIGN], "llm_config": {}}


def page(kind: str, *bodies: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Live]]:
    return [(body, decode(kind, body)) for body in bodies]


@pytest.mark.parametrize("agents_first", [True, False])
def test_blocks_are_those_of_their_list_and_else_what_agents_show(agents_first: bool) -> None:
    """What an agent shows of a block lacks its marks."""
    found = Gathered(["agent", "block"])
    for kind in ("agent", "block") if agents_first else ("block", "agent"):
        found.add(kind, page(kind, AGENT, OTHER) if kind == "agent" else page(kind, OWN, STATE))
        found.finish(kind)
    listing = found.whole({})
    assert [live.id for live in listing.objects["block"]] == ["block-own"]
    assert listing.state == {"block-state": "{}"}
    own, foreign = listing.attached["agent-1"]
    assert own is listing.objects["block"][0]
    assert (foreign.id, foreign.stack) == ("block-foreign", None)
    assert listing.attached["agent-2"] == (foreign,)


def test_a_page_has_the_other_kinds_whole_and_the_attached_blocks_of_its_agents() -> None:
    found = Gathered(["agent", "block", "tool"])
    found.add("block", page("block", OWN, STATE))
    found.finish("block")
    found.add("tool", page("tool", {"id": "tool-1", "name": "t"}))
    found.finish("tool")
    first = found.page("agent", found.add("agent", page("agent", AGENT)))
    second = found.page("agent", found.add("agent", page("agent", OTHER)))
    assert [live.id for live in first.objects["agent"]] == ["agent-1"]
    assert [live.id for live in second.objects["agent"]] == ["agent-2"]
    assert list(second.attached) == ["agent-2"]
    assert first.objects["tool"] is second.objects["tool"]
    assert second.state == {"block-state": "{}"}
    assert list(found.whole({}).attached) == ["agent-1", "agent-2"]


def test_a_kind_that_is_refused_is_left_out() -> None:
    found = Gathered(["agent", "archive"])
    assert found.whole({"archive": "404"}).objects == {"agent": ()}
    assert found.whole({"archive": "404"}).refused == {"archive": "404"}


def test_bodies_are_not_kept() -> None:
    class Body(dict[str, Any]):
        """An answer that can be told from other maps."""

    found = Gathered(["agent", "block"])
    found.add("block", page("block", Body(OWN)))
    found.finish("block")
    found.add("agent", page("agent", Body({**AGENT, "blocks": [Body(OWN)]})))
    assert not [each for each in gc.get_objects() if isinstance(each, Body)]
