"""One declared object and the live object to a Comparison: what differs, what is written, and the next mark."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lettaform.address import matches
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind
from lettaform.kinds.traits import AddedByServer, Companions, Contents, Parts, PerMember, Policy
from lettaform.model import APPLIED, AgentChange, Desired, FieldChange, Live, MergeConflict, PromotedText, Reason
from lettaform.plan.additions import (
    Membership,
    adding_fields,
    default_members,
    item_changes,
    needed_members,
)
from lettaform.plan.leaves import (
    Leaf,
    kept_digest,
    leaves,
    member_key,
    overlay,
    project,
    shown,
    spelled,
    to_keep,
)
from lettaform.plan.lookup import UNKNOWN, Lookup
from lettaform.plan.merge import Side, decide_text
from lettaform.plan.notes import no_longer_managed
from lettaform.plan.policy import Decision, decide, policies
from lettaform.plan.promotion import PROMOTED, promote
from lettaform.values import UNREAD, Digest, Item, Patch, Ref, Secret, digest, kept_text, secrets, tainted, text_kept

Members = tuple[tuple[str, Any], ...]
"""Pairs of a field and a member of it."""


@dataclass(frozen=True)
class FieldResult:
    """The comparison of one field.

    base      leaf to the digest to store in the mark; None: the stored digests are kept
    members   the members to store in the mark; None: the stored members are kept
    body      what to write, under the field's name
    released  leaf that is no longer managed to the live value, which stays
    replaces  the digest of the live text that a text with the policy `merge` replaces, under the field's name
    promoted  what the mark keeps of another environment's text, under the field's name
    """

    base: Mapping[str, Any] | None = None
    members: tuple[Any, ...] | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    fields_changed: tuple[FieldChange, ...] = ()
    attach: Members = ()
    detach: Members = ()
    agent_changes: tuple[AgentChange, ...] = ()
    released: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    replaces: Mapping[str, str] = field(default_factory=dict)
    promoted: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """The comparison of one object: what to write, to attach and to detach, and the mark's base and members.

    replaces  field to the digest of the live text that a text with the policy `merge` replaces
    promoted  field to what the mark keeps of another environment's text
    """

    base: Mapping[str, Any]
    members: Mapping[str, tuple[Any, ...]]
    fields: Mapping[str, Any] = field(default_factory=dict)
    fields_changed: tuple[FieldChange, ...] = ()
    attach: Members = ()
    detach: Members = ()
    agent_changes: tuple[AgentChange, ...] = ()
    notes: tuple[str, ...] = ()
    replaces: Mapping[str, str] = field(default_factory=dict)
    promoted: Mapping[str, str] = field(default_factory=dict)

    @property
    def touched(self) -> frozenset[str]:
        """The names of the fields that change."""
        return frozenset(each.path.split(".")[0] for each in self.fields_changed)


def compare(lookup: Lookup, desired: Desired, live: Live) -> Comparison:
    """Compare the declared fields of `desired` with `live`. Each leaf is decided by its policy.

    Of fields that are no longer declared, the members that lettaform added are removed.
    """
    pair = _Pair.of(lookup, desired, live)
    if _is_settled(pair):
        return Comparison(live.mark.base, live.mark.members)
    results = {name: _compare_field(pair, name, value) for name, value in desired.values.items()}
    results |= {line.name: _compare_undeclared(pair, line) for line in _undeclared(pair)}
    for line, added in pair.kind.relations(AddedByServer):
        if added.per_member:
            results[line.name] = _with_items(pair, line, added.per_member, results)
    each = results.values()
    body = {name: value for result in each for name, value in result.body.items()}
    again = _reset_fields(pair, body)
    return Comparison(
        base=_base(pair, results),
        members=_members(pair, results),
        fields=body | again,
        fields_changed=tuple(change for result in each for change in result.fields_changed),
        attach=tuple(member for result in each for member in result.attach),
        detach=tuple(member for result in each for member in result.detach),
        agent_changes=tuple(change for result in each for change in result.agent_changes),
        notes=(
            *(note for result in each for note in result.notes),
            *_sent_again(again),
            *_released(pair, results, body),
        ),
        replaces={name: known for result in each for name, known in result.replaces.items()},
        promoted={name: text for result in each for name, text in result.promoted.items()},
    )


def _is_settled(pair: _Pair) -> bool:
    """Whether all declared fields are single values, as declared and as last applied: so are most blocks."""
    values, mark, lines = pair.desired.values, pair.live.mark, pair.kind.attrs()
    return (
        not (mark.members or pair.kind.relations(AddedByServer) or pair.desired.address in pair.lookup.promoted)
        and mark.base.keys() == values.keys()
        and all(_is_as_declared(pair, lines[name], value) for name, value in values.items())
        and all(mark.base[name] == pair.to_keep(lines[name], value) for name, value in values.items())
    )


def differs(lookup: Lookup, desired: Desired, live: Live, fields: Collection[str]) -> bool:
    """Whether one of these declared fields would be written."""
    pair = _Pair.of(lookup, desired, live)
    return any(_compare_field(pair, name, desired.values[name]).fields_changed for name in fields)


def ignored(lookup: Lookup, desired: Desired, live: Live) -> Iterator[AgentChange]:
    """The values with the policy `ignore` that are no longer as last applied. A plan compares none of them."""
    pair = _Pair.of(lookup, desired, live)
    asked = replace(pair, owners={**pair.owners, **dict.fromkeys(desired.values, "yield")}, reseed=False)
    for name, value in desired.values.items():
        line = pair.kind.attrs()[name]
        if pair.owners[name] != "ignore" or line.additive or line.write is None or line.read is None:
            continue
        for leaf in leaves(line, line.clear if value is None else value, live.values.get(name)):
            decision = judge(asked, line, leaf)
            if decision.runtime and _base_of(pair, line, leaf) is not None:
                yield _kept(pair, line, leaf, decision)


@dataclass(frozen=True)
class _Pair:
    """A declared object and the live object.

    owners  the policy of every field
    reseed  whether `--reseed` names the object
    """

    lookup: Lookup
    desired: Desired
    live: Live
    kind: type[Kind]
    owners: Mapping[str, Policy]
    reseed: bool

    @classmethod
    def of(cls, lookup: Lookup, desired: Desired, live: Live) -> _Pair:
        reseed = matches(desired.address, lookup.options.reseed)
        return cls(lookup, desired, live, kinds()[desired.kind], policies(desired), reseed)

    def is_exact(self, line: Attr) -> bool:
        """Whether the manifest says `enforce`: then items of others are removed."""
        return self.desired.policies.get(line.name) == "enforce"

    def stored_members(self, line: Attr) -> tuple[Any, ...]:
        """The members of a list that lettaform added, by the mark."""
        return self.live.mark.members.get(line.name, ())

    def to_keep(self, line: Attr, value: Any) -> Any:
        """What the mark keeps of a value that is applied."""
        return to_keep(self.kind, line, self.owners[line.name], value)

    def additive(self) -> _Pair:
        """The same pair, in which no list is exact: items of others are kept."""
        return replace(self, desired=replace(self.desired, policies={}))


def _compare_field(pair: _Pair, name: str, value: Any) -> FieldResult:
    line = pair.kind.attrs()[name]
    if line.create_only or line.related(Parts):
        return FieldResult()
    if line.additive:
        return _compare_members(pair, line, value)
    if line.write is not None:
        result = _compare_value(pair, line, value)
        given = pair.lookup.promoted.get(pair.desired.address) if name == PROMOTED else None
        return result if given is None else _with_promoted(pair, line, value, result, given)
    have = pair.live.values.get(name)
    if have == value:
        return FieldResult()
    # the field is never written: a tool is renamed by its source
    return FieldResult(body={name: value}, fields_changed=(FieldChange(name, have, value, pair.owners[name]),))


def _base(pair: _Pair, results: Mapping[str, FieldResult]) -> dict[str, Any]:
    """The digests to store in the mark. Those of fields that are no longer declared are removed."""
    base: dict[str, Any] = {}
    fixed = {line.name for line in pair.kind.only_at_creation()}
    for path, value in pair.live.mark.base.items():
        result = results.get(path.split(".")[0])
        if path in fixed or (result is not None and result.base is None):
            base[path] = value
    for result in results.values():
        base |= result.base or {}
    return base


def _members(pair: _Pair, results: Mapping[str, FieldResult]) -> dict[str, tuple[Any, ...]]:
    """The members to store in the mark. Fields that are no longer declared have none."""
    members = dict(pair.live.mark.members) | {n: r.members for n, r in results.items() if r.members is not None}
    return {name: each for name, each in members.items() if each or name in pair.desired.values}


def _reset_fields(pair: _Pair, body: Mapping[str, Any]) -> dict[str, Any]:
    """Declared fields that are sent again as they are: the server resets a whole group when one of it is written."""
    lines = pair.kind.attrs()
    groups = {lines[name].group for name in body} - {None}
    again: dict[str, Any] = {}
    for name, value in pair.desired.values.items() if groups else ():
        line = lines[name]
        if line.group not in groups or name in body or line.write is None or value is None:
            continue
        held = line.read is not None and pair.live.values.get(name) is not None
        same = project(pair.live.values[name], value) if held else value
        again[name] = Patch(entries=tuple(same.items())) if line.partial else same
    return again


def _sent_again(again: Mapping[str, Any]) -> Iterator[str]:
    return (f"`{name}` is sent again as it is: the server would reset it" for name in again)


# --- fields that are no longer declared ------------------------------------------------------------------------------


def _undeclared(pair: _Pair) -> list[Attr]:
    """The fields that the mark names and the manifest no longer declares."""
    mark = pair.live.mark
    known = {*mark.members, *(path.split(".")[0] for path in mark.base)}.difference(pair.desired.values)
    lines = pair.kind.attrs().items() if known else ()
    return [line for name, line in lines if name in known and not line.create_only]


def _compare_undeclared(pair: _Pair, line: Attr) -> FieldResult:
    """Remove what lettaform added to a list or map. A single value stays as it is."""
    have = pair.live.values.get(line.name, UNREAD if line.read is None else None)
    if pair.owners[line.name] == "ignore":
        return FieldResult(base={}, members=())
    if line.additive:
        # what was not read is never compared: the members stay in the mark
        return FieldResult() if have is UNREAD else _compare_members(pair.additive(), line, [])
    if line.partial:
        return _compare_value(pair, line, {})
    if line.clear == [] and isinstance(have, list) and have:
        return _compare_emptied(pair, line, have)
    stays = {} if line.related(Companions) else {line.name: have}
    return FieldResult(base={}, members=(), released=stays)


def _compare_emptied(pair: _Pair, line: Attr, have: list[Any]) -> FieldResult:
    """Empty a list that is as lettaform last wrote it. What the server added to it is kept."""
    kept, _ = _server_items(pair, line, [], have)
    ours = _without(pair.kind, line, have, kept) if kept else have
    if not ours or spelled(pair.kind, line, ours) != pair.live.mark.base.get(line.name):
        return FieldResult(base={}, members=(), released={line.name: have} if ours else {})
    change = FieldChange(line.name, ours, [], pair.owners[line.name], "undeclared")
    return FieldResult(base={}, members=(), body={line.name: kept}, fields_changed=(change,))


def _without_undeclared(pair: _Pair, line: Attr, want: Mapping[str, Any], result: FieldResult) -> FieldResult:
    """The result for a partial map, without the entries that lettaform set and that are no longer declared."""
    have, start, owner = pair.live.values.get(line.name), len(line.name) + 1, pair.owners[line.name]
    stored = {path[start:]: base for path, base in pair.live.mark.base.items() if path.startswith(f"{line.name}.")}
    found = have if isinstance(have, Mapping) and owner != "ignore" else {}
    gone = {key: base for key, base in stored.items() if key in found and key not in want}
    stays = {key for key, base in gone.items() if line.merges or (owner != "enforce" and _moved(pair, line, key, base))}
    drop = tuple(key for key in gone if key not in stays)
    removed = (Leaf(f"{line.name}.{key}", None, found[key]) for key in drop)
    patch = result.body.get(line.name, Patch(entries=()))
    return replace(
        result,
        body={line.name: replace(patch, drop=(*patch.drop, *drop))} if drop else result.body,
        fields_changed=(*result.fields_changed, *(_show(pair, line, leaf, "undeclared") for leaf in removed)),
        released={f"{line.name}.{key}": found[key] for key in gone if key in stays},
    )


def _moved(pair: _Pair, line: Attr, key: str, base: str) -> bool:
    """Whether an entry of a live map may differ from what lettaform last wrote. Of a secret, that is not known."""
    return line.secret or spelled(pair.kind, line, pair.live.values[line.name][key]) != base


def _released(pair: _Pair, results: Mapping[str, FieldResult], body: Mapping[str, Any]) -> Iterator[str]:
    """Notes about the values that are no longer managed."""
    lines = pair.kind.attrs()
    groups = {lines[name].group for name in body} - {None}
    for name, result in results.items():
        for path, value in result.released.items():
            secret = lines[name].secret or value is UNREAD
            yield from no_longer_managed(path, value, secret=secret, reset=lines[name].group in groups)


# --- values ----------------------------------------------------------------------------------------------------------

Judged = list[tuple[Leaf, Decision]]

_SINGLE = (str, bool, int, float)


def _compare_value(pair: _Pair, line: Attr, value: Any) -> FieldResult:
    if _is_as_declared(pair, line, value):  # most fields of most plans
        return FieldResult(base={line.name: pair.to_keep(line, value)})
    if pair.owners[line.name] == "merge":
        return _compare_text(pair, line, value)
    if line.partial and isinstance(value, Mapping):
        # an empty map declares nothing
        result = _compare_leaves(pair, line, value) if value else FieldResult(base={})
        return _without_undeclared(pair, line, value, result)
    return _compare_leaves(pair, line, value)


def _is_as_declared(pair: _Pair, line: Attr, value: Any) -> bool:
    """Whether a text or a number is what it should be, whoever wrote it."""
    if type(value) not in _SINGLE or line.secret or line.read is None or line.write is None:
        return False
    have = pair.live.values.get(line.name)
    return type(have) is type(value) and have == value and pair.owners[line.name] != "ignore"


def _compare_leaves(pair: _Pair, line: Attr, value: Any) -> FieldResult:
    want, have = line.clear if value is None else value, pair.live.values.get(line.name)
    kept, members = _server_items(pair, line, want, have)
    if kept and isinstance(have, list):
        have = _without(pair.kind, line, have, kept)
    judged = [(leaf, judge(pair, line, leaf)) for leaf in leaves(line, want, have)]
    return FieldResult(
        base=_new_base(pair, line, judged),
        members=members,
        body=_write(pair, line, value, want, have, judged, kept),
        fields_changed=tuple(_show(pair, line, leaf, reason) for leaf, d in judged if (reason := d.write)),
        agent_changes=tuple(_kept(pair, line, leaf, d) for leaf, d in judged if d.runtime or d.seed_moved),
    )


def _compare_text(pair: _Pair, line: Attr, value: Any) -> FieldResult:
    """The comparison of a text that is merged with what others changed of it."""
    have, kept = pair.live.values.get(line.name) or "", pair.live.mark.base.get(line.name)
    decision = _decide_text(pair, line, value, have)
    written = value if decision.value is None else decision.value
    leaf, base = Leaf(line.name, written, have), kept if decision.conflict else decision.base
    return FieldResult(
        base={} if base is None else {line.name: base},
        body={line.name: written} if decision.write else {},
        fields_changed=(_show(pair, line, leaf, decision.write),) if decision.write else (),
        agent_changes=(_kept(pair, line, leaf, decision),) if decision.runtime else (),
        replaces={line.name: digest(have)} if decision.write and decision.write != "seed" else {},
    )


def _with_promoted(pair: _Pair, line: Attr, value: Any, result: FieldResult, given: PromotedText) -> FieldResult:
    """The comparison of a text into which that of another environment is brought. `result`: without that."""
    have = pair.live.values.get(line.name) or ""
    here = result.body.get(line.name, have)
    if not isinstance(here, str) or any(each.conflict for each in result.agent_changes):
        return result
    options, kept = pair.lookup.options, pair.live.mark.base.get(line.name)
    assert options.promotion is not None
    favoured: tuple[tuple[Side, tuple[str, ...]], ...] = (("ours", options.ours), ("theirs", options.theirs))
    favour = next((side for side, patterns in favoured if matches(pair.desired.address, patterns)), None)
    last = pair.live.mark.promoted.get(line.name)
    comes = given.base is not None and spelled(pair.kind, line, given.base) == kept_digest(pair.kind, line, kept)
    base = last if last is not None else given.base if comes else None
    text, conflict = promote(options.promotion, given.text, base, here, favour)
    if conflict is None and text != here and (refused := _refusal(pair, line, text)):
        conflict = MergeConflict(f"the merged text {refused}", text)
    if conflict is not None:
        change = AgentChange(pair.desired.address, line.name, pair.live.id, have, given.text, conflict=conflict)
        return replace(result, agent_changes=(change,), body={}, fields_changed=(), replaces={})
    if text == here:
        return replace(result, promoted={line.name: given.text})
    return FieldResult(
        base={line.name: pair.to_keep(line, value)},
        body={line.name: text},
        fields_changed=(_show(pair, line, Leaf(line.name, text, have), "promote"),),
        replaces={line.name: digest(have)},
        promoted={line.name: given.text},
    )


def _decide_text(pair: _Pair, line: Attr, value: Any, have: str) -> Decision:
    """The decision about a text that is merged; its base is in the form in which the mark keeps it."""
    want, kept, options = pair.lookup.known(value or ""), pair.live.mark.base.get(line.name), pair.lookup.options
    if pair.reseed and want != have:
        return Decision(write="seed", base=pair.to_keep(line, value))
    if want is UNKNOWN:
        moved = spelled(pair.kind, line, have) != kept_digest(pair.kind, line, kept)
        return _decide_unknown(pair, line, value, moved=moved)
    base = text_kept(kept) if kept else None
    if kept and base is None:  # the policy was another one: of the text, the digest is known
        base = next((each for each in (have, want) if spelled(pair.kind, line, each) == kept), None)
    ours, theirs = (matches(pair.desired.address, each) for each in (options.ours, options.theirs))
    favour: Side | None = "ours" if ours else "theirs" if theirs else None
    decision = decide_text(base, want, have, favour=favour, problem=lambda text: _refusal(pair, line, text))
    return replace(decision, base=kept_text(decision.base) if isinstance(decision.base, str) else None)


def _decide_unknown(pair: _Pair, line: Attr, value: Any, *, moved: bool) -> Decision:
    """The decision about a text that contains the id of an object that this plan creates. It cannot be merged yet."""
    if not moved or matches(pair.desired.address, pair.lookup.options.ours):
        return Decision(write="manifest", base=pair.to_keep(line, value))
    reason = "the manifest's text contains an id that is not known before the apply, and the server's text has changed"
    return Decision(runtime=True, conflict=MergeConflict(reason, str(value)))


def _refusal(pair: _Pair, line: Attr, text: str) -> str | None:
    """Why a merged text cannot be written."""
    single = {name: value for name, value in pair.live.values.items() if type(value) in _SINGLE}
    found = pair.kind.check({**single, **pair.desired.values, line.name: text})
    return next((message for name, message, _ in found if name == line.name), None)


def judge(pair: _Pair, line: Attr, leaf: Leaf) -> Decision:
    """Decide one leaf by its policy: digests of the value as last applied, as declared, and as found."""
    known = pair.lookup.known(leaf.want)
    # what does not exist yet has no digest, and differs from everything
    want = object() if known is UNKNOWN else spelled(pair.kind, line, known)
    base: object = _base_of(pair, line, leaf)
    if line.secret and leaf.have is None and leaf.path in pair.live.mark.base:
        base = want  # which value was applied is not known, but that one was lost
    if base is None and line.immutable and line.read is None:
        return Decision(base=want)  # the value at creation is not known
    have: object = base
    if line.read is not None:
        same = type(known) is str and type(leaf.have) is str and known == leaf.have
        # a secret without a value in this run is taken to be the one that the server has
        same = same or (leaf.have is not None and any(secret.unset for secret in secrets(leaf.want)))
        whole = not known or _is_as_applied(pair, line, leaf)
        have = want if same else spelled(pair.kind, line, leaf.have if whole else project(leaf.have, known))
    return decide(pair.owners[line.name], base, want, have, reseed=pair.reseed)


def _base_of(pair: _Pair, line: Attr, leaf: Leaf) -> str | None:
    """The digest of a leaf as last applied; None if there is none, as of every secret."""
    kept = None if line.secret or tainted(leaf.want) else pair.live.mark.base.get(leaf.path)
    return kept_digest(pair.kind, line, kept)


def _is_as_applied(pair: _Pair, line: Attr, leaf: Leaf) -> bool:
    """Whether a live map is exactly what lettaform last wrote. Then keys of it that are not declared are removed."""
    if line.merges or line.secret or not (isinstance(leaf.want, Mapping) and isinstance(leaf.have, Mapping)):
        return False
    return spelled(pair.kind, line, leaf.have) == pair.live.mark.base.get(leaf.path)


def _write(
    pair: _Pair, line: Attr, value: Any, want: Any, have: Any, judged: Judged, kept: list[Any]
) -> dict[str, Any]:
    """What to send of a field: nothing if no leaf is written."""
    if not any(decision.write for _, decision in judged):
        return {}
    if not line.partial or not isinstance(want, Mapping):
        return {line.name: [*want, *kept] if kept else want}
    if value is None:
        return {line.name: Patch(entries=(), drop=tuple(have or ()))}
    # 0.16.8 merges such a map, and resets what depends on the changed entries: all declared entries are sent
    sent = [leaf for leaf, decision in judged if decision.write or line.merges]
    entries = {
        leaf.path[len(line.name) + 1 :]: leaf.want
        if _is_as_applied(pair, line, leaf)
        else overlay(leaf.have, leaf.want)
        for leaf in sent
    }
    dropped = tuple(key for key, item in entries.items() if item is None)
    # in a map that the server merges, null is a value: nothing that is sent removes an entry
    sent_entries = tuple((key, item) for key, item in entries.items() if item is not None or line.merges)
    return {line.name: Patch(entries=sent_entries, drop=() if line.merges else dropped)}


def _new_base(pair: _Pair, line: Attr, judged: Judged) -> dict[str, Any]:
    """The base of a field: its leaves' digests. No digest of a secret is kept, only that it was applied."""
    if line.secret:
        before = pair.live.mark.base
        applied = (leaf.path for leaf, d in judged if leaf.want and (d.base is not None or leaf.path in before))
        return dict.fromkeys(applied, APPLIED)
    return {
        leaf.path: decision.base if isinstance(decision.base, str) else Digest(leaf.want, line.unordered)
        for leaf, decision in judged
        if decision.base is not None and not tainted(leaf.want)
    }


