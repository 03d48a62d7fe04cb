"""The entries of `lint.ignore` to the warnings that they switch off."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from lettaform.address import Address, matches
from lettaform.errors import Place, Problem
from lettaform.manifest.node import UNSET, Node, empty
from lettaform.manifest.rules import UNUSED_WAIVER, WARNINGS


@dataclass(frozen=True)
class Waiver:
    """One entry: a rule, and the objects for which it is switched off. `address`: a pattern; None: all objects."""

    rule: str
    address: str | None
    place: Place

    def covers(self, problem: Problem) -> bool:
        """Whether the entry switches a warning off."""
        if problem.rule != self.rule or self.address is None:
            return problem.rule == self.rule
        try:
            return problem.address is not None and matches(Address.read(problem.address), (self.address,))
        except ValueError:
            return False


@dataclass(frozen=True)
class Waivers:
    """All entries."""

    entries: tuple[Waiver, ...] = ()

    @classmethod
    def read(cls, root: Node) -> Waivers:
        """The entries of a manifest. Those that are not valid, which the form reports, are left out."""
        lint = (root.map.get("lint") or empty(root.place)).map.get("ignore")
        return cls(tuple(_waivers(lint.list if lint and lint.tag != UNSET else ())))

    def covers(self, problem: Problem) -> bool:
        """Whether an entry switches a warning off."""
        return any(each.covers(problem) for each in self.entries)

    def unused(self, warnings: Collection[Problem]) -> Iterator[Problem]:
        """A warning for each entry that matches none of these, except for entries about such warnings."""
        for each in self.entries:
            if each.rule != UNUSED_WAIVER and not any(map(each.covers, warnings)):
                about = f" about `{each.address}`" if each.address else ""
                message = f"lint.ignore: there is no warning of the rule `{each.rule}`{about}"
                hint = "remove the entry, unless an environment needs it"
                yield Problem(message, each.place, hint, severity="warning", rule=UNUSED_WAIVER)


def _waivers(nodes: Collection[Node]) -> Iterator[Waiver]:
    for node in nodes:
        rule, reason = (node.map[key].text if key in node.map else None for key in ("rule", "reason"))
        address = node.map["address"].text if "address" in node.map else None
        if rule and rule in WARNINGS and reason:
            yield Waiver(rule, address, node.place)
