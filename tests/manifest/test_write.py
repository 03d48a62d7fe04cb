"""New values in the files of a manifest: every style of YAML, and not a byte elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lettaform.address import Address
from lettaform.manifest.load import load
from lettaform.manifest.write import MISSING, NewValue, Outdated, Rewritten, write_values
from lettaform.model import Manifest

Changes = Mapping[tuple[str, str], Any]


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

    def write(self, changes: Changes, live: Changes = {}) -> Rewritten:
        """Put values into the files. `live`: the live values of other users of these values."""
        values = [NewValue(Address.parse(address), path, value) for (address, path), value in changes.items()]
        present = lambda address, path: live.get((str(address), path), MISSING)  # noqa: E731
        return write_values(self.load(), self.folder, values, present, self.load)

    def after(self, written: Rewritten) -> Manifest:
        """The manifest with the new contents of its files."""
        return self.load({path: new for path, (_, new) in written.files.items()})


def value(manifest: Manifest, address: str, path: str) -> Any:
    name, _, key = path.partition(".")
    found = manifest.objects[Address.parse(address)].values[name]
    return found[key] if key else found


# --- styles ------------------------------------------------------------------------------------------------------------

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
    "folded": "  KEY:\n    value: >  # before KEY\n      one two\n      three\n\n      four\n       * five\n      six\n\n",
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
    "two spaces more": "# before KEY\n  KEY:\n        value: |\n                  far\n        hidden: false  # behind KEY\n",
}

CHARACTERS = "ab z#-:?&*!|>'\"%@`{}[],$\\~=\t \n\n  \r\x85\xa0\u2028\u2029\ufeff\u200bäß漢😀\x07\x7f\x9f…0"
TEXTS = st.one_of(
    st.text(st.sampled_from(CHARACTERS), max_size=40),
    st.lists(
        st.sampled_from(["- one", "# two", " three", "four ", "", "${x}", "a: b", "long words " * 12, "\tfive"])
    ).map("\n".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    st.sampled_from(
        [
            "no",
            "12",
            "1:30",
            "null",
            "~",
            "---",
            "...",
            "- ",
            "? ",
            "a\n",
            "a\n\n",
            "\n",
            "\n\na",
            " ",
            "=",
            "2026-01-01",
        ]
    ),
)


def document(styles: list[str], ending: str = "\n", closed: bool = True) -> str:
    text = "# top\nstack: s\nblocks:\n" + "".join(
        STYLES[style].replace("KEY", f"k{number}") for number, style in enumerate(styles)
    )
    return (text if closed else text.rstrip("\n")).replace("\n", ending)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    assert project.write({("blocks.k0", "value"): before or ""}).files == {} or before is None
