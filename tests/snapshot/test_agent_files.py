"""Several agent files to one: what they share is there once, and what cannot be declared is refused or named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lettaform.errors import AgentFileError
from lettaform.snapshot.agent_file_read import AgentFile, read
from lettaform.snapshot.agent_files import Options, combined, messages_left, unattached, without_counterpart
from tests.snapshot.agent_files import CLERK, OLDER, TEAM


def a_file(path: Path, name: str = "", **parts: Any) -> AgentFile:
    body = json.loads(path.read_text(encoding="utf-8"))
    return read(json.dumps({**body, **parts}).encode(), name or path.name)


def test_equal_tools_of_two_files_are_one() -> None:
    body = combined([a_file(CLERK), a_file(TEAM)], Options(allow_secrets=True))
    tools = [each["name"] for each in body["tools"]]
    assert tools.count("look_up") == 1
    ids = {each["name"]: each["id"] for each in body["tools"]}
    assert all(ids["look_up"] in each["tool_ids"] for each in body["agents"][:2])
    assert len({each["id"] for each in body["agents"]}) == 4
    assert len({each["id"] for each in body["blocks"]}) == 8


def test_different_tools_of_one_name_are_refused_with_their_places() -> None:
    tools = json.loads(CLERK.read_text())["tools"]
    tools[0]["source_code"] += "# other\n"
    with pytest.raises(AgentFileError) as refused:
        combined([a_file(CLERK), a_file(CLERK, "b.af", tools=tools)], Options())
    (problem,) = refused.value.problems
    assert problem.message == "tools.0: clerk.af has another one named `look_up`, and a server has one"
    assert problem.place is not None
    assert problem.place.file == "b.af"


def test_an_agent_without_a_model_is_refused_and_the_remedy_works() -> None:
    agents = json.loads(CLERK.read_text())["agents"]
    agents[0] |= {"llm_config": None}
    file = a_file(CLERK, agents=agents)
    with pytest.raises(AgentFileError) as refused:
        combined([file], Options())
    assert [each.message for each in refused.value.problems] == ["agents.0: has no model"]
    assert combined([file], Options(model="a/b"))["agents"][0]["llm_config"] == {"handle": "a/b"}


def test_other_models_take_the_place_of_those_of_the_files() -> None:
    body = combined([a_file(TEAM)], Options(model="a/b", embedding="c/d", allow_secrets=True))
    assert {each["llm_config"]["handle"] for each in body["agents"]} == {"a/b"}
    assert {each["embedding_config"]["handle"] for each in (*body["agents"], *body["sources"])} == {"c/d"}


@pytest.mark.parametrize("known", [True, False])
def test_a_text_with_a_secret_is_refused_unless_it_is_allowed(known: bool) -> None:
    older = json.loads(OLDER.read_text())
    secret = "the-old-value-4711" if known else "ghp_" + "a1" * 18
    older["core_memory"][1]["value"] = f"I am old.\nKey: {secret}"
    file = read(json.dumps(older, indent=1).encode(), "o.af")
    with pytest.raises(AgentFileError) as refused:
        combined([file], Options())
    (problem,) = refused.value.problems
    found = "the value of the secret `OLD_KEY`" if known else "what looks like a GitHub token"
    assert problem.message == f"blocks.1.value: line 2 contains {found}"
    assert problem.secret
    assert problem.place is not None
    assert problem.place.line > 10
    assert secret not in problem.message
    assert combined([file], Options(allow_secrets=True))


def test_what_a_manifest_cannot_say_is_named() -> None:
    assert [each.what for each in messages_left(a_file(CLERK).body)] == ["4 messages of agent `clerk`"]
    assert list(messages_left(a_file(TEAM).body)) == []
    said = {each.what for each in without_counterpart(a_file(CLERK).body)}
    assert said == {"agent `clerk`: llm_config.frequency_penalty"}
    assert {each.what for each in without_counterpart(a_file(TEAM).body)} == {"mcp_server `finder`", "skill `slack`"}
    agents = json.loads(CLERK.read_text())["agents"]
    agents[0] |= {"identity_ids": ["identity-1"], "template_id": "t", "messages": [], "in_context_message_ids": []}
    groups = [{"id": "group-0", "agent_ids": ["agent-0"], "description": "G.", "shared_block_ids": ["block-0"]}]
    whats = [each.what for each in without_counterpart(a_file(CLERK, agents=agents, groups=groups).body)]
    assert {"agent `clerk`: identity_ids", "agent `clerk`: template_id", "group `G.`"} <= {*whats}


def test_blocks_that_no_agent_has_are_found() -> None:
    assert unattached(a_file(TEAM).body) == ["block-4", "block-5"]
