"""A Pull to text for people and to JSON. The text is clean and contains no secrets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lettaform.errors import Place, Problem
from lettaform.plan.pull import LiveValue, Outcome, Pull
from lettaform.render import data
from lettaform.render.clean import clean_line, redact
from lettaform.render.file_diffs import patch, shown
from lettaform.render.inline import count, to_text
from lettaform.render.paint import Paint
from lettaform.render.problems import MOST
from lettaform.render.texts import unified

_CHOOSE = "`--theirs ADDRESS` takes the server's value, `--ours ADDRESS` keeps the manifest's"
_OTHERS: dict[Outcome, str] = {
    "manifest": "changed in the manifest alone",
    "drift": "changed outside lettaform, with the policy `enforce`: `--drift` pulls it",
    "ours": "kept as the manifest has it, because of --ours",
}


def text(pull: Pull, *, color: bool = False, verbose: bool = False) -> str:
    """The changes of the files, what is not pulled and why, and a summary. `verbose`: with what is left on purpose."""
    paint = Paint(color)
    groups = [
        [line for name, texts in pull.files.items() for line in shown(name, *_redacted(pull, texts), paint)],
        _titled("Changed on both sides, not pulled", _conflicts(pull, paint), paint),
        _titled("Contains a secret, not pulled", _reasons(pull.refused, paint), paint),
        _titled("Kept on the server, not pulled", _reasons(pull.kept, paint), paint),
        _titled("Left as it is", _others(pull, paint) if verbose else [], paint),
        _warnings(pull, paint),
        [summary(pull, paint)],
    ]
    return "\n\n".join("\n".join(group) for group in [[_head(pull, paint)], *groups] if group) + "\n"


def summary(pull: Pull, paint: Paint | None = None) -> str:
    """The last line: what the files get, and what they do not get."""
    paint = paint or Paint()
    values = f"{count(len(pull.pulled), 'value')} into {count(len(pull.files), 'file')}"
    line = f"{paint('Pull:', 'strong')} {values}." if pull else paint("Nothing to pull.", "strong")
    parts = [count(len(pull.conflicts), "value") + " changed on both sides"] if pull.conflicts else []
    parts += [count(len(pull.refused), "value") + " with a secret"] if pull.refused else []
    parts += [count(len(pull.kept), "value") + " kept on the server"] if pull.kept else []
    drifted = sum(each.outcome == "drift" for each in pull.others)
    parts += [f"{count(drifted, 'value')} changed outside lettaform (`--drift` pulls them)"] if drifted else []
    return f"{line} Not pulled: {', '.join(parts)}." if parts else line


def report(pull: Pull, *, color: bool = False) -> str:
    """After the files have been written: what the next plan shows."""
    values, files = count(len(pull.pulled), "value"), count(len(pull.files), "file")
    line = f"{Paint(color)('Pulled:', 'strong')} {values} into {files}."
    if pull.recorded:
        line += f" {count(len(pull.recorded), 'mark')} written."
    rest = [count(len(pull.unrecorded), "mark") + " to write"] if pull.unrecorded else []
    rest += [count(len(pull.merged), "merged text") + " for the server"] if pull.merged else []
    if rest:
        line += f" The next plan shows {' and '.join(rest)}, which `lettaform apply` writes."
    return f"{line}\n"


def _head(pull: Pull, paint: Paint) -> str:
    parts = [f"Stack {pull.stack}", pull.url, f"Letta {pull.version}"]
    parts += [f"environment {pull.environment}"] if pull.environment else []
    return paint(clean_line(" · ".join(parts)), "faint")


def _redacted(pull: Pull, texts: Iterable[str]) -> tuple[str, str]:
    old, new = (redact(each, pull.hidden) for each in texts)
    return old, new


def _conflicts(pull: Pull, paint: Paint) -> list[str]:
    lines: list[str] = []
    for each in pull.conflicts:
        why = f": {each.conflict.reason}" if each.conflict else ""
        lines.append(f"  {clean_line(f'{each.address}  {each.path}{why}')}  {_place(each.place, paint)}")
        if each.conflict:
            texts = redact(each.conflict.text, pull.hidden).split("\n")
            lines += [f"      {clean_line(line)}" for line in texts]
            continue
        lines += [f"      {paint('-', 'removed')} the manifest's, {paint('+', 'added')} the server's"]
        if isinstance(each.want, str) and isinstance(each.live, str):
            lines += [f"      {line}" for line in unified(*_redacted(pull, (each.want, each.live)), paint)]
        else:
            lines += [f"      {paint('-', 'removed')} {redact(to_text(each.want), pull.hidden)}"]
            lines += [f"      {paint('+', 'added')} {redact(to_text(each.live), pull.hidden)}"]
    return [*lines, f"  {paint('→', 'added')} {_CHOOSE}"] if lines else []


def _reasons(problems: Sequence[Problem], paint: Paint) -> list[str]:
    lines = []
    for each in problems[:MOST]:
        lines.append(f"  {clean_line(f'{each.address}: {each.message}')}  {_place(each.place, paint)}".rstrip())
        lines += [f"    {paint('→', 'added')} {clean_line(each.hint)}"] if each.hint else []
    return [*lines, f"  … and {len(problems) - MOST} more"] if len(problems) > MOST else lines


def _others(pull: Pull, paint: Paint) -> list[str]:
    return [
        f"  {clean_line(f'{each.address}  {each.path}: {_OTHERS[each.outcome]}')}  {_place(each.place, paint)}"
        for each in pull.others
    ]


def _warnings(pull: Pull, paint: Paint) -> list[str]:
    lines = []
    for each in pull.warnings:
        lines.append(f"{paint('Warning:', 'changed')} {clean_line(each.message)}")
        lines += [f"  {paint('→', 'added')} {clean_line(each.hint)}"] if each.hint else []
    return lines


def _titled(title: str, lines: list[str], paint: Paint) -> list[str]:
    return [paint(title, "strong"), *lines] if lines else []


def _place(place: Place | None, paint: Paint) -> str:
    return paint(clean_line(f"# {place.of_line}"), "faint") if place else ""


# --- JSON ------------------------------------------------------------------------------------------------------------


def to_data(pull: Pull, *, check: bool = False) -> dict[str, Any]:
    """The object that `pull --json` prints."""
    return {
        "format_version": data.FORMAT_VERSION,
        "stack": pull.stack,
        "server": {"url": pull.url, "version": pull.version},
        **({"environment": pull.environment} if pull.environment is not None else {}),
        "written": pull.written,
        "recorded": sorted(map(str, pull.recorded)),
        "pulled": [_value(pull, each) for each in pull.pulled],
        "conflicts": [_value(pull, each) for each in pull.conflicts],
        "refused": [data.problem(each) for each in pull.refused],
        "kept": [data.problem(each) for each in pull.kept],
        "left": [{"address": str(each.address), "path": each.path, "reason": each.outcome} for each in pull.others],
        "files": [{"file": name, "diff": patch(name, *_redacted(pull, each))} for name, each in pull.files.items()],
        "warnings": [data.problem(each) for each in pull.warnings],
        "exit_code": pull.exit_code(check=check),
    }


def _value(pull: Pull, value: LiveValue) -> dict[str, Any]:
    place = value.place
    return {
        "address": str(value.address),
        "path": value.path,
        "drift": not value.agents,
        "manifest": _hidden(pull, data.to_json(value.want)),
        "live": _hidden(pull, data.to_json(value.live)),
        **({"merged": _hidden(pull, value.merged)} if value.merged is not None else {}),
        **({"reason": value.conflict.reason} if value.conflict else {}),
        "file": place.file if place else None,
        "line": place.line if place else None,
    }


def _hidden(pull: Pull, value: Any) -> Any:
    return redact(value, pull.hidden) if isinstance(value, str) else value
