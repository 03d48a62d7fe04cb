"""Surprising behaviour of Letta 0.16.8, and that lettaform handles each case."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lettaform import flow
from lettaform.backend.v1 import send
from lettaform.backend.v1.client import Client
from lettaform.errors import Guarded, LettaformError, NotStored, PlanError
from lettaform.model import Answer, Call, Plan
from tests.live.fleet import TOOL, Fleet, RequestLog, changes


def prompt(fleet: Fleet, agent: str) -> str:
    """The prompt that the agent's model sees: its first message."""
    id = fleet.agent(agent)["id"]
    messages = fleet.raw.get(f"/v1/agents/{id}/messages", params={"limit": 100, "order": "asc"}).json()
    return str(next(m["content"] for m in messages if m["message_type"] == "system_message"))


def tool_name(fleet: Fleet) -> str:
    return fleet.stack.replace("-", "_")


def test_changed_prompt_is_recompiled_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.write("agents: {a: {system: The first prompt., memory: {persona: seed one}}}")
    fleet.apply()
    assert "The first prompt." in prompt(fleet, "a")
    fleet.write(
        """
        blocks: {extra: {value: The extra block.}}
        agents: {a: {system: The second prompt., memory: {persona: seed one}, blocks: [extra]}}
        """
    )
    requests = RequestLog(monkeypatch)
    fleet.apply()
    assert "The second prompt." in prompt(fleet, "a")
    assert "The extra block." in prompt(fleet, "a")
    assert len([path for _, path, _ in requests.writes() if path.endswith("/recompile")]) == 1


