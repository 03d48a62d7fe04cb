"""The manifest language to a Markdown page: every word with its type, default, meaning, and an example."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from lettaform.address import COMPONENTS
from lettaform.kinds import MATCHES, sections
from lettaform.kinds.base import POLICIES
from lettaform.manifest.bodies import Body, ownership
from lettaform.manifest.expressions import ESCAPE, EXPRESSIONS, LOOPS, OF_AN_OBJECT
from lettaform.manifest.form import Count, Entries, Fields, Flag, Form, Items, Many, Named, Number, OneOrMore, Text
from lettaform.manifest.functions import FUNCTIONS
from lettaform.manifest.language import EXTERNAL, REPEAT, language
from lettaform.manifest.node import SPELLINGS, TAGS
from lettaform.render.language_examples import CALLS, CONDITION, EXAMPLES, OF_OBJECTS, VALUES

_HEAD = """# The manifest language

`lettaform schema language` generates this page from the definitions in `lettaform/manifest/`; a test keeps it current,
and loads every example. `lettaform schema` prints the same as a JSON Schema, for editors.

A manifest is `lettaform.yaml` of the current folder or, if there is none, all YAML files of the folder; `-C` names
another folder, `-f` names files. Every problem is reported with its file, line and column, all at once.

- Scalars are those of YAML 1.2: `no`, `on` and `1:30` are texts. A key that stands twice in a map is an error.
- A field that the manifest does not name is neither compared nor written.
- `null` clears a field, where the server can clear it. Otherwise it is an error.
- An address is the path of an object in the manifest: `agents.supervisor`, `agents.worker[emea]`,
  `agents.supervisor.memory.human`. A key with other characters than letters, digits, `_` and `-` is quoted:
  `blocks["acme/eu"]`.
- Paths are relative to the file that names them, and stay inside the folder of the manifest.
"""

_OBJECTS = """## Objects

A section of objects is a map: the key is the name that the manifest uses for the object, the value its fields. The
pages of the [kinds](kinds/README.md) describe the fields. Every object also has these words:
"""

_CONDITIONS = """### Members of lists

A member of a list of an object may have a condition: a map of `use`, the member, and `when`. The member is in the list
if `when` is true. Inside of free maps, such as `metadata`, such a map is an ordinary value.
"""

_MERGING = """## Merging

