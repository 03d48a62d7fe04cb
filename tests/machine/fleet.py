"""What a person writes: a small fleet as plain data, random changes to it, and the files that it stands for."""

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

SILENT: Any = object()
Spec = dict[str, Any]
"""Sections as in a manifest, and `moved`, `removed`. Secrets are plain text here; `edition`: of the documents."""

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
_TAGS = [SILENT, None, [], ["x"], ["y", "x"], ["z"]]
_METADATA = [SILENT, None, {}, {"k": 1}, {"k": 2, "n": {"x": 1}}, {"n": {"x": 2, "y": []}}]
AGENT: Mapping[str, Sequence[Any]] = {
    "system": [SILENT, None, "Be kind.", "Be brief.", "ünï\n"],
    "description": [SILENT, None, "", "of ours", "ours anew"],
    "tags": _TAGS,
    "metadata": _METADATA,
    "secrets": [SILENT, None, {"KEY": "sekret-one"}, {"KEY": "sekret-two"}, {"OTHER": "sekret-three"}],
    "context_window": [SILENT, 8000, 16000],
    "max_tokens": [SILENT, 700, 900],
    "timezone": [SILENT, "Europe/Berlin", "Asia/Tokyo"],
    "tool_rules": [SILENT, None, [], [{"type": "exit_loop", "tool_name": "send_message"}]],
    "model_settings": [SILENT, {"provider_type": "openai", "temperature": 0.25}],
    "compaction_settings": [SILENT, {"clip_chars": 900}],
    "response_format": [SILENT, {"type": "json_object"}],
    "message_buffer_autoclear": [SILENT, False, True],
    "max_files_open": [SILENT, 3, 4],
    "sleeptime": [SILENT, True, False, {"frequency": 3}, {"frequency": 4, "description": "Sleeps well."}],
    "name": ["ann", "bob", "Somebody else"],
    "agent_type": [SILENT, "letta_v1_agent", "memgpt_v2_agent"],
    "protect": [SILENT, True],
    "policy.tools": [SILENT, "enforce", "ignore"],
    "policy.blocks": [SILENT, "enforce"],
    "policy.tags": [SILENT, "enforce"],
    "policy.system": [SILENT, "seed", "yield", "ignore"],
    "policy.description": [SILENT, "seed", "yield", "ignore"],
    "policy.metadata": [SILENT, "yield"],
}
BLOCK: Mapping[str, Sequence[Any]] = {
    "value": [SILENT, "", "One.", "Two.", "Three, ünï."],
    "description": [SILENT, None, "about one", "about two"],
    "limit": [SILENT, 2000, 6000],
    "read_only": [SILENT, True, False],
    "tags": _TAGS,
    "metadata": _METADATA,
    "label": [SILENT, "org", "extra"],
    "policy.value": [SILENT, *_POLICY],
    "policy.description": [SILENT, *_POLICY],
    "policy.label": [SILENT, *_POLICY],
}
TOOL: Mapping[str, Sequence[Any]] = {
    "about": ["Tell.", "Tell it again."],
    "name": ["", "_new"],
    "tags": _TAGS,
    "description": [SILENT, "for people", "for everybody"],
    "return_char_limit": [SILENT, 700, 900],
    "default_requires_approval": [SILENT, True, False],
    "pip_requirements": [SILENT, [{"name": "rich", "version": "13"}]],
    "policy.source": [SILENT, "seed", "ignore"],
}
_TEXTS = [SILENT, None, "of ours", "ours anew"]
_POLICIES = [SILENT, "seed", "yield", "ignore"]
ARCHIVE: Mapping[str, Sequence[Any]] = {
    "name": [SILENT, "Sold", "Same"],
    "description": _TEXTS,
    "passages": [SILENT, None, [], ["We open."], ["We open.", {"text": "We close.", "tags": ["x"]}], ["We close."]],
    "policy.passages": [SILENT, "enforce", "seed"],
    "policy.description": _POLICIES,
}
IDENTITY: Mapping[str, Sequence[Any]] = {
    "name": ["Ada", "Bob", "Ünï"],
    "identity_type": ["user", "org", "other"],
    "properties": [SILENT, {"city": "Delft"}, {"city": "Gouda", "age": 8}, {"age": 9}],
    "policy.name": _POLICIES,
    "policy.properties": _POLICIES,
}
FOLDER: Mapping[str, Sequence[Any]] = {
    "description": _TEXTS,
    "instructions": _TEXTS,
    "metadata": _METADATA,
    "files": [SILENT, None, [], ["docs/a.md"], ["docs/*.md"], ["docs/b.md", "docs/c.md"]],
    "embedding": [SILENT, "letta/letta-free"],
    "policy.files": [SILENT, "enforce", "seed"],
    "policy.description": _POLICIES,
}
GROUP: Mapping[str, Sequence[Any]] = {
    "description": [SILENT, "of ours", "ours anew"],
    "type": ["round_robin", "supervisor", "dynamic"],
    "max_turns": [SILENT, 3, 4],
    "termination_token": [SILENT, "END", "STOP"],
    "policy.description": _POLICIES,
}
CONVERSATION: Mapping[str, Sequence[Any]] = {
    "summary": [SILENT, "of ours", "ours anew"],
    "isolated": [SILENT, [], ["persona"]],
    "model_settings": [SILENT, {"provider_type": "openai", "temperature": 0.25}],
    "policy.summary": _POLICIES,
}
PROVIDER: Mapping[str, Sequence[Any]] = {
    "api_key": ["sekret-one", "sekret-two", "sekret-three"],
    "region": [SILENT, "here", "there"],
    "provider_type": ["openai", "vllm"],
    "policy.region": _POLICIES,
}
MCP_SERVER: Mapping[str, Sequence[Any]] = {
    "env": [SILENT, None, {}, {"KEY": "sekret-one"}, {"KEY": "sekret-two", "OTHER": "sekret-three"}],
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
NAMED = {
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
"""Where a name would follow a key that moves."""
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
ONE = ("archive", "manager", "agent", "mcp")
"""What refers to one thing, not to several."""
CLOCK = Path(__file__).parents[2] / "examples" / "mcp" / "clock.py"
"""What offers tools."""
DOCUMENTS = ({"a": "Alpha.", "b": "Beta."}, {"a": "Alpha, anew.", "c": "Gamma."})
"""Editions of what stands in `docs`."""
MEMORY = ("persona", "human", "notes")
BUILT_IN = ("web_search", "run_code")
SECRETS = ("sekret-one", "sekret-two", "sekret-three")

Pick = Callable[[Sequence[Any]], Any]


def first() -> Spec:
    """A fleet to begin with."""
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


def rich() -> Spec:
    """A fleet with something of every kind."""
    new = first()
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


HOW = ("field",) * 3 + ("part",) + ("members",) * 2 + ("add", "drop", "move", "remove", "tidy", "edit")


def change(spec: Spec, pick: Pick) -> Spec:
    """The fleet after one random change, which a person might make; the same where it would make no sense."""
    new = copy.deepcopy(spec)
    how = pick(HOW)
    section = pick(("agents", *FIELDS))
    if how == "field" and new[section]:
        _field(new[section][pick(sorted(new[section]))], FIELDS[section], pick)
    elif how == "part" and new["agents"]:
        _part(new["agents"][pick(sorted(new["agents"]))].setdefault("memory", {}), pick)
    elif how == "members":
        section = section if section in REFERS and new[section] else "agents"
        if new[section]:
            _members(new, section, pick)
    elif how == "add":
        _add(new, section, pick)
    elif how in ("drop", "remove", "move") and new[section]:
        _leave(new, how, section, pick)
    elif how == "tidy":
        new |= {"moved": [], "removed": []}
    elif how == "edit":
        new["edition"] = 1 - new["edition"]
    return new if sound(new) else spec


def _field(told: Spec, table: Mapping[str, Sequence[Any]], pick: Pick) -> None:
    name = pick(sorted(table))
    value = pick(table[name])
    if name.startswith("policy."):
        told, name = told.setdefault("policy", {}), name[len("policy.") :]
    if value is SILENT:
        told.pop(name, None)
    else:
        told[name] = value


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
    able = sorted(new[REFERS[section][field]]) + (list(BUILT_IN) if field == "tools" else [])
    if pick((1, 2, 3, 4, 5, 6)) == 6:
        body.pop(field, None)
    elif able and field in ONE:
        body[field] = pick([None, *able] if field == "archive" else able)
    elif able:
        key, have = pick(able), list(body.get(field, ()))
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


def _leave(new: Spec, how: str, section: str, pick: Pick, key: str = "") -> None:
    key = key or pick(sorted(new[section]))
    offered = [each for each, told in new["tools"].items() if section == "mcp_servers" and told.get("mcp") == key]
    for each in offered if how != "move" else ():  # what it offers goes first
        _leave(new, "drop", "tools", pick, each)
    to = next((each for each in (*KEYS[section], "new1", "new2") if each not in new[section]), None)
    if how == "move" and to is None:
        return
    body = new[section].pop(key)
    for where, fields in REFERS.items():
        for user in new[where].values():
            for field in (field for field, at in fields.items() if at == section and field in user):
                _follow(user, field, key, to if how == "move" else None)
    old = f"{section}.{key}"
    new["moved"] = [pair for pair in new["moved"] if old not in pair]
    if how == "move":
        body.setdefault(NAMED[section], key)
        new[section][str(to)] = body
        address = f"{section}.{to}"
        new["moved"] = [pair for pair in new["moved"] if address not in pair] + [[old, address]]
        new["removed"] = [pair for pair in new["removed"] if pair[0] != address]
    elif how == "remove":
        new["removed"] = [*new["removed"], [old, pick((False, True))]]


def _follow(user: Spec, field: str, key: str, to: str | None) -> None:
    """What refers to a key that leaves speaks of where it went, or no more of it."""
    if field in ONE and user[field] == key:
        user[field] = to
    elif field not in ONE and key in user[field]:
        user[field] = [each for each in user[field] if each != key] + ([to] if to else [])
    if user.get(field, ...) is None and field != "archive":
        del user[field]


def sound(spec: Spec) -> bool:
    """Whether the manifest's own checks let it through."""
    try:
        build("any", spec, "m/m", "e/e")
    except ManifestError:
        return False
    return True


def build(stack: str, spec: Spec, model: str, embedding: str) -> Manifest:
    """The Manifest that the files are resolved to."""
    whole: Spec = {"stack": stack, "variables": {f"v{n}": _secret(text) for n, text in enumerate(SECRETS)}}
    whole["defaults"] = {"agents": {"model": model, "embedding": embedding, "include_base_tools": False}}
    whole["defaults"]["folders"] = {"embedding": embedding}
    whole["moved"] = [{"from": old, "to": new} for old, new in spec["moved"]]
    whole["removed"] = [{"from": old, "destroy": destroy} for old, destroy in spec["removed"]]
    for section in FIELDS:
        whole[section] = {key: _said(stack, section, key, told) for key, told in spec[section].items()}
    return _read(json.dumps(whole), stack, spec["edition"])


@lru_cache(4096)
def _read(text: str, stack: str, edition: int) -> Manifest:
    folder = _folder(stack, edition)
    (folder / "lettaform.yaml").write_text(text)
    return READ(flow.Source(folder))


READ = flow.read
"""The real one; while lettaform is driven, another stands in its place."""


@cache
def _folder(stack: str, edition: int) -> Path:
    """A project of its own for each edition: documents are read when they are sent, and programs when they run."""
    folder = Path(_HOME.name) / stack / str(edition)
    (folder / "docs").mkdir(parents=True)
    name = rf"def {_word(stack)}_\1("
    program = re.sub(r"^def (what_\w+)\(", name, CLOCK.read_text(), flags=re.MULTILINE)
    (folder / f"{_word(stack)}.py").write_text(program.replace("days: int", "weeks: int") if edition else program)
    for name, text in DOCUMENTS[edition].items():
        (folder / "docs" / f"{name}.md").write_text(text)
    return folder


_HOME = tempfile.TemporaryDirectory(prefix="lettaform-machine-")


def _secret(text: str) -> Spec:
    return {"secret": True, "default": text}


def _said(stack: str, section: str, key: str, told: Spec) -> Spec:
    """One object as the manifest says it."""
    values = _plain(told)
    if section == "agents":
        if values.get("secrets"):
            values["secrets"] = _hidden(values["secrets"])
        values["memory"] = {label: _plain(part) for label, part in values.get("memory", {}).items()}
    if section == "providers":
        values |= {"api_key": _hidden({"": values["api_key"]})[""], "base_url": "http://localhost:11434/v1"}
    if section == "mcp_servers":
        values |= {"type": "stdio", "command": "python3"}
        values["args"] = [*values.get("args", ()), f"${{folder}}/{_word(stack)}.py"]
        if values.get("env"):
            values["env"] = _hidden(values["env"])
    if section == "tools" and "mcp" in values:
        values["name"] = f"{_word(stack)}_what_time"
        values.pop("key", None)
    elif section == "tools":
        about, name = values.pop("about", "Tell."), function(stack, key, told)
        values = {name: value for name, value in values.items() if name not in ("name", "key")}
        values["source"] = SOURCE.format(name=name, about=about)
    if section in UNIQUE:
        values[UNIQUE[section]] = f"{stack}-{values.pop('key', key)}"
    return values


UNIQUE = {"identities": "identifier_key", "folders": "name", "providers": "name", "mcp_servers": "name"}
"""Sections whose names nobody else may have, and the field that says them."""


def function(stack: str, key: str, told: Mapping[str, Any]) -> str:
    """The name of a tool."""
    return f"{_word(stack)}_{told.get('key', key)}{told.get('name', '')}"


def _word(stack: str) -> str:
    return stack.replace("-", "_")


def _hidden(secrets: Mapping[str, str]) -> dict[str, str]:
    """Secrets as variables that hold them."""
    return {name: f"${{var.v{SECRETS.index(text)}}}" for name, text in secrets.items()}


def _plain(told: Spec) -> Spec:
    """A body in the manifest's words."""
    values = copy.deepcopy(told)
    if values.pop("protect", False):
        values["lifecycle"] = {"prevent_destroy": True}
    return values
