from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lettaform.errors import LocalError
from lettaform.local import places


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LETTAFORM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_one_variable_moves_everything(home: Path) -> None:
    assert places.cache() == home
    assert places.default_data(8283) == home / "dev" / "8283"


def test_without_it_the_folders_of_the_user_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETTAFORM_HOME")
    assert {places.cache().name, places.servers().parent.name} == {"lettaform"}


def test_a_port_leads_to_the_data_it_was_used_with_last(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        places.remember(8283, folder)
    assert places.noted(8283) == second
    places.remember(9000, first)
    assert places.noted_ports() == [(8283, second), (9000, first)]
    places.forget(second)
    assert places.noted(8283) is None
    first.rmdir()
    assert places.noted_ports() == []


def test_a_folder_that_cannot_be_made_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="cannot make the folder"):
        places.made(tmp_path / "file" / "below")


def test_a_lock_is_held_by_one_at_a_time_even_if_its_file_is_deleted(tmp_path: Path) -> None:
    file, order, waiting = tmp_path / "folder" / "lock", [], threading.Event()

    def second() -> None:
        with places.locked(file, waiting.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with places.locked(file, lambda: order.append("never")):
        thread.start()
        assert waiting.wait(5)
        file.unlink()
        file.parent.rmdir()
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert file.exists()
