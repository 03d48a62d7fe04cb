from __future__ import annotations

from dataclasses import replace

from lettaform.model import Change, FieldChange
from lettaform.render import data, html, markdown
from lettaform.render.changes import LINES, OBJECTS, lines, readable, redacted, short_addresses
from lettaform.render.paint import Paint
from lettaform.values import Patch

from .samples import at, of, update

PROMPT = "\n".join(f"Line {number}." for number in range(12))
KEYS = [f"w{number}" for number in range(50)]


def shown(*changes: Change, verbose: bool = False) -> list[str]:
    return lines(changes, Paint(), verbose=verbose)


def prompt(key: str, *, new: str = PROMPT.replace("Line 5", "Line five")) -> Change:
    return replace(update(f"agents.w[{key}]", FieldChange("system", PROMPT, new)), id=f"agent-{key}")


def create(key: str, **values: object) -> Change:
    fields = {"name": f"w-{key}", "system": PROMPT, **values}
    return Change(at(f"agents.w[{key}]"), "agent", "create", None, fields_changed=_fields(fields))


def memory(key: str, text: str) -> Change:
    return Change(at(f"agents.w[{key}].memory.human"), "block", "create", None, fields_changed=_fields({"value": text}))


def _fields(values: dict[str, object]) -> tuple[FieldChange, ...]:
    return tuple(FieldChange(name, None, value) for name, value in values.items())


def test_one_changed_line_of_fifty_agents_is_shown_once() -> None:
    found = shown(*map(prompt, KEYS))
    assert len(found) < 20
    assert sum("+ Line five." in line for line in found) == 1
    rest = " ".join(found[found.index("      the same for 49 more:") + 1 :])
    assert [word.strip(",") for word in rest.split()] == ["agents.w[w1]", *(f"[{key}]" for key in KEYS[2:])]


def test_verbose_output_shows_each_object_with_its_id() -> None:
    found = shown(*map(prompt, KEYS), verbose=True)
    assert sum("+ Line five." in line for line in found) == 50
    assert "  ~ agents.w[w7]  agent-w7" in found
    assert not any("the same for" in line for line in found)


def test_what_differs_is_not_shown_as_the_same() -> None:
    other = prompt("w1", new=PROMPT.replace("Line 6", "Line six"))
    found = shown(prompt("w0"), other, prompt("w2"), prompt("w3"))
    assert [line.split()[1] for line in found if line.startswith("  ~")] == ["agents.w[w0]", "agents.w[w1]"]
    assert found[found.index("      the same for 2 more:") + 1].split() == ["agents.w[w2],", "[w3]"]
    noted = replace(prompt("w2"), notes=("kept: a tool",))
    assert sum(line.startswith("  ~") for line in shown(prompt("w0"), noted, prompt("w3"))) == 3


def test_objects_of_several_declarations_are_named_in_full() -> None:
    changes = [update(f"agents.{key}", FieldChange("tags", ["a"], ["a", "b"])) for key in ("ann", "bob", "eve")]
    assert shown(*changes)[-1].strip() == "agents.bob, agents.eve"


def test_new_objects_are_shown_together_with_the_values_in_which_they_differ() -> None:
    changes = [each for key in KEYS[:4] for each in (create(key), memory(key, f"I am {key}."))]
    found = shown(*changes)
    head = "      the same for 3 more, except for name and memory.human.value:"
    assert found[found.index(head) + 1 :] == [
        '          agents.w[w1]  "w-w1"  "I am w1."',
        '          agents.w[w2]  "w-w2"  "I am w2."',
        '          agents.w[w3]  "w-w3"  "I am w3."',
    ]


def test_new_objects_that_differ_in_a_text_or_in_many_fields_are_shown_by_themselves() -> None:
    texts = [create(key, system=f"{PROMPT}\n{key}") for key in KEYS[:4]]
    many = [create(key, a=key, b=key, c=key) for key in KEYS[:4]]
    for changes in (texts, many):
        assert sum(line.startswith("  +") for line in shown(*changes)) == 4


