"""The time in which the policies of `docs/policies.md` judge a plan with 2,000 changes: `python bench/policies.py`.

Needs `lettaform[policy]`, and no server.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import yaml

from lettaform.address import Address
from lettaform.manifest.policies import compiled
from lettaform.model import Change, FieldChange, Live, Manifest, Observed, Plan, PlanOptions, PlanPolicy
from lettaform.session.policies import judged

PAGE = Path(__file__).parents[1] / "docs" / "policies.md"


def policies() -> tuple[PlanPolicy, ...]:
    """The examples of the page."""
    examples = yaml.safe_load(re.findall(r"## Examples\n\n```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)[0])
    return tuple(
        PlanPolicy(name, words["rule"], words.get("for", "change"), "warning", words["message"])
        for name, words in examples["policies"].items()
    )


def world(number: int) -> tuple[Plan, Observed]:
    """A plan that changes the description and the prompt of many agents, and what is live."""
    values = {"name": "a", "model": "openai/gpt", "system": "You sell. " * 50, "tags": ["team:a"], "description": "d"}
    addresses = [Address.of("agents", f"a{each}") for each in range(number)]
    lives = {each: Live("agent", f"agent-{each.key}", each.key, values, each, "s") for each in addresses}
    fields = (FieldChange("description", "d", "e"), FieldChange("system", values["system"], "You sell more. " * 50))
    changes = tuple(Change(each, "agent", "update", lives[each].id, fields_changed=fields) for each in addresses)
    plan = Plan("s", "http://here", "0.16.8", options=PlanOptions(), changes=changes)
    return plan, Observed("http://here", "0.16.8", objects=lives)


def main() -> None:
    """Print the time of each policy and of all."""
    plan, observed = world(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
    every = policies()
    for policy in every:
        compiled(policy.about, policy.rule)
    for name, some in (*((each.name, (each,)) for each in every), ("all", every)):
        start = time.perf_counter()
        judged(plan, Manifest("s", {}, policies=some), observed)
        print(f"{name:26} {len(plan.changes)} changes  {time.perf_counter() - start:6.2f} s")


if __name__ == "__main__":
    main()
