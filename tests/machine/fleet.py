"""A small manifest as plain data, random changes to it, and the files that it is written to."""

from __future__ import annotations

import copy
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from lettaform import flow
from lettaform.errors import ManifestError
from lettaform.model import Manifest

UNSET: Any = object()
Spec = dict[str, Any]
"""The manifest's sections, `moved`, `removed` and `imports`. Secrets are plain text here.

`edition`: version of the documents.
"""

SOURCE = '''def {name}(city: str) -> str:
    """{about}

    Args:
        city (str): Which city.

    Returns:
        str: The weather.
    """
    return city
'''
_POLICY = ["seed", "enforce", "yield", "merge", "ignore"]
_TAGS = [UNSET, None, [], ["x"], ["y", "x"], ["z"]]
_METADATA = [UNSET, None, {}, {"k": 1}, {"k": 2, "n": {"x": 1}}, {"n": {"x": 2, "y": []}}]
AGENT: Mapping[str, Sequence[Any]] = {
    "system": [UNSET, None, "Be kind.", "Be brief.", "ünï\n"],
    "description": [UNSET, None, "", "of ours", "ours anew"],
    "tags": _TAGS,
    "metadata": _METADATA,
    "secrets": [UNSET, None, {"KEY": "sekret-one"}, {"KEY": "sekret-two"}, {"OTHER": "sekret-three"}],
    "context_window": [UNSET, 8000, 16000],
    "max_tokens": [UNSET, 700, 900],
    "timezone": [UNSET, "Europe/Berlin", "Asia/Tokyo"],
    "tool_rules": [UNSET, None, [], [{"type": "exit_loop", "tool_name": "send_message"}]],
    "model_settings": [UNSET, {"provider_type": "openai", "temperature": 0.25}],
    "compaction_settings": [UNSET, {"clip_chars": 900}],
    "response_format": [UNSET, {"type": "json_object"}],
    "message_buffer_autoclear": [UNSET, False, True],
    "max_files_open": [UNSET, 3, 4],
    "sleeptime": [UNSET, True, False, {"frequency": 3}, {"frequency": 4, "description": "Sleeps well."}],
    "name": ["ann", "bob", "Somebody else"],
    "agent_type": [UNSET, "letta_v1_agent", "memgpt_v2_agent"],
    "protect": [UNSET, True],
    "policy.tools": [UNSET, "enforce", "ignore"],
    "policy.blocks": [UNSET, "enforce"],
    "policy.tags": [UNSET, "enforce"],
    "policy.system": [UNSET, "seed", "yield", "merge", "ignore"],
    "policy.description": [UNSET, "seed", "yield", "merge", "ignore"],
    "policy.metadata": [UNSET, "yield"],
}
BLOCK: Mapping[str, Sequence[Any]] = {
    "value": [UNSET, "", "One.", "Two.", "Three, ünï.", "One.\nTwo.\nThree.", "Zero.\nTwo.\nThree."],
    "description": [UNSET, None, "about one", "about two"],
    "limit": [UNSET, 2000, 6000],
    "read_only": [UNSET, True, False],
    "tags": _TAGS,
    "metadata": _METADATA,
    "label": [UNSET, "org", "extra"],
    "policy.value": [UNSET, *_POLICY],
    "policy.description": [UNSET, *_POLICY],
    "policy.label": [UNSET, "seed", "enforce", "yield", "ignore"],
}
TOOL: Mapping[str, Sequence[Any]] = {
    "about": ["Tell.", "Tell it again."],
    "name": ["", "_new"],
    "tags": _TAGS,
    "description": [UNSET, "for people", "for everybody"],
    "return_char_limit": [UNSET, 700, 900],
    "default_requires_approval": [UNSET, True, False],
    "pip_requirements": [UNSET, [{"name": "rich", "version": "13"}]],
    "policy.source": [UNSET, "seed", "ignore"],
}
_TEXTS = [UNSET, None, "of ours", "ours anew"]
_POLICIES = [UNSET, "seed", "yield", "ignore"]
ARCHIVE: Mapping[str, Sequence[Any]] = {
    "name": [UNSET, "Sold", "Same"],
    "description": _TEXTS,
    "passages": [UNSET, None, [], ["We open."], ["We open.", {"text": "We close.", "tags": ["x"]}], ["We close."]],
    "policy.passages": [UNSET, "enforce", "seed"],
    "policy.description": [*_POLICIES, "merge"],
}
IDENTITY: Mapping[str, Sequence[Any]] = {
    "name": ["Ada", "Bob", "Ünï"],
    "identity_type": ["user", "org", "other"],
    "properties": [UNSET, {"city": "Delft"}, {"city": "Gouda", "age": 8}, {"age": 9}],
    "policy.name": _POLICIES,
    "policy.properties": _POLICIES,
}
FOLDER: Mapping[str, Sequence[Any]] = {
    "description": _TEXTS,
    "instructions": _TEXTS,
    "metadata": _METADATA,
    "files": [UNSET, None, [], ["docs/a.md"], ["docs/*.md"], ["docs/b.md", "docs/c.md"]],
    "embedding": [UNSET, "letta/letta-free"],
    "policy.files": [UNSET, "enforce", "seed"],
    "policy.description": _POLICIES,
}
GROUP: Mapping[str, Sequence[Any]] = {
    "description": [UNSET, "of ours", "ours anew"],
    "type": ["round_robin", "supervisor", "dynamic"],
    "max_turns": [UNSET, 3, 4],
    "termination_token": [UNSET, "END", "STOP"],
    "policy.description": _POLICIES,
}
CONVERSATION: Mapping[str, Sequence[Any]] = {
    "summary": [UNSET, "of ours", "ours anew"],
    "isolated": [UNSET, [], ["persona"]],
    "model_settings": [UNSET, {"provider_type": "openai", "temperature": 0.25}],
    "policy.summary": _POLICIES,
}
PROVIDER: Mapping[str, Sequence[Any]] = {
    "api_key": ["sekret-one", "sekret-two", "sekret-three"],
    "region": [UNSET, "here", "there"],
    "provider_type": ["openai", "vllm"],
    "policy.region": _POLICIES,
}
MCP_SERVER: Mapping[str, Sequence[Any]] = {
    "env": [UNSET, None, {}, {"KEY": "sekret-one"}, {"KEY": "sekret-two", "OTHER": "sekret-three"}],
    "args": [[], ["-u"]],
    "policy.env": _POLICIES,
}
FIELDS = {
    "agents": AGENT,
    "blocks": BLOCK,
    "tools": TOOL,
    "archives": ARCHIVE,
    "identities": IDENTITY,
    "folders": FOLDER,
    "groups": GROUP,
    "conversations": CONVERSATION,
    "providers": PROVIDER,
    "mcp_servers": MCP_SERVER,
}
KEYS = {
    "agents": ("ann", "bob", "cy"),
    "blocks": ("org", "team"),
    "tools": ("t1", "t2", "now"),
    "archives": ("sold", "told"),
    "identities": ("ada", "shop"),
    "folders": ("manuals", "prices"),
    "groups": ("panel", "crew"),
    "conversations": ("talk", "chat"),
    "providers": ("work", "home"),
    "mcp_servers": ("clock",),
}
KEEPS_NAME = {
    "agents": "name",
    "blocks": "label",
    "tools": "key",
    "archives": "name",
    "identities": "key",
    "folders": "key",
    "groups": "description",
    "conversations": "summary",
    "providers": "key",
    "mcp_servers": "key",
}
"""The field that keeps an object's name when its key moves."""
REFERS: Mapping[str, Mapping[str, str]] = {
    "agents": {
        "blocks": "blocks",
        "tools": "tools",
        "archive": "archives",
        "folders": "folders",
        "identities": "identities",
    },
    "groups": {"agents": "agents", "manager": "agents"},
    "conversations": {"agent": "agents"},
    "tools": {"mcp": "mcp_servers"},
}
SINGLE = ("archive", "manager", "agent", "mcp")
"""Fields that refer to one object, not to several."""
CLOCK = Path(__file__).parents[2] / "examples" / "mcp" / "clock.py"
"""The MCP server that offers the tools."""
DOCUMENTS = ({"a": "Alpha.", "b": "Beta."}, {"a": "Alpha, anew.", "c": "Gamma."})
"""The documents in `docs`, by edition."""
MEMORY = ("persona", "human", "notes")
BUILT_IN = ("web_search", "run_code")
SECRETS = ("sekret-one", "sekret-two", "sekret-three")

