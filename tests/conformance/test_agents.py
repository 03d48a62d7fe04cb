"""Agents: create, read, PATCH, attach and detach, recompile, delete."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.kinds.agent import Agent
from lettaform.kinds.tool import BUILT_IN
from lettaform.kinds.traits import AddedByServer
from tests.conformance.conftest import real
from tests.conformance.server_under_test import Server, refusal, unknown_id
from tests.live.conftest import Letta

V1 = {"memory_insert", "memory_replace", "conversation_search"}
V2 = {*V1, "send_message"}
OLD = {
    *("memory", "memory_apply_patch", "core_memory_append", "core_memory_replace", "conversation_search"),
    "send_message",
}
SLEEPER = {"memory_insert", "memory_replace", "memory_rethink", "memory_finish_edits"}
LISTENER = {"store_memories", "rethink_user_memory", "finish_rethinking_memory"}


def names(agent: dict[str, Any]) -> set[str]:
    return {tool["name"] for tool in agent["tools"]}


def rules(agent: dict[str, Any]) -> set[tuple[str, str]]:
    return {(rule["type"], rule["tool_name"]) for rule in agent["tool_rules"]}


def base_rules(tools: set[str]) -> set[tuple[str, str]]:
    ending = {"send_message", "memory_finish_edits"}
    return {("exit_loop" if tool in ending else "continue_loop", tool) for tool in tools}


@pytest.mark.parametrize(
    ("kind", "tools", "expected_rules"),
    [
        ("letta_v1_agent", V1, set()),
        ("memgpt_agent", OLD, base_rules(OLD)),
        ("memgpt_v2_agent", V2, base_rules(V2)),
        ("split_thread_agent", OLD, base_rules(OLD)),
        ("sleeptime_agent", SLEEPER, base_rules(SLEEPER)),
        ("voice_sleeptime_agent", LISTENER, set()),
        ("react_agent", set(), set()),
        ("workflow_agent", set(), set()),
    ],
)
def test_create_adds_base_tools_and_rules_of_agent_type(
    server: Server, kind: str, tools: set[str], expected_rules: set[Any]
) -> None:
    agent = server.agent(agent_type=kind, include_base_tools=True)
    assert (names(agent), rules(agent)) == (tools, expected_rules)
    assert agent["message_buffer_autoclear"] is (kind == "workflow_agent")


@pytest.mark.parametrize(
    ("body", "expected_rules"),
    [
        ({"include_base_tools": True}, set()),
        ({"include_base_tools": True, "include_base_tool_rules": True}, base_rules(V1)),
        (
            {"include_base_tools": True, "tool_rules": [{"type": "run_first", "tool_name": "memory_insert"}]},
            {("run_first", "memory_insert"), *base_rules(V1)},
        ),
        (
            {
                "include_base_tools": True,
                "include_base_tool_rules": False,
                "tool_rules": [{"type": "run_first", "tool_name": "memory_insert"}],
            },
            {("run_first", "memory_insert")},
        ),
        ({"tools": ["send_message"]}, {("exit_loop", "send_message")}),  # base rules without base tools
        ({"tools": ["send_message"], "include_base_tool_rules": False}, set()),
        ({"include_multi_agent_tools": True}, {("exit_loop", "send_message_to_agent_async")}),
    ],
)
def test_v1_agent_gets_base_rules_only_on_some_requests(
    server: Server, body: dict[str, Any], expected_rules: set[Any]
) -> None:
    assert rules(server.agent(**body)) == expected_rules


TYPES = (
    *("letta_v1_agent", "memgpt_agent", "memgpt_v2_agent", "react_agent", "workflow_agent"),
    *("sleeptime_agent", "voice_sleeptime_agent"),
)
SETTINGS: list[dict[str, Any]] = [
    {},
    {"include_base_tools": False},
    {"include_base_tool_rules": True},
    {"include_multi_agent_tools": True},
    {"sleeptime": True},
]


def check_additions(server: Server, values: dict[str, Any]) -> None:
    """Create an agent, and compare what the server adds to it with what the kind says."""
    lines = Agent.attrs()
    body = {lines[name].write: value for name, value in values.items() if name != "tools"}
    body |= {"tools": values.get("tools"), "tags": [server.tag], "embedding": server.embedding}
    agent = server.agent(**{"include_base_tools": True, **body})
    tools, tool_rules = (lines[name].related(AddedByServer) for name in ("tools", "tool_rules"))
    assert tools
    assert tool_rules
    assert names(agent) == {*tools.at_creation(values), *values.get("tools", ())}
    declared = [(rule["type"], rule["tool_name"]) for rule in values.get("tool_rules", ())]
    added = [(rule["type"], rule["tool_name"]) for rule in tool_rules.at_creation(values)]
    assert rules(agent) == {*declared, *added}


@pytest.mark.parametrize("values", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", TYPES)
def test_kind_knows_what_create_adds(server: Server, kind: str, values: dict[str, Any]) -> None:
    check_additions(server, {"agent_type": kind, **values})


def test_kind_knows_the_base_rule_of_each_built_in_tool(server: Server) -> None:
    check_additions(server, {"include_base_tools": False, "tools": sorted(BUILT_IN)})


@pytest.mark.live
@pytest.mark.parametrize("values", [{}, {"include_base_tools": False}], ids=str)
def test_kind_knows_what_create_adds_to_a_voice_agent(letta: Letta, values: dict[str, Any]) -> None:
    with real(letta) as server:  # the stand-in does not model voice
        check_additions(server, {"agent_type": "voice_convo_agent", "sleeptime": True, **values})


def test_tool_rules_are_answered_with_all_defaults(server: Server) -> None:
    rules_sent: list[dict[str, Any]] = [
        {"type": "constrain_child_tools", "tool_name": "a", "children": ["b"]},
        {"type": "run_first", "tool_name": "a"},
        {"type": "exit_loop", "tool_name": "a"},
        {"type": "conditional", "tool_name": "a", "child_output_mapping": {"x": "y"}},
        {"type": "continue_loop", "tool_name": "a", "prompt_template": "p"},
        {"type": "max_count_per_step", "tool_name": "a", "max_count_limit": 2},
        {"type": "parent_last_tool", "tool_name": "a", "children": ["b"]},
        {"type": "required_before_exit", "tool_name": "a"},
        {"type": "requires_approval", "tool_name": "a"},
    ]
    more: dict[str, dict[str, Any]] = {
        "constrain_child_tools": {"child_arg_nodes": None},
        "run_first": {"args": None},
        "conditional": {"default_child": None, "require_output_mapping": False},
    }
    rules_with_defaults = [{"prompt_template": None, **rule, **more.get(rule["type"], {})} for rule in rules_sent]
    agent = server.agent(tool_rules=rules_sent, include_base_tool_rules=False)
    assert agent["tool_rules"] == rules_with_defaults  # order is kept
    assert server.read_agent(agent)["tool_rules"] == rules_with_defaults
    assert server.patch(agent, tool_rules=rules_sent[::-1])["tool_rules"] == rules_with_defaults[::-1]


def test_equal_tool_rules_are_stored_once(server: Server) -> None:
    plain: dict[str, Any] = {"type": "exit_loop", "tool_name": "x", "prompt_template": None}
    rules_sent = [plain, {**plain, "prompt_template": "p"}, {"type": "continue_loop", "tool_name": "x"}, plain]
    agent = server.agent(tool_rules=rules_sent, include_base_tool_rules=False)
    assert len(agent["tool_rules"]) == 4  # only in this answer
    expected = [plain, {"type": "continue_loop", "tool_name": "x", "prompt_template": None}]
    assert server.read_agent(agent)["tool_rules"] == expected
    assert server.patch(agent, tool_rules=rules_sent[::-1])["tool_rules"] == expected


def test_create_accepts_only_one_run_first_rule(server: Server) -> None:
    rules_sent = [{"type": "run_first", "tool_name": name} for name in "ab"]
    body = {"name": server.tag, "model": server.model, "tool_rules": rules_sent}
    assert refusal(server.ask("POST", "/v1/agents/", body)) == (
        400,
        "Multiple initial tools are not supported for non-structured models. Please use only one initial tool rule.",
    )
    assert len(server.patch(server.agent(), tool_rules=rules_sent)["tool_rules"]) == 2


def test_create_sets_defaults(server: Server) -> None:
    agent = server.read_agent(server.agent(system=None))
    assert len(agent["system"]) > 20
    assert {key: agent[key] for key in ("description", "metadata", "hidden", "enable_sleeptime")} == dict.fromkeys(
        ("description", "metadata", "hidden", "enable_sleeptime")
    )
    assert (agent["timezone"], agent["message_buffer_autoclear"], agent["embedding"]) == ("UTC", False, None)
    assert (agent["tags"], agent["secrets"], agent["tool_rules"], agent["blocks"]) == ([], [], [], [])
    assert (agent["max_files_open"], agent["per_file_view_window_char_limit"]) == (5, 15_000)


@pytest.mark.parametrize(
    ("window", "files", "chars"),
    [(8_000, 3, 5_000), (32_000, 5, 15_000), (32_001, 10, 25_000), (128_001, 10, 40_000), (200_001, 15, 40_000)],
)
def test_file_limits_depend_on_context_window(server: Server, window: int, files: int, chars: int) -> None:
    agent = server.agent(context_window_limit=window)
    assert (agent["max_files_open"], agent["per_file_view_window_char_limit"]) == (files, chars)


def test_agent_names_are_not_unique(server: Server) -> None:
    server.agent(name=server.tag)
    server.agent(name=server.tag)
    assert server.get("/v1/agents/count", name=server.tag) == 2


def test_subagent_tag_hides_agent(server: Server) -> None:
    assert server.agent(tags=["role:subagent"])["hidden"] is True


def test_inline_blocks_keep_tags_and_lose_metadata(server: Server) -> None:
    fields = {"label": "l", "value": "v", "tags": ["t"], "metadata": {"a": 1}, "limit": 9, "read_only": True}
    agent = server.agent(memory_blocks=[{**fields, "hidden": True, "description": "d"}])
    (inside,) = agent["blocks"]
    block = server.get(f"/v1/blocks/{inside['id']}")
    assert inside == {**block, "tags": []}  # an agent's body does not show them
    assert block == {**block, **fields, "metadata": {}, "hidden": True, "description": "d"}


def test_create_ignores_unknown_block(server: Server) -> None:
    block = server.block()
    agent = server.agent(block_ids=[unknown_id("block"), block["id"]])
    assert [each["id"] for each in agent["blocks"]] == [block["id"]]


def test_create_attaches_one_of_two_blocks_with_same_label(server: Server) -> None:
    block = server.block(label="l", tags=[server.tag])
    agent = server.agent(block_ids=[block["id"]], memory_blocks=[{"label": "l", "value": "w", "tags": [server.tag]}])
    (attached,) = agent["blocks"]  # usually the older one; the database decides
    (orphan,) = server.get("/v1/blocks/", tags=server.tag, connected_to_agents_count_eq=0)
    assert sorted([attached["value"], orphan["value"]]) == ["v", "w"]
    server.client.delete(f"/v1/blocks/{orphan['id']}")


def test_secrets_are_answered_in_clear_text_except_empty_ones(server: Server) -> None:
    agent = server.agent(secrets={"KEY": "hush", "EMPTY": ""})
    assert _secrets(agent) == {"KEY": "hush", "EMPTY": ""}
    again = server.read_agent(agent)
    assert _secrets(again) == {"KEY": "hush", "EMPTY": "<encrypted>"}
    assert again["tool_exec_environment_variables"] == again["secrets"]
    (key,) = (each for each in again["secrets"] if each["key"] == "KEY")
    assert {**key, "id": None} == {
        "id": None,
        "agent_id": agent["id"],
        "key": "KEY",
        "value": "hush",
        "value_enc": "hush",
        "description": None,
        "organization_id": "org-00000000-0000-4000-8000-000000000000",
        **dict.fromkeys(("created_by_id", "last_updated_by_id", "created_at", "updated_at")),
    }


def _secrets(agent: dict[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in agent["secrets"]}


# --- read ------------------------------------------------------------------------------------------------------------

RELATIONS = ("tags", "blocks", "tools", "secrets", "identities")


def _whole(server: Server) -> dict[str, Any]:
    who = {"identifier_key": server.tag, "name": "n", "identity_type": "user"}
    identity = server.call("POST", "/v1/identities/", who)["id"]
    fields = {"tools": ["send_message"], "identity_ids": [identity], "secrets": {"A": "b"}, "tags": [server.tag]}
    return server.agent(**fields, memory_blocks=[{"label": "l", "value": "v"}])


@pytest.mark.parametrize(
    ("include", "shown"),
    [
        ([], RELATIONS),
        (["agent.tags"], ("tags",)),
        (["agent.tools"], ("tools",)),
        (["agent.secrets"], ("secrets",)),
        (["agent.identities"], ("identities",)),
        (["agent.sources"], ()),
        (["agent.blocks"], ("tags", "blocks")),  # including blocks includes the tags as well
        (["agent.tags", "agent.tools"], ("tags", "tools")),
    ],
    ids=str,
)
def test_relations_not_included_are_empty_lists(server: Server, include: list[str], shown: tuple[str, ...]) -> None:
    agent = _whole(server)
    for body in (
        server.read_agent(agent, include=include),
        *server.get("/v1/agents/", tags=server.tag, include=include),
    ):
        assert tuple(name for name in RELATIONS if body[name]) == shown
        assert bool(body["memory"]["blocks"]) == ("blocks" in shown)


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({"User-Agent": "lettaform/0"}, RELATIONS),
        ({"User-Agent": "letta-client/0.9"}, RELATIONS),
        ({"User-Agent": "letta-client/1.2"}, ()),
        ({"User-Agent": ""}, ()),
        ({"X-Stainless-Package-Version": "1.0"}, ()),
    ],
    ids=str,
)
def test_included_relations_depend_on_client(server: Server, headers: dict[str, str], shown: tuple[str, ...]) -> None:
    agent = _whole(server)
    body = server.call("GET", f"/v1/agents/{agent['id']}", headers=headers)
    assert tuple(name for name in RELATIONS if body[name]) == shown
    asked = server.call("GET", f"/v1/agents/{agent['id']}?include=agent.tags", headers=headers)
    assert asked["tags"]
    changed = server.call("PATCH", f"/v1/agents/{agent['id']}", {}, headers=headers)
    assert changed["tags"]  # answers to PATCH always contain everything
    tool = server.builtin("send_message")
    attached = server.call("PATCH", f"/v1/agents/{agent['id']}/tools/attach/{tool}", headers=headers)
    assert (attached is None) == (shown == ())


def test_tools_of_agent_are_paged_by_ten(server: Server) -> None:
    ids = [tool["id"] for tool in server.get("/v1/tools/", limit=1000) if tool["tool_type"].startswith("letta_")][:12]
    agent = server.agent(tool_ids=ids)
    assert len(server.get(f"/v1/agents/{agent['id']}/tools")) == 10
    assert len(server.get(f"/v1/agents/{agent['id']}/tools", limit=50)) == 12


# --- update ----------------------------------------------------------------------------------------------------------

FULL = {
    "description": "d",
    "metadata": {"a": 1},
    "tags": ["t"],
    "secrets": {"A": "b"},
    "timezone": "Europe/Berlin",
    "tools": ["send_message"],
    "tool_rules": [{"type": "exit_loop", "tool_name": "send_message"}],
    "include_base_tool_rules": False,
    "response_format": {"type": "json_object"},
    "hidden": True,
}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"name": "a/b: c"}, {"name": "a/b: c"}),  # unlike on create
        ({"name": "", "description": ""}, {"name": "", "description": ""}),
        ({"system": " s\r\n\t"}, {"system": " s\r\n\t"}),
        ({"timezone": "No/Where"}, {"timezone": "No/Where"}),
        ({"metadata": {"b": 2}}, {"metadata": {"b": 2}}),
        ({"metadata": {}}, {"metadata": {}}),
        ({"tags": ["u", "v", "u"]}, {"tags": ["u", "v"]}),
        ({"tags": []}, {"tags": []}),
        ({"secrets": {"B": "c"}}, {"secrets": {"B": "c"}}),
        ({"secrets": {}}, {"secrets": {}}),
        ({"tool_rules": []}, {"tool_rules": []}),
        ({"tool_ids": []}, {"tools": []}),
        ({"message_buffer_autoclear": True}, {"message_buffer_autoclear": True}),
        ({"response_format": {"type": "text"}}, {"response_format": {"type": "text"}}),
        ({"response_format": None}, {"response_format": {"type": "json_object"}}),
        (dict.fromkeys(("name", "description", "metadata", "tags", "secrets", "tool_ids", "tool_rules", "system")), {}),
        (
            {"hidden": False, "agent_type": "react_agent", "nonsense": 1},
            {"hidden": True, "agent_type": "letta_v1_agent"},
        ),
        ({"max_files_open": 3}, {"max_files_open": 3}),
        ({}, {}),
    ],
    ids=str,
)
def test_patch_replaces_fields_and_ignores_null(
    server: Server, patch: dict[str, Any], expected: dict[str, Any]
) -> None:
    agent = server.agent(**FULL)
    before = _plain(server.read_agent(agent))
    answer = _plain(server.patch(agent, **patch))
    assert answer == {**before, **expected}
    assert _plain(server.read_agent(agent)) == answer


def _plain(agent: dict[str, Any]) -> dict[str, Any]:
    keys = (*FULL.keys(), "name", "system", "agent_type", "message_buffer_autoclear", "max_files_open")
    plain = {key: agent[key] for key in keys if key != "include_base_tool_rules"}
    return {**plain, "secrets": _secrets(agent), "tags": sorted(agent["tags"]), "tools": sorted(names(agent))}


def test_patch_refuses_unknown_ids(server: Server) -> None:
    agent = server.agent()
    assert refusal(server.ask("PATCH", f"/v1/agents/{agent['id']}", {"block_ids": [unknown_id("block")]})) == (
        500,
        "An unknown error occurred",
    )
    for key, table, column in (("tool", "tools", "tool_id"), ("identity", "identities", "identity_id")):
        body = {f"{key}_ids": [unknown_id(key)], "description": "new"}
        status, detail = refusal(server.ask("PATCH", f"/v1/agents/{agent['id']}", body))
        assert status == 409
        assert detail.endswith(f'Key ({column})=(<{key}>) is not present in table "{table}".')
    assert server.read_agent(agent)["description"] is None  # nothing was written


@pytest.mark.parametrize("patch", [{"model": "no/such"}, {"model": "noslash"}, {"embedding": "no/such"}], ids=str)
def test_patch_refuses_unknown_model(server: Server, patch: dict[str, str]) -> None:
    agent = server.agent()
    assert server.ask("PATCH", f"/v1/agents/{agent['id']}", patch).status_code == (404 if "model" in patch else 400)


def test_patch_block_ids_replaces_blocks(server: Server) -> None:
    one, two, three = (server.block(label=label)["id"] for label in ("one", "two", "three"))
    agent = server.agent(block_ids=[one, two])
    answer = server.patch(agent, block_ids=[two, three])
    assert {block["id"] for block in answer["blocks"]} == {two, three}
    assert server.patch(agent, block_ids=[])["blocks"] == []


def test_patch_block_ids_with_same_label_leaves_neither_block(server: Server) -> None:
    old, new, other = server.block(label="l")["id"], server.block(label="l")["id"], server.block(label="o")["id"]
    agent = server.agent(block_ids=[old, other])
    assert [block["id"] for block in server.patch(agent, block_ids=[new, other])["blocks"]] == [other]
    assert [block["id"] for block in server.read_agent(agent)["blocks"]] == [other]


def test_attach_and_detach_block(server: Server) -> None:
    block, other = server.block(label="l"), server.block(label="l")
    agent = server.agent()
    attach, detach = (f"/v1/agents/{agent['id']}/core-memory/blocks/{verb}" for verb in ("attach", "detach"))
    for _ in range(2):  # attaching again is no error
        assert [each["id"] for each in server.call("PATCH", f"{attach}/{block['id']}")["blocks"]] == [block["id"]]
    status, detail = refusal(server.ask("PATCH", f"{attach}/{other['id']}"))
    assert (status, detail.split("DETAIL:  ")[1]) == (409, "Key (agent_id, block_label)=(<agent>, l) already exists.")
    assert server.call("PATCH", f"{detach}/{block['id']}")["blocks"] == []
    status, detail = refusal(server.ask("PATCH", f"{detach}/{block['id']}"))
    assert (status, detail) == (
        404,
        "No block with id '<block>' found for agent '<agent>' with actor id: '<user>'",
    )
    assert server.ask("PATCH", f"{attach}/{unknown_id('block')}").status_code == 404


def test_attach_and_detach_tool(server: Server) -> None:
    tool, agent = server.builtin("send_message"), server.agent()
    attach, detach = (f"/v1/agents/{agent['id']}/tools/{verb}" for verb in ("attach", "detach"))
    for verb, there in ((attach, {"send_message"}), (detach, set())):
        for _ in range(2):  # attaching again is no error
            assert names(server.call("PATCH", f"{verb}/{tool}")) == there
    assert refusal(server.ask("PATCH", f"{attach}/{unknown_id('tool')}")) == (
        404,
        "Tool with id=<tool> not found in organization=<org>",
    )
    assert server.ask("PATCH", f"{detach}/{unknown_id('tool')}").status_code == 200


def test_tool_requiring_approval_adds_its_rule(server: Server) -> None:
    tool = server.tool(default_requires_approval=True)
    rule = {("requires_approval", tool["name"])}
    created = server.agent(tool_ids=[tool["id"]])
    assert rules(created) == rule
    changed = server.agent()
    assert rules(server.patch(changed, tool_ids=[tool["id"]])) == set()  # not on PATCH
    path = f"/v1/agents/{changed['id']}/tools"
    for _ in range(2):
        assert rules(server.call("PATCH", f"{path}/attach/{tool['id']}")) == rule
    assert rules(server.call("PATCH", f"{path}/detach/{tool['id']}")) == rule  # detaching keeps the rule


def test_approval_accepts_any_tool_name(server: Server) -> None:
    path = f"/v1/agents/{server.agent()['id']}/tools/approval/no_such_tool"
    for _ in range(2):
        assert rules(server.call("PATCH", path, {"requires_approval": True})) == {("requires_approval", "no_such_tool")}
    for _ in range(2):
        assert rules(server.call("PATCH", path, {"requires_approval": False})) == set()


def _compiled(server: Server, agent: dict[str, Any], **params: Any) -> str:
    return str(server.call("POST", f"/v1/agents/{agent['id']}/recompile", params=params))


def test_recompile_answers_old_prompt_and_dry_run_the_new_one(server: Server) -> None:
    agent = server.agent(system="OLD-SYSTEM")
    server.patch(agent, system="NEW-SYSTEM")
    assert "NEW-SYSTEM" in _compiled(server, agent, dry_run=True)
    assert "OLD-SYSTEM" in _compiled(server, agent, dry_run=False)
    assert "NEW-SYSTEM" in _compiled(server, agent)


def test_block_update_recompiles_and_attach_does_not(server: Server) -> None:
    block, agent = server.block(value="FIRST-VALUE"), server.agent()
    server.call("PATCH", f"/v1/agents/{agent['id']}/core-memory/blocks/attach/{block['id']}")
    assert "FIRST-VALUE" not in _compiled(server, agent)
    server.call("PATCH", f"/v1/blocks/{block['id']}", {"value": "SECOND-VALUE"})
    assert "SECOND-VALUE" in _compiled(server, agent)
    server.call("PATCH", f"/v1/agents/{agent['id']}/core-memory/blocks/detach/{block['id']}")
    assert "SECOND-VALUE" in _compiled(server, agent)
    assert "SECOND-VALUE" not in _compiled(server, agent)


def test_delete_keeps_blocks(server: Server) -> None:
    agent = server.agent(memory_blocks=[{"label": "l", "value": "v"}])
    message = {"message": f"Agent id={agent['id']} successfully deleted"}
    assert server.call("DELETE", f"/v1/agents/{agent['id']}") == message
    assert server.get(f"/v1/blocks/{agent['blocks'][0]['id']}")["value"] == "v"
    assert server.ask("DELETE", f"/v1/agents/{agent['id']}").status_code == 404
