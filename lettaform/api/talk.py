"""The messages of a run to an Answer, or to the error that a caller cannot overlook."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypedDict

from lettaform.client.messages import (
    AssistantMessage,
    ErrorMessage,
    Message,
    Ping,
    StopReason,
    UsageStatistics,
    joined,
)
from lettaform.errors import LettaformError
from lettaform.model import GOOD, WAITS
from lettaform.session.talk import Decide


class SendOptions(TypedDict, total=False):
    """How a message is sent.

    conversation  key or id of a conversation with the agent
    background    the run goes on if the program ends
    within        seconds, after which TimeoutError is raised; the run goes on
    decide        takes the calls of tools that wait for approval, and returns a Decision for each. None: they go on
                  waiting
    """

    conversation: str | None
    background: bool
    within: float | None
    decide: Decide


@dataclass(frozen=True)
class Answer:
    """What an agent answered.

    messages     its messages in their order: reasoning, calls of tools and their results, and what it said
    stop_reason  why it stopped, such as `end_turn` or `requires_approval`
    usage        the tokens that the answer took; None if the server did not say it
    run          the id of the run
    """

    messages: tuple[Message, ...] = ()
    stop_reason: str = ""
    usage: UsageStatistics | None = None
    run: str | None = None

    @property
    def text(self) -> str:
        """What the agent said, a line for each of its messages."""
        return "\n".join(each.text for each in self.messages if isinstance(each, AssistantMessage))

    @property
    def waits(self) -> bool:
        """Whether a call of a tool waits for approval."""
        return self.stop_reason == WAITS


class NotAnswered(LettaformError):
    """A run failed or was cut short. `answer`: what the agent answered until then."""

    def __init__(self, to: str, why: str, answer: Answer) -> None:
        super().__init__(f"{to} did not finish its answer: {why}")
        self.answer = answer


def read(pieces: Iterable[Message], to: str, notify: Callable[[Message], None] = lambda piece: None) -> Answer:
    """The answer of an agent, from the messages of its run. NotAnswered if the run did not end well.

    to      the name of the agent, for errors
    notify  called with each message, or each piece of one, as it comes
    """
    every: list[Message] = []
    for piece in pieces:
        notify(piece)
        every.append(piece)
    notices = (StopReason, UsageStatistics, ErrorMessage, Ping)
    answer = Answer(
        tuple(joined(each for each in every if not isinstance(each, notices))),
        next((each.stop_reason for each in reversed(every) if isinstance(each, StopReason)), ""),
        next((each for each in reversed(every) if isinstance(each, UsageStatistics)), None),
        next((each.run_id for each in reversed(every) if each.run_id), None),
    )
    failed = next((each.message or each.error_type for each in every if isinstance(each, ErrorMessage)), None)
    if failed is not None or answer.stop_reason not in (*GOOD, WAITS):
        raise NotAnswered(to, failed or answer.stop_reason or "it stopped for no reason", answer)
    return answer
