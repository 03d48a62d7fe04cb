"""Every field of every kind on a real server: create, update, drift, clear, replace; then an empty plan.

One stack has one object per field. Each stage is one plan and one apply of all of them; the tests read what was
recorded for their field. A new field needs two example values in VALUES and no other code.
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
from lettaform.manifest import Draft
from lettaform.model import AgentChange, Change, Desired, External, Live, Manifest, Plan, PlanOptions, Report
from lettaform.values import UNREAD, Ref, Secret, canonical, fill
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


def tool_source(name: str, body: str = "sunny") -> str:
    """A tool's source; `NAME` is replaced by a unique name for each field."""
    return f'''def {name}(city: str) -> str:
    """Tell the weather.

    Args:
        city (str): Which city.

    Returns:
        str: The weather.
    """
    return "{body} in " + city
'''


def tool_schema(description: str) -> dict[str, Any]:
    city = {"type": "string", "description": "Which city."}
    parameters = {"type": "object", "properties": {"city": city}, "required": ["city"]}
    return {"name": "NAME", "description": description, "parameters": parameters}


def tool_rules(kind: str, **more: Any) -> list[dict[str, Any]]:
    return [{"type": kind, "tool_name": "web_search", **more}]


KEY = Secret("literal", "a-key-of-ours")
MODEL, EMBEDDING, OTHER_MODEL, OTHER_EMBEDDING = "MODEL", "EMBEDDING", "letta/letta-free", "letta/letta-free"

WITHOUT_ARGUMENTS_DOCS = 'def NAME(city: str) -> str:\n    """Tell the weather."""\n    return "sunny"\n'
ARGUMENTS = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}

SCRIPT = str(Path(__file__).with_name("stdio_mcp.py"))


def script(name: str) -> list[str]:
    """Arguments of an MCP server that offers one tool of this name."""
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
    "agent.tool_rules": (tool_rules("run_first"), tool_rules("exit_loop")),
    "agent.tool_rules: children": (
        tool_rules("constrain_child_tools", children=["run_code"]),
        tool_rules("parent_last_tool", children=["run_code"]),
    ),
    "agent.tool_rules: conditional": (
        tool_rules("conditional", child_output_mapping={"a": "run_code"}),
        tool_rules("conditional", child_output_mapping={"a": "run_code"}, default_child="fetch_webpage"),
    ),
    "agent.tool_rules: conditional, strict": (
        tool_rules("conditional", child_output_mapping={"a": "run_code"}, require_output_mapping=True),
        tool_rules("conditional", child_output_mapping={"a": "run_code"}, require_output_mapping=False),
    ),
    "agent.tool_rules: counted": (
        tool_rules("max_count_per_step", max_count_limit=1),
        tool_rules("required_before_exit"),
    ),
    "agent.tool_rules: first with arguments": (
        tool_rules("run_first", args={"query": "a"}, prompt_template="First {{ tool_name }}."),
        tool_rules("run_first", args={"query": "b"}, prompt_template="First {{ tool_name }}."),
    ),
    "agent.tool_rules: approval": (tool_rules("requires_approval"), tool_rules("continue_loop")),
    "agent.tool_rules: first with a template": (
        tool_rules("run_first", prompt_template="First {{ tool_name }}."),
        tool_rules("run_first", prompt_template="At first {{ tool_name }}."),
    ),
    "agent.tool_rules: two": (
        tool_rules("run_first") + tool_rules("exit_loop"),
        tool_rules("exit_loop") + tool_rules("run_first"),
    ),
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
    "agent.model_settings: with others": (
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
    "tool.name": (tool_source("NAME"), tool_source("NAME_anew")),
    "tool.source": (tool_source("NAME"), tool_source("NAME", "rainy")),
    "tool.source: with a schema": (tool_source("NAME"), tool_source("NAME", "rainy")),
    "tool.source: with arguments": (tool_source("NAME"), tool_source("NAME", "rainy")),
    "tool.source: with another docstring": (tool_source("NAME"), tool_source("NAME").replace("Tell", "Say")),
    "tool.source_type": ("python", "typescript"),
    "tool.json_schema": (tool_schema("One."), tool_schema("Two.")),
    "tool.args_json_schema": (tool_schema("One.")["parameters"], {"type": "object", "properties": {}, "required": []}),
    "tool.args_json_schema: undocumented source": (tool_schema("One.")["parameters"], ARGUMENTS),
    "tool.description": ("One.", "Two."),
    "tool.return_char_limit": (1000, 2000),
    "tool.pip_requirements": ([{"name": "one"}, {"name": "two", "version": "1.0"}], [{"name": "two"}]),
    "tool.npm_requirements": ([{"name": "one"}, {"name": "two", "version": "1.0"}], [{"name": "two"}]),
    "tool.default_requires_approval": (True, False),
    "tool.enable_parallel_execution": (True, False),
    "tool.tags": (["fld-one", "fld-two"], ["fld-two", "fld, three"]),
}
"""`kind.field` or `kind.field: variant`, to two different values."""


