"""Promises 6 and 10: kill it anywhere, fail it anywhere; apply again, and it is as if nothing had happened."""

from __future__ import annotations

import random

import pytest

from tests.faults.harness import Chain, Fault, chains
from tests.faults.real import Real, Shot
from tests.faults.sweep import GIVEN_UP, Pair, Storm, Story
from tests.live.conftest import Letta


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


def test_the_story_sends_every_kind_of_step(story: Story) -> None:
    shapes = {shape for start in story.starts.values() for shape in start.shapes}
    assert shapes >= {
        *("POST /v1/agents/", "POST /v1/blocks/", "PUT /v1/tools/"),
        *("PATCH /v1/agents/{agent}", "PATCH /v1/blocks/{block}"),
        "PATCH /v1/agents/{agent}/core-memory/blocks/attach/{block}",
        "PATCH /v1/agents/{agent}/core-memory/blocks/detach/{block}",
        "PATCH /v1/agents/{agent}/tools/attach/{tool}",
        "PATCH /v1/agents/{agent}/tools/detach/{tool}",
        "POST /v1/agents/{agent}/recompile",
        *("DELETE /v1/agents/{agent}", "DELETE /v1/blocks/{block}", "DELETE /v1/tools/{tool}"),
        *("POST /v1/identities/", "DELETE /v1/identities/{identity}"),
        *("GET /v1/agents/{agent}/export", "POST /v1/tools/generate-schema"),
    }


def _judge(story: Story, pairs: list[Pair]) -> None:
    failed = {str(pair): wrong for pair in pairs if (wrong := story.judge(pair))}
    assert not failed, "\n".join(f"python -m tests.faults.sweep --pair {pair}: {why}" for pair, why in failed.items())


@pytest.mark.thorough
def test_a_share_of_the_sweep_on_the_stand_in(story: Story) -> None:
    _judge(story, random.Random(5).sample(list(story.pairs()), 90))


@pytest.mark.parametrize("then", GIVEN_UP)
@pytest.mark.parametrize(("phase", "shape"), [("build", "POST /v1/agents/"), ("change", "DELETE /v1/agents/{agent}")])
def test_given_up_in_the_middle_of_a_life(story: Story, phase: str, shape: str, then: str) -> None:
    # half a pair of agents, of which one carries our mark; and an agent that is no more, and was to be again
    numbers = [number for number, each in enumerate(story.starts[phase].shapes, 1) if each == shape]
    assert numbers
    _judge(story, [Pair(phase, number, Fault.KILL_AFTER, 0, then) for number in numbers])


@pytest.mark.thorough
@pytest.mark.parametrize(
    "chain", [each for each in chains(("build", "change", "destroy")) if each.fault.kills], ids=str
)
def test_killed_at_every_shape_one_after_the_other(story: Story, chain: Chain) -> None:
    assert story.judge_chain(chain) == []


def test_a_few_storms(story: Story) -> None:
    failed = {seed: wrong for seed in range(12) if (wrong := story.judge_storm(Storm(seed)))}
    assert not failed, "\n".join(f"--storms 1 --seed {seed}: {why}" for seed, why in failed.items())


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
def test_all_pairs(story: Story, fault: Fault) -> None:
    _judge(story, [pair for pair in story.pairs() if pair.fault is fault])


@pytest.mark.live
def test_the_nastiest_on_a_real_server(letta: Letta) -> None:
    real = Real(letta.url, letta.password, until="build")
    for fault in (Fault.CUT_AFTER, Fault.KILL_AFTER, Fault.S500_AFTER):
        shot = Shot("build", "POST /v1/agents/", fault)
        assert real.judge(shot) == [], str(shot)
