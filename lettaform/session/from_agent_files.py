"""Agent files to the files of a manifest that declares what is in them. Reads no server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lettaform.backend import agent_file_listing
from lettaform.errors import AgentFileError
from lettaform.kinds import kinds
from lettaform.kinds.tool_schema import derived
from lettaform.kinds.traits import AddedByServer, DiscoveredBy, SourceFile
from lettaform.manifest.amend import Amending
from lettaform.manifest.declare import Declaration, Facts, declare
from lettaform.manifest.keys import stack_name
from lettaform.model import Imported, Live, NotDeclared
from lettaform.ownership import others
from lettaform.ownership.unowned import Filter, Server
from lettaform.session.import_all import check_folder, report, write
from lettaform.session.recorded import faults_on_bare_server
from lettaform.snapshot.agent_file_read import AgentFile, read
from lettaform.snapshot.agent_files import Options, combined, messages_left, unattached, without_counterpart


async def from_agent_files(
    paths: Sequence[Path], folder: Path, options: Options, *, stack: str | None = None, fold: bool = True
) -> Imported:
    """Write the manifest of agent files to a folder: all of it, or nothing. AgentFileError with every problem."""
    check_folder(folder)
    files = read_all(paths)
    body = combined(files, options)
    server, chosen, left = _objects(body, options)
    declared = declare(server, chosen, _facts(server))
    declared.declarations = [_new(each, server) for each in declared.declarations]
    amending = Amending(declared, {})
    name = stack or stack_name(paths[0].stem, "agents")
    written = await write(name, amending, folder, faults_on_bare_server, fold=fold)
    others = [each for file in files for each in (*messages_left(file.body), *without_counterpart(file.body))]
    return report(name, folder, amending, written, [*others, *left])


def read_all(paths: Iterable[Path]) -> list[AgentFile]:
    """The files. Raises AgentFileError with the problems of all of them."""
    found, errors = list[AgentFile](), list[AgentFileError]()
    for path in paths:
        try:
            found.append(read(_content(path), str(path)))
        except AgentFileError as error:
            errors.append(error)
    if len(errors) > 1:
        problems = [each for error in errors for each in error.problems]
        raise AgentFileError(f"{len(errors)} files are not valid agent files", errors[0].hint, problems)
    if errors:
        raise errors[0]
    return found


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AgentFileError(f"cannot read {path}: {error.strerror}") from error


# --- what is declared ------------------------------------------------------------------------------------------------


def _objects(body: dict[str, Any], options: Options) -> tuple[Server, list[Live], list[NotDeclared]]:
    """The objects of a file, those to declare, and those that are left out."""
    server = Server.of(agent_file_listing(body), others.read({}, ""))
    left, lives = list[NotDeclared](), dict(server.lives)
    loose = set() if options.every_block else set(unattached(body))
    for live in server.lives.values():
        if reason := _reason(live, server, loose):
            left.append(NotDeclared(f"{live.kind} `{live.name}`", reason))
            del lives[live.id]
    server = Server(lives, server.attached)
    chosen, _ = server.select(Filter())
    return server, list(chosen), left


def _reason(live: Live, server: Server, loose: set[str]) -> str | None:
    """Why an object of a file is not declared; None if it is."""
    if live.id in loose:
        return "no agent of the file has it: `--every-block` declares such blocks"
    if server.is_built_in(live):
        return None
    table = kinds()[live.kind]
    sources = [line.name for line, _ in table.relations(DiscoveredBy)]
    if any(live.values.get(name) for name in sources):
        return None
    if any(not live.values.get(line.name) for line, _ in table.relations(SourceFile)):
        return "the file has neither its source nor the MCP server that offers it, and it is no built-in tool of today"
    return None


def _facts(server: Server) -> Facts:
    """The schemas that the server will derive from the sources of tools, as far as that is certain."""
    sources = {id: live.values.get("source") for id, live in server.lives.items() if live.kind == "tool"}
    return Facts(schemas={id: derived(source) for id, source in sources.items() if source})


def _new(declaration: Declaration, server: Server) -> Declaration:
    """The declaration of an object that is created, and not adopted: the server adds nothing that the file lacks."""
    live, values = server.lives.get(declaration.id or ""), dict(declaration.values)
    for line, added in kinds()[declaration.kind].relations(AddedByServer) if live else ():
        assert live is not None
        names = [server.lives[id].name for id in live.ids("tools") if id in server.lives]
        have = kinds()[declaration.kind].normal(line.name, live.values.get(line.name)) or []
        given = {**live.values, **values, "tools": names, line.name: []}
        if not line.to and any(each not in have for each in added.at_creation(given)):
            values |= {switch: False for switch, items in added.prevented(given).items() if items}
            values |= {line.name: have} if have else {}
    return replace(declaration, id=None, values=values)


__all__ = ["Options", "from_agent_files", "read_all"]
