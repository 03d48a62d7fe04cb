"""Differences between Letta releases, and the live tests that each of them excludes.

`scripts/test versions` runs the live tests on every release in RELEASES; `LETTAFORM_LETTA=0.16.4 scripts/test
versions` on one. A test is skipped only because of a fact in this table, and test_versions.py checks each fact with a
real call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from lettaform import local
from lettaform.local.environment import number

RELEASES = ("0.16.7", "0.16.6", "0.16.5", "0.16.4", "0.16.2", "0.15.1")
"""Older releases that the live tests run on. There is no 0.16.3."""


@dataclass(frozen=True)
class Fact:
    """A feature that a release added: a call that detects it, and the tests that need it.

    `tests` are patterns of test ids without the folder; `values::FIELD` leaves a field out of test_fields.py. `lost`:
    the release that removed the feature from older ones.
    """

    since: str
    what: str
    shown: Callable[[Probe], bool]
    tests: tuple[str, ...] = ()
    lost: str = "0.0"

    def holds(self, on: str) -> bool:
        """Whether a release has the feature."""
        return not number(self.lost) <= number(on) < number(self.since)


class Probe:
    """A client of a real server that deletes what its calls create."""

    def __init__(self, http: httpx.Client, model: str, embedding: str) -> None:
        self.http, self.model, self.embedding = http, model, embedding
        self.made: list[str] = []

    def create(self, path: str, **body: Any) -> Any:
        """Create an object, to be deleted afterwards."""
        answer = self.http.post(path, json=body).raise_for_status().json()
        self.made.insert(0, f"{path}{answer['id']}")
        return answer

    def agent(self, **body: Any) -> Any:
        return self.create("/v1/agents/", name="probe", model=self.model, embedding=self.embedding, **body)

    def accepts(self, path: str, body: Mapping[str, Any]) -> bool:
        """Whether the server creates such an object (deleted afterwards)."""
        answer = self.http.post(path, json=body)
        if answer.is_success:
            self.made.insert(0, f"{path}{answer.json()['id']}")
        return answer.is_success

    def answers(self, method: str, path: str, **options: Any) -> bool:
        """Whether the server knows the call and answers it with success."""
        return self.http.request(method, path, **options).is_success

    def clear(self) -> None:
        for path in self.made:
            self.http.delete(path)


def _echo(probe: Probe) -> bool:
    if probe.model != local.MODELS[True][0]:
        pytest.skip("this server was started without an endpoint of its own")
    return probe.accepts("/v1/agents/", {"name": "probe", "model": probe.model})


def _compaction(probe: Probe) -> bool:
    settings = {"clip_chars": 1000, "model": probe.model}
    return bool(probe.agent(compaction_settings=settings).get("compaction_settings"))


def _compaction_without_model(probe: Probe) -> bool:
    body = {"name": "probe", "model": probe.model, "compaction_settings": {"clip_chars": 1000}}
    return _compaction(probe) and probe.accepts("/v1/agents/", body)


def _strict(probe: Probe) -> bool:
    return "strict" in probe.agent(model_settings={"provider_type": "openai"})["model_settings"]


def _max_tokens_on_create(probe: Probe) -> bool:
    created = probe.agent(max_tokens=1000, model_settings={"provider_type": "openai"})
    return bool(created["llm_config"]["max_tokens"] == 1000)


def _max_tokens_cleared(probe: Probe) -> bool:
    path = f"/v1/agents/{probe.agent(max_tokens=1000)['id']}"
    body = {"model": probe.model, "context_window_limit": 9000, "max_tokens": None}
    answer = probe.http.patch(path, json=body).raise_for_status().json()
    return bool(answer["llm_config"]["max_tokens"] is None)


def _replace(probe: Probe) -> bool:
    (tool,) = probe.http.get("/v1/tools/", params={"name": "memory_replace"}).raise_for_status().json()
    return "old_string" in tool["json_schema"]["parameters"]["properties"]


def _recompile(probe: Probe) -> bool:
    return probe.answers("POST", f"/v1/agents/{probe.agent()['id']}/recompile")


def _tags(probe: Probe) -> bool:
    return "tags" in probe.create("/v1/blocks/", label="probe", value="", tags=["a"])


def _file(probe: Probe) -> bool:
    folder = probe.create("/v1/folders/", name=f"probe-{uuid4().hex[:8]}", embedding=probe.embedding)
    files = f"/v1/folders/{folder['id']}/files"
    refused = probe.http.get(f"{files}/file-{uuid4()}").json()
    return bool(refused.get("detail") != "Not Found")  # the answer of 0.16.8 for an unknown path


def _passages(probe: Probe) -> bool:
    archive = probe.create("/v1/archives/", name="probe", embedding=probe.embedding)
    return probe.answers("POST", "/v1/passages/search", json={"archive_id": archive["id"], "limit": 100})


def _archive(probe: Probe) -> bool:
    return probe.accepts("/v1/archives/", {"name": "probe"})


def _conversations(probe: Probe) -> bool:
    return probe.answers("GET", "/v1/conversations/", params={"agent_id": probe.agent()["id"]})


def _all_conversations(probe: Probe) -> bool:
    return probe.answers("GET", "/v1/conversations/")


def _conversation_changed(probe: Probe) -> bool:
    return _conversation(probe, "PATCH", json={"summary": "anew"})


def _conversation_deleted(probe: Probe) -> bool:
    return _conversation(probe, "DELETE")


def _conversation(probe: Probe, method: str, below: str = "", **options: Any) -> bool:
    asked = {"agent_id": probe.agent()["id"]}
    made = probe.http.post("/v1/conversations/", params=asked, json={"summary": "probe"})
    return made.is_success and probe.answers(method, f"/v1/conversations/{made.json()['id']}{below}", **options)


def _conversation_recompiled(probe: Probe) -> bool:
    return _conversation(probe, "POST", "/recompile")


def _of(file: str, *tests: str) -> tuple[str, ...]:
    return tuple(f"test_{file}.py::{test}" for test in tests)


def _fields(tests: tuple[str, ...], *cases: str) -> tuple[str, ...]:
    """Tests of test_fields.py with these cases; `?` stands for a bracket, which a pattern would read as a set."""
    return _of("fields", *(f"test_{test}?agent.{case}" for test in tests for case in cases))


_LATER = ("change_*", "drift_*", "null_*")
_CREATED = ("created_*", "create_only_*", "immutable_*", "derived_*")
_ANY = (*_CREATED, *_LATER, "only_*", "nothing_*")

_WITHOUT_MANIFEST = ("test_dev.py", "test_errors.py", "test_versions.py")
_FILES = sorted(file.name for file in Path(__file__).parent.glob("test_*.py"))
_WITH_MANIFEST = tuple(f"{file}::*" for file in _FILES if file not in _WITHOUT_MANIFEST)
"""All tests that apply a manifest: lettaform refuses a release that cannot store its marks."""


FACTS = (
    Fact("0.16.0", "agents have `compaction_settings`", _compaction),
    Fact("0.16.2", "agents accept the handle of a model of OPENAI_API_BASE", _echo, _of("dev", "*")),
    Fact("0.16.2", "a single file of a folder can be read", _file),
    Fact("0.16.2", "conversations exist", _conversations),
    Fact("0.16.4", "blocks have tags, by which marks and the state are found", _tags, _WITH_MANIFEST),
    Fact("0.16.4", "`model_settings` of the provider type `openai` have `strict`", _strict),
    Fact("0.16.4", "an archive can be created without an embedding", _archive),
    Fact("0.16.4", "the passages of an archive can be listed without a query", _passages),
    Fact("0.16.4", "conversations can be updated", _conversation_changed),
    Fact(
        "0.16.5",
        "`compaction_settings` do not require `model`",
        _compaction_without_model,
        _fields(_ANY, "compaction_settings[]-]*", "compaction_settings: prompt*", "description: with*"),
    ),
    Fact("0.16.5", "conversations can be deleted", _conversation_deleted),
    Fact(
        "0.16.5", "the tool `memory_replace` has an argument `old_string`", _replace, _of("dev", "test_echo_agents_*")
    ),
    Fact("0.16.5", "prompts are compiled on request", _recompile, _WITH_MANIFEST),
    Fact(
        "0.16.5",
        "conversations can be listed without naming an agent",
        _all_conversations,
        (
            *_of("conversations", "*"),
            *_of("everything", "test_example_is_created_*"),
            *_of("examples", "*sleeptime?", "*everything?"),
            *_of("fields", "*?conversation.*"),
            "values::conversation.*",
        ),
    ),
    Fact(
        "0.16.6",
        "`max_tokens` takes effect on create together with `model_settings`",
        _max_tokens_on_create,
        _fields((*_CREATED, "change_*"), "model_settings: with*", "description: with*"),
    ),
    Fact(
        "0.16.7",
        "conversations can be recompiled",
        _conversation_recompiled,
        _of("conversations", "*recompile*", "test_lifecycle_*"),
    ),
    Fact(
        "0.16.7",
        "`max_tokens` can be cleared",
        _max_tokens_cleared,
        _fields(("null_*",), "max_tokens?"),
        lost="0.16.1",
    ),
)


@cache
def release() -> str:
    """The release that the live tests run on."""
    url = os.environ.get("LETTAFORM_TEST_URL")
    if url:
        return str(httpx.get(f"{url.rstrip('/')}/v1/health/", timeout=60).raise_for_status().json()["version"])
    return os.environ.get("LETTAFORM_LETTA") or local.LETTA


def echoes() -> bool:
    """Whether agents of the release can use the echo model."""
    return number(release()) >= number("0.16.2")


def missing(test: str) -> str | None:
    """The reason why a test cannot pass on this release; None if it can."""
    missing_facts = [fact for fact in FACTS if not fact.holds(release())]
    reasons = [
        f"since {fact.since} {fact.what}" for fact in missing_facts if any(fnmatchcase(test, p) for p in fact.tests)
    ]
    return reasons[0] if reasons else None


if __name__ == "__main__":
    print(*RELEASES)