Pick = Callable[[Sequence[Any]], Any]


def initial() -> Spec:
    """The first manifest: two agents, a block and a tool."""
    return {
        "agents": {
            "ann": {
                "system": "Be kind.",
                "memory": {"persona": {"value": "One."}, "human": {"value": "Two."}},
                "blocks": ["org"],
                "tools": ["t1", "web_search"],
                "tags": ["x"],
                "metadata": {"k": 1},
                "secrets": {"KEY": "sekret-one"},
            },
            "bob": {"memory": {"persona": {"value": "One."}}, "blocks": ["org"]},
        },
        "blocks": {"org": {"value": "One.", "description": "about one"}},
        "tools": {"t1": {}},
        **{section: {} for section in FIELDS.keys() - {"agents", "blocks", "tools"}},
        "moved": [],
        "removed": [],
        "imports": [],
        "edition": 0,
    }


def initial_with_all_kinds() -> Spec:
    """The first manifest with an object of every kind."""
    new = initial()
    new["agents"]["ann"] |= {"archive": "sold", "identities": ["ada"], "sleeptime": {"frequency": 3}}
    new["agents"]["bob"] |= {"folders": ["manuals"]}
    new["archives"]["sold"] = {"passages": ["We open."]}
    new["identities"]["ada"] = {"name": "Ada", "identity_type": "user"}
    new["folders"]["manuals"] = {"files": ["docs/*.md"]}
    new["groups"]["panel"] = {"type": "round_robin", "agents": ["ann", "bob"]}
    new["conversations"]["talk"] = {"agent": "bob", "isolated": ["persona"]}
    new["providers"]["work"] = {"api_key": "sekret-one", "provider_type": "openai"}
    new["mcp_servers"]["clock"] = {"env": {"KEY": "sekret-one"}}
    new["tools"]["now"] = {"mcp": "clock"}
    new["agents"]["bob"]["tools"] = ["now"]
    return new