def _show(pair: _Pair, line: Attr, leaf: Leaf, reason: Reason) -> FieldChange:
    old = pair.lookup.named(leaf.have) if line.to else shown(line, leaf.have, leaf.want, _base_of(pair, line, leaf))
    if line.secret and old is not None:  # that a secret exists may be shown, so that it appears as changed
        old = Secret("live", "")
    return FieldChange(leaf.path, old, leaf.want, pair.owners[line.name], reason, line.secret)


def _kept(pair: _Pair, line: Attr, leaf: Leaf, decision: Decision) -> AgentChange:
    have, want = (None, None) if line.secret else (leaf.have, leaf.want)
    have = shown(line, have, want, _base_of(pair, line, leaf))
    return AgentChange(
        pair.desired.address,
        leaf.path,
        pair.live.id,
        have,
        want,
        decision.seed_moved,
        decision.conflict,
        live_moved=decision.runtime,
    )


def _server_items(pair: _Pair, line: Attr, want: Any, have: Any) -> tuple[list[Any], tuple[Any, ...] | None]:
    """Items of a live list that the server added by itself and that were never declared: they are kept.

    Also returns the declared items of that sort, to store in the mark; None if there are none.
    """
    if (
        pair.is_exact(line)
        or not line.related(AddedByServer)
        or not (isinstance(want, list) and isinstance(have, list))
    ):
        return [], None
    kind, stored = pair.kind, pair.stored_members(line)
    declared = tuple(kind.item_key(line.name, item) for item in want if kind.foreign(line.name, item))
    ours = {*stored, *(kind.item_key(line.name, item) for item in want)}
    foreign = [item for item in kind.normal(line.name, have) if kind.foreign(line.name, item)]
    kept = [item for item in foreign if kind.item_key(line.name, item) not in ours]
    return kept, declared if declared or line.name in pair.live.mark.members else None