First the environment is merged over the rest of the manifest, then each object over the `defaults` of its section. Maps
merge key by key; lists and scalars replace what is below them. `!unset` removes what is below it, so that the field is
unmanaged; `null` clears the field on the server.
"""


def page() -> str:
    """The whole page."""
    root = language()
    parts: list[str] = [_HEAD, *_top(root)]
    for name, form in root.fields.items():
        if name not in sections():
            parts += [f"## {name}\n", f"{_meaning(form)}\n", *_inner(name, form), _yaml(EXAMPLES[name])]
    parts += [_OBJECTS, *_table(_rows(_of_objects(), ())), _yaml(OF_OBJECTS)]
    parts += [_CONDITIONS, _yaml(CONDITION)]
    parts += ["### Policies\n", "Who owns the value of a field, once it is written:\n"]
    parts += [*_table([(name, "", "", text) for name, text in POLICIES.items()], ("policy", "meaning"))]
    return "\n".join([*parts, _MERGING, *_values()])


def _top(root: Fields) -> Iterator[str]:
    yield "## Keys of a manifest\n"
    rows = []
    for name, form in root.fields.items():
        link = f"[{name}](kinds/{name}.md)" if name in sections() else f"[{name}](#{name})"
        default = "required" if name in root.required else ""
        rows.append((link, _type(form), default, _meaning(form)))
    yield from _table(rows)


def _inner(name: str, form: Form) -> Iterator[str]:
    """The words inside a key, if it has any of its own."""
    fields = words(form)
    if name == "environments":
        yield "It may have every key of a manifest except `include`, `environments` and `lint`.\n"
    elif name == "defaults":
        yield "Each section has the fields of its objects, with `policy` and `lifecycle`.\n"
    elif fields and name == COMPONENTS:
        yield from _table(_rows(fields.fields, fields.required))
        yield "[Components](components.md) says what stands in the files of a component.\n"
    elif fields:
        if name == MATCHES:
            yield "Each entry has these words, `policy`, and fields of [agents](kinds/agents.md) that can be changed.\n"
        yield from _table(_rows_with_inner(fields, "", set()))
        if fields.either:
            yield f"Exactly one of {' and '.join(f'`{each}`' for each in fields.either)} is given.\n"


def words(form: Form) -> Fields | None:
    """The form of the known words inside a key: of the map itself, or of each of its entries or items."""
    match form:
        case Fields():
            return form
        case Body(settings=settings):
            return Fields({name: each for name, each in settings.items() if name != "policy"})
        case Entries(of=inner) | Items(of=inner) | Named(of=inner):
            return words(inner)
    return None


@cache
def _of_objects() -> Mapping[str, Form]:
    """The words of every object, with those of `lifecycle`, as one table. Agents have all of them."""
    forms: dict[str, Form] = {**REPEAT, **EXTERNAL}
    for name, form in ownership("agent").items():
        forms[name] = form
        if name == "lifecycle" and (inner := words(form)):
            forms |= {f"{name}.{each}": inner.fields[each] for each in inner.fields}
    return forms


def _values() -> Iterator[str]:
    yield "## Expressions\n"
    yield (
        "A text may contain expressions. A value that is one expression keeps its type. Expressions stand in values, "
        f"not in keys, and\nnot in the content of files. `{ESCAPE}` is a literal `${{`.\n"
    )
    about = (
        "The field of another object of the manifest, such as its `id`. The reference decides the order in which "
        "objects are created."
    )
    output = "An output of a component. With `for_each`: `${components.KEY[INSTANCE].OUTPUT}`."
    entries = {**EXPRESSIONS, OF_AN_OBJECT: about, f"{COMPONENTS}.KEY.OUTPUT": output}
    yield from _table([(f"`${{{name}}}`", "", "", text) for name, text in entries.items()], ("expression", "value"))
    yield "## Functions\n"
    yield (
        "An expression can call functions, compare with `==` and `!=`, and contain texts (`\"a\"` or `'a'`), "
        "numbers, `true`, `false`,\n`null`, lists and maps. `.NAME` and `[0]` after a value are its members. What "
        "functions make of secrets is secret; a result that is no\ntext would show something of them, and is an "
        "error. Nothing is executed, and the same manifest always has the same values. In YAML, put\nquotes around "
        "what contains `: ` or `, `.\n"
    )
    rows = [(f"`{each.signature}`", "", "", each.doc) for each in FUNCTIONS.values()]
    yield from _table([*rows, *((f"`{form}`", "", "", text) for form, text in LOOPS.items())], ("function", "value"))
    yield _yaml(CALLS)
    yield "## Tags\n"
    yield from _table([(f"`{name}`", "", "", text) for name, text in TAGS.items()], ("tag", "value"))
    yield (
        "Checkers of JSON Schemas, and some editors, know no tags. These expressions mean the same, as whole values:\n"
    )
    yield from _table(
        [(f"`${{{name}}}`", "", "", f"`{tag}`") for name, tag in SPELLINGS.items()], ("expression", "tag")
    )
    yield _yaml(VALUES)


# --- tables


def _rows_with_inner(fields: Fields, before: str, shown: set[str]) -> Iterator[tuple[str, str, str, str]]:
    """A row for each word, followed by those of the words inside it. `shown`: named forms whose words have rows."""
    for name, form in fields.fields.items():
        path = f"{before}{name}"
        yield from _rows({path: form}, (path,) if name in fields.required else ())
        inner, named = words(form), _name(form)
        if inner and named not in shown:
            shown |= {named} if named else set()
            yield from _rows_with_inner(inner, f"{path}.", shown)


def _name(form: Form) -> str:
    """The name of a form that is used in several places; empty for another one."""
    match form:
        case Named(name=name):
            return name
        case Entries(of=inner) | Items(of=inner):
            return _name(inner)
    return ""


def _rows(forms: Mapping[str, Form], required: Iterable[str]) -> list[tuple[str, str, str, str]]:
    rows = []
    for name, form in forms.items():
        default = "required" if name in required else _default(form)
        rows.append((f"`{name}`", _type(form), default, _meaning(form)))
    return rows


def _table(
    rows: Iterable[tuple[str, str, str, str]], titles: tuple[str, ...] = ("word", "type", "default", "meaning")
) -> Iterator[str]:
    """A table with four columns, or with the first and the last of them. `fields` is shown as a list on phones."""
    yield '<div class="fields" markdown>\n'
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        cells = row if len(titles) == len(row) else (row[0], row[-1])
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
    yield "\n</div>\n"


def _yaml(text: str) -> str:
    return f"```yaml\n{text.strip()}\n```\n"


_DEFAULT = re.compile(r" ?Default: (.+?)\.(?= |$)")


def _doc(form: Form) -> str:
    """What the form says about itself; for a form that is used in several places, what the inner one says."""
    return _doc(form.of) if isinstance(form, Named) else getattr(form, "doc", "")


def _meaning(form: Form) -> str:
    return _DEFAULT.sub("", _doc(form)).strip()


def _default(form: Form) -> str:
    found = _DEFAULT.search(_doc(form))
    return found[1] if found else ""


def _type(form: Form) -> str:
    match form:
        case Text(choices=choices) if choices:
            return ", ".join(f"`{each}`" for each in choices) if len(choices) < 8 else "name of a field"
        case Text():
            return "text"
        case Flag():
            return "true or false"
        case Count():
            return "whole number or null"
        case Number(whole=True):
            return "whole number"
        case Number():
            return "number"
        case OneOrMore(of=inner):
            return f"text or {_type(inner)}"
        case Many():
            return "list or map"
        case Items(of=inner):
            return f"list of {_plural(inner)}"
        case Entries() | Fields():
            return "map"
        case Named(of=inner):
            return _type(inner)
    return "any value"


def _plural(form: Form) -> str:
    if isinstance(form, OneOrMore):
        return f"texts or {_plural(form.of)}"
    return "texts" if isinstance(form, Text) and not form.choices else "maps" if words(form) else "names of fields"
