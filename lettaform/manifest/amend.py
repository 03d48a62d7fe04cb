"""Declarations and what is wrong with them to declarations without it: what is left out is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.kinds import companions, kinds
from lettaform.kinds.traits import Companions, SourceFile
from lettaform.manifest.declare import Declaration, Declared
from lettaform.manifest.emit import with_policy
from lettaform.values import Ref, refs


@dataclass(frozen=True)
class Fault:
    """What is wrong with a value: it is not valid, or a plan would change it.

    field    the path of the value; None: the whole object is meant
    differs  whether it is valid, and a plan would write it
    """

    address: Address | None
    field: str | None
    message: str
    differs: bool = False

    @classmethod
    def of(cls, problem: Problem) -> Fault:
        """The fault that a problem reports."""
        try:
            address = Address.parse(problem.address) if problem.address else None
        except ValueError:
            address = None
        return cls(address, problem.field, problem.message)


class Amending:
    """Declarations that are amended until nothing is wrong with them. `faults`: what is not declared, and why."""

    def __init__(self, declared: Declared, live: Mapping[str, Mapping[str, Any]]) -> None:
        """`live`: id to the live values."""
        self.declared, self.live = declared, live
        self.faults: list[Fault] = []
        self._known: set[tuple[Address | None, str]] = set()

    def amend(self, faults: Iterable[Fault]) -> bool:
        """Leave out what is wrong. Returns whether anything was."""
        seen: set[tuple[Address, str]] = set()
        for fault in faults:
            found = self._declaration(fault.address)
            if found is None:
                continue
            path = self._path(fault, found)
            top = (found.address, path.partition(".")[0])
            if top not in seen:  # a list or map is wrong as a whole; what is left is wrong in the next round
                seen.add(top)
                self._replace(found, self._without(found, path, fault))
        return bool(seen)

    def _declaration(self, address: Address | None) -> Declaration | None:
        """The declaration that an address belongs to, also that of a companion."""
        if address is None:
            return None
        for each in self.declared.declarations:
            if each.address == address.top or any(address.top == other for _, _, other in companions(each.address)):
                return each
        return None

    def _path(self, fault: Fault, found: Declaration) -> str:
        """The path of a value in its declaration: that of a part, or of a companion, is below a field."""
        address, path = fault.address, fault.field or ""
        assert address is not None
        if address.top != found.address:
            field = next(name for name, _, other in companions(found.address) if other == address.top)
            return f"{field}.{path}" if path else field
        return "/".join((address.field, address.child, path)) if address.field and address.child else path

    def _replace(self, old: Declaration, new: Declaration | None) -> None:
        every = self.declared.declarations
        if new is not None:
            self.declared.declarations = [new if each is old else each for each in every]
        else:
            self.declared.declarations = [self._without_ref(each, old.address) for each in every if each is not old]

    def _without_ref(self, declaration: Declaration, address: Address) -> Declaration:
        """A declaration that does not refer to an object which is left out."""
        values = dict(declaration.values)
        for name, value in declaration.values.items():
            if any(ref.address == address for ref in refs(value)):
                self._say(declaration.address, name, f"`{name}` is declared without {address}")
                kept = [each for each in value if each != Ref(address)] if isinstance(value, list) else None
                values.pop(name)
                values |= {name: kept} if kept else {}
        return replace(declaration, values=values)

    def _say(self, address: Address | None, name: str, message: str) -> None:
        """Note why a value is not declared; the first reason counts."""
        if (address, name) not in self._known:
            self._known.add((address, name))
            self.faults.append(Fault(address, name or None, message))

    # --- one declaration

    def _without(self, declaration: Declaration, path: str, fault: Fault) -> Declaration | None:
        """The declaration without a value; None if it cannot be without."""
        if "/" in path:
            return self._without_part(declaration, path, fault)
        name, _, key = path.partition(".")
        line = kinds()[declaration.kind].attrs().get(name)
        ignored = name in (declaration.settings.get("policy") or {}) or "external" in declaration.settings
        if line is None or (line.required and name in declaration.values):
            schema = self._schema(declaration) if line and line.related(SourceFile) else None
            if schema:  # the server derives none from the source, or another one
                return replace(declaration, values={**declaration.values, "json_schema": schema})
            return self._left_out(fault)
        unset = name not in declaration.values or name == kinds()[declaration.kind].name_field
        if unset or (fault.differs and not ignored and not line.related(Companions)):
            return self._left_out(fault) if ignored else self._ignoring(declaration, name, fault)
        self._say(fault.address, name, f"`{path}` is not declared: {_message(fault, path)}")
        values = dict(declaration.values)
        inner = values.pop(name)
        rest = {each: value for each, value in inner.items() if each != key} if isinstance(inner, Mapping) else {}
        if key and rest:
            values[name] = rest
        elif key and line.related(Companions):
            values[name] = True
        return replace(declaration, values=values)

    def _ignoring(self, declaration: Declaration, name: str, fault: Fault) -> Declaration:
        """The declaration that leaves a field as it is: the manifest, its key or the server would change it."""
        self._say(fault.address, name, f"`{name}` is left as it is: {_message(fault, name)}")
        kept = {key: value for key, value in declaration.values.items() if key != name}
        values = declaration.values if fault.differs else kept
        return with_policy(replace(declaration, values=values), name)

    def _schema(self, declaration: Declaration) -> Any:
        given = "json_schema" in declaration.values
        return None if given else self.live.get(declaration.id or "", {}).get("json_schema")

    def _left_out(self, fault: Fault) -> Declaration | None:
        self._say(fault.address, "", f"is left out: {_message(fault, fault.field or '')}")
        return None

    def _without_part(self, declaration: Declaration, path: str, fault: Fault) -> Declaration | None:
        """The declaration without a value of one of its own objects."""
        field, child, path = path.split("/", 2)
        name = path.partition(".")[0]
        parts = dict(declaration.values.get(field) or {})
        if child not in parts:
            return self._left_out(fault)
        part, short = parts[child], kinds()["block"].part.short or ""
        values = dict(part) if isinstance(part, Mapping) else {short: part}
        policy = dict(values.get("policy", {}))
        if not name or name in policy:
            self._say(fault.address, "", f"is left out: {_message(fault, path)}")
            del parts[child]
        else:
            self._say(fault.address, name, f"`{name}` is not declared: {_message(fault, path)}")
            ignored = {} if name in values and len(values) > 1 else {"policy": {**policy, name: "ignore"}}
            parts[child] = {key: value for key, value in {**values, **ignored}.items() if key != name}
        rest = {key: value for key, value in declaration.values.items() if key != field}
        return replace(declaration, values={**rest, field: parts} if parts else rest)


def _message(fault: Fault, path: str) -> str:
    """What is wrong, without the path with which the message begins."""
    return fault.message.removeprefix(f"{path}: ")
