"""The texts of a manifest to warnings: secrets in clear, placeholders, and expressions that are not evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place, Problem
from lettaform.kinds import kinds, sections
from lettaform.kinds.traits import SourceFile
from lettaform.manifest.node import Node, empty
from lettaform.manifest.secret_shapes import Finding, find
from lettaform.model import Desired, Manifest
from lettaform.values import Item, Secret, Template, walk

Shown = Callable[[Path], str]
"""The path of a file to how people see it."""

_PLACEHOLDER = re.compile(
    r"\bTODO:|\bFIXME\b|\bCHANGE_?ME\b|\b[Ll]orem ipsum\b|<(?:your|insert)[ _-][^<>\n]{1,40}>|"
    r"\[(?:your|insert) [^\[\]\n]{1,40}\]"
)
_PROMPTS = ("system", "value", "description")
"""The fields with texts for models."""


def of_texts(manifest: Manifest, whole: Node, shown: Shown) -> Iterator[Problem]:
    """The warnings about all texts. `whole`: the files with all environments."""
    known = {
        each.value: f"`{name}`"
        for name, each in manifest.inputs.variables.items()
        if isinstance(each, Secret) and not each.unset
    }
    found: dict[str, Finding | None] = {}
    for desired in manifest.objects.values():
        for text in _texts(desired, shown):
            if text.value not in found:  # all instances of a `for_each` often have the same
                found[text.value] = find(text.value, known)
            if finding := found[text.value]:
                yield text.secret(finding)
            yield from text.placeholder()
            yield from text.expression()
    yield from _secret_defaults(whole)


@dataclass(frozen=True)
class _Text:
    """One text of an object. `path`: its field. `file`: the file that it is the content of."""

    desired: Desired
    path: str
    value: str
    file: str | None = None

    def secret(self, found: Finding) -> Problem:
        """The warning that it contains a secret, whose line is not shown."""
        hint = "what models and people read holds no secrets: write it to the `secrets` of the agent, or remove it"
        return self._warning("secret-in-clear", f"contains {found.what}", hint, found.line, secret=True)

    def placeholder(self) -> Iterator[Problem]:
        """The warning that a part of it was left to be written."""
        found = _PLACEHOLDER.search(self.value) if self.path in _PROMPTS else None
        if found:
            line = self.value.count("\n", 0, found.start()) + 1
            yield self._warning(
                "placeholder-text", f"contains the placeholder `{found[0]}`", "write what is meant", line
            )

    def expression(self) -> Iterator[Problem]:
        """The warning that it is the content of a file with an expression, which has no meaning there."""
        source = kinds()[self.desired.kind].attrs()[self.path].related(SourceFile)
        found = _expression().search(self.value) if self.file and not source else None
        if found:
            line = self.value.count("\n", 0, found.start()) + 1
            hint = "write the text into the manifest for `${…}` to be evaluated"
            yield self._warning("expression-in-file", f"`{found[0]}` is not evaluated in a file", hint, line)

    def _warning(self, rule: str, message: str, hint: str, line: int, *, secret: bool = False) -> Problem:
        place = Place(self.file, line, 1) if self.file else self.desired.place_of(self.path)
        address = str(self.desired.address)
        return Problem(f"{self.path}: {message}", place, hint, address, self.path, "warning", secret, rule)


def _texts(desired: Desired, shown: Shown) -> Iterator[_Text]:
    """The texts of an object, without those of fields that hide their values."""
    lines = kinds()[desired.kind].attrs()
    for name, value in desired.values.items():
        if lines[name].secret or lines[name].to:
            continue
        file = desired.files.get(name)
        for leaf in walk(value):
            for each in walk(leaf.body) if isinstance(leaf, Item) else (leaf,):
                if isinstance(each, str):
                    yield _Text(desired, name, each, shown(Path(file)) if file else None)


def text_of(value: Any) -> str:
    """A value as a text, without the parts that are known only during an apply. Empty for what is no text."""
    if isinstance(value, Template):
        return "".join(part for part in value.parts if isinstance(part, str))
    return value if isinstance(value, str) else ""


@cache
def _expression() -> re.Pattern[str]:
    """What would be an expression in the manifest. A `${` of another language is none."""
    objects = "|".join(sections())
    return re.compile(
        rf"\$\{{(?:(?:var|env|each)\.[\w.-]+|stack|environment|folder|(?:{objects})[.\[][^{{}}\n]{{1,80}})\}}"
    )


def _secret_defaults(whole: Node) -> Iterator[Problem]:
    """Variables that are secret and whose value is in the manifest."""
    for name, node in _variables(whole).items():
        default = node.map.get("default")
        secret = node.map.get("secret")
        if default is not None and secret is not None and secret.value is True and default.text:
            hint = f"remove `default`; give the value with `--var-file`, or in LETTAFORM_VAR_{name}"
            address, place = str(Address.of("variables", name)), node.at("default")
            message = f"{address}: a secret in clear"
            yield Problem(message, place, hint, address, "default", "warning", True, "secret-in-clear")


def _variables(whole: Node) -> Mapping[str, Node]:
    return (whole.map.get("variables") or empty(whole.place)).map
