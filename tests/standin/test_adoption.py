"""`import` and its refusals on a stand-in: a hint says what to declare, and names no other address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import PlanError
from lettaform.model import PlanOptions
from tests.standin.test_other_stacks import AGENT, Stacks, said

NAMES = {
    "agents": ("/v1/agents/", {"name": "Lead: the 1st", "model": "letta/letta-free", "embedding": "letta/letta-free"}),
    "blocks": ("/v1/blocks/", {"label": "notes", "value": "x"}),
    "folders": ("/v1/folders/", {"name": "no", "embedding": "letta/letta-free"}),
    "archives": ("/v1/archives/", {"name": 'a "quoted" name', "embedding": "letta/letta-free"}),
    "identities": ("/v1/identities/", {"identifier_key": "null", "name": "N", "identity_type": "user"}),
    "providers": ("/v1/providers/", {"name": "12", "provider_type": "openai", "api_key": "k"}),
}


@pytest.fixture
def stacks(tmp_path: Path) -> Stacks:
    return Stacks(tmp_path)


def declared(hint: str | None) -> str:
    """The manifest text of a hint."""
    (text,) = re.findall(r"^declare it first: `(.*)`$", hint or "")
    return str(text)


def refused(stacks: Stacks, text: str, address: str, id: str) -> str | None:
    """The hint of the error that an address is not declared."""
    with pytest.raises(PlanError) as error:
        stacks.adopt("s", text, address, id)
    assert said(error.value).message == f"the manifest does not declare {address}"
    return said(error.value).hint


@pytest.mark.parametrize("section", NAMES)
@pytest.mark.parametrize("key", ["handmade", "a.b"])
def test_the_hint_declares_what_is_imported_under_its_name(key: str, section: str, stacks: Stacks) -> None:
    path, body = NAMES[section]
    body = {name: value for name, value in body.items() if section != "agents" or name != "name"}
    body |= {"name": "Lead - the 1st"} if section == "agents" else {}
    id = stacks.server.post(path, **body)["id"]
    address = f"{section}.{key}" if key.isidentifier() else f'{section}["{key}"]'
    # a near address is not suggested: following that would mark another object
    near = f"agents: {{handmad: {{{AGENT}}}}}"
    text = declared(refused(stacks, near, address, id))
    if section == "providers":
        text = text.replace("}}", ", api_key: '${var.key}'}}")
    stacks.adopt("s", text, address, id)
    changes = [(each.action, [d.path for d in each.fields_changed]) for each in stacks.plan("s", text).changes]
    assert changes in ([], [("update", ["api_key"])])


def test_the_hint_declares_a_tool_by_its_file_and_a_conversation_by_its_agent(stacks: Stacks) -> None:
    tool = stacks.server.tool("shop")["id"]
    text = declared(refused(stacks, "", "tools.mine", tool))
    stacks.adopt("s", text.replace("FILE", "tools/shop.py"), "tools.mine", tool)
    agent = stacks.server.agent("x")["id"]
    talk = stacks.server.conversation(agent, "A talk")["id"]
    text = declared(refused(stacks, "", "conversations.talk", talk))
    assert text == 'conversations: {talk: {agent: KEY, summary: "A talk"}}'
    whole = f"agents: {{KEY: {{external: true, id: {agent}}}}}\n{text}"
    stacks.adopt("s", whole, "conversations.talk", talk)
    assert not [each.action for each in stacks.plan("s", whole).changes if each.action != "mark"]


def test_an_instance_a_part_and_an_external_object_are_not_imported(stacks: Stacks) -> None:
    agent = stacks.server.agent("x")["id"]
    workers = f"agents: {{worker: {{for_each: [emea], {AGENT}}}, theirs: {{external: true, name: x}}}}"
    assert (
        refused(stacks, workers, "agents.worker[apac]", agent)
        == "declare it first: `apac` in the `for_each` of agents.worker"
    )
    for address, message in (
        ("agents.worker.memory.human", "is a part of agents.worker"),
        ("agents.theirs", "agents.theirs is external"),
    ):
        with pytest.raises(PlanError, match=message):
            stacks.adopt("s", workers, address, agent)


FORGET: dict[str, Any] = {
    "state rm": lambda stacks, source: stacks.run(lambda at: flow.state_remove(source, at, "blocks.lead")),
    "state mv": lambda stacks, source: stacks.run(lambda at: flow.state_move(source, at, "blocks.lead", "blocks.x")),
    "--reseed": lambda stacks, source: stacks.run(
        lambda at: flow.plan(source, at, PlanOptions(reseed=("blocks.lead",)))
    ),
}


@pytest.mark.parametrize("verb", FORGET)
def test_a_verb_that_forgets_or_overwrites_suggests_no_other_address(verb: str, stacks: Stacks) -> None:
    stacks.apply("s", "blocks: {leader: {value: x}}")
    with pytest.raises(PlanError) as error:
        FORGET[verb](stacks, flow.Source(stacks.folder / "s"))
    assert "no object has the address `blocks.lead`" in error.value.message
    assert "did you mean" not in (error.value.hint or "")
    assert "blocks.leader" in (error.value.hint or "")
