"""An apply with `matches` that is killed, or meets a fault, at any request: the next one completes it.

Afterwards everything is taken back: what is left shows whether the state knew all that was added, and nothing else.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform.errors import LettaformError
from lettaform.manifest import load
from lettaform.model import Manifest, PlanOptions
from tests.faults.harness import Fault, FaultyTransport, at
from tests.faults.run import LATENCY, Run, Wrong
from tests.standin import StandIn

pytestmark = pytest.mark.thorough

STACK = "stack: sweep\n"
OWN = """
tools: {audit: {source: audit.py}}
blocks: {notice: {value: Maintenance., description: What is new.}, rules: {value: Be kind., description: Rules.}}
"""
ADDED = """
matches:
  upgrade:
    match: {tags: [support]}
    tools: [audit]
    blocks: [notice]
    tags: [audited]
    metadata: {reviewed: yes it is}
    description: Helps.
  second: {match: {name: ann}, tags: [vip], secrets: {KEY: "${env.KEY}"}}
"""
CHANGED = """
matches:
  renamed:
    match: {tags: [support], exclude: {name: bob}}
    blocks: [rules]
    tags: [audited, seen]
"""
PHASES: Mapping[str, tuple[str, str, PlanOptions]] = {
    "add": ("", OWN + ADDED, PlanOptions()),
    "change": (OWN + ADDED, OWN + CHANGED, PlanOptions()),
    "remove": (OWN + ADDED, "", PlanOptions(prune=True)),
    "destroy": (OWN + ADDED, OWN + ADDED, PlanOptions(destroy=True)),
}
"""Name to the manifest before, the manifest that is applied, and the options."""
SOURCE = 'def audit() -> str:\n    """Write it down."""\n    return ""\n'


def agents(standin: StandIn) -> dict[str, Any]:
    """Name to what is declared and undeclared of each agent, with names in place of ids."""
    tables, found = standin.tables, {}
    for each in tables.agents.values():
        found[each["name"]] = {
            **{name: each[name] for name in ("description", "metadata", "system", "llm_config", "tool_rules")},
            "tags": sorted(each["_tags"]),
            "tools": sorted(tables.tools[id]["name"] for id in each["_tools"]),
            "blocks": sorted(tables.blocks[id]["label"] for id in each["_blocks"]),
            "secrets": {key: value for key, (_, value) in each["_secrets"].items()},
        }
    return found


@dataclass(frozen=True)
class Scene:
    """The manifests by phase, the server before each, its agents afterwards, and the shapes of the requests."""

    manifests: Mapping[str, tuple[Manifest, Manifest]]
    tables: Mapping[str, Any]
    after: Mapping[str, Any]
    shapes: Mapping[str, list[str]]
    untouched: Any


def run(manifest: Manifest, tables: Any, options: PlanOptions, fault: Fault | None = None, number: int = 0) -> Run:
    standin = StandIn(seed=1)
    standin.tables = copy.deepcopy(tables)
    faulty = FaultyTransport(standin, fault or Fault.REFUSE, at(number), latency=LATENCY, seed=0)
    return Run(standin, manifest, options, faulty)


def read(folder: Path, text: str) -> Manifest:
    (folder / "lettaform.yaml").write_text(STACK + text)
    return load(folder, (), environ={"KEY": "sentinel"})


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder, standin = tmp_path_factory.mktemp("matches"), StandIn()
    (folder / "audit.py").write_text(SOURCE)
    with httpx.Client(transport=standin, base_url="http://stand.in") as http:
        for name in ("ann", "bob"):
            body = {"name": name, "tags": ["support"], "metadata": {"team": "a"}, "secrets": {"OLD": "o"}}
            model = {"model": "letta/letta-free", "embedding": "letta/letta-free"}
            http.post("/v1/agents/", json={**body, **model}).raise_for_status()
    manifests = {name: (read(folder, before), read(folder, text)) for name, (before, text, _) in PHASES.items()}
    tables, after, shapes = {}, {}, {}
    for name, (before, manifest) in manifests.items():
        prepared = run(before, standin.tables, PlanOptions())
        prepared.apply()
        undisturbed = run(manifest, prepared.standin.tables, PHASES[name][2])
        undisturbed.apply()
        tables[name], after[name] = prepared.standin.tables, agents(undisturbed.standin)
        shapes[name] = undisturbed.sent
    return Scene(manifests, tables, after, shapes, agents(standin))


def wrong(scene: Scene, phase: str, fault: Fault, number: int) -> str:
    """What is wrong after an apply with a fault at this request, and one without; empty: nothing."""
    manifest = scene.manifests[phase][1]
    disturbed = run(manifest, scene.tables[phase], PHASES[phase][2], fault, number)
    try:
        disturbed.apply_with_fault(must=False)
        disturbed.apply_again()
        if phase != "destroy":
            disturbed.assert_no_changes()
    except (Wrong, LettaformError) as error:
        return repr(error)
    if agents(disturbed.standin) != scene.after[phase]:
        return f"the agents are {agents(disturbed.standin)}"
    nothing = disturbed.given_up(scene.manifests["remove"][1], PlanOptions(prune=True))
    nothing.apply_again()
    kept = {name: {**each, "description": None} for name, each in agents(disturbed.standin).items()}
    untouched = {name: {**each, "description": None} for name, each in scene.untouched.items()}
    return "" if kept == untouched else f"what was added stays: {kept}"


def check(scene: Scene, cases: list[tuple[str, Fault, int]]) -> None:
    failed = {case: found for case in cases if (found := wrong(scene, *case))}
    assert not failed, "\n".join(f"{case}: {why}" for case, why in failed.items())


def every(scene: Scene, phase: str, *faults: Fault) -> list[tuple[str, Fault, int]]:
    return [(phase, fault, number) for fault in faults for number in range(1, len(scene.shapes[phase]) + 1)]


def test_undisturbed_applies_do_what_the_manifests_say(scene: Scene) -> None:
    added, changed = scene.after["add"], scene.after["change"]
    assert added["ann"]["tags"] == ["audited", "support", "vip"]
    assert added["bob"]["metadata"] == {"team": "a", "reviewed": "yes it is"}
    assert (changed["ann"]["tags"], changed["ann"]["blocks"]) == (["audited", "seen", "support"], ["rules"])
    assert (changed["bob"]["tags"], changed["bob"]["tools"]) == (["support"], scene.untouched["bob"]["tools"])
    for phase in ("remove", "destroy"):
        found = {name: {**each, "description": None} for name, each in scene.after[phase].items()}
        assert found == {name: {**each, "description": None} for name, each in scene.untouched.items()}


def test_a_block_that_was_about_to_be_attached_was_not_dropped_by_the_agent(scene: Scene) -> None:
    shapes = enumerate(scene.shapes["add"], 1)
    numbers = [number for number, shape in shapes if "/core-memory/blocks/attach/" in shape]
    assert len(numbers) == 2
    check(scene, [("add", fault, numbers[0]) for fault in (Fault.KILL_BEFORE, Fault.S500_BEFORE)])


def test_sample_of_kills_and_faults(scene: Scene) -> None:
    kills = [case for phase in PHASES for case in every(scene, phase, Fault.KILL_BEFORE, Fault.KILL_AFTER)]
    others = [case for phase in PHASES for case in every(scene, phase, *Fault)]
    check(scene, [*random.Random(3).sample(kills, 4), *random.Random(4).sample(others, 1)])


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fault", Fault)
def test_every_fault_at_every_request(scene: Scene, fault: Fault, phase: str) -> None:
    check(scene, every(scene, phase, fault))
