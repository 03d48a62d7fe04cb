"""Measure the commands of lettaform beside their floors, and print a table.

    python -m bench [--sizes 1,10,100,1000] [--rows plan,apply] [--repeat 5] [--server URL] [--json FILE]

It starts a real Letta server, unless --server names one, and stops it again. From 10,000 agents on, only `validate`,
`plan` and `destroy plan` are measured, the plans on a stand-in. The floor of a command with requests is the same
requests sent bare, at the same concurrency; that of `validate` is the C parser of YAML on the same files; that of
`--help` and `version` is an empty Python program. With a `terraform` on PATH, it plans and applies as many
`terraform_data`. --json, --markdown and --plot write the table to files; several files of --json can be put together
with --with.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench import report
from bench.rows import LARGE, ROWS, SERVER, STANDIN, Fleet, Run, large, start_up, validate
from lettaform import local

SIZES = (1, 10, 100, 1000)


@contextmanager
def served(url: str | None) -> Iterator[str]:
    """The server of that URL, or one that is started here and stopped again."""
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        server = local.up(0, Path(folder) / "data", progress=lambda line: print(f"  {line}", file=sys.stderr))
        try:
            yield server.url
        finally:
            local.down(data=server.data, purge=True)


def runs(options: argparse.Namespace) -> Iterator[Run]:
    """Every run of every row and size that is wanted, `repeat` times."""
    small = [size for size in options.sizes if size < STANDIN]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(options.repeat):
            yield from start_up(options.rows, folder)
        for agents in options.sizes:
            for _ in range(options.repeat if "validate" in options.rows else 0):
                yield validate(agents, folder)
        for agents in options.sizes:
            for row in LARGE if agents >= STANDIN else ():
                for _ in range(options.repeat if row in options.rows else 0):
                    yield large(row, agents, folder)
        if not small or not {*options.rows} & {*SERVER}:
            return
        with served(options.server) as url:
            for agents in small:
                for number in range(options.repeat):
                    yield from Fleet(url, folder, agents, options.rows, number * 2).runs()


def numbers(text: str) -> list[int]:
    return [int(each) for each in text.replace("_", "").split(",")]


def rows(text: str) -> Sequence[str]:
    found = text.split(",")
    if unknown := [each for each in found if each not in ROWS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(ROWS)}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=numbers, default=SIZES, help="numbers of agents; default: 1,10,100,1000")
    parser.add_argument("--rows", type=rows, default=ROWS, help=f"commands; default: {','.join(ROWS)}")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each, of which the median is shown; default: 5")
    parser.add_argument("--server", help="URL of a running server that nothing else uses")
    parser.add_argument("--with", type=Path, nargs="+", default=[], dest="others", help="results of other runs, to add")
    for name, what in (("json", "results"), ("markdown", "table"), ("plot", "plot, as SVG")):
        parser.add_argument(f"--{name}", type=Path, help=f"file for the {what}")
    options = parser.parse_args()
    found = []
    for each in runs(options):
        found.append(each)
        print(f"  {each.row}, {each.agents} agents: {each.wall:.2f} s, floor {each.floor or 0:.2f} s", file=sys.stderr)
    lines = report.joined([report.lines(found), *(report.from_json(file.read_text()) for file in options.others)])
    print(report.text(lines))
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
    }
    if options.json:
        options.json.write_text(report.as_json(lines, about))
    if options.markdown:
        options.markdown.write_text(report.markdown(lines))
    if options.plot:
        options.plot.write_text(report.svg(lines))


if __name__ == "__main__":
    main()
