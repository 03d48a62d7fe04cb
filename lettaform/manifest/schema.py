"""The language to the JSON Schema with which editors complete and check manifests."""

from __future__ import annotations

import json
from typing import Any

from lettaform.manifest.form import Definitions
from lettaform.manifest.language import language

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest. Editors see `!file path` and `!json path` as texts."""
    definitions: Definitions = {}
    root = language().schema(definitions)
    del root["required"]  # included files do not contain `stack`
    return {"$schema": DIALECT, "title": "lettaform manifest", **root, "$defs": definitions}


def text() -> str:
    """The content of `schemas/manifest.schema.json`."""
    return json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
