"""All examples as one manifest in three phases, and the objects on a server in comparable form."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import yaml

from lettaform.kinds import kinds, sections
from lettaform.model import PlanOptions
from lettaform.ownership.state import from_pages, to_pages
from tests.faults.harness import ID

EXAMPLES = [
    path.parent
    for path in sorted((Path(__file__).parents[2] / "examples").glob("*/lettaform.yaml"))
    if path.parent.name not in ("everything", "in-action", "checks", "matches", "scale")
]
"""These examples cover every kind; those with every field, or with objects like theirs, would double the duration of
the sweep. `test_matches.py` is about agents of others."""
SECRET = "sentinel-7c1f-do-not-tell"
CONSENT = PlanOptions(prune=True, allow_destroy=("*",))


@dataclass(frozen=True)
class Phase:
    """One apply of the scenario: manifest, options, and what agents write after it."""

    name: str
    manifest: Mapping[str, Any]
    options: PlanOptions = field(default_factory=PlanOptions)
    agent_writes: tuple[tuple[str, str], ...] = ()
    """Address of an own block, and the text that its agent writes."""
    documents: Mapping[str, str] = field(default_factory=dict)
    """Files next to the manifest: path to text."""


def phases(stack: str, small: bool = False) -> tuple[Phase, ...]:
    """Create everything, change everything, destroy everything. `small`: without repetitions."""
    suffix = re.sub(r"\W", "_", stack)
    first = _combined_examples(stack, suffix)
    if small:
        first["variables"]["regions"]["default"].pop("apac")
    second = json.loads(json.dumps(first))
    agents = second["agents"]
    agents["assistant"] |= {"system": "You are brief.", "secrets": {"TOKEN": "${var.token}"}}
    agents["assistant"]["memory"]["notes"] = {"value": "Nothing yet.", "limit": 4000}
    agents["supervisor"]["blocks"] = ["rota"]
    agents["worker"]["tools"] = ["conversation_search", "memory_insert", "convert"]
    agents["meteorologist"]["agent_type"] = "memgpt_v2_agent"  # immutable: a new agent with the same memory
    del agents["researcher"]
    second["providers"]["workshop"] |= {"api_key": "${var.token}", "region": "here"}
    second["identities"]["shop"]["properties"] = {"city": "Delft", "employees": 8}
    second["folders"]["manuals"]["description"] = "Manuals of all bicycles."
    second["folders"]["prices"] = {"embedding": "letta/letta-free", "name": f"prices-{suffix}"}
    second["archives"]["sales"] = {"description": "What was sold."}
    second["groups"]["lunch"] |= {"agents": ["cashier", "foreman"], "max_turns": 4}
    second["groups"]["counter"]["type"] = "dynamic"  # immutable: a new group
    agents["cashier"] |= {"folders": ["prices"], "archive": "sales", "identities": []}
    agents["mechanic"] |= {"folders": ["prices"], "archive": None}
    second["blocks"]["rota"] = {"value": "Ann, then Bob.", "read_only": True}
    second["blocks"]["organization"]["limit"] = 6000
    second["mcp_servers"]["clock"] |= {"env": {"CLOCK_KEY": "${var.token}"}, "args": ["-u", "${folder}/clock.py"]}
    second["agents"]["timekeeper"]["tools"] = ["weekday"]
    del second["tools"]["what_time"]
    second["agents"]["diarist"]["sleeptime"] = {"frequency": 4, "description": "Sleeps well."}
    second["conversations"]["morning"] |= {"summary": "What happened.", "model": "letta/letta-free"}
    second["conversations"]["private"]["isolated"] = ["human"]  # immutable: a new conversation
    second["tools"]["advise"]["source"] = second["tools"]["advise"]["source"].replace("a coat", "a warm coat")
    second["tools"]["convert"]["return_char_limit"] = 700
    agent_writes = (
        ("agents.worker[emea].memory.customers", "Ada wrote on Monday."),
        ("agents.meteorologist.memory.persona", "I have seen much rain."),
    )
    before = {f"docs/{p.name}": p.read_text() for folder in EXAMPLES for p in folder.glob("docs/*.md")}
    before |= {p.name: _renamed(p.read_text(), suffix) for folder in EXAMPLES for p in folder.glob("*.py")}
    before |= {"docs/repairs/brakes.md": "# Brakes\n"}
    after = before | {"docs/hours.md": "# Opening hours\n\nNever.\n", "docs/more.md": "# More\n"}
    second["folders"]["handbook"]["files"] = ["docs/*.md"]
    second["archives"]["decisions"]["passages"] = [*first["archives"]["decisions"]["passages"][1:], "We open again."]
    return (
        Phase("build", first, PlanOptions(), agent_writes, before),
        Phase("change", second, CONSENT, (("agents.assistant.memory.notes", "Milk, eggs."),), after),
        Phase("destroy", second, PlanOptions(destroy=True, allow_destroy=("*",)), (), after),
    )


def _renamed(source: str, suffix: str) -> str:
    """The source of an MCP server that offers its tools under names unique to the stack."""
    return re.sub(r"^(@tool\ndef \w+)", rf"\1_{suffix}", source, flags=re.MULTILINE)


class _Loader(yaml.SafeLoader):
    folder = Path()


def _file(loader: _Loader, node: yaml.ScalarNode) -> str:
    return (loader.folder / str(node.value)).read_text()


_Loader.add_constructor("!file", _file)


def _with_contents(path: Path) -> str:
    """A manifest with the content of each file in place of `${file("PATH")}`."""

    def content(found: re.Match[str]) -> str:
        return json.dumps((path.parent / found[1]).read_text())

    return re.sub(r'\$\{file\("([^"]+)"\)\}', content, path.read_text())


def _same_variable(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two variables are equal."""
    return "default" in one and one["default"] == other.get("default")


