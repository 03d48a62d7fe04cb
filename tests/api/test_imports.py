"""`import lettaform`: cheap, complete, and typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lettaform
from lettaform.api import objects

SLOW = ("pydantic", "yaml", "httpx", "click", "rich", "jsonschema", "asyncio")


def loaded(program: str) -> list[str]:
    """The modules of SLOW that a program imports."""
    text = f"import sys\n{program}\nprint(*(name for name in {SLOW} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_import_is_cheap() -> None:
    assert (
        loaded("import lettaform; assert [n for n in sys.modules if n.startswith('lettaform')] == ['lettaform']") == []
    )


def test_declaring_objects_is_cheap() -> None:
    program = "import lettaform as l; l.Fleet(agents={'a': l.Agent(model='x/y', blocks=[l.Block(value=l.File('x'))])})"
    assert loaded(program) == []


def test_every_name_exists_and_the_type_checker_knows_it() -> None:
    names = [name for name in dir(lettaform) if not name.startswith("_")]
    assert {"load", "Stack", "Fleet", "Agent", "File", "UNSET", "Stale", "LettaformError"} <= set(names)
    source = Path(lettaform.__file__).read_text()
    for name in names:
        assert getattr(lettaform, name) is not None
        assert name in objects.__all__ or f"import {name} as {name}\n" in source, name


@pytest.mark.parametrize("name", ["plan", "apply", "status"])
def test_a_command_is_a_method(name: str) -> None:
    program = f"import lettaform\ntry:\n    lettaform.{name}\nexcept AttributeError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == (
        f"module 'lettaform' has no attribute '{name}'; it is a method of what `load` returns: `load(…).{name}(…)`\n"
    )


def test_another_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'Agnet'$"):
        lettaform.Agnet  # type: ignore[attr-defined]  # noqa: B018


def test_types_are_published() -> None:
    assert (Path(lettaform.__file__).parent / "py.typed").is_file()
