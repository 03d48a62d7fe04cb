"""A Manifest to a part of a saved plan, and back: without its files, and without the values of secrets."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from lettaform.address import Address
from lettaform.errors import ManifestError, Place, Problem, Stale
from lettaform.manifest.expressions import Path as Expression
from lettaform.manifest.expressions import parse, paths
from lettaform.manifest.files import Files
from lettaform.manifest.load import Draft, begin
from lettaform.manifest.node import UNRESOLVED, Node
from lettaform.manifest.problems import Problems
from lettaform.manifest.scope import Scope, unset_secret
from lettaform.manifest.variables import one_of, ways_to_give
from lettaform.manifest.variables import variables as values_of
from lettaform.model import (
    Check,
    Desired,
    Expectation,
    ExpectedCall,
    ExpectedText,
    External,
    Import,
    Inputs,
    Judge,
    Limits,
    Manifest,
    Match,
    Moved,
    PlanPolicy,
    Removed,
    Selector,
    Server,
    Turn,
)
from lettaform.ownership.canaries import original_of
from lettaform.values import Digest, Item, Ref, Secret, Template, digest, rebuild, secrets

_CLASSES: Mapping[str, Any] = {
    each.__name__: each
    for each in (
        *(Manifest, Desired, External, Import, Inputs, Limits, Moved, PlanPolicy, Problem, Removed, Server),
        *(Check, Expectation, ExpectedCall, ExpectedText, Judge, Turn, Match, Selector),
        *(Digest, Item, Ref, Template),
    )
}
_TYPES = {bool: "bool", int: "number", float: "number", list: "list", dict: "map"}
_MOST_NAMED = 3
"""How many addresses one problem names."""


@dataclass(frozen=True)
class Given:
    """What is there when a saved plan is applied: a folder, which may hold the project, and values. As for `begin`."""

    directory: Path
    files: Sequence[Path]
    environment: str | None
    variables: Mapping[str, str]
    variable_files: Sequence[Path]
    environ: Mapping[str, str]


# --- saving ----------------------------------------------------------------------------------------------------------


def dump(manifest: Manifest, uploaded: Collection[Item]) -> dict[str, Any]:
    """A manifest as JSON. Of a secret, it holds where the value comes from.

    uploaded  the files that the plan uploads: their content is saved, too. OSError if one cannot be read; Stale if one
              has changed.
    """
    contents = {item.key: _content(item) for item in uploaded if "path" in item.body}
    found: dict[str, Any] = encode(manifest, contents)
    return found


def _content(item: Item) -> str:
    data = Path(item.body["path"]).read_bytes()
    if not item.key.endswith(hashlib.sha256(data).hexdigest()):
        raise Stale(f"{item.name} has changed while the plan was made", "plan again")
    return b64encode(data).decode()


def encode(value: Any, contents: Mapping[str, str]) -> Any:
    """A value as JSON. `contents`: the key of a file that is uploaded to its content."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Address():
            return {"$address": str(value)}
        case Place():
            return {"$place": [value.file, value.line, value.column]}
        case Secret():
            parts = {"parts": encode(list(value.parts), contents)} if value.parts else {}
            return {"$secret": value.expression, **parts, **({"hidden": True} if value.hidden else {})}
        case Item() if "path" in value.body:
            body = {"base64": contents[value.key]} if value.key in contents else {}
            return encode(replace(value, body=body), contents)
        case Mapping():
            pairs = [[encode(key, contents), encode(item, contents)] for key, item in value.items()]
            plain = all(isinstance(key, str) and not key.startswith("$") for key in value)
            return dict(pairs) if plain else {"$map": pairs}
        case list():
            return [encode(each, contents) for each in value]
        case tuple():
            return {"$tuple": [encode(each, contents) for each in value]}
    assert is_dataclass(value), type(value)
    return {"$is": type(value).__name__, **{name: encode(each, contents) for name, each in _given(value)}}


_OF_FILES = ((Desired, "files"), (Manifest, "passed"))
"""What is known of a manifest only together with its files."""


