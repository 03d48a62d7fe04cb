"""Keys and expressions to the objects that they name."""

from __future__ import annotations

from typing import Any

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr
from lettaform.manifest.expand import Expanded, Instance
from lettaform.manifest.node import HOLE, Node, described, plural
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.scope import Path
from lettaform.model import Desired, External
from lettaform.values import Ref


class References:
    """Who names whom.

    implied   objects of the server's own that somebody uses
    """

    def __init__(self, expanded: Expanded, problems: Problems) -> None:
        self.expanded, self.problems = expanded, problems
        self.instances = expanded.instances
        self.implied: dict[Address, Desired] = {}

    def members(self, instance: Instance, line: Attr, node: Node, value: Any) -> Any:
        """Keys of another section as Refs; all instances of what has `for_each`."""
        if value is None:
            return None
        if not isinstance(value, list):
            where = instance.body.at(line.name)
            found = self._member(instance, line, value, where)
            if found is HOLE or len(found) == 1:
                return found if found is HOLE else found[0]
            message = f"{line.name}: `{value}` is {plural(len(found), line.to or '')}, and it takes one"
            self.problems.add(message, where, address=instance.address, field=line.name)
            return HOLE
        targets: list[Any] = []
        broken = False
        for index, item in enumerate(value):
            where = node.list[index].place if index < len(node.list) else instance.body.at(line.name)
            found = self._member(instance, line, item, where)
            if found is HOLE:
                broken = True
                continue
            for target in found:
                if target in targets:
                    shown = target.address if isinstance(target, Ref) else described(target)
                    message = f"{line.name}: {shown} stands twice"
                    self.problems.add(message, where, "leave one out", address=instance.address, field=line.name)
                else:
                    targets.append(target)
        return HOLE if broken else targets

    def _member(self, instance: Instance, line: Attr, item: Any, where: Place) -> Any:
        """The Refs that one item stands for."""
        kind = line.to or ""
        section = kinds()[kind].section
        if isinstance(item, Ref):
            if (item.address.section, item.path) == (section, "id"):
                return [item]
            self.problems.add(f"{line.name}: {item.address} is none of {section}", where, address=instance.address)
            return HOLE
        if not isinstance(item, str):
            return [item]  # of a wrong type, which is told elsewhere
        declared = self.expanded.keys[section]
        if item in declared:
            whole = Address.of(section, item)
            return [Ref(address) for address in self.expanded.all_of(whole)]
        one = self._one_of(section, item)
        if one is not None and one in self.instances:
            return [Ref(one)]
        if one is not None and Address.of(section, one.key) in self.expanded.unusable:
            return HOLE
        if item in kinds()[kind].naming.built_in:
            return [Ref(self._built_in(kind, section, item, where))]
        if self.problems.unread:
            return HOLE
        return self._unknown(instance, line, section, item, where)

    def _one_of(self, section: str, item: str) -> Address | None:
        """`worker[emea]` as an address."""
        try:
            return Address.parse(f"{section}{'' if item.startswith('[') else '.'}{item}")
        except ValueError:
            return None

    def _built_in(self, kind: str, section: str, name: str, where: Place) -> Address:
        address = Address.of(section, name)
        if address not in self.implied:
            self.implied[address] = Desired(address, kind, {}, where, external=External(name=name))
        return address

    def _unknown(self, instance: Instance, line: Attr, section: str, item: str, where: Place) -> Any:
        declared = self.expanded.keys[section]
        one = self._one_of(section, item)
        whole = Address.of(section, one.key) if one is not None and one.index is not None else None
        words = [*declared, *(kinds()[line.to].naming.built_in if line.to else ())]
        hint = suggest(item, words)
        if whole is not None and whole in self.expanded.repeated:
            hint = suggest(item, [str(address).partition(".")[2] for address in self.expanded.all_of(whole)])
        elif item.startswith(f"{section}.") and item.partition(".")[2] in declared:
            hint = f"did you mean `{item.partition('.')[2]}`?"
        elif hint is None or not declared:
            hint = hint or f"declare it in `{section}`"
        message = f"{line.name}: there is no {line.to} `{item}`"
        self.problems.add(message, where, hint, address=instance.address, field=line.name)
        return HOLE

    def object(self, path: Path, where: Place) -> tuple[Address | None, list[str]]:
        """The object that an expression names, and what of it."""
        section, steps = path.head, list(path.steps)
        if not steps:
            return self._no(f"`${{{path.text}}}` names no object", where, f"${{{section}.key.id}}")
        key, _ = steps.pop(0)
        address = Address.of(section, key)
        declared = self.expanded.keys[section]
        if address in self.expanded.unusable or (key not in declared and self.problems.unread):
            return None, []
        if key not in declared:
            choices = [str(Address.of(section, known)) for known in declared]
            return self._no(f"there is no `{address}`", where, suggest(str(address), choices))
        if address in self.expanded.repeated:
            choices = [str(one) for one in self.expanded.all_of(address)]
            if not steps or not steps[0][1]:
                message = f"`{address}` is made by `for_each`: name one of them"
                return self._no(message, where, suggest(str(address), choices))
            address = Address.of(section, key, steps.pop(0)[0])
            if address not in self.instances:
                return self._no(f"there is no `{address}`", where, suggest(str(address), choices))
        if address not in self.instances:
            return self._no(f"`{address}` is left out by its `when`", where)
        words = [word for word, _ in steps]
        line = self.instances[address].table.attrs().get(words[0]) if words else None
        if line is not None and line.own and len(words) > 1:
            address, words = address.part(words[0], words[1]), words[2:]
            if address not in self.instances:
                parts = [str(part) for part in self.instances if part.field and part.parent == address.parent]
                return self._no(f"there is no `{address}`", where, suggest(str(address), parts))
        return address, words

    def _no(self, message: str, where: Place, hint: str | None = None) -> tuple[None, list[str]]:
        self.problems.add(message, where, hint)
        return None, []
