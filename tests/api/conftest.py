"""Stacks on a stand-in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lettaform
from lettaform import flow
from lettaform.backend import connect
from lettaform.backend.v1 import client
from tests.standin import Ask, Refusal, StandIn, serve

MANIFEST = "stack: s\nblocks: {b: {value: x}, c: {value: x, limit: 100}}\n"


MANY = {"stack": "s", "blocks": {f"b{number}": {"value": "x"} for number in range(8)}}


class World:
    """A stand-in, and a folder for a manifest."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.standin, self.folder = StandIn(), folder
        monkeypatch.setattr(flow, "connect", lambda url, **words: connect(url, **words, transport=self.standin))
        monkeypatch.delenv("LETTA_BASE_URL", raising=False)

    def write(self, text: str = MANIFEST, **files: str) -> None:
        for name, content in {"lettaform.yaml": text, **files}.items():
            (self.folder / name).write_text(content)

    def load(self, manifest: Any = None, **how: Any) -> lettaform.Stack:
        server = lettaform.Connection(url="http://stand.in", patience=5)
        found = self.folder if manifest is None else manifest
        how = {"server": server, **({} if manifest is None else {"directory": self.folder}), **how}
        return lettaform.load(found, **how)

    def refuse(self, label: str) -> None:
        """Refuse to create a block."""

        def before(ask: Ask) -> None:
            if ask.method == "POST" and ask.path == "/v1/blocks/" and ask.body["label"] == label:
                raise Refusal(400, "no such blocks here")

        self.standin.before = before

    @property
    def labels(self) -> list[str]:
        """The labels of the blocks, without those of the state."""
        return sorted(row["label"] for row in self.standin.tables.blocks.values() if row["label"] != "lettaform")


class Served(World):
    """A stand-in behind HTTP: a request that waits for its answer can be cancelled."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, url: str, standin: StandIn) -> None:
        super().__init__(folder, monkeypatch)
        monkeypatch.setattr(flow, "connect", connect)
        monkeypatch.setattr(client, "SETTLE", 0.2)  # a stand-in has carried out a request soon
        self.standin, self.url = standin, url

    def load(self, manifest: Any = None, **how: Any) -> lettaform.Stack:
        return super().load(manifest, **{"server": lettaform.Connection(url=self.url, patience=5), **how})

    def answer_slowly(self) -> None:
        """Creating a block takes a while."""
        self.standin.before = lambda ask: time.sleep(0.1 if (ask.method, ask.path) == ("POST", "/v1/blocks/") else 0)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    standin = StandIn()
    with serve(standin) as url:
        yield Served(tmp_path, monkeypatch, url, standin)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    return World(tmp_path, monkeypatch)
