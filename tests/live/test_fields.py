"""Every line of every kind on a real server: born, changed, drifted, cleared, replaced; and nothing left to plan.

One fleet, one object for each line: each stage is one plan and one apply of all of them, and the tests look at what
was seen of the line that they are about. A new field needs two example values in VALUES, and no other code.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.address import Address
from lettaform.backend.v1.client import Client
from lettaform.errors import Guarded, Place, PlanError, Problem
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind, Never
from lettaform.kinds.tool import Tool
from lettaform.kinds.traits import Owner, Parts
from lettaform.model import AgentChange, Change, Desired, External, Live, Manifest, Plan, PlanOptions, Report
from lettaform.values import Ref, Secret, canonical, fill
from tests.live import versions

STACK = "fld-fields"
HERE = Place("fields.yaml", 1, 1)


# --- the values ------------------------------------------------------------------------------------------------------


def block(key: str) -> Ref:
    return Ref(Address.of("blocks", key))


def tool(key: str) -> Ref:
    return Ref(Address.of("tools", key))


def folder(key: str) -> Ref:
    return Ref(Address.of("folders", key))


def identity(key: str) -> Ref:
    return Ref(Address.of("identities", key))


def agent(key: str) -> Ref:
    return Ref(Address.of("agents", key))


def source(name: str, body: str = "sunny") -> str:
    """A tool's source; `NAME` is replaced by a name of its own for each line."""
    return f'''def {name}(city: str) -> str:
    """Tell the weather.

    Args:
        city (str): Which city.

    Returns:
        str: The weather.
    """
    return "{body} in " + city
'''


def schema(description: str) -> dict[str, Any]:
    city = {"type": "string", "description": "Which city."}
    parameters = {"type": "object", "properties": {"city": city}, "required": ["city"]}
    return {"name": "NAME", "description": description, "parameters": parameters}


def rules(kind: str, **more: Any) -> list[dict[str, Any]]:
    return [{"type": kind, "tool_name": "web_search", **more}]


KEY = Secret("literal", "a-key-of-ours")
MODEL, EMBEDDING, OTHER_MODEL, OTHER_EMBEDDING = "MODEL", "EMBEDDING", "letta/letta-free", "letta/letta-free"

UNTOLD = 'def NAME(city: str) -> str:\n    """Tell the weather."""\n    return "sunny"\n'
ARGUMENTS = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}

SCRIPT = str(Path(__file__).with_name("mcp_one.py"))


def script(name: str) -> list[str]:
    """Arguments of an MCP server that offers one tool, of this name."""
    return [SCRIPT, name]


