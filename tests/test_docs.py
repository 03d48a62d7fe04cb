"""The documents are correct: the tests that they name exist, and they name every verb and every term."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lettaform.cli import VERBS
from lettaform.manifest import load
from lettaform.render.fields import page
from tests.documents import examples
from tests.standin import StandIn
from tests.standin.server import serve

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")])


def _named() -> list[tuple[str, str, str]]:
    return [(d.name, *found) for d in DOCUMENTS for found in sorted(set(NAMED.findall(d.read_text())))]


@pytest.mark.parametrize(("document", "file", "test"), _named())
def test_every_test_named_in_docs_exists(document: str, file: str, test: str) -> None:
    assert test in re.findall(r"^ *(?:async )?def (\w+)", (ROOT / file).read_text(), re.MULTILINE)


def _rows(page: str) -> list[str]:
    """The rows of the tables of a page, without their headings."""
    lines = [line for line in (ROOT / "docs" / page).read_text().splitlines() if line.startswith("|")]
    heads = {number - 1 for number, line in enumerate(lines) if line.startswith("|---")}
    return [line for number, line in enumerate(lines) if number not in heads and not line.startswith("|---")]


@pytest.mark.parametrize(("page", "least"), [("failures.md", 90), ("traps.md", 130)])
def test_every_row_names_a_test(page: str, least: int) -> None:
    assert len(_rows(page)) >= least
    assert [row for row in _rows(page) if len(NAMED.findall(row)) != 1 or row.count("|") != 4] == []


NUMBERS = {"F-": 26, "D-": 12, "C-": 9, "V-": 7, "S-": 6, "X-": 6, "": 25}
"""The letter of a failure, or "" for a reported problem, to the highest number."""


@pytest.mark.parametrize("letter", NUMBERS)
def test_failures_page_has_every_number(letter: str) -> None:
    begins = re.compile(rf"\| {letter}(\d+)\b")
    found = [int(match[1]) for row in _rows("failures.md") if (match := begins.match(row))]
    assert sorted(set(found)) == list(range(1, NUMBERS[letter] + 1))


def test_fields_page_is_current() -> None:
    assert (ROOT / "docs/fields.md").read_text() == page(), "lettaform schema fields > docs/fields.md"


TERMS = (
    *("additive list", "address", "adopt", "agent file", "apply", "attach", "backend", "barrier", "base", "block"),
    *("canary", "capability", "carried-over block", "cascade", "changed by agents", "conversation", "create", "delete"),
    *("dependents", "destroy", "digest of a plan", "discovered object", "drift", "duplicate", "enforce", "environment"),
    *("external object", "field", "foreign object", "forget", "history", "ignore", "import", "intent", "kind", "lease"),
    *(
        "live object",
        "lock",
        "manifest",
        "mark",
        "match",
        "member",
        "merge",
        "migrate",
        "object",
        "orphaned block",
        "own block",
        "owner",
    ),
    *(
        "plan",
        "policy",
        "prevent_destroy",
        "promote",
        "prune",
        "pull",
        "recompile",
        "replace",
        "saved plan",
        "seed",
        "serial",
    ),
    "shared block",
    *("snapshot", "stack", "state", "step", "tombstone", "unmanaged", "update", "yield"),
    *("call", "claim", "detach", "discover", "save state"),
)
"""The terms of the project, each of which the glossary defines once, in alphabetical order."""


def test_glossary_defines_each_term_once_in_alphabetical_order() -> None:
    defined = [row.split("|")[1].strip() for row in _rows("glossary.md")]
    assert defined == sorted(TERMS)


def test_glossary_rows_name_both_equivalents() -> None:
    assert [row for row in _rows("glossary.md") if len(row.split(" | ")) != 4 or "||" in row] == []


def test_layout_names_every_package() -> None:
    packages = {path.stem for path in (ROOT / "lettaform").iterdir() if path.suffix in ("", ".py")}
    layout = set(re.findall(r"^\| \d+ \| `(\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
    assert layout == {name for name in packages if not name.startswith("_")}


def test_readme_links_glossary() -> None:
    assert "(docs/glossary.md)" in (ROOT / "README.md").read_text()


def test_manifest_in_readme_needs_no_other_file(tmp_path: Path) -> None:
    (example,) = (each for each in examples() if each.page == "README.md")
    (tmp_path / "lettaform.yaml").write_text(example.text, "utf-8")
    loaded = load(tmp_path, environ={})
    assert (loaded.stack, loaded.warnings) == ("support", ())


def test_readme_is_short_and_begins_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 170
    assert [line.split()[0] for line in lines[3:5]] == ["scripts/demo", "scripts/test"]


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_readme_names_every_command(verb: str) -> None:
    assert re.search(rf"`{verb}\b", (ROOT / "README.md").read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_docs_resolve(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


PYTHON = """
stack: support
defaults: {agents: {model: letta/letta-free, embedding: letta/letta-free}}
blocks: {house-rules: {value: !file rules.md}}
agents: {support: {memory: {human: Nobody yet.}, blocks: [house-rules]}}
environments: {prod: {}}
"""


def test_the_page_about_python_shows_what_its_programs_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    programs = [text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if text.startswith(">>>")]
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "lettaform.yaml").write_text(PYTHON)
    (tmp_path / "fleet" / "rules.md").write_text("Answer within a day.")
    monkeypatch.chdir(tmp_path)
    whole = doctest.DocTestParser().get_doctest("\n".join(programs), {}, "python.md", None, None)
    assert len(programs) == 7
    said: list[str] = []
    with serve(StandIn()) as url:
        monkeypatch.setenv("LETTA_BASE_URL", url)
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(whole, out=said.append)
    assert not said, "".join(said)


def test_the_session_of_the_readme_needs_nothing_else() -> None:
    """`python -m scripts.record` writes it."""
    session = (ROOT / "docs/session.svg").read_text("utf-8")
    assert "](docs/session.svg)" in (ROOT / "README.md").read_text("utf-8")
    assert ElementTree.fromstring(session).tag.endswith("svg")
    assert len(session) < 40_000
    assert set(re.findall(r"https?://[^\"'\s<&]+", session)) == {"http://www.w3.org/2000/svg", "http://localhost:8283"}
    assert not re.findall(r"<script|@import|url\((?!#)|@font-face|href", session)
