"""Every operation of Letta's own description that writes: a kind's, called by the server room, or left alone knowingly.

What lettaform leaves alone stands in UNMANAGED_OPERATIONS, from where the page of fields has it, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import ClassVar

import pytest

from lettaform.kinds import kinds
from lettaform.kinds.base import Kind
from lettaform.kinds.traits import Availability, Requests
from lettaform.render.unmanaged import UNMANAGED_OPERATIONS
from tests.contract.description import Api, Row, api, table
from tests.contract.test_openapi import ALSO_CALLED, hosted, operations

Operation = tuple[str, str]


def managed() -> set[Operation]:
    """What is called for a kind, or by the server room itself."""
    return {*ALSO_CALLED, *(each for kind in hosted().values() for each in operations(kind))}


def unknown(api: Api, alone: Mapping[str, tuple[str, ...]] = UNMANAGED_OPERATIONS) -> Iterator[str]:
    """What writes and is known to nobody, or in two ways."""
    mine = managed()
    for verb, path in sorted(api.writes(), key=lambda each: each[::-1]):
        patterns = [each for some in alone.values() for each in some if fnmatchcase(f"{verb} {path}", each)]
        if (verb, path) in mine and patterns:
            told = "take it out or make it narrower"
            yield f"{verb} {path}: is called, and UNMANAGED_OPERATIONS has `{patterns[0]}`; {told}"
        elif len(patterns) > 1:
            yield f"{verb} {path}: stands in UNMANAGED_OPERATIONS twice, as `{'` and `'.join(patterns)}`; keep one"
        elif (verb, path) not in mine and not patterns:
            yield (
                f"{verb} {path}: nobody knows it; if manifests should say it, add a kind with this path or a line with "
                "`link` to lettaform/kinds/; if the server room calls it, add it to ALSO_CALLED in tests/contract/"
                "test_openapi.py; else to UNMANAGED_OPERATIONS in lettaform/render/alone.py with a reason"
            )


def stale(api: Api, alone: Mapping[str, tuple[str, ...]] = UNMANAGED_OPERATIONS) -> Iterator[str]:
    """Entries of the lists that are about nothing any more, or say no reason."""
    written = [f"{verb} {path}" for verb, path in api.writes()]
    for why, patterns in alone.items():
        gone = [each for each in patterns if not any(fnmatchcase(operation, each) for operation in written)]
        yield from (f"UNMANAGED_OPERATIONS: `{each}` matches nothing; take it out" for each in gone)
        if not why.strip() or not patterns:
            yield f"UNMANAGED_OPERATIONS: {why or patterns!r} needs both a reason and operations"


def at_home(kind: type[Kind], api: Api) -> str | None:
    """What is wrong with a kind of Letta Cloud alone that this server describes all the same."""
    path = f"{kind.path}{{}}/{kind.requests.below}" if kind.requests.below else kind.path
    if (kind.requests.verb, path) not in api.operations:
        return None
    told = "exists here, too; take `cloud` off it, so that its lines are held to it"
    return f"{kind.__name__}: {kind.requests.verb} {path} {told}"


class Clouded(Kind, section="dreams", path="/v1/agents/"):
    """A kind below agents, of the Cloud alone."""

    availability: ClassVar[Availability] = Availability(cloud=True)
    requests: ClassVar[Requests] = Requests(below="dreams")


def test_every_operation_that_writes_is_known() -> None:
    assert "\n".join(unknown(api())) == ""


def test_nothing_on_the_lists_is_stale() -> None:
    assert "\n".join(stale(api())) == ""


def test_kinds_of_the_cloud_alone_are_not_described_here() -> None:
    clouded = [kind for kind in kinds().values() if kind not in hosted().values()]
    assert [told for kind in clouded if (told := at_home(kind, api()))] == []


def test_a_kind_of_the_cloud_that_a_new_version_brings_home_is_told() -> None:
    assert at_home(Clouded, api()) is None
    assert at_home(Clouded, _with(("POST", "/v1/agents/{}/dreams"))) == (
        "Clouded: POST /v1/agents/{}/dreams exists here, too; take `cloud` off it, so that its lines are held to it"
    )


def test_kinds_of_the_cloud_alone_are_held_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.contract.test_openapi.kinds", lambda: {**kinds(), "dream": Clouded})
    assert "agent" in hosted()
    assert "dream" not in hosted()


def _with(*operations: Operation) -> Api:
    return Api([*table(), *(Row(path, verb) for verb, path in operations)])


def test_an_operation_that_a_new_version_brings_is_told_with_what_to_do() -> None:
    assert list(unknown(_with(("POST", "/v1/agents/{}/dreams"), ("GET", "/v1/agents/{}/dreams")))) == [
        "POST /v1/agents/{}/dreams: nobody knows it; if manifests should say it, add a kind with this path or a line "
        "with `link` to lettaform/kinds/; if the server room calls it, add it to ALSO_CALLED in "
        "tests/contract/test_openapi.py; else to UNMANAGED_OPERATIONS in lettaform/render/alone.py with a reason"
    ]


def test_what_is_called_and_left_alone_is_told() -> None:
    alone = {**UNMANAGED_OPERATIONS, "Too much.": ("DELETE /v1/blocks/*",)}
    assert list(unknown(api(), alone)) == [
        "DELETE /v1/blocks/{}: is called, and UNMANAGED_OPERATIONS has `DELETE /v1/blocks/*`; "
        "take it out or make it narrower"
    ]


def test_what_is_left_alone_twice_is_told() -> None:
    alone = {**UNMANAGED_OPERATIONS, "Again.": ("POST /v1/auth",)}
    assert list(unknown(api(), alone)) == [
        "POST /v1/auth: stands in UNMANAGED_OPERATIONS twice, as `POST /v1/auth` and `POST /v1/auth`; keep one"
    ]


@pytest.mark.parametrize("pattern", [each for some in UNMANAGED_OPERATIONS.values() for each in some])
def test_without_its_pattern_an_operation_is_told(pattern: str) -> None:
    alone = {why: tuple(each for each in some if each != pattern) for why, some in UNMANAGED_OPERATIONS.items()}
    lost = [path for verb, path in api().writes() if fnmatchcase(f"{verb} {path}", pattern)]
    told = list(unknown(api(), alone))
    assert len(told) == len(lost)


def test_stale_entries_are_told() -> None:
    assert list(stale(api(), {"Gone.": ("* /v1/gone/*", "POST /v1/auth"), " ": ("POST /v1/auth",)})) == [
        "UNMANAGED_OPERATIONS: `* /v1/gone/*` matches nothing; take it out",
        "UNMANAGED_OPERATIONS: ' ' needs both a reason and operations",
    ]
