"""Every piece of manifest text that a message, a hint or a help text shows is accepted by the language."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest
import yaml

from lettaform.manifest.schema import schema
from tests.cli.test_commands_in_texts import written_texts

UNKNOWN = "SAMPLE"
"""What stands for a part that a message fills in."""
SOME_KEY = "value"
"""A key that free maps accept, and maps whose keys are names of fields."""
SAMPLES: tuple[Any, ...] = ("x", "blocks.x", "provider/model", "string", 5, True, [], ["x"], {"x": "x"}, {}, None)
"""What a value that a text leaves open may be; one of them must be accepted."""
OTHER = {
    "Args:": "a heading in a docstring",
    "Authorization: Bearer": "an HTTP header",
    "type: object": "part of the JSON schema of a tool",
    "parameters: {type: object, properties: {}}": "part of the JSON schema of a tool",
    "KEY: value": "any entry of a free map",
    "system_prompt: {value: …}": "part of a manifest of lettactl",
    "{from_env: NAME}": "part of a manifest of lettactl",
    "permissions:": "part of a workflow of GitHub Actions",
    "pull-requests: write": "part of a workflow of GitHub Actions",
    "issues: write": "part of a workflow of GitHub Actions",
    "env: {GITHUB_TOKEN: ${{ github.token }}}": "part of a workflow of GitHub Actions",
    "1:30": "a value that YAML 1.1 would read as a number",
}
"""Text between backticks that contains `:` and is no manifest text, with what it is."""


def pieces(text: str) -> Iterator[str]:
    """The pieces of manifest text in a string: what stands between backticks and has a key."""
    for quoted in re.findall(r"`([^`]+)`", text):
        if (
            re.search(r"[^\s\"]:(\s|$)", quoted)
            and quoted not in OTHER
            and not quoted.startswith(("http", "lettaform "))
        ):
            yield quoted


def pieces_in_sources() -> dict[str, str]:
    found: dict[str, str] = {}
    for text, file in written_texts(UNKNOWN):
        for piece in pieces(text):
            found.setdefault(piece, file)
    return found


# --- where a piece fits ----------------------------------------------------------------------------------------------

WHOLE = schema()


def maps(node: Any) -> Iterator[dict[str, Any]]:
    """Every part of the schema that lists keys, without what it requires: a piece is a part of a map."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield {
                key: value for key, value in node.items() if key not in ("required", "anyOf", "oneOf", "allOf", "if")
            }
        for value in node.values():
            yield from maps(value)
    elif isinstance(node, list):
        for value in node:
            yield from maps(value)


MAPS = [{**each, "$defs": WHOLE["$defs"]} for each in maps(WHOLE)]


def read(piece: str) -> Any:
    """A piece as data. A path such as `agents.*.sleeptime` before it becomes maps."""
    path, _, rest = piece.partition(":")
    if "." not in path or path.startswith("{"):
        return yaml.safe_load(piece.replace("!file ", ""))
    *outer, last = path.replace("*", "x").split(".")
    text = f"{last}:{rest}"
    for name in reversed(outer):
        text = f"{name}: {{{text}}}"
    return yaml.safe_load(text)


def filled(value: Any, sample: Any) -> Any:
    """`value` with a sample where it is left open."""
    if isinstance(value, Mapping):
        return {(SOME_KEY if key in ("…", UNKNOWN) else key): filled(item, sample) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, sample) for item in value]
    return sample if value in ("…", "|", "", None, UNKNOWN) else value


def is_accepted(piece: str) -> bool:
    """Whether the piece fits somewhere in a manifest."""
    value = read(piece if not piece.endswith("|") else piece[:-1])
    if not isinstance(value, Mapping):
        return False
    first, *others = value
    for each in MAPS:
        keys = list(each["properties"]) if first == UNKNOWN else [first]
        for key in keys:
            if {key, *others} <= each["properties"].keys():
                whole = {key: value[first], **{name: value[name] for name in others}}
                if any(jsonschema.Draft202012Validator(each).is_valid(filled(whole, s)) for s in SAMPLES):
                    return True
    return False


@pytest.mark.thorough
def test_pieces_are_found_in_the_sources() -> None:
    found = pieces_in_sources()
    assert {"external: true", f"id: {UNKNOWN}", "{external: true, name: NAME}", "imports:"} <= set(found)
    assert OTHER.keys() <= {quoted for text, _ in written_texts() for quoted in re.findall(r"`([^`]+)`", text)}


@pytest.mark.parametrize(("piece", "file"), pieces_in_sources().items())
def test_manifest_text_in_the_sources_is_accepted(piece: str, file: str) -> None:
    assert is_accepted(piece), f"{file} shows `{piece}`"


@pytest.mark.parametrize(
    "piece",
    [
        "external: {id: …}",
        "{external: {name: NAME}}",
        "modell: x",
        "agents: {x: {modell: m}}",
        "policy: {value: maybe}",
    ],
)
def test_text_that_the_language_refuses_is_found_out(piece: str) -> None:
    assert not is_accepted(piece)
