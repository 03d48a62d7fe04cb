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
"""The manifest's sections, `moved` and `removed`. Secrets are plain text here. `edition`: version of the documents."""

SOURCE = '''def {name}(city: str) -> str:
    """{about}

    Args:
        city (str): Which city.

    Returns:
        str: The weather.
    """
    return city
'''
_POLICY = ["seed", "enforce", "yield", "ignore"]
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
    "policy.system": [UNSET, "seed", "yield", "ignore"],
    "policy.description": [UNSET, "seed", "yield", "ignore"],
    "policy.metadata": [UNSET, "yield"],
}
BLOCK: Mapping[str, Sequence[Any]] = {
    "value": [UNSET, "", "One.", "Two.", "Three, ünï."],
    "description": [UNSET, None, "about one", "about two"],
    "limit": [UNSET, 2000, 6000],
    "read_only": [UNSET, True, False],
    "tags": _TAGS,
    "metadata": _METADATA,
    "label": [UNSET, "org", "extra"],
    "policy.value": [UNSET, *_POLICY],
    "policy.description": [UNSET, *_POLICY],
    "policy.label": [UNSET, *_POLICY],
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
    "policy.description": _POLICIES,
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
        new |= {"moved": [], "removed": []}
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


def _add(new: Spec, section: str, pick: Pick) -> None:
    key = pick(KEYS[section])
    if key in new[section]:
        return
    agents = sorted(new["agents"])
    if section in ("groups", "conversations") and not agents:
        return
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


def is_valid(spec: Spec) -> bool:
    """Whether the manifest passes its own checks."""
    try:
        build("any", spec, "m/m", "e/e")
    except ManifestError:
        return False
    return True


def build(stack: str, spec: Spec, model: str, embedding: str) -> Manifest:
    """The parsed Manifest."""
    whole: Spec = {"stack": stack, "variables": {f"v{n}": _secret(text) for n, text in enumerate(SECRETS)}}
    whole["defaults"] = {"agents": {"model": model, "embedding": embedding, "include_base_tools": False}}
    whole["defaults"]["folders"] = {"embedding": embedding}
    whole["moved"] = [{"from": old, "to": new} for old, new in spec["moved"]]
    whole["removed"] = [{"from": old, "destroy": destroy} for old, destroy in spec["removed"]]
    for section in FIELDS:
        whole[section] = {key: _as_manifest(stack, section, key, body) for key, body in spec[section].items()}
    return _read(json.dumps(whole), stack, spec["edition"])


@lru_cache(4096)
def _read(text: str, stack: str, edition: int) -> Manifest:
    folder = _folder(stack, edition)
    (folder / "lettaform.yaml").write_text(text)
    return READ(flow.Source(folder))


READ = flow.read
"""The real reader, of whole manifests."""


@cache
def _folder(stack: str, edition: int) -> Path:
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