def _without(kind: type[Kind], line: Attr, have: list[Any], kept: list[Any]) -> list[Any]:
    """A live list in its normal form, without the items that are kept as they are."""
    keys = {kind.item_key(line.name, item) for item in kept}
    return [item for item in kind.normal(line.name, have) if kind.item_key(line.name, item) not in keys]


# --- items that the server adds for members of another list ----------------------------------------------------------


def _with_items(pair: _Pair, line: Attr, rule: PerMember, results: Mapping[str, FieldResult]) -> FieldResult:
    """The comparison of a list, with the items that it must get or lose because of the members of another list.

    They are compared even if the list is not declared: objects with one declaration would differ by their history.
    """
    result = results.get(line.name, FieldResult())
    if pair.owners[line.name] != "enforce":
        return result
    members = _members_after(pair, pair.kind.attrs()[rule.field], results)
    changes = tuple(item_changes(pair.lookup, pair.desired, pair.live, line, members))
    written = result.body.get(line.name)
    if not changes or not isinstance(written, list | None):  # a list that is known only during the apply
        return result
    put, drop = [each.new for each in changes if each.new], [each.old for each in changes if not each.new]
    if written is not None:
        kept = [item for item in pair.kind.normal(line.name, written) if item not in drop]
        body: Any = [*kept, *put]
    else:
        body = Patch(tuple(put), tuple(drop))
    return replace(result, body={line.name: body}, fields_changed=(*result.fields_changed, *changes))


