"""`pull` on a stand-in: what agents changed goes into the files, and secrets and conflicts do not."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import PlanError, Stale
from lettaform.flow import Pull, PullOptions
from lettaform.manifest.write import write_values
from lettaform.session import pull as module
from tests.session.test_files import Counted, Killed
from tests.standin import StandIn

pytestmark = pytest.mark.thorough

MODELS = "model: letta/letta-free, embedding: letta/letta-free, include_base_tools: false"
MANIFEST = f"""stack: s  # ours
variables: {{key: {{secret: true}}}}
defaults: {{agents: {{{MODELS}}}}}
blocks:
  org: {{value: We sell bicycles., description: about us}}  # shared
agents:
  boss:
    system: !file system.md
    memory:
      persona: I lead.   # who
      human:
        value: |
          Nobody yet.
        limit: 2000
    blocks: [org]
    secrets: {{KEY: "${{var.key}}"}}
  worker:
    for_each: [x, y]
    memory: {{persona: I work.}}
"""
WITH_KEY = "stack: s\nvariables: {key: {default: k}}\n"
KEY = "hunter-22"
TOKEN = "ghp_" + "A1" * 18


class Stack:
    """A folder with a manifest that was applied to a stand-in."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.standin, self.folder = StandIn(), folder
        monkeypatch.setattr(flow, "connect", lambda url, **words: connect(url, **words, transport=self.standin))
        self.connection = flow.Connection(url="http://stand.in")
        self.variables: dict[str, str] = {"key": KEY}
        self.environment: str | None = None
        self.write(MANIFEST, **{"system.md": "You lead.\r\nBe kind.\r\n"})

    @property
    def source(self) -> flow.Source:
        return flow.Source(self.folder, variables=self.variables, environment=self.environment)

    def write(self, manifest: str, **files: str) -> None:
        for name, text in {"lettaform.yaml": manifest, **files}.items():
            (self.folder / name).write_bytes(text.encode())

    def edit(self, old: str, new: str) -> None:
        text = self.text()
        assert text.count(old) == 1
        self.write(text.replace(old, new))

    def text(self, name: str = "lettaform.yaml") -> str:
        return (self.folder / name).read_bytes().decode()

    def apply(self) -> None:
        _, report = flow.apply(self.source, self.connection, consent=True)
        assert report is not None
        assert report.exit_code == 0

    def learn(self, which: str, /, **values: Any) -> None:
        """An agent changes its blocks with this label."""
        for block in self.standin.tables.blocks.values():
            if block["label"] == which:
                block.update(values)

    def block(self, label: str) -> dict[str, Any]:
        return next(block for block in self.standin.tables.blocks.values() if block["label"] == label)

    def pull(self, *addresses: str, **options: Any) -> Pull:
        consent = options.pop("consent", lambda pull: True)
        return flow.pull(self.source, self.connection, PullOptions(addresses, **options), consent=consent)

    def plan(self) -> list[tuple[str, str]]:
        return [(c.action, str(c.address)) for c in flow.plan(self.source, self.connection).changes]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    made = Stack(tmp_path, monkeypatch)
    made.apply()
    return made


def names(values: Any) -> list[str]:
    return [f"{each.address}.{each.path}" for each in values]


def reasons(problems: Any) -> list[str]:
    return [f"{each.address}: {each.message}" for each in problems]


def test_without_changes_there_is_nothing_to_pull(stack: Stack) -> None:
    asked: list[Pull] = []
    pull = stack.pull(consent=lambda pull: bool(asked.append(pull)))
    assert (bool(pull), pull.written, asked) == (False, False, [])


