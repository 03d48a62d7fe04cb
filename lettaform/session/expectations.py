"""What an agent did in a check, and what is expected, to what is not as expected. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from lettaform.model import CalledTool, Check, Expectation, ExpectedCall, ExpectedText, Reply, Said

SHOWN = 120
"""Number of characters of a text that a message shows."""


def failures(check: Check, said: Sequence[Said], memory: Mapping[str, str]) -> list[str]:
    """What is not as the check expects, one sentence each.

    said    its turns, as they went
    memory  label of each memory block to its text afterwards
    """
    found = list[str]()
    for number, (turn, each) in enumerate(zip(check.turns, said, strict=True), 1):
        before = f"turn {number}: " if len(said) > 1 else ""
        # the memory is read once, after the last turn
        found += [before + why for why in _of(turn.expect, each.reply, each.seconds, memory)]
    whole = Reply()
    for each in said:
        whole += each.reply
    if said:
        seconds = sum(each.seconds for each in said)
        last = Reply(said[-1].reply.answer, whole.calls, (), whole.stop_reason, whole.steps, whole.tokens)
        found += _of(check.expect, last, seconds, memory)
        if not found and expects_nothing(check) and not said[-1].reply.answer.strip():
            found.append("the agent gave no answer")
    return found


def expects_nothing(check: Check) -> bool:
    """Whether the check has neither an expectation nor a judge: any answer will do then."""
    return check.judge is None and all(
        each == Expectation() for each in (check.expect, *(t.expect for t in check.turns))
    )


def _of(expect: Expectation, reply: Reply, seconds: float, memory: Mapping[str, str]) -> Iterator[str]:
    if expect.answer is not None:
        yield from (f"the answer {why}" for why in _text(expect.answer, reply.answer))
    yield from (why for call in expect.calls if (why := _call(call, reply.calls)))
    for pattern in expect.no_calls:
        if called := [each for each in reply.calls if fnmatchcase(each.tool, pattern)]:
            yield f"the agent called {_shown_call(called[0])}, which it must not"
    for label, text in expect.memory.items():
        if label not in memory:
            yield f"the agent has no memory block `{label}`; it has {', '.join(sorted(memory)) or 'none'}"
        else:
            yield from (f"the memory block `{label}` {why}" for why in _text(text, memory[label]))
    for what, most, took in (
        ("seconds", expect.seconds, seconds),
        ("steps", expect.steps, reply.steps),
        ("tokens", expect.tokens, reply.tokens),
    ):
        if most is not None and took > most:
            yield f"it took {took:.1f} {what}, more than {most:g}" if what == "seconds" else _too_many(what, most, took)


def _too_many(what: str, most: float, took: float) -> str:
    return f"it took {took:g} {what}, more than {most:g}"


# --- texts -----------------------------------------------------------------------------------------------------------


def _text(expected: ExpectedText, text: str) -> Iterator[str]:
    """What is wrong with a text, each as the end of a sentence about it."""
    low, shown = text.casefold(), shortened(text)
    for each in expected.contains:
        if each.casefold() not in low:
            yield f"does not contain {shortened(each)}: {shown}"
    for each in expected.excludes:
        if each.casefold() in low:
            yield f"contains {shortened(each)}: {shown}"
    if expected.matches is not None and not re.search(expected.matches, text):
        yield f"does not match /{expected.matches}/: {shown}"
    if expected.json_schema is not None:
        yield from _json(expected.json_schema, text)


def _json(schema: Mapping[str, Any], text: str) -> Iterator[str]:
    """Why a text is not JSON that meets a schema. References to other documents are not followed."""
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        value = json.loads(_unfenced(text))
    except (ValueError, RecursionError):
        yield f"is not JSON: {shortened(text)}"
        return
    try:
        error = next(iter(Draft202012Validator(schema, registry=Registry()).iter_errors(value)), None)
    except Unresolvable as missing:
        yield f"cannot be compared: the schema refers to `{missing.ref}`, which it does not contain"
        return
    if error is not None:
        at = ".".join(map(str, error.absolute_path))
        yield f"does not meet the schema{f' at `{at}`' if at else ''}: {shortened(error.message)}"


_FENCE = re.compile(r"\s*```\w*\n(.*?)\n?```\s*", re.DOTALL)


def _unfenced(text: str) -> str:
    """The text of a code block of Markdown, in which models often write JSON; another text as it is."""
    found = _FENCE.fullmatch(text)
    return found[1] if found else text


def shortened(text: str) -> str:
    """A text in quotes, on one line, and not too long."""
    shown = " ".join(text.split())
    return f"“{shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + '…'}”"


# --- calls -----------------------------------------------------------------------------------------------------------


def _call(expected: ExpectedCall, calls: Sequence[CalledTool]) -> str:
    """Why an expected call is not among the calls; empty if it is."""
    same = [each for each in calls if each.tool == expected.tool]
    if any(_holds(expected.arguments, each.arguments) for each in same):
        return ""
    if same:
        wanted = _shown_call(CalledTool(expected.tool, expected.arguments))
        return f"the agent did not call {wanted}; it called {_shown_call(same[0])}"
    others = ", ".join(dict.fromkeys(each.tool for each in calls)) or "no tool"
    return f"the agent did not call `{expected.tool}`; it called {others}"


def _holds(wanted: Any, have: Any) -> bool:
    """Whether a value holds what is expected: maps have at least these keys, other values are equal."""
    if isinstance(wanted, Mapping) and isinstance(have, Mapping):
        return all(key in have and _holds(value, have[key]) for key, value in wanted.items())
    if isinstance(wanted, bool) or isinstance(have, bool):
        return wanted is have
    return bool(wanted == have)


def _shown_call(call: CalledTool) -> str:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False, default=str)
    shown = arguments if len(arguments) <= SHOWN else arguments[: SHOWN - 1] + "…"
    return f"`{call.tool}` with {shown}" if call.arguments else f"`{call.tool}`"
