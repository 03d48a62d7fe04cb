"""Addresses and patterns to a selection: the objects that a plan is about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from fnmatch import translate
from functools import cache

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.model import Live, Manifest, PlanOptions

_QUOTED = re.compile(r'\[("(?:[^"\\]|\\.)*")\]')
_FIRST_KEY = re.compile(r"^([a-z_]+)\[([^\[\]]*)\]")


def matches(address: Address, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns matches an address, what contains it, or what declares it with `for_each`."""
    return bool(patterns) and any(_compiled(pattern).match(name) for pattern in patterns for name in _names(address))


def is_selected(address: Address, manifest: Manifest, options: PlanOptions, owner: Address | None = None) -> bool:
    """Whether `--target` and `--exclude` leave an object in the plan.

    `owner`: the object along with which the server created it; to name one of the two is enough.
    """
    desired = manifest.objects.get(address)
    # the server creates and deletes such an object together with its owner
    address = (desired.created_with if desired else None) or address
    names = (address, owner) if owner else (address,)
    if options.target and not any(matches(each, options.target) for each in names):
        return False
    return not any(matches(each, options.exclude) for each in names)


def talkers(lives: Iterable[Live]) -> dict[str, tuple[Address, ...]]:
    """Id of every agent and conversation to the addresses that name it: its own, and that of its agent.

    An agent without an address has that of the agent along with which it was created.
    """
    every = {live.id: live for live in lives if kinds()[live.kind].agent_file}
    creators = {id: live.address for live in every.values() for id in live.discovered.get(live.kind, ())}

    def own(live: Live) -> tuple[Address, ...]:
        address = live.address or creators.get(live.id)
        return (address,) if address else ()

    found = {}
    for live in every.values():
        owner = kinds()[live.kind].owner_line()
        agent = every.get(live.values.get(owner.name, "")) if owner else None
        found[live.id] = (*own(live), *(own(agent) if agent else ()))
    return found


def without_messages(lives: Iterable[Live], patterns: tuple[str, ...]) -> frozenset[str]:
    """The ids of the agents and conversations of which a snapshot may lack the messages."""
    named = talkers(lives).items() if patterns else ()
    return frozenset(id for id, addresses in named if any(matches(address, patterns) for address in addresses))


@cache
def _names(address: Address) -> tuple[str, ...]:
    """The texts that a pattern for an address may match."""
    whole = [each for each in (address, address.parent) if each]
    return tuple(dict.fromkeys(_literal(str(name)) for each in whole for name in (each, each.declaration)))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(_literal(pattern)))


def _literal(text: str) -> str:
    """An address or a pattern in one spelling: without quotes around keys, and with the first key after a dot."""
    text = _QUOTED.sub(_unquoted, text)
    text = _FIRST_KEY.sub(r"\1.\2", text)
    return text.replace("[", "\u27e6").replace("]", "\u27e7")  # fnmatch reads brackets as a set of characters


def _unquoted(key: re.Match[str]) -> str:
    try:
        return f"[{json.loads(key[1])}]"
    except ValueError:
        return key[0]
