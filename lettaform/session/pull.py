"""A manifest and its Diff to a Pull, and to the new contents of the files: secrets and conflicts are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lettaform.address import matches
from lettaform.errors import Problem
from lettaform.kinds import kinds
from lettaform.manifest import without_garbage_collection
from lettaform.manifest.secret_shapes import SHORTEST, find
from lettaform.manifest.write import NewValue, Reload, write_values
from lettaform.model import Lock, Manifest, Observed, Plan, PlanOptions
from lettaform.plan import Diff, diff, make, shards
from lettaform.plan.pull import LiveValue, Pull, PullOptions, live_values, present
from lettaform.session import Session, check_comparable
from lettaform.values import Secret, secrets

Contents = Mapping[Path, tuple[bytes, bytes]]
"""Path of a file to its content before and after."""


@dataclass(frozen=True)
class Prepared:
    """A Pull, and what it writes. `contents` is empty if there is nothing to pull."""

    pull: Pull
    contents: Contents


async def compare(session: Session, options: PlanOptions, *, matched: bool = False) -> tuple[Diff, Lock | None]:
    """What differs between a manifest and the live objects, and the lock of another run. Raises PlanError.

    matched  compare the agents that `matches` selects, too
    """
    with without_garbage_collection():
        observed, holder = await session.beside_holder(partial(session.first_observed, matched=matched))
        observed = shards.certain(observed, session.manifest, options.shard)
        check_comparable(options, session.manifest, observed)
        return diff(session.manifest, observed, options), holder


def prepare(
    manifest: Manifest,
    difference: Diff,
    options: PullOptions,
    directory: Path,
    reload: Reload,
    keys: Mapping[str, str] = {},
) -> Prepared:
    """What a pull does to the files of a manifest. Writes nothing. Raises Outdated.

    reload  loads the manifest with other contents of its files
    keys    more secrets: the value to what it is, in words
    """
    observed = difference.observed
    assert observed is not None
    known, unset = {**known_secrets(manifest, observed), **keys}, _unset(manifest)
    found = live_values(manifest, difference, options)
    refused = [problem for each in found if (problem := _secret(each, known))]
    secret = {(problem.address, problem.field) for problem in refused}
    found = [each for each in found if (str(each.address), each.path) not in secret]
    wanted = {(each.address, each.path): each for each in found if each.outcome == "pull"}
    values = [NewValue(each.address, each.path, each.new) for each in wanted.values()]
    rewritten = write_values(manifest, directory, values, partial(present, observed), reload)
    written = {(each.address, each.path) for each in rewritten.written}
    pull = Pull(
        manifest.stack,
        observed.url,
        observed.version,
        manifest.environment,
        options,
        tuple(each for where, each in wanted.items() if where in written),
        tuple(each for each in found if each.outcome == "conflict"),
        tuple(refused),
        (*(problem for _, problem in rewritten.refused), *(_not_a_value(each) for each in found if each.note)),
        tuple(each for each in found if each.outcome in ("manifest", "drift", "ours")),
        {_shown(path): (old.decode(), new.decode()) for path, (old, new) in rewritten.files.items()},
        (*_elsewhere(manifest, len(rewritten.outside)), *_unsearched(unset)),
        tuple(known),
    )
    return Prepared(pull, rewritten.files)


def _not_a_value(value: LiveValue) -> Problem:
    return Problem(f"`{value.path}` {value.note}", value.place, None, str(value.address), value.path)


def _shown(path: Path) -> str:
    """The path as messages show it: relative to the working directory if it is inside it."""
    here = Path.cwd().resolve()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()


# --- secrets ---------------------------------------------------------------------------------------------------------


def _secret(value: LiveValue, known: Mapping[str, str]) -> Problem | None:
    """The problem that a text would carry a secret into the files; None if it has none, or would not be written."""
    if value.outcome not in ("pull", "conflict") or not isinstance(value.live, str):
        return None
    found = find(value.live, known, value.want if isinstance(value.want, str) else "")
    if found is None:
        return None
    message = f"`{value.path}` contains {found.what}, in line {found.line} of the text on the server"
    hint = "remove it there, and replace the key: an agent has it in its memory"
    return Problem(message, value.place, hint, str(value.address), value.path)


def known_secrets(manifest: Manifest, observed: Observed) -> Mapping[str, str]:
    """The values of all secrets of a stack, declared and live, each with its name."""
    declared = {text: name for name, each in _declared(manifest) if not each.unset for text in each.texts}
    return {text: name for text, name in {**_live(observed), **declared}.items() if len(text) >= SHORTEST}


def _declared(manifest: Manifest) -> Iterator[tuple[str, Secret]]:
    """The secrets of a manifest, each with the expression or the field that gives it."""
    for address, desired in manifest.objects.items():
        for name, value in desired.values.items():
            for each in secrets(value):
                yield each.expression if each.expression.startswith("${") else f"`{name}` of {address}", each
    for each in secrets([*manifest.inputs.variables.values(), manifest.server.api_key]):
        yield each.expression if each.expression.startswith("${") else "`server.api_key`", each


def _live(observed: Observed) -> Mapping[str, str]:
    """The values in the secret fields of the live objects."""
    found: dict[str, str] = {}
    for address, live in observed.objects.items():
        for name, line in kinds()[live.kind].attrs().items():
            value = live.values.get(name) if line.secret else None
            texts = value.values() if isinstance(value, Mapping) else [value]
            found |= {text: f"`{name}` of {address}" for text in texts if isinstance(text, str)}
    return found


def _unset(manifest: Manifest) -> Sequence[str]:
    """The expressions of the secrets that have no value in this run."""
    return sorted({each.expression for _, each in _declared(manifest) if each.unset})


def _unsearched(expressions: Sequence[str]) -> Iterator[Problem]:
    if expressions:
        message = f"{', '.join(expressions)}: without a value here, and therefore not looked for in the texts"
        yield Problem(message, None, "set the variable to have its value looked for", severity="warning")


# --- environments ----------------------------------------------------------------------------------------------------


def _elsewhere(manifest: Manifest, number: int) -> Iterator[Problem]:
    """A warning if the values of one environment go into what other environments share with it."""
    if number:
        inside = f"environments.{manifest.environment}"
        message = f"{number} of the values are written outside of `{inside}`: other environments have them, too"
        hint = f"write a value below `{inside}` to pull it for this environment alone"
        yield Problem(message, None, hint, severity="warning")


def locked(holder: Lock) -> Problem:
    """The warning that another run is changing what is read."""
    message = f"the stack is locked by {holder.holder} since {holder.since}: values may change while they are read"
    return Problem(message, severity="warning")


async def marks_of(session: Session, patterns: Sequence[str]) -> Plan:
    """The plan that writes the marks of some objects and nothing else. Leaves out objects that change otherwise.

    patterns  of addresses, which select the agent of an own block, too; empty: all objects
    """
    difference, _ = await compare(session, PlanOptions())
    bare = [each for each in difference.resources if each.change.action == "mark"]
    named = {address for address in session.manifest.objects if not patterns or matches(address, tuple(patterns))}
    chosen = named | {address.parent for address in named}
    marks = (each for each in bare if each.address in chosen)
    difference = replace(difference, resources=tuple(marks), problems=(), guards=())
    session.observed = difference.observed
    assert session.observed is not None
    return make(session.manifest, session.observed, PlanOptions(), difference)