def test_what_agents_changed_goes_into_the_files_and_the_plan_changes_nothing(stack: Stack) -> None:
    stack.learn("human", value="Her name is Ada.\nShe likes #tea.\n")
    stack.learn("org", value="We sell skis: in winter.", description="about the shop")
    before = len(stack.standin.writes)
    pull = stack.pull()
    assert names(pull.pulled) == ["agents.boss.memory.human.value", "blocks.org.description", "blocks.org.value"]
    assert (pull.written, pull.exit_code()) == (True, 0)
    expected = MANIFEST.replace("          Nobody yet.\n", "          Her name is Ada.\n          She likes #tea.\n")
    expected = expected.replace("We sell bicycles.", '"We sell skis: in winter."').replace("about us", "about the shop")
    assert stack.text() == expected
    assert len(stack.standin.writes) == before, "a pull writes nothing on the server"
    assert stack.plan() == [("mark", "agents.boss.memory.human"), ("mark", "blocks.org")]
    assert not stack.pull()
    stack.apply()
    assert stack.plan() == []


def test_a_pull_that_was_discarded_can_be_repeated(stack: Stack) -> None:
    stack.learn("org", value="We sell skis.")
    first = stack.pull()
    stack.write(MANIFEST)
    assert names(stack.pull().pulled) == names(first.pulled) == ["blocks.org.value"]


def test_with_record_the_next_plan_is_empty_and_later_changes_are_pulled(stack: Stack) -> None:
    stack.learn("human", value="Ada.\n")
    stack.learn("org", value="We sell skis.")
    pull = stack.pull(record=True)
    assert (len(pull.recorded), pull.unrecorded) == (2, frozenset())
    assert stack.plan() == []
    stack.learn("human", value="Ada, and Bob.\n")
    assert names(stack.pull().pulled) == ["agents.boss.memory.human.value"]


def test_record_writes_no_marks_of_objects_that_change_otherwise(stack: Stack) -> None:
    stack.edit("limit: 2000", "limit: 3000")
    stack.edit("blocks:\n  org", "blocks:\n  new: {value: x}\n  org")
    stack.learn("human", value="Ada.\n")
    stack.learn("org", value="We sell skis.")
    pull = stack.pull(record=True)
    assert list(map(str, pull.recorded)) == ["blocks.org"]
    assert list(map(str, pull.unrecorded)) == ["agents.boss.memory.human"]
    assert sorted(stack.plan()) == [("create", "blocks.new"), ("update", "agents.boss.memory.human")]
    stack.apply()
    assert stack.plan() == []
    assert stack.block("human")["value"] == "Ada.\n"


def test_a_text_that_an_agent_removed_is_empty_in_the_files(stack: Stack) -> None:
    stack.learn("org", value="", description=None)
    stack.pull()
    assert '{value: "", description: ""}' in stack.text()
    assert {action for action, _ in stack.plan()} == {"mark"}


def test_both_sides_are_a_conflict_until_one_is_chosen(stack: Stack) -> None:
    stack.edit("We sell bicycles.", "We sell bikes.")
    stack.learn("org", value="We sell skis.")
    stack.learn("human", value="Ada.\n")
    pull = stack.pull()
    assert names(pull.conflicts) == ["blocks.org.value"]
    assert [(each.want, each.live) for each in pull.conflicts] == [("We sell bikes.", "We sell skis.")]
    assert names(pull.pulled) == ["agents.boss.memory.human.value"]
    assert pull.exit_code() == 4
    assert "We sell bikes." in stack.text()
    assert stack.pull(ours=("blocks.org",)).exit_code() == 0
    assert "We sell bikes." in stack.text()
    assert names(stack.pull(theirs=("blocks.org",)).pulled) == ["blocks.org.value"]
    assert "We sell skis." in stack.text()


def merging(stack: Stack) -> None:
    stack.write(
        f"{WITH_KEY}blocks:\n  a:\n    policy: {{value: merge}}\n    value: |\n      one\n      two\n      three\n"
    )
    stack.apply()