UNIQUE = {kind.section: kind.name_field for kind in kinds().values() if kind.unique and not kind.naming.fields}
"""Sections whose names must be unique on a server, and the field with the name."""


def _combined_examples(stack: str, suffix: str) -> dict[str, Any]:
    whole: dict[str, Any] = {"stack": stack, "variables": {"token": {"secret": True, "default": SECRET}}}
    for path in (folder / "lettaform.yaml" for folder in EXAMPLES):
        loader = _Loader(_with_contents(path))
        loader.folder = path.parent
        example = loader.get_single_data()
        defaults = example.get("defaults", {}).get("agents", {})
        for name, agent in example.get("agents", {}).items():
            example["agents"][name] = {**defaults, **agent}
        for key, tool in example.get("tools", {}).items():
            if "mcp" in tool:  # all tools share one name space
                tool["name"] = f"{tool.get('name', key)}_{suffix}"
                continue
            source = (path.parent / tool["source"]).read_text()
            tool["source"] = re.sub(r"^def (\w+)", rf"def \1_{suffix}", source, flags=re.MULTILINE)
        for section, name in UNIQUE.items():
            for key, each in example.get(section, {}).items():
                each[name] = f"{key}-{suffix}"
        for section in ("variables", *sections(), "outputs"):
            merged = whole.setdefault(section, {})
            conflicts = {
                key
                for key in merged.keys() & example.get(section, {}).keys()
                if not _same_variable(merged[key], example[section][key])
            }
            assert not conflicts, f"{path}: {section} {conflicts} stand in another example, too"
            merged |= example.get(section, {})
    return whole


def write(phase: Phase, folder: Path) -> None:
    """Write the manifest of a phase and its files."""
    (folder / "lettaform.yaml").write_text(yaml.safe_dump(dict(phase.manifest), sort_keys=False))
    for path, text in phase.documents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


# --- the objects on the server ---------------------------------------------------------------------------------------


