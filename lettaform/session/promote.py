"""The session of one environment to what a plan for another one brings from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lettaform.address import Address, matches
from lettaform.errors import Locked, PlanError, Problem
from lettaform.manifest.secret_shapes import find
from lettaform.model import Manifest, MemoryPolicy, Observed, PlanOptions, PromotedText, Promotion
from lettaform.plan import Diff, ResourceChange
from lettaform.plan.promotion import KIND, texts
from lettaform.session import Session, check_patterns
from lettaform.session.pull import compare, known_secrets
from lettaform.session.server import is_same_server

UNTOUCHED = frozenset({"mark"})
"""Actions that change nothing but marks."""


async def promotion(
    session: Session, target: Manifest, url: str, patterns: tuple[str, ...], memory: MemoryPolicy
) -> Promotion:
    """What is brought from an environment that is as the manifest declares it. Writes nothing, and takes no lock.

    target    the manifest of the other environment
    url       its server
    patterns  addresses; empty: everything

    Locked if an apply is under way; PlanError if the environment differs from the manifest, or both are one stack.
    """
    manifest, name = session.manifest, session.manifest.environment or ""
    if manifest.stack == target.stack and is_same_server(url, session.backend.url):
        message = f"`{name}` and `{target.environment}` are one stack, `{manifest.stack}`, on one server"
        raise PlanError(message, "give one of them another `stack:` or `server:` in `environments`")
    difference, holder = await compare(session, PlanOptions())
    observed = difference.observed
    assert observed is not None
    if holder is not None:
        message = f"stack `{manifest.stack}` of `{name}` is locked by {holder.holder} since {holder.since}"
        raise Locked(message, "run it again once that run has ended")
    if not observed.state.exists:
        raise PlanError(f"`{name}` has no objects on {observed.url}", f"`lettaform apply -e {name}` creates them")
    check_patterns(patterns, {*manifest.objects, *target.objects})
    _check_as_declared(manifest, difference, patterns)
    if memory == "keep":
        return Promotion(name)
    known = known_secrets(manifest, observed)
    found = {each.address: each for each in texts(manifest, observed, target, patterns)}
    secret = {address: what for address, each in found.items() if (what := _secret(each, known))}
    notes = (
        *(f"{address}: its text in `{name}` contains {what}, and is not promoted" for address, what in secret.items()),
        *_made(manifest, observed, patterns),
    )
    return Promotion(name, memory, tuple(each for each in found.values() if each.address not in secret), notes)


def _secret(each: PromotedText, known: Mapping[str, str]) -> str:
    """The secret that a text contains, in words; empty if it contains none."""
    found = find(each.text, known)
    return found.what if found else ""


def _check_as_declared(manifest: Manifest, difference: Diff, patterns: tuple[str, ...]) -> None:
    """Raise PlanError if an object differs from the manifest: what is promoted would not be what has been tried."""

    def is_chosen(address: Address) -> bool:
        return not patterns or matches(address, patterns)

    changes = [each for each in difference.resources if is_chosen(each.address)]
    differing = [_differs(each) for each in changes if each.change.action not in UNTOUCHED]
    conflicts = [each for each in difference.runtime if each.conflict and is_chosen(each.address)]
    differing += [
        Problem(f"{each.address}: `{each.path}` cannot be merged", address=str(each.address)) for each in conflicts
    ]
    if not differing:
        return
    name = manifest.environment
    hint = (
        f"`lettaform plan -e {name}` shows how it differs; `lettaform pull --drift -e {name}` puts what was changed "
        "there into the manifest"
    )
    raise PlanError(
        f"`{name}` is not as the manifest declares it: it has not tried what would be promoted", hint, differing
    )


def _differs(resource: ResourceChange) -> Problem:
    change = resource.change
    fields = ", ".join(f"`{each.path}`" for each in change.fields_changed)
    words = {
        "create": "does not exist there",
        "adopt": "is not adopted there",
        "delete": "is to be deleted there",
        "forget": "is to be forgotten there",
        "replace": f"is to be replaced there: {fields}",
        "update": f"differs there: {fields}" if fields else "was not applied completely there",
    }
    message = f"{change.address} {words[change.action]}"
    return Problem(message, change.place, None, str(change.address))


def _made(manifest: Manifest, observed: Observed, patterns: tuple[str, ...]) -> Iterator[str]:
    """A note for each block that an agent made itself: no other environment declares it."""
    for address, live in sorted(observed.objects.items()):
        if live.kind != "agent" or live.stack != manifest.stack or (patterns and not matches(address, patterns)):
            continue
        for block in observed.attached.get(live.id, ()):
            if block.kind == KIND and block.stack is None:
                yield f"{address}: the block `{block.name}`, which the agent made itself, is not promoted"
