"""The section `checks` to Checks: conversations with copies of agents, and what is expected of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from lettaform.address import COMPONENTS, Address
from lettaform.manifest.expand import Expanded
from lettaform.manifest.node import UNRESOLVED, UNSET, Node, described, empty
from lettaform.manifest.scope import Scope
from lettaform.model import Check, Expectation, ExpectedCall, ExpectedText, Judge, Turn

SECTION = "agents"


class AgentChecks:
    """Reads the section `checks`. What is not valid is reported, and left out."""

    def __init__(self, root: Node, expanded: Expanded, scope: Scope) -> None:
        self.section = root.map.get("checks") or empty(root.place)
        self.expanded, self.scope, self.problems = expanded, scope, scope.problems

    def all(self) -> Iterator[Check]:
        """The checks whose values are known, in their order."""
        for key, node in self.section.map.items():
            if node.tag != UNSET and (check := self._check(key, node)):
                yield check

    def _check(self, key: str, node: Node) -> Check | None:
        """One check; None if a value of it is not known."""
        path = f"checks.{key}"
        given = {name: child for name, child in node.map.items() if child.tag != UNSET}
        if missing := [name for name in ("agent", "say") if name not in given]:
            for name in missing:
                message, place = f"`{name}` is required in {path}", self.section.at(key)
                self.problems.add(message, place, f"add `{name}: …`", field=path)
            return None
        numbers = {name: given[name].value for name in ("runs", "pass_rate") if name in given}
        on_failure: Literal["stop", "rollback"] = "stop"
        if "on_failure" in given and given["on_failure"].text == "rollback":
            on_failure = "rollback"
        try:
            return Check(
                key,
                tuple(self._agents(given["agent"], f"{path}.agent")),
                tuple(self._turns(given["say"], f"{path}.say")),
                self._expectation(given.get("expect"), f"{path}.expect"),
                quarantine="quarantine" in given and given["quarantine"].value is True,
                on_failure=on_failure,
                deny_tools=self._texts(given.get("deny_tools"), f"{path}.deny_tools"),
                judge=self._judge(given.get("judge"), f"{path}.judge"),
                place=node.place,
                **numbers,
            )
        except _Unknown:
            return None

    def _agents(self, node: Node, path: str) -> Iterator[Address]:
        """The agents that a key names: one, or the instances of a declaration with `for_each`."""
        text = node.text or ""
        try:
            inside = text.startswith(f"{COMPONENTS}.")
            address = Address.read(text) if inside else Address.in_section(SECTION, text)
        except ValueError:
            address = Address.of(SECTION, text)
        every = (each for each in self.expanded.instances if each.section == SECTION and each.parent is None)
        declared = [each for each in every if each.component == address.component and address.section == SECTION]
        if address in self.expanded.repeated:
            found = list(self.expanded.instances_of(address))
        else:
            found = [address] if address in declared else []
        for each in found:
            if self.expanded.instances[each].external:
                hint = "check it in the manifest of the stack that owns it"
                self.problems.add(f"{path}: `{each}` is external, and belongs to another stack", node.place, hint)
            yield each
        unusable = address.instance(None) in self.expanded.unusable or address in self.expanded.repeated
        if not found and not unusable and not self.problems.incomplete:
            keys = [*(each.without_section for each in declared), *(each.key for each in self.expanded.repeated)]
            keys = keys if address.component is None else [str(each) for each in declared]
            short = text.removeprefix(f"{SECTION}.")
            near = f"did you mean `{short}`?" if short in keys else self.problems.suggest(text, SECTION, keys)
            self.problems.add(f"{path}: there is no agent `{text}`", node.place, near or "declare it in `agents`")

    # --- turns and expectations

    def _turns(self, node: Node, path: str) -> Iterator[Turn]:
        if not isinstance(node.value, list):
            yield Turn(self._text(node, path))
            return
        if not node.list:
            self.problems.add(f"{path}: must not be empty", node.place, "write the message to the agent")
        for index, item in enumerate(node.list):
            where = f"{path}.{index}"
            if "say" in item.map:
                expect = self._expectation(item.map.get("expect"), f"{where}.expect")
                yield Turn(self._text(item.map["say"], f"{where}.say"), expect)
            elif not item.map:
                yield Turn(self._text(item, where))

    def _expectation(self, node: Node | None, path: str) -> Expectation:
        given = node.map if node else {}
        most = given["at_most"].map if "at_most" in given else {}
        memory = given["memory"].map if "memory" in given else {}
        return Expectation(
            self._expected_text(given["answer"], f"{path}.answer") if "answer" in given else None,
            tuple(self._calls(given.get("calls"), f"{path}.calls")),
            self._texts(given.get("no_calls"), f"{path}.no_calls"),
            {label: self._expected_text(child, f"{path}.memory.{label}") for label, child in memory.items()},
            **{name: child.value for name, child in most.items() if name in ("seconds", "steps", "tokens")},
        )

    def _expected_text(self, node: Node, path: str) -> ExpectedText:
        given = node.map
        pattern = self._text(given["matches"], f"{path}.matches") if "matches" in given else None
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                message = f"{path}.matches: not a regular expression: {error.msg} at position {error.pos}"
                self.problems.add(message, given["matches"].place, field=f"{path}.matches")
        return ExpectedText(
            self._texts(given.get("contains"), f"{path}.contains"),
            self._texts(given.get("excludes"), f"{path}.excludes"),
            pattern,
            self._json_schema(given["json_schema"], f"{path}.json_schema") if "json_schema" in given else None,
        )

    def _json_schema(self, node: Node, path: str) -> Mapping[str, Any]:
        schema = self._map(node, path)
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError

        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            at = ".".join(map(str, error.absolute_path))
            message = f"{path}{f'.{at}' if at else ''}: not a JSON Schema: {error.message}"
            self.problems.add(message, node.place, field=path)
        return schema

    def _calls(self, node: Node | None, path: str) -> Iterator[ExpectedCall]:
        for index, item in enumerate(node.list if node else ()):
            if "tool" in item.map:
                where = f"{path}.{index}"
                arguments = item.map.get("arguments")
                given = self._map(arguments, f"{where}.arguments") if arguments is not None else {}
                yield ExpectedCall(self._text(item.map["tool"], f"{where}.tool"), given)

    def _judge(self, node: Node | None, path: str) -> Judge | None:
        if node is None or "criteria" not in node.map:
            return None
        model = node.map.get("model")
        criteria = self._text(node.map["criteria"], f"{path}.criteria")
        return Judge(criteria, self._text(model, f"{path}.model") if model is not None else None)

    # --- values

    def _text(self, node: Node, path: str) -> str:
        """A text that is not empty. _Unknown if it is not known, or not valid."""
        text = self.scope.text(node, None, path)
        if text is None:
            raise _Unknown
        if not text.strip():
            self.problems.add(f"{path}: must not be empty", node.place, field=path)
        return text

    def _texts(self, node: Node | None, path: str) -> tuple[str, ...]:
        """A text, or a list of texts."""
        if node is None:
            return ()
        if not isinstance(node.value, list):
            return (self._text(node, path),)
        return tuple(self._text(item, f"{path}.{index}") for index, item in enumerate(node.list))

    def _map(self, node: Node, path: str) -> Mapping[str, Any]:
        value = self.scope.plain(node, None, path)
        if value is UNRESOLVED:
            raise _Unknown
        if not isinstance(value, dict):
            self.problems.add(f"{path}: expected a map, got {described(value)}", node.place, field=path)
            return {}
        return value


class _Unknown(Exception):
    """A value depends on a variable that has none, or has a problem, which is reported."""