VALUES: dict[str, tuple[Any, Any]] = {
    "agent.name": ("fld one", "fld two"),
    "agent.description": ("One.", "Two.\n"),
    "agent.model": (MODEL, OTHER_MODEL),
    "agent.model: with settings": (MODEL, OTHER_MODEL),
    "agent.embedding": (EMBEDDING, OTHER_EMBEDDING),
    "agent.system": ("You are one.", " You are two.\r\n"),
    "agent.agent_type": ("letta_v1_agent", "memgpt_v2_agent"),
    "agent.blocks": ([block("one"), block("two")], [block("two"), block("three")]),
    "agent.tools": ([tool("fld_aux"), tool("web_search")], [tool("web_search"), tool("run_code")]),
    "agent.tool_rules": (rules("run_first"), rules("exit_loop")),
    "agent.tool_rules: children": (
        rules("constrain_child_tools", children=["run_code"]),
        rules("parent_last_tool", children=["run_code"]),
    ),
    "agent.tool_rules: conditional": (
        rules("conditional", child_output_mapping={"a": "run_code"}),
        rules("conditional", child_output_mapping={"a": "run_code"}, default_child="fetch_webpage"),
    ),
    "agent.tool_rules: conditional, strict": (
        rules("conditional", child_output_mapping={"a": "run_code"}, require_output_mapping=True),
        rules("conditional", child_output_mapping={"a": "run_code"}, require_output_mapping=False),
    ),
    "agent.tool_rules: counted": (rules("max_count_per_step", max_count_limit=1), rules("required_before_exit")),
    "agent.tool_rules: first with arguments": (
        rules("run_first", args={"query": "a"}, prompt_template="First {{ tool_name }}."),
        rules("run_first", args={"query": "b"}, prompt_template="First {{ tool_name }}."),
    ),
    "agent.tool_rules: approval": (rules("requires_approval"), rules("continue_loop")),
    "agent.tool_rules: first with a template": (
        rules("run_first", prompt_template="First {{ tool_name }}."),
        rules("run_first", prompt_template="At first {{ tool_name }}."),
    ),
    "agent.tool_rules: two": (rules("run_first") + rules("exit_loop"), rules("exit_loop") + rules("run_first")),
    "agent.secrets": ({"FLD_A": Secret("literal", "one-one")}, {"FLD_A": Secret("literal", "two-two")}),
    "agent.secrets: one goes": (
        {"FLD_A": Secret("literal", "one-one"), "FLD_B": Secret("literal", "stays")},
        {"FLD_A": None, "FLD_B": Secret("literal", "stays")},
    ),
    "agent.tags": (["fld-one", "fld-two"], ["fld-two", "fld, three"]),
    "agent.metadata": ({"a": 1, "b": {"c": [1, None, 1.5]}}, {"a": 2, "b": {"c": [1, None, 1.5]}}),
    "agent.metadata: one goes": ({"a": 1, "b": 1}, {"a": 1, "b": None}),
    "agent.context_window": (20000, 21000),
    "agent.max_tokens": (1000, 2000),
    "agent.model_settings": (
        {"provider_type": "openai", "temperature": 0.25},
        {"provider_type": "openai", "temperature": 0.5},
    ),
    "agent.model_settings: beside others": (
        {"provider_type": "openai", "temperature": 0.25},
        {"provider_type": "openai", "temperature": 0.5},
    ),
    "agent.model_settings: effort": (
        {"provider_type": "openai", "reasoning": {"reasoning_effort": "low"}, "strict": False},
        {"provider_type": "openai", "reasoning": {"reasoning_effort": "medium"}, "strict": True},
    ),
    "agent.model_settings: tokens": (
        {"provider_type": "openai", "max_output_tokens": 1000},
        {"provider_type": "openai", "max_output_tokens": 2000},
    ),
    "agent.model_settings: parallel": (
        {"provider_type": "openai", "parallel_tool_calls": False},
        {"provider_type": "openai", "parallel_tool_calls": True},
    ),
    "agent.model_settings: format": (
        {"provider_type": "openai", "response_format": {"type": "json_object"}},
        {"provider_type": "openai", "response_format": {"type": "text"}},
    ),
    "agent.parallel_tool_calls": (True, False),
    "agent.parallel_tool_calls: on": (False, True),
    "agent.reasoning": (True, False),
    "agent.reasoning: on": (False, True),
    "agent.response_format": ({"type": "json_object"}, {"type": "text"}),
    "agent.response_format: schema": (
        {"type": "json_schema", "json_schema": {"name": "one", "schema": {"type": "object"}}},
        {"type": "json_schema", "json_schema": {"name": "two", "schema": {"type": "object"}}},
    ),
    "agent.compaction_settings": ({"clip_chars": 30000}, {"clip_chars": 40000}),
    "agent.compaction_settings: prompt": (
        {"mode": "all", "prompt": "Sum up."},
        {"mode": "sliding_window", "prompt": "Sum it up."},
    ),
    "agent.compaction_settings: prompt stays": (
        {"mode": "all", "prompt": "Sum up.", "sliding_window_percentage": 0.4},
        {"mode": "sliding_window", "prompt": "Sum up.", "sliding_window_percentage": 0.5},
    ),
    "agent.compaction_settings: model": (
        {"model": "openai/gpt-4o-mini", "prompt_acknowledgement": True},
        {"model": "openai/gpt-4o", "prompt_acknowledgement": False},
    ),
    "agent.message_buffer_autoclear": (True, False),
    "agent.timezone": ("Europe/Berlin", "Asia/Tokyo"),
    "agent.max_files_open": (7, 8),
    "agent.per_file_view_window_char_limit": (7000, 8000),
    "agent.hidden": (True, False),
    "agent.embedding_chunk_size": (200, 400),
    "agent.max_reasoning_tokens": (100, 200),
    "agent.include_base_tools": (True, False),
    "agent.include_multi_agent_tools": (True, False),
    "agent.include_base_tool_rules": (True, False),
    "agent.initial_message_sequence": (
        [{"role": "user", "content": "One."}],
        [{"role": "user", "content": "Two."}],
    ),
    "agent.project_id": ("project-one", "project-two"),
    "agent.folders": ([folder("one")], [folder("two"), folder("three")]),
    "agent.identities": ([identity("one"), identity("two")], [identity("two"), identity("three")]),
    "archive.name": ("fld one", "fld two"),
    "archive.description": ("One.", "Two.\nAnd three."),
    "archive.embedding": (EMBEDDING, OTHER_EMBEDDING),
    "conversation.summary": ("fld one", "fld two"),
    "conversation.agent": (agent("m_one"), agent("m_two")),
    "conversation.isolated": (["human"], ["human", "notes"]),
    "conversation.model": (MODEL, OTHER_MODEL),
    "conversation.model_settings": (
        {"provider_type": "openai", "temperature": 0.25},
        {"provider_type": "openai", "temperature": 0.5},
    ),
    "mcp_server.name": ("NAME", "NAME-anew"),
    "mcp_server.command": (sys.executable, os.path.realpath(sys.executable)),
    "mcp_server.args": (["NAME"], ["NAME_anew"]),
    "mcp_server.env": (
        {"A": Secret("literal", "one-one"), "B": Secret("literal", "stays")},
        {"A": Secret("literal", "two-two"), "B": Secret("literal", "stays")},
    ),
    "mcp_server.env: one goes": (
        {"A": Secret("literal", "one-one"), "B": Secret("literal", "stays")},
        {"A": None, "B": Secret("literal", "stays")},
    ),
    "folder.name": ("NAME", "NAME anew"),
    "folder.description": ("One.", "Two."),
    "folder.instructions": ("One.", "Two."),
    "folder.embedding": (EMBEDDING, OTHER_EMBEDDING),
    "folder.embedding_chunk_size": (200, 400),
    "folder.metadata": ({"a": 1, "b": {"c": 1}}, {"a": 2, "b": {"c": 1}}),
    "group.description": ("fld one", "fld two"),
    "group.type": ("supervisor", "dynamic"),
    "group.agents": ([agent("m_one")], [agent("m_two"), agent("m_one")]),
    "group.manager": (agent("m_three"), agent("m_four")),
    "group.max_turns": (3, 4),
    "group.termination_token": ("OVER", "OUT"),
    "identity.identifier_key": ("NAME", "NAME-anew"),
    "identity.name": ("Ada", "Bob"),
    "identity.identity_type": ("user", "org"),
    "identity.properties": (
        {"city": "London", "age": 36, "size": 1.5, "able": True, "born": {"year": 1815}},
        {"city": "Paris", "age": 37, "size": 2.5, "able": False, "born": {"year": 1816}},
    ),
    "identity.project_id": ("project-one", "project-two"),
    "provider.name": ("NAME", "NAME-anew"),
    "provider.provider_type": ("openai", "vllm"),
    "provider.api_key": (Secret("literal", "one-one"), Secret("literal", "two-two")),
    "provider.access_key": (Secret("literal", "one-one"), Secret("literal", "two-two")),
    "provider.base_url": ("http://127.0.0.1:9/v1", "http://127.0.0.1:10/v1"),
    "provider.region": ("one", "two"),
    "provider.api_version": ("1", "2"),
    "block.label": ("fld-one", "fld two"),
    "block.value": ("One.\n", "  Two.\r\n\t"),
    "block.description": ("One.", "Two."),
    "block.limit": (1000, 2000),
    "block.read_only": (True, False),
    "block.hidden": (True, False),
    "block.tags": (["fld-one", "fld-two"], ["fld-two", "fld, three"]),
    "block.metadata": ({"a": 1, "b": {"c": 1}}, {"a": 2, "b": {"c": 1}}),
    "block.project_id": ("project-one", "project-two"),
    "tool.name": (source("NAME"), source("NAME_anew")),
    "tool.source": (source("NAME"), source("NAME", "rainy")),
    "tool.source: with a schema": (source("NAME"), source("NAME", "rainy")),
    "tool.source: with arguments": (source("NAME"), source("NAME", "rainy")),
    "tool.source: with another docstring": (source("NAME"), source("NAME").replace("Tell", "Say")),
    "tool.source_type": ("python", "typescript"),
    "tool.json_schema": (schema("One."), schema("Two.")),
    "tool.args_json_schema": (schema("One.")["parameters"], {"type": "object", "properties": {}, "required": []}),
    "tool.args_json_schema: told by nothing else": (schema("One.")["parameters"], ARGUMENTS),
    "tool.description": ("One.", "Two."),
    "tool.return_char_limit": (1000, 2000),
    "tool.pip_requirements": ([{"name": "one"}, {"name": "two", "version": "1.0"}], [{"name": "two"}]),
    "tool.npm_requirements": ([{"name": "one"}, {"name": "two", "version": "1.0"}], [{"name": "two"}]),
    "tool.default_requires_approval": (True, False),
    "tool.enable_parallel_execution": (True, False),
    "tool.tags": (["fld-one", "fld-two"], ["fld-two", "fld, three"]),
}
"""`kind.field`, or `kind.field: of what`, to two values that differ."""


