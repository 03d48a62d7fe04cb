"""A server to what it can do: the Capabilities of the v1 API, and what its release or Letta Cloud lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from urllib.parse import urlsplit

from lettaform.errors import Problem, Unsupported
from lettaform.kinds import kinds, oldest
from lettaform.kinds.base import Kind
from lettaform.model import Capabilities, Desired, Manifest


@cache
def capabilities(url: str = "", version: str = "") -> Capabilities:
    """What the v1 API can do; it follows from the kinds. `version`: of a server that may lack some calls."""
    every = kinds().items()
    return Capabilities(
        claims=frozenset(name for name, kind in every if kind.mark != "state"),
        marks=frozenset(name for name, kind in every if kind.holds_digests()),
        searchable=frozenset(name for name, kind in every if kind.claims_in_tags()),
        listed=frozenset(name for name, kind in every if kind.lists_everything()),
        nested=frozenset(name for name, kind in every if kind.requests.below),
        calls={name: kind.call for name, kind in every if kind.call and _has(kind.call.since, url, version)},
        recompiles=frozenset(name for name, kind in every if kind.compiled),
        # 0.16.8 recompiles every agent that has a block in the request that writes it; no other request does so
        recompiling=frozenset({"block"}),
        histories=frozenset(
            name for name, kind in every if (file := kind.agent_file) and _has(file.history_since, url, version)
        ),
    )


def _has(since: str | None, url: str, version: str) -> bool:
    """Whether a server has what exists since a release."""
    return since is None or is_cloud(url) or not _older(version, since)


def require(manifest: Manifest, url: str, version: str, refused: Mapping[str, str]) -> None:
    """Raise Unsupported, with a problem for each object and field that this server lacks.

    `refused`: kind to the server's answer, for kinds that it did not list.
    """
    if not is_cloud(url) and _older(version, oldest()):
        hint = f"use {oldest()} or newer: older releases drop the tags of blocks, or cannot compile prompts on request"
        raise Unsupported(f"Letta {version} at {url} is too old for lettaform", hint)
    problems = tuple(each for desired in manifest.objects.values() for each in _missing(desired, url, version))
    problems = problems or tuple(
        _problem(desired, url, version, refused[desired.kind])
        for desired in manifest.objects.values()
        if desired.kind in refused and desired.address.parent is None
    )
    if problems or refused:
        sections = f": {', '.join(kinds()[kind].section for kind in refused)}" if refused else ""
        raise Unsupported(f"{_unsupported(url, version)}{sections}", problems=problems)


def is_cloud(url: str) -> bool:
    """Whether a URL is that of Letta Cloud."""
    host = (urlsplit(url).hostname or "").lower()
    return host == "letta.com" or host.endswith(".letta.com")


def is_elsewhere(kind: type[Kind], url: str) -> bool:
    """Whether a kind exists only on Letta Cloud, or only on other servers, and this server is of the other sort."""
    return kind.availability.cloud is not None and kind.availability.cloud != is_cloud(url)


def _missing(desired: Desired, url: str, version: str) -> Iterator[Problem]:
    reason, fields = _lacking(desired.kind, url, version)
    if reason:
        yield _problem(desired, url, version, reason)
    for name in desired.values if not fields.keys().isdisjoint(desired.values) else ():
        if since := fields.get(name):
            message = f"{desired.address}: {_server_name(url, version)} has no `{name}`"
            yield Problem(message, desired.place_of(name), f"since {since}", str(desired.address), name)


@cache
def _lacking(kind: str, url: str, version: str) -> tuple[str | None, Mapping[str, str]]:
    """Why a server has no object of a kind; None if it has. And the fields that it lacks, with their first releases."""
    exists, cloud, reason = kinds()[kind].availability, is_cloud(url), None
    if is_elsewhere(kinds()[kind], url):
        reason = "only Letta Cloud has them" if exists.cloud else "Letta Cloud no longer has them"
    elif exists.since and _older(version, exists.since) and not cloud:
        reason = f"since {exists.since}"
    return reason, {} if cloud else {name: since for name, since in exists.fields.items() if _older(version, since)}


def _problem(desired: Desired, url: str, version: str, hint: str) -> Problem:
    message = f"{desired.address}: {_server_name(url, version)} has no {kinds()[desired.kind].section}"
    return Problem(message, desired.place, hint, str(desired.address))


def _server_name(url: str, version: str) -> str:
    return "Letta Cloud" if is_cloud(url) else f"Letta {version}"


def _unsupported(url: str, version: str) -> str:
    return f"{_server_name(url, version)} at {url} lacks what the manifest declares"


def _older(version: str, than: str) -> bool:
    """Whether a version is older. A version that is not made of numbers counts as new."""
    try:
        return [int(each) for each in version.split(".")] < [int(each) for each in than.split(".")]
    except ValueError:
        return False
