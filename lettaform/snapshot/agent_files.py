"""Several agent files to one: what two of them share is there once, and what cannot be declared is named. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lettaform.errors import AgentFileError, Problem
from lettaform.kinds import kinds
from lettaform.manifest.secret_shapes import find
from lettaform.model import NotDeclared
from lettaform.snapshot.agent_file import with_references
from lettaform.snapshot.agent_file_read import AgentFile, secrets_of
from lettaform.snapshot.agent_file_schema import COLLECTIONS, REFERENCES
from lettaform.values import canonical

_BY_NAME = {
    "tools": ("name", ("source_code", "source_type", "args_json_schema")),
    "mcp_servers": ("server_name", ("server_type", "server_url", "stdio_config")),
    "sources": ("name", ("description", "instructions", "metadata")),
}
"""Collections whose names are unique on a server: the property with the name, and those that must be equal."""


@dataclass(frozen=True)
class Options:
    """How agent files are turned into declarations.

    model          handle of the model of all agents, in place of those of the files
    embedding      handle of the embedding model of all agents and folders, in place of those of the files
    every_block    also declare blocks that no agent has
    allow_secrets  declare texts that contain what looks like a key
    """

    model: str | None = None
    embedding: str | None = None
    every_block: bool = False
    allow_secrets: bool = False


def combined(files: Sequence[AgentFile], options: Options) -> dict[str, Any]:
    """One file with the parts of all. Raises AgentFileError with every part that cannot be declared."""
    every = [_numbered(file, number) for number, file in enumerate(files)]
    merged: dict[str, Any] = {
        name: [part for body in every for part in body[name]] for name in (*COLLECTIONS, "skills")
    }
    problems = [problem for name in _BY_NAME for problem in _merge(merged, name, files, every)]
    problems += [each for file in files for each in _without_model(file, options)]
    problems += [] if options.allow_secrets else [each for file in files for each in _with_secrets(file)]
    if problems:
        raise AgentFileError("the agent files cannot be declared as they are", problems=problems)
    return _with_models(merged, options)


def _numbered(file: AgentFile, number: int) -> dict[str, Any]:
    """The parts of a file, with ids that no other file has."""
    body = file.body
    ids = {str(part["id"]): f"{part['id']}.{number}" for name in COLLECTIONS for part in body[name]}
    found = {
        name: [{**with_references(part, ids), "id": ids[part["id"]]} for part in body[name]] for name in COLLECTIONS
    }
    return {**found, "skills": body["skills"]}


def _merge(merged: dict[str, Any], name: str, files: Sequence[AgentFile], every: Sequence[Any]) -> Iterator[Problem]:
    """Leave each object of a unique name once. Yields those of which two files have different ones."""
    key, same = _BY_NAME[name]
    first: dict[str, tuple[Any, AgentFile]] = {}
    ids: dict[str, str] = {}
    for file, body in zip(files, every, strict=True):
        for number, part in enumerate(body[name]):
            known, other = first.setdefault(part[key], (part, file))
            ids[part["id"]] = known["id"]
            if known is not part and _content(known, same) != _content(part, same):
                message = (
                    f"{name}.{number}: {other.parsed.file} has another one named `{part[key]}`, and a server has one"
                )
                yield file.problem((name, number), message, "rename one of the two, or remove it")
    merged[name] = [part for part, _ in first.values()]
    for collection in COLLECTIONS:
        merged[collection] = [with_references(part, ids) for part in merged[collection]]
    for agent in merged["agents"]:
        for relation in REFERENCES:
            agent[relation] = list(dict.fromkeys(agent[relation]))


def _content(part: Mapping[str, Any], names: Iterable[str]) -> str:
    return canonical([part.get(name) or None for name in names])


def _without_model(file: AgentFile, options: Options) -> Iterator[Problem]:
    for number, agent in enumerate(file.body["agents"]):
        config = agent.get("llm_config") or {}
        if not (options.model or config.get("handle") or config.get("model") or agent.get("model")):
            yield file.problem(
                ("agents", number),
                f"agents.{number}: has no model",
                "`lettaform from-af FILE -o DIR --model HANDLE` gives it one",
            )


def _with_models(body: dict[str, Any], options: Options) -> dict[str, Any]:
    """The file with other models. What belongs to the model of the file, such as its context window, is left out."""
    model = (
        {"llm_config": {"handle": options.model}, **dict.fromkeys(("model", "model_settings"))} if options.model else {}
    )
    embedding = {"embedding_config": {"handle": options.embedding}, "embedding": None} if options.embedding else {}
    model |= dict.fromkeys(("context_window_limit", "max_tokens"), None) if options.model else {}
    body["agents"] = [{**agent, **model, **embedding} for agent in body["agents"]]
    body["sources"] = [{**source, **embedding} for source in body["sources"]]
    return body


# --- secrets ---------------------------------------------------------------------------------------------------------


def _with_secrets(file: AgentFile) -> Iterator[Problem]:
    """The texts that would be written and contain a secret."""
    secrets = [secrets_of(agent) for agent in file.body["agents"]]
    known = {value: f"the secret `{name}`" for each in secrets for name, value in each.items() if value}
    for path, text in _written(file.body):
        if found := find(text, known):
            message = f"{'.'.join(map(str, path))}: line {found.line} contains {found.what}"
            hint = "remove it from the file; `--allow-secrets` writes such texts"
            problem = file.problem(path, message, hint)
            yield Problem(problem.message, problem.place, problem.hint, secret=True)


def _written(body: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The texts that are declared, each with its path. Messages and the values of secrets are not among them."""
    fields = {
        "agents": ("name", "system", "description", "metadata", "tool_rules", "tags"),
        "blocks": ("value", "description", "metadata"),
        "tools": ("source_code", "description", "json_schema", "args_json_schema"),
        "sources": ("description", "instructions", "metadata"),
        "files": ("content",),
    }
    for name, properties in fields.items():
        for number, part in enumerate(body[name]):
            for each in properties:
                yield from _texts(part.get(each), (name, number, each))