CHANGES = ("field",) * 3 + ("part",) + ("members",) * 2 + ("add", "drop", "move", "remove", "tidy", "edit")


def change(spec: Spec, pick: Pick) -> Spec:
    """The manifest after one random change that a person might make; unchanged if the result would be invalid."""
    new = copy.deepcopy(spec)
    change_kind = pick(CHANGES)
    section = pick(("agents", *FIELDS))
    if change_kind == "field" and new[section]:
        _field(new[section][pick(sorted(new[section]))], FIELDS[section], pick)
    elif change_kind == "part" and new["agents"]:
        _part(new["agents"][pick(sorted(new["agents"]))].setdefault("memory", {}), pick)
    elif change_kind == "members":
        section = section if section in REFERS and new[section] else "agents"
        if new[section]:
            _members(new, section, pick)
    elif change_kind == "add":
        _add(new, section, pick)
    elif change_kind in ("drop", "remove", "move") and new[section]:
        _remove(new, change_kind, section, pick)
    elif change_kind == "tidy":
        new = tidied(new)
    elif change_kind == "edit":
        new["edition"] = 1 - new["edition"]
    return new if is_valid(new) else spec


def _field(body: Spec, table: Mapping[str, Sequence[Any]], pick: Pick) -> None:
    name = pick(sorted(table))
    value = pick(table[name])
    if name.startswith("policy."):
        body, name = body.setdefault("policy", {}), name[len("policy.") :]
    if value is UNSET:
        body.pop(name, None)
    else:
        body[name] = value


def _part(memory: Spec, pick: Pick) -> None:
    label = pick(MEMORY)
    if label not in memory:
        memory[label] = {"value": pick(("One.", "Two."))}
    elif pick((True, True, True, False)):
        _field(memory[label], {name: options for name, options in BLOCK.items() if name != "label"}, pick)
    else:
        del memory[label]


def _members(new: Spec, section: str, pick: Pick) -> None:
    body = new[section][pick(sorted(new[section]))]
    field = pick(sorted(REFERS[section]))
    choices = sorted(new[REFERS[section][field]]) + (list(BUILT_IN) if field == "tools" else [])
    if pick((1, 2, 3, 4, 5, 6)) == 6:
        body.pop(field, None)
    elif choices and field in SINGLE:
        body[field] = pick([None, *choices] if field == "archive" else choices)
    elif choices:
        key, have = pick(choices), list(body.get(field, ()))
        body[field] = [each for each in have if each != key] if key in have else [*have, key]


