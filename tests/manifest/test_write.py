"""New values in the files of a manifest: every style of YAML, and not a byte elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lettaform.address import Address
from lettaform.errors import ManifestError
from lettaform.manifest.load import load
from lettaform.manifest.locate import Outdated
from lettaform.manifest.write import NewValue, Rewritten, write_values
from lettaform.model import Manifest
from lettaform.values import MISSING

Changes = Mapping[tuple[str, str], Any]
NOTHING: Changes = {}


class Project:
    """A folder with the files of a manifest."""

    def __init__(self, folder: Path, manifest: str, environment: str | None = None, **files: str) -> None:
        self.folder, self.environment = folder, environment
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {"lettaform.yaml": manifest, **files}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text.encode())

    def load(self, contents: Mapping[Path, bytes] = {}) -> Manifest:
        return load(self.folder, environ={}, environment=self.environment, contents=contents)

    def write(self, changes: Changes, live: Changes = NOTHING) -> Rewritten:
        """Put values into the files. `live`: the live values of other users of these values."""
        values = [NewValue(Address.parse(address), path, value) for (address, path), value in changes.items()]

        def present(address: Address, path: str) -> Any:
            return live.get((str(address), path), MISSING)

        return write_values(self.load(), self.folder, values, present, self.load)

    def after(self, written: Rewritten) -> Manifest:
        """The manifest with the new contents of its files."""
        return self.load({path: new for path, (_, new) in written.files.items()})


def value(manifest: Manifest, address: str, path: str) -> Any:
    name, _, key = path.partition(".")
    found = manifest.objects[Address.parse(address)].values[name]
    return found[key] if key else found


# --- styles ----------------------------------------------------------------------------------------------------------

STYLES: Mapping[str, str] = {
    "plain": "  KEY:  # before KEY\n    value: some text  # behind KEY\n",
    "plain on several lines": "  KEY:\n    value: some words that\n      go on here\n\n      and there  # behind KEY\n",
    "plain below its key": "  KEY:\n    value:   # before KEY\n      some text   # behind KEY\n",
    "single quotes": "  KEY:\n    value:   'it''s a text'   # behind KEY\n",
    "single quotes on several lines": "  KEY:\n    value: 'it''s one\n      text\n\n      of lines'\n",
    "double quotes": '  KEY:\n    value: "a \\"text\\" \\u00e4"   # behind KEY\n',
    "double quotes on several lines": '  KEY:\n    value: "a long\n      text\n\n      of lines"  # behind KEY\n',
    "literal": "  KEY:\n    value: |   # before KEY\n      one\n\n        two\n      three\n\n    # behind KEY\n",
    "literal without end": "  KEY:\n    value: |-\n        one\n        two\n\n    hidden: false  # behind KEY\n",
    "literal with all ends": "  KEY:\n    value: |+  # before KEY\n      one\n\n\n    hidden: false\n",
    "literal with indentation": "  KEY:\n    value: |3- # before KEY\n         one\n       two\n    # behind KEY\n",
    "literal with indentation last": "  KEY:\n    value: |-2\n      # one\n      two\n",
    "empty literal": "  KEY:\n    value: |\n    hidden: false  # behind KEY\n",
    "folded": "  KEY:\n    value: >  # before KEY\n      one two\n      three\n\n      four\n       * 5\n      six\n",
    "folded without end": "  KEY:\n    value: >-\n      one two\n      three\n\n\n      four\n    # behind KEY\n",
    "folded with all ends": "  KEY:\n    value: >+\n      one two\n      three\n\n    hidden: false\n",
    "folded with indentation": "  KEY:\n    value: >1\n      one\n     two\n     three\n    # behind KEY\n",
    "in brackets": "  KEY: {hidden: false, value: some text, limit: 90000}  # behind KEY\n",
    "in brackets and quotes": "  KEY: {'value': 'some text'  ,  # behind KEY\n    \"hidden\": false}\n",
    "in brackets on several lines": "  KEY: {\n    value: some\n      text,  # behind KEY\n    hidden: false,\n  }\n",
    "tag": "  KEY:\n    value: !!str 12  # behind KEY\n",
    "tag above": "  KEY:\n    value: !!str  # before KEY\n      text\n",
    "anchor": "  KEY:\n    value: &KEY some text  # behind KEY\n",
    "empty": "  KEY:\n    value:   # behind KEY\n    hidden: false\n",
    "empty in brackets": "  KEY: {value: , hidden: false}\n",
    "escaped expression": "  KEY:\n    value: write $${name}  # behind KEY\n",
    "explicit key": "  KEY:\n    ? value\n    : some text  # behind KEY\n",
    "far to the right": "# before KEY\n  KEY:\n       value: |\n            far\n       hidden: false  # behind KEY\n",
}

CHARACTERS = "ab z#-:?&*!|>'\"%@`{}[],$\\~=\t \n\n  \r\x85\xa0\u2028\u2029\ufeff\u200bäß漢😀\x07\x7f\x9f…0"
LINES = ("- one", "# two", " three", "four ", "", "${x}", "a: b", "long words " * 12, "\tfive")
ODD = (
    *("no", "12", "1:30", "null", "~", "---", "...", "- ", "? ", "a\n", "a\n\n", "\n", "\n\na", " ", "=", "<<"),
    *("2026-01-01", "0x1F", "0o7", ".inf", "012", "!file x", "&a", "*a", "a #b", "a: b", "{a}", "[a", "%a", "|", ">-"),
)
TEXTS = st.one_of(
    st.text(st.sampled_from(CHARACTERS), max_size=40),
    st.lists(st.sampled_from(LINES), max_size=6).map("\n".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    st.sampled_from(ODD),
)


def document(styles: list[str], ending: str = "\n", closed: bool = True) -> str:
    text = "# top\nstack: s\nblocks:\n" + "".join(
        STYLES[style].replace("KEY", f"k{number}") for number, style in enumerate(styles)
    )
    return (text if closed else text.rstrip("\n")).replace("\n", ending)


@pytest.mark.thorough
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(sorted(STYLES)), TEXTS), min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_every_text_in_every_style_is_read_back_and_every_comment_stays(
    tmp_path: Path, cases: list[tuple[str, str]], ending: str, closed: bool
) -> None:
    check(tmp_path, cases, ending, closed)


def check(tmp_path: Path, cases: list[tuple[str, str]], ending: str, closed: bool) -> None:
    source = document([style for style, _ in cases], ending, closed)
    project = Project(tmp_path, source)
    changes = {(f"blocks.k{number}", "value"): text for number, (_, text) in enumerate(cases)}
    written = project.write(changes)
    assert written.refused == ()
    after = project.after(written)
    assert {key: value(after, *key) for key in changes} == changes
    new = next(iter(written.files.values()))[1].decode() if written.files else source
    marks = re.compile(r"# (?:before|behind) k\d+")
    assert marks.findall(new) == marks.findall(source)
    if ending == "\r\n":
        assert not re.search(r"(?<!\r)\n", new)


@pytest.mark.parametrize("style", sorted(STYLES))
def test_the_same_value_changes_no_byte(style: str, tmp_path: Path) -> None:
    project = Project(tmp_path, document([style]))
    before = value(project.load(), "blocks.k0", "value")
    if before is not None:  # an empty value is null, and no text
        assert project.write({("blocks.k0", "value"): before}).files == {}


# --- whole manifests: what stands between « and » changes, and nothing else ------------------------------------------

HEAD = "# top\nstack: s  # the stack\n\n"
AGENT = "model: a/b, embedding: c/d"
SPREAD = AGENT.replace(", ", "\n    ")
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen"
MANIFESTS: Mapping[str, tuple[str, Changes]] = {
    "plain": ("blocks:\n  a: {value: «old¦new text», limit: 99}  # c\n", {("blocks.a", "value"): "new text"}),
    "plain, then quoted": (
        "blocks:\n  a:\n    value: «old¦'\"hi\": there'»  # c\n",
        {("blocks.a", "value"): '"hi": there'},
    ),
    "plain, then a number in words": ('blocks:\n  a: {value: «old¦"1e3"»}\n', {("blocks.a", "value"): "1e3"}),
    "plain, then lines": (
        "blocks:\n  a:\n    value: «old¦|-»  # c\n«¦      one\n      two\n»    limit: 99  # d\n",
        {("blocks.a", "value"): "one\ntwo"},
    ),
    "plain in brackets, then lines": (
        'blocks:\n  a: {value: «old¦"one\\ntwo\\n"», limit: 99}  # c\n',
        {("blocks.a", "value"): "one\ntwo\n"},
    ),
    "plain on several lines": (
        "blocks:\n  a:\n    value: some words\n      that go on\n      «here¦there and on»  # c\n",
        {("blocks.a", "value"): "some words that go on there and on"},
    ),
    "single quotes": (
        "blocks:\n  a:\n    value: 'it''s «old¦new: #1»'   # c\n    description: 'd'\n",
        {("blocks.a", "value"): "it's new: #1"},
    ),
    "double quotes": (
        'blocks:\n  a:\n    "value": "a «b¦\\t\\"c\\" ä 😀\\L»"  # c\n',
        {("blocks.a", "value"): 'a \t"c" ä 😀\u2028'},
    ),
    "double quotes with line breaks": (
        'blocks:\n  a: {value: "one\\n«two¦2»"}\n',
        {("blocks.a", "value"): "one\n2"},
    ),
    "literal": (
        "blocks:\n  a:\n    value: |  # c\n      one\n\n        two\n«¦      three\n»\n    # d\n    limit: 99\n",
        {("blocks.a", "value"): "one\n\n  two\nthree\n"},
    ),
    "literal that loses its end": (
        "blocks:\n  a:\n    value: |«¦-» # c\n      one\n    limit: 99\n",
        {("blocks.a", "value"): "one"},
    ),
    "literal that gets empty lines": (
        "blocks:\n  a:\n    value: |«-¦+»\n      one\n«¦\n»    limit: 99  # c\n",
        {("blocks.a", "value"): "one\n\n"},
    ),
    "literal with all its ends": (
        "blocks:\n  a:\n    value: |+\n      one\n«\n¦»    limit: 99  # c\n",
        {("blocks.a", "value"): "one\n"},
    ),
    "literal that begins with a space": (
        "blocks:\n  a:\n    value: |«¦2»  # c\n      «one¦  two»\n    limit: 99\n",
        {("blocks.a", "value"): "  two\n"},
    ),
    "literal with indentation": (
        "blocks:\n  a:\n    value: |1-\n       «one¦two»\n     # not a comment\n    # c\n",
        {("blocks.a", "value"): "  two\n# not a comment"},
    ),
    "literal that becomes empty": (
        'blocks:\n  a:\n    value: «|¦""»  # c\n«      one\n¦»\n    limit: 99\n',
        {("blocks.a", "value"): ""},
    ),
    "literal that gets a form feed": (
        'blocks:\n  a:\n    value: «|-¦"a\\x0cb"»  # c\n«      one\n¦»    limit: 99\n',
        {("blocks.a", "value"): "a\fb"},
    ),
    "folded": (
        f"blocks:\n  a:\n    value: >  # c\n      {LONG}\n      14\n\n      next\n«¦\n      last\n»    limit: 99\n",
        {("blocks.a", "value"): f"{LONG} 14\nnext\nlast\n"},
    ),
    "folded with a list": (
        "blocks:\n  a:\n    value: >-\n      title\n\n        * one\n        * two\n«¦        * 3\n»    limit: 99\n",
        {("blocks.a", "value"): "title\n\n  * one\n  * two\n  * 3"},
    ),
    "folded with all its ends": (
        "blocks:\n  a:\n    value: >+  # c\n      one\n      «two¦2»\n\n    limit: 99\n",
        {("blocks.a", "value"): "one 2\n\n"},
    ),
    "below its key": (
        "blocks:\n  a:\n    value:  # c\n      «old¦new»  # d\n    limit: 99\n",
        {("blocks.a", "value"): "new"},
    ),
    "empty": ("blocks:\n  a:\n    value:«¦ new»\n    limit: 99  # c\n", {("blocks.a", "value"): "new"}),
    "tag": ('blocks:\n  a: {value: !!str «12¦"34"»}  # c\n', {("blocks.a", "value"): "34"}),
    "expression in the text": (
        "blocks:\n  a: {value: '«old¦write $${name}»'}  # c\n",
        {("blocks.a", "value"): "write ${name}"},
    ),
    "number": ("blocks:\n  a: {value: x, limit: «2000¦5000»}  # c\n", {("blocks.a", "limit"): 5000}),
    "boolean": ("blocks:\n  a:\n    value: x\n    hidden: «false¦true»  # c\n", {("blocks.a", "hidden"): True}),
    "entry of a map": (
        "blocks:\n  a:\n    metadata: {team: «a¦b», floor: «1¦2»}  # c\n",
        {("blocks.a", "metadata.team"): "b", ("blocks.a", "metadata.floor"): 2},
    ),
    "memory as texts": (
        f'agents:\n  a:\n    {{{AGENT}, memory: {{persona: «I am a.¦I was a.», human: «x¦"y, z"»}}}}  # c\n',
        {("agents.a.memory.persona", "value"): "I was a.", ("agents.a.memory.human", "value"): "y, z"},
    ),
    "memory as maps": (
        f"agents:\n  a:\n    {SPREAD}\n    memory:\n      persona: {{value: «x¦z», limit: 99}}  # c\n",
        {("agents.a.memory.persona", "value"): "z"},
    ),
    "defaults of one object": (
        "defaults:\n  blocks: {description: «old¦new»}  # c\nblocks:\n  a: {value: x}\n",
        {("blocks.a", "description"): "new"},
    ),
    "defaults of objects that agree": (
        "defaults:\n  blocks: {description: «old¦new»}  # c\nblocks:\n  a: {value: x}\n  b: {value: x}\n",
        {("blocks.a", "description"): "new", ("blocks.b", "description"): "new"},
    ),
    "for_each that agrees": (
        f"agents:\n  a:\n    for_each: [x, y]\n    memory: {{persona: «p¦q»}}  # c\n    {SPREAD}\n",
        {("agents.a[x].memory.persona", "value"): "q", ("agents.a[y].memory.persona", "value"): "q"},
    ),
    "alias of one user": (
        "outputs: {o: {x: &t text}}\nblocks:\n  a: {value: &v «old¦new»}  # c\n  b: {value: *v, limit: 99}\n",
        {("blocks.a", "value"): "new", ("blocks.b", "value"): "new"},
    ),
    "alias of a map": (
        "blocks:\n  a: &a\n    value: «old¦|-»  # c\n«¦      n\n      m\n»  b: *a\n",
        {("blocks.a", "value"): "n\nm", ("blocks.b", "value"): "n\nm"},
    ),
    "anchor without alias": ("blocks:\n  a: {value: &v «old¦new»}  # c\n", {("blocks.a", "value"): "new"}),
    "explicit key": ("blocks:\n  a:\n    ? value\n    : «old¦new»  # c\n", {("blocks.a", "value"): "new"}),
    "quoted keys": ("'blocks':\n  \"a\": {'value':   «old¦new»}  # c\n", {("blocks.a", "value"): "new"}),
    "everything in brackets": (
        '{"stack": "t", "blocks": {"a": {"value": "«old¦new»"}}}\n',
        {("blocks.a", "value"): "new"},
    ),
    "two values in one line": (
        'blocks: {a: {value: «a¦b»}, b: {value: «c¦"d\\ne"»}}  # c\n',
        {("blocks.a", "value"): "b", ("blocks.b", "value"): "d\ne"},
    ),
    "spaces at the end of lines": (
        "blocks:   \n  a:\t\n    value: |  \n      one  \n      «two¦2 »  \n    limit: 99   \n",
        {("blocks.a", "value"): "one  \n2   \n"},
    ),
    "no line break at the end": ("blocks:\n  a:\n    value: «old¦new»", {("blocks.a", "value"): "new"}),
    "literal and no line break at the end": (
        "blocks:\n  a:\n    value: |-\n      one\n      «two¦2»",
        {("blocks.a", "value"): "one\n2"},
    ),
}
MARKED = re.compile("«([^¦»]*)¦([^»]*)»")


def sides(text: str) -> tuple[str, str]:
    """A text before and after."""
    return MARKED.sub(r"\1", text), MARKED.sub(r"\2", text)


@pytest.mark.thorough
@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("name", MANIFESTS)
def test_bytes_outside_of_the_values_stay(name: str, ending: str, tmp_path: Path) -> None:
    text, changes = MANIFESTS[name]
    head = "" if name == "everything in brackets" else HEAD
    before, after = (each.replace("\n", ending) for each in sides(head + text))
    project = Project(tmp_path, before)
    written = project.write(changes)
    assert written.refused == ()
    assert {path.name: new.decode() for path, (_, new) in written.files.items()} == {"lettaform.yaml": after}
    assert {key: value(project.after(written), *key) for key in changes} == changes
    assert len(written.written) == len(changes)


def test_there_are_at_least_forty_manifests() -> None:
    assert len(MANIFESTS) >= 40


# --- other files -----------------------------------------------------------------------------------------------------


def test_texts_of_files_go_into_these_files(tmp_path: Path) -> None:
    manifest = f"""{HEAD}
