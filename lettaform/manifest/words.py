"""Words of Letta's API and of other tools, where the manifest has another word, to what to write here."""

from __future__ import annotations

from collections.abc import Mapping

from lettaform.kinds.base import Kind

SECTIONS: Mapping[str, str] = {
    "apiVersion": "a manifest is not a Kubernetes object: it starts with `stack: NAME`",
    "api_key": "write it below `server`",
    "backend": "leave it out: the state is on the Letta server",
    "base_url": "write `url` below `server`",
    "data": "declare the object in its section, with `external: true`",
    "environment": "write `environments`, and choose one with -e",
    "import": "write `imports`",
    "kind": "a manifest is not a Kubernetes object: it starts with `stack: NAME`",
    "locals": "write `variables`, each with a `default`",
    "mcp": "write `mcp_servers`",
    "memory": "write `blocks` for shared blocks; the blocks of one agent stand below its `memory`",
    "memory_blocks": "write `blocks`",
    "module": "write `components`, each with a `use`",
    "name": "write `stack`",
    "passages": "write them below an entry of `archives`",
    "project": "write it below `server`",
    "resource": "write the section of the object, such as `agents`",
    "secrets": "write `variables`, each with `secret: true`",
    "shared_blocks": "write `blocks`",
    "shared_folders": "write `folders`",
    "sources": "write `folders`",
    "spec": "a manifest is not a Kubernetes object: it starts with `stack: NAME`",
    "terraform": "leave it out: the state is on the Letta server",
    "url": "write it below `server`",
    "users": "write `identities`",
    "version": "leave it out",
}
"""Top-level keys."""

_FIELDS: Mapping[str, Mapping[str, str]] = {
    "agent": {
        "archives": "write `archive`: the server allows one",
        "core_memory": "write `memory`",
        "env": "write `secrets`",
        "environment": "write `secrets`",
        "instructions": "write `system`",
        "labels": "write `tags`",
        "mcp_servers": "declare their tools in the section `tools`, and name them in `tools`",
        "prompt": "write `system`",
        "shared_blocks": "write `blocks`, the keys of shared blocks",
        "shared_folders": "write `folders`, the keys of folders",
        "sources": "write `folders`",
        "system_prompt": "write `system`",
        "temperature": "write it below `model_settings`",
    },
    "archive": {"entries": "write `passages`", "memories": "write `passages`"},
    "block": {
        "content": "write `value`",
        "file": "write `value: !file PATH`",
        "from_file": "write `value: !file PATH`",
    },
    "folder": {"documents": "write `files`", "path": "write `files`", "sources": "write `files`"},
    "mcp_server": {
        "api_key": "write `token`",
        "environment": "write `env`",
        "transport": "write `type`",
    },
    "provider": {"key": "write `api_key`", "type": "write `provider_type`", "url": "write `base_url`"},
    "tool": {
        "code": "write `source`",
        "file": "write `source`",
        "path": "write `source`",
        "schema": "write `json_schema`",
    },
}
"""Fields by kind. The names in requests stand in the kinds."""

_ANY: Mapping[str, str] = {
    "annotations": "write `metadata` where the kind has it",
    "count": "write `for_each`",
    "depends_on": "leave it out: references decide the order",
    "provider": "leave it out: a manifest has one server",
    "provisioner": "leave it out: there is none",
}
"""Fields of every kind."""


def field_hint(name: str, kind: type[Kind], word: str) -> str | None:
    """What to write in place of a field that a kind does not have; None if it is not known. `name`: of the kind."""
    lines = kind.attrs().values()
    line = next((line for line in lines if word in (line.write, (line.read or "").split("[")[0])), None)
    if word in _FIELDS.get(name, {}):
        return _FIELDS[name][word]
    if line is not None:
        return f"write `{line.name}`: {line.doc[0].lower()}{line.doc[1:].split('. ')[0].removesuffix('.')}"
    if word in kind.unmanaged:
        return f"it is not managed: {kind.unmanaged[word]}"
    return _ANY.get(word)
