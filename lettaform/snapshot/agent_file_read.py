"""The bytes of an agent file to its parts in the current generation, once everything in it is valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from lettaform.errors import AgentFileError, Problem, nearest
from lettaform.snapshot.agent_file_older import older_path, upgraded
from lettaform.snapshot.agent_file_schema import COLLECTIONS, REFERENCES, agent_file_schema
from lettaform.snapshot.agent_file_text import Parsed, Path, parse


@dataclass(frozen=True)
class AgentFile:
    """A valid agent file.

    parsed  the file as it is
    body    its parts in the current generation: every collection is a list
    older   whether the file is of the older generation
    """

    parsed: Parsed
    body: Mapping[str, Any] = field(repr=False)
    older: bool = False

    def problem(self, path: Path, message: str, hint: str | None = None) -> Problem:
        """A problem with the value at a path of `body`, at its place in the file."""
        return Problem(message, self.parsed.place(older_path(path) if self.older else path), hint)


def secrets_of(agent: Mapping[str, Any]) -> dict[str, str]:
    """Name to value of the secrets of an agent. The values are empty in files that a server exports."""
    every = {**(agent.get("tool_exec_environment_variables") or {}), **(agent.get("secrets") or {})}
    return {name: value or "" for name, value in every.items()}


def read(content: bytes, file: str) -> AgentFile:
    """An agent file. Raises AgentFileError with every problem and its place."""
    parsed = parse(content, file)
    problems = list(_schema_problems(parsed))
    found = None
    try:
        older = "agents" not in parsed.value
        found = AgentFile(parsed, upgraded(parsed.value) if older else _whole(parsed.value), older)
        problems += _reference_problems(found)
    except (KeyError, TypeError, AttributeError):
        if not problems:
            raise
        # what is malformed hides what refers to it
    if problems or found is None:
        message = f"{file} is not a valid agent file"
        raise AgentFileError(
            message, "`lettaform schema agent-file` prints the JSON Schema", tuple(dict.fromkeys(problems))
        )
    return found


def _whole(value: Mapping[str, Any]) -> dict[str, Any]:
    """A file in which each collection is a list, and the inline blocks and tools of agents are as those of others."""
    body = {**value, **{name: list(value.get(name) or ()) for name in (*COLLECTIONS, "skills")}}
    body["agents"] = [_agent(agent, body) for agent in body["agents"]]
    return body


def _agent(agent: Mapping[str, Any], body: Mapping[str, list[Any]]) -> dict[str, Any]:
    blocks, tools = body["blocks"], body["tools"]
    inline = [
        {**block, "id": f"block-inline-{len(blocks) + n}"} for n, block in enumerate(agent.get("memory_blocks") or ())
    ]
    blocks += inline
    lists = {name: list(agent.get(name) or ()) for name in (*REFERENCES, "messages", "in_context_message_ids")}
    lists["block_ids"] += [block["id"] for block in inline]
    for name in agent.get("tools") or ():
        if name not in (tool["name"] for tool in tools):
            tools.append({"id": f"tool-inline-{len(tools)}", "name": name, "tool_type": "letta_builtin"})
        lists["tool_ids"] += [tool["id"] for tool in tools if tool["name"] == name]
    return {**agent, **lists, "memory_blocks": [], "tools": []}


# --- the schema ------------------------------------------------------------------------------------------------------

_TYPES = {
    "string": "a text",
    "array": "a list",
    "object": "a map",
    "null": "null",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(agent_file_schema())


def _schema_problems(parsed: Parsed) -> Iterator[Problem]:
    for error in sorted(_validator().iter_errors(parsed.value), key=lambda each: list(map(str, each.absolute_path))):
        yield from (_problem(parsed, each) for each in _single(error))


def _single(error: Any) -> Iterator[Any]:
    """The errors of the branch that is meant, where a value may also be null."""
    inner = [each for each in error.context or () if each.validator != "type" or each.relative_path]
    meant = [each for each in inner if each.schema_path[0] == 0]
    yield from (meant or [error]) if error.validator == "anyOf" else [error]


def _problem(parsed: Parsed, error: Any) -> Problem:
    path = list(error.absolute_path)
    message, hint = _words(error, parsed.value)
    where = ".".join(map(str, path))
    return Problem(f"{where}: {message}" if where else message, parsed.place(path), hint)


def _words(error: Any, whole: Any) -> tuple[str, str | None]:
    """What is wrong, and a hint."""
    value, wanted = error.instance, error.validator_value
    match error.validator:
        case "required":
            missing = [name for name in wanted if name not in value]  # each of them is an error of its own
            near = nearest(missing[0], value)
            hint = f"did you mean `{missing[0]}`, and not `{near}`?" if near else _generation(error, whole)
            names = ", ".join(f"`{name}`" for name in missing)
            return f"{names} {'is' if len(missing) == 1 else 'are'} missing", hint
        case "type":
            types = [wanted] if isinstance(wanted, str) else list(wanted)
            return f"expected {' or '.join(_TYPES[each] for each in types)}, found {_found(value)}", None
        case "anyOf":
            return f"expected a map or null, found {_found(value)}", None
        case "enum":
            near = nearest(str(value), wanted)
            return (
                f"expected one of {', '.join(wanted)}, found {_found(value)}",
                f"did you mean `{near}`?" if near else None,
            )
        case "pattern":
            prefix = str(wanted).strip("^").partition("[")[0]
            return f"expected `{prefix}` and a number, found {_found(value)}", None
        case "minItems" | "minLength":
            return "is empty", None
        case "minimum":
            return f"expected at least {wanted}, found {value}", None
    return str(error.message), None


def _generation(error: Any, whole: Any) -> str | None:
    """What the two generations begin with, where a file has neither."""
    top = not list(error.absolute_path) and isinstance(whole, Mapping)
    if top and (near := nearest("agents", whole)):
        return f"did you mean `agents`, and not `{near}`?"
    return "a file of the current generation has `agents`, one of the older has `core_memory`" if top else None


def _found(value: Any) -> str:
    match value:
        case bool() | None:
            return str(value).lower().replace("none", "null")
        case str():
            return f'"{value[:40]}…"' if len(value) > 40 else f'"{value}"'
        case list() | dict():
            return "a list" if isinstance(value, list) else "a map"
    return str(value)


# --- references ------------------------------------------------------------------------------------------------------


def _reference_problems(file: AgentFile) -> Iterator[Problem]:
    """Ids that stand twice, and ids that nothing in the file has. A server stops half-way at such a file."""
    body = file.body
    for name in COLLECTIONS:
        yield from _twice(file, (name,), body[name])
    ids = {name: [each["id"] for each in body[name]] for name in COLLECTIONS}
    for number, agent in enumerate(body["agents"]):
        at = ("agents", number)
        for name, to in REFERENCES.items():
            yield from _missing(file, (*at, name), agent[name], ids[to])
        messages = [message["id"] for message in agent["messages"]]
        yield from _twice(file, (*at, "messages"), agent["messages"])
        yield from _missing(file, (*at, "in_context_message_ids"), agent["in_context_message_ids"], messages)
    for number, each in enumerate(body["files"]):
        yield from _missing(file, ("files", number, "source_id"), [each["source_id"]], ids["sources"], single=True)
    for number, group in enumerate(body["groups"]):
        yield from _missing(file, ("groups", number, "agent_ids"), group["agent_ids"], ids["agents"])
        manager = (group.get("manager_config") or {}).get("manager_agent_id")
        path = ("groups", number, "manager_config", "manager_agent_id")
        yield from _missing(file, path, [manager] if manager else [], ids["agents"], single=True)


def _twice(file: AgentFile, path: Path, parts: list[Any]) -> Iterator[Problem]:
    seen = set[str]()
    for number, each in enumerate(parts):
        if each["id"] in seen:
            yield file.problem((*path, number, "id"), f"`{each['id']}` stands twice in {'.'.join(map(str, path))}")
        seen.add(each["id"])


def _missing(
    file: AgentFile, path: Path, wanted: list[str], known: list[str], *, single: bool = False
) -> Iterator[Problem]:
    for number, id in enumerate(wanted):
        if id not in known:
            at = path if single else (*path, number)
            near = nearest(id, known) if not id.startswith("block-inline-") else None
            message = f"{'.'.join(map(str, path))}: the file has no `{id}`"
            yield file.problem(at, message, f"did you mean `{near}`?" if near else None)
