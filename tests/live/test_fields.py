"""Every line of every kind on a real server: born, changed, drifted, cleared, replaced; and nothing left to plan.

One fleet, one object for each line: each stage is one plan and one apply of all of them, and the tests look at what
was seen of the line that they are about. A new field needs two example values in VALUES, and no other code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.errors import Guarded, Place, PlanError, Problem
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind, Never
from lettaform.kinds.tool import tool_name
from lettaform.model import Change, Desired, External, Live, Manifest, Plan, Report, Runtime, Wish
from lettaform.server.client import Client
from lettaform.words import Address, Ref, Secret, canonical, fill

STACK = "fld-fields"
HERE = Place("fields.yaml", 1, 1)


# --- the values ------------------------------------------------------------------------------------------------------


def block(key: str) -> Ref:
    return Ref(Address("blocks", key))


def tool(key: str) -> Ref:
    return Ref(Address("tools", key))


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


MODEL, EMBEDDING, OTHER_MODEL, OTHER_EMBEDDING = "MODEL", "EMBEDDING", "letta/letta-free", "letta/letta-free"

VALUES: Mapping[str, tuple[Any, Any]] = {
    "agent.name": ("fld one", "fld two"),
    "agent.description": ("One.", "Two.\n"),
    "agent.model": (MODEL, OTHER_MODEL),
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
    "agent.include_default_source": (True, False),
    "agent.initial_message_sequence": (
        [{"role": "user", "content": "One."}],
        [{"role": "user", "content": "Two."}],
    ),
    "agent.project_id": ("project-one", "project-two"),
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
    "tool.source_type": ("python", "typescript"),
    "tool.json_schema": (schema("One."), schema("Two.")),
    "tool.args_json_schema": (schema("One.")["parameters"], {"type": "object", "properties": {}, "required": []}),
    "tool.description": ("One.", "Two."),
    "tool.return_char_limit": (1000, 2000),
    "tool.pip_requirements": ([{"name": "one"}, {"name": "two", "version": "1.0"}], [{"name": "two"}]),
    "tool.npm_requirements": ([{"name": "one"}, {"name": "two", "version": "1.0"}], [{"name": "two"}]),
    "tool.default_requires_approval": (True, False),
    "tool.enable_parallel_execution": (True, False),
    "tool.tags": (["fld-one", "fld-two"], ["fld-two", "fld, three"]),
}
"""`kind.field`, or `kind.field: of what`, to two values that differ."""

BESIDE: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "tool.source_type": (
        {"source": source("NAME"), "json_schema": schema("One.")},
        {"source": "export function NAME(city: string) { return city }", "json_schema": schema("One.")},
    ),
}
"""What must stand beside the two values."""

ALONG: Mapping[str, frozenset[str]] = {
    "tool.name": frozenset({"source"}),
    "tool.source_type": frozenset({"source"}),
}
"""What a plan shows beside the field that changes."""

MOVES: Mapping[str, frozenset[str]] = {}
"""What the server moves beside the field that changes."""


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
        if stage == "born" or (self.line.fixed and stage != "replaced"):
            return old
        if stage in ("cleared", "replaced") and self.clears:
            return {**new, self.field: None}
        return new

    @property
    def changes(self) -> bool:
        """Whether a living object can get the other value."""
        return not (self.line.once or self.line.fixed)

    @property
    def clears(self) -> bool:
        return self.changes and self.line.clear is not Never


@dataclass
class Seen:
    """What one stage showed of one case. `sent`: bodies of requests; `had` and `has`: live values around the apply."""

    change: Change | None = None
    problems: list[Problem] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    runtime: list[Runtime] = field(default_factory=list)
    sent: list[Mapping[str, Any]] = field(default_factory=list)
    had: Live | None = None
    has: Live | None = None
    blocks: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())

    @property
    def paths(self) -> set[str]:
        return {difference.path for difference in self.change.differences} if self.change else set()

    @property
    def fields(self) -> set[str]:
        return {path.split(".")[0] for path in self.paths}


def cases(model: str, embedding: str) -> list[Case]:
    """Every line that VALUES knows, on its own; every line of a block once more, as an agent's own."""
    handles = {MODEL: model, EMBEDDING: embedding}
    found = []
    for name, values in VALUES.items():
        kind, field = name.partition(":")[0].split(".")
        key = "fld_" + re.sub(r"\W+", "_", name.partition(".")[2])
        address = Address(kinds()[kind].section, key)
        found.append(Case(name, kind, field, address, _pair(name, kind, field, key, values, handles)))
        if kind == "block":
            owned = Address("agents", "fld_owner").own("memory", key)
            found.append(Case(name.replace("block", "own"), kind, field, owned, found[-1].values))
    return found


