"""What an agent did, and what is expected of it, to what is not as expected."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.address import Address
from lettaform.model import CalledTool, Check, Expectation, ExpectedCall, ExpectedText, Judge, Reply, Said, Turn
from lettaform.session.expectations import failures

LOOK = CalledTool("look", {"city": "Rome", "deep": {"a": 1, "b": 2}, "on": True})
SAID = Said("hi", Reply("Hello, Ann.", (LOOK,), steps=2, tokens=90), 1.5)
MEMORY = {"human": "Ann lives in Rome."}


def wrong(expect: Expectation, *said: Said, turns: tuple[Turn, ...] = (), **words: Any) -> list[str]:
    said = said or (SAID,)
    check = Check("c", (Address.parse("agents.a"),), turns or tuple(Turn(each.say) for each in said), expect, **words)
    return failures(check, said, MEMORY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ExpectedText(), ""),
        (ExpectedText(contains=("hello", "ANN")), ""),
        (ExpectedText(contains=("hello", "bob")), "the answer does not contain “bob”: “Hello, Ann.”"),
        (ExpectedText(excludes=("bob",)), ""),
        (ExpectedText(excludes=("ann",)), "the answer contains “ann”: “Hello, Ann.”"),
        (ExpectedText(matches=r"\bAnn\b"), ""),
        (ExpectedText(matches=r"\bann\b"), r"the answer does not match /\bann\b/: “Hello, Ann.”"),
        (ExpectedText(json_schema={}), "the answer is not JSON: “Hello, Ann.”"),
    ],
)
def test_answers(text: ExpectedText, message: str) -> None:
    assert wrong(Expectation(text)) == ([message] if message else [])


SCHEMA = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('{"city": "Rome"}', ""),
        ('```json\n{"city": "Rome"}\n```', ""),
        ('{"city": 5}', "the answer does not meet the schema at `city`: “5 is not of type 'string'”"),
        ("{}", "the answer does not meet the schema: “'city' is a required property”"),
        ("[" * 100_000, "the answer is not JSON: “" + "[" * 119 + "…”"),
    ],
)
def test_json(answer: str, message: str) -> None:
    said = Said("x", Reply(answer))
    assert wrong(Expectation(ExpectedText(json_schema=SCHEMA)), said) == ([message] if message else [])


def test_a_schema_is_not_fetched() -> None:
    said = Said("x", Reply("{}"))
    (message,) = wrong(Expectation(ExpectedText(json_schema={"$ref": "http://127.0.0.1:9/x.json"})), said)
    assert message.endswith("the schema refers to `http://127.0.0.1:9/x.json`, which it does not contain")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (ExpectedCall("look"), ""),
        (ExpectedCall("look", {"city": "Rome"}), ""),
        (ExpectedCall("look", {"deep": {"b": 2}}), ""),
        (ExpectedCall("look", {"on": True}), ""),
        (ExpectedCall("look", {"on": 1}), 'the agent did not call `look` with {"on": 1}; it called `look` with '),
        (ExpectedCall("look", {"city": "Bern"}), 'the agent did not call `look` with {"city": "Bern"}; it called '),
        (ExpectedCall("pay"), "the agent did not call `pay`; it called look"),
    ],
)
def test_calls(call: ExpectedCall, message: str) -> None:
    found = wrong(Expectation(calls=(call,)))
    assert [each[: len(message)] for each in found] == ([message] if message else [])


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        (Expectation(no_calls=("pay*",)), ""),
        (Expectation(no_calls=("lo*",)), "the agent called `look` with "),
        (Expectation(no_calls=("*",)), "the agent called `look` with "),
        (Expectation(memory={"human": ExpectedText(("rome",))}), ""),
        (Expectation(memory={"human": ExpectedText(("Bern",))}), "the memory block `human` does not contain “Bern”"),
        (Expectation(memory={"notes": ExpectedText()}), "the agent has no memory block `notes`; it has human"),
        (Expectation(seconds=2, steps=2, tokens=90), ""),
        (Expectation(seconds=1), "it took 1.5 seconds, more than 1"),
        (Expectation(steps=1), "it took 2 steps, more than 1"),
        (Expectation(tokens=89), "it took 90 tokens, more than 89"),
    ],
)
def test_calls_memory_and_limits(expect: Expectation, message: str) -> None:
    found = wrong(expect)
    assert [each[: len(message)] for each in found] == ([message] if message else [])


def test_a_whole_check_has_all_calls_and_the_last_answer() -> None:
    second = Said("x", Reply("Bye.", (CalledTool("go"),), steps=1, tokens=10), 1.0)
    calls = Expectation(ExpectedText(("bye",)), (ExpectedCall("look"), ExpectedCall("go")), steps=3, tokens=100)
    assert wrong(calls, SAID, second) == []
    assert wrong(Expectation(ExpectedText(("hello",)), seconds=2), SAID, second) == [
        "the answer does not contain “hello”: “Bye.”",
        "it took 2.5 seconds, more than 2",
    ]


def test_a_turn_has_its_own_expectation() -> None:
    turns = (Turn("hi", Expectation(ExpectedText(("bye",)))), Turn("x", Expectation(no_calls=("*",))))
    found = wrong(Expectation(), SAID, Said("x", Reply("Bye.")), turns=turns)
    assert found == ["turn 1: the answer does not contain “bye”: “Hello, Ann.”"]


def test_without_an_expectation_any_answer_will_do() -> None:
    assert wrong(Expectation()) == []
    assert wrong(Expectation(), Said("x", Reply(" "))) == ["the agent gave no answer"]
    assert wrong(Expectation(), Said("x", Reply("")), judge=Judge("Polite.")) == []


def test_a_long_answer_is_shortened() -> None:
    (message,) = wrong(Expectation(ExpectedText(("bob",))), Said("x", Reply("a " * 500)))
    assert len(message) < 200
