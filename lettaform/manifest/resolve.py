"""Instances to a Manifest: every value evaluated and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lettaform.address import Address
from lettaform.kinds.base import Attr
from lettaform.kinds.traits import Contents, DiscoveredBy, Parts, Policy, SourceFile
from lettaform.manifest.additions import check_additions
from lettaform.manifest.agent_checks import AgentChecks
from lettaform.manifest.checks import Checks, place_of
from lettaform.manifest.cycles import check_cycles
from lettaform.manifest.declarations import Declarations, parse_address
from lettaform.manifest.expand import Expanded, Instance
from lettaform.manifest.fields import NOT_SET, FieldValues
from lettaform.manifest.files import is_exclusion
from lettaform.manifest.matches import Matches
from lettaform.manifest.node import UNRESOLVED, UNSET, Node, described
from lettaform.manifest.policies import policies
from lettaform.manifest.problems import Problems
from lettaform.manifest.rules import DECLARATION
from lettaform.manifest.scope import Scope
from lettaform.manifest.types import places
from lettaform.manifest.uniqueness import check_names_of_members, check_unique_names
from lettaform.model import Desired, External, Manifest
from lettaform.values import Item, Ref, has_refs


def resolve(root: Node, expanded: Expanded, scope: Scope, *, connects: bool = True) -> Manifest:
    """The whole manifest, without its warnings. It must not be used if `scope.problems` has errors.

    connects  whether the run sends requests to the server that the manifest names
    """
    build = Objects(expanded, scope)
    matches = tuple(Matches(root, scope, build.fields, build.checks).all())
    objects = build.all()
    scope.problems.rule = DECLARATION
    declarations = Declarations(root, expanded, scope, connects=connects)
    return Manifest(
        stack=scope.stack,
        objects=objects,
        server=declarations.server(),
        environment=scope.environment,
        moved=tuple(declarations.moved()),
        imports=tuple(declarations.imports(objects)),
        removed=tuple(declarations.removed()),
        outputs=declarations.outputs(),
        snapshots=declarations.snapshots(),
        keeps_changes=declarations.keeps_changes(),
        limits=declarations.limits(),
        policies=policies(root, scope.problems),
        checks=tuple(AgentChecks(root, expanded, scope).all()),
        matches=matches,
        passed={use.component: use.passed for use in expanded.uses.values()},
    )


class Objects:
    """Builds the Desired objects of a manifest."""

    def __init__(self, expanded: Expanded, scope: Scope) -> None:
        self.scope, self.instances = scope, expanded.instances
        self.problems: Problems = scope.problems
        self.fields = FieldValues(expanded, scope)
        self.checks = Checks(scope.problems, scope.files)

    def all(self) -> Mapping[Address, Desired]:
        """Every object, and the built-in objects of the server that they use."""
        objects = {address: self.desired(instance) for address, instance in self.instances.items()}
        objects |= self.fields.references.built_in
        check_unique_names(objects, self.problems)
        for instance in self.instances.values():
            check_names_of_members(instance, objects, self.problems)
            check_additions(instance, objects, self.problems)
        check_cycles(objects, self.instances, self.problems)
        # without the variables that name it, an external object cannot be found
        return {address: desired for address, desired in objects.items() if not _is_unknown(desired)}

    def desired(self, instance: Instance) -> Desired:
        """One object."""
        texts: dict[str, Node] = {}
        where = places(instance.body, texts)
        if instance.external:
            found = self.external(instance)
            return Desired(instance.address, instance.kind, {}, instance.place, where, external=found)
        body = instance.body.map
        if line := next((line for line, _ in instance.table.relations(DiscoveredBy) if line.name in body), None):
            offered = self.offered(instance, line)
            return Desired(instance.address, instance.kind, {}, instance.place, where, external=offered)
        values = self.values(instance)
        policies, protected = self.ownership(instance)
        if instance.owner:
            protected = self.ownership(self.instances[instance.owner])[1]
        return Desired(
            instance.address,
            instance.kind,
            values,
            instance.place,
            where,
            policies,
            protected,
            created_with=instance.owner,
            recompile=self.recompiled(instance),
            files=self.files(instance, texts) if texts or instance.sources else {},
        )

    def files(self, instance: Instance, texts: Mapping[str, Node]) -> dict[str, str]:
        """The paths of the fields whose text is that of a file, with the file. `texts`: what names it with `!file`."""
        named = {path: instance.scope.path(node, instance.each) for path, node in texts.items()}
        for name in instance.sources:
            node = instance.body.map[name]
            named[name] = self.scope.files.named(instance.sources[name], node.place)
        return {path: str(file) for path, file in named.items() if file is not None}

    def values(self, instance: Instance) -> dict[str, Any]:
        """The values of the fields, without those that have problems."""
        table, lines = instance.table, instance.table.attrs()
        set_names = instance.body.map.keys() | instance.values.keys()
        values = {
            name: self.fields.value(instance, name)
            for name, line in lines.items()
            if name in set_names and not line.related(Parts)
        }
        values = {name: value for name, value in values.items() if value is not NOT_SET}
        valid = self.checks.valid(instance, values)
        self.checks.warn(instance)
        unknown = values.keys() - valid.keys()
        name = self.fields.name(instance)
        if name not in (None, UNRESOLVED) and table.name_field not in values and instance.owner is None:
            valid = {table.name_field: name, **valid}
        self.add_implied(instance, valid)
        rejected = self.checks.rejected(instance, valid, unknown)
        if name is None and not unknown and not rejected:
            self.report_nameless(instance)
        for name, value in valid.items():
            if lines[name].related(Contents) and value:
                valid[name] = self.items(instance, name, value)
        return valid

    def add_implied(self, instance: Instance, values: dict[str, Any]) -> None:
        """Add the fields that follow from the suffix of a source file."""
        for name, path in instance.sources.items():
            source = instance.table.attrs()[name].related(SourceFile)
            for suffix, implied in (source.endings if source else {}).items():
                if path.endswith(suffix):
                    values |= {key: value for key, value in implied.items() if key not in instance.body.map}

    def report_nameless(self, instance: Instance) -> None:
        fields = instance.table.naming.fields
        missing = next((field for field in fields if field not in instance.body.map), None)
        if missing == fields[0]:
            message, hint = f"`{missing}` is required", f"add `{missing}: …`"
        else:
            message, hint = f"no name can be derived from `{'` and `'.join(fields)}`", "add `name` to the schema"
        self.problems.add(message, instance.place, hint, address=instance.address, field=fields[0])

    # --- items without an address: passages and files

    def items(self, instance: Instance, name: str, value: Any) -> list[Item]:
        """The Items of a field that holds contents, each once."""
        found: dict[str, Item] = {}
        contents = instance.table.attrs()[name].related(Contents)
        patterns = contents is not None and contents.what == "files"
        excluded = self.excluded_files(instance, name, value) if patterns else frozenset()
        for index, each in enumerate(value if isinstance(value, list) else ()):
            if has_refs(each):
                message = f"{name}.{index}: references to objects cannot be used here"
                self.report(instance, name, index, message, "it is compared by its text, which must be known")
            elif patterns and isinstance(each, str):
                if not is_exclusion(each):
                    self.add_matching_files(instance, name, index, each, found, excluded)
            elif not patterns and isinstance(each, str | dict) and each:
                item = instance.table.item(name, each)
                if item.key in found:
                    self.report(instance, name, index, f"{name}.{index}: is listed twice", "remove one")
                found[item.key] = item
        return list(found.values())

    def excluded_files(self, instance: Instance, field: str, value: Any) -> frozenset[Path]:
        """The files that the patterns of a list exclude, wherever they stand in it."""
        texts = enumerate(value if isinstance(value, list) else ())
        patterns = [(each, place_of(instance, f"{field}.{index}")) for index, each in texts if isinstance(each, str)]
        return self.scope.files.excluded(patterns)

    def add_matching_files(
        self,
        instance: Instance,
        field: str,
        index: int,
        pattern: str,
        found: dict[str, Item],
        excluded: frozenset[Path],
    ) -> None:
        by_name = {item.name: item for item in found.values()}
        for item in self.scope.files.matching(pattern, place_of(instance, f"{field}.{index}"), excluded):
            other = by_name.get(item.name)
            if other is not None and other.body != item.body:
                paths = " and ".join(self.scope.files.shown(Path(each.body["path"])) for each in (other, item))
                message = f"{field}: two files have the name `{item.name}` on the server: {paths}"
                self.report(instance, field, index, message, "rename one")
            found[item.key] = item

    def report(self, instance: Instance, field: str, index: int, message: str, hint: str) -> None:
        where = place_of(instance, f"{field}.{index}")
        self.problems.add(message, where, hint, address=instance.address, field=field)

    # --- objects that this stack does not create

    def external(self, instance: Instance) -> External:
        """How to find an object that is managed elsewhere."""
        body = instance.body
        given = {key: body.map[key] for key in ("name", "id", "stack", "address") if key in body.map}
        if set(given) not in ({"name"}, {"id"}, {"stack", "address"}):
            message = "an external object needs exactly one of: `name`; `id`; `stack` and `address`"
            hint = "for example `{external: true, name: NAME}`"
            self.problems.add(message, body.at("external"), hint, address=instance.address)
        if "name" in given and instance.table.owner_line() and instance.table.naming.fields:
            message = f"name: the name of a {instance.kind} is derived from its contents"
            hint = "write `id: …`, or `stack: …` and `address: …`"
            self.problems.add(message, given["name"].place, hint, address=instance.address, field="name")
        found = {key: instance.scope.text(node, instance.each, key) for key, node in given.items()}
        for key in (key for key, value in found.items() if value == ""):
            self.problems.add(f"{key}: must not be empty", given[key].place, address=instance.address, field=key)
        where = given.get("address")
        address = parse_address(where, self.problems) if where is not None else None
        return External(found.get("name"), found.get("id"), found.get("stack"), address)

    def offered(self, instance: Instance, line: Attr) -> External | None:
        """How to find an object that another object offers, by its name there; None if that is not known."""
        by = self.fields.value(instance, line.name)
        if not isinstance(by, Ref):
            return None
        key = instance.table.name_field
        for other in instance.body.map:
            if other not in (line.name, key, "for_each", "when"):
                message = f"`{other}` cannot be set together with `{line.name}`, which provides the {instance.kind}"
                where = instance.body.keys[other]
                self.problems.add(message, where, "remove the line", address=instance.address, field=other)
        node = instance.body.map.get(key)
        name = instance.name if node is None else instance.scope.text(node, instance.each, key)
        return External(name=name, offered_by=by.address)

    # --- policies

    def ownership(self, instance: Instance) -> tuple[dict[str, Policy], bool]:
        """The policy of each field, and whether the object is protected from deletion."""
        body = instance.body.map
        policy = body["policy"].map if "policy" in body else {}
        policies: dict[str, Any] = {name: node.text for name, node in policy.items() if node.tag != UNSET}
        lifecycle = body["lifecycle"].map if "lifecycle" in body else {}
        for node in lifecycle["ignore_changes"].list if "ignore_changes" in lifecycle else ():
            name = str(node.text)
            if policies.get(name, "ignore") != "ignore":
                message = f"lifecycle.ignore_changes: `{name}` also has the policy `{policies[name]}`"
                self.problems.add(message, node.place, "remove one of the two")
            policies[name] = "ignore"
        prevent = lifecycle.get("prevent_destroy")
        if prevent is None or prevent.tag == UNSET:
            return policies, False
        value = instance.scope.plain(prevent, instance.each, "lifecycle.prevent_destroy")
        if prevent.deferred and value is not UNRESOLVED and not isinstance(value, bool):
            message = f"lifecycle.prevent_destroy: expected true or false, got {described(value)}"
            self.problems.add(message, prevent.place, address=instance.address)
        return policies, value is True

    def recompiled(self, instance: Instance) -> Any:
        """What a change to the prompt recompiles, by `lifecycle.recompile`; None: everything."""
        body = instance.body.map
        lifecycle = body["lifecycle"].map if "lifecycle" in body else {}
        node = lifecycle.get("recompile")
        return None if node is None or node.tag == UNSET else node.text


def _is_unknown(desired: Desired) -> bool:
    """Whether nothing is known by which an external object can be found."""
    external = desired.external
    return external is not None and not (external.name or external.id or (external.stack and external.address))
