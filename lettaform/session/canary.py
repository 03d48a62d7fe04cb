"""A session to the plans of a canary: copies of an agent as the manifest declares it now, and their end."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lettaform.address import Address, matches
from lettaform.errors import Place, PlanError, Problem
from lettaform.kinds import kinds
from lettaform.kinds.traits import Companions, Parts
from lettaform.manifest.secret_shapes import find
from lettaform.model import CanaryOptions, Compared, Desired, Live, Manifest, Observed, Plan, PlanOptions, Removed
from lettaform.ownership.canaries import KIND, canaries, copy_address, number_of, original_of
from lettaform.plan import diff
from lettaform.session import Session, check_patterns
from lettaform.session.check import Notify, chosen
from lettaform.session.check import check as run_checks
from lettaform.session.pull import known_secrets
from lettaform.values import Ref, refs

LEFT_OUT = frozenset({"name", "tags", "identities", "blocks", "memory", "archive"})
"""Fields of an agent that its copies have otherwise, or not. With its tags, messages of others would reach them."""
BLOCK = "block"
PLACE = Place("", 0, 0)


def is_canary_of(original: Address) -> str:
    """The tag of the copies of an agent, by which an application finds them."""
    return f"canary:{original}"


async def plan_start(session: Session, patterns: tuple[str, ...], options: CanaryOptions) -> Plan:
    """The plan that creates or updates copies of agents as they are declared. Nothing else changes. Raises PlanError.

    patterns  addresses of declared agents, with `*`
    """
    observed, manifest = await session.observe(), session.manifest
    originals = _originals(manifest, observed, patterns)
    copying = _Copying(manifest, observed, options)
    found = {address: each for original in originals for address, each in copying.copies(original)}
    _check_needed(manifest, observed, found)
    session.manifest = replace(manifest, objects={**manifest.objects, **found})
    tops = tuple(str(address) for address in found if not address.parent)
    plan = await session.plan(PlanOptions(target=tops))
    unchanged = _unchanged(manifest, observed, originals)
    return replace(plan, unmanaged=(), warnings=(*plan.warnings, *copying.notes, *unchanged))


async def plan_end(session: Session, patterns: tuple[str, ...], *, promote: bool) -> Plan:
    """The plan that removes the copies of agents. `promote`: it also applies the changes that wait for that."""
    observed, manifest = await session.observe(), session.manifest
    living = canaries(observed, session.stack)
    chosen = [original for original in living if matches(original, patterns)]
    for pattern in patterns:
        if not any(matches(original, (pattern,)) for original in living):
            names = ", ".join(map(str, living))
            raise PlanError(f"`{pattern}` has no canary", f"there are canaries of {names}" if names else None)
    if promote and (gone := [each for each in chosen if each not in manifest.objects]):
        raise PlanError(f"the manifest does not declare {gone[0]}: there is no change to apply")
    copies = [copy for original in chosen for copy in living[original]]
    removed = (Removed(copy, True, PLACE) for copy in copies)
    session.manifest = replace(manifest, removed=(*manifest.removed, *removed))
    plan = await session.plan(PlanOptions(target=tuple(map(str, [*(chosen if promote else ()), *copies]))))
    return replace(plan, unmanaged=(), warnings=(*plan.warnings, *_made(observed, copies)))


async def compare(
    session: Session, patterns: tuple[str, ...], names: Collection[str], parallel: int, notify: Notify
) -> Compared:
    """Run the checks of agents that have a canary on throw-away copies of the agents and of their first copies."""
    observed = await session.observe()
    copies = copies_of(session.manifest, observed, patterns)
    checks = []
    for each in chosen(session.manifest, names):
        pairs = [(agent, copies[agent]) for agent in each.agents if agent in copies]
        if pairs:
            checks.append(replace(each, agents=tuple(address for pair in pairs for address in pair)))
    if not checks:
        agents = ", ".join(map(str, copies))
        raise PlanError(f"no check is about {agents}", "name the agent in `checks`")
    return Compared(await run_checks(session, checks, parallel=parallel, notify=notify), copies)


def copies_of(manifest: Manifest, observed: Observed, patterns: tuple[str, ...]) -> dict[Address, Address]:
    """Each declared agent that has a canary to its first copy that exists. PlanError if a pattern matches none."""
    living = canaries(observed, manifest.stack)
    found = {
        original: next(copy for copy in copies if copy in observed.objects)
        for original, copies in living.items()
        if any(copy in observed.objects for copy in copies) and original in observed.objects
    }
    for pattern in patterns:
        if not any(matches(original, (pattern,)) for original in found):
            raise PlanError(f"`{pattern}` has no canary", f"`lettaform canary start '{pattern}'` creates one")
    if not found:
        raise PlanError("no agent of the stack has a canary", "`lettaform canary start ADDRESS` creates one")
    return {original: copy for original, copy in found.items() if not patterns or matches(original, patterns)}


# --- which agents ----------------------------------------------------------------------------------------------------


def _originals(manifest: Manifest, observed: Observed, patterns: tuple[str, ...]) -> list[Address]:
    """The declared agents that patterns name. PlanError for one that names none, or that does not exist yet."""
    agents = [
        address
        for address, desired in manifest.objects.items()
        if desired.kind == KIND and not (address.parent or desired.external or desired.created_with)
    ]
    check_patterns(patterns, agents)
    chosen = [address for address in agents if matches(address, patterns)]
    missing = [address for address in chosen if address not in observed.objects]
    if missing:
        problems = [Problem(f"{each} does not exist on the server", address=str(each)) for each in missing]
        hint = "a canary stands beside an agent; `lettaform apply` creates it"
        raise PlanError(
            problems[0].message if len(problems) == 1 else f"{len(problems)} agents do not exist", hint, problems
        )
    return chosen


def _check_needed(manifest: Manifest, observed: Observed, copies: Mapping[Address, Desired]) -> None:
    """Raise PlanError if the copies need objects that do not exist yet: a canary creates nothing but copies."""
    needed: dict[Address, Address] = {}
    for address, desired in copies.items():
        for ref in refs(dict(desired.values)):
            target = ref.address
            external = target in manifest.objects and manifest.objects[target].external
            if not (target in copies or target in observed.objects or external):
                needed.setdefault(target, original_of(address) or address)
    if needed:
        problems = [
            Problem(f"{user} needs {each}, which does not exist yet", address=str(user))
            for each, user in needed.items()
        ]
        targets = " ".join(f"--target '{each}'" for each in needed)
        hint = f"`lettaform apply {targets}` creates what is missing"
        raise PlanError(
            problems[0].message if len(problems) == 1 else f"{len(problems)} objects are missing", hint, problems
        )


def _unchanged(manifest: Manifest, observed: Observed, originals: Sequence[Address]) -> Iterator[Problem]:
    """A warning for each agent that is on the server as it is declared: its copies do not differ from it."""
    difference = diff(manifest, observed, PlanOptions(target=tuple(map(str, originals))))
    changed = {each.address.top for each in difference.resources if each.change.fields_changed}
    for address in originals:
        if address not in changed:
            message = f"{address} is on the server as it is declared: its copies do not differ from it"
            yield Problem(message, address=str(address), severity="warning")


def _made(observed: Observed, copies: Sequence[Address]) -> Iterator[Problem]:
    """A warning for each block that a copy made itself. No stack owns it, and so no plan deletes it."""
    for copy in copies:
        live = observed.objects.get(copy)
        for block in observed.attached.get(live.id, ()) if live else ():
            if block.stack is None:
                message = f"{copy} made the block `{block.name}` itself: it stays, and `lettaform audit` lists it"
                yield Problem(message, address=str(copy), severity="warning")


# --- copies ----------------------------------------------------------------------------------------------------------


class _Copying:
    """Makes the declarations of copies. `notes`: what they do not have, for people."""

    def __init__(self, manifest: Manifest, observed: Observed, options: CanaryOptions) -> None:
        self.manifest, self.observed, self.options = manifest, observed, options
        self.living = canaries(observed, manifest.stack)
        self.known = known_secrets(manifest, observed)
        self.notes: list[Problem] = []

    def copies(self, original: Address) -> Iterator[tuple[Address, Desired]]:
        """Each copy of an agent, and each of its blocks, by its address. PlanError if there are more already."""
        there = max(map(number_of, self.living.get(original, ())), default=0)
        number = self.options.copies or there or 1
        if number < there:
            message = f"{original} has a canary of {there} copies, and --copies says {number}"
            raise PlanError(message, "start it with as many copies, or more: `canary start` removes none")
        self.note_left_out(original)
        for each in range(1, number + 1):
            copy = copy_address(original, each)
            blocks = dict(self.blocks(original, copy))
            yield copy, self.agent(original, copy)
            yield from blocks.items()

    def agent(self, original: Address, copy: Address) -> Desired:
        desired, live = self.manifest.objects[original], self.observed.objects[original]
        lines = kinds()[KIND].attrs()
        values = {
            name: value
            for name, value in desired.values.items()
            if name not in LEFT_OUT and not lines[name].related(Companions)
        }
        values |= {"name": f"{live.name}-canary-{number_of(copy)}", "tags": [is_canary_of(original)]}
        attached = [each for each in desired.values.get("blocks") or () if self.is_attached(each)]
        values |= {"blocks": attached} if attached else {}
        if self.options.shared and "archive" in desired.values:
            values["archive"] = desired.values["archive"]
        return replace(desired, address=copy, values=values, prevent_destroy=False)

    def is_attached(self, member: Any) -> bool:
        """Whether the copies get a shared block itself: no agent can change one that is read-only."""
        if self.options.shared or not isinstance(member, Ref):
            return self.options.shared
        live = self.observed.objects.get(member.address)
        declared = self.manifest.objects[member.address].values
        return bool(live and live.values.get("read_only") is True and declared.get("read_only") is not False)

    def blocks(self, original: Address, copy: Address) -> Iterator[tuple[Address, Desired]]:
        """The own blocks of a copy: of the agent's own blocks, of shared ones, and of those that it made itself."""
        line = next(line for line, _ in kinds()[KIND].relations(Parts))
        agent = self.observed.objects[original]
        attached = {block.id: block for block in self.observed.attached.get(agent.id, ())}
        shared = [
            each.address for each in self.manifest.objects[original].values.get("blocks") or () if isinstance(each, Ref)
        ]
        own = [each for each in self.manifest.objects if each.parent == original]
        taken = set[str]()
        for address in (*own, *(each for each in shared if not self.is_attached(Ref(each)))):
            live = self.observed.objects.get(address)
            if self.is_dropped(original, address, live, attached):
                continue
            key = address.child or self.label(address, live)
            key = f"{key}-shared" if key in taken else key
            taken.add(key)
            part = copy.part(line.name, key)
            yield part, self.block(address, part, live)
        if self.options.memory == "isolated" or copy in self.observed.objects:
            return
        used = {self.observed.objects[each].id for each in (*own, *shared) if each in self.observed.objects}
        for block in attached.values():
            if block.id not in used and block.name not in taken and self.is_plain(original, block):
                part = copy.part(line.name, block.name)
                yield part, self.made(part, block, self.manifest.objects[original])

    def is_dropped(self, original: Address, block: Address, live: Live | None, attached: Mapping[str, Live]) -> bool:
        """Whether the agent no longer has a block. A copy that begins with its memory does not get it, either."""
        if self.options.memory == "isolated" or (live is not None and live.id in attached):
            return False
        known = self.observed.objects[original].mark
        return block.child in known.parts or (live is not None and live.id in known.members.get("blocks", ()))

    def label(self, address: Address, live: Live | None) -> str:
        declared = self.manifest.objects[address].values.get("label")
        return declared if isinstance(declared, str) else live.name if live else address.key

    def block(self, source: Address, part: Address, live: Live | None) -> Desired:
        """A block as it is declared, with the text that it begins with. What a copy has already stays as it is."""
        desired = self.manifest.objects[source]
        values = {"label": self.label(source, live), **desired.values}
        values = {name: value for name, value in values.items() if name != "tags"}
        there, exact = self.observed.objects.get(part), desired.policies.get("value") == "enforce"
        text = self.text(source, live) if there is None else there.values.get("value")
        if not exact and isinstance(text, str):
            values["value"] = text
        policies = dict(desired.policies) if exact else {**desired.policies, "value": "seed"}
        return replace(
            desired, address=part, values=values, policies=policies, external=None, prevent_destroy=False, files={}
        )

    def text(self, source: Address, live: Live | None) -> str | None:
        """The text of a block on the server, if a copy begins with it."""
        if self.options.memory == "copy" and live is not None and self.is_plain(source, live):
            return str(live.values.get("value") or "")
        # the text of another stack's block is nowhere declared
        return str(live.values.get("value") or "") if live and self.manifest.objects[source].external else None

    def made(self, part: Address, block: Live, agent: Desired) -> Desired:
        """A block that the agent made itself, or somebody else attached to it."""
        names = ("value", "description", "limit", "read_only")
        values = {name: block.values[name] for name in names if block.values.get(name)}
        return Desired(
            part, BLOCK, {"label": block.name, "value": "", **values}, agent.place, policies={"value": "seed"}
        )

    def is_plain(self, address: Address, live: Live) -> bool:
        """Whether the text of a block contains no secret. The plan would show it."""
        found = find(str(live.values.get("value") or ""), self.known)
        if found is not None:
            what = f"the block `{live.name}` contains {found.what}"
            self.note(f"{address}: {what}, and is not copied as it is on the server", address)
        return found is None

    def note_left_out(self, original: Address) -> None:
        """Note what the copies of an agent do not have."""
        values, lines = self.manifest.objects[original].values, kinds()[KIND].attrs()
        lacking = ["its archive"] if values.get("archive") and not self.options.shared else []
        lacking += ["its sleeptime agent"] if any(lines[n].related(Companions) and v for n, v in values.items()) else []
        lacking += ["its identities"] if values.get("identities") else []
        if lacking:
            self.note(f"{original}: its copies do not have {', '.join(lacking)}", original)

    def note(self, message: str, address: Address) -> None:
        if all(each.message != message for each in self.notes):
            self.notes.append(Problem(message, address=str(address), severity="warning"))
