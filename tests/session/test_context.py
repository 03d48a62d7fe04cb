"""Lists of messages and runs with filters, and contexts that are emptied and compiled again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lettaform.backend import Backend
from lettaform.errors import PlanError
from lettaform.model import Recipient
from lettaform.session.context import Filter, read_messages, read_runs, recompile, reset
from tests.backend.v1.served import Served
from tests.backend.v1.test_talks import said, with_backend


@pytest.fixture
def server() -> Served:
    return Served()


@pytest.fixture
def agent(server: Served) -> Recipient:
    """An agent that was told five texts."""
    tool = server.tool("note")
    made = Recipient(server.agent("a", tool_ids=[tool["id"]])["id"], None, "agents.a[é/1]")
    for text in ("think: ink\nAnna", "Berta", 'call note {"text": "Clara"}', "Dora", "Emma"):
        said(server, made, text)
    return made


def read(server: Served, of: Recipient, **words: Any) -> list[tuple[str, str]]:
    found = with_backend(server, lambda backend: read_messages(backend, of, Filter(**words)))
    return [(each.message_type.removesuffix("_message"), str(getattr(each, "content", ""))) for each in found]


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ({"limit": 2}, ["Emma", "Emma"]),
        ({"limit": None, "types": frozenset({"user_message"}), "search": "A"}, None),
        ({"search": "EMMA"}, ["Emma", "Emma"]),
        ({"search": "clara", "types": frozenset({"tool_call_message"})}, [""]),
        ({"search": "ink", "types": frozenset({"reasoning_message"})}, [""]),
        ({"search": "nothing"}, []),
        ({"after": "2030-01-01"}, []),
        ({"before": "2026-01-01T00:00:01+00:00"}, []),
    ],
)
def test_filters(words: dict[str, Any], texts: list[str] | None, server: Served, agent: Recipient) -> None:
    found = read(server, agent, **words)
    if texts is None:
        assert [text.split("\n")[-1] for _, text in found] == [
            "Anna",
            "Berta",
            'call note {"text": "Clara"}',
            "Dora",
            "Emma",
        ]
    else:
        assert [text for _, text in found] == texts


def test_a_message_bounds_a_list_on_either_side(server: Served, agent: Recipient) -> None:
    every = with_backend(server, lambda backend: read_messages(backend, agent, Filter(limit=None)))
    third = every[3].id
    before = with_backend(server, lambda backend: read_messages(backend, agent, Filter(before=third)))
    after = with_backend(server, lambda backend: read_messages(backend, agent, Filter(after=third, limit=None)))
    assert [*before, every[3], *after] == every


def test_a_bound_that_is_neither_a_time_nor_an_id(server: Served, agent: Recipient) -> None:
    with pytest.raises(PlanError, match="`yesterday` is neither") as caught:
        read(server, agent, before="yesterday")
    assert "`--before 2026-11-27`" in (caught.value.hint or "")


def test_runs_of_one_of_a_stack_and_of_all(server: Served, agent: Recipient) -> None:
    other = Recipient(server.agent("b")["id"], None, "agents.b")
    said(server, other, "Hello")

    def listed(every: Any, single: bool = False, limit: int = 20, active: bool = False) -> list[str]:
        found = with_backend(server, lambda backend: read_runs(backend, every, single, limit, active))
        return [name for _, name in found]

    assert listed({agent.id: agent}, single=True, limit=3) == [agent.name] * 3
    assert listed({agent.id: agent}) == [agent.name] * 5
    assert listed(None, limit=2) == [other.id, agent.id]
    assert listed(None, active=True) == []


def test_a_reset_writes_the_agent_file_first(server: Served, tmp_path: Path) -> None:
    agent = Recipient(server.agent("a")["id"], None, "agents.a[é/1]")
    said(server, agent, "Hello")
    asked: list[int] = []

    def consent(whom: Recipient, messages: int) -> bool:
        asked.append(messages)
        return len(asked) > 1

    def run(path: Path | None = None) -> tuple[Path | None, int]:
        return with_backend(server, lambda backend: reset(backend, agent, tmp_path, path, consent))

    assert run() == (None, 2)
    file, number = run()
    assert file is not None
    assert (file.parent, number, file.stat().st_mode & 0o777) == (tmp_path / ".lettaform" / "agent-files", 2, 0o600)
    assert "Hello" in json.dumps(json.loads(file.read_text())["agents"])
    assert file.name.startswith("agents-a-é-1-")
    assert run() == (None, 0)
    assert asked == [2, 2]


def test_nothing_is_reset_if_the_file_cannot_be_written(server: Served, tmp_path: Path) -> None:
    agent = Recipient(server.agent("a")["id"], None, "agents.a")
    said(server, agent, "Hello")
    (tmp_path / "file").write_text("")
    with pytest.raises(PlanError, match="cannot write") as caught:
        with_backend(server, lambda b: reset(b, agent, tmp_path, Path("file/x.af"), lambda whom, messages: True))
    assert caught.value.hint == "nothing was reset"
    assert len(server.standin.tables.agents[agent.id]["message_ids"]) == 3
    talk = Recipient(agent.id, "conv-1", "conversations.t")
    with pytest.raises(PlanError, match="is a conversation"):
        with_backend(server, lambda b: reset(b, talk, tmp_path, None, lambda whom, messages: True))


def test_the_prompts_of_an_agent_and_its_conversations_are_compiled(server: Served) -> None:
    agent = Recipient(server.agent("a")["id"], None, "agents.a")
    talk = server.conversation(agent.id, "t")
    gone = Recipient("agent-00000000-0000-4000-8000-000000000000", None, "gone")

    async def run(backend: Backend) -> Any:
        return await recompile(backend, [agent, gone], 4)

    done = with_backend(server, run)
    assert [(whom.id, error is None) for whom, error in done] == [
        (agent.id, True),
        (gone.id, False),
        (talk["id"], True),
    ]
