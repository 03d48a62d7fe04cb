"""Ratios of CPU times that a change must not raise: `python -m bench.ratios [--write]`. They are in `ratios.json`.

Ratios of two measurements of one moment, and of CPU time: they hardly depend on the machine, nor on what else it does.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from bench.filled import URL, filled
from bench.fleet import write
from bench.process import python, run
from bench.tape import replayed, taped
from lettaform import flow
from lettaform.manifest import load

KNOWN = Path(__file__).with_name("ratios.json")
AGENTS, ROUNDS = 100, 3
TOLERANCE = 1.5
"""How much larger than the known one a ratio may be."""


def measured() -> dict[str, float]:
    """Each command to its CPU time, as a multiple of its floor's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (file,) = write(folder, AGENTS)
        text = file.read_text()
        return {
            "--help": _least(lambda: _of(folder, "-m", "lettaform", "--help"), lambda: _of(folder, "-c", "pass")),
            "version": _least(lambda: _of(folder, "-m", "lettaform", "version"), lambda: _of(folder, "-c", "pass")),
            "validate": _least(
                lambda: _cpu(lambda: load(folder, environ={})),
                lambda: _cpu(lambda: yaml.compose(text, Loader=yaml.CSafeLoader)),
            ),
            "plan": _plan(folder),
        }


def _plan(folder: Path) -> float:
    """A plan without changes on a stand-in, to its requests alone."""
    standin = filled(AGENTS)
    with taped(standin) as sent:
        flow.plan(flow.Source(folder), flow.Connection(url=URL))
        requests = list(sent)
        return _least(
            lambda: _cpu(lambda: flow.plan(flow.Source(folder), flow.Connection(url=URL))),
            lambda: _cpu(lambda: replayed(URL, requests, standin)),
        )


def _least(ours: Callable[[], float], floor: Callable[[], float]) -> float:
    """The ratio of the least of some rounds. The first round, which imports and fills caches, does not count."""
    pairs = [(ours(), floor()) for _ in range(ROUNDS + 1)][1:]
    return min(each for each, _ in pairs) / min(each for _, each in pairs)


def _of(folder: Path, *words: str) -> float:
    return run(python(*words), folder)[0].cpu


def _cpu(call: Callable[[], object]) -> float:
    before = time.process_time()
    call()
    return time.process_time() - before


def worse(now: dict[str, float], known: dict[str, float]) -> list[str]:
    """A sentence for each ratio that is larger than it may be."""
    return [
        f"{name}: {now[name]:.2f} times its floor, before: {known[name]:.2f}"
        for name in known
        if now[name] > known[name] * TOLERANCE
    ]


def main() -> None:
    now = measured()
    for name, ratio in now.items():
        print(f"{name:10} {ratio:6.2f}")
    if "--write" in sys.argv[1:]:
        KNOWN.write_text(json.dumps({name: round(ratio, 2) for name, ratio in now.items()}, indent=1) + "\n")
    elif found := worse(now, json.loads(KNOWN.read_text())):
        raise SystemExit("\n".join(found))


if __name__ == "__main__":
    main()
