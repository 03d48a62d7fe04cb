"""Plans and reports to render."""

from __future__ import annotations

from typing import Any

from lettaform.errors import Place, Problem
from lettaform.model import Change, Difference, Plan, Runtime, Step, Unmanaged
from lettaform.words import Address, Keep, Ref, Secret

SENTINEL = "hunter2-SENTINEL"
SECRET = Secret("env.KEY", SENTINEL)
HOSTILE = "a\x1b[31m\x07\x9b\u202eb\rc\u200bd\x7f\ud800\U000e0041"

at = Address.parse


def step(address: str, op: Any = "create", **words: Any) -> Step:
    return Step(words.pop("key", address), op, at(address), words.pop("kind", "agent"), **words)


def update(address: str = "agents.a", *differences: Difference, **words: Any) -> Change:
    return Change(at(address), words.pop("kind", "agent"), "update", "agent-1", differences=differences, **words)


def of(*changes: Change, **words: Any) -> Plan:
    words.setdefault("steps", tuple(step(str(change.address)) for change in changes))
    return Plan("support", "http://localhost:8283", "0.16.8", changes=changes, **words)


def everything() -> Plan:
    """Every action, every reason, every group."""
    place = Place("lettaform.yaml", 41, 5)
    worker, text = at("agents.worker[emea]"), "First.\nSecond.\nThird.\nFourth.\nFifth.\n"
    return of(
        Change(
            worker,
            "agent",
            "create",
            differences=(
                Difference("name", None, "worker-emea"),
                Difference("system", None, text),
                Difference("blocks", None, [Ref(at("blocks.organization")), "block-7"]),
                Difference("secrets", None, {"KEY": SECRET}, secret=True),
                Difference("model_settings", None, {"provider_type": "openai", "nested": {"effort": "high"}}),
            ),
            place=place,
        ),
        Change(
            worker.own("memory", "persona"),
            "block",
            "create",
            differences=(Difference("value", None, "I look after emea."), Difference("limit", None, 2000)),
        ),
        update(
            "agents.supervisor",
            Difference("system", text, text.replace("Second", "Zweitens")),
            Difference("tools", [], Keep((Ref(at("tools.get_weather")),), ("web_search",))),
            Difference("context_window", 8000, 16000, reason="conflict"),
            Difference("secrets.KEY", "old-" + SENTINEL, SECRET, secret=True),
            place=place,
            notes=("`model` is sent again as it is",),
        ),
        update(
            "agents.supervisor.memory.human",
            Difference("value", "Nobody yet.", "Alice", "seed", "seed"),
            Difference("limit", 2000, 2500),
            kind="block",
        ),
        update(
            "blocks.organization",
            Difference("description", "x", "What everybody must know.", reason="drift"),
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
            differences=(Difference("agent_type", "memgpt_agent", "letta_v1_agent"),),
        ),
        Change(at("agents.legacy"), "agent", "adopt", "agent-8", "marks only"),
        Change(at("agents.boss"), "agent", "record", "agent-9", "moved from agents.chief"),
        Change(at("agents.gone"), "agent", "forget", "agent-10", "removed: {destroy: false}"),
        environment="prod",
        runtime=(
            Runtime(at("agents.supervisor.memory.persona"), "value", "block-1", "live", "want", True),
            Runtime(at("agents.boss.memory.human"), "value", "block-2", "live", "want"),
        ),
        unmanaged=(Unmanaged("agent", "agent-99", at("agents.retired"), "marked, no longer declared"),),
        warnings=(Problem("the limit is low", place, "raise it"),),
        outputs={"id": Ref(at("agents.supervisor")), "n": 1},
    )


def hidden() -> Plan:
    """A Secret wherever one can stand."""
    entry = {"KEY": SECRET, "nested": {"list": [SECRET]}}
    changes = (
        Change(
            at("agents.b"),
            "agent",
            "create",
            differences=(
                Difference("secrets", None, entry, secret=True),
                Difference("metadata", None, entry),
                Difference("description", None, SECRET),
                Difference("tags", None, [SECRET]),
            ),
        ),
        update(
            "agents.a",
            Difference("secrets", {"KEY": SENTINEL, "OLD": SENTINEL}, Keep(entries=(("KEY", SECRET),)), secret=True),
            Difference("secrets.KEY", SENTINEL, SECRET, secret=True),
            Difference("metadata", {"KEY": SENTINEL}, entry),
            Difference("metadata.x", {"x": 1}, Keep(entries=(("KEY", SECRET),))),
            Difference("tags", [SENTINEL], Keep((SECRET,))),
            Difference("description", SENTINEL + "\n", SECRET),
            Difference("system", "x", SENTINEL + "\n", secret=True),
            Difference("model", SECRET, None),
        ),
    )
    steps = (
        step("agents.b", fields=entry),
        step("agents.a", "update", fields={"secrets": Keep(entries=(("K", SECRET),))}),
    )
    runtime = (Runtime(at("agents.a"), "secrets.KEY", "agent-1", SECRET, SECRET, True),)
    return of(*changes, steps=steps, runtime=runtime, outputs={"key": SECRET, "all": [entry]})
