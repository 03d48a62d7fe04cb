"""The keys of listed messages: equal on two servers, and different for different messages."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.backend.listed import grouped, ids_of, keys, role


def entry(id: str, text: str = "Hello.", kind: str = "user_message", **more: Any) -> dict[str, Any]:
    date = "2026-11-27T08:00:00+00:00"  # 0.16.8 leaves out the parts of a second
    return {"id": id, "date": date, "message_type": kind, "content": text, "otid": f"of {id}", **more}


def test_entries_of_one_message_belong_together_in_the_order_of_the_list() -> None:
    listed = [entry("2", kind="reasoning_message"), entry("2", kind="assistant_message"), entry("1")]
    assert {id: len(entries) for id, entries in grouped(listed).items()} == {"2": 2, "1": 1}
    assert [*grouped(listed)] == ["2", "1"]
    assert role(grouped(listed)["2"]) == "assistant"


def test_an_agent_that_asks_for_consent_is_an_approval() -> None:
    assert role([entry("1", kind="assistant_message"), entry("1", kind="approval_request_message")]) == "approval"


@pytest.mark.parametrize(
    "other",
    [
        entry("1", "Bye."),
        entry("1", kind="assistant_message"),
        entry("1", date="2026-11-27T08:00:01+00:00"),
        entry("1", tool_calls=[{"name": "x"}]),
    ],
)
def test_what_differs_has_another_key(other: dict[str, Any]) -> None:
    assert keys([entry("1")]) != keys([other])


def test_ids_and_pictures_are_no_part_of_a_key() -> None:
    one = entry("1", content=[{"type": "text", "text": "See"}, {"type": "image", "source": {"file_id": "1"}}])
    other = entry("2", content=[{"type": "text", "text": "See"}, {"type": "image", "source": {"file_id": "2"}}])
    assert keys([one])["1"] == keys([other])["2"]


def test_messages_are_found_by_their_keys_equal_ones_in_their_order() -> None:
    known = keys([entry("a"), entry("b", "Bye."), entry("c")])
    now = [entry("1", "Else."), entry("2"), entry("3", "Bye."), entry("4")]
    assert ids_of([known["a"], known["b"], known["c"]], now) == ["2", "3", "4"]
    assert ids_of([known["b"], known["a"]], now) == ["3", "2"]
    assert ids_of([known["a"]] * 3, now) is None
    assert ids_of([], now) == []