def test_a_text_with_the_policy_merge_that_both_sides_changed_is_merged(stack: Stack) -> None:
    merging(stack)
    stack.edit("      one\n", "      1\n")
    stack.learn("a", value="one\ntwo\nthree\nfour\n")
    pull = stack.pull(record=True)
    assert [each.merged for each in pull.pulled] == ["1\ntwo\nthree\nfour\n"]
    assert stack.text().endswith("    value: |\n      1\n      two\n      three\n      four\n")
    assert (pull.recorded, pull.unrecorded) == (frozenset(), frozenset())
    assert not stack.pull(), "the manifest holds all that the agent wrote"
    assert stack.plan() == [("update", "blocks.a")]
    stack.apply()
    assert stack.block("a")["value"] == "1\ntwo\nthree\nfour\n"
    assert stack.plan() == []


def test_a_text_with_the_policy_merge_that_an_agent_changed_is_pulled(stack: Stack) -> None:
    merging(stack)
    stack.learn("a", value="one\ntwo\nthree\nfour\n")
    assert names(stack.pull(record=True).pulled) == ["blocks.a.value"]
    assert stack.plan() == []


@pytest.mark.parametrize(("side", "line"), [("ours", "2"), ("theirs", "zwei")])
def test_a_merge_with_a_conflict_is_pulled_once_a_side_is_chosen(side: str, line: str, stack: Stack) -> None:
    merging(stack)
    stack.edit("      two\n", "      2\n")
    stack.learn("a", value="one\nzwei\nthree\nfour\n")
    pull = stack.pull()
    assert [each.conflict.reason for each in pull.conflicts if each.conflict] == [
        "the manifest and the server changed the same lines"
    ]
    assert (bool(pull), pull.exit_code()) == (False, 4)
    assert names(stack.pull(**{side: ("blocks.a",)}).pulled) == ["blocks.a.value"]
    assert stack.text().endswith(f"      one\n      {line}\n      three\n      four\n")


def test_what_only_the_manifest_changed_of_a_text_with_the_policy_merge_stays(stack: Stack) -> None:
    merging(stack)
    stack.edit("      two\n", "      2\n")
    pull = stack.pull(theirs=("blocks.a",), drift=True)
    assert (bool(pull), [each.outcome for each in pull.others]) == (False, ["manifest"])


def test_what_only_the_manifest_changed_stays(stack: Stack) -> None:
    stack.edit("I lead.", "I lead well.")
    pull = stack.pull()
    assert (bool(pull), pull.exit_code()) == (False, 0)
    assert [each.outcome for each in pull.others] == ["manifest"]
    assert "I lead well." in stack.text()


def test_drift_is_pulled_only_if_it_is_asked_for(stack: Stack) -> None:
    (agent,) = (each for each in stack.standin.tables.agents.values() if each["name"] == "boss")
    agent["system"] = "You lead.\r\nBe very kind.\r\n"
    stack.learn("human", limit=5000)
    assert sorted(each.outcome for each in stack.pull().others) == ["drift", "drift"]
    pull = stack.pull(drift=True)
    assert names(pull.pulled) == ["agents.boss.system", "agents.boss.memory.human.limit"]
    assert stack.text("system.md") == "You lead.\r\nBe very kind.\r\n"
    assert stack.text() == MANIFEST.replace("limit: 2000", "limit: 5000")
    assert {action for action, _ in stack.plan()} == {"mark"}


def test_instances_that_differ_are_kept_and_named(stack: Stack) -> None:
    block = next(b for b in stack.standin.tables.blocks.values() if b["value"] == "I work.")
    block["value"] = "I work hard."
    pull = stack.pull()
    (problem,) = pull.kept
    assert problem.address in ("agents.worker[x].memory.persona", "agents.worker[y].memory.persona")
    assert "is shared with agents.worker[" in problem.message
    assert pull.exit_code() == 0
    assert stack.pull("agents.worker").exit_code() == 1, "it was named"
    for each in stack.standin.tables.blocks.values():
        if each["value"] == "I work.":
            each["value"] = "I work hard."
    assert len(stack.pull().pulled) == 2
    assert stack.text() == MANIFEST.replace("I work.", "I work hard.")


