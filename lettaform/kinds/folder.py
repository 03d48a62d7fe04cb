"""Folders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lettaform.kinds.base import Kind, attr
from lettaform.kinds.traits import Availability, Contents


# fmt: off
class Folder(Kind, section="folders", path="/v1/folders/", unique=True, mark="inside", shared=True, precious=True):
    """Files that agents open and search."""

    name: str = attr("Name by which agents refer to the folder; unique on the server. Default: the key.", constraints={"min_length": 1})
    description: str = attr("Contents of the folder.", clear="", mergeable=True)
    instructions: str = attr("Instructions for agents: how to use the files.", clear="", mergeable=True)
    embedding: str = attr("Handle of the embedding model, as `provider/model`.", required=True, immutable=True, read="embedding_config.handle", offered="/v1/models/embedding", constraints={"pattern": ".+/.+"})
    embedding_chunk_size: int = attr("Number of characters in each embedded chunk.", immutable=True, read="embedding_config.embedding_chunk_size", constraints={"ge": 1})
    metadata: dict[str, Any] = attr("Additional data to store with the folder.", partial=True, clear={})
    files: list[str] = attr("Files to upload: paths and patterns, as `docs/**/*.md`. `*` and `**` leave out names that begin with a dot, and `\"!docs/drafts/*\"` excludes files. Compared by content.", relation=Contents("files"), write=None, read=None, additive=True, clear=[])
    # fmt: on

    availability: ClassVar[Availability] = Availability(cloud=False)
    # 0.16.8 compiles no prompt by itself when one of these changes
    compiled: ClassVar[frozenset[str]] = frozenset({"name", "description", "instructions", "files"})
    replacement: ClassVar[str] = "without the files that others added"
    initial: ClassVar[Mapping[str, Any]] = {"embedding_chunk_size": 300}
    unmanaged: ClassVar[Mapping[str, str]] = {
        "embedding_config": "embedding and embedding_chunk_size manage it",
    }
