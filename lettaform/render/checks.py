"""The results of checks to text, Markdown, JUnit and JSON. What agents said is not trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from lettaform.model import Checked, CheckResult, CheckRun, CheckStatus
from lettaform.render import data
from lettaform.render.changes import location
from lettaform.render.clean import clean, clean_line
from lettaform.render.inline import count
from lettaform.render.markdown import SENTENCES, code, fence
from lettaform.render.paint import Meaning, Paint
from lettaform.render.text import seconds

SHOWN = 400
"""Number of characters of a message that text shows, unless everything is asked for."""
ROWS, FAILURES = 25_000, 35_000
"""Number of characters of the table in Markdown, and of the failures: GitHub accepts 65,536 in a comment."""
MEANINGS: Mapping[CheckStatus, Meaning] = {"passed": "added", "failed": "alarm", "error": "alarm"}
"""How a result is painted."""


# --- text ------------------------------------------------------------------------------------------------------------


def line(result: CheckResult, *, color: bool = False) -> str:
    """One result on one line."""
    paint = Paint(color)
    status = paint(f"{result.status:<6}", MEANINGS[result.status])
    parts = [f"{status}  {clean_line(result.check.name)}", clean_line(str(result.agent)), *_about(result)]
    return "  ".join(parts)


def _about(result: CheckResult) -> list[str]:
    passed, number = sum(run.passed for run in result.runs), len(result.runs)
    took = seconds(sum(run.seconds for run in result.runs))
    runs = [f"{passed} of {count(number, 'run')}"] if result.check.runs > 1 else []
    return [*runs, took, *(["in quarantine"] if result.check.quarantine else [])]


def text(found: Checked, *, color: bool = False, verbose: bool = False) -> str:
    """Everything that is not as expected, and a summary. `verbose`: also the conversations, in full."""
    paint = Paint(color)
    groups = [list(_details(each, paint, verbose)) for each in found.results if verbose or each.status != "passed"]
    passed = [each for each in found.results if each.status == "passed" and not verbose]
    notes = dict.fromkeys(f"{each.agent} {note}" for each in passed for note in each.notes)
    groups.append([f"Copy of {clean_line(note)}" for note in notes])
    groups.append([paint("Warning: ", "changed") + clean_line(each.message) for each in found.warnings])
    groups.append([summary(found, color=color)])
    return "\n\n".join("\n".join(group) for group in groups if group) + "\n"


def summary(found: Checked, *, color: bool = False) -> str:
    """How many checks passed, on one line."""
    paint = Paint(color)
    parts = [f"{len(found.of('passed'))} passed"]
    parts += [f"{len(each)} failed" for each in (found.of("failed"),) if each]
    parts += [count(len(each), "error") for each in (found.of("error"),) if each]
    parts += [f"{len(found.quarantined)} in quarantine did not pass"] if found.quarantined else []
    title = paint("Interrupted:", "alarm") if found.interrupted else paint("Checks:", "strong")
    of = " of the planned agents" if found.planned else ""
    return f"{title} {', '.join(parts)}{of} in {seconds(found.seconds)}."


def _details(result: CheckResult, paint: Paint, verbose: bool) -> Iterator[str]:
    title = clean_line(f"{result.check.name}: {result.agent}")
    yield f"{paint(result.status.capitalize(), MEANINGS[result.status])} {paint(title, 'strong')}"
    if result.check.place:
        yield f"  {paint(clean_line(f'at {result.check.place}'), 'faint')}"
    yield from (f"  {clean_line(note)}" for note in result.notes)
    several = len(result.runs) > 1
    for number, run in enumerate(result.runs, 1):
        before = f"run {number}: " if several else ""
        yield from (f"  - {before}{clean_line(why)}" for why in _reasons(run))
        if verbose or not run.passed:
            yield from (f"    {paint(each, 'faint')}" for each in _conversation(run, None if verbose else SHOWN))


def _reasons(run: CheckRun) -> list[str]:
    """What is not as expected, and why a run could not be judged."""
    return [*run.failures, *([run.error] if run.error is not None else [])]


def _conversation(run: CheckRun, most: int | None) -> Iterator[str]:
    for said in run.said:
        yield f"> {_cut(said.say, most)}"
        for call in said.reply.calls:
            arguments = json.dumps(dict(call.arguments), ensure_ascii=False, default=str)
            yield _cut(f"call {call.tool} {arguments}{' (denied)' if call.denied else ''}", most)
        yield f"< {_cut(said.reply.answer, most)}"
    if run.verdict:
        yield f"judge: {_cut(run.verdict, most)}"


def _cut(text: str, most: int | None) -> str:
    shown = clean_line(text)
    return shown if most is None or len(shown) <= most else shown[: most - 1] + "…"


# --- Markdown --------------------------------------------------------------------------------------------------------


def markdown(found: Checked) -> str:
    """A table of the results, and what is not as expected. Texts of agents stand in code, where nothing acts."""
    lines = [f"### Checks of {code(found.stack)}", "", summary(found), ""]
    lines += ["| check | agent | result | runs | time |", "|---|---|---|---|---|"]
    rows, more = fitting([[_row(each)] for each in found.results], ROWS)
    lines += [*rows, *(["", f"… and {count(more, 'more check')}"] if more else [])]
    notes = dict.fromkeys(f"{each.agent} {note}" for each in found.results for note in each.notes)
    lines += [line for note in [*notes][:SENTENCES] for line in ("", f"Copy of {code(note)}")]
    blocks, more = fitting([[*_block(each)] for each in found.results if each.status != "passed"], FAILURES)
    lines += [*blocks, *(["", f"… {count(more, 'more check')} did not pass"] if more else [])]
    lines += [line for each in found.warnings for line in ("", f"Warning: {code(clean_line(each.message))}")]
    return "\n".join(lines) + "\n"


def fitting(blocks: Sequence[Sequence[str]], most: int) -> tuple[list[str], int]:
    """The lines of the first blocks that fit into `most` characters, and the number of the other blocks."""
    lines, used = list[str](), 0
    for number, block in enumerate(blocks):
        used += sum(len(line) + 1 for line in block)
        if used > most:
            return lines, len(blocks) - number
        lines += block
    return lines, 0


def _row(result: CheckResult) -> str:
    status = result.status + (", in quarantine" if result.check.quarantine else "")
    passed = f"{sum(run.passed for run in result.runs)} of {len(result.runs)}"
    took = seconds(sum(run.seconds for run in result.runs))
    return f"| {cell(result.check.name)} | {cell(str(result.agent))} | {status} | {passed} | {took} |"


def _block(result: CheckResult) -> Iterator[str]:
    place = f" · {code(location(result.check.place))}" if result.check.place else ""
    yield from ("", f"**{result.status}** {code(result.check.name)} · {code(str(result.agent))}{place}", "")
    several = len(result.runs) > 1
    reasons = list[str]()
    for number, run in enumerate(result.runs, 1):
        reasons += [f"{f'run {number}: ' if several else ''}{clean_line(why)}" for why in _reasons(run)]
    yield fence(reasons)


def cell(text: str) -> str:
    """A text as code in a cell of a table."""
    return code(text).replace("|", "\\|")


# --- JUnit -----------------------------------------------------------------------------------------------------------


def junit(found: Checked) -> str:
    """The XML of JUnit that CI systems read: one test case for each check and agent."""
    counts = {
        "tests": len(found.results),
        "failures": len(found.of("failed")),
        "errors": len(found.of("error")),
        "skipped": len(found.quarantined),
    }
    about = {name: str(number) for name, number in counts.items()} | {"time": f"{found.seconds:.3f}"}
    root = ElementTree.Element("testsuites", {"name": "lettaform check", **about})
    suite = ElementTree.SubElement(root, "testsuite", {"name": clean_line(found.stack), **about})
    for each in found.results:
        suite.append(_case(found, each))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(found: Checked, result: CheckResult) -> ElementTree.Element:
    place = {"file": result.check.place.file, "line": str(result.check.place.line)} if result.check.place else {}
    about = {
        "classname": clean_line(f"{found.stack}.checks.{result.check.name}"),
        "name": clean_line(str(result.agent)),
        "time": f"{sum(run.seconds for run in result.runs):.3f}",
        **{name: clean_line(value) for name, value in place.items()},
    }
    case = ElementTree.Element("testcase", about)
    reasons = [reason for run in result.runs for reason in _reasons(run)]
    if result.status != "passed":
        word = "skipped" if result.check.quarantine else "failure" if result.status == "failed" else "error"
        first = clean_line(reasons[0]) if reasons else ""
        message = f"in quarantine: {first}" if result.check.quarantine else first
        ElementTree.SubElement(case, word, {"message": message}).text = "\n".join(map(clean, reasons))
    talk = [line for run in result.runs for line in _conversation(run, None)]
    ElementTree.SubElement(case, "system-out").text = "\n".join(talk)
    return case


# --- JSON ------------------------------------------------------------------------------------------------------------


def to_data(found: Checked) -> dict[str, Any]:
    """The object that `check --json` prints."""
    return {
        "format_version": data.FORMAT_VERSION,
        "stack": found.stack,
        "environment": found.environment,
        "server": {"url": found.url},
        "planned": found.planned,
        "checks": [_result(each) for each in found.results],
        "summary": {
            "passed": len(found.of("passed")),
            "failed": len(found.of("failed")),
            "error": len(found.of("error")),
            "quarantined": len(found.quarantined),
        },
        "seconds": round(found.seconds, 3),
        "interrupted": found.interrupted,
        "warnings": [data.problem(each) for each in found.warnings],
        "exit_code": found.exit_code,
    }


def _result(result: CheckResult) -> dict[str, Any]:
    place = result.check.place
    return {
        "check": result.check.name,
        "agent": str(result.agent),
        "status": result.status,
        "quarantine": result.check.quarantine,
        "rate": round(result.rate, 4),
        "pass_rate": result.check.pass_rate,
        "notes": list(result.notes),
        "place": {"file": place.file, "line": place.line, "column": place.column} if place else None,
        "runs": [_run(each) for each in result.runs],
    }


def _run(run: CheckRun) -> dict[str, Any]:
    return {
        "passed": run.passed,
        "failures": list(run.failures),
        "error": run.error,
        "verdict": run.verdict or None,
        "seconds": round(run.seconds, 3),
        "turns": [
            {
                "say": each.say,
                "answer": each.reply.answer,
                "calls": [
                    {"tool": call.tool, "arguments": dict(call.arguments), "denied": call.denied}
                    for call in each.reply.calls
                ],
                "stop_reason": each.reply.stop_reason,
                "steps": each.reply.steps,
                "tokens": each.reply.tokens,
                "seconds": round(each.seconds, 3),
            }
            for each in run.said
        ],
    }