def _everything(kind: str, which: int) -> Mapping[str, Any]:
    """Every line of a kind that a living object can change, but those whose values go with others'."""
    apart = ("name", "label", "description", "model", "source_type", "folders", "identities")
    lines = kinds()[kind].attrs().values()
    names = [
        line.name
        for line in lines
        if not (line.create_only or line.immutable or line.related(Parts) or line.attached())
    ]
    return {name: VALUES[f"{kind}.{name}"][which] for name in names if f"{kind}.{name}" in VALUES and name not in apart}


WHOLE = [f"{kind}.description: beside everything" for kind in ("agent", "block", "folder", "tool")]
VALUES |= {name: VALUES[name.partition(":")[0]] for name in WHOLE}
VALUES = {name: pair for name, pair in VALUES.items() if not versions.missing(f"values::{name}")}

ELSEWHERE: dict[str, str] = {
    "agent.archive": "tests/live/test_folders.py",
    "agent.sleeptime": "tests/live/test_sleeptime.py",
    "archive.passages": "tests/live/test_folders.py",
    "folder.files": "tests/live/test_folders.py",
    "group.frequency": "tests/live/test_sleeptime.py",
    "mcp_server.type": "tests/live/test_mcp_http.py",
    "mcp_server.url": "tests/live/test_mcp_http.py",
    "mcp_server.token": "tests/live/test_mcp_http.py",
    "mcp_server.headers": "tests/live/test_mcp_http.py",
    "tool.mcp": "tests/live/test_mcp.py",
}
"""Lines that one request cannot give two values, and where they are tried."""
ELSEWHERE |= {f"schedule.{name}": "tests/test_cloud.py" for name in kinds()["schedule"].attrs()}

