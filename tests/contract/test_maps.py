"""Every map whose keys the server fixes has the keys of Letta's OpenAPI description, with their types."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest

from lettaform.kinds import kinds
from lettaform.kinds.archive import Archive
from lettaform.kinds.base import Kind
from lettaform.kinds.maps import Map, Passage, Settings, key
from tests.contract.description import Api, Row, api, table
from tests.contract.test_openapi import changes, fits, self_hosted_kinds, shape

NARROWER = {
    ("MessageCreate", "content"): "0.16.8 answers 500 to a list of parts",
}
"""Keys that the server describes with more types than a map has, and why."""


def fixed(kind: type[Kind], api: Api) -> Iterator[str]:
    """Every schema of a field that is a map has a class, and the other way round."""
    for line in kind.attrs().values():
        ours = maps(kind.model_fields[line.name].annotation)
        created = api.holds(kind.requests.verb, kind.path, line.write or "")
        changed = api.holds(*changes(kind), line.write or "")
        if ours and line.write:
            yield from (f"{line.name}: {each}" for each in compared(ours, created, api))
            if changed and changed != created:
                yield f"{line.name}: other schemas when one is changed"


def compared(ours: list[type[Map]], theirs: list[str], api: Api) -> Iterator[str]:
    """How classes differ from schemas. Each schema has one class; a class may stand for several."""
    used = set()
    for name in theirs:
        described = api.has(name)
        own = [each for each in ours if len(ours) == 1 or tags(each) & tags_of(described)]
        if len(own) != 1:
            yield f"{len(own)} classes for {name}"
        for each in own:
            used |= {each.__name__}
            yield from (f"{name}: {fault}" for fault in differences(each, name, api))
    all_tags = {tag for name in theirs for tag in tags_of(api.has(name))}
    invented = {tag for each in ours for tag in tags(each)} - all_tags if len(ours) > 1 else set()
    yield from (f"invents {each}" for each in [*sorted({each.__name__ for each in ours} - used), *sorted(invented)])


def differences(ours: type[Map], name: str, api: Api) -> Iterator[str]:
    """How the keys of a class differ from the properties of a schema."""
    theirs = api.has(name)
    yield from (f"lacks {each}" for each in sorted(theirs.keys() - ours.model_fields.keys()))
    yield from (f"invents {each}" for each in sorted(ours.model_fields.keys() - theirs.keys()))
    for each, field in ours.model_fields.items():
        if each not in theirs or (name, each) in NARROWER:
            continue
        plain = theirs[each].removesuffix(" required")
        if " required" in theirs[each] and not field.is_required():
            yield f"{each}: can be left out"
        if is_nullable(field.annotation) != plain.endswith(" or null"):
            yield f"{each}: null is {'not ' * (not is_nullable(field.annotation))}allowed, and theirs is {plain}"
        plain = plain.removesuffix(" or null")
        inner = maps(field.annotation)
        if inner:
            yield from (f"{each}: {fault}" for fault in compared(inner, plain.strip("[]").split(" | "), api))
        elif plain.startswith("one of "):
            mine, words = words_of(shape(field.annotation)), words_of(plain)
            # a class may stand for several schemas: `compared` looks for words that none of them has
            yield from (f"{each}: lacks {word}" for word in sorted(words - mine))
            yield from (f"{each}: invents {word}" for word in sorted(mine - words) if not field.is_required())
        elif not fits(shape(field.annotation), plain):
            yield f"{each}: is {shape(field.annotation)}, and theirs is {plain}"


def words_of(shape: str) -> set[str]:
    """The values of an enumeration."""
    return set(shape.removeprefix("one of ").split(","))


def maps(annotation: Any) -> list[type[Map]]:
    """The classes of maps in a type: itself, its alternatives, or those of its items."""
    if isinstance(annotation, type) and issubclass(annotation, Map):
        return [annotation]
    inner = get_args(annotation) if get_origin(annotation) in (list, Union, UnionType, Annotated) else ()
    return [each for one in inner for each in maps(one)]


def is_nullable(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType) and type(None) in get_args(annotation)


def tags(ours: type[Map]) -> set[str]:
    """The values of the key by which a class is chosen."""
    found = (get_args(field.annotation) for field in ours.model_fields.values() if field.is_required())
    return {tag for choices in found for tag in choices if isinstance(tag, str)}


def tags_of(described: Any) -> set[str]:
    """The same of a schema: the only value of its `type` or `provider_type`."""
    return {described[by].removeprefix("one of ") for by in ("type", "provider_type") if by in described}


@pytest.mark.parametrize("kind", self_hosted_kinds())
def test_every_map_agrees_with_description(kind: str) -> None:
    assert list(fixed(self_hosted_kinds()[kind], api())) == []


def test_every_field_with_described_keys_is_a_map_of_these_keys() -> None:
    """A property with known keys is a field with those keys, an object of its own, or lines of its own."""
    free = []
    for name, kind in self_hosted_kinds().items():
        for line in kind.attrs().values():
            held = api().holds(kind.requests.verb, kind.path, line.write or "")
            if held and not maps(kind.model_fields[line.name].annotation):
                free.append(f"{name}.{line.name}")
    assert free == ["agent.memory", "identity.properties"]  # own blocks; values by name


def test_passage_has_the_properties_of_its_request() -> None:
    assert maps(Archive.model_fields["passages"].annotation) == [Passage]
    described = api().sends("POST", "/v1/archives/{}/passages")
    types = {name: shape(field.annotation) for name, field in Passage.model_fields.items()}
    assert [name for name, type_ in types.items() if not fits(type_, described[name].removesuffix(" or null"))] == []


class Colours(Settings):
    """Settings with a mistake on every key."""

    provider_type: Literal["openai", "rainbow"]
    temperature: str = key("A number that is called a text.")
    strict: bool | None = key("A value that cannot be null.")
    colour: str = key("A key that there is not.")


def test_wrong_keys_are_reported() -> None:
    assert list(differences(Colours, "OpenAIModelSettings", api())) == [
        "lacks reasoning",
        "lacks response_format",
        "invents colour",
        "temperature: is string, and theirs is number",
        "strict: null is allowed, and theirs is boolean",
    ]
    assert "invents rainbow" in list(compared([Colours, Settings], ["OpenAIModelSettings"], api()))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (
            Row("OpenAIModelSettings", "", "has", "colour", "string"),
            "model_settings: OpenAIModelSettings: lacks colour",
        ),
        (
            Row("AnthropicThinking", "", "has", "type", "one of enabled,disabled,adaptive"),
            "model_settings: AnthropicModelSettings: thinking: AnthropicThinking: type: lacks adaptive",
        ),
        (
            Row("InitToolRule", "", "has", "args", "object or null required"),
            "tool_rules: InitToolRule: args: can be left out",
        ),
    ],
)
def test_new_property_of_a_schema_is_reported(row: Row, fault: str) -> None:
    others = [each for each in table() if (each.path, each.property) != (row.path, row.property)]
    assert fault in "\n".join(fixed(kinds()["agent"], Api([*others, row])))