def _pair(
    name: str, kind: str, field: str, key: str, values: tuple[Any, Any], handles: Mapping[str, str]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    base: Mapping[str, Any] = {
        "agent": {"name": key, "model": handles[MODEL], "embedding": handles[EMBEDDING], "include_base_tools": False},
        "block": {"label": key, "value": "Nothing."},
        "tool": {"source": source("NAME")},
    }[kind]
    field = {"tool.name": "source"}.get(name, field)
    beside = BESIDE.get(name, ({}, {}))
    old, new = ({**base, **more, field: value} for more, value in zip(beside, values, strict=True))
    return _named(kind, key, old, handles), _named(kind, key, new, handles)


def _named(kind: str, key: str, values: Mapping[str, Any], handles: Mapping[str, str]) -> Mapping[str, Any]:
    def filled(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: filled(item) for name, item in value.items()}
        return handles.get(value, value.replace("NAME", key)) if isinstance(value, str) else value

    values = filled(values)
    return {**values, "name": tool_name(values)} if kind == "tool" else values


def manifest(cases: list[Case], stage: str) -> Manifest:
    """The fleet, as it is wanted in a stage."""
    objects: dict[Address, Desired] = {}

    def want(address: Address, kind: str, values: Mapping[str, Any], **more: Any) -> None:
        objects[address] = Desired(address, kind, values, HERE, **more)

    for key in ("one", "two", "three"):
        want(Address("blocks", key), "block", {"label": key, "value": key}, policies={"value": "enforce"})
    want(Address("tools", "fld_aux"), "tool", {"source": source("fld_aux"), "name": "fld_aux"})
    for key in ("web_search", "run_code"):
        want(Address("tools", key), "tool", {}, external=External(name=key))
    keeper = next(case.at("born") for case in cases if case.kind == "agent")
    want(Address("agents", "fld_owner"), "agent", {**keeper, "name": "fld_owner"})
    for case in cases:
        values = case.at(stage)
        if case.line.fixed:
            values = {"blocks": [block("one")], **values}
            want(case.address.own("memory", "human"), "block", {"label": "human", "value": "Ada."})
        policies = {"value": "enforce"} if case.kind == "block" else {}
        want(case.address, case.kind, values, policies=policies)
    return Manifest(STACK, objects)


# --- the journey -----------------------------------------------------------------------------------------------------


class Journey:
    """The fleet's way through every stage; `seen` holds what each stage showed of each case."""

    def __init__(self, url: str, token: str | None, folder: Path, cases: list[Case]) -> None:
        self.cases = {case.address: case for case in cases}
        self.source, self.connection = flow.Source(folder), flow.Connection(url, token)
        self.http = httpx.Client(base_url=url, headers=_headers(token), timeout=60)
        self.seen: dict[tuple[str, str], Seen] = {}
        self.others: dict[str, list[Change]] = {}
        self.wanted = manifest(cases, "born")
        self.bodies: list[tuple[str, str, Mapping[str, Any]]] = []

    def run(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(flow, "read", lambda source: self.wanted)
        patch.setattr(Client, "send", _listening(Client.send, self.bodies))
        for stage in ("born", "changed"):
            self.apply(stage)
            self.plan(f"{stage}, again")
        self.plan("born, and again")
        self.drift()
        self.apply("drifted", manifest_of="changed")
        self.plan("drifted, again")
        self.apply("cleared")
        self.plan("cleared, again")
        self.plan("replaced, without consent", manifest_of="replaced")
        self.apply("replaced", wish=Wish(allow_destroy=("agents.*",)))
        self.plan("replaced, again")
