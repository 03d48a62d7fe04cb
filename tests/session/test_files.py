"""JSON files: complete or not there, and for their owner alone. Several files: all or none have new contents."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lettaform.session.files import WORKING, ChangedMeanwhile, make_working_folder, replace_contents, write_json


def test_a_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "plan.json"
    write_json(path, {"a": "ü"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "ü"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_ignores_the_working_folder(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for _ in range(2):
        make_working_folder(tmp_path)
        write_json(tmp_path / WORKING / "snapshots" / "s" / "snapshot.json", {})
    (tmp_path / "lettaform.yaml").touch()
    status = subprocess.run(["git", "-C", str(tmp_path), "status", "-s"], check=True, capture_output=True, text=True)
    assert status.stdout == "?? lettaform.yaml\n"


def test_what_a_person_wrote_into_the_working_folder_stays(tmp_path: Path) -> None:
    (tmp_path / WORKING).mkdir()
    (tmp_path / WORKING / ".gitignore").write_text("!snapshots\n")
    make_working_folder(tmp_path)
    assert (tmp_path / WORKING / ".gitignore").read_text() == "!snapshots\n"


# --- several files: all or none --------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


OPERATIONS = ("open", "fdopen", "fsync", "fchmod", "replace", "access")
"""The functions of `os` that a run calls to write files."""


class Counted:
    """Ends the run, or fails, at one of the operations on files. `at`: its number, from 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException, after: bool = False) -> None:
        self.at, self.error, self.after, self.seen = at, error, after, 0
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self.counting(getattr(os, name)))
        unlink = Path.unlink

        def cleaned(path: Path, missing_ok: bool = False) -> None:
            if self.seen < self.at or not isinstance(self.error, Killed):  # a killed process cleans up nothing
                unlink(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", cleaned)

    def counting(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*words: Any, **named: Any) -> Any:
            self.seen += 1
            if self.seen == self.at and not self.after:
                raise self.error
            result = operation(*words, **named)
            if self.seen == self.at:
                raise self.error
            return result

        return counted


def three(folder: Path) -> dict[Path, tuple[bytes, bytes]]:
    contents = {folder / f"{name}.yaml": (f"old {name}".encode(), f"new {name}\r\n".encode()) for name in "abc"}
    for path, (old, _) in contents.items():
        path.write_bytes(old)
    return contents


def test_files_are_replaced_with_their_permissions_and_links_stay(tmp_path: Path) -> None:
    contents = three(tmp_path)
    (tmp_path / "a.yaml").chmod(0o640)
    replace_contents(contents)
    assert {path: path.read_bytes() for path in contents} == {path: new for path, (_, new) in contents.items()}
    assert (tmp_path / "a.yaml").stat().st_mode & 0o777 == 0o640
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_operation_leaves_whole_files_and_the_next_run_completes(
    after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 100):
        contents = three(tmp_path)
        with monkeypatch.context() as patch:
            counted = Counted(patch, number, Killed(), after)
            with suppress(Killed):
                replace_contents(contents)
        for path, (old, new) in contents.items():
            assert path.read_bytes() in (old, new)
        replace_contents({path: (path.read_bytes(), new) for path, (_, new) in contents.items()})
        assert {path: path.read_bytes() for path in contents} == {path: new for path, (_, new) in contents.items()}
        assert sorted(each.name for each in tmp_path.iterdir()) == ["a.yaml", "b.yaml", "c.yaml"]
        if counted.seen < number:
            break
    assert number > 15


def test_an_error_at_any_operation_leaves_all_files_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 100):
        contents = three(tmp_path)
        with monkeypatch.context() as patch:
            counted = Counted(patch, number, OSError(28, "No space left on device"))
            try:
                replace_contents(contents)
                failed = False
            except OSError:
                failed = True
        expected = 0 if failed else 1
        assert [path.read_bytes() for path in contents] == [each[expected] for each in contents.values()]
        assert len(list(tmp_path.iterdir())) == 3
        if counted.seen < number:
            break
    assert number > 15
    assert not failed


def test_a_file_that_changed_meanwhile_is_an_error_and_no_file_is_written(tmp_path: Path) -> None:
    contents = three(tmp_path)
    (tmp_path / "c.yaml").write_bytes(b"somebody else's")
    with pytest.raises(ChangedMeanwhile, match=r"c\.yaml"):
        replace_contents(contents)
    assert [path.read_bytes() for path in sorted(contents)] == [b"old a", b"old b", b"somebody else's"]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_that_is_not_writable_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = three(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "b.yaml")
    with pytest.raises(PermissionError, match=r"b\.yaml"):
        replace_contents(contents)
    assert [path.read_bytes() for path in sorted(contents)] == [b"old a", b"old b", b"old c"]
