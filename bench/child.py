"""One command of lettaform in a process of its own: `python -m bench.child FILE ARGUMENTS`. FILE gets its requests."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.tape import taped


def main() -> None:
    from lettaform.cli import main as run

    path, sys.argv = sys.argv[1], ["lettaform", *sys.argv[2:]]
    with taped() as sent:
        try:
            run()
        finally:
            Path(path).write_text(json.dumps(sent))


if __name__ == "__main__":
    main()