def _add(new: Spec, section: str, pick: Pick) -> str | None:
    """The new key, unless the section has it already."""
    key: str = pick(KEYS[section])
    if key in new[section]:
        return None
    agents = sorted(new["agents"])
    if section in ("groups", "conversations") and not agents:
        return None
    new[section][key] = {
        "agents": lambda: {"memory": {"persona": {"value": "One."}}},
        "blocks": lambda: {"value": pick(("One.", "Two."))},
        "identities": lambda: {"name": "Ada", "identity_type": "user"},
        "groups": lambda: {"type": "supervisor", "manager": pick(agents), "agents": agents},
        "conversations": lambda: {"agent": pick(agents)},
        "providers": lambda: {"api_key": "sekret-two", "provider_type": "openai"},
        "tools": lambda: {"mcp": pick(sorted(new["mcp_servers"]))} if key == "now" and new["mcp_servers"] else {},
    }.get(section, dict)()
    address = f"{section}.{key}"
    new["moved"] = [pair for pair in new["moved"] if address not in pair]
    new["removed"] = [pair for pair in new["removed"] if address != pair[0]]
    return key


def importing(spec: Spec, section: str, id: str, pick: Pick) -> tuple[Spec, str]:
    """The manifest with a new key, to which an existing object is imported; no address if there is none."""
    new = tidied(spec)
    key = _add(new, section, pick)
    address = f"{section}.{key}"
    new["imports"] = [[address, id]]
    return (new, address) if key and is_valid(new) else (spec, "")


def _remove(new: Spec, change_kind: str, section: str, pick: Pick, key: str = "") -> None:
    key = key or pick(sorted(new[section]))
    offered = [each for each, body in new["tools"].items() if section == "mcp_servers" and body.get("mcp") == key]
    for each in offered if change_kind != "move" else ():  # the server's tools are removed first
        _remove(new, "drop", "tools", pick, each)
    to = next((each for each in (*KEYS[section], "new1", "new2") if each not in new[section]), None)
    if change_kind == "move" and to is None:
        return
    body = new[section].pop(key)
    for where, fields in REFERS.items():
        for user in new[where].values():
            for field in (field for field, at in fields.items() if at == section and field in user):
                _update_reference(user, field, key, to if change_kind == "move" else None)
    old = f"{section}.{key}"
    new["moved"] = [pair for pair in new["moved"] if old not in pair]
    if change_kind == "move":
        body.setdefault(KEEPS_NAME[section], key)
        new[section][str(to)] = body
        address = f"{section}.{to}"
        new["moved"] = [pair for pair in new["moved"] if address not in pair] + [[old, address]]
        new["removed"] = [pair for pair in new["removed"] if pair[0] != address]
    elif change_kind == "remove":
        new["removed"] = [*new["removed"], [old, pick((False, True))]]


def _update_reference(user: Spec, field: str, key: str, to: str | None) -> None:
    """Update a reference to a key that moved, or drop it."""
    if field in SINGLE and user[field] == key:
        user[field] = to
    elif field not in SINGLE and key in user[field]:
        user[field] = [each for each in user[field] if each != key] + ([to] if to else [])
    if user.get(field, ...) is None and field != "archive":
        del user[field]


def tidied(spec: Spec) -> Spec:
    """The manifest without entries about the past."""
    return copy.deepcopy(spec) | {"moved": [], "removed": [], "imports": []}


# --- moves that are applied at once ----------------------------------------------------------------------------------

Mapped = dict[str, str]
"""Old address to new address."""


def relocated(spec: Spec, pick: Pick) -> tuple[Spec, Mapped]:
    """The manifest after a swap, a chain, or the move of an own or shared block. No addresses if there is none."""
    new, sort = tidied(spec), pick(("swap", "chain", "to agent", "to shared", "to own", "swap blocks"))
    if sort in ("swap", "chain"):
        mapped = _permuted(new, sort, pick)
    elif sort == "to own":
        mapped = _shared_to_own(new, pick)
    else:
        mapped = _moved_block(new, sort, pick)
    new["moved"] = [list(pair) for pair in mapped.items()]
    return (new, mapped) if mapped and is_valid(new) else (spec, {})