def test_a_block_that_an_agent_detached_is_kept_and_named(stack: Stack) -> None:
    (agent,) = (each for each in stack.standin.tables.agents.values() if each["name"] == "boss")
    human = next(id for id, b in stack.standin.tables.blocks.items() if b["label"] == "human")
    client = httpx.Client(transport=stack.standin, base_url="http://stand.in")
    client.patch(f"/v1/agents/{agent['id']}/core-memory/blocks/detach/{human}").raise_for_status()
    assert reasons(stack.pull().kept) == [
        "agents.boss.memory.human: `attached` was detached on the server: attachments are not pulled"
    ]


# --- what the messages recommend -------------------------------------------------------------------------------------


def hint(stack: Stack) -> str:
    (problem,) = stack.pull().kept
    return problem.hint or ""


def test_an_instance_that_is_declared_by_itself_is_pulled(stack: Stack) -> None:
    x = next(agent for agent in stack.standin.tables.agents.values() if agent["name"] == "worker-x")
    client = httpx.Client(transport=stack.standin, base_url="http://stand.in")
    client.patch(f"/v1/agents/{x['id']}/core-memory/blocks/persona", json={"value": "I work hard."}).raise_for_status()
    assert hint(stack) == "to pull it, declare this instance by itself, with an entry in `moved` from agents.worker[x]"
    stack.edit("for_each: [x, y]", "for_each: [y]")
    stack.write(
        stack.text() + "  first: {name: worker-x, memory: {persona: I work.}}\n"
        "moved: [{from: 'agents.worker[x]', to: agents.first}]\n"
    )
    assert names(stack.pull().pulled) == ["agents.first.memory.persona.value"]
    assert "{name: worker-x, memory: {persona: I work hard.}}" in stack.text()
    assert {action for action, _ in stack.plan()} <= {"mark", "update"}
    stack.apply()
    assert stack.plan() == []
    assert len(stack.standin.tables.agents) == 3


def test_a_shared_default_that_is_written_in_the_object_is_pulled(stack: Stack) -> None:
    stack.write(
        "stack: s\nvariables: {key: {default: k}}\ndefaults: {blocks: {description: d}}\nblocks: {a: {}, b: {}}\n"
    )
    stack.apply()
    stack.learn("a", description="e")
    assert hint(stack) == "to pull it, write the value in blocks.a itself"
    stack.edit("a: {}", "a: {description: d}")
    assert names(stack.pull().pulled) == ["blocks.a.description"]


def test_a_block_with_another_label_is_pulled_by_a_new_key(stack: Stack) -> None:
    stack.learn("human", label="customer")
    assert hint(stack) == "rename the key, and add an entry to `moved` from agents.boss.memory.human"
    stack.edit("human:", "customer:")
    stack.write(stack.text() + "moved: [{from: agents.boss.memory.human, to: agents.boss.memory.customer}]\n")
    assert stack.pull().kept == ()
    stack.apply()
    assert stack.plan() == []
    assert stack.block("customer")["value"] == "Nobody yet.\n"


def test_a_text_that_is_written_in_place_of_an_expression_is_pulled(stack: Stack) -> None:
    stack.write(f"{WITH_KEY}blocks: {{a: {{value: 'to ${{var.key}}'}}}}\n")
    stack.apply()
    stack.learn("a", value="to you")
    assert hint(stack) == "edit what the expression refers to, or write the text itself"
    stack.edit("'to ${var.key}'", f"to {KEY}")
    assert names(stack.pull().pulled) == ["blocks.a.value"]


