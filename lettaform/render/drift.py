"""A Drift to text for people and to JSON. The text is clean and contains no secrets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lettaform import __version__
from lettaform.model import Change, FieldChange
from lettaform.plan.drift import Drift, ObjectDrift
from lettaform.render import data
from lettaform.render.changes import ACTIONS, KEPT, SIDES, ActionText, Wording, lines, named, readable, redacted
from lettaform.render.clean import clean_line
from lettaform.render.inline import count, part
from lettaform.render.paint import Paint
from lettaform.render.text import head, paragraphs, titled

_MISSING = Wording(actions={**ACTIONS, "delete": ActionText("-", "removed", "missing on the server")})
_WRITTEN_BACK = replace(KEPT, reasons={"conflict": "the manifest's value has changed, too"})
_UNMANAGED = 20
"""The largest number of objects that are named although they are no drift."""


def text(drift: Drift, *, color: bool = False, verbose: bool = False) -> str:
    """What changed outside, and a summary. `verbose`: with whole texts and ids, and every object by itself."""
    paint = Paint(color)

    def shown(changes: list[Change], wording: Wording) -> list[str]:
        wording = replace(wording, bound=None) if verbose else wording
        return lines(changes, paint, verbose=verbose, wording=wording)

    missing = [Change(each.address, each.kind, "delete", place=each.place) for each in drift.objects if each.missing]
    back = [_change(drift, each, each.written_back) for each in drift.objects if each.written_back]
    kept = [_change(drift, each, each.kept) for each in drift.objects if each.kept]
    groups = [
        titled("Missing, an apply creates it again", shown(missing, _MISSING), paint),
        titled(f"Changed outside lettaform, an apply writes it back ({SIDES})", shown(back, _WRITTEN_BACK), paint),
        titled(f"Changed by agents, kept ({SIDES})", shown(kept, KEPT), paint),
        titled("Not managed by this manifest, no drift", _unmanaged(drift, paint, verbose=verbose), paint),
        [paint("Warning: ", "changed") + clean_line(each.message) for each in drift.warnings],
    ]
    filled = [group for group in groups if group]
    first = [head(drift, paint)] if filled else []
    return paragraphs([first, *filled, [summary(drift, paint), *_advice(drift, paint)]])


def _change(drift: Drift, each: ObjectDrift, fields: tuple[FieldChange, ...]) -> Change:
    shown = tuple(redacted(field, drift.hidden) for field in fields)
    change = Change(each.address, each.kind, "update", each.id, fields_changed=shown, place=each.place)
    return named(readable(change), drift.names)


def _unmanaged(drift: Drift, paint: Paint, *, verbose: bool) -> list[str]:
    most = len(drift.unmanaged) if verbose else _UNMANAGED
    shown = [f"  {clean_line(str(each.address))}  {paint(clean_line(each.id), 'faint')}" for each in drift.unmanaged]
    rest = len(shown) - most
    return [*shown[:most], *([f"  … {rest} more; -v shows each"] if rest > 0 else [])]


# --- the last lines --------------------------------------------------------------------------------------------------


def summary(drift: Drift, paint: Paint | None = None) -> str:
    """What changed, of how many objects, and where."""
    paint, numbers = paint or Paint(), drift.summary
    where = clean_line(f"stack {drift.stack} on {drift.url}{part(drift.environment, drift.shard)}")
    if not drift.applied:
        return f"{paint('No drift:', 'strong')} nothing of {where} has been applied."
    objects = f"{count(numbers['compared'], 'object')} of {where}"
    kept = f"{count(numbers['kept'], 'value')} changed by agents, kept" if numbers["kept"] else ""
    if not drift:
        line = f"{paint('No drift:', 'strong')} {objects} compared, nothing to write back."
        return f"{line} {kept}." if kept else line
    back = f"{count(numbers['written_back'], 'field')} to write back" if numbers["written_back"] else ""
    missing = f"{count(numbers['missing'], 'object')} to create again" if numbers["missing"] else ""
    found = ", ".join(part for part in (back, missing) if part)
    line = f"{paint('Drift:', 'strong')} {found}; {objects} compared."
    return f"{line} {kept}." if kept else line


def _advice(drift: Drift, paint: Paint) -> Iterator[str]:
    """What to do. A command is named only where it does something."""
    numbers = drift.summary
    if drift:
        back = f"writes {count(numbers['written_back'], 'field')} back" if numbers["written_back"] else ""
        missing = f"creates {count(numbers['missing'], 'object')} again" if numbers["missing"] else ""
        done = " and ".join(part for part in (back, missing) if part)
        yield _arrow(f"`lettaform apply` {done}", paint)
    if number := _pullable(drift, "written_back"):
        accepted = count(number, "value")
        yield _arrow(f"`lettaform pull --drift` accepts {accepted}: it puts what is live into the manifest", paint)
    if number := _pullable(drift, "kept"):
        yield _arrow(f"`lettaform pull` puts {count(number, 'value')} that agents changed into the manifest", paint)
    if drift.edited:
        edited = f"the manifest changes {count(drift.edited, 'object')} that no apply has written yet, no drift"
        yield _arrow(f"{edited}: `lettaform plan` shows {'it' if drift.edited == 1 else 'them'}", paint)


def _pullable(drift: Drift, name: str) -> int:
    """The number of values that a pull puts into the manifest."""
    fields = ((each.address, field.path) for each in drift.objects for field in getattr(each, name))
    return sum(field in drift.pullable for field in fields)


def _arrow(line: str, paint: Paint) -> str:
    return f"  {paint('→', 'added')} {line}"


# --- JSON ------------------------------------------------------------------------------------------------------------


def to_data(drift: Drift) -> dict[str, Any]:
    """The object that `drift --json` prints."""
    return {
        "format_version": data.FORMAT_VERSION,
        "lettaform_version": __version__,
        "stack": drift.stack,
        "server": {"url": drift.url, "version": drift.version},
        **({"environment": drift.environment} if drift.environment is not None else {}),
        **({"shard": str(drift.shard)} if drift.shard else {}),
        "summary": drift.summary,
        "objects": [_object(drift, each) for each in drift.objects],
        "unmanaged": [data.unmanaged(each) for each in drift.unmanaged],
        **({"warnings": [data.problem(each) for each in drift.warnings]} if drift.warnings else {}),
        "drift": bool(drift),
    }


def _object(drift: Drift, each: ObjectDrift) -> dict[str, Any]:
    return {
        "address": str(each.address),
        "kind": each.kind,
        "id": each.id,
        "missing": each.missing,
        "written_back": [_field(drift, each, field) for field in each.written_back],
        "kept": [_field(drift, each, field) for field in each.kept],
        "place": data.place(each.place),
    }


def _field(drift: Drift, each: ObjectDrift, field: FieldChange) -> dict[str, Any]:
    manifest, live = data.sides(redacted(field, drift.hidden), each.kind)
    return {
        "path": field.path,
        "policy": field.policy,
        "reason": field.reason,
        "manifest": manifest,
        "live": live,
        "secret": data.is_secret(field, each.kind),
        "pullable": (each.address, field.path) in drift.pullable,
    }