def _members_after(pair: _Pair, line: Attr, results: Mapping[str, FieldResult]) -> Membership:
    """What this plan does to the members of a list, declared or not."""
    result = results.get(line.name, FieldResult())
    attached, detached = (tuple(item for _, item in pairs) for pairs in (result.attach, result.detach))
    stay = (item for item in _live_members(pair, line) if item not in attached and item not in detached)
    return Membership(tuple(stay), attached, detached)


# --- lists to which others add members, too --------------------------------------------------------------------------

_NONE = frozenset[Any]()


def _compare_members(pair: _Pair, line: Attr, value: Any) -> FieldResult:
    if pair.owners[line.name] == "ignore":
        return FieldResult()
    want = [pair.lookup.member(item) for item in ([value] if isinstance(value, Ref) else value or ())]
    have = list(_live_members(pair, line))
    wanted, ours = frozenset(want), frozenset(pair.stored_members(line))
    filled, taken = _adding_fields(pair, line)
    live = frozenset(have) - taken
    missing = [item for item in want if item not in live]
    dropped = frozenset(item for item in missing if _is_dropped(pair, line, item, ours))
    add = [item for item in missing if item not in dropped]
    extra = [item for item in have if item not in wanted and _is_ours(item, ours, pair, line)]
    kept = _server_members(pair, line, filled) if extra else _NONE
    drop = [item for item in extra if item not in kept]
    stays = ", ".join(str(pair.lookup.name(item)) for item in extra if item in kept)
    one_by_one = line.link is not None or line.related(Contents) is not None
    return FieldResult(
        members=_members_to_store(pair, line, want, ours),
        body={} if one_by_one or not (add or drop) else {line.name: Patch(tuple(add), tuple(drop))},
        fields_changed=_show_members(pair, line, have, add, drop, taken) if add or drop else (),
        attach=tuple((line.name, item) for item in add) if one_by_one else (),
        detach=tuple((line.name, item) for item in drop) if one_by_one else (),
        agent_changes=tuple(_dropped_block(pair, item) for item in missing if item in dropped),
        notes=(f"kept in `{line.name}`: {stays}, which the server adds by itself",) if stays else (),
    )


