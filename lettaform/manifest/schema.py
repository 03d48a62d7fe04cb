"""The language and the kinds, to the JSON Schema by which editors complete and check manifests."""

from __future__ import annotations

import json
from typing import Any

from lettaform.manifest.form import Definitions
from lettaform.manifest.language import language

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest. `!file` and `!json` stand for a text and for the data of a file."""
    definitions: Definitions = {}
    root = language().schema(definitions)
    del root["required"]  # an included file leaves `stack` to the one that includes it
    return {"$schema": DIALECT, "title": "lettaform manifest", **root, "$defs": definitions}


def text() -> str:
    """The schema as the file `schemas/manifest.schema.json` holds it."""
    return json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