def test_the_source_of_a_tool_goes_into_its_file(stack: Stack) -> None:
    source = 'def add(a: int) -> int:\n    """Add.\n\n    Args:\n        a (int): A.\n    """\n    return a\n'
    stack.write(f"{WITH_KEY}tools: {{add: {{source: add.py}}}}\n", **{"add.py": source})
    stack.apply()
    (tool,) = (each for each in stack.standin.tables.tools.values() if each["name"] == "add")
    tool["source_code"] = source.replace("return a", "return a + 1")
    assert names(stack.pull(drift=True).pulled) == ["tools.add.source"]
    assert stack.text("add.py") == source.replace("return a", "return a + 1")
    assert {action for action, _ in stack.plan()} <= {"mark"}


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"The key is {KEY}.", "the value of ${var.key}, in line 1"),
        (f"a\nb {TOKEN}", "what looks like a GitHub token, in line 2"),
        ("the other is LIVE-SECRET-7", "the value of `secrets` of agents.boss, in line 1"),
        ("our own is api-key-1234", "the value of the API key, in line 1"),
    ],
)
def test_a_text_with_a_secret_is_refused_and_never_shown_and_others_are_written(
    text: str, what: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_API_KEY", "api-key-1234")
    (agent,) = (each for each in stack.standin.tables.agents.values() if each["name"] == "boss")
    client = httpx.Client(transport=stack.standin, base_url="http://stand.in")
    client.patch(f"/v1/agents/{agent['id']}", json={"secrets": {"KEY": KEY, "OTHER": "LIVE-SECRET-7"}})
    stack.edit("I lead.", "I lead well.")
    stack.learn("human", value=text)
    stack.learn("persona", value=text)  # both sides changed it
    stack.learn("org", value="We sell skis.")
    pull = stack.pull()
    assert f"agents.boss.memory.human: `value` contains {what} of the text on the server" in reasons(pull.refused)
    assert all(each.place for each in pull.refused)
    assert "blocks.org.value" in names(pull.pulled)
    assert pull.conflicts == ()
    assert pull.exit_code() == 1
    for secret in (KEY, TOKEN, "LIVE-SECRET-7", "api-key-1234"):
        assert secret not in repr(pull)
        assert secret not in stack.text()


def test_secrets_without_a_value_are_named_and_pull_needs_none(stack: Stack) -> None:
    stack.variables = {}
    stack.learn("org", value="We sell skis.")
    pull = stack.pull()
    assert [each.message for each in pull.warnings] == [
        "${var.key}: without a value here, and therefore not looked for in the texts"
    ]
    stack.learn("human", value=f"The key is {KEY}.")
    assert len(stack.pull().refused) == 1, "the live value is known"


# --- environments, locks, files --------------------------------------------------------------------------------------


def test_values_that_other_environments_share_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack(tmp_path, monkeypatch)
    stack.write("stack: s\nblocks: {a: {value: x}, b: {value: y}}\nenvironments:\n  prod: {blocks: {b: {value: z}}}\n")
    stack.environment, stack.variables = "prod", {}
    stack.apply()
    stack.learn("b", value="zz")
    assert stack.pull(consent=lambda pull: False).warnings == ()
    stack.learn("a", value="xx")
    pull = stack.pull()
    assert [each.message for each in pull.warnings] == [
        "1 of the values are written outside of `environments.prod`: other environments have them, too"
    ]
    assert stack.text().splitlines()[1:] == [
        "blocks: {a: {value: xx}, b: {value: y}}",
        "environments:",
        "  prod: {blocks: {b: {value: zz}}}",
    ]


def test_another_environment_is_refused(stack: Stack) -> None:
    stack.edit("# ours\n", "# ours\nenvironments: {prod: {}}\n")
    stack.environment = "prod"
    with pytest.raises(PlanError, match="applied with no environment"):
        stack.pull()


def test_a_lock_of_another_run_is_a_warning(stack: Stack) -> None:
    warnings: list[str] = []

    async def run(session: flow.Session) -> None:
        async with session.backend.lock("s", 1.0):
            pass

    stack.learn("org", value="We sell skis.")
    holder = flow.Lock("id", "ada", "now")

    async def held(self: flow.Session) -> flow.Lock:
        return holder

    original = flow.Session._holder
    flow.Session._holder = held  # type: ignore[method-assign]
    try:
        warnings += [each.message for each in stack.pull(consent=lambda pull: False).warnings]
    finally:
        flow.Session._holder = original  # type: ignore[method-assign]
    assert warnings == ["the stack is locked by ada since now: values may change while they are read"]


@pytest.mark.parametrize("option", ["addresses", "ours", "theirs"])
def test_a_pattern_that_matches_nothing_is_an_error(option: str, stack: Stack) -> None:
    words: Mapping[str, Any] = {option: ("blocks.orgs",)}
    with pytest.raises(PlanError, match=r"no object has the address `blocks\.orgs`") as refused:
        flow.pull(stack.source, stack.connection, PullOptions(**words), consent=True)
    assert ("did you mean" in str(refused.value.hint)) is (option == "addresses")


def test_without_consent_nothing_is_written(stack: Stack) -> None:
    stack.learn("org", value="We sell skis.")
    pull = stack.pull(consent=lambda pull: False)
    assert (bool(pull), pull.written, stack.text()) == (True, False, MANIFEST)


def test_a_file_that_changes_while_the_question_is_open_is_an_error(stack: Stack) -> None:
    stack.learn("org", value="We sell skis.")

    def consent(pull: Pull) -> bool:
        stack.edit("# ours", "# mine")
        return True

    with pytest.raises(Stale, match=r"lettaform\.yaml has changed since it was read; no file was written"):
        stack.pull(consent=consent)
    assert "bicycles" in stack.text()


def test_a_file_that_changes_while_the_server_is_read_is_an_error(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.learn("org", value="We sell skis.")

    def changed(*words: Any) -> Any:
        stack.edit("# ours", "# mine")
        return write_values(*words)

    monkeypatch.setattr(module, "write_values", changed)
    with pytest.raises(Stale, match=r"lettaform\.yaml has changed since it was read"):
        stack.pull()


def test_a_file_that_cannot_be_written_is_an_error_and_no_file_changes(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    (agent,) = (each for each in stack.standin.tables.agents.values() if each["name"] == "boss")
    agent["system"] = "You follow."
    stack.learn("org", value="We sell skis.")
    with monkeypatch.context() as patch:
        Counted(patch, 12, OSError(28, "No space left on device", "system.md"))
        with pytest.raises(PlanError, match=r"cannot write system\.md: No space left on device; no file was changed"):
            stack.pull(drift=True)
    assert (stack.text(), stack.text("system.md")) == (MANIFEST, "You lead.\r\nBe kind.\r\n")


@pytest.mark.parametrize("after", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_pull_killed_at_any_operation_on_files_is_completed_by_the_next(
    after: bool, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    (agent,) = (each for each in stack.standin.tables.agents.values() if each["name"] == "boss")
    agent["system"] = "You follow.\n"
    stack.learn("org", value="We sell skis.")
    texts = {"lettaform.yaml": MANIFEST, "system.md": "You lead.\r\nBe kind.\r\n"}
    new = {"lettaform.yaml": MANIFEST.replace("bicycles", "skis"), "system.md": "You follow.\n"}
    for number in range(1, 100):
        stack.write(MANIFEST, **{"system.md": texts["system.md"]})
        with monkeypatch.context() as patch:
            counted = Counted(patch, number, Killed(), after)
            with suppress(Killed):
                stack.pull(drift=True)
        for name in texts:
            assert stack.text(name) in (texts[name], new[name])
        stack.pull(drift=True)
        assert {name: stack.text(name) for name in texts} == new
        if counted.seen < number:
            break
    assert number > 10
    stack.learn("org", value="We sell more.")
    stack.pull()
    left = {each.name for each in stack.folder.iterdir()} - {".lettaform"}
    assert left == {"lettaform.yaml", "system.md"}
    assert {action for action, _ in stack.plan()} == {"mark"}