def all_objects(raw: httpx.Client, stack: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """All objects on a server, or of one stack on it."""
    mine: dict[str, Any] = {"tags": f"lettaform:stack={stack}"} if stack else {}
    every: dict[str, Any] = {"limit": 1000, "order": "asc"}
    relations = [f"agent.{name}" for name in ("blocks", "tools", "tags", "secrets", "sources", "identities")]

    def get(path: str, **params: Any) -> list[dict[str, Any]]:
        return list(raw.get(f"/v1/{path}/", params=every | params).raise_for_status().json())

    tools = [t for t in get("tools") if t["tool_type"] == "custom" and (not stack or mine["tags"] in t["tags"])]
    rest = {
        section: [body for body in get(PATHS[section].removeprefix("/v1/").strip("/")) if _belongs_to(body, stack)]
        for section in UNTAGGED
    }
    return {
        "attached": [{"id": body["id"], "agents": _users(raw, body["id"])} for body in rest["archives"]],
        "passages": [passage for body in rest["archives"] for passage in _passages(raw, body["id"])],
        "files": [file for body in rest["folders"] for file in _files(raw, body["id"])],
        **rest,
        "agents": get("agents", include=relations, show_hidden_agents=True, **mine),
        "blocks": get("blocks", show_hidden_blocks=True, **mine),
        "tools": tools,
    }


def _passages(raw: httpx.Client, archive: str) -> list[dict[str, Any]]:
    query = {"archive_id": archive, "limit": 100}  # the maximum of 0.16.8, which has no cursor
    found: dict[str, dict[str, Any]] = {}
    while True:
        page = [each["passage"] for each in raw.post("/v1/passages/search", json=query).raise_for_status().json()]
        new = {each["id"]: each for each in page if each["id"] not in found}
        found |= new
        if len(page) < 100 or not new:
            break
        query["start_date"] = page[-1]["created_at"]
    return [{key: each[key] or None for key in ("id", "text", "tags", "metadata")} for each in found.values()]


def _files(raw: httpx.Client, folder: str) -> list[dict[str, Any]]:
    query = {"limit": 1000, "include_content": True}
    return list(raw.get(f"/v1/folders/{folder}/files", params=query).raise_for_status().json())


PATHS = {kind.section: kind.path for kind in kinds().values()}
UNTAGGED = [kind.section for kind in kinds().values() if not (kind.claims_in_tags() or kind.requests.below)]


def _belongs_to(body: Mapping[str, Any], stack: str | None) -> bool:
    """Whether an object without tags belongs to a stack: by its name, our mark, or the stack's lock."""
    suffix = re.sub(r"\W", "_", stack or "")
    texts = [body.get(field) or "" for field in ("name", "server_name", "identifier_key", "description", "summary")]
    return not stack or any(text.endswith(suffix) or stack in text for text in texts)


def _users(raw: httpx.Client, archive: str) -> list[str]:
    path = f"/v1/archives/{archive}/agents"
    return [agent["id"] for agent in raw.get(path, params={"limit": 1000}).raise_for_status().json()]


_VOLATILE = {
    *("created_at", "updated_at", "created_by_id", "last_updated_by_id", "message_ids", "memory", "value_enc"),
    *("last_synced", "processing_status", "total_chunks", "chunks_embedded", "file_name"),
    *("last_run_completion", "last_run_duration_ms", "last_stop_reason", "tool_exec_environment_variables"),
}


def comparable(found: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The objects without ids, times and accidental order; duplicates stay two. The pages of a state are joined."""
    names: dict[str, str] = {}
    if "blocks" in found:
        found = {**found, "blocks": _with_joined_state(found["blocks"])}
    for kind, bodies in found.items():
        for body in bodies:
            names[body["id"]] = f"‹{kind} {_display_name(body)}›"
    return {kind: sorted((_without_ids(body, names) for body in bodies), key=repr) for kind, bodies in found.items()}


def _with_joined_state(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks, with the pages of a state joined in its head: ids of pages are digests of ids.

    Pages that no head lists are left out: after a failed delete they stay until the state is written again.
    """
    texts = {
        block["id"]: block["value"]
        for block in blocks
        if any(tag.startswith("lettaform:state=") for tag in block["tags"])
    }
    values = {id: json.loads(text) for id, text in texts.items()}
    for head in [block for block in blocks if "pages" in values.get(block["id"], {})]:
        listed = {id: texts[id] for id, page in values.items() if page.get("page") in values[head["id"]]["pages"]}
        state = from_pages({**listed, head["id"]: head["value"]})
        with mock.patch("lettaform.ownership.state.PAGE", math.inf):
            (text,) = to_pages(state)
        others = [block for block in blocks if block is not head and "page" not in values.get(block["id"], {})]
        blocks = [*others, {**head, "value": text}]
    return blocks


def unordered(value: Any) -> Any:
    """The value with sorted lists: 0.16.8 answers relations in any order."""
    if isinstance(value, Mapping):
        return {key: unordered(each) for key, each in value.items()}
    return sorted(map(unordered, value), key=repr) if isinstance(value, list) else value


def _display_name(body: Mapping[str, Any]) -> str:
    tags = [tag for tag in body.get("tags") or () if tag.startswith(("lettaform:addr=", "lettaform:state="))]
    words = (body.get(word) for word in ("name", "server_name", "label", "identifier_key", "description", "summary"))
    return ",".join(tags) or str(next(filter(None, words), None))


def _without_ids(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        plain = {key: _without_ids(each, names) for key, each in value.items() if key not in _VOLATILE}
        if "id" in plain and plain["id"] == "‹another›":
            del plain["id"]
        return plain
    if isinstance(value, list):
        return sorted((_without_ids(each, names) for each in value), key=repr)
    if isinstance(value, str):
        if value.startswith("{") and '"serial"' in value:  # the state of the stack
            state = json.loads(value)
            marks = {
                address: _without_reference_digests(address, mark) for address, mark in state.get("marks", {}).items()
            }
            # how often it was applied differs after a fault
            of_runs = dict.fromkeys(("key", "serial", "history", "written"))
            return _without_ids({**state, **of_runs, "marks": marks}, names)
        return ID.sub(lambda id: names.get(id[0], "‹another›"), value)
    return value


def _without_reference_digests(address: str, mark: dict[str, Any]) -> dict[str, Any]:
    """A mark without the digests of references, because they are digests of ids."""
    lines = kinds()[sections()[address.split(".")[0]]].attrs()
    base = mark.get("base", {}).items()
    return {**mark, "base": {path: None if lines[path.split(".")[0]].to else d for path, d in base}}


def differences(have: Any, want: Any, path: str = "") -> Iterable[str]:
    """Where two values differ, line by line."""
    if isinstance(have, Mapping) and isinstance(want, Mapping):
        for key in sorted(have.keys() | want.keys()):
            yield from differences(have.get(key), want.get(key), f"{path}.{key}")
    elif isinstance(have, list) and isinstance(want, list):
        for item in have:
            if item not in want or have.count(item) > want.count(item):
                yield f"{path}: too much: {_short(item)}"
        for item in want:
            if item not in have:
                yield f"{path}: lacks: {_short(item)}"
    elif have != want:
        yield f"{path}: {have!r}, not {want!r}"


_SHOWN_FIELDS = ("name", "label", "tags", "value", "metadata", "identifier_key", "blocks", "tool_rules")


def _short(item: Any) -> str:
    if isinstance(item, Mapping):
        item = {key: value for key, value in item.items() if key in _SHOWN_FIELDS}
    return repr(item)[:1500]
