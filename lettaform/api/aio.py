"""The methods of Stack for `async` programs. Made by `python -m scripts.generate`: change `stack.py`, not this file."""

# ruff: noqa: E501, I001
# fmt: off
from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Unpack, overload

from lettaform.api.events import AsyncApplying, AsyncSending
from lettaform.api.results import Result
from lettaform.api.stack import AnyShard, ApplyOptions, CanaryStart, DestroyOptions, Does, Options, PlanAndApplyOptions, PromoteOptions, Stack, run_of, talk_of
from lettaform.api.talk import Answer, SendOptions
from lettaform.client.messages import Message
from lettaform.flow import Compared, Consent, Drift, Outgoing, Pull, Shown, StackStatus
from lettaform.model import WHOLE, Applied, Checked, Manifest, Plan
from lettaform.session.blocking import awaited


class AsyncStack:
    """The methods of a Stack for `async` programs. Each runs in a thread of its own, with an event loop of its own.

    So the event loop of the program goes on, also while a plan is computed and while files are read. A method whose
    task is cancelled begins no other step, releases the lock, and then raises CancelledError. Functions that are given,
    such as `consent`, are called in that thread.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    async def manifest(self) -> Manifest:
        """The manifest as it is now, with the values of all variables. ManifestError with every problem."""
        return await awaited(lambda: self._stack.manifest())


    async def plan(self, **options: Unpack[Options]) -> Plan:
        """Plan the changes, and write nothing. A plan is true if something is to do.

        Guarded if it would delete a protected object, or exceeds a limit.
        """
        return await awaited(lambda: self._stack.plan(**options))


    @overload
    async def apply(self, plan: Plan, /, **how: Unpack[ApplyOptions]) -> Result: ...

    @overload
    async def apply(self, *, consent: Consent, **how: Unpack[PlanAndApplyOptions]) -> Result: ...

    async def apply(self, plan: Plan | None=None, /, *, consent: Consent | None=None, **how: Any) -> Result:  # type: ignore[misc]
        """Carry out a plan that `plan` returned; or plan, and carry the plan out if there is consent to it.

        plan     exactly this plan is carried out. Stale, and nothing is written, if the manifest or the server has
                 changed since
        consent  without a plan: True, or a function that takes the plan and returns whether to carry it out

        Failed if a step failed: what does not depend on it was done. Locked if another run holds the lock. The other
        arguments are in `Options` and `ApplyOptions`.
        """
        return await awaited(lambda: self._stack.apply(plan, consent=consent, **how))  # type: ignore[call-overload]


    @overload
    def applying(self, plan: Plan, /, **how: Unpack[ApplyOptions]) -> AsyncApplying: ...

    @overload
    def applying(self, *, consent: Consent, **how: Unpack[PlanAndApplyOptions]) -> AsyncApplying: ...

    def applying(self, plan: Plan | None=None, /, **how: Any) -> AsyncApplying:  # type: ignore[misc]
        """As `apply`: an iterator of the events of the apply, whose `result` is there after the last one.

        The apply begins with the iteration, which raises its errors at the end. Leaving the loop early cancels it.
        """
        return AsyncApplying(run_of(self._stack, plan, how))


    async def destroy(self, *, consent: Consent, **how: Unpack[DestroyOptions]) -> Result:
        """Delete everything that the stack owns, after a snapshot of it. The arguments and errors are those of `apply`.

        Guarded if an object is protected, and `allow_destroy` does not name it.
        """
        return await awaited(lambda: self._stack.destroy(consent=consent, **how))


    async def send(self, to: str, said: str | Outgoing, /, **how: Unpack[SendOptions]) -> Answer:
        """Send a message to an agent or a conversation, and return its answer.

        to    its address, or the id of any one on the server
        said  a text, or an Outgoing with images or decisions

        NotAnswered if the run fails. `SendOptions` says what the other arguments are.
        """
        return await awaited(lambda: self._stack.send(to, said, **how))


    def sending(self, to: str, said: str | Outgoing, /, **how: Unpack[SendOptions]) -> AsyncSending:
        """As `send`: an iterator of the answer, in pieces as the model writes them, whose `result` is the Answer.

        Leaving the loop early ends the iteration; the run goes on.
        """
        return AsyncSending(talk_of(self._stack, to, said, how))


    async def messages(self, of: str, *, conversation: str | None=None, limit: int | None=20, types: Sequence[str]=(), search: str | None=None) -> list[Message]:
        """The last messages of an agent or a conversation, oldest first, also those that left the context.

        of            an address, or an id
        conversation  key or id of a conversation with the agent
        limit         how many at most; None: all of them
        types         types of messages, such as `user_message`; empty: all
        search        text that they contain, whatever its case
        """
        return await awaited(lambda: self._stack.messages(of, conversation=conversation, limit=limit, types=types, search=search))


    async def status(self, *patterns: str, tags: Sequence[str]=(), shard: AnyShard=WHOLE) -> StackStatus:
        """How the live objects differ from the manifest, and how full their memory is. Secrets need no values.

        patterns  addresses with `*`: these objects alone. PlanError if one matches no object
        tags      objects with one of these tags alone
        shard     the objects of this shard alone
        """
        return await awaited(lambda: self._stack.status(*patterns, tags=tags, shard=shard))


    async def drift(self, *, target: Sequence[str]=(), exclude: Sequence[str]=(), shard: AnyShard=WHOLE) -> Drift:
        """What changed outside of lettaform since the last apply. Writes nothing. Secrets need no values."""
        return await awaited(lambda: self._stack.drift(target=target, exclude=exclude, shard=shard))


    async def show(self, address: str | None=None) -> Shown:
        """The live objects with all their fields, beside what the manifest says. `address`: a pattern; None: all."""
        return await awaited(lambda: self._stack.show(address))


    async def check(self, *names: str, planned: bool=False, parallel: int=4) -> Checked:
        """Talk to throw-away copies of agents, and compare what they do with the `checks` of the manifest.

        names     patterns: the names of checks, with `*`; none: all. PlanError if one matches no check
        planned   whether the agents are checked as an apply would leave them
        parallel  maximum number of copies at the same time

        A check that fails is a result, and no error. No object of the stack changes.
        """
        return await awaited(lambda: self._stack.check(*names, planned=planned, parallel=parallel))


    async def promote(self, first: str, second: str, *addresses: str, consent: Consent, **how: Unpack[PromoteOptions]) -> Result:
        """Apply the manifest to the environment `second` once `first` is as it declares, and bring its memory.

        addresses  patterns: these objects alone

        PlanError if `first` differs from the manifest; Conflicting if a text cannot be merged. Otherwise as `apply`.
        """
        return await awaited(lambda: self._stack.promote(first, second, *addresses, consent=consent, **how))


    async def canary(self, does: Does, *addresses: str, consent: Consent, **how: Unpack[CanaryStart]) -> Result:
        """`start` copies of agents as they are declared now; `promote` the change to the agents; `remove` the copies.

        addresses  patterns: agents. `copies`, `memory` and `shared` are those of CanaryOptions, for a start

        The other arguments and errors are those of `apply`.
        """
        return await awaited(lambda: self._stack.canary(does, *addresses, consent=consent, **how))


    async def canary_check(self, *addresses: str, names: Sequence[str]=(), parallel: int=4) -> Compared:
        """Run the checks of agents that have a canary on both. `names`: patterns of checks. See `check`."""
        return await awaited(lambda: self._stack.canary_check(*addresses, names=names, parallel=parallel))


    async def history(self) -> tuple[Applied, ...]:
        """The last runs that changed the stack, the newest first."""
        return await awaited(lambda: self._stack.history())


    async def adopt(self, address: str, id: str) -> Plan:
        """Adopt the existing object `id` under an address of the manifest. Writes its mark, and nothing else."""
        return await awaited(lambda: self._stack.adopt(address, id))


    async def pull(self, *addresses: str, consent: bool | Callable[[Pull], bool], drift: bool=False, ours: Sequence[str]=(), theirs: Sequence[str]=(), record: bool=False) -> Pull:
        """Put live values back into the files of the manifest. Writes nothing on the server, unless `record`.

        addresses  patterns: these objects alone
        consent    whether to write the files: True, or a function that takes what was found
        drift      pull values with the policy `enforce`, too
        ours       patterns: keep the manifest's values where both sides changed
        theirs     patterns: take the live values, whatever changed
        record     write the marks, too, as if the new manifest had been applied

        PlanError for a manifest in memory: it has no files. Stale if a file changes meanwhile.
        """
        return await awaited(lambda: self._stack.pull(*addresses, consent=consent, drift=drift, ours=ours, theirs=theirs, record=record))


    async def snapshot(self, directory: str | PathLike[str] | None=None, *, without_messages: Sequence[str]=()) -> Path:
        """Write a snapshot of everything that the stack owns, prove it, and return its folder. SnapshotError.

        directory         where the folder is created. Default: as the manifest says, or `.lettaform/snapshots`
        without_messages  patterns: agents and conversations whose messages it may lack
        """
        return await awaited(lambda: self._stack.snapshot(directory, without_messages=without_messages))


    async def restore(self, folder: str | PathLike[str], *addresses: str, consent: Consent, stack: str | None=None, without_messages: Sequence[str]=(), **how: Unpack[ApplyOptions]) -> Result:
        """Bring back the objects of a snapshot as they were: values, attachments, messages and marks.

        folder            the folder of the snapshot. SnapshotError if it is not whole
        addresses         patterns: these objects alone
        consent           True, or a function that takes the plan and returns whether to carry it out
        stack             the stack that owns what is restored. Default: this one, which must be the snapshot's
        without_messages  patterns: as of `snapshot`, about the snapshot of what is overwritten

        What is overwritten is kept in a snapshot of its own first. The other arguments and errors are those of `apply`.
        """
        return await awaited(lambda: self._stack.restore(folder, *addresses, consent=consent, stack=stack, without_messages=without_messages, **how))


    async def rollback(self, *, consent: Consent, **how: Unpack[ApplyOptions]) -> Result:
        """Restore the snapshot that the last apply from this folder took. PlanError if it took none."""
        return await awaited(lambda: self._stack.rollback(consent=consent, **how))
