"""A plan of a large fleet on a stand-in, in a process of its own: `python -m bench.large ROW AGENTS` prints JSON.

The memory is that of the whole process: of the plan, and of the server that holds the fleet.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from bench.filled import URL, filled
from bench.fleet import write
from bench.tape import replayed, taped
from lettaform import flow
from lettaform.model import PlanOptions

ROWS = {"plan": PlanOptions(), "destroy plan": PlanOptions(destroy=True, allow_destroy=("*",))}


def measured(row: str, agents: int) -> dict[str, float]:
    """Seconds, CPU seconds and requests of one plan, peak memory in MB, and the CPU seconds of its requests alone."""
    standin = filled(agents)
    with tempfile.TemporaryDirectory() as name, taped(standin) as sent:
        folder = Path(name)
        write(folder, agents)
        started, used = time.perf_counter(), time.process_time()
        plan = flow.plan(flow.Source(folder), flow.Connection(url=URL), ROWS[row])
        found = {"wall": time.perf_counter() - started, "cpu": time.process_time() - used}
    assert len(plan.changes) == (0 if row == "plan" else 3 * agents + 5), len(plan.changes)
    found |= {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "requests": len(sent)}
    used = time.process_time()
    replayed(URL, sent, standin)
    return {**found, "floor": time.process_time() - used}


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]))))
