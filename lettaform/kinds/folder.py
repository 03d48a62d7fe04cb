"""A folder: files that agents open and search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lettaform.kinds.base import Kind, attr


# fmt: off
class Folder(Kind, section="folders", path="/v1/folders/", unique=True, mark="inside", shared=True, precious=True):
    """Files that agents open and search."""

    name: str = attr("What agents call it; unique on the server. The key, unless given.", constraints={"min_length": 1})
    description: str = attr("What is in it.", clear="")
    instructions: str = attr("How agents should use it.", clear="")
    embedding: str = attr("The model that embeds, as `provider/model`.", birth=True, fixed=True, read="embedding_config.handle", offered="/v1/models/embedding", constraints={"pattern": ".+/.+"})
    embedding_chunk_size: int = attr("Characters per embedded piece.", fixed=True, read="embedding_config.embedding_chunk_size", constraints={"ge": 1})
    metadata: dict[str, Any] = attr("Anything else worth keeping with it.", partial=True, clear={})
    files: list[str] = attr("Paths and patterns of its files, as `docs/**/*.md`; compared by content.", holds="files", write=None, read=None, additive=True, clear=[])
    # fmt: on

    cloud: ClassVar[bool | None] = False
    replaced: ClassVar[str] = "without the files that others put there"
    unmanaged: ClassVar[Mapping[str, str]] = {
        "embedding_config": "embedding and embedding_chunk_size say it",
    }
