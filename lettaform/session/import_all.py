"""What lives on a server and nobody owns to the files of a manifest that adopts it and changes nothing.

What is written is loaded and planned before it is put in place. What the plan would change is not declared, and is
named in the result.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from lettaform.address import Address
from lettaform.backend import Backend, Reads
from lettaform.errors import ManifestError, Place, PlanError, Problem
from lettaform.kinds import companions, kinds
from lettaform.manifest import load, without_garbage_collection
from lettaform.manifest.amend import Amending, Fault
from lettaform.manifest.declare import Declared, declare
from lettaform.manifest.emit import Written, emit
from lettaform.manifest.keys import stack_name
from lettaform.model import Imported, Manifest, NotDeclared, PlanOptions
from lettaform.ownership.unowned import ImportOptions
from lettaform.plan import diff
from lettaform.session.files import beside, is_free, put_in_place, write_texts
from lettaform.session.observe import observe
from lettaform.session.recorded import Recorded
from lettaform.session.survey import Survey, survey
from lettaform.values import Ref, Secret, rebuild

ROUNDS = 12
"""How often the manifest is written and planned until the plan changes nothing."""


def check_folder(folder: Path) -> None:
    """Raise PlanError if a folder is not free to be written."""
    try:
        if is_free(folder):
            return
    except OSError as error:
        raise PlanError(f"cannot read {folder}: {error.strerror}") from error
    raise PlanError(f"{folder} is not an empty folder", "name a folder that does not exist: `-o DIR`")


async def import_all(backend: Backend, folder: Path, options: ImportOptions) -> Imported:
    """Read the server, and write the manifest to a folder: all of it, or nothing. PlanError if nothing is selected."""
    check_folder(folder)
    found = await survey(backend, options.only, without=options.without)
    stack = options.stack or _stack_name(folder)
    if stack in found.stacks:
        raise PlanError(f"the server has a stack `{stack}` already", "name another one: `--stack NAME`")
    if not found.chosen:
        why = _reasons(found)
        raise PlanError("nothing on the server is to be imported" + (f": {why}" if why else ""), _nothing(options))
    reads = Recorded(found.server, backend.url, found.version, backend.capabilities)
    declared = declare(found.server, found.chosen, found.facts)
    amending = Amending(declared, {id: live.values for id, live in found.server.lives.items()})
    written = await write(stack, amending, folder, partial(_differences, reads), fold=options.fold)
    left = [NotDeclared(f"{each.live.kind} `{each.live.name}`", each.reason, each.live.id) for each in found.left]
    result = report(stack, folder, amending, written, left)
    return replace(result, owned=found.owned, requests=backend.requests)


def _stack_name(folder: Path) -> str:
    return stack_name(folder.absolute().name, "imported")


def _reasons(found: Survey) -> str:
    reasons = Counter(left.reason for left in found.left)
    return "; ".join(reason for reason, _ in reasons.most_common(3)) or ", ".join(
        f"{number} objects belong to stack `{stack}`" for stack, number in sorted(found.owned.items())
    )


def _nothing(options: ImportOptions) -> str | None:
    return "check the filter: names are compared whole, `--match` takes `*`" if options.only else None


# --- write, load, plan -----------------------------------------------------------------------------------------------


Check = Callable[[Manifest], Awaitable[Iterable[Fault]]]
"""A manifest to what is wrong with it."""


async def write(stack: str, amending: Amending, folder: Path, check: Check, *, fold: bool) -> Written:
    """Write declarations to a folder, once nothing is wrong with their manifest."""
    try:
        with without_garbage_collection():
            flat = await _settled(stack, amending, folder, check)
            written = _shortest(stack, amending, flat, folder, fold=fold)
        with beside(folder) as made:
            write_texts(made, written.files)
            put_in_place(made, folder)
    except OSError as error:
        raise PlanError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    return written


async def _settled(stack: str, amending: Amending, folder: Path, check: Check) -> Manifest:
    """The manifest without short forms, once nothing is wrong with it."""
    faults: list[Fault] = []
    for _ in range(ROUNDS):
        declared = amending.declared
        written = emit(stack, declared.declarations, declared.hidden, short=False, fold=False)
        try:
            manifest = _loaded(written, declared, folder)
            faults = list(await check(manifest))
        except ManifestError as error:
            faults = [Fault.of(each) for each in error.problems]
        if not faults:
            return manifest
        if not amending.amend(faults):
            break
    problems = tuple(Problem(each.message, address=str(each.address)) for each in faults)
    raise PlanError("these objects cannot be declared as they are", problems=problems)


def _loaded(written: Written, declared: Declared, folder: Path) -> Manifest:
    """The manifest in these files. The secrets are given as values of the variables, and are not written."""
    with beside(folder) as made:
        write_texts(made, written.files)
        try:
            return load(made, variables=declared.hidden.values, environ={})
        except ManifestError as error:  # the folder does not exist for long
            named = re.compile(rf"\S*{re.escape(made.name)}/")
            raise ManifestError(
                [replace(each, message=named.sub("", each.message)) for each in error.problems]
            ) from None


async def _differences(reads: Recorded, manifest: Manifest) -> Iterator[Fault]:
    """What a plan of the manifest would change, or refuses."""
    observed = replace(await observe(cast(Reads, reads), manifest), users=reads.users())
    difference = diff(manifest, observed, PlanOptions())
    problems = [*observed.problems, *difference.problems]
    resources = [each.change for each in difference.resources if each.change.action not in ("adopt", "mark")]
    changes = [
        Fault(change.address, each.path, "an apply would change it", differs=True)
        for change in resources
        for each in change.fields_changed
    ]
    bare = [Fault(change.address, None, f"an apply would {change.action} it") for change in resources]
    return iter([*map(Fault.of, problems), *(changes or bare)])


def _shortest(stack: str, amending: Amending, flat: Manifest, folder: Path, *, fold: bool) -> Written:
    """The shortest form that declares exactly what the long one does."""
    declared = amending.declared
    forms = [(True, True)] if fold else []
    for short, folded in [*forms, (True, False), (False, False)]:
        written = emit(stack, declared.declarations, declared.hidden, short=short, fold=folded)
        try:
            if _says_the_same(flat, _loaded(written, declared, folder), written.addresses):
                return written
        except ManifestError:
            continue
    raise AssertionError("the long form was loaded before")


def _says_the_same(flat: Manifest, other: Manifest, addresses: Mapping[Address, Address]) -> bool:
    """Whether two manifests declare the same objects. `addresses`: those of the first one to those of the second."""
    known = dict(addresses)
    for old, new in addresses.items():
        known |= {a: b for (_, _, a), (_, _, b) in zip(companions(old), companions(new), strict=True)}

    def there(address: Address) -> Address:
        above = known.get(address.top, address.top)
        return address.moved(address.top, above)

    def moved(each: Ref | Secret) -> Ref | Secret:
        return each if isinstance(each, Secret) else Ref(there(each.address), each.path)

    if len(flat.objects) != len(other.objects):
        return False
    for address, desired in flat.objects.items():
        found = other.objects.get(there(address))
        values = rebuild(desired.values, moved)
        if found is None or found.values != values or found.policies != desired.policies:
            return False
        if replace(found, **_PLACES) != replace(
            desired, **_PLACES, address=there(address), values=values, created_with=found.created_with
        ):
            return False
    existing = {there(each.address): (each.id, each.name) for each in flat.imports}
    return existing == {each.address: (each.id, each.name) for each in other.imports}


_PLACES: dict[str, Any] = {"place": None, "places": {}, "files": {}}


def report(
    stack: str,
    folder: Path,
    amending: Amending,
    written: Written,
    left: Sequence[NotDeclared],
    place_of: Callable[[Fault], Place | None] = lambda fault: None,
) -> Imported:
    """What was written, and what was not.

    left      what was left out before it was declared
    place_of  where a file says what is not declared
    """
    every = amending.declared.declarations
    # nothing is adopted of what is not on a server yet
    declared = [each for each in every if each.id] or [each for each in every if "external" not in each.settings]
    bodies = {each.address: written.addresses[each.address] for each in declared}
    sections = [kinds()[kind].section for kind in kinds()]
    others = amending.declared.left
    left = [*left, *(NotDeclared(f"{each.live.kind} `{each.live.name}`", each.reason, each.live.id) for each in others)]
    left += [NotDeclared(_named(each.address, written), each.message, place=place_of(each)) for each in amending.faults]
    return Imported(
        stack,
        str(folder),
        tuple(sorted(written.files)),
        {name: number for name in sections if (number := sum(a.section == name for a in bodies))},
        {
            name: number
            for name in sections
            if (number := len({b.declaration for b in bodies.values() if b.section == name}))
        },
        {str(written.addresses[each.address]): str(each.id) for each in every if each.id},
        tuple(
            sorted(
                {(each.what, each.reason, each.place): each for each in left}.values(),
                key=lambda each: (each.place or _NOWHERE, each.what, each.reason),
            )
        ),
        dict(sorted(amending.declared.hidden.about.items())),
        {},
        environment=dict(sorted(amending.declared.hidden.environment.items())),
        by_name={str(written.addresses[each.address]): each.name for each in every if each.is_named},
    )


_NOWHERE = Place("", 0, 0)


def _named(address: Address | None, written: Written) -> str:
    if address is None:
        return "the manifest"
    top = written.addresses.get(address.top, address.top)
    return str(address.moved(address.top, top))
