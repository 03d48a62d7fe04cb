"""Every operation in Letta's description that writes is called for a kind or by the backend, or knowingly unmanaged.

Unmanaged operations are in UNMANAGED_OPERATIONS, which docs/fields.md lists as well.
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
from tests.contract.test_openapi import ALSO_CALLED, operations, self_hosted_kinds

Operation = tuple[str, str]


def called_operations() -> set[Operation]:
    """The operations called for a kind, or by the backend itself."""
    return {*ALSO_CALLED, *(each for kind in self_hosted_kinds().values() for each in operations(kind))}


def unknown(api: Api, unmanaged: Mapping[str, tuple[str, ...]] = UNMANAGED_OPERATIONS) -> Iterator[str]:
    """Operations that write and are neither called nor unmanaged, or both."""
    mine = called_operations()
    for verb, path in sorted(api.writes(), key=lambda each: each[::-1]):
        patterns = [each for some in unmanaged.values() for each in some if fnmatchcase(f"{verb} {path}", each)]
        if (verb, path) in mine and patterns:
            advice = "take it out or make it narrower"
            yield f"{verb} {path}: is called, and UNMANAGED_OPERATIONS has `{patterns[0]}`; {advice}"
        elif len(patterns) > 1:
            yield f"{verb} {path}: stands in UNMANAGED_OPERATIONS twice, as `{'` and `'.join(patterns)}`; keep one"
        elif (verb, path) not in mine and not patterns:
            yield (
                f"{verb} {path}: nobody knows it; if manifests should say it, add a kind with this path or a line with "
                "`link` to lettaform/kinds/; if the server room calls it, add it to ALSO_CALLED in tests/contract/"
                "test_openapi.py; else to UNMANAGED_OPERATIONS in lettaform/render/alone.py with a reason"
            )


def stale(api: Api, unmanaged: Mapping[str, tuple[str, ...]] = UNMANAGED_OPERATIONS) -> Iterator[str]:
    """Entries of the lists that match nothing, or have no reason."""
    written = [f"{verb} {path}" for verb, path in api.writes()]
    for why, patterns in unmanaged.items():
        unmatched = [each for each in patterns if not any(fnmatchcase(operation, each) for operation in written)]
        yield from (f"UNMANAGED_OPERATIONS: `{each}` matches nothing; take it out" for each in unmatched)
        if not why.strip() or not patterns:
            yield f"UNMANAGED_OPERATIONS: {why or patterns!r} needs both a reason and operations"


def described_here(kind: type[Kind], api: Api) -> str | None:
    """The problem of a kind of Letta Cloud only that a self-hosted server describes as well."""
    path = f"{kind.path}{{}}/{kind.requests.below}" if kind.requests.below else kind.path
    if (kind.requests.verb, path) not in api.operations:
        return None
    advice = "exists here, too; take `cloud` off it, so that its lines are held to it"
    return f"{kind.__name__}: {kind.requests.verb} {path} {advice}"


class CloudOnly(Kind, section="dreams", path="/v1/agents/"):
    """A kind below agents, of Letta Cloud only."""

    availability: ClassVar[Availability] = Availability(cloud=True)
    requests: ClassVar[Requests] = Requests(below="dreams")


def test_every_writing_operation_is_called_or_unmanaged() -> None:
    assert "\n".join(unknown(api())) == ""


def test_no_list_entry_is_stale() -> None:
    assert "\n".join(stale(api())) == ""


def test_cloud_only_kinds_are_not_described() -> None:
    clouded = [kind for kind in kinds().values() if kind not in self_hosted_kinds().values()]
    assert [message for kind in clouded if (message := described_here(kind, api()))] == []


def test_cloud_kind_that_becomes_self_hosted_is_reported() -> None:
    assert described_here(CloudOnly, api()) is None
    assert described_here(CloudOnly, _with(("POST", "/v1/agents/{}/dreams"))) == (
        "CloudOnly: POST /v1/agents/{}/dreams exists here, too; take `cloud` off it, so that its lines are held to it"
    )


def test_cloud_only_kinds_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.contract.test_openapi.kinds", lambda: {**kinds(), "dream": CloudOnly})
    assert "agent" in self_hosted_kinds()
    assert "dream" not in self_hosted_kinds()


def _with(*operations: Operation) -> Api:
    return Api([*table(), *(Row(path, verb) for verb, path in operations)])


def test_new_operation_is_reported_with_what_to_do() -> None:
    assert list(unknown(_with(("POST", "/v1/agents/{}/dreams"), ("GET", "/v1/agents/{}/dreams")))) == [
        "POST /v1/agents/{}/dreams: nobody knows it; if manifests should say it, add a kind with this path or a line "
        "with `link` to lettaform/kinds/; if the server room calls it, add it to ALSO_CALLED in "
        "tests/contract/test_openapi.py; else to UNMANAGED_OPERATIONS in lettaform/render/alone.py with a reason"
    ]


def test_operation_called_and_unmanaged_is_reported() -> None:
    unmanaged = {**UNMANAGED_OPERATIONS, "Too much.": ("DELETE /v1/blocks/*",)}
    assert list(unknown(api(), unmanaged)) == [
        "DELETE /v1/blocks/{}: is called, and UNMANAGED_OPERATIONS has `DELETE /v1/blocks/*`; "
        "take it out or make it narrower"
    ]


def test_operation_unmanaged_twice_is_reported() -> None:
    unmanaged = {**UNMANAGED_OPERATIONS, "Again.": ("POST /v1/auth",)}
    assert list(unknown(api(), unmanaged)) == [
        "POST /v1/auth: stands in UNMANAGED_OPERATIONS twice, as `POST /v1/auth` and `POST /v1/auth`; keep one"
    ]


@pytest.mark.parametrize("pattern", [each for some in UNMANAGED_OPERATIONS.values() for each in some])
def test_operation_without_its_pattern_is_reported(pattern: str) -> None:
    unmanaged = {why: tuple(each for each in some if each != pattern) for why, some in UNMANAGED_OPERATIONS.items()}
    lost = [path for verb, path in api().writes() if fnmatchcase(f"{verb} {path}", pattern)]
    reported = list(unknown(api(), unmanaged))
    assert len(reported) == len(lost)


def test_stale_entries_are_reported() -> None:
    assert list(stale(api(), {"Gone.": ("* /v1/gone/*", "POST /v1/auth"), " ": ("POST /v1/auth",)})) == [
        "UNMANAGED_OPERATIONS: `* /v1/gone/*` matches nothing; take it out",
        "UNMANAGED_OPERATIONS: ' ' needs both a reason and operations",
    ]
