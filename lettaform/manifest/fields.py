"""Instances to the values of their fields, each evaluated when it is first asked for, also by other objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr
from lettaform.kinds.traits import Companions, Parts, SourceFile
from lettaform.manifest.expand import Expanded, Instance
from lettaform.manifest.expressions import Path
from lettaform.manifest.node import UNRESOLVED, UNSET, Node, described
from lettaform.manifest.problems import suggest
from lettaform.manifest.references import References
from lettaform.manifest.rules import REFERENCE
from lettaform.manifest.scope import TAINTED_HINT, Scope
from lettaform.manifest.types import flaws
from lettaform.values import Ref, Secret, fill, rebuild, tainted

MAXIMUM_CHAIN = 30
"""How many fields may take their values from one another in a chain."""


class _NotSet:
    """The type of NOT_SET."""


NOT_SET = _NotSet()
"""Stands for a field that the manifest does not set."""


class FieldValues:
    """The values of the fields of all objects.

    chain  the fields that are being evaluated, each asked for by the one before it
    """

    def __init__(self, expanded: Expanded, scope: Scope) -> None:
        self.scope, self.instances, self.problems = scope, expanded.instances, scope.problems
        self.references = References(expanded, scope.problems)
        self.chain: list[tuple[Address, str]] = []
        scope.refer = self.refer

    def value(self, instance: Instance, name: str) -> Any:
        """The value of a field; UNRESOLVED if it cannot be determined, NOT_SET if the manifest does not set it."""
        if name in instance.values:
            return instance.values[name]
        node = instance.body.map.get(name)
        if node is None or node.tag == UNSET:
            return NOT_SET
        line = instance.table.attrs()[name]
        if node.map and line.related(Companions):
            return True  # the map sets fields of the companions
        step = (instance.address, name)
        if step in self.chain or len(self.chain) > MAXIMUM_CHAIN:
            chain = " → ".join(f"{address}.{field}" for address, field in [*self.chain[-4:], step])
            if step in self.chain:
                message, hint = f"these fields take their values from one another: {chain}", "set one of them directly"
            else:
                message = f"more than {MAXIMUM_CHAIN} fields take their values from one another: … → {chain}"
                hint = "use a variable"
            self.problems.add(message, node.place, hint, address=instance.address)
            return UNRESOLVED
        self.chain.append(step)
        try:
            value = self.scope.value(node, instance.each)
        finally:
            self.chain.pop()
        if value is not UNRESOLVED:
            value = self._interpreted(instance, line, node, value)
        instance.values[name] = value
        return value

    def name(self, instance: Instance) -> Any:
        """The name of an object: the value of its name field, what the kind derives from other fields, or its key.

        None if the kind derives no name.
        """
        table, body = instance.table, instance.body
        name, origin = table.name_field, table.naming.fields
        if not origin:
            return self.value(instance, name) if name in body.map else instance.name
        if name in body.map:
            message = f"{name}: cannot be set: the server derives it from `{'` and `'.join(origin)}`"
            self.problems.add(message, body.keys[name], "remove the line", address=instance.address)
            return UNRESOLVED
        others = {field: self.value(instance, field) for field in origin}
        if any(value is UNRESOLVED for value in others.values()):
            return UNRESOLVED
        given = {field: fill(value, stand_in) for field, value in others.items() if value is not NOT_SET}
        return UNRESOLVED if flaws(table, given) else table.naming.derive(given)

    # --- what a value means for its field

    def _interpreted(self, instance: Instance, line: Attr, node: Node, value: Any) -> Any:
        """The value with its secrets marked, its keys replaced by Refs, and its path replaced by the file's text."""
        if tainted(value) and not (line.secret or line.embeds):
            where = instance.body.at(line.name)
            message = f"{line.name}: a secret cannot be used here"
            self.problems.add(message, where, TAINTED_HINT, field=line.name)
            return UNRESOLVED
        if line.secret:
            hidden = rebuild(value, lambda each: each.opaque() if isinstance(each, Secret) else each)
            return self._secret(hidden)
        if line.to in kinds():
            return self.references.members(instance, line, node, value)
        if line.related(SourceFile) and isinstance(value, str) and not node.tag and "\n" not in value and value:
            return self._source(instance, line, node, value)
        return value

    def _secret(self, value: Any) -> Any:
        if isinstance(value, str):
            self.problems.conceal(value)
            return Secret("literal", value)
        if isinstance(value, Mapping):
            return {key: self._secret(item) for key, item in value.items()}
        return [self._secret(item) for item in value] if isinstance(value, list) else value

    def _source(self, instance: Instance, line: Attr, node: Node, value: str) -> Any:
        """The text of the file that a one-line value names."""
        source = line.related(SourceFile)
        suffixes = tuple(source.endings if source else ())
        if not value.endswith(suffixes):
            message = f"{line.name}: expected a path that ends in {' or '.join(suffixes)}, or a text of several lines"
            hint = f"write a path, or the text itself after `{line.name}: |`"
            self.problems.add(f"{message}; got {described(value)}", node.place, hint)
            return UNRESOLVED
        instance.sources[line.name] = value
        path = self.scope.files.named(value, node.place)
        text = None if path is None else self.scope.files.text(path, node.place)
        return UNRESOLVED if text is None else text

    # --- expressions that refer to objects

    def refer(self, path: Path, where: Place) -> Any:
        """The value of an expression that refers to an object: a Ref, or the value itself if the manifest sets it."""
        address, rest = self.references.object(path, where)
        if address is None:
            return UNRESOLVED
        instance, text = self.instances[address], f"`${{{path.text}}}`"
        if not rest:
            return self._no(f"{text} is an object, not a value", where, f"did you mean `${{{path.text}.id}}`?")
        if rest == ["id"]:
            return Ref(address)
        field, lines = rest[0], instance.table.attrs()
        if field not in lines or lines[field].related(Parts):
            readable = ["id", *(name for name, line in lines.items() if line.read is not None and not line.secret)]
            return self._no(f"{text}: there is no field `{field}`", where, suggest(field, readable))
        value = NOT_SET if instance.external else self._field_or_name(instance, field)
        if value is NOT_SET and lines[field].read is None:
            return self._no(
                f"{text} has no value: the manifest does not set it and the server does not return it", where
            )
        if value is NOT_SET:
            return Ref(address, ".".join(rest))
        if value is UNRESOLVED:
            return UNRESOLVED
        for step in rest[1:]:
            value = value[step] if isinstance(value, Mapping) and step in value else Ref(address, ".".join(rest))
        if isinstance(value, Mapping | list):  # otherwise values could grow without limit, each twice the one before
            hint = "refer to a text, a number, true or false inside it"
            return self._no(f"{text} is {described(value)}, which cannot be taken from another object", where, hint)
        return value

    def _field_or_name(self, instance: Instance, field: str) -> Any:
        if field != instance.table.name_field or instance.owner:
            return self.value(instance, field)
        name = self.name(instance)
        return UNRESOLVED if name is None else name

    def _no(self, message: str, where: Place, hint: str | None = None) -> Any:
        self.problems.add(message, where, hint, rule=REFERENCE)
        return UNRESOLVED


def stand_in(ref: Ref) -> str:
    """A text in place of a value that is known only during an apply, so that types can be checked."""
    return f"‹{ref.address}.{ref.path}›"
