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


def test_lettaform_home_moves_all_folders(home: Path) -> None:
    assert places.cache() == home
    assert places.default_data(8283) == home / "dev" / "8283"


def test_the_default_is_the_folders_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETTAFORM_HOME")
    assert {places.cache().name, places.servers().parent.name} == {"lettaform"}


def test_a_port_leads_to_the_data_folder_last_used_with_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        places.save_port(8283, folder)
    assert places.data_of_port(8283) == second
    places.save_port(9000, first)
    assert places.saved_ports() == [(8283, second), (9000, first)]
    places.forget_ports(second)
    assert places.data_of_port(8283) is None
    first.rmdir()
    assert places.saved_ports() == []


def test_a_folder_that_cannot_be_created_is_a_local_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="cannot create the folder"):
        places.create_folder(tmp_path / "file" / "below")


def test_a_lock_has_one_holder_even_if_its_file_is_deleted(tmp_path: Path) -> None:
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
