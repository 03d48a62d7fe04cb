from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest

from lettaform.errors import Problem
from lettaform.model import AgentChange, Change, FieldChange, MergeConflict, Plan, Unmanaged
from lettaform.plan.saved import approval
from lettaform.plan.subject import Subject, subject_of
from lettaform.render import markdown
from lettaform.render.markdown import LIMIT, code, fence, prose

from .fleets import deletes, mixed, updates
from .samples import at, everything, of, update

SHOWN = """\
<!-- lettaform plan stack=support environment=prod digest={digest} -->

### Plan of stack `support`, environment `prod`

**Plan: 1 to create, 1 to change, 1 to destroy.**

On `http://localhost:8283`, Letta `0.16.8`.
Digest: `{digest}`

|  | to create | to change | to destroy |
| --- | ---: | ---: | ---: |
| agents | 1 | 1 |  |
| blocks |  |  | 1 |

> [!CAUTION]
> **1 object will be destroyed or replaced:**
>
> - destroyed (no longer declared): `blocks.old`

<details open><summary><code>+</code> <code>agents.new</code></summary>

```diff
+ name    "new"
+ system  12 characters
+     | One.
+     | Two.
+     | 3
```

</details>

<details open><summary><code>~</code> <code>agents.a</code></summary>

```diff
! system       7 → 6 characters
@@ -1,3 +1,3 @@
  a
- - b
+ + c
  ```
! description  86 characters
- a long text …{words} ends with one
+ a long text …{words} ends with two
+ tools        +web_search
```

</details>
"""


def test_a_plan_in_markdown() -> None:
    words = "word " * 14
    plan = of(
        Change(
            at("agents.new"),
            "agent",
            "create",
            fields_changed=(_field("name", "new"), _field("system", "One.\nTwo.\n3")),
        ),
        update(
            "agents.a",
            FieldChange("system", "a\n- b\n```\n", "a\n+ c\n```\n"),
            FieldChange("description", f"a long text {words}ends with one", f"a long text {words}ends with two"),
            FieldChange("tools", None, ["web_search"]),
        ),
        Change(at("blocks.old"), "block", "delete", "block-1", "no longer declared"),
        environment="prod",
    )
    shown = markdown.plan(plan)
    assert shown.startswith(SHOWN.partition("<details")[0].replace("{digest}", approval(plan)))
    # the fence is longer than the backticks in the text, and a line of the text does not look like a change
    assert "````diff\n! system" in shown
    assert "\n  a\n- - b\n+ + c\n  ```\n" in shown
    assert "ends with one\n" in shown
    assert "ends with two\n" in shown


def _field(name: str, value: object) -> FieldChange:
    return FieldChange(name, None, value)


def test_nothing_to_do() -> None:
    plan = of(steps=(), unchanged=3)
    assert "**No changes. 3 objects of stack support on `http://localhost:8283` are as declared.**" in markdown.plan(
        plan
    )
    assert "Digest" not in markdown.plan(plan)
    assert subject_of(markdown.plan(plan)) == (Subject("plan", "support"), approval(plan))


def test_every_part_of_a_plan_is_there() -> None:
    conflict = AgentChange(at("agents.b"), "system", "x", conflict=MergeConflict("both changed `x`", "<<<<<<<\na\n"))
    plan = replace(everything(), runtime=(*everything().runtime, conflict))
    shown = markdown.plan(plan)
    for part in (
        "destroyed (no longer declared): `agents.old`",
        "- replaced: `agents.new`",
        "- Warning: the limit is low (`lettaform.yaml:41`) → raise it",
        "`lettaform apply --reseed agents.supervisor.memory.persona` overwrites it.",
        "**Changed in the manifest and on the server, not merged:**",
        "`agents.b.system`: both changed `x`\n\n```\n<<<<<<<\na\n",
        "<code>&gt;</code> <code>agents.legacy</code> · will be adopted · <code>agent-8</code>",
        "**Changed outside lettaform, will be restored:**",
        "# recompiles the system prompts of 200 agents",
        "<summary>Changed by agents, kept: 2</summary>",
        "<summary>Not managed by this manifest: 1</summary>",
        "@@ agents.supervisor.memory.human @@",
    ):
        assert part in shown, part


def test_the_digest_of_a_saved_plan_is_given() -> None:
    saved = replace(everything(), steps=())
    digest = f"{'a' * 32}.12345678"
    assert f"Digest: `{digest}`" in markdown.plan(saved, digest=digest)
    assert subject_of(markdown.plan(saved, digest=digest)) == (Subject("plan", "support", "prod"), digest)
    assert "Digest" not in markdown.plan(saved, digest="`a`")
    assert subject_of(markdown.plan(saved, digest="`a`")) == (Subject("plan", "support", "prod"), "")


