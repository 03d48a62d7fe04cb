"""Keys in lists of references, and expressions, to the addresses of the objects that they name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lettaform.address import Address, Component
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr
from lettaform.kinds.traits import Parts
from lettaform.manifest.expand import Expanded, Instance
from lettaform.manifest.expressions import Path
from lettaform.manifest.node import UNRESOLVED, Node, plural
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.rules import REFERENCE
from lettaform.manifest.uses import Use
from lettaform.model import Desired, External
from lettaform.values import Ref


class References:
    """Finds the objects that keys and expressions name.

    built_in  built-in objects of the server that the manifest uses
    """

    def __init__(self, expanded: Expanded, problems: Problems) -> None:
        self.expanded, self.problems = expanded, problems
        self.instances = expanded.instances
        self.built_in: dict[Address, Desired] = {}

    # --- keys in fields that refer to objects

    def members(self, instance: Instance, line: Attr, node: Node, value: Any) -> Any:
        """The value of a field that refers to objects, with Refs in place of keys.

        The key of a declaration with `for_each` stands for all its instances.
        """
        if value is None:
            return None
        if not isinstance(value, list):
            return self._single(instance, line, value, instance.body.at(line.name))
        targets: list[Any] = []
        seen: set[Ref] = set()
        broken = False
        for index, item in enumerate(value):
            where = node.list[index].place if index < len(node.list) else instance.body.at(line.name)
            found = self._targets(instance, line, item, where)
            if found is UNRESOLVED:
                broken = True
                continue
            for target in found:
                if isinstance(target, Ref) and target in seen:
                    message = f"{line.name}: {target.address} is listed twice"
                    self.problems.add(message, where, "remove one", address=instance.address, field=line.name)
                    continue
                if isinstance(target, Ref):
                    seen.add(target)
                targets.append(target)
        return UNRESOLVED if broken else targets

    def _single(self, instance: Instance, line: Attr, value: Any, where: Place) -> Any:
        found = self._targets(instance, line, value, where)
        if found is UNRESOLVED or len(found) == 1:
            return found if found is UNRESOLVED else found[0]
        message = f"{line.name}: `{value}` stands for {plural(len(found), line.to or '')}; expected one"
        self.problems.add(message, where, address=instance.address, field=line.name)
        return UNRESOLVED

    def _targets(self, instance: Instance, line: Attr, item: Any, where: Place) -> Any:
        """The Refs that one item stands for."""
        table = kinds()[line.to or ""]
        section, component = table.section, instance.address.component
        if isinstance(item, Ref):
            if (item.address.section, item.path) == (section, "id"):
                return [item]
            message = f"{line.name}: expected an object of `{section}`, got {item.address}"
            self.problems.add(message, where, address=instance.address)
            return UNRESOLVED
        if not isinstance(item, str):
            return [item]  # of a wrong type, which is reported elsewhere
        if item in self.expanded.declared(component, section):
            return [Ref(each) for each in self.expanded.instances_of(Address.of(section, item, None, component))]
        address = _in_section(section, item, component)
        if address is not None and address in self.instances:
            return [Ref(address)]
        if address is not None and Address.of(section, address.key, None, component) in self.expanded.unusable:
            return UNRESOLVED
        if item in table.naming.built_in:
            return [Ref(self._built_in(line.to or "", Address.of(section, item), where))]
        if not self.problems.incomplete:
            self._report_unknown(instance, line, item, address, where)
        return UNRESOLVED

    def _built_in(self, kind: str, address: Address, where: Place) -> Address:
        if address not in self.built_in:
            self.built_in[address] = Desired(address, kind, {}, where, external=External(name=address.key))
        return address

    def _report_unknown(self, instance: Instance, line: Attr, item: str, address: Address | None, where: Place) -> None:
        """`address`: `item` read as the address of an object of the section, if it can be."""
        table = kinds()[line.to or ""]
        section, component = table.section, instance.address.component
        declared = self.expanded.declared(component, section)
        indexed = address is not None and address.index is not None
        whole = Address.of(section, address.key, None, component) if address is not None and indexed else None
        full = _parsed(item)
        if whole is not None and whole in self.expanded.repeated:
            hint = self._suggest_instance(item, whole, short=True)
        elif full is not None and full.section == section and full.key in declared:
            hint = f"did you mean `{full.without_section}`?"
        else:
            named = f"{section} of {component}" if component else section
            hint = self.problems.suggest(item, named, [*declared, *table.naming.built_in])
            hint = hint or self._declare(section, component)
        message = f"{line.name}: there is no {line.to} `{item}`"
        about: dict[str, Any] = {"address": instance.address, "field": line.name}
        self.problems.add(message, where, hint, **about, rule=REFERENCE)

    def _declare(self, section: str, component: Component | None) -> str:
        if component is None:
            return f"declare it in `{section}`"
        return f"declare it in `{section}` of the component, or pass it as an input: `${{{section}.KEY.id}}`"

    def _suggest_instance(self, word: str, declaration: Address, *, short: bool = False) -> str | None:
        found = self.expanded.instances_of(declaration)
        keys = [address.without_section if short else str(address) for address in found]
        return self.problems.suggest(word, str(declaration), keys)

    # --- expressions

    def object(self, path: Path, where: Place, component: Component | None) -> tuple[Address | None, list[str]]:
        """The object that an expression names, and the steps after it; None, and a problem, if there is none.

        component  the component in which the expression is written
        """
        section, steps = path.head, list(path.steps)
        if not steps:
            return self._no(f"`${{{path.text}}}` names no object", where, f"write `${{{section}.KEY.id}}`")
        key, _ = steps.pop(0)
        address: Address | None = Address.of(section, key, None, component)
        assert address is not None
        declared = self.expanded.declared(component, section)
        if address in self.expanded.unusable or (key not in declared and self.problems.incomplete):
            return None, []
        if key not in declared:
            named = f"${{{section}}} of {component}"
            hint = self.problems.suggest(key, named, declared, lambda near: str(Address.of(section, near)))
            return self._no(f"there is no `{address}`", where, hint)
        if address in self.expanded.repeated:
            address = self._instance(address, steps, where)
            if address is None:
                return None, []
        if address not in self.instances:
            return self._no(f"`{address}` is not created: its `when` is false", where)
        return self._own_object(address, [word for word, _ in steps], where)

    def _instance(self, declaration: Address, steps: list[tuple[str, bool]], where: Place) -> Address | None:
        """The instance of a declaration with `for_each` that the first step names. Removes the step."""
        if not steps or not steps[0][1]:
            hint = self._suggest_instance(str(declaration), declaration)
            self._no(f"`{declaration}` has `for_each`: add the key of an instance", where, hint)
            return None
        address = declaration.instance(steps.pop(0)[0])
        if address not in self.instances:
            self._no(f"there is no `{address}`", where, self._suggest_instance(str(address), declaration))
            return None
        return address

    def _own_object(self, address: Address, words: list[str], where: Place) -> tuple[Address | None, list[str]]:
        """The own object that the first two words name, and the words after it; otherwise the object and all words."""
        line = self.instances[address].table.attrs().get(words[0]) if words else None
        if line is None or not line.related(Parts) or len(words) == 1:
            return address, words
        part = address.part(words[0], words[1])
        if part not in self.instances:
            field = self.instances[address].body.map.get(words[0])
            parts: Iterable[Address] = (address.part(words[0], key) for key in (field.map if field else ()))
            return self._no(f"there is no `{part}`", where, suggest(str(part), map(str, parts)))
        return part, words[2:]

    def output(self, path: Path, where: Place, outer: Component | None) -> tuple[Use | None, list[str]]:
        """The instance of a component that an expression names, and the words after it: those of an output."""
        steps = list(path.steps)
        if len(steps) < 2:
            self._no(f"`${{{path.text}}}` names no output", where, "write `${components.KEY.OUTPUT}`")
            return None, []
        key, _ = steps.pop(0)
        component = Component.of(outer, key)
        used = self.expanded.used.get(outer, {})
        if component in self.expanded.unusable or (key not in used and self.problems.incomplete):
            return None, []
        if key not in used:
            self._no(f"there is no `{component}`", where, self.problems.suggest(key, f"components of {outer}", used))
            return None, []
        if component in self.expanded.repeated:
            if not steps[0][1]:
                hint = f"name one of them: `${{{component.instance('KEY')}.OUTPUT}}`"
                self._no(f"`{component}` has `for_each`: add the key of an instance", where, hint)
                return None, []
            component = component.instance(steps.pop(0)[0])
        if component not in self.expanded.uses:
            why = f"there is no `{component}`" if component.index else f"`{component}` is not used: its `when` is false"
            keys = [str(each) for each in self.expanded.uses if each.instance(None) == component.instance(None)]
            self._no(why, where, suggest(str(component), keys) if component.index else None)
            return None, []
        return self.expanded.uses[component], [word for word, _ in steps]

    def _no(self, message: str, where: Place, hint: str | None = None) -> tuple[None, list[str]]:
        self.problems.add(message, where, hint, rule=REFERENCE)
        return None, []


def _in_section(section: str, text: str, component: Component | None) -> Address | None:
    """`worker[emea]` as an address."""
    try:
        return Address.in_section(section, text).inside(component)
    except ValueError:
        return None


def _parsed(text: str) -> Address | None:
    try:
        return Address.read(text)
    except ValueError:
        return None
