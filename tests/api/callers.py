"""A program of somebody else, for type checkers. `test_types.py` checks it with mypy --strict and with pyright.

What is wrong on purpose is marked as such: a mark that is not needed is an error, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lettaform
from lettaform import UNSET, Agent, Block, Expression, File, Fleet, JsonFile, OwnBlock, Tool
from lettaform.client.messages import AssistantMessage
from lettaform.flow import Outgoing
from lettaform.testing import Apply, LettaServer

organization = Block(value=File("organization.md"), limit=5000, policy={"value": "enforce"})
shout = Tool(source=Path("shout.py").read_text(), tags=["text"], default_requires_approval=Expression("${var.ask}"))
base = Agent(model="openai/gpt-5", embedding="openai/text-embedding-3-small", timezone="Europe/Berlin")

fleet = Fleet(
    stack="support",
    server={"url": "http://localhost:8283", "api_key": "${env.LETTA_API_KEY}"},
    variables={"ask": {"type": "bool", "default": True}},
    defaults={"agents": base},
    blocks={"organization": organization, "old": None},
    tools={"shout": shout},
    agents={
        "lead": Agent(
            description=None,
            blocks=[organization, "other"],
            tools=[shout, "web_search"],
            memory={"persona": "I lead.", "human": OwnBlock(limit=100), "tasks": UNSET},
            secrets={"KEY": "${env.KEY}", "OLD": None},
            metadata=JsonFile("metadata.json"),
            tool_rules=[{"type": "run_first", "tool_name": "web_search"}],
            model_settings={"provider_type": "openai", "temperature": 0.2, "reasoning": {"reasoning_effort": "low"}},
            response_format={"type": "json_object"},
            sleeptime={"frequency": 5, "description": "Remembers."},
            lifecycle={"prevent_destroy": True, "ignore_changes": ["description"]},
        ),
        "worker": Agent(for_each={"emea": {"team": "E"}}, tags=["${each.key}"], context_window=32000, timezone=UNSET),
    },
    environments={"prod": Fleet(agents={"lead": Agent(model="openai/gpt-5-pro")})},
    imports=[{"to": "agents.lead", "name": "Lead"}],
    moved=[{"from": "agents.boss", "to": "agents.lead"}],
    outputs={"lead": "${agents.lead.id}"},
)

Agent(modle="x/y")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Agent(context_window="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Agent(blocks=[shout])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
Agent(model=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Fleet(agents={"lead": organization})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
lettaform.no_such_name  # type: ignore[attr-defined]  # pyright: ignore  # noqa: B018


def consent(plan: lettaform.Plan) -> bool:
    return not plan.count("delete", "replace")


def deploy(folder: str | Path) -> int:
    stack = lettaform.load(folder, environment="prod", variables={"ask": False}, server="http://localhost:8283")
    plan: lettaform.Plan = stack.plan(target=["agents.lead"], prune=True)
    for change in plan.changes:
        print(change.action, change.address)
    try:
        result: lettaform.Result = stack.apply(plan, parallel=4)
        result = stack.apply(consent=consent, exclude=["agents.worker*"])
        stack.destroy(consent=True, allow_destroy=["agents.lead"])
    except lettaform.Stale as stale:
        print(stale.message, stale.hint)
    except lettaform.Failed as failed:
        print(failed.result.plan.summary, [problem.message for problem in failed.problems])
        return failed.exit_code
    else:
        return 0 if result.report is None else result.report.exit_code
    stack.apply(plan, parallel=2, notify=lambda event: print(event.event))
    stack.destroy(consent=True, parallel=2, target=["agents.lead"])
    stack.apply()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    stack.apply(plan, consent=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    stack.destroy()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    stack.plan(prnue=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return 1


def watch(document: Mapping[str, Any]) -> None:
    stack = lettaform.load(document, directory="project", stack="mine")
    run = stack.applying(consent=True)
    for event in run:
        print(event.event, event.finished, event.total)
    if run.result:
        print(run.result.changed)
    print([each.address for each in stack.status("agents.*", tags=["x"]).objects], stack.drift().objects)
    snapshot: Path = stack.snapshot()
    stack.restore(snapshot, "agents.lead", consent=consent)
    print(stack.pull(consent=False).written, [each.verb for each in stack.history()])


def talk(stack: lettaform.Stack) -> str:
    answer: lettaform.Answer = stack.send("agents.lead", "Hello!", conversation="weekly", within=60)
    run = stack.sending("agents.lead", Outgoing("Hello!"))
    for message in run:
        if isinstance(message, AssistantMessage):
            print(message.text)
    stack.send("agents.lead", "Hello!", widthin=60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return answer.text if run.result is None else run.result.text


async def serve() -> None:
    stack: lettaform.AsyncStack = lettaform.load(fleet).aio
    plan: lettaform.Plan = await stack.plan()
    result: lettaform.Result = await stack.apply(plan)
    print(result.changed)
    run = stack.applying(consent=consent)
    async for event in run:
        print(event.event)
    print(run.result)
    async for message in stack.sending("agents.lead", "Hello!"):
        print(message.message_type)
    await stack.apply()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def test_fleet(letta_server: LettaServer, letta_stack: Apply) -> None:
    stack = letta_stack(fleet, variables={"model": letta_server.model})
    assert not stack.plan()
