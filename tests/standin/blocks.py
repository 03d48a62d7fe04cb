"""`/v1/blocks/`: labelled text. Labels are unique only within an agent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from tests.standin.lists import matches_tags, page, page_of
from tests.standin.server import DATABASE, Ask, Body, Refusal, StandIn, absent, on, taken
from tests.standin.validate import check

FIELDS = {
    "value": "str",
    "limit": "int",
    "project_id": "str?",
    "template_name": "str?",
    "is_template": "bool",
    "label": "str!",
    "read_only": "bool",
    "description": "str?",
    "metadata": "dict?",
    "hidden": "bool?",
    "tags": "strs?",
}
# 0.16.8 treats null as "no change", except for these two
UPDATE = {**FIELDS, "value": "str?", "limit": "int?", "label": "str?"}
# fmt: off
_DEFAULTS: Mapping[str, Any] = {
    "value": "", "limit": 100_000, "project_id": None, "template_name": None, "is_template": False,
    "template_id": None, "base_template_id": None, "deployment_id": None, "entity_id": None,
    "preserve_on_migration": False, "label": None, "read_only": False, "description": None, "metadata": {},
    "hidden": None, "id": None, "created_by_id": None, "last_updated_by_id": None, "tags": [],
}
# fmt: on
_DESCRIBED = ("human", "persona")
COMPILED = ("value", "description", "label", "limit", "read_only")


def create(server: StandIn, fields: Mapping[str, Any], *, inline: bool = False) -> Body:
    """Create a block; the answer shows tags as sent."""
    fields = {key: value for key, value in fields.items() if value is not None and key in FIELDS}
    block = {**_DEFAULTS, **fields, "id": server.id("block")}
    block["value"] = block["value"].replace("\0", "")  # 0.16.8 silently drops NUL
    _fits(block)
    shown = dict(block)
    if block["label"] in _DESCRIBED and block["description"] is None:
        shown["description"] = f"The {block['label']} block: (the server's own words)"
        if inline:  # else 0.16.8 answers it, and stores none
            block = dict(shown)
    server.tables.blocks[block["id"]] = {**block, "tags": list(dict.fromkeys(block["tags"]))}
    return shown


def _fits(block: Mapping[str, Any]) -> None:
    # 0.16.8 does not check a value against its limit; only the size of the column counts
    if not -(2**31) <= block["limit"] < 2**31:
        raise Refusal(500, DATABASE)


def update(server: StandIn, block: Body, patch: Mapping[str, Any]) -> Body:
    """Replace the fields that are given and not null; recompile the prompts that show the block."""
    patch = {key: value for key, value in patch.items() if value is not None and key in UPDATE}
    if "value" in patch:
        patch["value"] = patch["value"].replace("\0", "")
    _fits(block | patch)
    for agent in users(server, block["id"]):
        others = [server.tables.blocks[id]["label"] for id in agent["_blocks"] if id != block["id"]]
        if patch.get("label") in others and patch["label"] != block["label"]:
            columns = {"agent_id": agent["id"], "block_label": patch["label"]}
            raise taken("Block", "unique_label_per_agent", columns)
    shows = any(block[key] != patch[key] for key in COMPILED if key in patch)
    answer = {**block, **patch}
    if "tags" in patch and sorted(patch["tags"]) == sorted(block["tags"]):
        answer["tags"] = list(block["tags"])
    block.update(patch | {"tags": list(dict.fromkeys(answer["tags"]))})
    if shows:
        for agent in users(server, block["id"]):
            agent["_compiled"] = compiled(server, agent)
    return answer


def compiled(server: StandIn, agent: Body, isolated: Iterable[Body] = ()) -> str:
    """The prompt that the model sees; the wording is ours. `isolated`: blocks in place of those with their labels."""
    own = {block["label"]: block for block in isolated}
    shown = [own.get(block["label"], block) for block in map(server.tables.blocks.__getitem__, agent["_blocks"])]
    parts = [f"<{b['label']}>\n{b['description'] or ''}\n{b['value']}\n</{b['label']}>" for b in shown]
    return "\n\n".join([agent["system"], *parts])


def users(server: StandIn, id: str) -> list[Body]:
    """The agents that have a block."""
    return [agent for agent in server.tables.agents.values() if id in agent["_blocks"]]


def find(server: StandIn, id: str) -> Body:
    """A block, or 404."""
    if id not in server.tables.blocks:
        raise absent("Block", id)
    return server.tables.blocks[id]


@on("POST", "/v1/blocks/")
def _create(server: StandIn, ask: Ask) -> Body:
    body = ask.body
    if isinstance(body, dict) and body.get("value") is None:
        body = {**body, "value": ""}
    return create(server, check(body, FIELDS))


@on("GET", "/v1/blocks/")
def _list(server: StandIn, ask: Ask) -> list[Body]:
    counts = {word: ask.query.get_list(f"connected_to_agents_count_{word}") for word in ("eq", "gt", "lt")}
    if not any(counts.values()):
        shown = page_of(ask, server.tables.blocks, lambda block: _matches(ask, block), order="asc")
    else:
        numbers = Counter(id for agent in server.tables.agents.values() for id in agent["_blocks"])
        counted = (block for block in server.tables.blocks.values() if _fits_counts(numbers[block["id"]], counts))
        found = [block for block in counted if _matches(ask, block)]
        # 0.16.8 sorts by id as soon as agents are counted, while its cursor goes by creation: pages have gaps then
        shown = page(ask, found, all_ids=list(server.tables.blocks), order="asc", by=lambda block: str(block["id"]))
    return [_show(server, block) for block in shown]


def _show(server: StandIn, block: Body) -> Body:
    return {**block, "tags": server.shuffled(block["tags"])}


def _fits_counts(number: int, counts: Mapping[str, list[str]]) -> bool:
    fits = not counts["eq"] or str(number) in counts["eq"]
    fits = fits and all(number > int(bound) for bound in counts["gt"])
    # 0.16.8 does not find a block without agents here, unless 0 or `lt` is requested
    fits = fits and (number > 0 or not counts["gt"] or bool(counts["lt"]) or "0" in counts["eq"])
    return fits and all(number < int(bound) for bound in counts["lt"])


def _matches(ask: Ask, block: Body) -> bool:
    query = ask.query
    if query.get("name"):  # 0.16.8 searches a column that is always empty
        return False
    for name in ("label", "project_id"):
        if query.get(name) and block[name] != query[name]:
            return False
    for name in ("label", "value", "description"):
        if query.get(f"{name}_search") and query[f"{name}_search"].lower() not in (block[name] or "").lower():
            return False
    if block["hidden"] and not ask.flag("show_hidden_blocks"):
        return False
    return matches_tags(ask, block["tags"], count_duplicates=True)


@on("GET", "/v1/blocks/count")
def _count(server: StandIn, ask: Ask) -> int:
    # 0.16.8 counts hidden blocks, unlike the list
    blocks = list(server.tables.blocks.values())
    if ask.query.get("label"):
        blocks = [block for block in blocks if block["label"] == ask.query["label"]]
    return sum(matches_tags(ask, block["tags"], count_duplicates=True) for block in blocks)


@on("GET", "/v1/blocks/{block_id}")
def _get(server: StandIn, ask: Ask) -> Body:
    id = ask.names["block_id"]
    if id not in server.tables.blocks:
        raise Refusal(404, f"Block with id '{id}' not found")
    return _show(server, server.tables.blocks[id])


@on("PATCH", "/v1/blocks/{block_id}")
def _patch(server: StandIn, ask: Ask) -> Body:
    body = check(ask.body, UPDATE | {"label": "str?"})
    return update(server, find(server, ask.names["block_id"]), body)


@on("DELETE", "/v1/blocks/{block_id}")
def _delete(server: StandIn, ask: Ask) -> None:
    block = find(server, ask.names["block_id"])
    for agent in users(server, block["id"]):  # 0.16.8 detaches it from every agent without a warning
        del agent["_blocks"][block["id"]]
    del server.tables.blocks[block["id"]]