def _live_members(pair: _Pair, line: Attr) -> Iterator[Any]:
    """The members of a live list, without the object's own parts and without what this plan replaces."""
    addresses = pair.lookup.tables.addresses
    for item in pair.live.values.get(line.name) or ():
        address = None if isinstance(item, Item) else addresses.get(item)
        if address is None or (address.parent != pair.desired.address and address not in pair.lookup.replaced):
            yield item


def _is_ours(item: Any, ours: frozenset[Any], pair: _Pair, line: Attr) -> bool:
    """Whether a member that is not declared may be removed."""
    return pair.is_exact(line) or member_key(item) in ours


def _server_members(pair: _Pair, line: Attr, filled: frozenset[str]) -> frozenset[Any]:
    """The members that the server adds to a list by itself. `filled`: the fields for which it adds some.

    It adds some to every new object: if they were removed, objects with one declaration would differ by their history.
    """
    if line.related(AddedByServer) is None:
        return _NONE
    defaults = _NONE if pair.is_exact(line) else default_members(pair.lookup, pair.desired, pair.live, line)
    return defaults | needed_members(pair.lookup, pair.kind, line, filled)


def _adding_fields(pair: _Pair, line: Attr) -> tuple[frozenset[str], frozenset[Any]]:
    """The fields for which the server keeps members in a list after this plan, and the members that it removes in it.

    It adds and removes some members together with another field.
    """
    if line.related(AddedByServer) is None:
        return _NONE, _NONE
    fields = adding_fields(pair.kind, line.name)
    filled = frozenset(name for name in fields if _stays_filled(pair, pair.kind.attrs()[name]))
    emptied = frozenset(name for name in fields if name not in filled and pair.live.values.get(name))
    return filled, needed_members(pair.lookup, pair.kind, line, emptied) if emptied else _NONE


