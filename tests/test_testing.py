"""Fixtures for projects of others: a server, and stacks that are deleted after a test. On a stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lettaform
from lettaform import local, testing
from lettaform.testing import LettaServer, applied
from tests.standin import StandIn, serve

pytestmark = pytest.mark.thorough

DOCUMENT = {"blocks": {"b": {"value": "x", "lifecycle": {"prevent_destroy": True}}}}


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[LettaServer, StandIn]]:
    standin = StandIn()
    with serve(standin) as url:
        yield LettaServer(url, "letta/letta-free", "letta/letta-free"), standin


def test_stacks_are_applied_and_deleted(server: tuple[LettaServer, StandIn], tmp_path: Path) -> None:
    at, standin = server
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "lettaform.yaml").write_text("stack: mine\nblocks: {c: {value: x}}\n")
    with applied(at, tmp_path / "working") as apply:
        one, two = apply(DOCUMENT), apply(tmp_path / "fleet")
        assert one.name != two.name
        assert {one.name[:5], two.name[:5]} == {"test-"}
        assert not one.plan()
        assert {row["label"] for row in standin.tables.blocks.values()} == {"b", "c", "lettaform"}
        named = apply({"stack": "mine", "blocks": {"d": {"value": "x"}}}, stack="other")
        assert named.name == "other"
    assert standin.tables.blocks == {}
    assert [path.name for path in (tmp_path / "fleet").iterdir()] == ["lettaform.yaml"]


def test_all_stacks_are_deleted_although_a_test_fails(server: tuple[LettaServer, StandIn], tmp_path: Path) -> None:
    at, standin = server

    def fail() -> None:
        with applied(at, tmp_path) as apply:
            apply(DOCUMENT)
            with pytest.raises(lettaform.ManifestError):
                apply({"blcks": {}})
            raise KeyError("test")

    with pytest.raises(KeyError, match="test"):
        fail()
    assert standin.tables.blocks == {}


def servers(tmp_path: Path) -> Any:
    """What the fixture yields, one after the other."""
    factory = SimpleNamespace(mktemp=lambda name: tmp_path / name)
    return testing.letta_server.__wrapped__(factory)  # type: ignore[attr-defined]


def test_a_running_server_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LETTAFORM_TEST_URL", "http://stand.in/")
    monkeypatch.setenv("LETTAFORM_TEST_PASSWORD", "hunter22")
    (found,) = servers(tmp_path)
    assert (found.url, found.connection.token, found.model) == ("http://stand.in", "hunter22", local.MODELS[True][0])
    assert "hunter22" not in f"{found!r} {found.connection!r}"


def test_a_server_is_started_and_deleted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []

    def up(port: int, data: Path, *, echo_model: bool) -> local.Running:
        calls.append(("up", port, data, echo_model))
        return local.Running("http://127.0.0.1:1", "0.16.8", "m", "e", data, 1)

    monkeypatch.delenv("LETTAFORM_TEST_URL", raising=False)
    monkeypatch.setattr(local, "up", up)
    monkeypatch.setattr(local, "down", lambda data, purge: calls.append(("down", data, purge)))
    (found,) = servers(tmp_path)
    data = tmp_path / "letta" / "data"
    assert (found.url, found.model, found.embedding) == ("http://127.0.0.1:1", "m", "e")
    assert calls == [("up", 0, data, True), ("down", data, True)]