def _all_updatable(kind: str, which: int) -> Mapping[str, Any]:
    """All fields of a kind that an update can change, except those whose values depend on others."""
    excluded = ("name", "label", "description", "model", "source_type", "folders", "identities")
    attrs = kinds()[kind].attrs().values()
    names = [
        attr.name
        for attr in attrs
        if not (attr.create_only or attr.immutable or attr.related(Parts) or attr.attached())
    ]
    return {
        name: VALUES[f"{kind}.{name}"][which] for name in names if f"{kind}.{name}" in VALUES and name not in excluded
    }


WITH_ALL_FIELDS = [f"{kind}.description: with all fields" for kind in ("agent", "block", "folder", "tool")]
VALUES |= {name: VALUES[name.partition(":")[0]] for name in WITH_ALL_FIELDS}
VALUES = {name: pair for name, pair in VALUES.items() if not versions.missing(f"values::{name}")}

TESTED_ELSEWHERE: dict[str, str] = {
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
"""Fields that one request cannot give two values, and the file that tests them."""
TESTED_ELSEWHERE |= {f"schedule.{name}": "tests/test_cloud.py" for name in kinds()["schedule"].attrs()}

OTHER_VALUES: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "agent.max_reasoning_tokens": ({"max_tokens": 4000}, {"max_tokens": 4000}),
    "agent.model: with settings": (
        {"model_settings": {"provider_type": "openai", "temperature": 0.25, "strict": False}},
        {"model_settings": {"provider_type": "openai", "temperature": 0.5, "strict": False}},
    ),
    "agent.model_settings: with others": (
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
        {"json_schema": tool_schema("One."), "description": "One."},
        {"json_schema": tool_schema("One."), "description": "One."},
    ),
    "tool.source: with arguments": ({"args_json_schema": ARGUMENTS}, {"args_json_schema": ARGUMENTS}),
    "tool.args_json_schema: undocumented source": (
        {"source": WITHOUT_ARGUMENTS_DOCS},
        {"source": WITHOUT_ARGUMENTS_DOCS},
    ),
    "tool.source_type": (
        {"source": tool_source("NAME"), "json_schema": tool_schema("One.")},
        {"source": "export function NAME(city: string) { return city }", "json_schema": tool_schema("One.")},
    ),
}
"""Other values that the two values need."""
OTHER_VALUES |= {
    name: (_all_updatable(name.split(".")[0], 0), _all_updatable(name.split(".")[0], 1)) for name in WITH_ALL_FIELDS
}

CHANGES_WITH: dict[str, frozenset[str]] = {
    "agent.model: with settings": frozenset({"model_settings"}),
    "tool.name": frozenset({"source"}),
    "tool.source_type": frozenset({"source"}),
}
"""Other fields that the plan shows together with the changed one."""
CHANGES_WITH |= {name: frozenset(OTHER_VALUES[name][0]) for name in WITH_ALL_FIELDS}

