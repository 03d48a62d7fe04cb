"""Entries of `imports:` with a name, and all objects of a server, to the object that each entry means. Pure.

An object that a stack owns, that every server has, or that the server created along with another one is never meant.
Blocks and archives may share a name. The one that is meant is that of the agents of the stack that declare it; if they
have none of this name, one that no agent has. What only other agents have is theirs.
"""

from __future__ import annotations

from collections.abc import Iterator

from lettaform.errors import Problem
from lettaform.kinds import kinds
from lettaform.model import Desired, Import, Live, Manifest, Observed
from lettaform.ownership.unowned import MADE_BY_AGENTS, Server
from lettaform.values import Ref, refs


def order(entry: Import, manifest: Manifest) -> int:
    """Where an entry stands among others: an object comes before those below it, and before what it has."""
    kind = manifest.objects[entry.address].kind
    return 0 if kind == "agent" else 1


def meant(entry: Import, manifest: Manifest, observed: Observed, server: Server) -> Live | Problem | None:
    """The object that an entry means; a Problem if there are several, None if there is none.

    server  all objects of the kind, those of other stacks with their `stack`; agents with their archives
    """
    desired = manifest.objects[entry.address]
    found = list(_narrowed(desired, manifest, observed, server, list(_free(entry, desired, observed, server))))
    if len(found) < 2:
        return found[0] if found else None
    ids = ", ".join(sorted(live.id for live in found))
    message = f"{entry.address}: the server has {len(found)} {desired.kind}s named `{entry.name}`: {ids}"
    return Problem(message, entry.place, "write `id:` with one of them, in place of `name:`", str(entry.address))


def _free(entry: Import, desired: Desired, observed: Observed, server: Server) -> Iterator[Live]:
    """The objects of this kind and name that nobody owns."""
    ours = {live.id for live in observed.objects.values()} | {*observed.state.ids.values()}
    for live in server.lives.values():
        is_free = live.stack is None and live.id not in ours and live.id not in server.creators
        if is_free and live.kind == desired.kind and live.name == entry.name and not server.is_built_in(live):
            yield live


def _narrowed(
    desired: Desired, manifest: Manifest, observed: Observed, server: Server, found: list[Live]
) -> list[Live]:
    """Those that belong to the objects that the manifest says."""
    line = kinds()[desired.kind].owner_line()
    if line is not None:
        above = desired.values.get(line.name)
        owner = observed.objects.get(above.address) if isinstance(above, Ref) else None
        return [live for live in found if owner and live.values.get(line.name) == owner.id]
    if desired.kind not in MADE_BY_AGENTS:
        return found
    users = {
        observed.objects[each.address].id
        for each in manifest.objects.values()
        if each.address in observed.objects and any(ref.address == desired.address for ref in refs(each.values))
    }
    having = {live.id: server.users.get(live.id, frozenset()) for live in found}
    used = [live for live in found if having[live.id] & users]
    return used or [live for live in found if not having[live.id]]
