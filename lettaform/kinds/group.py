"""Groups of agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from lettaform.kinds.base import Kind, attr
from lettaform.kinds.traits import BlocksDelete


# fmt: off
class Group(Kind, section="groups", path="/v1/groups/", name="description", mark="description"):
    """Several agents that answer messages together."""

    description: str = attr("Purpose of the group. Default: the key.", mergeable=True, constraints={"min_length": 1})
    type: Literal["round_robin", "supervisor", "dynamic"] = attr("How the next speaker is chosen: `round_robin` takes turns; with `supervisor` and `dynamic` the manager chooses.", write="manager_type", required=True, immutable=True)
    agents: list[str] = attr("Members, in order: keys of `agents`.", to="agent", write="agent_ids", required=True)
    manager: str = attr("Agent that manages the group: a key of `agents`. Not allowed for `round_robin`.", to="agent", write="manager_agent_id", immutable=True, relation=BlocksDelete())
    max_turns: int = attr("Maximum number of turns per message.", group="manager", constraints={"ge": 1})
    frequency: int = attr("Number of turns between two updates of the memory. Only for groups that `sleeptime` creates.", write="sleeptime_agent_frequency", group="manager", constraints={"ge": 1})
    termination_token: str = attr("Text with which the manager ends the turns.", group="manager")
    # fmt: on

    initial: ClassVar[Mapping[str, Any]] = {"frequency": 5}
    unmanaged: ClassVar[Mapping[str, str]] = {
        "manager_config": "type, manager, max_turns, frequency and termination_token manage it",
        "hidden": "0.16.8 accepts it and does not store it",
        "project_id": "0.16.8 accepts it and does not store it",
        "shared_block_ids": "0.16.8 attaches them to the members at creation, and answers []; use `blocks` of the members",
    }

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        """Send the manager's properties as one map, always complete: the server drops what is left out."""
        names = ("manager_type", "manager_agent_id", "max_turns", "sleeptime_agent_frequency", "termination_token")
        new = {name: body.pop(name) for name in names if name in body}
        if new:
            now = {name: live[name] for name in names if live.get(name) is not None} if live else {}
            body["manager_config"] = now | new
        return body

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        managed, kind = values.get("manager") is not None, values.get("type")
        if kind is not None and values.get("frequency") is not None:
            return [("frequency", "is only allowed for groups that `sleeptime` creates", "use `agents.*.sleeptime: {frequency: …}`")]
        problems: list[tuple[str, str, str | None]] = []
        if kind == "round_robin" and managed:
            problems.append(("manager", "is not allowed for a round_robin group", "remove it, or choose another `type`"))
        if kind in ("supervisor", "dynamic") and not managed:
            problems.append(("type", f"a {kind} group requires a `manager`", "set it to a key of `agents`"))
        # 0.16.8 answers 200 to these, and does not store them
        for field, allowed in (("max_turns", ("round_robin", "dynamic")), ("termination_token", ("dynamic",))):
            if kind is not None and kind not in allowed and values.get(field) is not None:
                types = " or ".join(f"`{each}`" for each in allowed)
                problems.append((field, f"is not allowed for a {kind} group", f"remove it, or set `type` to {types}"))
        if values.get("agents") == []:
            problems.append(("agents", "is empty, and the server cannot remove all members", "add a key of `agents`, or remove the group"))
        return problems
