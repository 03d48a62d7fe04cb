"""What comes of a message while it comes: printed as text or as JSON lines, and how it ended as an exit code."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from lettaform.cli import Globals
from lettaform.errors import LettaformError

if TYPE_CHECKING:
    from lettaform.client.messages import Message


class Talk:
    """One message, and what comes of it.

    name        of whom it is sent to
    background  whether the run goes on after Ctrl-C
    runs        the ids of the runs, the last one at the end: an approval begins another one
    stopped     the last stop reason
    """

    def __init__(self, asked: Globals, name: str, *, background: bool) -> None:
        from lettaform.client.messages import UsageStatistics
        from lettaform.render.messages import Transcript
        from lettaform.render.paint import Paint

        self.asked, self.name, self.background = asked, name, background
        self.colored_err = asked.color and (sys.stderr.isatty() or bool(os.environ.get("FORCE_COLOR")))
        paints = {"out": Paint(asked.color), "err": Paint(self.colored_err)}
        self.transcript = Transcript(**paints, verbose=asked.verbose)
        self.runs, self.stopped, self.error = list[str](), "", ""
        self.usage = UsageStatistics()
        self.answer = list[str]()
        self.started = time.monotonic()

    def run(self, came: Iterator[Message], *, whole: bool, detach: bool = False) -> int:
        """Print what comes, and return the exit code.

        whole   whether each message comes in one piece
        detach  end once the run has begun
        """
        try:
            for message in came:
                self.take(message, whole=whole, detach=detach)
                if detach and self.runs:
                    return 0
            return self.end()
        except TimeoutError:
            self.error, self.stopped = f"there was no answer in time{self.cancelled()}", "cancelled"
            return self.end()
        except KeyboardInterrupt:
            self.interrupted()
            return 130
        finally:
            with suppress(KeyboardInterrupt):
                came.close()  # type: ignore[attr-defined]

    def take(self, message: Message, *, whole: bool, detach: bool) -> None:
        """Note and print a message, or a piece of one."""
        from lettaform.client.messages import AssistantMessage, ErrorMessage, Ping, StopReason, UsageStatistics

        if message.run_id and message.run_id not in self.runs:
            self.runs.append(message.run_id)
            self.began(message.run_id, detach)
        if isinstance(message, StopReason):
            self.stopped = message.stop_reason
        elif isinstance(message, ErrorMessage):
            self.error = message.message or message.error_type
        elif isinstance(message, UsageStatistics):
            self.usage = _sum(self.usage, message)
        elif isinstance(message, AssistantMessage):
            self.answer.append(message.text)
        if not self.asked.json:
            self.write(self.transcript.add(message))
        elif not isinstance(message, Ping | StopReason | UsageStatistics):
            from lettaform.render.messages import message_data

            self.emit({"event": "message" if whole else "piece", "message": message_data(message)})

    def began(self, run: str, detach: bool) -> None:
        """Announce a run."""
        from lettaform.render.clean import clean_line

        if self.asked.json:
            self.emit({"event": "run", "run": run, "to": self.name})
        elif detach:
            click.echo(clean_line(run))
        elif self.background:
            click.echo(f"Run: {clean_line(run)}", err=True)

    def end(self) -> int:
        """Print how it ended. Returns the exit code."""
        from lettaform.render.clean import clean_line
        from lettaform.render.messages import ending, usage_data

        code = self.code()
        seconds = time.monotonic() - self.started
        if self.asked.json:
            run = self.runs[-1] if self.runs else None
            text = "".join(self.answer)
            line: dict[str, Any] = {"event": "summary", "run": run, "stop_reason": self.stopped or None}
            line |= {
                "error": self.error or None,
                "answer": text,
                "usage": usage_data(self.usage),
                "seconds": round(seconds, 3),
                "exit_code": code,
            }
            self.emit(line)
            return code
        self.write(self.transcript.end())
        if code or sys.stderr.isatty() or self.asked.verbose:
            run = self.runs[-1] if self.runs else None
            click.echo(f"Stopped: {ending(self.stopped, self.usage, run, seconds)}", err=True)
        if code == 1 and self.error and self.stopped == "cancelled":
            click.echo(f"Error: {clean_line(self.error)}", err=True)
        if code == 7:
            command = f"lettaform send '{clean_line(self.name)}'"
            click.echo(f"  → `{command} --approve` or `{command} --deny` decides it", err=True)
        elif not code and not "".join(self.answer).strip():
            click.echo("The agent said nothing.", err=True)
        return code

    def code(self) -> int:
        """The exit code."""
        from lettaform.model import GOOD, WAITS

        if self.stopped == WAITS:
            return 7
        if not self.runs:  # an approval was asked for, and nobody decided
            return 7
        return 0 if self.stopped in GOOD and not self.error else 1

    def interrupted(self) -> None:
        """After Ctrl-C: cancel the run, and say what became of it."""
        from lettaform.render.clean import clean_line

        if not self.asked.json:
            self.write(self.transcript.end())
        run = clean_line(self.runs[-1]) if self.runs else None
        if self.background and run:
            text = f"Interrupted. The run goes on.\n  → `lettaform runs follow {run}` or `lettaform runs cancel {run}`"
        else:
            text = f"Interrupted{self.cancelled()}."
        click.echo(text, err=True)

    def cancelled(self) -> str:
        """Cancel the run. What became of it, as the end of a sentence."""
        from lettaform import flow
        from lettaform.render.clean import clean_line

        if not self.runs:
            return ""
        run = self.runs[-1]
        try:
            now = flow.run_cancel(self.asked.source(), self.asked.connection(), run)
        except (LettaformError, KeyboardInterrupt) as error:
            why = error.message if isinstance(error, LettaformError) else "a second interrupt"
            return clean_line(f"; {run} may go on: {why}")
        return clean_line(f"; {run} was {'cancelled' if now.status == 'cancelled' else 'over already'}")

    def write(self, pieces: Sequence[tuple[str, str]]) -> None:
        """Print pieces of a transcript."""
        for where, text in pieces:
            err = where == "err"
            click.echo(text, nl=False, err=err, color=(self.colored_err if err else self.asked.color) or None)

    def emit(self, value: dict[str, Any]) -> None:
        """Print a JSON line."""
        from lettaform.render import data

        click.echo(data.dumps(value))
        sys.stdout.flush()


def _sum(one: Any, other: Any) -> Any:
    """What two runs used together."""
    from lettaform.client.messages import UsageStatistics

    names = ("prompt_tokens", "completion_tokens", "total_tokens", "step_count")
    return UsageStatistics(**{name: getattr(one, name) + getattr(other, name) for name in names})
