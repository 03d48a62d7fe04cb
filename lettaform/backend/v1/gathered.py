"""The pages of lists to a Listing: of each answer, what is needed of it is kept, and not its body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lettaform.backend.v1 import state
from lettaform.backend.v1.decode import decode
from lettaform.model import Listing, Live

_Body = Mapping[str, Any]


class Gathered:
    """What the lists of several kinds have shown so far."""

    def __init__(self, kinds: Iterable[str]) -> None:
        self._lives: dict[str, list[Live]] = {kind: [] for kind in kinds}
        self._state: dict[str, str] = {}
        self._attached: dict[str, tuple[str, ...]] = {}
        """Id of an agent to the ids of its blocks."""
        self._blocks: dict[str, Live] | None = None
        """The blocks by id, once their list is whole."""
        self._shown: dict[str, _Body] = {}
        """What agents show of blocks that are not known by their list. It lacks their marks."""
        self._decoded: dict[str, Live] = {}
        self._others: tuple[str, Mapping[str, tuple[Live, ...]]] | None = None

    def add(self, kind: str, page: Sequence[tuple[_Body, Live]]) -> list[Live]:
        """Add the objects of a page, and return them."""
        lives = [live for _, live in page]
        if kind == "block" and (pages := state.pages(body for body, _ in page)):
            self._state |= pages
            lives = [live for live in lives if live.id not in pages]
        if kind == "agent":
            known = self._blocks or {}
            for body, _ in page:
                blocks = body.get("blocks") or ()
                self._attached[body["id"]] = tuple(block["id"] for block in blocks)
                self._shown |= {block["id"]: block for block in blocks if block["id"] not in known}
        self._lives[kind] += lives
        return lives

    def finish(self, kind: str) -> None:
        """The list of this kind is whole."""
        if kind == "block":
            self._blocks = {live.id: live for live in self._lives[kind]}
            self._shown = {id: body for id, body in self._shown.items() if id not in self._blocks}

    def page(self, kind: str, lives: Sequence[Live]) -> Listing:
        """One page of a list, and all of the other kinds, whose lists are whole."""
        if self._others is None or self._others[0] != kind:
            self._others = kind, {name: tuple(every) for name, every in self._lives.items() if name != kind}
        return self._listing({**self._others[1], kind: tuple(lives)}, {})

    def whole(self, refused: Mapping[str, str]) -> Listing:
        """Everything, except the kinds that the server refused to list."""
        return self._listing(
            {name: tuple(every) for name, every in self._lives.items() if name not in refused}, refused
        )

    def _listing(self, objects: Mapping[str, tuple[Live, ...]], refused: Mapping[str, str]) -> Listing:
        agents = (live.id for live in objects.get("agent", ()))
        attached = {id: tuple(map(self._block, self._attached[id])) for id in agents}
        return Listing(objects, attached, self._state, refused)

    def _block(self, id: str) -> Live:
        if self._blocks is not None and id in self._blocks:
            return self._blocks[id]
        if id not in self._decoded:
            self._decoded[id] = decode("block", self._shown[id])
        return self._decoded[id]
