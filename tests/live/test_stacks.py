"""Two stacks on a real server: what one owns, the other neither adopts, writes nor deletes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lettaform import flow
from lettaform.errors import PlanError, Stale
from lettaform.model import PlanOptions
from tests.live.conftest import Letta
from tests.live.fleet import Fleet
from tests.standin.test_runs import check as check_history

IDENTITY = "identities: {shop: {name: Shop, identifier_key: KEY, identity_type: org}}"


@pytest.fixture
def dev(fleet: Fleet, letta: Letta, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A second stack on the same server."""
    folder: Path = tmp_path_factory.mktemp("dev")
    made = Fleet(letta.url, letta.model, letta.embedding, letta.password, folder, f"{fleet.stack}-dev")
    yield made
    made.clear()


def test_an_identity_of_another_stack_is_refused_and_survives_its_destroy(fleet: Fleet, dev: Fleet) -> None:
    text = IDENTITY.replace("KEY", fleet.stack)
    fleet.write(text)
    fleet.apply()
    try:
        (live,) = fleet.state()
        dev.write(text)
        with pytest.raises(PlanError, match=f"belongs to stack `{fleet.stack}`") as refused:
            dev.plan()
        with pytest.raises(PlanError, match=f"belongs to stack `{fleet.stack}`"):
            flow.adopt(dev.source, dev.connection, "identities.shop", live.id)
        (problem,) = refused.value.problems
        fields = [each for each in re.findall(r"`([^`]+)`", problem.hint or "") if ": " in each]
        for body in (", ".join(fields), f"external: true, stack: {fleet.stack}, address: identities.shop"):
            dev.write(f"identities: {{shop: {{{body}}}}}\noutputs: {{id: '${{identities.shop.id}}'}}")
            plan = dev.plan()
            assert (plan.steps, plan.outputs["id"]) == ((), live.id)
        flow.apply(dev.source, dev.connection, PlanOptions(destroy=True), consent=True)
        fleet.assert_no_changes()
    finally:
        flow.apply(fleet.source, fleet.connection, PlanOptions(destroy=True), consent=True)


def test_agents_of_an_archive_are_read_in_one_list(fleet: Fleet, letta: Letta) -> None:
    fleet.write(
        f"archives: {{facts: {{embedding: {letta.embedding}}}}}\nagents: {{a: {{for_each: [x, y, z], archive: facts}}}}"
    )
    fleet.apply()
    try:
        sent: list[str] = []
        connection = replace(fleet.connection, trace=sent.append)
        assert not flow.plan(fleet.source, connection).steps
        assert sum("/archives/" in line for line in sent) == 2
    finally:
        flow.apply(fleet.source, fleet.connection, PlanOptions(destroy=True, allow_destroy=("*",)), consent=True)


def test_the_first_saved_plan_of_a_stack_holds_its_secrets(fleet: Fleet) -> None:
    fleet.write("variables: {token: {secret: true}}\nagents: {a: {secrets: {T: '${var.token}'}}}")
    first, second = (flow.Source(fleet.folder, variables={"token": each}) for each in ("AAAA-AAAA", "BBBB-BBBB"))
    file = fleet.folder / "plan.json"
    flow.save(flow.plan(first, fleet.connection), file)
    assert "AAAA" not in file.read_text()
    with pytest.raises(Stale, match=r"var\.token has another value than planned"):
        flow.apply_saved(file, second, fleet.connection, consent=True)
    _, report = flow.apply_saved(file, first, fleet.connection, consent=True)
    assert report is not None
    assert report.exit_code == 0


def test_the_history_of_a_stack_names_its_runs(fleet: Fleet) -> None:
    check_history(fleet)