NO_DRIFT: Mapping[str, str] = {
    "agent.tool_rules: approval": "a rule that asks for approval is taken for the server's own, and kept",
    "tool.name": "a rename from outside is another source, json_schema and name at once",
    "agent.model_settings: with others": "0.16.8 resets the declared parallel_tool_calls with it",
}
"""Fields that others cannot change with one PATCH, and why."""

MAY_CHANGE: Mapping[str, frozenset[str]] = {
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
"""Other fields that may change on the server."""

DERIVED: Mapping[str, frozenset[str]] = {
    "tool.name": frozenset({"json_schema"}),
    "tool.source: with another docstring": frozenset({"json_schema", "description"}),
    "tool.args_json_schema": frozenset({"json_schema"}),
}
"""Other fields that must change, because the server derives them."""


# --- the stack -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One object whose field `field` gets first one value and then the other."""

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
        """The object's values in a stage."""
        old, new = self.values
        if stage == "created" or (self.line.immutable and stage != "replaced"):
            return old
        if stage in ("cleared", "replaced") and self.is_clearable:
            return {**new, self.field: None}
        return new

    @property
    def changed_fields(self) -> set[str]:
        """The fields that differ between the two values."""
        return {self.field} | CHANGES_WITH.get(self.name.replace("own.", "block."), frozenset())

    @property
    def is_updatable(self) -> bool:
        """Whether an update can write the other value."""
        return not (self.line.create_only or self.line.immutable)

    @property
    def is_clearable(self) -> bool:
        return self.is_updatable and self.line.clear is not Never

    def drift_body(self, answer: Callable[[Ref], Any]) -> dict[str, Any]:
        """A request body that restores the first values."""
        names = [name for name in self.values[0] if self.values[0][name] != self.values[1].get(name)]
        attrs = self.table.attrs()
        lines = [attrs[name] for name in names if attrs[name].write]
        return {line.write or "": [] if line.additive else fill(self.values[0][line.name], answer) for line in lines}


@dataclass
class Observation:
    """What one stage showed for one case. `sent`: request bodies; `before`, `after`: live values around the apply."""

    change: Change | None = None
    problems: list[Problem] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    runtime: list[AgentChange] = field(default_factory=list)
    sent: list[Mapping[str, Any]] = field(default_factory=list)
    before: Live | None = None
    after: Live | None = None
    blocks: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    error_type: type[Exception] | None = None

    @property
    def paths(self) -> set[str]:
        return {difference.path for difference in self.change.fields_changed} if self.change else set()

    @property
    def fields(self) -> set[str]:
        return {path.split(".")[0] for path in self.paths}


def cases(model: str, embedding: str) -> list[Case]:
    """One case per entry of VALUES; block fields twice, also as fields of an agent's own block."""
    handles = {MODEL: model, EMBEDDING: embedding}
    found = []
    for name, values in VALUES.items():
        kind, field = name.partition(":")[0].split(".")
        key = "fld_" + re.sub(r"\W+", "_", name if kind in ("provider", "mcp_server") else name.partition(".")[2])
        address = Address.of(kinds()[kind].section, key)
        found.append(Case(name, kind, field, address, _value_pair(name, kind, field, key, values, handles)))
        if kind == "block":
            owned = Address.of("agents", "fld_owner").part("memory", key)
            found.append(Case(name.replace("block", "own"), kind, field, owned, found[-1].values))
    return found


def _value_pair(
    name: str, kind: str, field: str, key: str, values: tuple[Any, Any], handles: Mapping[str, str]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    base: Mapping[str, Any] = {
        "agent": {"name": key, "model": handles[MODEL], "embedding": handles[EMBEDDING], "include_base_tools": False},
        "block": {"label": key, "value": "Nothing."},
        "tool": {"source": tool_source("NAME")},
        "archive": {"name": key},
        "folder": {"name": key, "embedding": handles[EMBEDDING]},
        "group": {"description": key, "type": "round_robin", "agents": [agent("m_one")]},
        "conversation": {"summary": key, "agent": agent("m_one")},
        "mcp_server": {"name": key, "type": "stdio", "command": sys.executable, "args": script(key)},
        "identity": {"identifier_key": key, "name": "Ada", "identity_type": "user"},
        "provider": {"name": key, "provider_type": "openai", "api_key": KEY, "base_url": "http://127.0.0.1:9/v1"},
    }[kind]
    field = {"tool.name": "source"}.get(name, field)
    others = OTHER_VALUES.get(name, ({}, {}))
    old, new = ({**base, **more, field: value} for more, value in zip(others, values, strict=True))
    return _with_names(kind, key, old, handles), _with_names(kind, key, new, handles)


def _with_names(kind: str, key: str, values: Mapping[str, Any], handles: Mapping[str, str]) -> Mapping[str, Any]:
    def filled(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: filled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [filled(item) for item in value]
        return handles.get(value, value.replace("NAME", key)) if isinstance(value, str) else value

    values = filled(values)
    return {**values, "name": Tool.naming.derive(values)} if kind == "tool" else values


def manifest(cases: list[Case], stage: str) -> Manifest:
    """The manifest of a stage."""
    objects: dict[Address, Desired] = {}

    def declare(address: Address, kind: str, values: Mapping[str, Any], **more: Any) -> None:
        objects[address] = Desired(address, kind, values, HERE, **more)

    for key in ("one", "two", "three"):
        declare(Address.of("blocks", key), "block", {"label": key, "value": key}, policies={"value": "enforce"})
    declare(Address.of("tools", "fld_aux"), "tool", {"source": tool_source("fld_aux"), "name": "fld_aux"})
    for key in ("web_search", "run_code"):
        declare(Address.of("tools", key), "tool", {}, external=External(name=key))
    for key in ("one", "two", "three"):
        values = {
            "name": f"fld-{key}",
            "embedding": next(c.at("created")["embedding"] for c in cases if c.kind == "folder"),
        }
        declare(Address.of("folders", key), "folder", values)
        values = {"identifier_key": f"fld-{key}", "name": key, "identity_type": "user"}
        declare(Address.of("identities", key), "identity", values)
    model = next(case.at("created")["model"] for case in cases if case.kind == "agent")
    for key in ("m_one", "m_two", "m_three", "m_four", "m_five", "m_six"):
        declare(Address.of("agents", key), "agent", {"name": key, "model": model, "include_base_tools": False})
        for label in ("human", "notes"):
            declare(Address.of("agents", key).part("memory", label), "block", {"label": label, "value": "Nothing."})
    owner_values = next(case.at("created") for case in cases if case.kind == "agent")
    declare(Address.of("agents", "fld_owner"), "agent", {**owner_values, "name": "fld_owner"})
    for case in cases:
        values = case.at(stage)
        if case.line.immutable and case.kind == "agent":
            values = {"blocks": [block("one")], **values}
            declare(case.address.part("memory", "human"), "block", {"label": "human", "value": "Ada."})
        policies = {"value": "enforce"} if case.kind == "block" else {}
        declare(case.address, case.kind, values, policies=policies)
    return Manifest(STACK, objects)


# --- the stages ------------------------------------------------------------------------------------------------------


@dataclass
class Log:
    """What each stage showed for each case. `others`: what it planned outside the cases."""

    cases: Mapping[str, Case]
    observed: dict[tuple[str, str], Observation] = field(default_factory=dict)
    others: dict[str, list[str]] = field(default_factory=dict)

    def assert_no_change(self, stage: str, name: str) -> None:
        """Assert that a plan did not change a case."""
        observed = self.observed[stage, name]
        assert (observed.change, observed.problems, observed.runtime) == (None, [], [])


class Run:
    """Runs all stages and records them in a Log."""

    def __init__(self, url: str, token: str | None, folder: Path, cases: list[Case]) -> None:
        self.cases = {case.address: case for case in cases}
        self.tool_source, self.connection = flow.Source(folder), flow.Connection(url, token)
        self.http = httpx.Client(base_url=url, headers=_bearer(token), timeout=60)
        self.log = Log({case.name: case for case in cases})
        self.wanted = Manifest(STACK, {})
        self.refused: set[Address] = set()
        self.bodies: list[tuple[str, Mapping[str, Any]]] = []

    def run(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(flow, "begin", lambda source, *needs, **more: Draft(None, lambda: self.wanted))
        patch.setattr(Client, "send", _recording(Client.send, self.bodies))
        self.stage("created", "created", apply=True)
        self.stage("created, again", "created")
        self.stage("created, third plan", "created")
        self.stage("changed", "changed", apply=True)
        self.stage("changed, again", "changed")
        self.drift()
        self.stage("drifted", "changed", apply=True)
        self.stage("drifted, again", "changed")
        self.stage("cleared", "cleared", apply=True)
        self.stage("cleared, again", "cleared")
        self.stage("without consent", "replaced")
        self.stage("replaced", "replaced", apply=True, options=PlanOptions(allow_destroy=("*",)))
        self.stage("replaced, again", "replaced")

    def stage(self, name: str, values: str, *, apply: bool = False, options: PlanOptions | None = None) -> None:
        """Plan, and apply if asked. A case that the plan refuses is left out and recorded."""
        observed = {address: Observation() for address in self.cases}
        self.log.observed |= {(name, self.cases[address].name): each for address, each in observed.items()}
        before = self.live() if apply else {}
        self.bodies.clear()
        plan, report = self.attempt(values, observed, apply, options or PlanOptions())
        after = self.live() if apply else {}
        for change in plan.changes:
            case = self.cases.get(change.address)
            if case is not None:
                observed[change.address].change = change
            elif not apply:
                self.log.others.setdefault(name, []).append(f"{change.action} {change.address}")
        for runtime in plan.runtime:
            if runtime.address in observed:
                observed[runtime.address].runtime.append(runtime)
        for outcome in report.outcomes if report else ():
            if outcome.error is not None and outcome.step.address in observed:
                observed[outcome.step.address].errors.append(str(outcome.error))
            elif outcome.status != "done":
                message = f"{outcome.step.key}: {outcome.status} {outcome.error or outcome.because}"
                self.log.others.setdefault(name, []).append(message)
        for address, each in observed.items():
            each.before, each.after = before.get(address), after.get(address)
            ids = {live.id for live in (each.before, each.after) if live}
            claim = f"lettaform:addr={address}"
            each.sent = [body for id, body in self.bodies if id in ids]
            each.sent += [
                part for _, body in self.bodies for part in body.get("memory_blocks", ()) if claim in part["tags"]
            ]
            each.blocks = (self.block_ids(before, each.before), self.block_ids(after, each.after))

    def attempt(
        self, values: str, observed: dict[Address, Observation], apply: bool, options: PlanOptions
    ) -> tuple[Plan, Report | None]:
        left_out = set(self.refused)
        while True:
            self.wanted = manifest([case for case in self.cases.values() if case.address not in left_out], values)
            try:
                if apply:
                    return flow.apply(self.tool_source, self.connection, options, consent=True)
                return flow.plan(self.tool_source, self.connection, options), None
            except PlanError as error:
                addresses = {Address.parse(each.address) for each in error.problems if each.address}
                if not addresses - left_out:
                    raise
                for problem in error.problems:
                    where = Address.parse(problem.address or "")
                    if where in observed:
                        observed[where].problems.append(problem)
                        observed[where].error_type = type(error)
                left_out |= addresses
                self.refused |= addresses if values == "created" else set()

    def drift(self) -> None:
        """Restore the first value of every field, without lettaform."""
        live = self.live()
        for address, case in self.cases.items():
            if not case.is_updatable or address not in live or case.name in NO_DRIFT:
                continue
            body = case.drift_body(lambda ref: live[ref.address].id)
            path = f"{case.table.path}{live[address].id}"
            now = self.http.get(path).raise_for_status().json()
            body = body if case.kind in ("agent", "tool") else dict(case.table.encode(body, now))
            if "tags" in body:
                body["tags"] += [tag for tag in now["tags"] if tag.startswith("lettaform:")]
            if "metadata" in body:
                body["metadata"] |= {"lettaform": now["metadata"]["lettaform"]}
            if "tool_rules" in body:  # 0.16.8 treats rules that differ only in their arguments as equal
                self.http.patch(path, json={"tool_rules": []}).raise_for_status()
            answer = self.http.patch(path, json=body)
            assert answer.is_success, f"{case.name}: {answer.text}"

    def live(self) -> dict[Address, Live]:
        """The live objects, by address."""
        return {live.address: live for live in flow.show(self.tool_source, self.connection).objects if live.address}

    def block_ids(self, live_objects: Mapping[Address, Live], live: Live | None) -> frozenset[str]:
        """The ids of the blocks that are attached to an agent."""
        return frozenset(live.values.get("blocks") or ()) if live else frozenset()

    def clean(self) -> None:
        """Delete everything that the run created."""
        for path in ("/v1/agents/", "/v1/blocks/"):
            shown = {"tags": f"lettaform:stack={STACK}", "limit": 1000}
            shown |= {"show_hidden_agents": True, "show_hidden_blocks": True}
            for body in self.http.get(path, params=shown).raise_for_status().json():
                self.http.delete(f"{path}{body['id']}")
        for body in self.http.get("/v1/tools/", params={"limit": 1000}).raise_for_status().json():
            if f"lettaform:stack={STACK}" in body["tags"]:
                self.http.delete(f"/v1/tools/{body['id']}")
        for path, name in FOUND_BY_NAME:
            for body in self.http.get(path, params={"limit": 1000}).raise_for_status().json():
                if body[name].startswith("fld") or f"{STACK} " in (body.get("description") or ""):
                    self.http.delete(f"{path}{body['id']}")


FOUND_BY_NAME = (
    ("/v1/groups/", "description"),
    ("/v1/mcp-servers/", "server_name"),
    ("/v1/folders/", "name"),
    ("/v1/archives/", "name"),
    ("/v1/identities/", "identifier_key"),
    ("/v1/providers/", "name"),
)


def _bearer(token: str | None) -> dict[str, str]:
    return {"User-Agent": "lettaform-test", **({"Authorization": f"Bearer {token}"} if token else {})}


def _recording(send: Callable[..., Any], bodies: list[tuple[str, Mapping[str, Any]]]) -> Callable[..., Any]:
    async def listen(client: Client, method: str, path: str, **options: Any) -> Any:
        answer = await send(client, method, path, **options)
        if isinstance(options.get("body"), Mapping) and isinstance(answer, Mapping) and "id" in answer:
            bodies.append((answer["id"], options["body"]))
        return answer

    return listen


@pytest.fixture(scope="module")
def log(letta: Any, tmp_path_factory: pytest.TempPathFactory) -> Log:
    """One run for the whole test session: the first pytest worker makes it, the others read its saved log."""
    saved = Path(os.environ["LETTAFORM_TEST_RUN"]) / "fields"
    saved.parent.mkdir(exist_ok=True)
    with saved.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not saved.exists():
            saved.write_bytes(pickle.dumps(_run_stages(letta, tmp_path_factory.mktemp("fields"))))
    found: Log = pickle.loads(saved.read_bytes())
    return found


def _run_stages(letta: Any, folder: Path) -> Log:
    run_ = Run(letta.url, letta.password, folder, cases(letta.model, letta.embedding))
    run_.clean()
    try:
        with pytest.MonkeyPatch.context() as patch:
            run_.run(patch)
    finally:
        run_.clean()
        run_.http.close()
    return run_.log


# --- the tests -------------------------------------------------------------------------------------------------------

LINES = [f"{kind}.{name}" for kind, table in kinds().items() for name in table.attrs()]
NAMES = [*VALUES, *(name.replace("block", "own") for name in VALUES if name.startswith("block."))]


def _attr(name: str) -> Attr:
    kind, field = name.partition(":")[0].replace("own.", "block.").split(".")
    return kinds()[kind].attrs()[field]


def every(wanted: Callable[[Attr], bool] = lambda line: True) -> Any:
    """Parametrize a test with the names of cases."""
    return pytest.mark.parametrize("name", [name for name in NAMES if wanted(_attr(name))])


def every_stage() -> Any:
    """Parametrize a test with the cases that can be updated, and each stage that writes to them."""
    names = [name for name in NAMES if not _attr(name).immutable]
    pairs = [(name, stage) for stage in ("changed", "drifted", "cleared") for name in names]
    return pytest.mark.parametrize(("name", "stage"), pairs)


@pytest.mark.parametrize("name", LINES)
def test_every_field_has_two_values(name: str) -> None:
    if _attr(name).related(Parts):
        pytest.skip("its values are objects of their own: the cases `own.*`")
    if name in TESTED_ELSEWHERE:
        assert name not in VALUES
        assert (Path(__file__).parents[2] / TESTED_ELSEWHERE[name]).exists()
        return
    assert name in VALUES, f"give `{name}` two values in VALUES of {Path(__file__).name}"
    old, new = VALUES[name]
    assert old != new


def test_every_case_names_a_field() -> None:
    assert {name.partition(":")[0] for name in (*VALUES, *MAY_CHANGE)} <= set(LINES)
    assert {*OTHER_VALUES, *CHANGES_WITH, *NO_DRIFT, *DERIVED} <= set(NAMES)


@every()
def test_created_object_is_not_planned_again(log: Log, name: str) -> None:
    case, observed = log.cases[name], log.observed["created", name]
    assert (observed.problems, observed.errors) == ([], [])
    assert observed.change is not None
    assert observed.change.action == "create"
    line = case.table.attrs()["source" if name == "tool.name" else case.field]
    within = {"group": "manager_config", "mcp_server": "config"}.get(case.kind, line.write)
    owner = line.related(Owner)
    assert (owner and owner.in_query) or [body for body in observed.sent if line.write in body or within in body]
    log.assert_no_change("created, again", name)
    log.assert_no_change("created, third plan", name)


@every(lambda line: not (line.create_only or line.immutable))
def test_change_is_shown_alone_and_applied(log: Log, name: str) -> None:
    observed = log.observed["changed", name]
    assert (observed.problems, observed.errors) == ([], [])
    assert observed.change is not None
    assert observed.change.action == "update"
    assert observed.fields == log.cases[name].changed_fields
    log.assert_no_change("changed, again", name)


@every(lambda line: line.create_only)
def test_create_only_field_is_never_compared(log: Log, name: str) -> None:
    log.assert_no_change("changed", name)


@every(lambda line: not (line.create_only or line.immutable) and line.read is not None)
def test_drift_is_shown_and_corrected(log: Log, name: str) -> None:
    if name in NO_DRIFT:
        pytest.skip(NO_DRIFT[name])
    observed, case = log.observed["drifted", name], log.cases[name]
    assert (observed.problems, observed.errors) == ([], [])
    assert observed.change is not None
    # drift of a write-only field is not visible
    assert observed.fields == {field for field in case.changed_fields if case.table.attrs()[field].read}
    # the server stores no digest of a secret, so lettaform cannot know who changed it
    for difference in observed.change.fields_changed:
        assert difference.reason == ("manifest" if difference.secret else "drift"), difference.path
    log.assert_no_change("drifted, again", name)


@every(lambda line: not (line.create_only or line.immutable) and line.clear is not Never)
def test_null_clears_field(log: Log, name: str) -> None:
    observed, case = log.observed["cleared", name], log.cases[name]
    assert (observed.problems, observed.errors) == ([], [])
    assert observed.fields == {case.field}
    assert observed.after is not None
    assert case.line.clear is None or not observed.after.values[case.field]
    log.assert_no_change("cleared, again", name)


@every(lambda line: line.immutable)
def test_immutable_field_replaces_object_with_consent(log: Log, name: str) -> None:
    refused, observed, case = log.observed["without consent", name], log.observed["replaced", name], log.cases[name]
    if case.table.precious:
        assert refused.error_type is Guarded
        assert [f"--allow-destroy '{case.address}'" in (problem.hint or "") for problem in refused.problems] == [True]
    else:
        assert refused.problems == []
    assert observed.change is not None
    assert (observed.change.action, observed.fields, observed.errors) == ("replace", {case.field}, [])
    assert observed.before is not None
    assert observed.after is not None
    assert observed.before.id != observed.after.id or case.kind == "provider", (
        "0.16.8 gives a provider its old id again"
    )
    assert observed.blocks[0] == observed.blocks[1]
    assert observed.blocks[0] or case.kind != "agent", "an agent keeps its blocks"
    log.assert_no_change("replaced, again", name)


ALSO_WRITTEN: Mapping[tuple[str, str], str] = {
    ("provider", "api_key"): "the server wants it in each PATCH",
    ("group", "manager_config"): "holds several lines; that none of them moves is a test of its own",
    ("mcp_server", "config"): "as manager_config",
}
"""Properties that a request contains although the plan does not show them, and why."""


@every_stage()
def test_only_shown_fields_are_written(log: Log, name: str, stage: str) -> None:
    """Exceptions: the mark, and unchanged fields that the server wants in the same request."""
    observed, case = log.observed[stage, name], log.cases[name]
    lines = {line.write: line for line in case.table.attrs().values() if line.write}
    groups = {case.table.attrs()[field].group for field in observed.fields} - {None}
    for key, value in [item for body in observed.sent for item in body.items()]:
        if key in ("tags", "metadata") or (case.kind, key) in ALSO_WRITTEN or lines[key].name in observed.fields:
            continue
        line = lines[key]
        assert line.group in groups or case.table.requests.verb == "PUT", f"{key} is written and not shown"
        if line.name not in MAY_CHANGE.get(_without_variant(name), ()) and line.read is not None:
            assert observed.before is not None
            assert _same(case.table, line, value, observed.before.values[line.name]), f"{key} is changed and not shown"


@every_stage()
def test_nothing_else_changes(log: Log, name: str, stage: str) -> None:
    observed, case = log.observed[stage, name], log.cases[name]
    assert observed.before is not None
    assert observed.after is not None
    changed = {
        line.name
        for line in case.table.attrs().values()
        if line.name in observed.before.values
        and UNREAD is not observed.before.values[line.name]
        and UNREAD is not observed.after.values[line.name]
        and not _same(case.table, line, observed.before.values[line.name], observed.after.values[line.name])
    }
    assert changed <= observed.fields | {case.field} | MAY_CHANGE.get(_without_variant(name), frozenset())


@pytest.mark.parametrize("name", DERIVED)
def test_derived_fields_follow(log: Log, name: str) -> None:
    observed = log.observed["changed", name]
    assert observed.before is not None
    assert observed.after is not None
    assert [field for field in DERIVED[name] if observed.before.values[field] == observed.after.values[field]] == []


def test_nothing_outside_the_cases_is_planned(log: Log) -> None:
    assert log.others == {}


def _without_variant(name: str) -> str:
    return name.partition(":")[0]


def _same(table: type[Kind], line: Attr, sent: Any, live: Any) -> bool:
    """Whether a live value equals what was sent; for a map, the keys that were sent."""
    sent, live = table.normal(line.name, sent), table.normal(line.name, live)
    if line.partial and isinstance(sent, Mapping) and isinstance(live, Mapping):
        return all(live.get(key) == value for key, value in sent.items() if value is not None)
    if line.unordered and isinstance(sent, list) and isinstance(live, list):
        return sorted(map(canonical, sent)) == sorted(map(canonical, live))
    return bool(sent == live) or (not sent and not live)
