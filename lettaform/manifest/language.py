"""The language as a whole: what may stand where, beside what the kinds say."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from lettaform.kinds import kinds, sections
from lettaform.manifest.form import Anything, Body, Entries, Fields, Flag, Form, Items, Many, Text, ownership

TYPES = ("string", "number", "bool", "list", "map")
NAME = r"^[A-Za-z_][A-Za-z0-9_-]*$"
ONCE = ("include", "environments")
"""What an environment cannot say."""

EXTERNAL: Mapping[str, Form] = {
    "external": Flag("Somebody else's: used, never written. Found by name, by id, or by stack and address.", False),
    "name": Text("The name of what is used.", expressions=True),
    "id": Text("The id of what is used.", expressions=True),
    "stack": Text("The stack that owns what is used.", expressions=True),
    "address": Text("Its address in that stack, as `blocks.organization`."),
}
REPEAT: Mapping[str, Form] = {
    "for_each": Many("Make one per item of a list, or per entry of a map: `${each.key}`, `${each.value}`."),
    "when": Flag("Left out where this is false."),
}

VARIABLE = Fields(
    {
        "type": Text("How --var and the environment are read; string unless given.", TYPES),
        "default": Anything("Its value where nobody gives one; no expressions."),
        "description": Text("What it is for."),
        "secret": Flag("Never shown; fills only fields that are secret.", False),
        "env": Text("The environment variable that it is read from.", pattern="^[^=]+$", says="a name"),
    },
    "One variable.",
    nothing=True,
)


@cache
def objects() -> Mapping[str, Form]:
    """Every section, with the bodies of its objects."""
    forms: dict[str, Form] = {}
    for section, kind in sections().items():
        body = Body(kind, {**EXTERNAL, **REPEAT, **ownership(kind)}, kind)
        forms[section] = Entries(body, kinds()[kind].__doc__ or "")
    return forms


@cache
def language() -> Fields:
    """A whole manifest."""
    anywhere = _anywhere()
    overlay = {name: form for name, form in anywhere.items() if name not in ONCE}
    environments = Entries(
        Fields(overlay, "What is different in this environment.", nothing=True),
        "Overlays, chosen with -e: laid over the rest, key by key.",
    )
    return Fields(
        {**anywhere, "environments": environments}, "Letta agents, their shared memory and their tools.", ("stack",)
    )


def _anywhere() -> dict[str, Form]:
    address = Text("An address, as `agents.supervisor`.", pattern=r"^[a-z_]+[.\[]", says="an address")
    defaults = {section: Body(kind, ownership(kind), f"{kind}_defaults") for section, kind in sections().items()}
    moved = {"from": address, "to": address}
    return {
        "stack": Text("Who owns what this makes.", pattern=r"^[a-z0-9-]+$", says="letters a-z, digits and `-`"),
        "server": Fields(
            {"url": Text("Its address.", pattern=r"^https?://.", says="an http(s) URL", expressions=True)},
            "The Letta server; flags and the environment win.",
            nothing=True,
        ),
        "variables": Entries(VARIABLE, "What can be different from run to run.", NAME, "be a name like `region`"),
        "include": Items(Text("A path, or a pattern."), "Other files of the same stack, inside this folder."),
        "defaults": Fields(dict(defaults), "What objects say unless they say otherwise, by section.", nothing=True),
        **objects(),
        "moved": Items(Fields(moved, "One.", ("from", "to")), "Addresses that were renamed."),
        "imports": Items(
            Fields({"to": address, "id": Text("The object's id.", expressions=True)}, "One.", ("to", "id")),
            "Living objects that addresses shall adopt.",
        ),
        "removed": Items(
            Fields(
                {"from": address, "destroy": Flag("Destroy the object, too; false unless given.")}, "One.", ("from",)
            ),
            "Addresses that are no longer declared, and what becomes of their objects.",
        ),
        "outputs": Entries(Anything("Any value."), "What a plan and an apply tell the outside."),
    }
