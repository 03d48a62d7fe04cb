"""Archives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lettaform.kinds.base import Kind, attr
from lettaform.kinds.maps import Passage
from lettaform.kinds.traits import Contents
from lettaform.values import Item, digest


def _passage(value: Any) -> Item:
    """A passage, given as a text or a map: the digest of its text, tags and metadata, and the first words as its name."""
    given = {"text": value} if isinstance(value, str) else dict(value)
    text, tags, metadata = str(given.get("text") or ""), sorted(given.get("tags") or ()), given.get("metadata") or {}
    whole = {"text": text, "tags": tags, "metadata": metadata}
    return Item(digest(whole), " ".join(text.split())[:60], {key: each for key, each in whole.items() if each})


# fmt: off
class Archive(Kind, section="archives", path="/v1/archives/", mark="description", shared=True, precious=True):
    """Long-term memory that agents search: passages of text."""

    name: str = attr("Display name; does not have to be unique. Default: the key.", constraints={"min_length": 1})
    description: str = attr("Contents and purpose of the archive.", clear="", mergeable=True)
    embedding: str = attr("Handle of the embedding model, as `provider/model`.", immutable=True, read="embedding_config.handle", offered="/v1/models/embedding", constraints={"pattern": ".+/.+"})
    passages: list[str | Passage] = attr("Passages: texts, or maps of `text`, `tags` and `metadata`. Compared by content.", relation=Contents("passages", _passage), write=None, read=None, additive=True, clear=[])
    # fmt: on

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        problems: list[tuple[str, str, str | None]] = []
        for number, each in enumerate(values.get("passages") or ()):
            if each == "":
                problems.append((f"passages.{number}", "is empty", "remove it"))
        return problems

    replacement: ClassVar[str] = "without the passages that others added"
    unmanaged: ClassVar[Mapping[str, str]] = {
        "embedding_config": "embedding manages it",
    }