def _given(value: Any) -> Iterator[tuple[str, Any]]:
    """The fields that do not have their default. The files of texts are found by the files of the manifest alone."""
    for field in fields(value):
        each = getattr(value, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if each != default and (type(value), field.name) not in _OF_FILES:
            yield field.name, each


# --- reading ---------------------------------------------------------------------------------------------------------


def decode(data: Any, secret: Callable[[str], Secret]) -> Any:
    """The value that was encoded. `secret`: the secret that an expression of one variable gives.

    Raises ValueError, TypeError, KeyError or AttributeError for what `encode` does not write.
    """
    if isinstance(data, list):
        return [decode(each, secret) for each in data]
    if not isinstance(data, dict):
        return data
    match data:
        case {"$address": str(text)}:
            return Address.read(text)
        case {"$place": [file, line, column]}:
            return Place(file, line, column)
        case {"$secret": str(expression)}:
            return _joined(expression, decode(data.get("parts", []), secret), data, secret)
        case {"$map": pairs}:
            return {decode(key, secret): decode(item, secret) for key, item in pairs}
        case {"$tuple": items}:
            return tuple(decode(each, secret) for each in items)
        case {"$is": str(name)}:
            return _CLASSES[name](**{key: decode(item, secret) for key, item in data.items() if key != "$is"})
    return {key: decode(item, secret) for key, item in data.items()}


def _joined(expression: str, parts: list[Any], data: Mapping[str, Any], secret: Callable[[str], Secret]) -> Secret:
    found = [each for each in parts if isinstance(each, Secret)]
    if not found:
        return secret(expression)
    text = "".join(each.value if isinstance(each, Secret) else each for each in parts)
    unset = any(each.unset for each in found)
    return Secret(expression, text, tuple(parts), unset=unset, hidden="hidden" in data)


def open_saved(part: Mapping[str, Any], needed: Mapping[str, Sequence[str]], given: Given) -> Draft:
    """The manifest of a saved plan: from the files of the project if all are there, otherwise from the plan.

    part    what `dump` returned
    needed  the source of each secret that the plan writes, such as `${var.token}`, to the addresses it is written to

    Other secrets need no values, and variables that are no secrets have those of the plan. `finish` raises
    ManifestError for each secret without a value, and Stale if a value or a file that is there is not that of the plan.
    Raises ValueError, TypeError, KeyError or AttributeError if the part is not what `dump` writes.
    """
    whole = decode(part, unset_secret)
    if not isinstance(whole, Manifest):
        raise ValueError("no manifest")
    planned = whole.inputs
    is_there = {name: (given.directory / name).is_file() for name in planned.files}
    if from_files := bool(is_there) and all(is_there.values()):
        environment = given.environment if given.environment is not None else part.get("environment")
        opened = begin(
            given.directory,
            given.files,
            environment=environment,
            variables=given.variables,
            variable_files=given.variable_files,
            environ=given.environ,
            needs="plain",
            connects=False,
            planned=_plain(planned),
        ).finish
    else:

        def opened() -> Manifest:
            return _without_files(part, planned, given)

    def finish() -> Manifest:
        manifest = _with_canaries(opened(), whole)
        if missing := list(_missing(manifest, needed)):
            raise ManifestError(missing)
        return manifest

    return Draft(None, finish, from_files)


def _with_canaries(manifest: Manifest, saved: Manifest) -> Manifest:
    """A manifest with the canaries of a saved plan, and with their removal: no file declares them."""
    known = {each.expression: each for desired in manifest.objects.values() for each in secrets(desired.values)}

    def leaf(each: Ref | Secret) -> Any:
        return known.get(each.expression, each) if isinstance(each, Secret) else each

    copies = {
        address: replace(desired, values={name: rebuild(value, leaf) for name, value in desired.values.items()})
        for address, desired in saved.objects.items()
        if original_of(address) is not None
    }
    removed = [entry for entry in saved.removed if original_of(entry.address) and entry not in manifest.removed]
    return replace(manifest, objects={**manifest.objects, **copies}, removed=(*manifest.removed, *removed))


def _plain(planned: Inputs) -> dict[str, Any]:
    """The values of the variables that are no secrets, by their names."""
    values = ((name.removeprefix("var."), value) for name, value in planned.variables.items())
    return {name: value for name, value in values if not isinstance(value, Secret)}


def _without_files(part: Mapping[str, Any], planned: Inputs, given: Given) -> Manifest:
    """The manifest of the plan with the secrets of this run."""
    problems = Problems()
    scope = Scope(Files(given.directory, problems), problems, given.environ, planned=_plain(planned), needs="plain")
    scope.variables = values_of(_declared(planned), given.variables, given.variable_files, scope, given.environ)
    if problems.has_errors:
        raise ManifestError(problems.errors)
    _check_same(part, planned, scope.variables, given)

    def secret(expression: str) -> Secret:
        """The secret of an expression; unset if the manifest is needed to evaluate it, or nothing gives the value."""
        if not _sources(expression):
            return unset_secret(expression)
        with scope.needing("nothing"):
            found = scope.value(Node(Place("the saved plan", 1, 1), expression))
        return found if isinstance(found, Secret) else unset_secret(expression)

    found: Manifest = decode(part, secret)
    key = found.server.api_key
    return replace(found, server=replace(found.server, api_key=None)) if key and key.unset else found


def _sources(expression: str) -> tuple[Expression, ...]:
    """The variables that a secret is made of; none if it is written in clear, or made of what only the manifest has."""
    if not expression.startswith("${"):
        return ()
    found = tuple(paths(parse(expression[2:-1])))
    return found if all(path.head in ("var", "env") for path in found) else ()


def _declared(planned: Inputs) -> Node:
    """The declarations of the variables that the plan was made from."""
    place = Place("the saved plan", 1, 1)

    def node(value: Any) -> Node:
        members = {key: node(item) for key, item in value.items()} if isinstance(value, dict) else value
        return Node(place, members, dict.fromkeys(value, place) if isinstance(value, dict) else {})

    every: dict[str, dict[str, Any]] = {}
    for name, value in planned.variables.items():
        head, _, variable = name.partition(".")
        if head == "var":
            kind = {"secret": True} if isinstance(value, Secret) else {"type": _TYPES.get(type(value), "string")}
            source = {"env": planned.environment[variable]} if variable in planned.environment else {}
            every[variable] = {**kind, **source}
    return node(every)


def _check_same(part: Mapping[str, Any], planned: Inputs, values: Mapping[str, Any], given: Given) -> None:
    """Raise Stale if a file that is there, or a value that is given, is not that of the plan."""
    moved = [
        f"{name} has changed" for name, sha in planned.files.items() if _sha(given.directory / name) not in (sha, "")
    ]
    moved += [
        f"var.{name} has another value than planned"
        for name, value in _plain(planned).items()
        if values.get(name, UNRESOLVED) is UNRESOLVED or digest(values[name]) != digest(value)
    ]
    if given.environment is not None and given.environment != part.get("environment"):
        moved.append("this is another environment")
    if moved:
        problems = [Problem(each) for each in moved]
        raise Stale(f"the plan is stale: {', '.join(moved)}", "plan again and review the new plan", problems)


def _sha(path: Path) -> str:
    """The digest of a file; empty if it is not there."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if os.path.exists(path) else ""
    except OSError:
        return "unreadable"


def _missing(manifest: Manifest, needed: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """A problem for each secret that the plan writes and nothing gives."""
    sources = manifest.inputs.environment
    for expression, addresses in needed.items():
        unset = [each for each in addresses if _is_unset(manifest, each, expression)]
        if not unset:
            continue
        more = len(unset) - _MOST_NAMED
        whom = ", ".join(unset[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        found = _sources(expression)
        if not found:
            message = f"the saved plan writes a secret that only the manifest of {whom} has; no plan holds secrets"
            hint = "apply it in the folder of the manifest, or declare a variable with `secret: true` and plan again"
            yield Problem(message, hint=hint, address=unset[0])
        for path in found:
            name, of_var = path.steps[0][0], path.head == "var"
            message = f"the {'variable' if of_var else 'environment variable'} `{name}` has no value: {whom} needs it"
            hint = one_of(ways_to_give(name, sources.get(name))) if of_var else f"export {name}=…"
            yield Problem(message, hint=hint, address=unset[0])


def _is_unset(manifest: Manifest, address: str, expression: str) -> bool:
    desired = manifest.objects.get(Address.read(address))
    found = secrets(desired.values) if desired else ()
    return any(source.unset and source.expression == expression for each in found for source in each.sources)
