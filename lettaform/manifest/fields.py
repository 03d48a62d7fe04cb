"""Instances to the values of their fields, each evaluated when it is first asked for, also by other objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lettaform.address import COMPONENTS, Address, Component
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr
from lettaform.kinds.traits import Companions, Parts, SourceFile
from lettaform.manifest.evaluate import member
from lettaform.manifest.expand import Expanded, Instance
from lettaform.manifest.expressions import Path
from lettaform.manifest.node import UNRESOLVED, UNSET, Node, described, empty
from lettaform.manifest.problems import suggest
from lettaform.manifest.references import References
from lettaform.manifest.rules import REFERENCE
from lettaform.manifest.scope import TAINTED_HINT, Each, Scope
from lettaform.manifest.types import flaws
from lettaform.manifest.uses import is_small
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
        self.instances, self.problems = expanded.instances, scope.problems
        self.references = References(expanded, scope.problems)
        self.chain: list[tuple[Address | Component, str]] = []
        self.outputs: dict[tuple[Component, str], Any] = {}
        scope.shared.refer = self.refer

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
        value = self._chained((instance.address, name), node, instance.scope, instance.each)
        if value is not UNRESOLVED:
            value = self._interpreted(instance, line, node, value)
        instance.values[name] = value
        return value

    def _chained(self, step: tuple[Address | Component, str], node: Node, scope: Scope, each: Each | None) -> Any:
        """The value of a field or an output; UNRESOLVED, and a problem, if it is made of itself."""
        if step in self.chain or len(self.chain) > MAXIMUM_CHAIN:
            chain = " → ".join(f"{address}.{field}" for address, field in [*self.chain[-4:], step])
            if step in self.chain:
                message, hint = f"these fields take their values from one another: {chain}", "set one of them directly"
            else:
                message = f"more than {MAXIMUM_CHAIN} fields take their values from one another: … → {chain}"
                hint = "use a variable"
            self.problems.add(message, node.place, hint, address=step[0])
            return UNRESOLVED
        self.chain.append(step)
        try:
            return scope.value(node, each)
        finally:
            self.chain.pop()

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
        files = instance.scope.files
        path = files.named(value, node.place)
        text = None if path is None else files.text(path, node.place)
        return UNRESOLVED if text is None else text

    # --- expressions that refer to objects

    def refer(self, scope: Scope, path: Path, where: Place) -> Any:
        """The value of an expression that refers to an object: a Ref, or the value itself if the manifest sets it.

        An expression may also name an output of a component.
        """
        if path.head == COMPONENTS:
            return self._output(scope, path, where)
        address, rest = self.references.object(path, where, scope.component)
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

    def _output(self, scope: Scope, path: Path, where: Place) -> Any:
        """The value of an output of a component, evaluated in the component."""
        use, words = self.references.output(path, where, scope.component)
        if use is None:
            return UNRESOLVED
        outputs = (use.root.map.get("outputs") or empty(use.root.place)).map
        if not words or words[0] not in outputs:
            name = words[0] if words else ""
            hint = suggest(name, outputs) or "declare it in the `outputs` of the component: `outputs: {NAME: …}`"
            return self._no(f"`{use.component}` has no output `{name}`", where, hint)
        key = (use.component, words[0])
        if key not in self.outputs:
            node = outputs[words[0]]
            value = self._chained((use.component, f"outputs.{words[0]}"), node, use.scope, None)
            if value is not UNRESOLVED and not is_small(value, use.scope):
                value = self._no(f"the output `{words[0]}` of {use.component} is too large", node.place)
            self.outputs[key] = value
        return member(scope, self.outputs[key], words[1:], path.text, where)

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
