"""A saved plan, as JSON, to a Plan to show. The inverse of `data.plan`; what a plan hides stays hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lettaform import model
from lettaform.address import Address
from lettaform.errors import Place, Problem
from lettaform.values import Patch, Ref, Secret


def to_plan(value: Mapping[str, Any]) -> model.Plan:
    """The changes, notices and warnings of a plan, from what `data.plan` returned. Raises ValueError."""
    try:
        return model.Plan(
            stack=value["stack"],
            url=value["server"]["url"],
            version=value["server"]["version"],
            environment=value.get("environment"),
            options=model.PlanOptions(shard=model.Shard.parse(value.get("shard", str(model.WHOLE)))),
            changes=tuple(map(_saved_change, value["changes"])),
            unchanged=value["summary"].get("unchanged", 0),
            runtime=tuple(map(_saved_runtime, value["runtime"])),
            unmanaged=tuple(
                model.Unmanaged(each["kind"], each["id"], Address.parse(each["address"]), each["reason"])
                for each in value["unmanaged"]
            ),
            warnings=tuple(map(_saved_problem, value.get("warnings", ()))),
            names=dict(value.get("names", {})),
            shared={
                Address.parse(each): tuple(map(Address.parse, users)) for each, users in value.get("shared", {}).items()
            },
            prompts=tuple(map(_saved_prompt, value.get("prompts", ()))),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no plan: {error}") from error


def _saved_change(value: Mapping[str, Any]) -> model.Change:
    rest = {name: each for name, each in value.items() if name not in ("address", "fields", "place", "notes")}
    return model.Change(
        Address.parse(value["address"]),
        fields_changed=tuple(map(_saved_field, value["fields"])),
        place=Place(**value["place"]) if value["place"] else None,
        notes=tuple(value.get("notes", ())),
        **rest,
    )


def _saved_prompt(value: Mapping[str, Any]) -> model.PromptChange:
    sizes = (value["id"], value["before"], value["after"], value.get("window"), value.get("context"))
    return model.PromptChange(Address.parse(value["address"]), *sizes)


def _saved_runtime(value: Mapping[str, Any]) -> model.AgentChange:
    address, live_moved = Address.parse(value["address"]), value.get("live_moved", True)
    return model.AgentChange(address, value["path"], "", seed_moved="seed_moved" in value, live_moved=live_moved)


def _saved_field(value: Mapping[str, Any]) -> model.FieldChange:
    old, new = (Secret("", "") if value["secret"] else _saved_value(value[side]) for side in ("old", "new"))
    return model.FieldChange(value["path"], old, new, value["policy"], value["reason"], value["secret"])


def _saved_value(value: Any) -> Any:
    """The inverse of `data.to_json`, for display."""
    if isinstance(value, list):
        return [_saved_value(each) for each in value]
    if isinstance(value, str) and value.startswith("${") and value.endswith(".id}"):
        return Ref(Address.parse(value[2:-4]))
    if isinstance(value, Mapping) and value.keys() in ({"add"}, {"add", "remove"}):
        return Patch(tuple(_saved_value(value["add"])), tuple(_saved_value(value.get("remove", []))))
    if isinstance(value, Mapping) and value.keys() in ({"set"}, {"set", "remove"}):
        return Patch((), tuple(value.get("remove", ())), tuple(value["set"].items()))
    return value


def _saved_problem(value: Mapping[str, Any]) -> Problem:
    place = Place(value["file"], value["line"], value["column"]) if value["file"] else None
    rule = value.get("id") or ""
    given = (value["hint"], value["address"], value["field"], value["severity"])
    return Problem(value["message"], place, *given, rule=rule)