def test_equal_changes_are_shown_once() -> None:
    shown = markdown.plan(mixed())
    assert len(shown) < 20_000
    assert "<code>agents.desk[d0]</code> and 8 more" in shown
    assert "The same for 8 more: `agents.desk[d1]`, `[d2]`" in shown
    assert "The same for 23 more, except for `name`:" in shown


def many(number: int) -> Plan:
    """A plan with many of everything."""
    return replace(
        updates(number),
        warnings=tuple(Problem(f"warning {n} " + "`" * n, None, "x" * n) for n in range(number)),
        runtime=tuple(
            AgentChange(at(f"agents.w{n}"), f"f{n}", "x", conflict=MergeConflict("x" * n, "text\n" * n))
            for n in range(number)
        ),
        unmanaged=tuple(Unmanaged("agent", "x", at(f"agents.u{n}"), "x") for n in range(number)),
        changes=(
            *updates(number).changes,
            *(Change(at(f"agents.x{n}"), "agent", "delete", "x", f"reason {n} {'|' * n}") for n in range(number)),
        ),
    )


@pytest.mark.thorough
@pytest.mark.parametrize(
    "plan",
    [updates(2_000), deletes(2_000), deletes(5_000), many(600)],
    ids=["updates", "deletes", "more", "everything"],
)
def test_a_large_plan_fits_and_says_what_was_left_out(plan: Plan) -> None:
    started = time.process_time()
    shown = markdown.plan(plan)
    if len(plan.changes) == 2_000:
        assert time.process_time() - started < 2  # 0.7 s on a machine without other work
    assert len(shown) < LIMIT
    assert f"`{approval(plan)}`" in shown
    assert subject_of(shown) == (Subject("plan", "support"), approval(plan))
    assert f"{plan.count('delete')} to destroy" in shown
    assert shown.count("<details") == shown.count("</details>")
    if plan.count("update"):
        (number,) = re.findall(r"There was no room for the details of (\d+) changes", shown)
        pieces = len(re.findall(r"<code>~</code>", shown))
        assert pieces + int(number) == plan.count("update")
        assert "`lettaform plan -v` shows everything" in shown


@pytest.mark.thorough
def test_every_deleted_object_is_named_as_far_as_there_is_room() -> None:
    shown = markdown.plan(deletes(1_500))
    assert all(f"[k{number}]`" in shown for number in range(1_500))
    shown = markdown.plan(deletes(5_000))
    (rest,) = re.findall(r"and ([\d,]+) more", shown)
    assert shown.count("[k") + int(rest.replace(",", "")) == 5_000


def test_what_is_only_destroyed_is_named_once() -> None:
    agent, block = at("agents.a"), at("agents.a.memory.human")
    deleted = (Change(agent, "agent", "delete", "x", "destroy"), Change(block, "block", "delete", "y", "destroy"))
    shown = markdown.plan(of(*deleted))
    assert "- destroyed: `agents.a`, `agents.a.memory.human`" in shown
    assert "<details" not in shown
    noted = replace(deleted[1], notes=("also deletes a thing",))
    assert "@@ agents.a.memory.human will be destroyed @@\n# note: also deletes a thing" in markdown.plan(
        of(deleted[0], noted)
    )


def test_long_details_are_cut() -> None:
    shown = markdown.plan(
        of(*(update(f"agents.a{n}", FieldChange("system", "x\n" * 900, f"y{n}\n" * 900)) for n in range(3)))
    )
    assert "more lines" in shown
    assert len(shown) < 10_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "`plain`"),
        ("a`b", "``a`b``"),
        ("`a`", "`` `a` ``"),
        ("a\nb", "`a↵b`"),
        (" ", "`   `"),
        ("```" * 3, "`````````` ````````` ``````````"),
    ],
)
def test_code(text: str, shown: str) -> None:
    assert code(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a plain sentence, with 12 words: fine.", "a plain sentence, with 12 words: fine."),
        ("set `policy: {x: y}` to it", "set `policy: {x: y}` to it"),
        ("ask @octocat about #1, please", "ask `@octocat` about `#1`, please"),
        ("look at http://x.test www.x.test and GH-1", "look at `http://x.test www.x.test` and `GH-1`"),
        ("a **bold** _word_ | x", "a `**bold** _word_ |` x"),
        ("agents.a.b: the agent's value", "`agents.a.b`: the agent's value"),
        ("an `odd backtick", "an `` `odd `` backtick"),
        ("`a``b`", "`a` `b`"),
    ],
)
def test_prose(text: str, shown: str) -> None:
    assert prose(text) == shown


def test_a_fence_is_longer_than_what_is_in_it() -> None:
    assert fence(["a"], "diff") == "```diff\na\n```"
    assert fence(["  `````", "x"]) == "``````\n  `````\nx\n``````"
