"""`external:` of every kind on a stand-in: by name, by id, by stack and address; also hidden objects."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import ManifestError, PlanError
from lettaform.kinds import kinds
from tests.standin.test_other_stacks import AGENT, MARKED, STATE_ALONE, Stacks

pytestmark = pytest.mark.thorough

WHOLE: dict[str, str] = {
    **{section: f"{section}: {body}" for section, body in {**STATE_ALONE, **MARKED}.items()},
    "conversations": f"agents: {{a: {{{AGENT}}}}}\nconversations: {{shop: {{agent: a}}}}",
    "groups": f"agents: {{a: {{{AGENT}}}, b: {{{AGENT}}}}}\n"
    "groups: {shop: {agents: [b], type: supervisor, manager: a, description: Sells}}",
}
"""For each section of a self-hosted server, a manifest with an object `shop`, also by name if it has a name."""
WITHOUT_NAME = {"groups"}


@pytest.fixture
def stacks(tmp_path: Path) -> Stacks:
    return Stacks(tmp_path)


def test_every_section_of_a_self_hosted_server_is_here() -> None:
    assert WHOLE.keys() == {kind.section for kind in kinds().values() if kind.availability.cloud is not True}


def found(stacks: Stacks, section: str, how: str) -> Any:
    text = f"{section}: {{mine: {{external: true, {how}}}}}\noutputs: {{id: '${{{section}.mine.id}}'}}"
    return stacks.plan("dev", text).outputs["id"]


@pytest.mark.parametrize("section", WHOLE)
def test_an_external_object_is_found_and_no_other_is_taken(section: str, stacks: Stacks) -> None:
    stacks.apply("prod", WHOLE[section])
    lives = stacks.run(lambda at: flow.state_list(flow.Source(stacks.folder / "prod"), at))
    id = next(each.id for each in lives if str(each.address) == f"{section}.shop")
    ways = [f"id: {id}", f"stack: prod, address: {section}.shop"]
    ways += [] if section in WITHOUT_NAME else ["name: shop"]
    for how in ways:
        assert found(stacks, section, how) == id
    for how in (f"stack: test, address: {section}.shop", f"stack: prod, address: {section}.other", "name: sho"):
        with pytest.raises(PlanError, match="the server has no"):
            found(stacks, section, how)


@pytest.mark.parametrize(("section", "path"), [("agents", "/v1/agents/"), ("blocks", "/v1/blocks/")])
def test_a_hidden_object_is_found(section: str, path: str, stacks: Stacks) -> None:
    stacks.apply("prod", WHOLE[section])
    for row in getattr(stacks.server.standin.tables, section).values():
        row["hidden"] = True
    lives = stacks.run(lambda at: flow.state_list(flow.Source(stacks.folder / "prod"), at))
    id = next(each.id for each in lives if str(each.address) == f"{section}.shop")
    for how in ("name: shop", f"id: {id}", f"stack: prod, address: {section}.shop"):
        assert found(stacks, section, how) == id


def test_several_of_one_name_are_an_error_and_the_hint_works(stacks: Stacks) -> None:
    agent = stacks.server.agent("a")["id"]
    ids = sorted(stacks.server.conversation(agent, "shop")["id"] for _ in range(2))
    stacks.server.conversation(agent, "the shop")
    with pytest.raises(PlanError, match="2 conversations on the server match `shop`") as refused:
        found(stacks, "conversations", "name: shop")
    assert sorted(re.findall(r"conv-[0-9a-f-]+", str(refused.value))) == ids
    assert found(stacks, "conversations", f"id: {ids[0]}") == ids[0]


def test_a_schedule_is_not_found_by_a_name(stacks: Stacks) -> None:
    with pytest.raises(ManifestError, match="derived from its contents"):
        found(stacks, "schedules", "name: nightly")
