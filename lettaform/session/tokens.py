"""Agents to what fills their context windows, as the server counts it; and a plan to the same with these numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lettaform.backend import Queries
from lettaform.backend.concurrency import together
from lettaform.errors import NotFound, Problem, ServerError
from lettaform.model import Context, Live, Observed, Plan


@dataclass(frozen=True)
class Counted:
    """The contexts by the id of the agent, and why some are missing."""

    contexts: Mapping[str, Context]
    problems: tuple[Problem, ...] = ()


async def count_tokens(server: Queries, agents: Iterable[Live]) -> Counted:
    """The contexts of these agents: one request for each.

    A server that cannot count for a model, such as one without a key of its provider, is asked once for that model. An
    agent that is deleted meanwhile is left out.
    """
    by_model: dict[str, list[Live]] = {}
    for live in agents:
        by_model.setdefault(str(live.values.get("model") or ""), []).append(live)
    found = await together(_of_model(server, model, every) for model, every in by_model.items())
    contexts = {id: context for each in found for id, context in each.contexts.items()}
    return Counted(contexts, tuple(problem for each in found for problem in each.problems))


async def _of_model(server: Queries, model: str, agents: list[Live]) -> Counted:
    """The contexts of agents with one model: the first agent shows whether the server can count for it."""
    contexts: dict[str, Context] = {}

    async def read(live: Live) -> None:
        try:
            contexts[live.id] = await server.tokens(live)
        except NotFound:
            return

    try:
        await read(agents[0])
        await together(map(read, agents[1:]))
    except ServerError as error:
        message = f"the server does not count the tokens of agents with the model {model}: {error.message}"
        hint = "what is shown of them is estimated"
        return Counted(contexts, (Problem(message, None, hint, severity="warning"),))
    return Counted(contexts)


async def with_contexts(server: Queries, plan: Plan, observed: Observed) -> Plan:
    """The plan, with the tokens in the whole context of each agent whose prompt changes."""
    lives = [observed.objects[each.address] for each in plan.prompts if each.address in observed.objects]
    counted = await count_tokens(server, lives)
    prompts = []
    for each in plan.prompts:
        context = counted.contexts.get(each.id or "")
        prompts.append(replace(each, context=context.used, window=each.window or context.window) if context else each)
    return replace(plan, prompts=tuple(prompts), warnings=(*plan.warnings, *counted.problems))
