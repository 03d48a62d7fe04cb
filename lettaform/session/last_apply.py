"""The last apply from a project, to a file there and back: what it did, and which snapshot undoes it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lettaform.errors import PlanError
from lettaform.model import Plan, Report
from lettaform.plan.saved import plan_digest
from lettaform.render import data
from lettaform.session.files import WORKING, make_working_folder, write_json

FILE = WORKING / "last-apply.json"
"""Below the project."""


@dataclass(frozen=True)
class Kept:
    """What a rollback restores.

    folder   the snapshot
    url      the URL of the server
    digests  of the plans that it undoes: of the last apply, and of rollbacks of it that did not finish
    """

    folder: Path
    url: str
    digests: frozenset[str]


def write(project: Path, plan: Plan, report: Report, undoes: Kept | None = None, *, finished: bool) -> None:
    """Write what an apply did. A file that cannot be written is no error: it must not undo what was done.

    undoes    what a rollback restores
    finished  False: a rollback that follows continues this one
    """
    body = {
        "stack": plan.stack,
        "server": plan.url,
        "digest": plan_digest(plan),
        "snapshot": _below(Path(report.snapshot), project) if report.snapshot else None,
        "undoes": {"snapshot": _below(undoes.folder, project), "digests": sorted(undoes.digests)} if undoes else None,
        "finished": finished,
        "summary": data.summary(report),
        "steps": data.outcomes(report),
    }
    with suppress(OSError):
        make_working_folder(project)
        write_json(project / FILE, body)


def read(project: Path, stack: str) -> Kept:
    """What a rollback restores. Raises PlanError if the last apply was of another stack, or took no snapshot."""
    hint = "`lettaform snapshot list` shows what `lettaform restore` can bring back"
    try:
        last = json.loads((project / FILE).read_text(encoding="utf-8"))
        before, kept, digests = str(last["stack"]), last["snapshot"], frozenset({str(last["digest"])})
        url, undoes = str(last["server"]), None if last["finished"] else last["undoes"]
        if undoes:
            kept, digests = undoes["snapshot"], digests.union(map(str, undoes["digests"]))
    except FileNotFoundError as error:
        raise PlanError(f"nothing was applied from this folder: there is no {FILE}", hint) from error
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise PlanError(f"{project / FILE} cannot be read", hint) from error
    if before != stack:
        raise PlanError(f"the last apply from this folder was of the stack `{before}`, and this is `{stack}`", hint)
    if not kept:
        hint = "`apply --snapshot`, or `snapshots: {before: apply}` in the manifest, keeps what an apply changes"
        raise PlanError("the last apply kept no snapshot", hint)
    return Kept(project / str(kept), url, digests)


def _below(folder: Path, project: Path) -> str:
    """A folder, relative to the project if it is below it."""
    folder, home = folder.resolve(), project.resolve()
    return str(folder.relative_to(home) if folder.is_relative_to(home) else folder)
