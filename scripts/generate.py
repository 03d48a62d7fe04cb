"""Writes the schemas, the generated files of the package and the generated parts of the documentation.

A generated part of a page stands between the lines `<!-- generated: NAME ARGUMENT -->` and `<!-- end -->`. Run it with
`python -m scripts.generate`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from click.testing import CliRunner

from bench import report
from lettaform.cli import cli, words
from lettaform.cli.schema import PAGES, SCHEMAS
from lettaform.render import fields
from scripts import objects, twin

ROOT = Path(__file__).parents[1]
WHOLE: Mapping[str, str] = {
    **{f"docs/{what}.md": what for what in PAGES},
    **{f"schemas/{what}.schema.json": what for what in SCHEMAS},
}
"""A file to the argument of `lettaform schema` that prints it."""


def _help() -> str:
    """What `lettaform --help` prints in a terminal of 80 columns or more."""
    shown = CliRunner().invoke(cli, ["--help"], prog_name="lettaform", terminal_width=78, standalone_mode=False)
    return shown.stdout


def _measured() -> list[report.Line]:
    """The results of `python -m bench --json bench/measured.json`."""
    return report.from_json((ROOT / "bench/measured.json").read_text("utf-8"))


PACKAGE: Mapping[str, Callable[[], str]] = {
    "lettaform/api/objects.py": objects.module,
    "lettaform/api/aio.py": twin.module,
    "lettaform/cli/help.txt": _help,
    "docs/performance.svg": lambda: report.svg(_measured()),
}
"""A file to what makes its text."""
_PART = re.compile(r"(<!-- generated: ([\w-]+)(?: (\w+))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def _words(kind: str) -> str:
    """The words of other tools, with what to do here: `verbs` or `options`."""
    known = {"verbs": words.VERBS, "options": words.OPTIONS}[kind]
    rows = [f"| `{word}` | {hint} |" for word, hint in sorted(known.items())]
    return "\n".join(["| word | here |", "|---|---|", *rows]) + "\n"


PARTS: Mapping[str, Callable[[str], str]] = {
    "about": fields.about,
    "fields": fields.table,
    "kinds": lambda _: fields.index(),
    "parameters": lambda _: fields.parameters(),
    "words": _words,
    "measured": lambda _: report.markdown(_measured()),
}


def files() -> dict[Path, str]:
    """Every file with generated content, and what it should contain."""
    made = {}
    for name, what in WHOLE.items():
        made[ROOT / name] = CliRunner().invoke(cli, ["schema", what], standalone_mode=False).stdout
    made |= {ROOT / name: text() for name, text in PACKAGE.items()}
    for path in sorted(ROOT.glob("docs/**/*.md")):
        text = path.read_text("utf-8")
        if path not in made and _PART.search(text):
            made[path] = _PART.sub(lambda each: f"{each[1]}\n{PARTS[each[2]](each[3] or '')}\n{each[5]}", text)
    return made


if __name__ == "__main__":
    for path, text in files().items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(path.relative_to(ROOT))