def _texts(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _texts(item, (*path, key))


# --- what has no counterpart -----------------------------------------------------------------------------------------


def messages_left(body: Mapping[str, Any]) -> Iterator[NotDeclared]:
    """The messages of a file, which no manifest has."""
    for agent in body["agents"]:
        number = sum(each["role"] != "system" for each in agent["messages"])
        if number:
            reason = "a manifest has no messages: `lettaform import --af FILE --as ADDRESS` creates an agent with them"
            yield NotDeclared(f"{number} messages of {_shown(agent)}", reason)


def _shown(agent: Mapping[str, Any]) -> str:
    return f"agent `{agent.get('name') or agent['id']}`"


def without_counterpart(body: Mapping[str, Any]) -> Iterator[NotDeclared]:
    """What else a manifest cannot say of a file. `body`: as in the file."""
    for agent in body["agents"]:
        yield from (NotDeclared(f"{_shown(agent)}: {name}", reason) for name, reason in _lost(agent))
    for skill in body["skills"]:
        yield NotDeclared(f"skill `{skill['name']}`", "the server has no skills: clients of agents keep them")
    for server in body["mcp_servers"]:
        reason = "an agent file has no token, headers and variables: declare them if the server needs them"
        yield NotDeclared(f"mcp_server `{server['server_name']}`", reason)
    for group in body["groups"]:
        kind = (group.get("manager_config") or {}).get("manager_type", "round_robin")
        if group.get("shared_block_ids"):
            yield NotDeclared(
                f"group `{group.get('description') or kind}`",
                "shared blocks of a group: declare `blocks` of its members",
            )


def _lost(agent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Properties of an agent that no field manages, each with the reason."""
    config = agent.get("llm_config") or {}
    if config.get("frequency_penalty"):
        yield (
            "llm_config.frequency_penalty",
            f"the API of the server cannot set it; it is {config['frequency_penalty']}",
        )
    if agent.get("identity_ids"):
        yield "identity_ids", "an agent file has no identities"
    for name, reason in kinds()["agent"].unmanaged.items():
        if "templates" in reason and agent.get(name):
            yield name, reason


def unattached(body: Mapping[str, Any]) -> list[str]:
    """The ids of the blocks that no agent has."""
    held = {id for agent in body["agents"] for id in agent["block_ids"]}
    return [block["id"] for block in body["blocks"] if block["id"] not in held]
