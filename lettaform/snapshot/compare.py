"""Two snapshots to the changes that lead from one to the other, by address and field. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.model import Change, FieldChange, Live
from lettaform.plan.leaves import leaves, spelled
from lettaform.snapshot.format import Entry, Snapshot
from lettaform.values import UNREAD

Counted = Mapping[str, Mapping[str, Any]]
"""Id of an object to what its files hold: `messages`, `passages` or `files`, each as a list of texts."""


def compare(old: Snapshot, new: Snapshot, held: Counted, now: Counted) -> tuple[Change, ...]:
    """The objects that only one of two snapshots has, and those that differ. Objects of others are not compared.

    held, now  what the files of the old and of the new snapshot hold
    A snapshot of what one apply destroyed or changed is compared by the objects that it has.
    """
    before, after = _by_address(old), _by_address(new)
    if old.header.scope != "stack":
        after = {key: entry for key, entry in after.items() if key in before}
    changes = []
    for key in sorted({*before, *after}, key=str):
        one, other = before.get(key), after.get(key)
        if one is None or other is None:
            changes += [_whole(key, one, other)]
        else:
            fields = tuple(_fields(one, other, (old, new), held.get(one.live.id, {}), now.get(other.live.id, {})))
            if fields:
                changes.append(Change(key, other.live.kind, "update", other.live.id, fields_changed=fields))
    return tuple(changes)


def _by_address(snapshot: Snapshot) -> dict[Address, Entry]:
    """Every object that is no other's, by its address; by its id if it has none."""
    found: dict[Address, Entry] = {}
    for entry in snapshot.entries:
        if not entry.used:
            live = entry.live
            found.setdefault(live.address or Address.of(kinds()[live.kind].section, live.id), entry)
    return found


def _whole(address: Address, old: Entry | None, new: Entry | None) -> Change:
    entry = new or old
    assert entry is not None
    reason = "only in the second" if new else "only in the first"
    return Change(address, entry.live.kind, "create" if new else "delete", entry.live.id, reason)


def _fields(
    old: Entry, new: Entry, snapshots: tuple[Snapshot, Snapshot], held: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[FieldChange]:
    table = kinds()[new.live.kind]
    first, second = (_values(each.live, snapshot) for each, snapshot in zip((old, new), snapshots, strict=True))
    for name, line in table.attrs().items():
        have, want = first.get(name, UNREAD), second.get(name, UNREAD)
        if have is UNREAD or want is UNREAD:
            continue
        for leaf in leaves(line, want, have):
            if spelled(table, line, leaf.want) != spelled(table, line, leaf.have):
                yield FieldChange(leaf.path, leaf.have, leaf.want)
        # keys that the second one no longer has
        if line.partial and isinstance(have, Mapping) and isinstance(want, Mapping):
            yield from (FieldChange(f"{name}.{key}", have[key], None) for key in have if want and key not in want)
    if old.secrets != new.secrets:
        yield FieldChange("secrets", list(old.secrets), list(new.secrets))
    # of what was not read, nothing is said
    unread = {"messages"} if old.without_messages or new.without_messages else set[str]()
    for name in sorted((held.keys() & now.keys() if held else now.keys()) - unread):
        if held.get(name) != now.get(name):
            yield FieldChange(name, held.get(name, []), now.get(name, []))


def _values(live: Live, snapshot: Snapshot) -> dict[str, Any]:
    """The values with addresses in place of ids: a restored object has another id."""
    names, lines = snapshot.names, kinds()[live.kind].attrs()
    return {name: _named(value, names) if lines[name].to else value for name, value in live.values.items()}


def _named(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return sorted((_named(each, names) for each in value), key=str)
    return names.get(value, value) if isinstance(value, str) else value


def held_by(contents: Mapping[str, Any] | None, messages: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """What the files of an object hold, as texts: its messages, passages or files."""
    found: dict[str, Any] = {}
    if messages is not None:
        # 0.16.8 shows a tool's answer by itself if a page of the list begins between it and its call; a prompt is
        # compiled again and again, and that of a conversation is new after a restore
        left_out = ("tool_return_message", "system_message")
        found["messages"] = [_message(each) for each in messages if each.get("message_type") not in left_out]
    for name, items in (contents or {}).items():
        found[name] = sorted(_text(item) for item in items)
    return found


def _message(body: Mapping[str, Any]) -> str:
    role = str(body.get("message_type") or "message").removesuffix("_message")
    content = body.get("content")
    text = content if isinstance(content, str) else ""
    return f"{body.get('date')} {role}: {text}"


def _text(item: Mapping[str, Any]) -> str:
    text = (item.get("body") or {}).get("text")
    return text if isinstance(text, str) else str(item.get("key"))
