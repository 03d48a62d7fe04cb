"""A group: agents that answer together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from lettaform.kinds.base import Kind, attr


# fmt: off
class Group(Kind, section="groups", path="/v1/groups/", name="description", mark="description"):
    """Agents that answer together."""

    description: str = attr("What it is for. The key, unless given.", constraints={"min_length": 1})
    type: Literal["round_robin", "supervisor", "dynamic"] = attr("Who speaks next: each in turn, or whom the manager names.", write="manager_type", birth=True, fixed=True)
    agents: list[str] = attr("Its members: keys of `agents`, in their order.", to="agent", write="agent_ids", birth=True)
    manager: str = attr("Who leads it: a key of `agents`; not of a round robin.", to="agent", write="manager_agent_id", fixed=True, binds=True)
    max_turns: int = attr("After how many turns it ends.", group="manager", constraints={"ge": 1})
    frequency: int = attr("How many turns pass between two looks at the memory; of groups that `sleeptime` brings.", write="sleeptime_agent_frequency", group="manager", constraints={"ge": 1})
    termination_token: str = attr("What a manager says to end it.", group="manager")
    # fmt: on

    unmanaged: ClassVar[Mapping[str, str]] = {
        "manager_config": "type, manager, max_turns and termination_token say it",
        "hidden": "0.16.8 accepts it and keeps nothing of it",
        "project_id": "0.16.8 accepts it and keeps nothing of it",
        "shared_block_ids": "0.16.8 attaches them to the members at birth, and answers []; members say it: `blocks`",
    }

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        """The manager's words go in one map, and all of them at once."""
        words = ("manager_type", "manager_agent_id", "max_turns", "sleeptime_agent_frequency", "termination_token")
        said = {word: body.pop(word) for word in words if word in body}
        if said:
            now = {word: live[word] for word in words if live.get(word) is not None} if live else {}
            body["manager_config"] = now | said
        return body

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        leads, kind = values.get("manager") is not None, values.get("type")
        if kind is not None and values.get("frequency") is not None:
            return [("frequency", "only groups that `sleeptime` brings have it", "`agents.*.sleeptime: {frequency: …}`")]
        problems: list[tuple[str, str, str | None]] = []
        if kind == "round_robin" and leads:
            problems.append(("manager", "a round robin has no manager", "leave it out, or choose another `type`"))
        if kind in ("supervisor", "dynamic") and not leads:
            problems.append(("type", f"a {kind} group needs a `manager`", "a key of `agents`"))
        # 0.16.8 answers 200 to these, and keeps nothing of them
        for field, able in (("max_turns", ("round_robin", "dynamic")), ("termination_token", ("dynamic",))):
            if kind is not None and kind not in able and values.get(field) is not None:
                told = " or ".join(f"`{each}`" for each in able)
                problems.append((field, f"a {kind} group has none", f"leave it out, or choose {told} as its `type`"))
        if values.get("agents") == []:
            problems.append(("agents", "is empty, and the server never empties a group", "name a key of `agents`, or drop the group"))
        return problems