BESIDE: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "agent.max_reasoning_tokens": ({"max_tokens": 4000}, {"max_tokens": 4000}),
    "agent.model: with settings": (
        {"model_settings": {"provider_type": "openai", "temperature": 0.25, "strict": False}},
        {"model_settings": {"provider_type": "openai", "temperature": 0.5, "strict": False}},
    ),
    "agent.model_settings: beside others": (
        {"context_window": 20000, "max_tokens": 1000, "parallel_tool_calls": False, "reasoning": False},
        {"context_window": 20000, "max_tokens": 1000, "parallel_tool_calls": False, "reasoning": False},
    ),
    "group.type": ({"manager": agent("m_five")}, {"manager": agent("m_five")}),
    "group.manager": ({"type": "supervisor"}, {"type": "supervisor"}),
    "group.termination_token": (
        {"type": "dynamic", "manager": agent("m_six")},
        {"type": "dynamic", "manager": agent("m_six")},
    ),
    "mcp_server.args": ({"command": SCRIPT}, {"command": SCRIPT}),
    "tool.source: with a schema": (
        {"json_schema": schema("One."), "description": "One."},
        {"json_schema": schema("One."), "description": "One."},
    ),
    "tool.source: with arguments": ({"args_json_schema": ARGUMENTS}, {"args_json_schema": ARGUMENTS}),
    "tool.args_json_schema: told by nothing else": ({"source": UNTOLD}, {"source": UNTOLD}),
    "tool.source_type": (
        {"source": source("NAME"), "json_schema": schema("One.")},
        {"source": "export function NAME(city: string) { return city }", "json_schema": schema("One.")},
    ),
}
"""What must stand beside the two values."""
BESIDE |= {name: (_everything(name.split(".")[0], 0), _everything(name.split(".")[0], 1)) for name in WHOLE}

ALONG: dict[str, frozenset[str]] = {
    "agent.model: with settings": frozenset({"model_settings"}),
    "tool.name": frozenset({"source"}),
    "tool.source_type": frozenset({"source"}),
}
"""What a plan shows beside the field that changes."""
ALONG |= {name: frozenset(BESIDE[name][0]) for name in WHOLE}

UNDRIFTED: Mapping[str, str] = {
    "agent.tool_rules: approval": "a rule that asks for approval is taken for the server's own, and kept",
    "tool.name": "a rename from outside is another source, json_schema and name at once",
    "agent.model_settings: beside others": "0.16.8 resets the declared parallel_tool_calls with it",
}
"""What cannot be changed behind our back by one PATCH, and why."""

MOVES: Mapping[str, frozenset[str]] = {
    "agent.model": frozenset(
        {"context_window", "max_tokens", "model_settings", "parallel_tool_calls", "compaction_settings"}
    ),
    "agent.parallel_tool_calls": frozenset({"model_settings"}),
    "agent.folders": frozenset({"tools"}),
    "agent.max_tokens": frozenset({"model_settings"}),
    "agent.model_settings": frozenset({"max_tokens", "parallel_tool_calls"}),
    "tool.name": frozenset({"json_schema", "description"}),
    "tool.source": frozenset({"json_schema", "description"}),
    "tool.source_type": frozenset({"json_schema", "description"}),
    "tool.args_json_schema": frozenset({"json_schema", "description"}),
}
"""What else may change on the server."""

FOLLOWS: Mapping[str, frozenset[str]] = {
    "tool.name": frozenset({"json_schema"}),
    "tool.source: with another docstring": frozenset({"json_schema", "description"}),
    "tool.args_json_schema": frozenset({"json_schema"}),
}
"""What else must change: it is derived from the field."""


# --- the fleet -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One object whose line `field` has first one value and then the other."""

    name: str
    kind: str
    field: str
    address: Address
    values: tuple[Mapping[str, Any], Mapping[str, Any]]

    @property
    def table(self) -> type[Kind]:
        return kinds()[self.kind]

    @property
    def line(self) -> Attr:
        return self.table.attrs()[self.field]

    def at(self, stage: str) -> Mapping[str, Any]:
        """The object's values in a stage of the journey."""
        old, new = self.values
        if stage == "born" or (self.line.immutable and stage != "replaced"):
            return old
        if stage in ("cleared", "replaced") and self.clears:
            return {**new, self.field: None}
        return new

    @property
    def moves(self) -> set[str]:
        """The fields that differ between the two values."""
        return {self.field} | ALONG.get(self.name.replace("own.", "block."), frozenset())

    @property
    def changes(self) -> bool:
        """Whether a living object can get the other value."""
        return not (self.line.create_only or self.line.immutable)

    @property
    def clears(self) -> bool:
        return self.changes and self.line.clear is not Never

    def drifted(self, answer: Callable[[Ref], Any]) -> dict[str, Any]:
        """A request that gives the line its first value again."""
        names = [name for name in self.values[0] if self.values[0][name] != self.values[1].get(name)]
        attrs = self.table.attrs()
        lines = [attrs[name] for name in names if attrs[name].write]
        return {line.write or "": [] if line.additive else fill(self.values[0][line.name], answer) for line in lines}


@dataclass
class Seen:
    """What one stage showed of one case. `sent`: bodies of requests; `had` and `has`: live values around the apply."""

    change: Change | None = None
    problems: list[Problem] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    runtime: list[AgentChange] = field(default_factory=list)
    sent: list[Mapping[str, Any]] = field(default_factory=list)
    had: Live | None = None
    has: Live | None = None
    blocks: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    refusal: type[Exception] | None = None

    @property
    def paths(self) -> set[str]:
        return {difference.path for difference in self.change.fields_changed} if self.change else set()

    @property
    def fields(self) -> set[str]:
        return {path.split(".")[0] for path in self.paths}