def _permuted(new: Spec, sort: str, pick: Pick) -> Mapped:
    """Two objects change places, or the second gives way to the first."""
    section = pick(("agents", "agents", *(each for each in sorted(FIELDS) if len(new[each]) > 1)))
    keys = sorted(new[section])
    if len(keys) < 2:
        return {}
    first = pick(keys)
    second = pick([key for key in keys if key != first])
    steps = {first: second, second: first if sort == "swap" else "new1"}
    if "new1" in keys or (sort == "chain" and "mcp" in str(new[section])):
        return {}
    bodies = {steps[key]: new[section].pop(key) for key in steps}
    for old, key in steps.items():
        bodies[key].setdefault(KEEPS_NAME[section], old)
    new[section] |= bodies
    for where, fields in REFERS.items():
        for user in new[where].values():
            for field in (field for field, at in fields.items() if at == section and field in user):
                value = user[field]
                user[field] = (
                    [steps.get(each, each) for each in value] if isinstance(value, list) else steps.get(value, value)
                )
    return {f"{section}.{old}": f"{section}.{key}" for old, key in steps.items()}


def _own_blocks(spec: Spec) -> list[tuple[str, str]]:
    return sorted((key, label) for key, body in spec["agents"].items() for label in body.get("memory", {}))


def _moved_block(new: Spec, sort: str, pick: Pick) -> Mapped:
    """An own block moves to another agent or becomes a shared one, or two own blocks change places."""
    own, agents = _own_blocks(new), new["agents"]
    if not own:
        return {}
    agent, label = pick(own)
    if sort == "to shared":
        key = next((key for key in KEYS["blocks"] if key not in new["blocks"]), None)
        if key is None:
            return {}
        new["blocks"][key] = {"value": "", **agents[agent]["memory"].pop(label), "label": label}
        agents[agent]["blocks"] = [*agents[agent].get("blocks", ()), key]
        return {f"agents.{agent}.memory.{label}": f"blocks.{key}"}
    if sort == "swap blocks":
        other, its = pick(own)
        if (other, its) == (agent, label):
            return {}
        one, two = agents[agent]["memory"], agents[other]["memory"]
        one[label], two[its] = two[its], one[label]
        old, key = f"agents.{agent}.memory.{label}", f"agents.{other}.memory.{its}"
        return {old: key, key: old}
    free = [(key, each) for key in sorted(agents) for each in MEMORY if each not in agents[key].get("memory", {})]
    if not free:
        return {}
    other, its = pick(free)
    agents[other].setdefault("memory", {})[its] = agents[agent]["memory"].pop(label)
    return {f"agents.{agent}.memory.{label}": f"agents.{other}.memory.{its}"}


def _shared_to_own(new: Spec, pick: Pick) -> Mapped:
    """A shared block becomes the own block of one of its agents; the others detach it."""
    used = sorted((key, agent) for agent, body in new["agents"].items() for key in body.get("blocks", ()))
    if not used:
        return {}
    key, owner = pick(used)
    body = new["blocks"].pop(key)
    label = body.pop("label", key)
    if label in new["agents"][owner].get("memory", {}):
        return {}
    for agent in new["agents"].values():
        if key in agent.get("blocks", ()):
            agent["blocks"] = [each for each in agent["blocks"] if each != key]
    new["agents"][owner].setdefault("memory", {})[label] = body
    return {f"blocks.{key}": f"agents.{owner}.memory.{label}"}


# --- lines that are no longer declared -------------------------------------------------------------------------------

MEMBERS: Mapping[str, Sequence[str]] = {
    "agents": ("tags", "metadata", "secrets", "blocks", "tools", "archive", "folders", "identities"),
    "blocks": ("tags", "metadata"),
    "tools": ("tags",),
    "archives": ("passages",),
    "folders": ("metadata", "files"),
    "mcp_servers": ("env",),
}
"""Fields whose lines add members: without the line, lettaform removes what it added."""


def without_lines(spec: Spec, pick: Pick) -> tuple[Spec, list[str]]:
    """The manifest without one to three lines that add members, and what they were."""
    new, removed = tidied(spec), []
    for _ in range(pick((1, 2, 3))):
        lines = [
            (f"{section}.{key}.{field}", body, field)
            for section, fields in MEMBERS.items()
            for key, body in sorted(new[section].items())
            for field in fields
            if field in body
        ]
        lines += [
            (f"agents.{key}.memory.{label}.{field}", new["agents"][key]["memory"][label], field)
            for key, label in _own_blocks(new)
            for field in MEMBERS["blocks"]
            if field in new["agents"][key]["memory"][label]
        ]
        if lines:
            name, body, field = pick(lines)
            del body[field]
            removed.append(name)
    return (new, removed) if is_valid(new) else (spec, [])


def is_valid(spec: Spec) -> bool:
    """Whether the manifest passes its own checks."""
    try:
        build("any", spec, "m/m", "e/e")
    except ManifestError:
        return False
    return True


