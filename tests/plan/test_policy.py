"""Who owns a value, as a table: policy, base, want, live, and what becomes of it."""

from __future__ import annotations

import pytest

from lettaform.plan.policy import Decision, decide, policies
from tests.plan.samples import wanted

A, B, C = "a", "b", "c"


@pytest.mark.parametrize(
    ("policy", "base", "want", "live", "decision"),
    [
        # nothing moved
        *((policy, A, A, A, Decision(base=A)) for policy in ("enforce", "seed", "yield", "ignore")),
        # the manifest moved
        ("enforce", A, B, A, Decision(write="manifest", base=B)),
        ("seed", A, B, A, Decision(seed_moved=True, base=A)),
        ("yield", A, B, A, Decision(write="manifest", base=B)),
        ("ignore", A, B, A, Decision(base=A)),
        # the live value moved
        ("enforce", A, A, B, Decision(write="drift", base=A)),
        ("seed", A, A, B, Decision(runtime=True, base=A)),
        ("yield", A, A, B, Decision(runtime=True, base=A)),
        ("ignore", A, A, B, Decision(base=A)),
        # both moved, differently
        ("enforce", A, B, C, Decision(write="conflict", base=B)),
        ("seed", A, B, C, Decision(runtime=True, seed_moved=True, base=A)),
        ("yield", A, B, C, Decision(runtime=True, seed_moved=True, base=A)),
        ("ignore", A, B, C, Decision(base=A)),
        # both moved, to the same value: only the base is written
        *((policy, A, B, B, Decision(base=B)) for policy in ("enforce", "seed", "yield")),
        # no base: adopted, or declared anew
        ("enforce", None, A, B, Decision(write="manifest", base=A)),
        ("seed", None, A, B, Decision(runtime=True)),
        ("yield", None, A, B, Decision(runtime=True)),
        ("ignore", None, A, B, Decision()),
        *((policy, None, A, A, Decision(base=A)) for policy in ("enforce", "seed", "yield")),
    ],
)
def test_the_table(policy: str, base: str | None, want: str, live: str, decision: Decision) -> None:
    assert decide(policy, base, want, live) == decision  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", ["seed", "yield"])
@pytest.mark.parametrize(("base", "want", "live"), [(A, B, A), (A, A, B), (A, B, C), (None, A, B)])
def test_reseed_writes_whatever_differs(policy: str, base: str | None, want: str, live: str) -> None:
    assert decide(policy, base, want, live, reseed=True) == Decision(write="seed", base=want)  # type: ignore[arg-type]


def test_a_block_that_agents_may_write_is_seeded() -> None:
    owners = policies(wanted("blocks.b", value="x"))
    assert (owners["value"], owners["label"], owners["description"], owners["limit"]) == (
        "seed",
        "yield",
        "yield",
        "enforce",
    )


def test_a_block_that_agents_cannot_write_is_enforced() -> None:
    owners = policies(wanted("blocks.b", value="x", read_only=True))
    assert {owners["value"], owners["label"], owners["description"]} == {"enforce"}


def test_the_manifest_has_the_last_word() -> None:
    owners = policies(wanted("blocks.b", {"value": "enforce", "label": "ignore"}, value="x"))
    assert (owners["value"], owners["label"], owners["description"]) == ("enforce", "ignore", "enforce")
