"""Plans and reports to render."""

from __future__ import annotations

from typing import Any, get_args

from lettaform.address import Address
from lettaform.errors import Place, Problem
from lettaform.model import AgentChange, Change, FieldChange, Plan, Step, Unmanaged
from lettaform.values import Patch, Ref, Secret

SENTINEL = "hunter2-SENTINEL"
SECRET = Secret("env.KEY", SENTINEL)
HOSTILE = "a\x1b[31m\x07\x9b\u202eb\rc\u200bd\x7f\ud800\U000e0041"

at = Address.parse


def step(address: str, op: Any = "create", **words: Any) -> Step:
    given = {"id": "agent-1"} if op in ("update", "attach", "detach", "delete", "call") else {}
    given |= {"state": None} if op == "save_state" else {}
    kinds: dict[str, Any] = {each.op: each for each in get_args(Step)}
    return kinds[op](words.pop("key", address), at(address), words.pop("kind", "agent"), **given | words)


def update(address: str = "agents.a", *fields_changed: FieldChange, **words: Any) -> Change:
    return Change(at(address), words.pop("kind", "agent"), "update", "agent-1", fields_changed=fields_changed, **words)


def of(*changes: Change, **words: Any) -> Plan:
    words.setdefault("steps", tuple(step(str(change.address)) for change in changes))
    given = {"stack": "support", "url": "http://localhost:8283", "version": "0.16.8"} | words
    return Plan(changes=changes, **given)


def everything() -> Plan:
    """A plan with every action, reason and group."""
    place = Place("lettaform.yaml", 41, 5)
    worker, text = at("agents.worker[emea]"), "First.\nSecond.\nThird.\nFourth.\nFifth.\n"
    return of(
        Change(
            worker,
            "agent",
            "create",
            fields_changed=(
                FieldChange("name", None, "worker-emea"),
                FieldChange("system", None, text),
                FieldChange("blocks", None, [Ref(at("blocks.organization")), "block-7"]),
                FieldChange("secrets", None, {"KEY": SECRET}, secret=True),
                FieldChange("model_settings", None, {"provider_type": "openai", "nested": {"effort": "high"}}),
            ),
            place=place,
        ),
        Change(
            worker.part("memory", "persona"),
            "block",
            "create",
            fields_changed=(FieldChange("value", None, "I look after emea."), FieldChange("limit", None, 2000)),
        ),
        update(
            "agents.supervisor",
            FieldChange("system", text, text.replace("Second", "Zweitens")),
            FieldChange("tools", [], Patch((Ref(at("tools.get_weather")),), ("web_search",))),
            FieldChange("context_window", 8000, 16000, reason="conflict"),
            FieldChange("secrets.KEY", "old-" + SENTINEL, SECRET, secret=True),
            place=place,
            notes=("`model` is sent again as it is",),
        ),
        update(
            "agents.supervisor.memory.human",
            FieldChange("value", "Nobody yet.", "Alice", "seed", "seed"),
            FieldChange("limit", 2000, 2500),
            kind="block",
        ),
        update(
            "blocks.organization",
            FieldChange("description", "x", "What everybody must know.", reason="drift"),
            reason="drift",
            kind="block",
            recompiles=200,
        ),
        Change(at("agents.old"), "agent", "delete", "agent-5", "no longer declared"),
        Change(
            at("agents.new"),
            "agent",
            "replace",
            "agent-6",
            fields_changed=(FieldChange("agent_type", "memgpt_agent", "letta_v1_agent"),),
        ),
        Change(at("agents.legacy"), "agent", "adopt", "agent-8", "marks only"),
        Change(at("agents.boss"), "agent", "mark", "agent-9", "moved from agents.chief"),
        Change(at("agents.gone"), "agent", "forget", "agent-10", "removed: {destroy: false}"),
        environment="prod",
        runtime=(
            AgentChange(at("agents.supervisor.memory.persona"), "value", "block-1", "live", "want", True),
            AgentChange(at("agents.boss.memory.human"), "value", "block-2", "live", "want"),
        ),
        unmanaged=(Unmanaged("agent", "agent-99", at("agents.retired"), "marked, no longer declared"),),
        warnings=(Problem("the limit is low", place, "raise it"),),
        outputs={"id": Ref(at("agents.supervisor")), "n": 1},
    )


def hidden() -> Plan:
    """A plan with a Secret in every position."""
    entry = {"KEY": SECRET, "nested": {"list": [SECRET]}}
    changes = (
        Change(
            at("agents.b"),
            "agent",
            "create",
            fields_changed=(
                FieldChange("secrets", None, entry, secret=True),
                FieldChange("metadata", None, entry),
                FieldChange("description", None, SECRET),
                FieldChange("tags", None, [SECRET]),
            ),
        ),
        update(
            "agents.a",
            FieldChange("secrets", {"KEY": SENTINEL, "OLD": SENTINEL}, Patch(entries=(("KEY", SECRET),)), secret=True),
            FieldChange("secrets.KEY", SENTINEL, SECRET, secret=True),
            FieldChange("metadata", {"KEY": SENTINEL}, entry),
            FieldChange("metadata.x", {"x": 1}, Patch(entries=(("KEY", SECRET),))),
            FieldChange("tags", [SENTINEL], Patch((SECRET,))),
            FieldChange("description", SENTINEL + "\n", SECRET),
            FieldChange("system", "x", SENTINEL + "\n", secret=True),
            FieldChange("model", SECRET, None),
        ),
    )
    steps = (
        step("agents.b", fields=entry),
        step("agents.a", "update", fields={"secrets": Patch(entries=(("K", SECRET),))}),
    )
    runtime = (AgentChange(at("agents.a"), "secrets.KEY", "agent-1", SECRET, SECRET, True),)
    return of(*changes, steps=steps, runtime=runtime, outputs={"key": SECRET, "all": [entry]})
