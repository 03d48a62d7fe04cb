"""What `import --all`, `from-af` and `from-lettactl` wrote, and what `import --af FILE` creates, to text."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from lettaform.model import AgentImport, Imported, NotDeclared
from lettaform.render.clean import clean_line
from lettaform.render.inline import count
from lettaform.render.paint import Paint

SHOWN = 5
"""Objects that are named of those that are not declared for the same reason."""
_VARIABLE = "LETTAFORM_VAR_"


def imported(found: Imported, *, color: bool = False, verbose: bool = False) -> str:
    """What was written. `verbose`: with every file, and everything that is not declared."""
    return "\n".join(_lines(found, Paint(color), verbose)) + "\n"


def _lines(found: Imported, paint: Paint, verbose: bool) -> Iterator[str]:
    folder = clean_line(found.folder)
    yield paint(f"Wrote {count(len(found.files), 'file')} to {folder}: stack `{found.stack}`.", "strong")
    for section, number in found.objects.items():
        written = found.declarations.get(section, number)
        yield f"  {section}: {number}" + (f", in {count(written, 'declaration')}" if written < number else "")
    if verbose:
        yield from (f"  {clean_line(path)}" for path in found.files)
    for stack, number in sorted(found.owned.items()):
        yield paint(f"Left to stack `{clean_line(stack)}`: {count(number, 'object')}.", "faint")
    if found.not_declared:
        yield paint("Not declared:", "changed")
        yield from _not_declared(found, verbose)
    if found.variables:
        names = sorted(found.environment.get(name, _VARIABLE + name) for name in found.variables)
        yield f"Secrets are variables: set {', '.join(names)}."
    if found.by_name:
        yield f"Next: `lettaform plan -C {quote(folder)}` shows what it adopts by name, changes and creates."
        yield f"`lettaform apply -C {quote(folder)}` does it."
        return
    does = "adopts the objects, and changes nothing else" if found.adopted else "creates the objects"
    yield f"Next: `lettaform apply -C {quote(folder)}` {does}."


def _not_declared(found: Imported, verbose: bool) -> Iterator[str]:
    by_reason: dict[tuple[str, str | None], list[NotDeclared]] = {}
    for each in found.not_declared:
        by_reason.setdefault((each.reason, each.hint), []).append(each)
    for (reason, hint), every in by_reason.items():
        # each line of a file is named: who leaves another tool must see all that is not carried over
        shown = every if verbose or every[0].place else every[:SHOWN]
        more = f" and {len(every) - len(shown)} more" if len(every) > len(shown) else ""
        yield f"  {', '.join(_placed(each) for each in shown)}{more}: {clean_line(reason)}"
        if hint:
            yield f"    → {clean_line(hint)}"


def _placed(each: NotDeclared) -> str:
    return clean_line(f"{each.what} ({each.place})" if each.place else each.what)


def agent_import(found: AgentImport, *, color: bool = False) -> str:
    """What `import --af FILE` will create, and what it uses and leaves out."""
    paint = Paint(color)
    lines = [paint(f"{found.address}: an agent `{clean_line(found.name)}` from {clean_line(found.file)}", "strong")]
    if found.begun:
        lines.append(f"  continues the import that created {found.id}")
    lines.append(f"  + {count(found.messages, 'message')}")
    lines += [f"  + block {clean_line(label)}" for label in found.own]
    lines += [f"  = block {clean_line(label)}: {address}, which exists" for label, address in found.bound.items()]
    lines += [f"  = tool {clean_line(name)}" for name in found.tools]
    if found.left:
        lines.append(paint("Left out:", "changed"))
        lines += [f"  {clean_line(each.what)}: {clean_line(each.reason)}" for each in found.left]
    return "\n".join(lines) + "\n"
