"""A plan that does not meet a policy is refused, or has a warning; the examples of the page hold."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lettaform.errors import Guarded, Place, Problem
from lettaform.model import Live, Manifest, Observed, PlanPolicy
from lettaform.session.policies import HINT, judged
from lettaform.values import Ref, Secret
from tests.plan.samples import HERE, at, living, manifest, observed, plan, wanted

pytest.importorskip("cel_expr_python")
PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
EXAMPLES = yaml.safe_load(re.findall(r"## Examples\n\n```yaml\n(.*?)```", PAGE, re.DOTALL)[0])["policies"]


def policy(rule: str, **words: Any) -> PlanPolicy:
    return PlanPolicy("p", rule, place=Place("lettaform.yaml", 9, 9), **words)


def found(each: PlanPolicy, wants: Manifest, has: Observed, **options: Any) -> list[Problem]:
    """The problems with a plan, errors or warnings."""
    wants = replace(wants, policies=(each,))
    made = replace(plan(wants, has, **options), warnings=())
    try:
        return list(judged(made, wants, has).warnings)
    except Guarded as refused:
        return list(refused.problems)


def agent(**values: Any) -> Any:
    return wanted("agents.a", **{"model": "openai/gpt", "system": "s", **values})


def live_agent(**values: Any) -> Live:
    return living("agents.a", "agent-1", values, **{"model": "openai/gpt", "system": "s", **values})


def org(value: str, **values: Any) -> Any:
    return wanted("blocks.org", {"value": "enforce"}, value=value, **values)


LIVE_ORG = living("blocks.org", "block-1", {"value": "x"}, value="x")
USED = {"block-1": frozenset(f"agent-{n}" for n in range(101))}
NOTHING = observed()
CODE, OTHER = (replace(living(f"tools.{name}", name), address=at(f"tools.{name}")) for name in ("run_code", "other"))
CASES: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "approved-models": ((manifest(agent(model="other/m")), NOTHING), (manifest(agent()), NOTHING)),
    "keep-agents-of-prod": (
        (manifest(environment="prod"), observed(live_agent()), "prune"),
        (manifest(environment="lab"), observed(live_agent()), "prune"),
    ),
    "described": ((manifest(agent()), NOTHING), (manifest(agent(description="d")), NOTHING)),
    "small-context": (
        (manifest(agent(context_window=64001)), NOTHING),
        (manifest(agent(context_window=64000)), NOTHING),
    ),
    "no-code": (
        (manifest(agent(tools=[Ref(CODE.address)]), wanted("tools.run_code")), observed(CODE)),
        (manifest(agent(tools=[Ref(OTHER.address)]), wanted("tools.other")), observed(OTHER)),
    ),
    "names": ((manifest(agent(name="Bad Name")), NOTHING), (manifest(agent(name="good-name")), NOTHING)),
    "tagged": ((manifest(agent(tags=["x"])), NOTHING), (manifest(agent(tags=["team:a"])), NOTHING)),
    "prompts-do-not-shrink": (
        (manifest(agent(system="abc")), observed(live_agent(system="abcdefgh"))),
        (manifest(agent(system="abcd")), observed(live_agent(system="abcdefgh"))),
    ),
    "rules-are-read-only": (
        (manifest(wanted("blocks.rules", value="x")), NOTHING),
        (manifest(wanted("blocks.rules", value="x", read_only=True)), NOTHING),
    ),
    "keep-what-agents-learned": (
        (manifest(org("x")), observed(living("blocks.org", "block-1", {"value": "x"}, value="learned"))),
        (manifest(org("new")), observed(LIVE_ORG)),
    ),
    "few-recompiles": (
        (manifest(org("y")), observed(LIVE_ORG, users=USED)),
        (manifest(org("y")), observed(LIVE_ORG, users={"block-1": frozenset({"agent-1"})})),
    ),
    "separate-deletes": (
        (manifest(wanted("blocks.new")), observed(LIVE_ORG), "prune"),
        (manifest(wanted("blocks.new")), observed(LIVE_ORG)),
    ),
    "short-prompts": (
        (manifest(agent(system="s" * 32_000)), NOTHING),
        (manifest(agent(system="s" * 31_000)), NOTHING),
    ),
}


def example(name: str) -> PlanPolicy:
    words = EXAMPLES[name]
    severity, about = words.get("severity", "error"), words.get("for", "change")
    return PlanPolicy(name, words["rule"], about, severity, words["message"], Place("lettaform.yaml", 1, 1))


@pytest.mark.parametrize("name", CASES)
def test_an_example_of_the_page_fires_and_does_not(name: str) -> None:
    for case, fires in zip(CASES[name], (True, False), strict=True):
        wants, has, *flags = case
        problems = found(example(name), wants, has, **dict.fromkeys(flags, True))
        assert [EXAMPLES[name]["message"] in each.message for each in problems] == [True] * fires


def test_each_example_of_the_page_has_cases() -> None:
    assert (EXAMPLES.keys(), len(EXAMPLES)) == (CASES.keys(), 13)


def test_a_problem_names_the_object_the_policy_and_what_to_do() -> None:
    wants = manifest(agent(), policies=(policy("false"),))
    with pytest.raises(Guarded) as refused:
        judged(plan(wants, NOTHING), wants, NOTHING)
    assert (refused.value.exit_code, refused.value.hint) == (7, HINT)
    (problem,) = found(policy("false", message="No."), manifest(agent()), NOTHING)
    assert problem == Problem("agents.a: No. (policy `p`)", HERE, HINT, "agents.a")
    (problem,) = found(policy("false", about="plan"), manifest(agent()), NOTHING)
    assert problem == Problem("the policy is not met (policy `p`)", Place("lettaform.yaml", 9, 9), HINT)


def test_a_warning_does_not_refuse() -> None:
    (problem,) = found(policy("false", severity="warning"), manifest(agent()), NOTHING)
    assert problem.severity == "warning"


@pytest.mark.parametrize("severity", ["error", "warning"])
@pytest.mark.parametrize("rule", ["change.live.nothing == 1", "change.declared.model", "1 / 0 == 1"])
def test_a_policy_that_cannot_be_evaluated_refuses(rule: str, severity: Any) -> None:
    (problem,) = found(policy(rule, severity=severity), manifest(agent()), NOTHING)
    assert problem.message.startswith("agents.a: the policy `p` cannot be evaluated: ")
    assert (problem.severity, str(problem.place)) == ("error", "lettaform.yaml:9:9")


@pytest.mark.parametrize(("waivers", "number"), [((), 2), (("agents.a",), 1), (("agents.*",), 0), (("blocks.b",), 2)])
def test_waivers_name_objects(waivers: tuple[str, ...], number: int) -> None:
    wants = manifest(agent(), wanted("agents.b", model="m/m"))
    assert len(found(policy("false", waivers=waivers), wants, NOTHING)) == number


def test_a_waiver_of_a_policy_for_the_plan_switches_it_off() -> None:
    assert found(policy("false", about="plan", waivers=("*",)), manifest(agent()), NOTHING) == []


def test_rules_see_no_secrets() -> None:
    secret = Secret("${var.k}", "hunter22")
    wants = manifest(agent(secrets={"K": secret}, metadata={"a": 1}))
    has = observed(live_agent(secrets={"K": "hunter21"}))
    for rule in (
        "change.fields.all(field, !field.secret || (field.old == null && field.new == null))",
        "change.declared.secrets.K == null",
        "change.live.secrets.K == null",
        "change.declared.metadata.a == 1",
    ):
        assert found(policy(rule), wants, has) == [], rule


def test_rules_see_what_is_live_and_what_is_declared() -> None:
    rule = 'change.live.system == "old" && change.declared.system == "new" && change.action == "update"'
    assert found(policy(rule), manifest(agent(system="new")), observed(live_agent(system="old"))) == []
    rule = 'plan.changes.all(change, change.live.system == "old" && change.declared.system == "new")'
    each = policy(rule, about="plan")
    assert found(each, manifest(agent(system="new")), observed(live_agent(system="old"))) == []
    rule = 'stack == "s" && environment == "lab" && plan.summary.update == 1'
    wants = manifest(agent(system="new"), environment="lab")
    assert found(policy(rule), wants, observed(live_agent(system="old"))) == []


def test_without_changes_and_without_policies_nothing_is_refused() -> None:
    assert found(policy("false"), manifest(), NOTHING) == []
    made = plan(manifest(agent()), NOTHING)
    assert judged(made, manifest(agent()), NOTHING) is made