def _stays_filled(pair: _Pair, line: Attr) -> bool:
    """Whether a list has members after this plan, or may have some because it was not read."""
    have = pair.live.values.get(line.name)
    if have is UNREAD:
        return True
    if line.name in pair.desired.values:
        result = _compare_members(pair, line, pair.desired.values[line.name])
    elif line in _undeclared(pair):
        result = _compare_undeclared(pair, line)
    else:
        return bool(have)
    return len([*_live_members(pair, line), *result.attach]) > len(result.detach)


def _is_dropped(pair: _Pair, line: Attr, item: Any, ours: frozenset[Any]) -> bool:
    """Whether the agent itself detached a shared block, and may do so."""
    if line.to != "block" or pair.reseed or item not in ours:
        return False
    shared = _shared_block(pair, item)
    return shared is not None and not shared.external and policies(shared)["value"] != "enforce"


def _shared_block(pair: _Pair, item: Any) -> Desired | None:
    address = pair.lookup.tables.addresses.get(item)
    return pair.lookup.manifest.objects.get(address) if address else None


def _dropped_block(pair: _Pair, item: Any) -> AgentChange:
    shared = _shared_block(pair, item)
    path = f"blocks[{shared.address.key if shared else item}]"
    return AgentChange(pair.desired.address, path, pair.live.id, live=False, want=True)


