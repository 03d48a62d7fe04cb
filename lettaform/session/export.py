"""An agent or a conversation to an agent file that others may have."""

from __future__ import annotations

from dataclasses import replace

from lettaform.backend import Backend
from lettaform.errors import PlanError, Unavailable
from lettaform.kinds import kinds
from lettaform.snapshot.agent_file_export import Exported, lost, shareable


async def export(backend: Backend, kind: str, id: str) -> Exported:
    """The agent file of an object. PlanError if no agent file can hold it; NotFound if it does not exist."""
    table = kinds()[kind]
    if table.agent_file is None:
        holding = " and ".join(each.section for each in kinds().values() if each.agent_file)
        raise PlanError(f"no agent file holds {table.section}", f"only {holding} are exported; others come with them")
    live, blocks = await backend.one(kind, id)
    owner, agent = table.owner_line(), live
    if owner:
        agent, blocks = await backend.one("agent", str(live.values[owner.name]))
    (archives,) = await backend.contents([(agent, "archive", ())])
    agent = replace(agent, values={**agent.values, "archive": archives[0] if archives else None})
    file = await backend.export(live)
    try:
        messages = len(await backend.messages(live))
    except Unavailable:  # 0.16.8 answers 500 if a message that was imported has not the form of its own
        messages = None
    talks = {} if owner else await backend.owned("conversation", [agent.id])
    wanted = [(to, id) for to, field in (("archive", "archive"), ("identity", "identities")) for id in agent.ids(field)]
    found = await backend.fetch(wanted)
    others = [*blocks, *(each for every in found.objects.values() for each in every)]
    plain = shareable(file, agent.values.get("secrets") or {})
    missing = lost(agent, plain, others, messages, sum(map(len, talks.values())))
    return Exported(agent.name, plain, tuple(missing))