include: [more/*.yaml]
agents:
  a:
    for_each: [x, y]
    model: a/b
    embedding: c/d
    system: !file "prompts/${{each.key}}.md"  # c
"""
    more = "blocks:\n  a: {value: !file texts/a.txt}\n  b: {value: x}  # c\n"
    files = {"more/b.yaml": more, "more/texts/a.txt": "one\r\n", "prompts/x.md": "X", "prompts/y.md": "Y"}
    project = Project(tmp_path, manifest, None, **files)
    changes = {
        ("agents.a[x]", "system"): "a ${b}\r\n\x0c#",
        ("blocks.a", "value"): "",
        ("blocks.b", "value"): "z",
    }
    written = project.write(changes)
    assert written.refused == ()
    assert {path.name: new for path, (_, new) in written.files.items()} == {
        "x.md": b"a ${b}\r\n\x0c#",
        "a.txt": b"",
        "b.yaml": more.replace("x}", "z}").encode(),
    }
    assert {key: value(project.after(written), *key) for key in changes} == changes


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    project = Project(tmp_path, "stack: s\nblocks:\n  a: {value: !file one.md}\n", None, **{"real.md": "x"})
    (tmp_path / "one.md").symlink_to("real.md")
    written = project.write({("blocks.a", "value"): "y"})
    assert [path.name for path in written.files] == ["real.md"]


@pytest.mark.parametrize(
    ("environment", "shared"), [(None, []), ("prod", ["blocks.a"]), ("dev", ["blocks.a", "blocks.b"])]
)
def test_values_of_an_environment_go_there(environment: str | None, shared: list[str], tmp_path: Path) -> None:
    text = "blocks:\n  a: {value: «x¦new»}\n  b: {value: BASE}\n"
    text += "environments:\n  dev:\n  prod:\n    blocks: {b: {value: PROD}}\n"
    text = text.replace("PROD" if environment == "prod" else "BASE", "«y¦new b»")
    before, after = sides(HEAD + text)
    project = Project(tmp_path, before, environment)
    written = project.write({("blocks.a", "value"): "new", ("blocks.b", "value"): "new b"})
    assert [new.decode() for _, new in written.files.values()] == [after]
    assert [str(each.address) for each in written.outside] == shared


def test_a_file_that_changed_since_it_was_read_is_an_error(tmp_path: Path) -> None:
    project = Project(tmp_path, "stack: s\nblocks: {a: {value: x}}\n")
    manifest = project.load()
    (tmp_path / "lettaform.yaml").write_text("stack: s\nblocks: {a: {value: xx}}\n")
    new = [NewValue(Address.parse("blocks.a"), "value", "y")]
    with pytest.raises(Outdated, match=r"lettaform\.yaml"):
        write_values(manifest, tmp_path, new, lambda address, path: MISSING, project.load)


# --- what is refused -------------------------------------------------------------------------------------------------

EACH = f"agents: {{a: {{for_each: [x, y], memory: {{persona: p}}, {AGENT}}}}}\n"
REFUSED: Mapping[str, tuple[str, Changes, Changes, str]] = {
    "expression": (
        "variables: {v: {default: x}}\nblocks: {a: {value: 'to ${var.v}'}}\n",
        {("blocks.a", "value"): "y"},
        {},
        "`value` is written as an expression, `${var.v}`",
    ),
    "expression of a map": (
        "variables: {v: {type: map, default: {k: x}}}\nblocks: {a: {metadata: '${var.v}'}}\n",
        {("blocks.a", "metadata.k"): "y"},
        {},
        "`metadata.k` is written as an expression, `${var.v}`",
    ),
    "instances that differ": (
        EACH,
        {("agents.a[x].memory.persona", "value"): "q"},
        {("agents.a[y].memory.persona", "value"): "p"},
        "`value` is shared with agents.a[y].memory.persona, where the server has another value or none",
    ),
    "instances that differ from each other": (
        EACH,
        {("agents.a[x].memory.persona", "value"): "q", ("agents.a[y].memory.persona", "value"): "r"},
        {},
        "`value` is shared with agents.a[y].memory.persona, where the server has another value or none",
    ),
    "instance that does not exist": (
        EACH,
        {("agents.a[x].memory.persona", "value"): "q"},
        {},
        "`value` is shared with agents.a[y].memory.persona, where the server has another value or none",
    ),
    "defaults that several objects share": (
        "defaults: {blocks: {description: d}}\nblocks: {a: {value: x}, b: {value: x}}\n",
        {("blocks.a", "description"): "e"},
        {("blocks.b", "description"): "d"},
        "`description` is shared with blocks.b, where the server has another value or none",
    ),
    "alias": (
        "blocks: {a: {value: &v x}, b: {value: *v}}\n",
        {("blocks.b", "value"): "y"},
        {("blocks.a", "value"): "x"},
        "`value` is shared with blocks.a, where the server has another value or none",
    ),
    "alias elsewhere": (
        "variables: {v: {default: &v x}}\nblocks: {a: {value: *v}}\n",
        {("blocks.a", "value"): "y"},
        {},
        "`value` would also change another part of the manifest",
    ),
    "file that two share": (
        "blocks: {a: {value: !file t.md}, b: {value: !file t.md}}\n",
        {("blocks.a", "value"): "y"},
        {("blocks.b", "value"): "x"},
        "`value` is shared with blocks.b, where the server has another value or none",
    ),
    "file of a folder": (
        "blocks: {a: {value: !file t.md}}\nfolders: {f: {files: ['*.md'], embedding: a/b}}\n",
        {("blocks.a", "value"): "y"},
        {},
        "`value` would also change `files` of folders.f",
    ),
    "what others are made of": (
        f"blocks: {{a: {{value: x}}}}\nagents: {{b: {{system: 'as ${{blocks.a.value}}', {AGENT}}}}}\n",
        {("blocks.a", "value"): "y"},
        {},
        "`value` would also change `system` of agents.b",
    ),
    "JSON": (
        "blocks: {a: {metadata: !json m.json}}\n",
        {("blocks.a", "metadata.k"): "y"},
        {},
        "`metadata.k` comes from a JSON file (`!json`)",
    ),
    "list": (
        "blocks: {a: {value: x, metadata: {k: [1]}}}\n",
        {("blocks.a", "metadata.k"): "y"},
        {},
        "`metadata.k` is written as a list or a map",
    ),
    "list on the server": (
        "blocks: {a: {metadata: {k: x}}}\n",
        {("blocks.a", "metadata.k"): ["y"]},
        {},
        "`metadata.k` is a list or a map on the server",
    ),
    "label": (
        f"agents: {{a: {{memory: {{persona: p}}, {AGENT}}}}}\n",
        {("agents.a.memory.persona", "label"): "q"},
        {},
        "`label` is not written in the manifest: it follows from the key `persona`",
    ),
    "NUL": (
        "blocks: {a: {value: x}}\n",
        {("blocks.a", "value"): "a\0b"},
        {},
        "`value` contains U+0000, which no file of a manifest can hold",
    ),
    "surrogate": (
        "blocks: {a: {value: !file t.md}}\n",
        {("blocks.a", "value"): "\ud800"},
        {},
        "`value` contains U+D800, which no file of a manifest can hold",
    ),
    "byte order mark of a file": (
        "blocks: {a: {value: !file t.md}}\n",
        {("blocks.a", "value"): "\ufeffa"},
        {},
        "`value` begins with a byte order mark, with which no file of a manifest may begin",
    ),
    "longer than its limit": (
        "blocks: {a: {value: x, limit: 3}}\n",
        {("blocks.a", "value"): "abcd"},
        {},
        "`value` would make the manifest invalid: value: has 4 characters, more than its `limit` of 3",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_put_back_is_refused_with_its_place_and_the_rest_is_written(name: str, tmp_path: Path) -> None:
    text, changes, live, message = REFUSED[name]
    text = f"stack: s\n{text}identities: {{i: {{name: n, identity_type: user}}}}\n"
    project = Project(tmp_path, text, None, **{"t.md": "x", "m.json": '{"k": 1}'})
    written = project.write({**changes, ("identities.i", "name"): "m"}, live)
    assert {str(each.path) for each, _ in written.refused} == {path for _, path in changes}
    assert message in [problem.message for _, problem in written.refused]
    for _, problem in written.refused:
        assert problem.place is not None
        assert problem.address
    assert [new.decode() for _, new in written.files.values()] == [text.replace("name: n,", "name: m,")]


def test_two_values_that_fit_only_together_are_written(tmp_path: Path) -> None:
    others = "".join(f"  b{number}: {{value: '${{stack}}', limit: 9}}\n" for number in range(3))
    project = Project(
        tmp_path, f"stack: s\nblocks:\n  a: {{value: x, limit: 3}}\n{others}  z: {{value: x, limit: 3}}\n"
    )
    new = {("blocks.a", "value"): "abcd", ("blocks.a", "limit"): 4, ("blocks.z", "value"): "too long"}
    written = project.write({**new, **{(f"blocks.b{number}", "limit"): 8 for number in range(3)}})
    assert [str(each.address) for each, _ in written.refused] == ["blocks.z"]
    after = project.after(written)
    assert (value(after, "blocks.a", "value"), value(after, "blocks.a", "limit")) == ("abcd", 4)


def test_a_byte_order_mark_is_an_error_of_the_manifest_and_nothing_is_written(tmp_path: Path) -> None:
    project = Project(tmp_path, "\ufeffstack: s\nblocks: {a: {value: x}}\n")
    with pytest.raises(ManifestError, match="byte order mark"):
        project.write({("blocks.a", "value"): "y"})


def test_many_values_take_time_that_grows_with_their_number(tmp_path: Path) -> None:
    lines = "".join(f"  b{number}:\n    value: |\n      text {number}\n" for number in range(1000))
    project = Project(tmp_path, f"stack: s\nblocks:\n{lines}")
    loads = []

    def reload(contents: Mapping[Path, bytes]) -> Manifest:
        loads.append(contents)
        return project.load(contents)

    new = [NewValue(Address.parse(f"blocks.b{number}"), "value", f"a\nb {number}\n") for number in range(1000)]
    written = write_values(project.load(), tmp_path, new, lambda address, path: MISSING, reload)
    assert len(written.written) == 1000
    assert len(loads) == 1


def test_many_values_that_make_the_manifest_invalid_are_refused_at_once(tmp_path: Path) -> None:
    lines = "".join(f"  b{number}: {{value: x, limit: 3}}\n" for number in range(40))
    project = Project(tmp_path, f"stack: s\nblocks:\n{lines}")
    loads = []

    def reload(contents: Mapping[Path, bytes]) -> Manifest:
        loads.append(contents)
        return project.load(contents)

    new = [NewValue(Address.parse(f"blocks.b{number}"), "value", "abc" * (1 + number % 2)) for number in range(40)]
    written = write_values(project.load(), tmp_path, new, lambda address, path: MISSING, reload)
    assert (len(written.written), len(written.refused)) == (20, 20)
    assert {problem.message for _, problem in written.refused} == {
        "`value` would make the manifest invalid: value: has 6 characters, more than its `limit` of 3"
    }
    assert len(loads) < 10
