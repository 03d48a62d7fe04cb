"""`lettaform` and `python -m lettaform`. The imports of `cli` are made for arguments that need them alone."""

from __future__ import annotations

import sys

from lettaform.about import answer


def main() -> None:
    """Entry point of the console script."""
    if (text := answer(sys.argv[1:])) is not None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        except OSError:  # `cli` ends as it does for every output whose reader has ended
            pass
    from lettaform.cli import main as run

    run()


if __name__ == "__main__":
    main()
