"""Texts of lettactl to what is read of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lettaform.errors import ManifestError
from lettaform.lettactl.fleet import Fleet, Options, read

SHOP = Path(__file__).parent / "shop" / "fleet.yaml"
"""A fleet with every field of lettactl."""
AGENT: Mapping[str, Any] = {
    "name": "clerk",
    "description": "Answers customers.",
    "system_prompt": {"value": "You are the clerk."},
    "llm_config": {"model": "openai/gpt-4o-mini", "context_window": 32000},
    "tools": [],
}
"""The least that lettactl accepts of an agent."""


def fleet(folder: Path, agent: Mapping[str, Any] | None = None, **top: Any) -> Fleet:
    """What is read of a file with one agent. `agent`: its fields beside the least; null removes one."""
    fields = {key: value for key, value in {**AGENT, **(agent or {})}.items() if value is not ...}
    return text(folder, yaml.safe_dump({"agents": [fields], **top}, sort_keys=False))


def text(folder: Path, *files: str, options: Options = Options()) -> Fleet:  # noqa: B008
    """What is read of these texts."""
    paths = [folder / f"{number}.yaml" for number in range(1, len(files) + 1)]
    for path, each in zip(paths, files, strict=True):
        path.write_text(each)
    return read(paths, options)


def values(found: Fleet, address: str = "agents.clerk") -> dict[str, Any]:
    """What is declared of an object."""
    return dict(next(each.values for each in found.declared.declarations if str(each.address) == address))


def addresses(found: Fleet) -> list[str]:
    """What is declared."""
    return [str(each.address) for each in found.declared.declarations]


def left(found: Fleet) -> list[tuple[str, str, str | None]]:
    """What is not carried over: what, why, and what to do instead."""
    return [(each.what, each.reason, each.hint) for each in found.left]


def refused(folder: Path, *files: str, options: Options = Options()) -> list[str]:  # noqa: B008
    """The problems of these texts: line and column, message, hint."""
    with pytest.raises(ManifestError) as error:
        text(folder, *files, options=options)
    return [
        f"{each.place.line}:{each.place.column} {each.message}" + (f" → {each.hint}" if each.hint else "")
        for each in error.value.problems
        if each.place
    ]
