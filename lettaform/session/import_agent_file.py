"""An agent file to an agent of the stack, with the messages of the file: created and adopted, and never twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lettaform.address import Address
from lettaform.backend.concurrency import together
from lettaform.errors import PlanError, Problem
from lettaform.kinds import kinds
from lettaform.model import AgentImport, Attach, Desired, External, Live, NotDeclared, Observed, Plan
from lettaform.session import Session
from lettaform.snapshot.agent_file_import import (
    blocks_of,
    importable,
    message_problems,
    only_agent,
    same_history,
    tools_of,
)
from lettaform.snapshot.agent_file_read import AgentFile, secrets_of
from lettaform.snapshot.agent_files import without_counterpart
from lettaform.values import Ref

PATIENCE = 20.0
"""Seconds that the server has to write the messages of an agent whose creation got no answer."""


async def prepare(session: Session, address: Address, file: AgentFile, bind: Collection[str]) -> AgentImport:
    """What an import would create. PlanError with everything that keeps it from being carried out.

    bind  labels of blocks that are taken from the stack although their texts differ
    """
    desired, agent = _declared(session, address), only_agent(file)
    observed = await session.observe(whole=True)
    begun = await _begun(session, observed, address, file)
    bound, problems = _bound(desired, observed, session, blocks_of(file), bind)
    tools, left, missing = await _tools(session, observed, address, file)
    problems += [*missing, *message_problems(file)]
    model = frozenset(desired.values.keys() & {"model", "embedding"})
    problems += await session.backend.probe([(desired, model)], observed)
    if begun is None:
        problems += await _named_alike(session, desired)
    if problems:
        raise PlanError(f"{file.parsed.file} cannot be imported as {address}", problems=tuple(problems))
    return AgentImport(
        address,
        str(desired.values["name"]),
        file.parsed.file,
        begun.id if begun else None,
        len(agent["messages"]),
        tuple(label for label in blocks_of(file) if label not in bound),
        bound,
        tuple(tools),
        (*left, *_left(file)),
        begun is not None,
    )


def _declared(session: Session, address: Address) -> Desired:
    """The declaration of the agent. PlanError if there is none."""
    desired = session.manifest.objects.get(address)
    if desired is None:
        hint = "declare it first; `lettaform from-af` writes the declarations of an agent file"
        raise PlanError(f"the manifest does not declare {address}", hint)
    if desired.kind != "agent" or desired.external or desired.created_with:
        raise PlanError(f"{address} is not an agent of this stack", "name one that the manifest declares: agents.KEY")
    return desired


async def _begun(session: Session, observed: Observed, address: Address, file: AgentFile) -> Live | None:
    """The agent of an import that was killed; None if there is no agent. PlanError if it is there otherwise."""
    live = observed.objects.get(address)
    if live is None:
        return None
    if address in observed.state.ids:
        raise PlanError(
            f"{address} is already {live.id}", "an agent file creates another agent: give it another address"
        )
    if not same_history(file, await session.backend.export(live)):
        raise _another(address, live.id, file)
    return live


def _another(address: Address, id: str, file: AgentFile) -> PlanError:
    message = f"{address} is {id}, and has not the messages of {file.parsed.file}"
    return PlanError(message, f"`lettaform import '{address}' {id}` adopts it as it is")


async def _named_alike(session: Session, desired: Desired) -> list[Problem]:
    """The problem that the server has an agent of this name already."""
    name = desired.values["name"]
    found = await session.backend.candidates(replace(desired, external=External(name=name)))
    taken = [live for live in found if live.name == name]
    if not taken:
        return []
    owner = f", of stack `{taken[0].stack}`" if taken[0].stack else ""
    adopts = f"`lettaform import '{desired.address}' {taken[0].id}` adopts it; "
    hint = f"{'' if owner else adopts}another `name` creates another agent"
    return [Problem(f"the server has an agent `{name}` already: {taken[0].id}{owner}", desired.place_of("name"), hint)]


# --- blocks and tools ------------------------------------------------------------------------------------------------


def _bound(
    desired: Desired,
    observed: Observed,
    session: Session,
    blocks: Mapping[str, Mapping[str, Any]],
    bind: Collection[str],
) -> tuple[dict[str, Address], list[Problem]]:
    """Label to the shared block that the manifest gives the agent, of those that the file has, too."""
    bound: dict[str, Address] = {}
    problems = list[Problem]()
    for ref in desired.values.get("blocks") or ():
        target = session.manifest.objects.get(ref.address) if isinstance(ref, Ref) else None
        live = observed.objects.get(ref.address) if target else None
        label = live.name if live else str(target.values.get("label", "")) if target else ""
        if target is None or label not in blocks:
            continue
        bound[label] = target.address
        value = blocks[label]["value"]
        if live is None:
            hint = f"`lettaform apply --exclude '{desired.address}'` creates it"
            problems.append(
                Problem(f"{target.address} does not exist yet, and the file has a block `{label}`", hint=hint)
            )
        elif live.values.get("value") != value and label not in bind:
            message = f"the block `{label}` of the file has another text than {target.address}"
            hint = f"`--bind {label}` takes the block of the stack, and leaves the text of the file out"
            problems.append(Problem(message, desired.place_of("blocks"), hint))
    for label in sorted({*bind} - bound.keys()):
        message = f"--bind {label}: {desired.address} has no shared block with this label that the file has, too"
        problems.append(Problem(message, desired.place_of("blocks")))
    return bound, problems


async def _tools(
    session: Session, observed: Observed, address: Address, file: AgentFile
) -> tuple[list[str], list[NotDeclared], list[Problem]]:
    """The names of the tools that the server has, those that it no longer has, and those that must be created first."""
    table = kinds()["tool"]
    owned = {live.name for live in observed.objects.values() if live.kind == "tool"}
    declared = {
        str(table.naming.derive(each.values)): a for a, each in session.manifest.objects.items() if each.kind == "tool"
    }
    others = [name for name in tools_of(file) if name not in owned]
    found = await together(_exists(session, name) for name in others)
    known = owned | {name for name, exists in zip(others, found, strict=True) if exists}
    names, left, problems = list[str](), list[NotDeclared](), list[Problem]()
    for name, tool in tools_of(file).items():
        if name in known:
            names.append(name)
        elif name in declared:
            hint = f"`lettaform apply --exclude '{address}'` creates it"
            problems.append(
                Problem(f"{declared[name]} does not exist yet, and the agent of the file has it", hint=hint)
            )
        elif tool.get("source_code"):
            message = f"the server has no tool `{name}`, which the agent of the file has"
            problems.append(
                Problem(message, hint="declare it; `lettaform from-af` writes its source and its declaration")
            )
        else:
            left.append(NotDeclared(f"tool `{name}`", "the server has none of this name"))
    return names, left, problems


async def _exists(session: Session, name: str) -> bool:
    place = next(iter(session.manifest.objects.values())).place
    wanted = Desired(Address.of("tools", "any"), "tool", {}, place, external=External(name=name))
    return any(live.name == name for live in await session.backend.candidates(wanted))


def _left(file: AgentFile) -> Iterator[NotDeclared]:
    """What of a file the agent does not get."""
    agent, body = only_agent(file), file.body
    yield from without_counterpart(body)
    if names := sorted(secrets_of(agent)):
        yield NotDeclared(f"secrets {', '.join(names)}", "the next apply writes those that the manifest declares")
    for source in body["sources"]:
        yield NotDeclared(
            f"folder `{source['name']}`", "the next apply attaches the folders that the manifest declares"
        )
    loose = [each["label"] for each in body["blocks"] if each["id"] not in agent["block_ids"]]
    yield from (NotDeclared(f"block `{label}`", "the agent of the file does not have it") for label in loose)


# --- on the server ---------------------------------------------------------------------------------------------------


async def carry_out(
    session: Session, found: AgentImport, file: AgentFile, apply: Callable[[Plan], Awaitable[None]]
) -> AgentImport:
    """Create the agent, attach the blocks of the stack, and adopt it. The lock of the stack is held.

    apply  carries out a plan. Raises what fails
    """
    id = found.id or await _create(session, found, file)
    await _wait_for_history(session, found.address, id, file)
    observed = await session.observe()
    _, blocks = await session.backend.one("agent", id)
    held = {block.id for block in blocks}
    members = {label: observed.objects[address].id for label, address in found.bound.items()}
    steps = tuple(
        Attach(
            f"{found.address}.blocks.{label}", found.address, "agent", id=id, field="blocks", member=member, shown=label
        )
        for label, member in members.items()
        if member not in held
    )
    if steps:
        await apply(Plan(session.stack, observed.url, observed.version, steps=steps, state=observed.state))
    await apply(await session.adopt(found.address, id))
    return replace(found, id=id)


async def _create(session: Session, found: AgentImport, file: AgentFile) -> str:
    declared, agent = session.manifest.objects[found.address].values, only_agent(file)
    config = {"model": agent.get("llm_config") or {}, "embedding": agent.get("embedding_config") or {}}
    wanted = {name: str(declared[name]) for name in config if declared.get(name) is not None}
    handles = {name: handle for name, handle in wanted.items() if config[name].get("handle") != handle}
    body = importable(file, found.name, found.own, found.tools, handles)
    return await session.backend.import_agent(session.stack, found.address, body, handles)


async def _wait_for_history(session: Session, address: Address, id: str, file: AgentFile) -> None:
    """Wait until the agent has its messages: one whose creation got no answer may get them later."""
    until = time.monotonic() + PATIENCE
    while not same_history(file, await session.backend.export((await session.backend.one("agent", id))[0])):
        if time.monotonic() > until:
            raise _another(address, id, file)
        await asyncio.sleep(0.5)
