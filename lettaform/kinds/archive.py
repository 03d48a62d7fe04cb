"""An archive: long-term memory that agents search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lettaform.kinds.base import Kind, attr
from lettaform.values import Item, digest


# fmt: off
class Archive(Kind, section="archives", path="/v1/archives/", mark="description", shared=True, precious=True):
    """Long-term memory that agents search: passages of text."""

    name: str = attr("What people call it; need not be unique. The key, unless given.", constraints={"min_length": 1})
    description: str = attr("What is kept in it.", clear="")
    embedding: str = attr("The model that embeds, as `provider/model`.", fixed=True, read="embedding_config.handle", offered="/v1/models/embedding", constraints={"pattern": ".+/.+"})
    passages: list[str | dict[str, Any]] = attr("What it holds: texts, or maps of `text`, `tags` and `metadata`.", holds="passages", write=None, read=None, additive=True, clear=[])
    # fmt: on

    @classmethod
    def item(cls, field: str, value: Any) -> Item:
        told = {"text": value} if isinstance(value, str) else dict(value)
        text, tags, metadata = str(told.get("text") or ""), sorted(told.get("tags") or ()), told.get("metadata") or {}
        whole = {"text": text, "tags": tags, "metadata": metadata}
        return Item(digest(whole), " ".join(text.split())[:60], {key: each for key, each in whole.items() if each})

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        problems: list[tuple[str, str, str | None]] = []
        for number, each in enumerate(values.get("passages") or ()):
            if isinstance(each, Mapping):
                unknown = [key for key in each if key not in ("text", "tags", "metadata")]
                told = f"has the unknown key `{unknown[0]}`" if unknown else "needs a `text`"
                problems += [(f"passages.{number}", told, "text, tags, metadata")] if unknown or not each.get("text") else []
            elif each == "":
                problems.append((f"passages.{number}", "is empty", "leave it out"))
        return problems

    replaced: ClassVar[str] = "without the passages that others wrote"
    unmanaged: ClassVar[Mapping[str, str]] = {
        "embedding_config": "embedding says it",
    }
