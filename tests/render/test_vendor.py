"""The components of git repositories as text."""

from __future__ import annotations

from lettaform.model import Vendoring
from lettaform.render.vendor import text, to_data


def test_nothing() -> None:
    assert text(Vendoring()) == "0 components of git repositories, none changed.\n"
    assert to_data(Vendoring(checked=True))["exit_code"] == 0
