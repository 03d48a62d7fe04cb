"""What a person writes: a small fleet as plain data, random changes to it, and the Manifest that it stands for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lettaform.errors import Place
from lettaform.kinds.tool import Tool
from lettaform.model import Desired, External, Manifest, Moved, Removed
from lettaform.words import Address, Ref, Secret

PLACE = Place("lettaform.yaml", 1, 1)
SILENT: Any = object()
Spec = dict[str, Any]
"""Sections as in a manifest, and `moved`, `removed`. Secrets are plain text here."""

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
FIELDS = {"agents": AGENT, "blocks": BLOCK, "tools": TOOL}
KEYS = {"agents": ("ann", "bob", "cy"), "blocks": ("org", "team"), "tools": ("t1", "t2")}
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
        "moved": [],
        "removed": [],
    }


def change(spec: Spec, pick: Pick) -> Spec:
    """The fleet after one random change, which a person might make; the same where it would make no sense."""
    new = copy.deepcopy(spec)
    how = pick(("field", "field", "field", "part", "members", "members", "add", "drop", "move", "remove", "tidy"))
    section = pick(("agents", "blocks", "tools"))
    if how == "field" and new[section]:
        _field(new[section][pick(sorted(new[section]))], FIELDS[section], pick)
    elif how == "part" and new["agents"]:
        _part(new["agents"][pick(sorted(new["agents"]))].setdefault("memory", {}), pick)
    elif how == "members" and new["agents"]:
        agent, field = new["agents"][pick(sorted(new["agents"]))], pick(("blocks", "tools"))
        able = sorted(new[field]) + (list(BUILT_IN) if field == "tools" else [])
        _members(agent, field, able, pick)
    elif how == "add":
        _add(new, section, pick)
    elif how in ("drop", "remove", "move") and new[section]:
        _leave(new, how, section, pick)
    elif how == "tidy":
        new |= {"moved": [], "removed": []}
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


def _members(agent: Spec, field: str, able: list[str], pick: Pick) -> None:
    if pick((1, 2, 3, 4, 5, 6)) == 6:
        agent.pop(field, None)
    elif able:
        key, have = pick(able), list(agent.get(field, ()))
        agent[field] = [each for each in have if each != key] if key in have else [*have, key]


def _add(new: Spec, section: str, pick: Pick) -> None:
    key = pick(KEYS[section])
    if key in new[section]:
        return
    new[section][key] = {"memory": {"persona": {"value": "One."}}} if section == "agents" else {}
    if section == "blocks":
        new[section][key] = {"value": pick(("One.", "Two."))}
    address = f"{section}.{key}"
    new["moved"] = [pair for pair in new["moved"] if address not in pair]
    new["removed"] = [pair for pair in new["removed"] if address != pair[0]]


def _leave(new: Spec, how: str, section: str, pick: Pick) -> None:
    key = pick(sorted(new[section]))
    to = next((each for each in (*KEYS[section], "new1", "new2") if each not in new[section]), None)
    if how == "move" and to is None:
        return
    body = new[section].pop(key)
    for agent in new["agents"].values():
        if section != "agents" and key in agent.get(section, ()):
            agent[section] = [each for each in agent[section] if each != key] + ([str(to)] if how == "move" else [])
    old = f"{section}.{key}"
    new["moved"] = [pair for pair in new["moved"] if old not in pair]
    if how == "move":
        named = {"agents": "name", "blocks": "label", "tools": "key"}[section]
        body.setdefault(named, key)
        new[section][str(to)] = body
        address = f"{section}.{to}"
        new["moved"] = [pair for pair in new["moved"] if address not in pair] + [[old, address]]
        new["removed"] = [pair for pair in new["removed"] if pair[0] != address]
    elif how == "remove":
        new["removed"] = [*new["removed"], [old, pick((False, True))]]


def sound(spec: Spec) -> bool:
    """Whether the manifest's own checks would let it through."""
    names = [_function("", key, told) for key, told in spec["tools"].items()]
    if len(set(names)) < len(names):
        return False
    for agent in spec["agents"].values():
        labels = [spec["blocks"][key].get("label", key) for key in agent.get("blocks", ())]
        labels += agent.get("memory", {})
        if len(set(labels)) < len(labels):
            return False
    return True


def _function(stack: str, key: str, told: Mapping[str, Any]) -> str:
    return f"{stack.replace('-', '_')}_{told.get('key', key)}{told.get('name', '')}"


def build(stack: str, spec: Spec, model: str, embedding: str) -> Manifest:
    """The Manifest that the files would be resolved to."""
    objects: dict[Address, Desired] = {}

    def put(address: Address, kind: str, values: Spec, told: Spec) -> None:
        policies, protect = told.get("policy", {}), told.get("protect", False)
        objects[address] = Desired(address, kind, values, PLACE, policies=dict(policies), prevent_destroy=protect)

    for key, told in spec["blocks"].items():
        put(Address("blocks", key), "block", {"label": key, **_plain(told)}, told)
    for key, told in spec["tools"].items():
        source = SOURCE.format(name=_function(stack, key, told), about=told.get("about", "Tell."))
        values = {name: v for name, v in _plain(told).items() if name not in ("about", "name", "key")}
        put(Address("tools", key), "tool", {**values, "source": source, "name": Tool.named({"source": source})}, told)
    for key, told in spec["agents"].items():
        address = Address("agents", key)
        values = {"name": key, "model": model, "embedding": embedding, "include_base_tools": False, **_plain(told)}
        for label, part in values.pop("memory", {}).items():
            put(address.own("memory", label), "block", {"label": label, **_plain(part)}, part)
        for section in ("blocks", "tools"):
            if section in values:
                values[section] = [Ref(Address(section, each)) for each in values[section]]
        if values.get("secrets"):
            values["secrets"] = {name: Secret("literal", text) for name, text in values["secrets"].items()}
        put(address, "agent", values, told)
        for name in set(told.get("tools", ())) - spec["tools"].keys():
            external = Address("tools", name)
            objects[external] = Desired(external, "tool", {}, PLACE, external=External(name=name))
    moved = tuple(Moved(Address.parse(old), Address.parse(new), PLACE) for old, new in spec["moved"])
    removed = tuple(Removed(Address.parse(old), destroy, PLACE) for old, destroy in spec["removed"])
    return Manifest(stack, objects, moved=moved, removed=removed)


def _plain(told: Spec) -> Spec:
    return {name: copy.deepcopy(value) for name, value in told.items() if name not in ("policy", "protect")}