def _members_to_store(pair: _Pair, line: Attr, want: list[Any], ours: frozenset[Any]) -> tuple[Any, ...] | None:
    """The members to store in the mark; None if nothing changes. Their order has no meaning."""
    keys = tuple(member_key(item) for item in want)
    same = len(keys) == len(pair.stored_members(line)) and all(key in ours for key in keys)
    return keys if not same and (keys or line.name in pair.live.mark.members) else None


def _show_members(
    pair: _Pair, line: Attr, have: list[Any], add: list[Any], drop: list[Any], taken: frozenset[Any]
) -> tuple[FieldChange, ...]:
    named = pair.lookup.named
    change = Patch(tuple(map(named, add)), tuple(map(named, drop)))
    reason = _reason(pair, line, add, drop, taken)
    return (FieldChange(line.name, named(have), change, pair.owners[line.name], reason),)


def _reason(pair: _Pair, line: Attr, add: list[Any], drop: list[Any], taken: frozenset[Any]) -> Reason:
    """Drift: members were lost, or somebody else added some. Undeclared: the manifest no longer names some of ours."""
    stored = pair.live.mark.members.get(line.name)
    ours = frozenset(stored or ())
    dropped = [member_key(item) in ours for item in drop]
    if drop and not add and all(dropped):
        return "undeclared"
    moved = all(member_key(item) in ours and item not in taken for item in add) and not any(dropped)
    return "drift" if moved and stored is not None else "manifest"
