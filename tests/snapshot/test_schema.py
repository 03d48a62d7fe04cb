"""The published schema is the one by which snapshots are read."""

from __future__ import annotations

import json
from pathlib import Path

from jsonschema import Draft202012Validator

from lettaform.snapshot.format import Snapshot, to_json
from lettaform.snapshot.schema import snapshot_schema
from lettaform.snapshot.take import to_entries
from tests.snapshot.samples import HEADER, OBJECTS, STATE

PUBLISHED = Path(__file__).parent.parent.parent / "schemas" / "snapshot.schema.json"


def test_the_published_schema_is_current() -> None:
    assert json.loads(PUBLISHED.read_text()) == snapshot_schema()


def test_it_is_a_schema_that_snapshots_fulfil() -> None:
    Draft202012Validator.check_schema(snapshot_schema())
    whole = to_json(Snapshot(HEADER, STATE, tuple(to_entries(OBJECTS))))
    assert list(Draft202012Validator(snapshot_schema()).iter_errors(whole)) == []