def test_apply_recompiles_prompt_left_by_interrupted_apply(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.write("agents: {a: {system: The first prompt.}}")
    fleet.apply()
    fleet.write("agents: {a: {system: The second prompt.}}")
    call = send._call

    async def killed(client: Client, step: Call, answer: Any) -> Answer:
        raise LettaformError("the process is killed here")

    monkeypatch.setattr(send, "_call", killed)
    _, report = flow.apply(fleet.source, fleet.connection, consent=True)
    assert report is not None
    assert report.exit_code == 5
    assert fleet.agent("a")["system"] == "The second prompt."
    assert "The second prompt." not in prompt(fleet, "a")
    monkeypatch.setattr(send, "_call", call)
    plan = fleet.plan()
    assert changes(plan) == [("update", "agents.a", [])]
    fleet.apply()
    assert "The second prompt." in prompt(fleet, "a")


def test_shared_block_replaces_another_with_same_label(fleet: Fleet) -> None:
    # PATCH block_ids would leave neither attached, and answer 200
    old = "blocks: {one: {label: notes, value: first}}\nagents: {a: {blocks: [one]}}"
    fleet.write(old)
    fleet.apply()
    fleet.write(
        "blocks: {one: {label: notes, value: first}, two: {label: notes, value: second}}\nagents: {a: {blocks: [two]}}"
    )
    fleet.apply()
    assert [block["value"] for block in fleet.agent("a")["blocks"]] == ["second"]


def test_prune_replaces_own_block_by_shared_block_with_same_label(fleet: Fleet) -> None:
    fleet.write("agents: {a: {memory: {notes: own}}}")
    fleet.apply()
    fleet.write("blocks: {shared: {label: notes, value: shared}}\nagents: {a: {blocks: [shared]}}")
    with pytest.raises(PlanError, match="already has a block labelled `notes`"):
        fleet.plan()
    fleet.apply(prune=True)
    assert [block["value"] for block in fleet.agent("a")["blocks"]] == ["shared"]


def test_shared_block_stays_for_others_when_one_agent_gets_its_own(fleet: Fleet) -> None:
    fleet.write("blocks: {org: {value: shared}}\nagents: {a: {blocks: [org]}, b: {blocks: [org]}}")
    fleet.apply()
    before = fleet.block("org", "b")
    fleet.write("blocks: {org: {value: shared}}\nagents: {a: {blocks: [], memory: {org: own}}, b: {blocks: [org]}}")
    fleet.apply()
    assert fleet.block("org", "b") == before
    (own,) = fleet.agent("a")["blocks"]
    assert (own["value"], own["id"] != before["id"]) == ("own", True)


def test_create_fails_when_block_was_deleted_before(fleet: Fleet) -> None:
    # an unknown block id is dropped with 200
    fleet.write("blocks: {org: {value: x}}")
    fleet.apply()
    fleet.write("blocks: {org: {value: x}}\nagents: {a: {blocks: [org]}}")

    def delete_block(plan: Plan) -> bool:
        fleet.raw.delete(f"/v1/blocks/{fleet.block('org')['id']}").raise_for_status()
        return True

    _, report = flow.apply(fleet.source, fleet.connection, consent=delete_block)
    assert report is not None
    assert report.exit_code != 0
    error = next(report.of("failed")).error
    assert isinstance(error, NotStored)
    assert [(each.address, each.field) for each in error.problems] == [("agents.a", "blocks")]
    fleet.apply()
    assert [block["label"] for block in fleet.agent("a")["blocks"]] == ["org"]


def test_a_setting_that_the_server_does_not_store_fails_the_step(fleet: Fleet) -> None:
    # the provider of the model decides the type of the settings: 0.16.8 answers 200 to another one
    fleet.write("agents: {a: {model_settings: {provider_type: zai, temperature: 0.5}}}")
    _, report = flow.apply(fleet.source, fleet.connection, consent=True)
    assert report is not None
    assert report.exit_code == 5
    error = next(report.of("failed")).error
    assert isinstance(error, NotStored)
    (problem,) = error.problems
    assert problem.field == "model_settings.provider_type"
    assert problem.place is not None


def test_tool_update_keeps_id_attachments_and_undeclared_fields(fleet: Fleet) -> None:
    name = tool_name(fleet)
    fleet.write("tools: {t: {source: t.py}}", t_py=TOOL.format(name=name))
    fleet.apply()
    (tool,) = fleet.tools()
    # PATCH resets enable_parallel_execution, PUT resets every field that it does not contain
    fleet.patch(f"/v1/tools/{tool['id']}", return_char_limit=777, enable_parallel_execution=True)
    guest = fleet.raw.post(
        "/v1/agents/", json={"name": "guest", "model": "letta/letta-free", "tool_ids": [tool["id"]]}
    ).json()
    fleet.write("tools: {t: {source: t.py}}", t_py=TOOL.format(name=name).replace("Which city", "Which town"))
    fleet.apply()
    (after,) = fleet.tools()
    assert after["id"] == tool["id"]
    assert (after["return_char_limit"], after["enable_parallel_execution"]) == (777, True)
    assert after["json_schema"]["parameters"]["properties"]["city"]["description"] == "Which town."
    tools = fleet.raw.get(f"/v1/agents/{guest['id']}").json()["tools"]
    assert tool["id"] in {each["id"] for each in tools}
    fleet.raw.delete(f"/v1/agents/{guest['id']}")


def test_renamed_function_keeps_tool_id(fleet: Fleet) -> None:
    name = tool_name(fleet)
    fleet.write("tools: {t: {source: t.py}}\nagents: {a: {tools: [t]}}", t_py=TOOL.format(name=name))
    fleet.apply()
    (tool,) = fleet.tools()
    fleet.write("tools: {t: {source: t.py}}\nagents: {a: {tools: [t]}}", t_py=TOOL.format(name=f"{name}_anew"))
    fleet.apply()
    (after,) = fleet.tools()
    assert (after["id"], after["name"], after["json_schema"]["name"]) == (tool["id"], f"{name}_anew", f"{name}_anew")
    assert tool["id"] in {each["id"] for each in fleet.agent("a")["tools"]}


def test_plan_refuses_name_of_foreign_tool(fleet: Fleet) -> None:
    # POST with an existing name answers 200 and overwrites
    made = fleet.raw.post(
        "/v1/tools/", json={"source_code": TOOL.format(name=tool_name(fleet)), "source_type": "python"}
    ).json()
    fleet.write("tools: {t: {source: t.py}}", t_py=TOOL.format(name=tool_name(fleet)).replace("sunny", "rainy"))
    with pytest.raises(PlanError) as refused:
        fleet.plan()
    assert f"lettaform import 'tools.t' {made['id']}" in str(refused.value.problems[0].hint)
    flow.adopt(fleet.source, fleet.connection, "tools.t", made["id"])
    assert changes(fleet.plan()) == [("update", "tools.t", ["source"])]
    fleet.apply()
    (tool,) = fleet.tools()
    assert tool["id"] == made["id"]


def test_tool_requiring_approval_adds_rule_and_converges(fleet: Fleet) -> None:
    name = tool_name(fleet)
    manifest = f"""
    tools: {{t: {{source: t.py, default_requires_approval: true}}}}
    agents: {{a: {{tools: [t], tool_rules: [{{type: run_first, tool_name: {name}}}]}}}}
    """
    fleet.write(manifest, t_py=TOOL.format(name=name))
    fleet.apply()
    fleet.write(manifest.replace("run_first", "exit_loop"), t_py=TOOL.format(name=name))
    fleet.apply()
    rules = {rule["type"] for rule in fleet.agent("a")["tool_rules"]}
    assert rules == {"exit_loop", "requires_approval"}


def test_server_adds_base_tools_unless_declared(fleet: Fleet) -> None:
    fleet.write("agents: {plain: {}, bare: {include_base_tools: false, tools: [conversation_search]}}")
    fleet.apply()
    assert "memory_insert" in {tool["name"] for tool in fleet.agent("plain")["tools"]}
    assert [tool["name"] for tool in fleet.agent("bare")["tools"]] == ["conversation_search"]


def test_agent_type_change_needs_consent_and_keeps_blocks(fleet: Fleet) -> None:
    fleet.write("agents: {a: {memory: {persona: seed}}}")
    fleet.apply()
    before = fleet.agent("a")
    fleet.patch(f"/v1/blocks/{fleet.block('persona', 'a')['id']}", value="grown")
    made = fleet.raw.post("/v1/blocks/", json={"label": "notes", "value": "the agent's own"}).json()
    fleet.patch(f"/v1/agents/{before['id']}/core-memory/blocks/attach/{made['id']}")
    fleet.write("agents: {a: {agent_type: memgpt_v2_agent, memory: {persona: seed}}}")
    with pytest.raises(Guarded):
        fleet.plan()
    fleet.apply(allow_destroy=("agents.a",))
    after = fleet.agent("a")
    assert after["id"] != before["id"]
    assert {block["label"]: block["value"] for block in after["blocks"]} == {
        "persona": "grown",
        "notes": "the agent's own",
    }
    (listed,) = fleet.folder.glob(".lettaform/snapshots/*/snapshot.json")
    kept = {each["id"]: each for each in json.loads(listed.read_text())["objects"]}
    blocks = kept[before["id"]]["values"]["blocks"]
    assert {kept[id]["values"]["value"] for id in blocks} == {"grown", "the agent's own"}


def test_values_are_stored_byte_by_byte(fleet: Fleet) -> None:
    text = "  leading, trailing \\n\\ttab\\r\\nCRLF “quotes” 🦜 \\u200b  \\n\\n"
    fleet.write(f'agents: {{a: {{system: "{text}", description: "{text}", memory: {{persona: "{text}"}}}}}}')
    fleet.apply()


def test_number_formats_and_order_do_not_drift(fleet: Fleet) -> None:
    fleet.write(
        """
        agents:
          a:
            model_settings: {provider_type: openai, temperature: 1}
            metadata: {float: 1.0, big: 1234567890123456789, nested: {a: [1, 2.0, null]}}
            tags: [z, a, m]
            tools: [web_search, conversation_search]
        """
    )
    fleet.apply()
    fleet.write(
        """
        agents:
          a:
            model_settings: {temperature: 1.0, provider_type: openai}
            metadata: {nested: {a: [1.0, 2, null]}, float: 1, big: 1234567890123456789}
            tags: [a, m, z]
            tools: [conversation_search, web_search]
        """
    )
    fleet.assert_no_changes()


def test_null_at_creation_needs_one_apply(fleet: Fleet) -> None:
    fleet.write(
        """
        agents:
          a: {max_tokens: null, model_settings: {provider_type: openai, temperature: 1}}
          b: {max_tokens: null, sleeptime: {max_tokens: null}}
        """
    )
    fleet.apply()
    assert fleet.agent("a")["llm_config"]["max_tokens"] is None


def test_shared_block_is_patched_once_for_all_agents(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    agents = "".join(f"      a{n}: {{blocks: [org]}}\n" for n in range(6))
    manifest = f"blocks:\n      org: {{value: x, description: one, limit: 100}}\n    agents:\n{agents}"
    fleet.write("    " + manifest)
    fleet.apply()
    fleet.write("    " + manifest.replace("description: one, limit: 100", "description: two, limit: 200"))
    plan = fleet.plan()
    assert plan.changes[0].recompiles == 6
    org = fleet.block("org")["id"]
    requests = RequestLog(monkeypatch)
    fleet.apply()
    patches = [body for method, path, body in requests.writes() if method == "PATCH" and path.endswith(org)]
    assert [{"description", "limit"} <= set(body) for body in patches] == [True]
    assert not any(path.endswith("/recompile") for _, path, _ in requests.writes())


def test_lists_are_read_page_by_page(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    from lettaform.backend.v1 import client

    monkeypatch.setattr(client, "PAGE", 7)
    agents = "".join(f"      a{n}: {{memory: {{persona: p}}}}\n" for n in range(10))
    fleet.write(f"    agents:\n{agents}")
    fleet.apply()
    assert len(fleet.agents()) == 10


def test_target_and_exclude(fleet: Fleet) -> None:
    fleet.write("blocks: {org: {value: x}}\nagents: {a: {}, b: {}}")
    with pytest.raises(PlanError, match=r"no object has the address `agents\.c`"):
        fleet.plan(target=("agents.c",))
    _, report = flow.apply(fleet.source, fleet.connection, flow.PlanOptions(target=("agents.a",)), consent=True)
    assert report is not None
    assert [agent["name"] for agent in fleet.agents()] == ["a"]
    assert [str(c.address) for c in fleet.plan(exclude=("agents.b",)).changes] == ["blocks.org"]


def test_last_function_is_the_tool(fleet: Fleet) -> None:
    name = tool_name(fleet)
    fleet.write("tools: {t: {source: t.py}}", t_py=TOOL.format(name="_helper") + TOOL.format(name=name))
    fleet.apply()
    assert [tool["name"] for tool in fleet.tools()] == [name]
