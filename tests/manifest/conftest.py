"""A project in a temporary folder, which is the working directory of the test."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lettaform.errors import ManifestError, Problem
from lettaform.manifest import load
from lettaform.model import Manifest


class Project:
    """The files of a project, and the result of loading them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, manifest: str | bytes, files: Mapping[str, str | bytes] | None = None) -> Project:
        for name, text in {"lettaform.yaml": manifest, **(files or {})}.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).lstrip("\n").encode())
        return self

    def load(self, **words: Any) -> Manifest:
        return load(self.folder, **({"environ": {}} | words))

    def problems(self, **words: Any) -> tuple[Problem, ...]:
        with pytest.raises(ManifestError) as caught:
            self.load(**words)
        return caught.value.problems


Write = Callable[..., Project]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.fixture
def write(project: Project) -> Write:
    return project.write
