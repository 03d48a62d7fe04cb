"""Two stacks on one server: an object that one owns is refused to the other, and hints say what works."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import LettaformError, PlanError, Problem
from lettaform.model import Plan, PlanOptions, Report
from tests.backend.v1.served import Served
from tests.standin import Refusal

pytestmark = pytest.mark.thorough

AGENT = "model: letta/letta-free, embedding: letta/letta-free, include_base_tools: false"
STATE_ALONE = {
    "identities": "{shop: {name: Shop, identifier_key: shop, identity_type: org}}",
    "providers": "{shop: {provider_type: openai, api_key: '${var.key}'}}",
    "mcp_servers": "{shop: {type: streamable_http, url: 'https://a.example/mcp'}}",
}
"""Sections whose objects carry no mark, each with an object that has a unique name."""
MARKED = {
    "agents": f"{{shop: {{{AGENT}}}}}",
    "blocks": "{shop: {value: x}}",
    "folders": "{shop: {embedding: letta/letta-free}}",
    "archives": "{shop: {embedding: letta/letta-free}}",
    "tools": "{shop: {source: tools/shop.py}}",
}


class Stacks:
    """A server, and a folder for each stack."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.server = folder, Served()
        tool = {"name": "t", "description": "T.", "inputSchema": {"type": "object", "properties": {}}}
        self.server.standin.offers[("https://a.example/mcp",)] = [tool]

    def write(self, stack: str, text: str) -> flow.Source:
        folder = self.folder / stack
        (folder / "tools").mkdir(parents=True, exist_ok=True)
        (folder / "tools" / "shop.py").write_text('def shop() -> str:\n    """Sell."""\n    return ""\n')
        variables = "variables: {key: {secret: true, default: k}}\n" if "var.key" in text else ""
        (folder / "lettaform.yaml").write_text(f"stack: {stack}\n{variables}{text}\n")
        return flow.Source(folder)

    def run(self, verb: Callable[[flow.Connection], Any]) -> Any:
        through = mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=self.server))
        self.server.asked.clear()
        with through:
            return verb(flow.Connection(url="http://stand.in", patience=None))

    def apply(self, stack: str, text: str, **options: Any) -> tuple[Plan, Report | None]:
        source = self.write(stack, text)
        plan, report = self.run(lambda at: flow.apply(source, at, PlanOptions(**options), consent=True))
        assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]
        return plan, report

    def plan(self, stack: str, text: str, **options: Any) -> Plan:
        source = self.write(stack, text)
        return self.run(lambda at: flow.plan(source, at, PlanOptions(**options)))

    def adopt(self, stack: str, text: str, address: str, id: str) -> None:
        source = self.write(stack, text)
        self.run(lambda at: flow.adopt(source, at, address, id))

    def only(self, section: str) -> dict[str, Any]:
        (found,) = getattr(self.server.standin.tables, section).values()
        return dict(found)

    def state(self, stack: str) -> dict[str, Any]:
        """The row of a stack's state."""
        rows = self.server.standin.tables.blocks.values()
        (row,) = [each for each in rows if f"lettaform:stack={stack}" in each["tags"] and each["label"] == "lettaform"]
        return row


@pytest.fixture
def stacks(tmp_path: Path) -> Stacks:
    return Stacks(tmp_path)


def said(error: LettaformError) -> Problem:
    """The problem of an error that has one."""
    return error.problems[0] if error.problems else Problem(error.message, hint=error.hint)


def use(section: str, hint: str | None) -> str:
    """The manifest that the hint of a refusal describes: its fields, and no others."""
    fields = [each for each in re.findall(r"`([^`]+)`", hint or "") if ": " in each]
    assert fields
    return f"{section}: {{shop: {{{', '.join(fields)}}}}}"


# --- what another stack owns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("section", "body"), [*STATE_ALONE.items(), ("folders", MARKED["folders"])])
def test_a_unique_name_that_another_stack_has_is_refused_and_the_hint_works(
    section: str, body: str, stacks: Stacks
) -> None:
    stacks.apply("prod", f"{section}: {body}")
    with pytest.raises(PlanError) as refused:
        stacks.plan("dev", f"{section}: {body}")
    problem = said(refused.value)
    assert "belongs to stack `prod`" in problem.message
    assert "import" not in (problem.hint or "")
    assert not stacks.plan("dev", use(section, problem.hint)).steps


