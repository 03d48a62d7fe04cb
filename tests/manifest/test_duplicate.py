"""A copy of a declaration in the text of a file, in every layout that people write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.errors import PlanError
from lettaform.manifest import begin
from lettaform.manifest.duplicate import duplicate
from lettaform.model import Manifest

at = Address.parse
HEAD = "stack: s\ndefaults: {agents: {model: a/b}}\n"


def load(folder: Path, contents: Mapping[Path, bytes] = {}, environment: str | None = None) -> Manifest:
    return begin(folder, environment=environment, needs="plain", connects=False, contents=contents).finish()


def copied(folder: Path, text: str, old: str = "agents.a", new: str = "agents.b", **fields: Any) -> str:
    """The text after HEAD with the copy. The copy must load, and differ from the original in the fields alone."""
    file = folder / "lettaform.yaml"
    file.write_bytes((HEAD + text).encode())
    manifest = load(folder)
    contents = duplicate(manifest, folder, at(old), at(new), fields, lambda made: load(folder, made))
    ((path, (before, after)),) = contents.items()
    assert (path, before) == (file.resolve(), file.read_bytes())
    found = load(folder, {path: after})
    name = "label" if old.startswith("blocks") else "name"
    first, second = (dict(found.objects[at(each)].values) for each in (old, new))
    for key in (name, "memory", *fields):
        first.pop(key, None)
        second.pop(key, None)
    assert first == second
    return after.decode().removeprefix(HEAD)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("agents:\n  a: {system: x}\n", "agents:\n  a: {system: x}\n  b: {system: x}\n"),
        ("agents: {a: {system: x}, c: {}}\n", "agents: {a: {system: x}, b: {system: x}, c: {}}\n"),
        ("agents:\n  a:\n    system: x\n  c: {}\n", "agents:\n  a:\n    system: x\n  b:\n    system: x\n  c: {}\n"),
        ("agents:\n  a:\n    system: x", "agents:\n  a:\n    system: x\n  b:\n    system: x"),
        ("agents:\n  a:\n  c: {}\n", "agents:\n  a:\n  b:\n  c: {}\n"),
        (
            "agents:\n  # about a\n  a:\n    # its prompt\n    system: x  # old\n\n  # about c\n  c: {}\n",
            "agents:\n  # about a\n  a:\n    # its prompt\n    system: x  # old\n"
            "  b:\n    # its prompt\n    system: x  # old\n\n  # about c\n  c: {}\n",
        ),
        (
            "agents:\n  c: {}\n\n  a:\n    system: |\n      one\n\n      # two\n\nblocks: {}\n",
            "agents:\n  c: {}\n\n  a:\n    system: |\n      one\n\n      # two\n\n"
            "  b:\n    system: |\n      one\n\n      # two\n\nblocks: {}\n",
        ),
        (
            "agents:\n  'a':\n    memory: {human: \"${stack}\"}\n",
            'agents:\n  \'a\':\n    memory: {human: "${stack}"}\n  b:\n    memory: {human: "${stack}"}\n',
        ),
        (
            "agents:\n  a: &x {system: é}\n  c: *x\n",
            "agents:\n  a: &x {system: é}\n  b: &x {system: é}\n  c: *x\n",
        ),
    ],
)
def test_layouts(text: str, result: str, tmp_path: Path) -> None:
    assert copied(tmp_path, text) == result


def test_line_breaks_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.HEAD", HEAD.replace("\n", "\r\n"))
    text = "agents:\r\n  a:\r\n    system: x\r\n"
    assert copied(tmp_path, text) == text + "  b:\r\n    system: x\r\n"


@pytest.mark.parametrize(
    ("text", "fields", "result"),
    [
        (
            "agents:\n  a:\n    memory:\n      human: old\n      # more\n    system: x\n",
            {"memory": {"human": "new\nlines"}},
            "  b:\n    memory:\n      human: |-\n        new\n        lines\n    system: x\n",
        ),
        (
            "agents:\n  a: {memory: {human: old}}\n",
            {"memory": {"human": "a\n${b}"}},
            '  b: {memory: {"human": "a\\n$${b}"}}\n',
        ),
        (
            "agents:\n  a:\n    system: x\n",
            {"memory": {"human": "new"}},
            "  b:\n    system: x\n    memory: {human: new}\n",
        ),
        ("agents:\n  a: {system: x}\n", {"memory": {"human": "new"}}, "  b: {system: x, memory: {human: new}}\n"),
        ("agents:\n  a:\n", {"memory": {"human": "new"}}, "  b: {memory: {human: new}}\n"),
    ],
)
def test_other_values_in_the_copy(text: str, fields: dict[str, Any], result: str, tmp_path: Path) -> None:
    assert copied(tmp_path, text, **fields) == text + result


@pytest.mark.parametrize(("key", "written"), [("b-2", "b-2"), ("on", '"on"'), ("x y", '"x y"'), ("ü", '"ü"')])
def test_keys(key: str, written: str, tmp_path: Path) -> None:
    new = str(Address.of("agents", key))
    text = "agents:\n  a: {system: x}\n"
    assert copied(tmp_path, text, "agents.a", new) == f"{text}  {written}: {{system: x}}\n"


def test_a_block_and_an_archive(tmp_path: Path) -> None:
    text = "blocks:\n  a: {value: x}\n"
    assert copied(tmp_path, text, "blocks.a", "blocks.b", value="y") == text + '  b: {value: "y"}\n'
    text = "archives:\n  a:\n    passages: [one]\n"
    found = copied(tmp_path, text, "archives.a", "archives.b", passages=["one", {"text": "two", "tags": ["t"]}])
    assert found == text + "  b:\n    passages: [one, {text: two, tags: [t]}]\n"


def test_environments_and_included_files_get_the_copy_too(tmp_path: Path) -> None:
    main = HEAD + "include: [more.yaml]\nenvironments:\n  prod:\n    agents: {a: {system: p}}\n"
    (tmp_path / "lettaform.yaml").write_text(main)
    (tmp_path / "more.yaml").write_text("agents:\n  a: {system: x}\n")
    found = duplicate(load(tmp_path), tmp_path, at("agents.a"), at("agents.b"), {}, lambda made: load(tmp_path, made))
    made = {path: new for path, (_, new) in found.items()}
    assert {path.name for path in made} == {"lettaform.yaml", "more.yaml"}
    for environment, system in ((None, "x"), ("prod", "p")):
        assert load(tmp_path, made, environment).objects[at("agents.b")].values["system"] == system


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agents:\n  c: &x {system: x}\n  a: *x\n", "alias"),
        ("agents:\n  ? a\n  : {system: x}\n", "line of its own"),
        ("agents:\n  a: {system: '${agents.a.name}'}\noutputs: {n: '${agents.a.id}'}\nlint: {ignore: []}\n", None),
        ("agents:\n  a:\n    tags: ['${each.key}']\n    for_each: [x]\n", "not valid|also change|not"),
    ],
)
def test_what_cannot_be_copied(text: str, message: str | None, tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text(HEAD + text)
    manifest = load(tmp_path)

    def run() -> Any:
        return duplicate(manifest, tmp_path, at("agents.a"), at("agents.b"), {}, lambda made: load(tmp_path, made))

    if message is None:
        assert run()
        return
    with pytest.raises(PlanError, match=message):
        run()


def test_a_copy_that_is_not_valid(tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text(HEAD + "agents:\n  a: {system: x}\n")
    manifest = load(tmp_path)
    fields = {"memory": {"human": {"value": "xxx", "limit": 1}}}
    with pytest.raises(PlanError, match=r"the copy is not valid: .*limit"):
        duplicate(manifest, tmp_path, at("agents.a"), at("agents.b"), fields, lambda made: load(tmp_path, made))
