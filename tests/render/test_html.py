from __future__ import annotations

import re
import time
from dataclasses import replace

from lettaform.model import AgentChange, FieldChange, MergeConflict
from lettaform.plan.saved import approval
from lettaform.render import html

from .fleets import mixed, updates
from .samples import at, everything, of, update


def test_every_part_of_a_plan_is_there() -> None:
    conflict = AgentChange(at("agents.b"), "system", "x", conflict=MergeConflict("both changed `x`", "<<<<<<<\na\n"))
    plan = replace(everything(), runtime=(*everything().runtime, conflict))
    page = html.plan(plan)
    for part in (
        "<title>Plan of support (prod)</title>",
        '<h1>support<span class="environment">prod</span></h1>',
        '<li class="create"><b>3</b> to create</li>',
        '<li class="delete"><b>1</b> not merged</li>',
        f"<code>lettaform apply --approve {approval(plan)}</code>",
        '<section class="notice delete"><h2>1 object will be destroyed</h2>',
        '<section class="notice replace"><h2>1 object will be replaced</h2>',
        "<li>the limit is low <code>lettaform.yaml:41</code><br><small>raise it</small></li>",
        "<code>lettaform apply --reseed agents.supervisor.memory.persona</code> overwrites it.",
        "<p><code>agents.b.system</code>: both changed <code>x</code></p>",
        "<h2>Changed outside lettaform, will be restored</h2>",
        '<span class="phrase">will no longer be managed; the object is kept: removed: {destroy: false}</span>',
        "recompiles the system prompts of 200 agents",
        "<summary>Changed by agents, kept <small>2</small></summary>",
        "<summary>Not managed by this manifest <small>1</small></summary>",
        "‹secret›",
    ):
        assert part in page, part


def test_nothing_to_do() -> None:
    page = html.plan(of(steps=(), unchanged=3))
    assert "No changes. 3 objects of stack support" in page
    assert "<h2>" not in page


def test_a_diff_marks_lines_and_words() -> None:
    page = html.plan(of(update("agents.a", FieldChange("system", "a\n- be kind\n", "a\n- be firm\n"))))
    assert '<span class="hunk"><span class="faint">@@ -1,2 +1,2 @@</span></span><span class="">  a</span>' in page
    assert '<span class="removed">- be </span><del>kind</del></span>' in page
    assert '<span class="added">- be </span><ins>firm</ins></span>' in page


def test_few_changes_are_unfolded() -> None:
    few, many = (html.plan(updates(number)) for number in (html.FEW, html.FEW + 1))
    assert few.count('<details class="change update" open>') == html.FEW
    assert many.count('<details class="change update">') == html.FEW + 1


def test_equal_changes_are_shown_once() -> None:
    page = html.plan(mixed())
    assert len(page) < 60_000
    assert page.count('<details class="change') + page.count('<div class="change') < 40
    assert '<span class="more">and 23 more</span>' in page
    assert page.count("worker[…]") == 1


def test_a_large_page_is_bounded_and_names_every_change(monkeypatch: object) -> None:
    started = time.process_time()
    page = html.plan(updates(1_000))
    assert time.process_time() - started < 4
    assert len(page) < html.PAGE
    assert page.count('<span class="address">agents.w') == 1_000


def test_what_has_no_room_is_named() -> None:
    room = html._Room(10)
    assert (room.take("x" * 11), room.take("x" * 10), room.take("x")) == (False, True, False)
    (group,) = html.groups(updates(1).changes, html.Style(html.Paint(True)))
    assert "There is no room for the details" in html._card(group, html._Room(10), opened=True)


def test_a_fleet_of_500_agents_is_a_small_page() -> None:
    agents = tuple(at(f"agents.w{number}") for number in range(500))
    shared = {at(f"blocks.b{number}"): agents[number * 10 :] for number in range(40)}
    plan = replace(of(update("blocks.b1", FieldChange("value", "a", "b"), kind="block")), shared=shared)
    page = html.plan(plan)
    assert len(page) < 400_000
    assert page.count("<rect") <= 28
    assert "<summary>As a list <small>40</small></summary>" in page
    assert "and 400 more</small>" in page


def test_long_texts_are_cut() -> None:
    page = html.plan(of(update("agents.a", FieldChange("system", None, "word " * 5_000 + "\n" + "x\n" * 1_000))))
    assert "(25,000 characters)" in re.sub(r",00\d", ",000", page)
    assert "more lines" in page
    assert len(page) < 60_000