def cases(model: str, embedding: str) -> list[Case]:
    """Every line that VALUES knows, on its own; every line of a block once more, as an agent's own."""
    handles = {MODEL: model, EMBEDDING: embedding}
    found = []
    for name, values in VALUES.items():
        kind, field = name.partition(":")[0].split(".")
        key = "fld_" + re.sub(r"\W+", "_", name if kind in ("provider", "mcp_server") else name.partition(".")[2])
        address = Address(kinds()[kind].section, key)
        found.append(Case(name, kind, field, address, _pair(name, kind, field, key, values, handles)))
        if kind == "block":
            owned = Address.of("agents", "fld_owner").part("memory", key)
            found.append(Case(name.replace("block", "own"), kind, field, owned, found[-1].values))
    return found


def _pair(
    name: str, kind: str, field: str, key: str, values: tuple[Any, Any], handles: Mapping[str, str]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    base: Mapping[str, Any] = {
        "agent": {"name": key, "model": handles[MODEL], "embedding": handles[EMBEDDING], "include_base_tools": False},
        "block": {"label": key, "value": "Nothing."},
        "tool": {"source": source("NAME")},
        "archive": {"name": key},
        "folder": {"name": key, "embedding": handles[EMBEDDING]},
        "group": {"description": key, "type": "round_robin", "agents": [agent("m_one")]},
        "conversation": {"summary": key, "agent": agent("m_one")},
        "mcp_server": {"name": key, "type": "stdio", "command": sys.executable, "args": script(key)},
        "identity": {"identifier_key": key, "name": "Ada", "identity_type": "user"},
        "provider": {"name": key, "provider_type": "openai", "api_key": KEY, "base_url": "http://127.0.0.1:9/v1"},
    }[kind]
    field = {"tool.name": "source"}.get(name, field)
    beside = BESIDE.get(name, ({}, {}))
    old, new = ({**base, **more, field: value} for more, value in zip(beside, values, strict=True))
    return _named(kind, key, old, handles), _named(kind, key, new, handles)


def _named(kind: str, key: str, values: Mapping[str, Any], handles: Mapping[str, str]) -> Mapping[str, Any]:
    def filled(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: filled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [filled(item) for item in value]
        return handles.get(value, value.replace("NAME", key)) if isinstance(value, str) else value

    values = filled(values)
    return {**values, "name": Tool.naming.derive(values)} if kind == "tool" else values


def manifest(cases: list[Case], stage: str) -> Manifest:
    """The fleet, as it is wanted in a stage."""
    objects: dict[Address, Desired] = {}

    def want(address: Address, kind: str, values: Mapping[str, Any], **more: Any) -> None:
        objects[address] = Desired(address, kind, values, HERE, **more)

    for key in ("one", "two", "three"):
        want(Address.of("blocks", key), "block", {"label": key, "value": key}, policies={"value": "enforce"})
    want(Address.of("tools", "fld_aux"), "tool", {"source": source("fld_aux"), "name": "fld_aux"})
    for key in ("web_search", "run_code"):
        want(Address.of("tools", key), "tool", {}, external=External(name=key))
    for key in ("one", "two", "three"):
        values = {
            "name": f"fld-{key}",
            "embedding": next(c.at("born")["embedding"] for c in cases if c.kind == "folder"),
        }
        want(Address.of("folders", key), "folder", values)
        values = {"identifier_key": f"fld-{key}", "name": key, "identity_type": "user"}
        want(Address.of("identities", key), "identity", values)
    model = next(case.at("born")["model"] for case in cases if case.kind == "agent")
    for key in ("m_one", "m_two", "m_three", "m_four", "m_five", "m_six"):
        want(Address.of("agents", key), "agent", {"name": key, "model": model, "include_base_tools": False})
        for label in ("human", "notes"):
            want(Address.of("agents", key).part("memory", label), "block", {"label": label, "value": "Nothing."})
    keeper = next(case.at("born") for case in cases if case.kind == "agent")
    want(Address.of("agents", "fld_owner"), "agent", {**keeper, "name": "fld_owner"})
    for case in cases:
        values = case.at(stage)
        if case.line.immutable and case.kind == "agent":
            values = {"blocks": [block("one")], **values}
            want(case.address.part("memory", "human"), "block", {"label": "human", "value": "Ada."})
        policies = {"value": "enforce"} if case.kind == "block" else {}
        want(case.address, case.kind, values, policies=policies)
    return Manifest(STACK, objects)


# --- the journey -----------------------------------------------------------------------------------------------------


@dataclass
class Log:
    """What each stage of a journey showed of each case, and `others`: what it planned beside them."""

    cases: Mapping[str, Case]
    seen: dict[tuple[str, str], Seen] = field(default_factory=dict)
    others: dict[str, list[str]] = field(default_factory=dict)

    def nothing(self, stage: str, name: str) -> None:
        """Hold that a plan had nothing to do with a case."""
        seen = self.seen[stage, name]
        assert (seen.change, seen.problems, seen.runtime) == (None, [], [])


class Journey:
    """The fleet's way through every stage, written down in a Log."""

    def __init__(self, url: str, token: str | None, folder: Path, cases: list[Case]) -> None:
        self.cases = {case.address: case for case in cases}
        self.source, self.connection = flow.Source(folder), flow.Connection(url, token)
        self.http = httpx.Client(base_url=url, headers=_bearer(token), timeout=60)
        self.log = Log({case.name: case for case in cases})
        self.wanted = Manifest(STACK, {})
        self.stillborn: set[Address] = set()
        self.bodies: list[tuple[str, Mapping[str, Any]]] = []

    def run(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(flow, "read", lambda source: self.wanted)
        patch.setattr(Client, "send", _overheard(Client.send, self.bodies))
        self.stage("born", "born", apply=True)
        self.stage("born, again", "born")
        self.stage("born, once more", "born")
        self.stage("changed", "changed", apply=True)
        self.stage("changed, again", "changed")
        self.drift()
        self.stage("drifted", "changed", apply=True)
        self.stage("drifted, again", "changed")
        self.stage("cleared", "cleared", apply=True)
        self.stage("cleared, again", "cleared")
        self.stage("unconsented", "replaced")
        self.stage("replaced", "replaced", apply=True, options=PlanOptions(allow_destroy=("*",)))
        self.stage("replaced, again", "replaced")

    def stage(self, name: str, values: str, *, apply: bool = False, options: PlanOptions | None = None) -> None:
        """Plan, and apply if told so; a case of which the plan complains is left out and noted."""
        seen = {address: Seen() for address in self.cases}
        self.log.seen |= {(name, self.cases[address].name): each for address, each in seen.items()}
        before = self.live() if apply else {}
        self.bodies.clear()
        plan, report = self.attempt(values, seen, apply, options or PlanOptions())
        after = self.live() if apply else {}
        for change in plan.changes:
            case = self.cases.get(change.address)
            if case is not None:
                seen[change.address].change = change
            elif not apply:
                self.log.others.setdefault(name, []).append(f"{change.action} {change.address}")
        for runtime in plan.runtime:
            if runtime.address in seen:
                seen[runtime.address].runtime.append(runtime)
        for outcome in report.outcomes if report else ():
            if outcome.error is not None and outcome.step.address in seen:
                seen[outcome.step.address].errors.append(str(outcome.error))
            elif outcome.status != "done":
                told = f"{outcome.step.key}: {outcome.status} {outcome.error or outcome.because}"
                self.log.others.setdefault(name, []).append(told)
        for address, each in seen.items():
            each.had, each.has = before.get(address), after.get(address)
            ids = {live.id for live in (each.had, each.has) if live}
            claim = f"lettaform:addr={address}"
            each.sent = [body for id, body in self.bodies if id in ids]
            each.sent += [
                part for _, body in self.bodies for part in body.get("memory_blocks", ()) if claim in part["tags"]
            ]
            each.blocks = (self.hung(before, each.had), self.hung(after, each.has))

    def attempt(
        self, values: str, seen: dict[Address, Seen], apply: bool, options: PlanOptions
    ) -> tuple[Plan, Report | None]:
        left_out = set(self.stillborn)
        while True:
            self.wanted = manifest([case for case in self.cases.values() if case.address not in left_out], values)
            try:
                if apply:
                    return flow.apply(self.source, self.connection, options)
                return flow.plan(self.source, self.connection, options), None
            except PlanError as error:
                addresses = {Address.parse(each.address) for each in error.problems if each.address}
                if not addresses - left_out:
                    raise
                for problem in error.problems:
                    where = Address.parse(problem.address or "")
                    if where in seen:
                        seen[where].problems.append(problem)
                        seen[where].refusal = type(error)
                left_out |= addresses
                self.stillborn |= addresses if values == "born" else set()

    def drift(self) -> None:
        """Give every line its first value back, behind our back."""
        live = self.live()
        for address, case in self.cases.items():
            if not case.changes or address not in live or case.name in UNDRIFTED:
                continue
            body = case.drifted(lambda ref: live[ref.address].id)
            path = f"{case.table.path}{live[address].id}"
            now = self.http.get(path).raise_for_status().json()
            body = body if case.kind in ("agent", "tool") else dict(case.table.encode(body, now))
            if "tags" in body:
                body["tags"] += [tag for tag in now["tags"] if tag.startswith("lettaform:")]
            if "metadata" in body:
                body["metadata"] |= {"lettaform": now["metadata"]["lettaform"]}
            if "tool_rules" in body:  # 0.16.8 takes rules that differ in their arguments alone for the same
                self.http.patch(path, json={"tool_rules": []}).raise_for_status()
            answer = self.http.patch(path, json=body)
            assert answer.is_success, f"{case.name}: {answer.text}"

    def live(self) -> dict[Address, Live]:
        """What is live, by address."""
        return {live.address: live for live in flow.show(self.source, self.connection) if live.address}

    def hung(self, observed: Mapping[Address, Live], live: Live | None) -> frozenset[str]:
        """The ids of the blocks that hang on an agent."""
        return frozenset(live.values.get("blocks") or ()) if live else frozenset()

    def clean(self) -> None:
        """Delete the fleet, whatever became of it."""
        for path in ("/v1/agents/", "/v1/blocks/"):
            shown = {"tags": f"lettaform:stack={STACK}", "limit": 1000}
            shown |= {"show_hidden_agents": True, "show_hidden_blocks": True}
            for body in self.http.get(path, params=shown).raise_for_status().json():
                self.http.delete(f"{path}{body['id']}")
        for body in self.http.get("/v1/tools/", params={"limit": 1000}).raise_for_status().json():
            if f"lettaform:stack={STACK}" in body["tags"]:
                self.http.delete(f"/v1/tools/{body['id']}")
        for path, name in NAMED:
            for body in self.http.get(path, params={"limit": 1000}).raise_for_status().json():
                if body[name].startswith("fld") or f"{STACK} " in (body.get("description") or ""):
                    self.http.delete(f"{path}{body['id']}")


NAMED = (
    ("/v1/groups/", "description"),
    ("/v1/mcp-servers/", "server_name"),
    ("/v1/folders/", "name"),
    ("/v1/archives/", "name"),
    ("/v1/identities/", "identifier_key"),
    ("/v1/providers/", "name"),
)


def _bearer(token: str | None) -> dict[str, str]:
    return {"User-Agent": "lettaform-test", **({"Authorization": f"Bearer {token}"} if token else {})}


def _overheard(send: Callable[..., Any], bodies: list[tuple[str, Mapping[str, Any]]]) -> Callable[..., Any]:
    async def listen(client: Client, method: str, path: str, **told: Any) -> Any:
        answer = await send(client, method, path, **told)
        if isinstance(told.get("body"), Mapping) and isinstance(answer, Mapping) and "id" in answer:
            bodies.append((answer["id"], told["body"]))
        return answer

    return listen


@pytest.fixture(scope="module")
def log(letta: Any, tmp_path_factory: pytest.TempPathFactory) -> Log:
    """One journey for a test run: of its workers the first makes it, and the others read what it wrote down."""
    told = Path(os.environ["LETTAFORM_TEST_RUN"]) / "fields"
    told.parent.mkdir(exist_ok=True)
    with told.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            told.write_bytes(pickle.dumps(_travel(letta, tmp_path_factory.mktemp("fields"))))
    found: Log = pickle.loads(told.read_bytes())
    return found


def _travel(letta: Any, folder: Path) -> Log:
    journey = Journey(letta.url, letta.password, folder, cases(letta.model, letta.embedding))
    journey.clean()
    try:
        with pytest.MonkeyPatch.context() as patch:
            journey.run(patch)
    finally:
        journey.clean()
        journey.http.close()
    return journey.log


# --- the tests -------------------------------------------------------------------------------------------------------

LINES = [f"{kind}.{name}" for kind, table in kinds().items() for name in table.attrs()]
NAMES = [*VALUES, *(name.replace("block", "own") for name in VALUES if name.startswith("block."))]


def _line(name: str) -> Attr:
    kind, field = name.partition(":")[0].replace("own.", "block.").split(".")
    return kinds()[kind].attrs()[field]


def every(wanted: Callable[[Attr], bool] = lambda line: True) -> Any:
    """The names of cases, for a test."""
    return pytest.mark.parametrize("name", [name for name in NAMES if wanted(_line(name))])


def every_stage() -> Any:
    """The names of cases that live on, and each stage that writes to them."""
    names = [name for name in NAMES if not _line(name).immutable]
    pairs = [(name, stage) for stage in ("changed", "drifted", "cleared") for name in names]
    return pytest.mark.parametrize(("name", "stage"), pairs)


@pytest.mark.parametrize("name", LINES)
def test_every_line_has_two_values_to_be_tried_with(name: str) -> None:
    if _line(name).related(Parts):
        pytest.skip("its values are objects of their own: the cases `own.*`")
    if name in ELSEWHERE:
        assert name not in VALUES
        assert (Path(__file__).parents[2] / ELSEWHERE[name]).exists()
        return
    assert name in VALUES, f"give `{name}` two values in VALUES of {Path(__file__).name}"
    old, new = VALUES[name]
    assert old != new


def test_every_case_is_about_a_line() -> None:
    assert {name.partition(":")[0] for name in (*VALUES, *MOVES)} <= set(LINES)
    assert {*BESIDE, *ALONG, *UNDRIFTED, *FOLLOWS} <= set(NAMES)


@every()
def test_what_is_born_is_not_planned_again(log: Log, name: str) -> None:
    case, seen = log.cases[name], log.seen["born", name]
    assert (seen.problems, seen.errors) == ([], [])
    assert seen.change is not None
    assert seen.change.action == "create"
    line = case.table.attrs()["source" if name == "tool.name" else case.field]
    within = {"group": "manager_config", "mcp_server": "config"}.get(case.kind, line.write)
    owner = line.related(Owner)
    assert (owner and owner.in_query) or [body for body in seen.sent if line.write in body or within in body]
    log.nothing("born, again", name)
    log.nothing("born, once more", name)


@every(lambda line: not (line.create_only or line.immutable))
def test_a_change_is_shown_alone_written_and_not_planned_again(log: Log, name: str) -> None:
    seen = log.seen["changed", name]
    assert (seen.problems, seen.errors) == ([], [])
    assert seen.change is not None
    assert seen.change.action == "update"
    assert seen.fields == log.cases[name].moves
    log.nothing("changed, again", name)


@every(lambda line: line.create_only)
def test_what_matters_at_birth_alone_is_never_compared(log: Log, name: str) -> None:
    log.nothing("changed", name)


@every(lambda line: not (line.create_only or line.immutable) and line.read is not None)
def test_drift_is_told_and_written_back(log: Log, name: str) -> None:
    if name in UNDRIFTED:
        pytest.skip(UNDRIFTED[name])
    seen, case = log.seen["drifted", name], log.cases[name]
    assert (seen.problems, seen.errors) == ([], [])
    assert seen.change is not None
    # what cannot be read cannot be seen to drift
    assert seen.fields == {field for field in case.moves if case.table.attrs()[field].read}
    # a secret leaves no digest behind: who moved it cannot be told
    for difference in seen.change.fields_changed:
        assert difference.reason == ("manifest" if difference.secret else "drift"), difference.path
    log.nothing("drifted, again", name)


@every(lambda line: not (line.create_only or line.immutable) and line.clear is not Never)
def test_null_clears(log: Log, name: str) -> None:
    seen, case = log.seen["cleared", name], log.cases[name]
    assert (seen.problems, seen.errors) == ([], [])
    assert seen.fields == {case.field}
    assert seen.has is not None
    assert case.line.clear is None or not seen.has.values[case.field]
    log.nothing("cleared, again", name)


@every(lambda line: line.immutable)
def test_what_cannot_change_is_replaced_and_what_is_precious_with_consent_alone(log: Log, name: str) -> None:
    refused, seen, case = log.seen["unconsented", name], log.seen["replaced", name], log.cases[name]
    if case.table.precious:
        assert refused.refusal is Guarded
        assert [f"--allow-destroy '{case.address}'" in (problem.hint or "") for problem in refused.problems] == [True]
    else:
        assert refused.problems == []
    assert seen.change is not None
    assert (seen.change.action, seen.fields, seen.errors) == ("replace", {case.field}, [])
    assert seen.had is not None
    assert seen.has is not None
    assert seen.had.id != seen.has.id or case.kind == "provider", "0.16.8 gives a provider its old id again"
    assert seen.blocks[0] == seen.blocks[1]
    assert seen.blocks[0] or case.kind != "agent", "an agent keeps its blocks"
    log.nothing("replaced, again", name)


ALONG_WITH: Mapping[tuple[str, str], str] = {
    ("provider", "api_key"): "the server wants it in each PATCH",
    ("group", "manager_config"): "holds several lines; that none of them moves is a test of its own",
    ("mcp_server", "config"): "as manager_config",
}
"""What is written beside what is shown, and why."""


@every_stage()
def test_only_what_is_shown_is_written(log: Log, name: str, stage: str) -> None:
    """Beside it: the mark, and as they were, what goes with it in one request."""
    seen, case = log.seen[stage, name], log.cases[name]
    lines = {line.write: line for line in case.table.attrs().values() if line.write}
    groups = {case.table.attrs()[field].group for field in seen.fields} - {None}
    for key, value in [item for body in seen.sent for item in body.items()]:
        if key in ("tags", "metadata") or (case.kind, key) in ALONG_WITH or lines[key].name in seen.fields:
            continue
        line = lines[key]
        assert line.group in groups or case.table.requests.verb == "PUT", f"{key} is written and not shown"
        if line.name not in MOVES.get(_plainly(name), ()) and line.read is not None:
            assert seen.had is not None
            assert _same(case.table, line, value, seen.had.values[line.name]), f"{key} is changed and not shown"


@every_stage()
def test_nothing_else_moves(log: Log, name: str, stage: str) -> None:
    seen, case = log.seen[stage, name], log.cases[name]
    assert seen.had is not None
    assert seen.has is not None
    moved = {
        line.name
        for line in case.table.attrs().values()
        if line.name in seen.had.values
        and not _same(case.table, line, seen.had.values[line.name], seen.has.values[line.name])
    }
    assert moved <= seen.fields | {case.field} | MOVES.get(_plainly(name), frozenset())


@pytest.mark.parametrize("name", FOLLOWS)
def test_what_is_derived_follows(log: Log, name: str) -> None:
    seen = log.seen["changed", name]
    assert seen.had is not None
    assert seen.has is not None
    assert [field for field in FOLLOWS[name] if seen.had.values[field] == seen.has.values[field]] == []


def test_nothing_beside_the_fleet_is_planned(log: Log) -> None:
    assert log.others == {}


def _plainly(name: str) -> str:
    return name.partition(":")[0]


def _same(table: type[Kind], line: Attr, sent: Any, live: Any) -> bool:
    """Whether a live value is what was sent; of a map, what was sent of it."""
    sent, live = table.normal(line.name, sent), table.normal(line.name, live)
    if line.partial and isinstance(sent, Mapping) and isinstance(live, Mapping):
        return all(live.get(key) == value for key, value in sent.items() if value is not None)
    if line.unordered and isinstance(sent, list) and isinstance(live, list):
        return sorted(map(canonical, sent)) == sorted(map(canonical, live))
    return bool(sent == live) or (not sent and not live)
