"""The CPU time of planning by the number of agents: comparing, and putting the steps in order. No server.

    python bench/planning.py [--sizes 500 1000 2000 4000] [--rounds 3]

Each agent has three own blocks, and all share one. Three plans are timed: create everything, change every agent and
own block, and destroy everything. The table has the least CPU seconds of the rounds, the milliseconds for each agent,
and the growth of these from the first size.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lettaform.backend.v1.capabilities import capabilities
from lettaform.kinds import kinds
from lettaform.manifest import load
from lettaform.model import Desired, Live, Manifest, Mark, Observed, Plan, PlanOptions, State
from lettaform.plan import diff, make
from lettaform.values import digest, settle

LABELS = ("human", "persona", "notes")


def fleet(agents: int, word: str) -> Manifest:
    """A manifest; `word` is in every system prompt and own block."""
    whole: dict[str, Any] = {
        "stack": "bench",
        "blocks": {"team": {"value": "What all know."}},
        "agents": {
            f"agent{number}": {
                "model": "letta/letta-free",
                "embedding": "letta/letta-free",
                "system": f"You are {word} {number}.",
                "memory": {label: f"{word} {label} of {number}" for label in LABELS},
                "blocks": ["team"],
            }
            for number in range(agents)
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "lettaform.yaml").write_text(json.dumps(whole))
        return load(Path(folder), environ={})


def nothing() -> Observed:
    """What is observed of a stack that was never applied."""
    return Observed("http://here", "0.16.8", State({}, {}), {}, attached={}, capabilities=capabilities())


def applied(manifest: Manifest) -> Observed:
    """What is observed after a manifest was applied."""
    ids = {address: f"{desired.kind}-{number}" for number, (address, desired) in enumerate(manifest.objects.items())}
    lives = {address: _live(desired, ids) for address, desired in manifest.objects.items()}
    shared = tuple(live for address, live in lives.items() if live.kind == "block" and not address.parent)
    attached = {live.id: shared for live in lives.values() if live.kind == "agent"}
    for address, live in lives.items():
        if address.parent:
            attached[ids[address.parent]] += (live,)
    state = State({address: id for address, id in ids.items() if not address.parent}, {}, exists=True, serial=1)
    return Observed("http://here", "0.16.8", state, lives, attached=attached, capabilities=capabilities())


def _live(desired: Desired, ids: Mapping[Any, str]) -> Live:
    values: dict[str, Any] = {
        "tags": [],
        "metadata": {},
        **settle(dict(desired.values), lambda ref: ids[ref.address]),
    }
    lines = kinds()[desired.kind].attrs()
    base = {name: digest(values[name]) for name in desired.values if not lines[name].additive}
    members = {name: tuple(values[name]) for name in desired.values if lines[name].additive}
    name = str(values[kinds()[desired.kind].name_field])
    mark = Mark(base, members, {label: {} for label in LABELS} if desired.kind == "agent" else {})
    return Live(desired.kind, ids[desired.address], name, values, desired.address, "bench", mark, marked=True)


def seconds(manifest: Manifest, observed: Observed, options: PlanOptions) -> tuple[float, Plan]:
    """The CPU seconds of one plan."""
    gc.collect()
    gc.disable()  # as a session does
    started = time.process_time()
    plan = make(manifest, observed, options, diff(manifest, observed, options))
    used = time.process_time() - started
    gc.enable()
    return used, plan


def measured(agents: int, rounds: int) -> dict[str, float]:
    """The name of each plan to the least CPU seconds of the rounds."""
    before, after = fleet(agents, "seed"), fleet(agents, "changed")
    live, destroy = applied(before), PlanOptions(destroy=True, allow_destroy=("*",))
    runs = {
        "create": (before, nothing(), PlanOptions()),
        "change all": (after, live, PlanOptions()),
        "destroy": (before, live, destroy),
    }
    unchanged = seconds(before, live, PlanOptions())[1]
    assert not unchanged, list(unchanged.changes[:2])
    found = {}
    for name, run in runs.items():
        results = [seconds(*run) for _ in range(rounds)]
        assert all(len(plan.changes) >= agents for _, plan in results)
        found[name] = min(used for used, _ in results)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 1000, 2000, 4000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    measured(50, 1)  # imports and caches
    first: dict[str, float] = {}
    print(f"{'plan':12} {'agents':>7} {'CPU s':>8} {'ms/agent':>9} {'growth':>7}")
    for agents in options.sizes:
        for name, used in measured(agents, options.rounds).items():
            each = used / agents * 1000
            growth = each / first.setdefault(name, each)
            print(f"{name:12} {agents:7} {used:8.2f} {each:9.3f} {growth:7.2f}", flush=True)


if __name__ == "__main__":
    main()
