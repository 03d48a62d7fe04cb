"""A new kind needs one file, and a new field one line: both converge through create, update, prune and destroy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lettaform.kinds
from lettaform import flow
from lettaform.backend import connect
from tests.standin import Ask, StandIn, server
from tests.standin.lists import page

KIND = '''
from lettaform.kinds.base import Kind, attr


class Widget(Kind, section="widgets", path="/v1/widgets/", mark="description"):
    """Something that a server does not have yet."""

    name: str = attr("Display name.")
    description: str = attr("What it is for.", clear="")
    size: int = attr("Size, in centimetres.")
'''
FIELD = '    color: str = attr("Color of the widget.", write="paint", read="look.paint", clear="")\n'


def forget() -> None:
    """Everything that was computed from the kinds is computed again."""
    sys.modules.pop("lettaform.kinds.widget", None)
    for name in [name for name in sys.modules if name.startswith("lettaform.")]:
        for each in list(vars(sys.modules[name]).values()):
            if hasattr(each, "cache_clear"):
                each.cache_clear()


class Stack:
    """A folder with a manifest, and a stand-in that has widgets."""

    def __init__(self, folder: Path, kind_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.standin, self.folder, self.kind_folder = StandIn(), folder, kind_folder
        self.widgets: dict[str, dict[str, Any]] = {}
        monkeypatch.setattr(flow, "connect", lambda url, **words: connect(url, **words, transport=self.standin))
        self.words = flow.Source(folder), flow.Connection(url="http://stand.in", patience=None)

    def define(self, kind: str) -> None:
        (self.kind_folder / "widget.py").write_text(kind)
        forget()

    def apply(self, manifest: str, **options: Any) -> list[dict[str, Any]]:
        """Apply; the plan after it is empty. Returns the widgets."""
        (self.folder / "lettaform.yaml").write_text(f"stack: s\n{manifest}")
        flow.apply(*self.words, flow.PlanOptions(**options), consent=True)
        if not options.get("destroy"):
            assert not flow.plan(*self.words, flow.PlanOptions(**options))
        return list(self.widgets.values())


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    folder, kind_folder = tmp_path_factory.mktemp("stack"), tmp_path_factory.mktemp("kinds")
    monkeypatch.setattr(lettaform.kinds, "__path__", [*lettaform.kinds.__path__, str(kind_folder)])
    monkeypatch.setattr(server, "_routes", list(server._routes))
    stack = Stack(folder, kind_folder, monkeypatch)
    serve(stack.widgets, server.on)
    stack.define(KIND)
    yield stack
    monkeypatch.undo()
    forget()


def serve(widgets: dict[str, dict[str, Any]], on: Callable[..., Any]) -> None:
    """The routes of widgets. An answer shows `paint` as `look.paint`."""

    def shown(body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "look": {"paint": body.get("paint")}}

    @on("POST", "/v1/widgets/")
    def create(server: StandIn, ask: Ask) -> dict[str, Any]:
        id = server.id("widget")
        widgets[id] = {"id": id, **ask.body}
        return shown(widgets[id])

    @on("GET", "/v1/widgets/")
    def listed(server: StandIn, ask: Ask) -> list[dict[str, Any]]:
        return page(ask, map(shown, widgets.values()), all_ids=list(widgets), order="desc")

    @on("GET", "/v1/widgets/{widget_id}")
    def get(server: StandIn, ask: Ask) -> dict[str, Any]:
        if ask.names["widget_id"] not in widgets:
            raise server_refusal()
        return shown(widgets[ask.names["widget_id"]])

    @on("PATCH", "/v1/widgets/{widget_id}")
    def patch(server: StandIn, ask: Ask) -> dict[str, Any]:
        widgets[ask.names["widget_id"]].update(ask.body)
        return get(server, ask)

    @on("DELETE", "/v1/widgets/{widget_id}")
    def delete(server: StandIn, ask: Ask) -> dict[str, Any]:
        return widgets.pop(ask.names["widget_id"])


def server_refusal() -> server.Refusal:
    return server.Refusal(404, "no such widget")


def test_a_new_kind_is_one_file(stack: Stack) -> None:
    (widget,) = stack.apply("widgets: {w: {size: 3}}")
    assert (widget["name"], widget["size"]) == ("w", 3)
    (changed,) = stack.apply("widgets: {w: {size: 4, description: for tests}}")
    assert (changed["id"], changed["size"]) == (widget["id"], 4)
    assert changed["description"].startswith("for tests")
    assert len(stack.apply("widgets: {w: {size: 4}, v: {size: 1}}")) == 2
    assert [each["name"] for each in stack.apply("widgets: {v: {size: 1}}", prune=True, allow_destroy=("*",))] == ["v"]
    assert stack.apply("widgets: {v: {size: 1}}", destroy=True, allow_destroy=("*",)) == []
    assert not stack.standin.tables.blocks, "the state is removed, too"


def test_a_new_field_is_one_line(stack: Stack) -> None:
    (widget,) = stack.apply("widgets: {w: {size: 3}}")
    stack.define(KIND + FIELD)
    assert stack.apply("widgets: {w: {size: 3, color: red}}")[0]["paint"] == "red"
    (changed,) = stack.apply("widgets: {w: {size: 3, color: blue}}")
    assert (changed["id"], changed["paint"]) == (widget["id"], "blue")
    assert stack.apply("widgets: {w: {size: 3, color: null}}")[0]["paint"] == ""
    stack.apply("widgets: {w: {size: 3}}")


def test_the_size_of_a_kind_and_of_a_field() -> None:
    assert len(FIELD.splitlines()) == 1
    assert len([line for line in KIND.splitlines() if line]) <= 6