def build(stack: str, spec: Spec, model: str, embedding: str) -> Manifest:
    """The parsed Manifest."""
    return _read(json.dumps(document(stack, spec, model, embedding)), stack, spec["edition"])


def document(stack: str, spec: Spec, model: str, embedding: str) -> Spec:
    """The manifest as the text of `lettaform.yaml` says it."""
    whole: Spec = {"stack": stack, "variables": {f"v{n}": _secret(text) for n, text in enumerate(SECRETS)}}
    whole["defaults"] = {"agents": {"model": model, "embedding": embedding, "include_base_tools": False}}
    whole["defaults"]["folders"] = {"embedding": embedding}
    whole["moved"] = [{"from": old, "to": new} for old, new in spec["moved"]]
    whole["imports"] = [{"to": address, "id": id} for address, id in spec["imports"]]
    whole["removed"] = [{"from": old, "destroy": destroy} for old, destroy in spec["removed"]]
    for section in FIELDS:
        whole[section] = {key: _as_manifest(stack, section, key, body) for key, body in spec[section].items()}
    return whole


@lru_cache(4096)
def _read(text: str, stack: str, edition: int) -> Manifest:
    folder = project(stack, edition)
    (folder / "lettaform.yaml").write_text(text)
    return READ(flow.Source(folder))


READ = flow.read
"""The real reader, of whole manifests."""


@cache
def project(stack: str, edition: int) -> Path:
    """A project folder per edition: documents are read when they are uploaded, and programs when they run."""
    folder = Path(_HOME.name) / stack / str(edition)
    (folder / "docs").mkdir(parents=True)
    name = rf"def {_identifier(stack)}_\1("
    program = re.sub(r"^def (what_\w+)\(", name, CLOCK.read_text(), flags=re.MULTILINE)
    (folder / f"{_identifier(stack)}.py").write_text(program.replace("days: int", "weeks: int") if edition else program)
    for name, text in DOCUMENTS[edition].items():
        (folder / "docs" / f"{name}.md").write_text(text)
    return folder


_HOME = tempfile.TemporaryDirectory(prefix="lettaform-machine-")


def _secret(text: str) -> Spec:
    return {"secret": True, "default": text}


def _as_manifest(stack: str, section: str, key: str, body: Spec) -> Spec:
    """One object in the manifest's form."""
    values = _without_protect(body)
    if section == "agents":
        if values.get("secrets"):
            values["secrets"] = _as_variables(values["secrets"])
        values["memory"] = {label: _without_protect(part) for label, part in values.get("memory", {}).items()}
    if section == "providers":
        values |= {"api_key": _as_variables({"": values["api_key"]})[""], "base_url": "http://localhost:11434/v1"}
    if section == "mcp_servers":
        values |= {"type": "stdio", "command": "python3"}
        values["args"] = [*values.get("args", ()), f"${{folder}}/{_identifier(stack)}.py"]
        if values.get("env"):
            values["env"] = _as_variables(values["env"])
    if section == "tools" and "mcp" in values:
        values["name"] = f"{_identifier(stack)}_what_time"
        values.pop("key", None)
    elif section == "tools":
        about, name = values.pop("about", "Tell."), tool_function(stack, key, body)
        values = {name: value for name, value in values.items() if name not in ("name", "key")}
        values["source"] = SOURCE.format(name=name, about=about)
    if section in UNIQUE:
        values[UNIQUE[section]] = f"{stack}-{values.pop('key', key)}"
    return values


UNIQUE = {"identities": "identifier_key", "folders": "name", "providers": "name", "mcp_servers": "name"}
"""Sections whose names must be unique, and the field with the name."""


def tool_function(stack: str, key: str, body: Mapping[str, Any]) -> str:
    """The name of a tool's function."""
    return f"{_identifier(stack)}_{body.get('key', key)}{body.get('name', '')}"


def _identifier(stack: str) -> str:
    return stack.replace("-", "_")


def _as_variables(secrets: Mapping[str, str]) -> dict[str, str]:
    """Secrets as references to variables."""
    return {name: f"${{var.v{SECRETS.index(text)}}}" for name, text in secrets.items()}


def _without_protect(body: Spec) -> Spec:
    """A body in the manifest's form."""
    values = copy.deepcopy(body)
    if values.pop("protect", False):
        values["lifecycle"] = {"prevent_destroy": True}
    return values
