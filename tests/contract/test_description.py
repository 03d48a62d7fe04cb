"""The table in this folder matches the server's description; where it does not, the message says what to do."""

from __future__ import annotations

import difflib
from typing import Any

import pytest

from tests.contract.description import HOW, TABLE, Api, Row, fetch, rows_of, table, to_text
from tests.contract.test_maps import fixed
from tests.contract.test_openapi import CHECKS, self_hosted_kinds
from tests.contract.test_operations import stale, unknown


def changes_to_review(rows: list[Row], source: str) -> str:
    """How other rows differ from the table, and what to do about it. Empty if nothing differs."""
    ours, theirs = TABLE.read_text(encoding="utf-8"), to_text(rows)
    if ours == theirs:
        return ""
    changed = difflib.unified_diff(ours.splitlines(), theirs.splitlines(), TABLE.name, source, n=0, lineterm="")
    api = Api(rows)
    todo = [*unknown(api), *stale(api)]
    todo += [
        f"{name}.{fault}"
        for name, kind in self_hosted_kinds().items()
        for check in (*CHECKS, fixed)
        for fault in check(kind, api)
    ]
    steps = [f"Make the table again, and look at its diff: {HOW}", *todo]
    todo_list = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    return "The server describes another API.\n" + "\n".join(changed) + "\n\nWhat to do:\n" + todo_list


@pytest.mark.live
def test_table_matches_description_of_server(letta: Any) -> None:
    message = changes_to_review(rows_of(fetch(letta.url, letta.password)), letta.url)
    assert message == "", message


def test_changed_description_says_what_to_do() -> None:
    rows = sorted(
        [
            *(row for row in table() if row.path != "/v1/auth"),
            Row("/v1/dreams/", "POST", "", "", "Dream"),
            Row("/v1/blocks/", "POST", "sends", "colour", "string"),
        ]
    )
    message = changes_to_review(rows, "http://new").splitlines()
    assert "+/v1/blocks/\tPOST\tsends\tcolour\tstring" in message
    assert [line.partition(";")[0] for line in message[message.index("What to do:") + 1 :]] == [
        f"1. Make the table again, and look at its diff: {HOW}",
        "2. POST /v1/dreams/: nobody knows it",
        "3. UNMANAGED_OPERATIONS: `POST /v1/auth` matches nothing",
        "4. block.colour: neither a line nor unmanaged",
    ]


def test_unchanged_description_gives_no_message() -> None:
    assert changes_to_review(table(), "http://same") == ""


def test_rows_of_document() -> None:
    """Two levels; alternatives, lists and forms; schemas of maps; queries of writes; answers of created objects."""
    text = {"type": "string", "description": "Words of theirs."}
    small, large = ({"type": "object", "properties": {"size": {"const": size}, "inner": text}} for size in ("s", "l"))
    small["required"] = ["inner"]
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
    assert rows_of(document) == [
        Row("/v1/things/", "POST", "", "", "Thing"),
        Row("/v1/things/", "POST", "asks", "of", "string"),
        Row("/v1/things/", "POST", "holds", "box", "Small | Large"),
        Row("/v1/things/", "POST", "holds", "boxes", "Small"),
        *(Row("/v1/things/", "POST", "sends", *each) for each in properties),
        Row("/v1/things/{}", "GET", "", "", "Thing"),
        *(Row("/v1/things/{}", "GET", "answers", *each) for each in properties),
        Row("/v1/things/{}/upload", "PUT"),
        Row("/v1/things/{}/upload", "PUT", "sends", "file", "string"),
        *(Row("Large", "", "has", *each) for each in (("inner", "string"), ("size", "one of l"))),
        *(Row("Small", "", "has", *each) for each in (("inner", "string required"), ("size", "one of s"))),
    ]
