from __future__ import annotations

import re
from xml.etree import ElementTree

from lettaform.address import Address
from lettaform.model import Change, FieldChange, Plan
from lettaform.render.sharing import MOST, is_whole, picture

from .samples import at, of, update


def sharing(shared: dict[str, list[str]], *changes: Change) -> Plan:
    return of(*changes, shared={at(each): tuple(map(at, users)) for each, users in shared.items()})


def boxes(plan: Plan) -> list[tuple[str, str, str]]:
    """Class, name and tooltip of each box."""
    groups = ElementTree.fromstring(picture(plan)).iter("g")
    return [(group.get("class") or "", group[2].text or "", group[0].text or "") for group in groups]


def test_a_plan_in_which_nothing_is_shared_has_no_picture() -> None:
    assert picture(of(update("agents.a", FieldChange("name", 1, 2)))) == ""


def test_agents_that_share_the_same_are_one_box() -> None:
    workers = [f"agents.worker[w{number}]" for number in range(500)]
    plan = sharing({"blocks.team": ["agents.boss", *workers], "archives.cases": ["agents.boss"]})
    assert boxes(plan) == [
        ("box ", "team", "blocks.team"),
        ("box ", "cases", "archives.cases"),
        ("box ", "worker[…]", f"{', '.join(['agents.worker[w0]', *(f'[w{n}]' for n in range(1, 30))])} and 470 more"),
        ("box ", "boss", "agents.boss"),
    ]
    shown = picture(plan)
    assert shown.count('class="line"') == 3
    assert ">block · 501 agents<" in shown
    assert ">500 agents<" in shown
    assert is_whole(plan)


def test_a_box_has_the_action_of_its_object() -> None:
    deleted = Change(at("agents.a"), "agent", "delete", "agent-1")
    plan = sharing({"blocks.x": ["agents.a", "agents.b", "agents.c"]}, deleted, update("blocks.x", kind="block"))
    assert [(look, tip) for look, _, tip in boxes(plan)] == [
        ("box update", "blocks.x: update"),
        ("box delete", "agents.a, agents.b, agents.c: delete"),
    ]


def test_a_large_picture_shows_those_with_the_most_connections() -> None:
    shared = {f"blocks.b{number:02}": [f"agents.a{n}" for n in range(number + 1)] for number in range(40)}
    plan = sharing(shared)
    assert not is_whole(plan)
    names = [name for _, name, _ in boxes(plan)]
    assert len(names) <= 2 * MOST
    assert names[0] == "b39"
    assert len(picture(plan)) < 20_000


def test_long_and_wide_names_fit_into_a_box() -> None:
    long = Address.of("blocks", "名" * 40)
    plan = of(shared={long: (Address.of("agents", "x" * 40), Address.of("agents", 'a"<&>'))})
    assert all(len(name) <= 20 for _, name, _ in boxes(plan))
    assert not re.search(r'"<|<&', picture(plan))
