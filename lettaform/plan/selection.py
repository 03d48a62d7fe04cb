"""Addresses and patterns to a selection: the objects that a plan is about."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import cache

from lettaform.address import Address
from lettaform.model import Manifest, PlanOptions


def matches(address: Address, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns matches an address, or the address of the object that contains it."""
    if not patterns:
        return False
    parent = address.parent
    names = [_literal(str(each)) for each in ((address, parent) if parent else (address,))]
    return any(_compiled(pattern).match(name) for pattern in patterns for name in names)


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


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(_literal(pattern)))


def _literal(text: str) -> str:
    return text.replace("[", "\u27e6").replace("]", "\u27e7")  # fnmatch reads brackets as a set of characters
