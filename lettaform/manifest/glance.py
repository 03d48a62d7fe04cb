"""The texts of a large manifest, before they are parsed, to its stack and fields: enough to begin to read the server.

What is found is a guess: a text may be in a comment, or mean something else. Compare it with the Outline.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lettaform.address import COMPONENTS
from lettaform.kinds import kinds, sections
from lettaform.kinds.traits import AddsTo, Companions
from lettaform.manifest.documents import sources
from lettaform.manifest.files import Files
from lettaform.manifest.node import Node
from lettaform.manifest.problems import Problems
from lettaform.manifest.text import parse

SMALL = 65_536
"""Length of a manifest up to which it is parsed before a request could be sent."""

_TOP = re.compile(r"""^(["']?)(?:stack|include)\1[ \t]*:.*(?:\n(?:[ \t#-].*)?(?=\n|\Z))*""", re.MULTILINE)
"""A top-level key of a file in block style, with its value."""
_STACK = re.compile(r'"stack"\s*:\s*("[^"\\\n]*")')
"""The name of a stack in JSON."""


@dataclass(frozen=True)
class Glance:
    """What a manifest probably says. `fields`: kind to those fields that decide how its objects are listed."""

    stack: str
    fields: Mapping[str, frozenset[str]]


def glance(
    directory: Path, named: Sequence[Path] = (), *, environment: str | None = None, stack: str | None = None
) -> Glance | None:
    """A glance at the manifest files of a project. None if they are small, faulty, use components, whose
    files say what else is declared, or name no stack or several.

    named, environment, stack  `files`, `environment` and `stack` of `load`
    """
    problems, texts = Problems(), list[str]()

    def first_lines(text: str, file: str, problems: Problems) -> Node | None:
        texts.append(text)
        return parse(_head(text), file, problems)

    nodes = [node for _, node in sources(named, Files(directory, problems), problems, first_lines)]
    if problems.has_errors or sum(map(len, texts)) < SMALL or any(_has_key(text, COMPONENTS) for text in texts):
        return None
    names = [node.map["stack"].text for node in nodes if node and "stack" in node.map]
    name = stack or (names[0] if len(names) == 1 else None)
    return Glance(name, _fields(texts, anywhere=environment is not None)) if name else None


def _head(text: str) -> str:
    """The lines of a file that name the stack and other files, as a file of their own."""
    if not text.lstrip().startswith("{"):
        return "\n".join(found[0] for found in _TOP.finditer(text)) or "{}"
    # in JSON, an external object has a `stack`, too: two of them are a duplicate key
    return "{" + ", ".join(f"stack: {found[1]}" for found in _STACK.finditer(text)) + "}"


def _fields(texts: Collection[str], *, anywhere: bool) -> Mapping[str, frozenset[str]]:
    """Kind to fields, as far as they decide what is listed. `anywhere`: also where an environment declares objects."""
    fields: dict[str, set[str]] = {}
    for section, kind in sections().items():
        if not any(_declares(text, section, anywhere) for text in texts):
            continue
        found = {name for name in _decisive(kind) if any(_has_key(text, name, inner=True) for text in texts)}
        fields.setdefault(kind, set()).update(found)
        for line, companions in kinds()[kind].relations(Companions):
            if line.name in found:
                for other in companions.kinds:
                    fields.setdefault(other, set())
    return {kind: frozenset(names) for kind, names in fields.items()}


def _decisive(kind: str) -> Iterator[str]:
    """The fields of a kind that decide what its list must hold, or which other kinds are listed."""
    table = kinds()[kind]
    yield from (name for name, line in table.attrs().items() if line.include)
    yield from (name for _, adds in table.relations(AddsTo) for name in adds.fields)
    yield from (line.name for line, _ in table.relations(Companions))


def _declares(text: str, section: str, anywhere: bool) -> bool:
    """Whether a file has a section."""
    if anywhere or text.lstrip().startswith("{"):
        return _has_key(text, section)
    return re.search(rf"""^(["']?){section}\1[ \t]*:""", text, re.MULTILINE) is not None


def _has_key(text: str, name: str, *, inner: bool = False) -> bool:
    """Whether a file has a key of this name, at any depth. `inner`: not at the beginning of a line, as a section.

    A pattern that begins with a literal is found fast.
    """
    before = r"[\n\w.-]" if inner else r"[\w.-]"
    return re.search(rf"""{name}(?<!{before}{name})["']?[ \t]*:""", text) is not None
