"""The table in this folder is what the server describes; where it is not, the words say what to do."""

from __future__ import annotations

import difflib
from typing import Any

import pytest

from tests.contract.description import HOW, TABLE, Api, Row, distil, fetch, spell, table
from tests.contract.test_openapi import CHECKS, hosted
from tests.contract.test_operations import stale, unknown


def news(rows: list[Row], source: str) -> str:
    """What rows other than the table's mean: what has changed, and what to do about it. Empty, if nothing has."""
    ours, theirs = TABLE.read_text(encoding="utf-8"), spell(rows)
    if ours == theirs:
        return ""
    changed = difflib.unified_diff(ours.splitlines(), theirs.splitlines(), TABLE.name, source, n=0, lineterm="")
    api = Api(rows)
    todo = [*unknown(api), *stale(api)]
    todo += [f"{name}.{fault}" for name, kind in hosted().items() for check in CHECKS for fault in check(kind, api)]
    steps = [f"Make the table again, and look at its diff: {HOW}", *todo]
    told = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    return "The server describes another API.\n" + "\n".join(changed) + "\n\nWhat to do:\n" + told


@pytest.mark.live
def test_the_table_is_what_the_server_describes(letta: Any) -> None:
    told = news(distil(fetch(letta.url, letta.password)), letta.url)
    assert told == "", told


def test_news_of_a_new_version_say_what_to_do() -> None:
    rows = sorted(
        [
            *(row for row in table() if row.path != "/v1/auth"),
            Row("/v1/dreams/", "POST", "", "", "Dream"),
            Row("/v1/blocks/", "POST", "sends", "colour", "string"),
        ]
    )
    told = news(rows, "http://new").splitlines()
    assert "+/v1/blocks/\tPOST\tsends\tcolour\tstring" in told
    assert [line.partition(";")[0] for line in told[told.index("What to do:") + 1 :]] == [
        f"1. Make the table again, and look at its diff: {HOW}",
        "2. POST /v1/dreams/: nobody knows it",
        "3. UNMANAGED_OPERATIONS: `POST /v1/auth` matches nothing",
        "4. block.colour: neither a line nor unmanaged",
    ]


def test_no_news_are_no_words() -> None:
    assert news(table(), "http://same") == ""


def test_a_document_is_distilled() -> None:
    """Two levels; alternatives, lists and forms; queries of what writes, answers of what can be made; no words."""
    text = {"type": "string", "description": "Words of theirs."}
    small, large = ({"type": "object", "properties": {"size": {"const": size}, "inner": text}} for size in ("s", "l"))
    thing = {
        "type": "object",
        "properties": {
            "name": {"anyOf": [text, {"type": "null"}]},
            "count": {"type": "integer", "minimum": 1, "maximum": 9},
            "box": {"oneOf": [{"$ref": "#/components/schemas/Small"}, {"$ref": "#/components/schemas/Large"}]},
            "boxes": {"type": "array", "items": {"$ref": "#/components/schemas/Small"}},
            "deep": {"properties": {"deeper": {"type": "object", "properties": {"deepest": text}}}},
            "words": {"type": "object", "additionalProperties": text},
        },
    }
    reference = {"$ref": "#/components/schemas/Thing"}
    answer = {"200": {"content": {"application/json": {"schema": reference}}}}
    made = {"requestBody": {"content": {"application/json": {"schema": reference}}}, "responses": answer}
    form = {"properties": {"file": text}}
    document = {
        "components": {"schemas": {"Thing": thing, "Small": small, "Large": large}},
        "paths": {
            "/v1/things/": {"post": made | {"parameters": [{"in": "query", "name": "of", "schema": text}]}},
            "/v1/things/{thing_id}": {"get": {"responses": answer}},
            "/v1/things/{thing_id}/upload": {
                "put": {"requestBody": {"content": {"multipart/form-data": {"schema": form}}}, "responses": {}},
            },
        },
    }
    properties = [
        ("box", "object"),
        ("box.inner", "string"),
        ("box.size", "one of s,l"),
        ("boxes", "[object]"),
        ("boxes[].inner", "string"),
        ("boxes[].size", "one of s"),
        ("count", "integer >=1 <=9"),
        ("deep", "any"),
        ("deep.deeper", "object"),
        ("name", "string or null"),
        ("words", "object of string"),
    ]
    assert distil(document) == [
        Row("/v1/things/", "POST", "", "", "Thing"),
        Row("/v1/things/", "POST", "asks", "of", "string"),
        *(Row("/v1/things/", "POST", "sends", *each) for each in properties),
        Row("/v1/things/{}", "GET", "", "", "Thing"),
        *(Row("/v1/things/{}", "GET", "answers", *each) for each in properties),
        Row("/v1/things/{}/upload", "PUT"),
        Row("/v1/things/{}/upload", "PUT", "sends", "file", "string"),
    ]
