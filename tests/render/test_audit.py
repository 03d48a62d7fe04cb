"""An Audit to text and JSON."""

from __future__ import annotations

from lettaform.address import Address
from lettaform.ownership.audit import SORTS, Audit, Finding, Found
from lettaform.render import audit as render

at = Address.parse
BLOCK = Found("block", "block-1", "notes\x1b[2J\n\u202ex")
SHARED = Found("block", "block-2", "notes", "support", at("blocks.notes"))
AUDIT = Audit(
    "support",
    "http://here",
    "0.16.8",
    (
        Finding("unowned", (BLOCK,)),
        Finding("equal", (BLOCK, SHARED)),
        Finding("unattached", (SHARED,)),
        Finding("missing", (Found("agent", "agent-1", None, "support", at("agents.a")),)),
    ),
    {"agent": {"other": 2}, "block": {"": 1, "support": 1}, "identity": {"other": 1}},
    7,
)


def test_text() -> None:
    assert render.text(AUDIT) == (
        "Stack support · http://here · Letta 0.16.8\n\n"
        "No stack owns: 1\n"
        "  block notes␛[2J↵‹U+202E›x  block-1\n"
        "  → `lettaform import --all -o DIR` writes a manifest for these; `lettaform import ADDRESS ID` adopts one\n\n"
        "Equal content: 1\n"
        "  2 blocks:\n"
        "    block notes␛[2J↵‹U+202E›x  block-1\n"
        "    block notes  stack support  blocks.notes  block-2\n"
        "  → declare one of them, and refer to it in place of the others\n\n"
        "Blocks that no agent has: 1\n"
        "  block notes  stack support  blocks.notes  block-2\n"
        "  → `blocks: [KEY]` of an agent attaches a block that the manifest declares\n\n"
        "In the state, and not on the server: 1\n"
        "  agent  stack support  agents.a  agent-1\n"
        "  → `lettaform plan` shows which of these an apply would create again\n\n"
        "Stack other owns 2 agents, 1 identity.\n"
        "Stack support owns 1 block.\n\n"
        "Audit: 4 findings. 5 objects looked at in 7 requests.\n"
    )


def test_nothing_is_found() -> None:
    assert render.text(Audit(None, "http://here", "0.16.8", requests=3)) == (
        "http://here · Letta 0.16.8\n\nNothing found. 0 objects looked at in 3 requests.\n"
    )


def test_many_findings_are_cut_unless_verbose() -> None:
    many = [Finding("unowned", (Found("agent", f"agent-{number}", "a"),)) for number in range(500)]
    found = Audit("s", "u", "1", tuple(many))
    lines = render.text(found).splitlines()
    assert len(lines) < 30
    assert "  … and 480 more agents: `-v` shows them" in lines
    assert len(render.text(found, verbose=True).splitlines()) > 500


def test_every_sort_has_a_title_and_a_remedy_that_deletes_nothing() -> None:
    for sort in SORTS:
        text = render.text(Audit("s", "u", "1", (Finding(sort, (BLOCK,)),)))
        assert "  → " in text
        assert not {"destroy", "rm", "--prune", "delete"} & set(text.replace("`", " ").split())


def test_json() -> None:
    found = render.to_data(AUDIT, strict=True)
    assert (found["format_version"], found["exit_code"], found["requests"]) == ("1.0", 1, 7)
    assert [each["finding"] for each in found["findings"]] == ["unowned", "equal", "unattached", "missing"]
    assert found["findings"][3]["objects"] == [
        {"kind": "agent", "id": "agent-1", "name": None, "stack": "support", "address": "agents.a"}
    ]
    assert found["objects"]["agent"] == {"other": 2}
