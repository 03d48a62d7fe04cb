"""The section `policies` to the rules that plans must meet: expressions of CEL, compiled with their types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from lettaform.errors import Place
from lettaform.manifest.node import UNSET, Node, empty
from lettaform.manifest.problems import Problems
from lettaform.manifest.scope import place_inside
from lettaform.model import PlanPolicy

if TYPE_CHECKING:
    from cel_expr_python import cel

About = Literal["change", "plan"]

_ANYWHERE: Mapping[str, str] = {"stack": "string", "environment": "string", "plan.summary": "map(string, int)"}
VARIABLES: Mapping[About, Mapping[str, str]] = {
    "change": {
        "change.address": "string",
        "change.kind": "string",
        "change.action": "string",
        "change.reason": "string",
        "change.fields": "list(map(string, dyn))",
        "change.recompiles": "int",
        "change.live": "map(string, dyn)",
        "change.declared": "map(string, dyn)",
        **_ANYWHERE,
    },
    "plan": {"plan.changes": "list(map(string, dyn))", "plan.prompts": "list(map(string, dyn))", **_ANYWHERE},
}
"""What a policy is about to the variables of its rule, with their types in CEL."""
MISSING = "the package `cel-expr-python` is not installed"
_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): ([^\n]*)")


def policies(root: Node, problems: Problems) -> tuple[PlanPolicy, ...]:
    """The policies of a manifest whose rules are valid. Reports the others, and that CEL is not installed."""
    section = root.map.get("policies") or empty(root.place)
    nodes = {key: node for key, node in section.map.items() if node.tag != UNSET}
    if nodes and not is_available():
        hint = "install it: `pip install 'lettaform[policy]'`"
        problems.add(f"policies: {MISSING}", section.place, hint)
        return ()
    return tuple(each for key, node in nodes.items() if (each := _policy(key, node, problems)))


def is_available() -> bool:
    """Whether CEL is installed."""
    try:
        from cel_expr_python import cel  # noqa: F401
    except ImportError:
        return False
    return True


def _policy(key: str, node: Node, problems: Problems) -> PlanPolicy | None:
    """One policy; None if it is not valid."""
    texts = {name: child.text for name, child in node.map.items()}
    rule = texts.get("rule")
    about: About = "plan" if texts.get("for") == "plan" else "change"
    severity: Literal["error", "warning"] = "warning" if texts.get("severity") == "warning" else "error"
    if rule is None:
        return None  # the form has reported it
    faults = list(_faults(about, rule, node.map["rule"]))
    for place, message in faults:
        problems.add(f"policies.{key}.rule: {message}", place, _hint(about, message), field=f"policies.{key}.rule")
    waivers = node.map["waivers"].list if "waivers" in node.map else []
    addresses = (each.map["address"].text if "address" in each.map else "*" for each in waivers)
    waived = tuple(address for address in addresses if address)
    return None if faults else PlanPolicy(key, rule, about, severity, texts.get("message") or "", node.place, waived)


def _faults(about: About, rule: str, node: Node) -> Iterator[tuple[Place, str]]:
    """Why a rule is not valid, each with its place."""
    try:
        expression = compiled(about, rule)
    except RuntimeError as error:  # the library has no class of its own
        found = [(int(line), int(column), message) for line, column, message in _ERROR.findall(str(error))]
        for line, column, message in found or [(1, 1, str(error))]:
            message = re.sub(r" \(in container ''\)", "", message)
            if node.text_offset is not None and line == 1:
                yield place_inside(node, column - 1), message
            else:
                yield node.place, f"line {line}, column {column} of the expression: {message}"
        return
    if expression.return_type().name() not in ("BOOL", "DYN"):
        yield node.place, f"must be true or false, and is {expression.return_type().name().lower()}"


def _hint(about: About, message: str) -> str | None:
    return f"the variables are {', '.join(VARIABLES[about])}" if "undeclared reference" in message else None


@cache
def compiled(about: About, rule: str) -> cel.Expression:
    """A rule that can be evaluated. Raises RuntimeError if it is not valid, and ImportError if CEL is not installed."""
    return _environment(about).compile(rule)


def activation(about: About, values: Mapping[str, Any]) -> cel.Activation:
    """The values of the variables, for any number of rules."""
    return _environment(about).Activation(data=values)


@cache
def _environment(about: About) -> cel.Env:
    from cel_expr_python import cel

    values = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    types: Mapping[str, Any] = {
        "string": cel.Type.STRING,
        "int": cel.Type.INT,
        "map(string, int)": cel.Type.Map(cel.Type.STRING, cel.Type.INT),
        "map(string, dyn)": values,
        "list(map(string, dyn))": cel.Type.List(values),
    }
    return cel.NewEnv(variables={name: types[type] for name, type in VARIABLES[about].items()})
