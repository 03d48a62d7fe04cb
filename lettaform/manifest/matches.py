"""The section `matches` to Matches: fields of existing agents that the stack does not own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lettaform.address import Address
from lettaform.kinds import MATCHED, MATCHES
from lettaform.manifest.checks import Checks
from lettaform.manifest.conditions import conditional_fields, unconditional
from lettaform.manifest.expand import Instance
from lettaform.manifest.fields import NOT_SET, FieldValues
from lettaform.manifest.node import UNRESOLVED, UNSET, Node, empty
from lettaform.manifest.scope import Scope
from lettaform.manifest.types import places
from lettaform.model import MATCH_LIMIT, Match, Selector


class Matches:
    """Reads the section `matches`. What is not valid is reported, and left out."""

    def __init__(self, root: Node, scope: Scope, fields: FieldValues, checks: Checks) -> None:
        self.section = root.map.get(MATCHES) or empty(root.place)
        self.scope, self.problems, self.fields, self.checks = scope, scope.problems, fields, checks

    def all(self) -> Iterator[Match]:
        """The entries that are valid, in their order."""
        for key, node in self.section.map.items():
            if key and node.tag != UNSET and not (node.value is not None and not isinstance(node.value, dict)):
                address = Address.of(MATCHES, key)
                body = unconditional(node, conditional_fields(node), self._holds)
                yield from self._match(Instance(address, MATCHED, body, self.section.keys[key], self.scope, key))

    def _holds(self, condition: Node) -> bool:
        """The value of the `when` of a member of a list. True if it cannot be determined."""
        return self.scope.plain(condition, None, "when") is not False

    def _match(self, instance: Instance) -> Iterator[Match]:
        given = _given(instance.body)
        select, exclude = given.get("match"), _given(given.get("match")).get("exclude")
        policies = {name: child.text for name, child in _given(given.get("policy")).items()}
        values = self._values(instance, policies)
        path = f"{instance.address}.match"
        selector = self._selector(select, path)
        limit = given["limit"].value if "limit" in given else MATCH_LIMIT
        if selector is None or (excluded := self._selector(exclude, f"{path}.exclude")) is None:
            return
        stacks = self._texts(_given(select).get("stacks"), f"{path}.stacks")
        if self.scope.stack in stacks:
            message = f"{path}.stacks: `{self.scope.stack}` is this stack"
            hint = "remove it: the fields of its agents are declared in `agents`"
            self.problems.add(message, _given(select)["stacks"].place, hint, address=instance.address)
        if not (selector.names or selector.tags):
            message = f"{path}: `name` or `tags` is required"
            place = instance.body.at("match") if select else instance.place
            hint = 'add `tags: […]`, or `name: "worker-*"`; `name: "*"` selects every agent'
            self.problems.add(message, place, hint, address=instance.address)
            return
        if not (values or self.problems.has_errors):
            message, hint = f"{instance.address} declares no field", "add a field of agents, such as `tools`"
            self.problems.add(message, instance.place, hint, address=instance.address)
        yield Match(
            instance.address,
            selector,
            values,
            instance.place,
            excluded,
            stacks,
            limit if isinstance(limit, int) else None,
            places(instance.body),
            policies,  # type: ignore[arg-type]  # the form has checked the words
        )

    # --- which agents

    def _selector(self, node: Node | None, path: str) -> Selector | None:
        """Names, tags and ids; None if one of them is not known."""
        found = {key: self._texts(child, f"{path}.{key}") for key, child in _given(node).items() if key in _SELECTED}
        if any(None in texts for texts in found.values()):
            return None
        return Selector(found.get("name", ()), found.get("tags", ()), found.get("id", ()))

    def _texts(self, node: Node | None, path: str) -> tuple[Any, ...]:
        """The texts of a list, or a single text. A text that is not known is None; an empty one is reported."""
        if node is None:
            return ()
        value = self.scope.value(node)
        if value is UNRESOLVED:
            return (None,)
        texts = value if isinstance(value, list) else [value]
        for index, each in enumerate(texts):
            where = node.list[index].place if index < len(node.list) else node.place
            if (not isinstance(each, str) and node.deferred) or each == "":
                self.problems.add(f"{path}: expected a text that is not empty", where, field=path)
        return tuple(each if isinstance(each, str) and each else None for each in texts)

    # --- what is declared of them

    def _values(self, instance: Instance, policies: Mapping[str, Any]) -> dict[str, Any]:
        lines = instance.table.attrs()
        values = {name: self.fields.value(instance, name) for name in lines if name in instance.body.map}
        values = {name: value for name, value in values.items() if value is not NOT_SET}
        valid = self.checks.valid(instance, values)
        self.checks.warn(instance)
        self.checks.rejected(instance, valid, values.keys() - valid.keys())
        for name, policy in policies.items():
            if name in lines and lines[name].additive and policy == "enforce":
                message = f"policy.{name}: an entry of `matches` adds to a list, and cannot make it exact"
                place = instance.body.map["policy"].at(name)
                self.problems.add(message, place, "remove the line", address=instance.address)
        return valid


_SELECTED = ("name", "tags", "id")


def _given(node: Node | None) -> Mapping[str, Node]:
    """The members of a map that are set."""
    return {key: child for key, child in node.map.items() if child.tag != UNSET} if node else {}