def test_a_new_object_that_lacks_a_memory_block_of_the_others_is_shown_by_itself() -> None:
    changes = [each for key in KEYS[:4] for each in (create(key), memory(key, "x"))]
    found = shown(*changes, create("w9"))
    assert [line.split()[1] for line in found if line.startswith("  +")] == ["agents.w[w0]", "agents.w[w9]"]


def test_long_lists_of_addresses_and_of_differences_end() -> None:
    long = [f"{'k' * 60}{number}" for number in range(30)]
    found = shown(*map(prompt, long))
    assert len(found) - found.index("      the same for 29 more:") - 1 == LINES + 1
    assert found[-1].strip() == f"… {29 - LINES} more; -v shows each"
    found = shown(*map(create, KEYS))
    assert found[-1].strip() == f"… {49 - OBJECTS} more; -v shows each"


def test_every_object_that_is_deleted_is_named() -> None:
    long = [f"{'k' * 60}{number}" for number in range(30)]
    changes = [Change(at(f"agents.w[{key}]"), "agent", "delete", f"agent-{key}", "no longer declared") for key in long]
    found = "\n".join(shown(*changes))
    assert all(f"[{key}]" in found for key in long)
    assert "-v shows" not in found


def test_a_group_stands_where_its_first_object_stands() -> None:
    single = update("agents.x", FieldChange("tags", [], ["a"]))
    found = shown(prompt("w0"), single, prompt("w1"), prompt("w2"))
    assert [line.split()[1] for line in found if line.startswith("  ~")] == ["agents.w[w0]", "agents.x"]


def test_what_would_take_more_lines_together_is_shown_one_by_one() -> None:
    marks = [Change(at(f"agents.w[{key}]"), "agent", "mark", f"agent-{key}", "marks only") for key in KEYS[:2]]
    assert len(shown(*marks)) == 2


def test_what_an_agent_detached_is_said_in_words() -> None:
    gone = readable(update("agents.a.memory.b", FieldChange("attached", True, False), FieldChange("limit", 1, 2)))
    assert gone.reason == "detached from its agent, or deleted"
    assert [each.path for each in gone.fields_changed] == ["limit"]
    assert readable(update("agents.a", FieldChange("marked", True, False))).reason == "lettaform's mark was removed"
    member = readable(update("agents.a", FieldChange("blocks[org]", True, False))).fields_changed[0]
    assert (member.path, member.new) == ("blocks", Patch(drop=("org",)))
    same = update("agents.a", FieldChange("metadata[x]", 1, 2))
    assert readable(same) == same


def test_hidden_texts_are_replaced_on_both_sides() -> None:
    shown = redacted(FieldChange("value", "a hunter22", "hunter22 b"), ("hunter22",))
    assert (shown.old, shown.new) == ("a ‹secret›", "‹secret› b")


def test_an_object_among_the_instances_of_its_address_keeps_its_name() -> None:
    every = [at(each) for each in ("agents.w[a]", "agents.w[b]", "agents.w", "agents.x", "agents.w[c]")]
    assert short_addresses(every) == ["agents.w[a]", "[b]", "agents.w", "agents.x", "agents.w[c]"]


def test_agents_of_others_are_shown_with_their_names_where_they_are_folded_too() -> None:
    changes = [
        replace(update(f"matches.up[agent-{number}]", FieldChange("max_tokens", 1, 2)), name=name)
        for number, name in enumerate(("shop", "a, b", "x" * 200))
    ]
    plan = of(*changes)
    found = shown(*changes)
    assert found[0].startswith("  ~ matches.up[agent-0]  shop")
    assert found[-2:] == ["          matches.up[agent-1] a, b,", f"          [agent-2] {'x' * 79}…"]
    for page in (markdown.plan(plan), html.plan(plan)):
        assert "matches.up[agent-0] shop" in page
        assert "[agent-2] xxx" in page
    assert [each.get("name") for each in data.plan(plan)["changes"]] == [each.name for each in changes]
    assert "name" not in data.change_data(prompt("a"))
