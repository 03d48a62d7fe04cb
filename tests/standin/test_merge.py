"""The policy `merge`: what git and an agent each changed of a text is kept; a conflict stops the apply before a write.

On the stand-in, then on a real server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from lettaform import flow
from lettaform.backend.v1.client import Client
from lettaform.cli import cli
from lettaform.errors import Conflicting, ManifestError, PlanError
from lettaform.kinds import kinds
from lettaform.model import Plan, PlanOptions
from lettaform.values import kept_text
from tests.live.conftest import letta as letta
from tests.live.fleet import Fleet, agent_changes, changes
from tests.standin import StandIn
from tests.standin.server import serve

OWN = """\
agents:
  a:
    memory:
      facts: {{policy: {{value: merge}}, value: {value}{more}}}
"""
SHARED = """\
blocks:
  facts: {{policy: {{value: merge}}, value: {value}{more}}}
agents:
  a: {{blocks: [facts]}}
"""
MANIFESTS = {"agents.a.memory.facts": OWN, "blocks.facts": SHARED}
SEED = "Lives in Oslo.\nLikes tea.\nWorks late."
IN_GIT = "Lives in Bergen.\nLikes tea.\nWorks late."
LEARNED = "Lives in Oslo.\nLikes tea.\nWorks late.\nHas a dog."
BOTH = "Lives in Bergen.\nLikes tea.\nWorks late.\nHas a dog."
CONTRARY = "Lives in Rome.\nLikes tea.\nWorks late.\nHas a dog."


class Stack(Fleet):
    """A stack with one text under `merge`, at `address`."""

    address: str
    embedding: str

    def declare(self, value: str, more: str = "") -> None:
        text = MANIFESTS[self.address].format(value=json.dumps(value), more=more)
        self.write(text)

    def learn(self, value: str) -> None:
        """What an agent does while it runs."""
        self.patch(f"/v1/blocks/{self.block('facts')['id']}", value=value)

    @property
    def value(self) -> str:
        return str(self.block("facts")["value"])


@pytest.fixture(
    params=[pytest.param("stand-in", marks=pytest.mark.thorough), pytest.param("real", marks=pytest.mark.live)]
)
def url(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, str, str | None]]:
    if request.param == "real":
        real = request.getfixturevalue("letta")
        yield real.url, real.model, real.embedding, real.password
    else:
        with serve(StandIn()) as url:
            yield url, "letta/letta-free", "letta/letta-free", None


ON = [
    pytest.param(("stand-in", "agents.a.memory.facts"), marks=pytest.mark.slow),
    pytest.param(("stand-in", "blocks.facts"), marks=pytest.mark.thorough),
    pytest.param(("real", "agents.a.memory.facts"), marks=[pytest.mark.live, pytest.mark.slow]),
    pytest.param(("real", "blocks.facts"), marks=[pytest.mark.live, pytest.mark.slow]),
]
ALWAYS = [ON[1], pytest.param(("real", "agents.a.memory.facts"), marks=pytest.mark.live)]
"""For the tests that run on the real server each time."""


@contextmanager
def server(where: str, request: pytest.FixtureRequest) -> Iterator[tuple[str, str, str, str | None]]:
    if where == "real":
        real = request.getfixturevalue("letta")
        yield real.url, real.model, real.embedding, real.password
    else:
        with serve(StandIn()) as url:
            yield url, "letta/letta-free", "letta/letta-free", None


@pytest.fixture(params=ON, ids="-".join)
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    where, address = request.param
    with server(where, request) as found:
        made = Stack(*found, tmp_path, f"t-{uuid4().hex[:8]}")
        made.address, made.embedding = address, found[2]
        made.declare(SEED)
        made.apply()
        yield made
        made.clear()


def run(stack: Stack, *words: str) -> Result:
    return CliRunner().invoke(cli, ["-C", str(stack.folder), "--server", stack.connection.url or "", *words])


def reasons(plan: Plan) -> list[str]:
    return [field.reason for change in plan.changes for field in change.fields_changed]


def test_a_text_that_only_the_manifest_changed_is_written(stack: Stack) -> None:
    stack.declare(IN_GIT)
    assert reasons(stack.plan()) == ["manifest"]
    stack.apply()
    assert stack.value == IN_GIT


def test_a_text_that_only_the_agent_changed_is_kept(stack: Stack) -> None:
    stack.learn(LEARNED)
    assert agent_changes(stack.assert_no_changes()) == [(stack.address, "value")]
    assert stack.value == LEARNED


@pytest.mark.parametrize("stack", ALWAYS, indirect=True)
def test_both_changes_are_merged_once(stack: Stack) -> None:
    stack.learn(LEARNED)
    stack.declare(IN_GIT)
    plan = stack.plan()
    assert changes(plan) == [("update", stack.address, ["value"])]
    assert reasons(plan) == ["merge"]
    stack.apply()
    assert stack.value == BOTH
    # the agent goes on, and so does git
    stack.learn(BOTH.replace("dog", "cat"))
    stack.declare(IN_GIT.replace("tea", "coffee"))
    stack.apply()
    assert stack.value == "Lives in Bergen.\nLikes coffee.\nWorks late.\nHas a cat."


def test_a_manifest_that_takes_over_what_was_learned_writes_no_value(stack: Stack) -> None:
    stack.learn(LEARNED)
    stack.declare(LEARNED)
    plan = stack.plan()
    assert reasons(plan) == []
    assert [each.action for each in plan.changes] == ["mark"]
    stack.apply()
    assert agent_changes(stack.plan()) == []
    stack.declare(BOTH)
    stack.apply()
    assert stack.value == BOTH


@pytest.mark.parametrize("stack", ALWAYS, indirect=True)
def test_a_conflict_stops_the_apply_and_is_shown_with_its_versions(stack: Stack) -> None:
    stack.learn(CONTRARY)
    stack.declare(IN_GIT)
    shown = run(stack, "plan")
    assert shown.exit_code == 4, shown.output
    block = [
        "<<<<<<< manifest",
        "Lives in Bergen.",
        "||||||| last applied",
        "Lives in Oslo.",
        "=======",
        "Lives in Rome.",
    ]
    assert "\n".join(f"      {line}" for line in [*block, ">>>>>>> server"]) in shown.stdout
    assert "1 conflict." in shown.stdout
    (kept,) = json.loads(run(stack, "plan", "--format", "json").stdout)["runtime"]
    assert kept["conflict"]["text"].startswith("\n".join(block))
    for words in (["apply", "-y"], ["plan", "-o", str(stack.folder / "plan.json")]):
        refused = run(stack, *words)
        assert refused.exit_code == 4, refused.output
        assert "lettaform.yaml:" in refused.stderr
        assert f"--theirs '{stack.address}'" in refused.stderr
    assert not (stack.folder / "plan.json").exists()
    assert stack.value == CONTRARY


@pytest.mark.parametrize(("side", "value"), [("ours", BOTH), ("theirs", CONTRARY)])
def test_a_side_is_chosen_for_the_lines_in_conflict(side: str, value: str, stack: Stack) -> None:
    stack.learn(CONTRARY)
    stack.declare(IN_GIT)
    stack.apply(**{side: (stack.address,)})
    assert stack.value == value


def test_lines_of_both_are_kept_as_the_hint_says(stack: Stack) -> None:
    stack.learn(CONTRARY)
    stack.declare(IN_GIT.replace("Bergen.", "Bergen and Rome."))
    with pytest.raises(Conflicting):
        stack.apply()
    stack.apply(ours=(stack.address,))
    assert stack.value == BOTH.replace("Bergen.", "Bergen and Rome.")


def test_a_merged_text_that_is_too_long_is_a_conflict(stack: Stack) -> None:
    stack.learn(LEARNED)
    stack.declare(IN_GIT, more=f", limit: {len(BOTH) - 1}")
    (kept,) = stack.plan().conflicts
    assert kept.conflict is not None
    assert kept.conflict.reason.startswith("the merged text has ")


@pytest.mark.parametrize("stack", ALWAYS, indirect=True)
@pytest.mark.parametrize(
    ("before", "git", "after"),
    [
        pytest.param(LEARNED, IN_GIT, BOTH, id="merged"),
        pytest.param(SEED, IN_GIT, IN_GIT, id="only the manifest moved"),
        pytest.param(LEARNED, BOTH, None, id="the manifest has all that the plan saw"),
    ],
)
def test_what_the_agent_writes_during_the_apply_is_not_overwritten(
    before: str, git: str, after: str | None, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.learn(before)
    stack.declare(git)
    send, late = Client.object, before + "\nHas a cat."

    async def object_after_the_agent_wrote(client: Client, method: str, path: str, **words: object) -> object:
        if method == "GET" and "/v1/blocks/block-" in path and stack.value == before:
            stack.learn(late)
        return await send(client, method, path, **words)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Client, "object", object_after_the_agent_wrote)
        _, report = flow.apply(stack.source, stack.connection, consent=True)
    assert report is not None
    assert report.exit_code != 0
    assert "was changed while this apply ran" in str(next(report.of("failed")).error)
    assert stack.value == late
    if after is None:  # both added lines at one place
        with pytest.raises(Conflicting):
            stack.apply()
        return
    stack.apply()
    assert stack.value == after + "\nHas a cat."


def test_a_seeded_text_becomes_one_that_is_merged(stack: Stack) -> None:
    seeded = MANIFESTS[stack.address].format(value=json.dumps(SEED), more="").replace("policy: {value: merge}, ", "")
    stack.write(seeded)
    stack.apply()  # the text leaves the mark
    stack.declare(SEED)
    assert [each.action for each in stack.plan().changes] == ["mark"]
    stack.apply()
    stack.learn(LEARNED)
    stack.declare(IN_GIT)
    stack.apply()
    assert stack.value == BOTH


def test_a_text_whose_last_version_is_not_known_is_not_merged(stack: Stack) -> None:
    seeded = MANIFESTS[stack.address].format(value=json.dumps(SEED), more="").replace("policy: {value: merge}, ", "")
    stack.write(seeded)
    stack.apply()
    stack.learn(LEARNED)
    stack.declare(IN_GIT)
    (kept,) = stack.plan().conflicts
    assert kept.conflict is not None
    assert "is not known" in kept.conflict.reason
    stack.apply(theirs=(stack.address,))
    assert stack.value == LEARNED


def test_reseed_writes_the_text_of_the_manifest(stack: Stack) -> None:
    stack.learn(CONTRARY)
    stack.declare(IN_GIT)
    stack.apply(reseed=(stack.address,))
    assert stack.value == IN_GIT


def test_a_saved_plan_merges_what_it_showed(stack: Stack) -> None:
    stack.learn(LEARNED)
    stack.declare(IN_GIT)
    flow.save(stack.plan(), stack.folder / "plan.json")
    flow.apply_saved(stack.folder / "plan.json", stack.source, stack.connection, consent=True)
    assert stack.value == BOTH
    stack.assert_no_changes()


@pytest.mark.parametrize("stack", ALWAYS, indirect=True)
def test_the_text_is_kept_from_birth(stack: Stack) -> None:
    (agent,) = stack.agents()
    facts = (
        agent["metadata"]["lettaform"].get("parts", {}).get("facts")
        or stack.block("facts")["metadata"]["lettaform"]["base"]
    )
    assert facts["value"] == kept_text(SEED)


FREE_TEXTS = [(kind, line.name) for kind, table in kinds().items() for line in table.attrs().values() if line.mergeable]
TEXTS = [each for each in FREE_TEXTS if each != ("block", "value")]  # tested above
BODIES = {
    "agent": "agents: {{x: {{{field}}}}}",
    "archive": "archives: {{x: {{{field}}}}}",
    "block": "blocks: {{x: {{value: v, {field}}}}}",
    "folder": "folders: {{x: {{{field}}}}}",
    "group": "agents: {{m: {{}}}}\ngroups: {{x: {{type: round_robin, agents: [m], {field}}}}}",
}


@pytest.mark.parametrize("stack", [ON[1], ON[2]], indirect=True)
@pytest.mark.parametrize(("kind", "field"), TEXTS)
def test_every_free_text_can_be_merged(kind: str, field: str, stack: Stack) -> None:
    embedding = "" if kind not in ("archive", "folder") else f"embedding: {stack.embedding}, "

    def declare(text: str) -> None:
        line = f"{embedding}{field}: {json.dumps(text)}, policy: {{{field}: merge}}"
        stack.write(BODIES[kind].format(field=line) + "\n")

    declare(SEED)
    stack.apply(prune=True, allow_destroy=("*",))
    id = next(live.id for live in stack.state() if str(live.address) == f"{kinds()[kind].section}.x")
    path = f"{kinds()[kind].path}{id}"
    before = stack.raw.get(path).raise_for_status().json()[field]
    stack.patch(path, **{field: before.replace(SEED, LEARNED)})
    declare(IN_GIT)
    stack.apply()
    assert stack.raw.get(path).json()[field].startswith(BOTH)
    stack.write("blocks: {}\n")
    stack.apply(prune=True, allow_destroy=("*",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"ours": ("blocks.none",)}, "no object has the address `blocks.none`"),
        ({"ours": ("*",), "theirs": ("*",)}, "--ours and --theirs both name `*`"),
    ],
)
def test_options_that_name_nothing_are_errors(words: dict[str, Any], message: str, stack: Stack) -> None:
    with pytest.raises(PlanError, match=message.replace("*", r"\*")):
        flow.plan(stack.source, stack.connection, PlanOptions(**words))


def test_only_texts_can_be_merged(stack: Stack) -> None:
    stack.write("blocks:\n  facts: {value: x, limit: 20, policy: {limit: merge}}\n")
    with pytest.raises(
        ManifestError, match=r"policy.limit: .* got the text .merge. \(one of: enforce, seed, yield, ignore"
    ):
        stack.plan()
