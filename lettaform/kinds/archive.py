"""An archive: long-term memory that agents search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from lettaform.kinds.base import Kind, attr


# fmt: off
class Archive(Kind, section="archives", path="/v1/archives/", mark="description", shared=True, precious=True):
    """Long-term memory that agents search: passages of text."""

    name: str = attr("What people call it; need not be unique. The key, unless given.", constraints={"min_length": 1})
    description: str = attr("What is kept in it.", clear="")
    embedding: str = attr("The model that embeds, as `provider/model`.", fixed=True, read="embedding_config.handle", offered="/v1/models/embedding", constraints={"pattern": ".+/.+"})
    # fmt: on

    replaced: ClassVar[str] = "without the passages that others wrote"
    unmanaged: ClassVar[Mapping[str, str]] = {
        "embedding_config": "embedding says it",
    }