@pytest.mark.parametrize(("section", "body"), {**STATE_ALONE, **MARKED}.items())
@pytest.mark.parametrize("how", ["import", "imports"])
def test_what_another_stack_owns_is_not_adopted_and_the_hint_works(
    how: str, section: str, body: str, stacks: Stacks
) -> None:
    stacks.apply("prod", f"{section}: {body}")
    at, before = (
        f"{section}.shop",
        stacks.run(lambda to: flow.state_list(stacks.write("prod", f"{section}: {body}"), to)),
    )
    id = next(each.id for each in before if str(each.address) == at)
    ways: dict[str, Callable[[], Any]] = {
        "import": lambda: stacks.adopt("dev", f"{section}: {body}", at, id),
        "imports": lambda: stacks.plan("dev", f"{section}: {body}\nimports: [{{to: {at}, id: {id}}}]"),
    }
    with pytest.raises(PlanError) as refused:
        ways[how]()
    problem = said(refused.value)
    assert "belongs to stack `prod`" in problem.message
    assert not stacks.plan("dev", use(section, problem.hint)).steps
    assert not stacks.plan("prod", f"{section}: {body}").steps


@pytest.mark.parametrize(("section", "body"), {**STATE_ALONE, **MARKED}.items())
def test_what_another_stack_owns_is_used_by_stack_and_address(section: str, body: str, stacks: Stacks) -> None:
    stacks.apply("prod", f"{section}: {body}")
    external = f"{section}: {{mine: {{external: true, stack: prod, address: {section}.shop}}}}"
    plan = stacks.plan("dev", f"{external}\noutputs: {{id: '${{{section}.mine.id}}'}}")
    before = stacks.run(lambda to: flow.state_list(flow.Source(stacks.folder / "prod"), to))
    assert plan.outputs["id"] == next(each.id for each in before if str(each.address) == f"{section}.shop")
    with pytest.raises(PlanError, match="the server has no"):
        stacks.plan("dev", external.replace("stack: prod", "stack: test"))


def test_the_states_of_others_are_read_once_and_only_when_a_name_is_in_doubt(stacks: Stacks) -> None:
    whole = "\n".join(f"{section}: {body}" for section, body in STATE_ALONE.items())
    stacks.apply("prod", whole)
    asked = "GET /v1/blocks/?label=lettaform&show_hidden_blocks=true"
    stacks.plan("prod", whole)
    assert asked not in stacks.server.asked
    stacks.plan("dev", "identities: {other: {name: Other, identity_type: org}}")
    assert asked not in stacks.server.asked
    with pytest.raises(PlanError) as refused:
        stacks.plan("dev", whole)
    assert sum("belongs to stack `prod`" in each.message for each in refused.value.problems) == 3
    assert stacks.server.asked.count(asked) == 1


def test_without_a_stack_the_owner_is_somebody_else_and_both_hints_work(stacks: Stacks) -> None:
    theirs, body = stacks.server.identity("shop"), f"identities: {STATE_ALONE['identities']}"
    with pytest.raises(PlanError) as refused:
        stacks.plan("dev", body)
    problem = said(refused.value)
    assert "belongs to somebody else" in problem.message
    assert f"`lettaform import 'identities.shop' {theirs['id']}`" in (problem.hint or "")
    assert not stacks.plan("dev", use("identities", problem.hint)).steps
    stacks.adopt("dev", body, "identities.shop", theirs["id"])
    with pytest.raises(PlanError, match="belongs to stack `dev`"):
        stacks.adopt("prod", body, "identities.shop", theirs["id"])


def test_an_object_that_its_stack_forgot_can_be_adopted(stacks: Stacks) -> None:
    body = f"identities: {STATE_ALONE['identities']}"
    stacks.apply("prod", body)
    stacks.run(lambda at: flow.state_remove(stacks.write("prod", body), at, "identities.shop"))
    stacks.adopt("dev", body, "identities.shop", stacks.only("identities")["id"])
    assert [change.action for change in stacks.plan("dev", body).changes] in ([], ["mark"])


