"""What the server at hand has not: kinds and fields that its release, or Letta Cloud, lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from lettaform.errors import Problem, Unsupported
from lettaform.kinds import kinds, oldest
from lettaform.kinds.base import Kind
from lettaform.model import Desired, Manifest


def demand(manifest: Manifest, url: str, version: str) -> None:
    """Unsupported, with a problem for each object and field that this server is known to lack."""
    if not is_cloud(url) and _older(version, oldest()):
        hint = f"{oldest()} is the first that can hold what lettaform makes: it tags blocks, and compiles prompts anew"
        raise Unsupported(f"Letta {version} at {url} is too old for lettaform", hint)
    problems = tuple(each for desired in manifest.objects.values() for each in _lacks(desired, url, version))
    if problems:
        raise Unsupported(_told(url, version), problems=problems)


def refused(manifest: Manifest, url: str, version: str, words: Mapping[str, str]) -> Unsupported:
    """`words`: kind to what the server said when it was asked for what it has of it."""
    problems = tuple(
        _problem(desired, url, version, words[desired.kind])
        for desired in manifest.objects.values()
        if desired.kind in words and desired.address.parent is None
    )
    told = ", ".join(kinds()[kind].section for kind in words)
    return Unsupported(f"{_told(url, version)}: {told}", problems=problems)


def is_cloud(url: str) -> bool:
    """Whether an address is Letta Cloud's."""
    host = (urlsplit(url).hostname or "").lower()
    return host == "letta.com" or host.endswith(".letta.com")


def is_elsewhere(kind: type[Kind], url: str) -> bool:
    """Whether Letta Cloud alone has a kind, and this is not it; or has it no more, and this is it."""
    return kind.availability.cloud is not None and kind.availability.cloud != is_cloud(url)


def _lacks(desired: Desired, url: str, version: str) -> Iterator[Problem]:
    kind, cloud = kinds()[desired.kind], is_cloud(url)
    if is_elsewhere(kind, url):
        where = "Letta Cloud alone has them" if kind.availability.cloud else "Letta Cloud has them no more"
        yield _problem(desired, url, version, where)
    elif kind.availability.since and _older(version, kind.availability.since) and not cloud:
        yield _problem(desired, url, version, f"since {kind.availability.since}")
    for name in desired.values:
        since = kind.availability.fields.get(name)
        if since and _older(version, since) and not cloud:
            message = f"{desired.address}: {_who(url, version)} has no `{name}`"
            yield Problem(message, desired.place_of(name), f"since {since}", str(desired.address), name)


def _problem(desired: Desired, url: str, version: str, hint: str) -> Problem:
    message = f"{desired.address}: {_who(url, version)} has no {kinds()[desired.kind].section}"
    return Problem(message, desired.place, hint, str(desired.address))


def _who(url: str, version: str) -> str:
    return "Letta Cloud" if is_cloud(url) else f"Letta {version}"


def _told(url: str, version: str) -> str:
    return f"{_who(url, version)} at {url} lacks what the manifest asks for"


def _older(version: str, than: str) -> bool:
    """Whether a version is older; what is no number is none that we know, and new."""
    try:
        return [int(each) for each in version.split(".")] < [int(each) for each in than.split(".")]
    except ValueError:
        return False
