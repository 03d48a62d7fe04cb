"""`pull` on a real server: agents change their memory, the files get it, and the plan after it is empty."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lettaform import flow
from lettaform.cli import cli
from lettaform.flow import Pull, PullOptions
from lettaform.manifest import load
from tests.live.fleet import Fleet, RequestLog
from tests.manifest.test_write import ODD, STYLES, document, value
from tests.session.test_files import Counted, Killed

MANIFEST = """
    # the shop
    blocks:
      org: {value: We sell bicycles., description: "about us"}   # shared
    agents:
      boss:
        system: !file system.md
        memory:
          persona: I lead.   # who
          human:
            # what it knows
            value: |
              Nobody yet.
            limit: 2000
        blocks: [org]
        secrets: {KEY: hunter22}
      worker:
        for_each: [x, y]
        memory: {persona: I work.}
        blocks: [org]
"""
SYSTEM = "You lead.\r\nBe kind.\r\n"


@pytest.fixture
def stack(fleet: Fleet) -> Fleet:
    fleet.write(MANIFEST)
    (fleet.folder / "system.md").write_bytes(SYSTEM.encode())
    fleet.apply()
    return fleet


def pull(stack: Fleet, *addresses: str, **options: Any) -> Pull:
    return flow.pull(stack.source, stack.connection, PullOptions(addresses, **options), consent=True)


def text(stack: Fleet, name: str = "lettaform.yaml") -> str:
    return (stack.folder / name).read_bytes().decode()


def learn(stack: Fleet, label: str, agent: str | None = None, **values: Any) -> None:
    stack.patch(f"/v1/blocks/{stack.block(label, agent)['id']}", **values)


def actions(stack: Fleet) -> set[str]:
    return {change.action for change in stack.plan().changes}


def test_what_agents_learned_goes_into_the_files_and_the_plan_is_empty(
    stack: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = text(stack)
    boss = stack.agent("boss")["id"]
    # as the memory tools of the agent do
    stack.raw.patch(f"/v1/agents/{boss}/core-memory/blocks/human", json={"value": "Ada.\n\nShe likes #tea\tand 🚲.\n"})
    learn(stack, "org", value="We sell skis: in winter.", description="about the shop")
    requests = RequestLog(monkeypatch)
    found = pull(stack)
    assert requests.writes() == []
    assert len(found.pulled) == 3
    expected = before.replace("          Nobody yet.\n", "          Ada.\n\n          She likes #tea\tand 🚲.\n")
    expected = expected.replace("We sell bicycles.", '"We sell skis: in winter."').replace("about us", "about the shop")
    assert text(stack) == expected
    assert actions(stack) == {"mark"}
    stack.apply()
    assert stack.assert_no_changes().runtime == ()


def test_with_record_the_plan_after_a_pull_is_empty(stack: Fleet) -> None:
    learn(stack, "human", "boss", value="Her name is Ada.")
    learn(stack, "org", value="We sell skis.")
    found = pull(stack, record=True)
    assert len(found.recorded) == 2
    assert stack.assert_no_changes().runtime == ()
    learn(stack, "human", "boss", value="Her name is Ada. She has a dog.")
    assert len(pull(stack, record=True).pulled) == 1
    assert stack.assert_no_changes().runtime == ()


def test_drift_secrets_conflicts_and_instances_that_differ(stack: Fleet) -> None:
    stack.patch(f"/v1/agents/{stack.agent('boss')['id']}", system="You lead.\r\nBe very kind.\r\n")
    learn(stack, "human", "boss", value="The key is hunter22.")
    learn(stack, "persona", "worker-x", value="I work hard.")
    learn(stack, "org", value="We sell skis.")
    path = stack.folder / "lettaform.yaml"
    path.write_text(text(stack).replace("We sell bicycles.", "We sell bikes."))
    found = pull(stack, drift=True)
    assert [str(each.address) for each in found.pulled] == ["agents.boss"]
    assert text(stack, "system.md") == "You lead.\r\nBe very kind.\r\n"
    assert [str(each.address) for each in found.conflicts] == ["blocks.org"]
    assert [each.address for each in found.refused] == ["agents.boss.memory.human"]
    assert [each.address for each in found.kept] == ["agents.worker[x].memory.persona"]
    assert found.exit_code() == 4
    assert "hunter22" not in repr(found)
    assert [str(each.address) for each in pull(stack, theirs=("blocks.org",)).pulled] == ["blocks.org"]
    assert "We sell skis." in text(stack)
    stack.apply()


def test_every_style_takes_every_odd_text(fleet: Fleet) -> None:
    styles = sorted(STYLES)
    source = document(styles).split("blocks:\n", 1)[1]
    fleet.write("blocks:\n" + source)
    fleet.apply()
    blocks = {block["label"]: block["id"] for block in fleet.blocks()}
    texts = {f"k{number}": ODD[number % len(ODD)] + "\nü\u2028 \t" * (number % 3) for number in range(len(styles))}
    for label, each in texts.items():
        fleet.patch(f"/v1/blocks/{blocks[label]}", value=each)
    found = pull(fleet)
    assert (found.kept, found.refused, found.conflicts) == ((), (), ())
    assert actions(fleet) <= {"mark"}
    manifest = load(fleet.folder)
    assert {label: value(manifest, f"blocks.{label}", "value") for label in texts} == texts
    fleet.apply()


@pytest.mark.slow
def test_a_pull_killed_at_any_operation_on_files_is_completed_by_the_next(
    stack: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.patch(f"/v1/agents/{stack.agent('boss')['id']}", system="You follow.\n")
    learn(stack, "org", value="We sell skis.")
    old = {"lettaform.yaml": text(stack), "system.md": SYSTEM}
    new = {"lettaform.yaml": text(stack).replace("bicycles", "skis"), "system.md": "You follow.\n"}
    for number in range(1, 100):
        for name, each in old.items():
            (stack.folder / name).write_bytes(each.encode())
        with monkeypatch.context() as patch:
            counted = Counted(patch, number, Killed())
            with suppress(Killed):
                pull(stack, drift=True)
        for name in old:
            assert text(stack, name) in (old[name], new[name])
        pull(stack, drift=True)
        assert {name: text(stack, name) for name in old} == new
        if counted.seen < number:
            break
    assert number > 10
    assert actions(stack) == {"mark"}
    stack.apply()


def test_the_command(stack: Fleet, tmp_path: Path) -> None:
    def run(*words: str) -> Result:
        url = stack.connection.url or ""
        return CliRunner().invoke(cli, ["-C", str(stack.folder), "--server", url, *words])

    if stack.connection.token:
        pytest.skip("the server needs a key")
    assert run("pull", "--check").exit_code == 0
    learn(stack, "org", value="We sell skis.")
    checked = run("pull", "--check", "--json")
    assert (checked.exit_code, json.loads(checked.stdout)["written"]) == (2, False)
    assert run("pull").exit_code == 1, "there is no terminal to ask on"
    done = run("pull", "blocks.*", "-y", "--record")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "Pulled: 1 value into 1 file. 1 mark written.")
    assert run("plan", "--detailed-exitcode").exit_code == 0
    assert run("pull", "--check").exit_code == 0