# --- states that cannot be read --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["no JSON", '{"v": 99}', '{"v": 2, "pages": ["lost"]}'])
def test_while_a_state_cannot_be_read_nothing_is_adopted(text: str, stacks: Stacks) -> None:
    body = f"identities: {STATE_ALONE['identities']}"
    stacks.apply("prod", "blocks: {b: {value: x}}")
    stacks.state("prod")["value"] = text
    id = stacks.server.identity("shop")["id"]
    for attempt in (lambda: stacks.plan("dev", body), lambda: stacks.adopt("dev", body, "identities.shop", id)):
        with pytest.raises(PlanError) as refused:
            attempt()
        assert "may belong to stack `prod`, whose state cannot be read" in str(said(refused.value))
    with pytest.raises(PlanError, match="cannot be read"):
        stacks.plan("dev", "identities: {mine: {external: true, stack: prod, address: identities.shop}}")
    if text == "no JSON":  # what the hint names
        stacks.run(lambda at: flow.state_rebuild(flow.Source(stacks.folder / "prod"), at))
        stacks.adopt("dev", body, "identities.shop", id)


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting after a lost answer: a stand-in has carried out a request before it answers."""
    monkeypatch.setattr("lettaform.backend.v1.client.SETTLE", 0.0)


# --- two at once -----------------------------------------------------------------------------------------------------

IDENTITY = f"identities: {STATE_ALONE['identities']}"


def killed_before_its_post(stacks: Stacks, stack: str) -> None:
    """An apply that is killed after it wrote its intent and before it created the identity."""

    def refuse(ask: Any) -> None:
        if (ask.method, ask.path) == ("POST", "/v1/identities/"):
            raise Refusal(500, "the process is gone")

    standin, source = stacks.server.standin, stacks.write(stack, IDENTITY)
    standin.before = refuse
    stacks.run(lambda at: flow.apply(source, at, consent=True))
    standin.before = lambda ask: None
    row = stacks.state(stack)
    row["value"] = json.dumps({**json.loads(row["value"]), "intents": {"identities.shop": "shop"}, "ids": {}})


@pytest.mark.thorough
def test_an_intent_does_not_take_what_another_stack_has_created_since(stacks: Stacks) -> None:
    killed_before_its_post(stacks, "dev")
    stacks.server.identity("shop")
    id = stacks.only("identities")["id"]
    source = stacks.write("prod", IDENTITY)
    # the other stack adopts it: it says that it is its own, although this stack was creating one
    with pytest.raises(PlanError, match="belongs to stack `dev`"):
        stacks.plan("prod", IDENTITY)
    stacks.run(lambda at: flow.adopt(source, at, "identities.shop", id))
    with pytest.raises(PlanError, match="belongs to stack `prod`"):
        stacks.plan("dev", IDENTITY)


@pytest.mark.thorough
def test_two_stacks_that_were_both_creating_it_refuse_until_one_imports_it(stacks: Stacks) -> None:
    for stack in ("dev", "prod"):
        killed_before_its_post(stacks, stack)
    id = stacks.server.identity("shop")["id"]
    for stack, other in (("dev", "prod"), ("prod", "dev")):
        with pytest.raises(PlanError) as refused:
            stacks.plan(stack, IDENTITY)
        problem = said(refused.value)
        assert f"belongs to this stack or to stack `{other}`" in problem.message
    assert f"`lettaform import 'identities.shop' {id}`" in (problem.hint or "")
    stacks.adopt("prod", IDENTITY, "identities.shop", id)
    with pytest.raises(PlanError, match="belongs to stack `prod`"):
        stacks.plan("dev", IDENTITY)


@pytest.mark.thorough
def test_after_a_lost_answer_what_another_stack_created_is_not_taken(stacks: Stacks) -> None:
    lost: list[str] = []

    def before(ask: Any) -> None:
        if (ask.method, ask.path) == ("POST", "/v1/identities/") and not lost:
            lost.append("the answer")
            raise httpx.ReadError("the connection broke")
        if (ask.method, ask.path) == ("GET", "/v1/identities/") and len(lost) == 1:  # the other stack creates it
            lost.append("the race")
            row = {**json.loads(stacks.state("prod")["value"]), "intents": {"identities.shop": "shop"}, "ids": {}}
            stacks.state("prod")["value"] = json.dumps(row)
            made = {"id": standin.id("identity"), "identifier_key": "shop", "name": "Shop", "identity_type": "org"}
            standin.tables.identities[made["id"]] = {**made, "properties": [], "project_id": None}

    standin = stacks.server.standin
    stacks.apply("prod", "blocks: {b: {value: x}}")
    source = stacks.write("dev", IDENTITY)
    standin.before = before
    _, report = stacks.run(lambda at: flow.apply(source, at, consent=True))
    standin.before = lambda ask: None
    (failed,) = report.of("failed")
    assert "stack `prod` may have created" in str(failed.error)
    with pytest.raises(PlanError, match="belongs to this stack or to stack `prod`"):
        stacks.plan("dev", IDENTITY)


@pytest.mark.parametrize("edit", ["{shop: {name: Other, identifier_key: shop, identity_type: org}}", "{}"])
def test_an_object_that_two_states_list_is_neither_written_nor_deleted(edit: str, stacks: Stacks) -> None:
    for stack in ("prod", "dev"):
        stacks.apply(stack, "blocks: {b: {value: x}}")
    stacks.apply("prod", IDENTITY)
    ids = json.loads(stacks.state("prod")["value"])["ids"]
    row = stacks.state("dev")
    row["value"] = json.dumps({**json.loads(row["value"]), "ids": ids})
    with pytest.raises(PlanError) as refused:
        stacks.plan("dev", f"identities: {edit}", prune=True)
    problem = next(each for each in refused.value.problems if "too" in each.message)
    assert "belongs to stack `prod`, too" in problem.message
    # the remedy leaves it to the other stack
    stacks.run(lambda at: flow.state_remove(stacks.write("dev", IDENTITY), at, "identities.shop"))
    stacks.apply("dev", "", destroy=True)
    assert stacks.only("identities")["name"] == "Shop"
    assert not stacks.plan("prod", IDENTITY).changes
