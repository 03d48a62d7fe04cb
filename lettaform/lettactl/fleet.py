"""Files of lettactl to the declarations of one stack. Reads no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lettaform.errors import ManifestError, Place, Problem
from lettaform.lettactl.agents import Agents
from lettaform.lettactl.connections import environment_in
from lettaform.lettactl.fields import AGENT, BLOCK, FOLDER, MCP_SERVER, PROVIDER, TOP
from lettaform.lettactl.objects import Objects
from lettaform.lettactl.reading import Document, Reading
from lettaform.lettactl.texts import Texts
from lettaform.manifest.amend import Fault
from lettaform.manifest.declare import Declared
from lettaform.manifest.secret_shapes import find
from lettaform.model import NotDeclared


@dataclass(frozen=True)
class Options:
    """How files of lettactl are read.

    model          the model of all agents, in place of that of the file
    embedding      the embedding model of all agents, folders and archives, in place of that of the file
    root           the folder to which paths are relative, in place of that of the file
    allow_secrets  also write texts that contain what looks like a key
    """

    model: str | None = None
    embedding: str | None = None
    root: Path | None = None
    allow_secrets: bool = False


@dataclass(frozen=True)
class Fleet:
    """What files of lettactl declare.

    left    what is not carried over
    places  address and field to where a file says it; of an object, with an empty field
    """

    declared: Declared
    left: Sequence[NotDeclared]
    places: Mapping[tuple[str, str], Place] = field(repr=False)

    def place_of(self, fault: Fault) -> Place | None:
        """Where a file says what is wrong."""
        address, name = fault.address, (fault.field or "").partition(".")[0]
        while address is not None:
            for each in (name, ""):
                if place := self.places.get((str(address), each)):
                    return place
            address, name = address.parent, ""
        return None


def read(paths: Sequence[Path], options: Options) -> Fleet:
    """The declarations of files of lettactl, as of one stack. ManifestError with every problem."""
    reading = Reading()
    objects = Objects(reading)
    found = [reading.document(path, TOP, options.root) for path in dict.fromkeys(paths)]
    documents = [each for each in found if each is not None]
    for document in documents:
        _shared(document, reading, objects)
    for document in documents:
        _agents(document, reading, objects, options)
    _unused_folders(reading, objects)
    if not options.allow_secrets:
        _refuse_secrets(reading, objects)
    for text in objects.connections.concealed:
        reading.problems.conceal(text)
    if reading.problems.has_errors:
        raise ManifestError(_without_frames(reading.problems.errors, objects.connections.concealed, documents))
    return Fleet(objects.declared, reading.left, objects.places)


# --- what stands at the top ------------------------------------------------------------------------------------------


def _shared(document: Document, reading: Reading, objects: Objects) -> None:
    """Declare what agents share."""
    texts = Texts(document, reading)
    for path, node, name in reading.named(document.root, "shared_blocks", "", BLOCK):
        address = objects.take("block", name, node)
        values, owned = objects.block(node, path, texts, address)
        settings = {} if owned else {"policy": {"value": "enforce"}}
        objects.add("block", name, address, values, path, node, settings)
    for path, node, name in reading.named(document.root, "shared_folders", "", FOLDER):
        objects.share(name, path, node, texts)
    for path, node, name in reading.named(document.root, "mcp_servers", "", MCP_SERVER):
        if not environment_in(name, path, node.at("name"), reading):
            address = objects.take("mcp_server", name, node)
            values = objects.connections.mcp_server(node, path, address)
            objects.add("mcp_server", name, address, values, path, node)
    for path, node, name in reading.named(document.root, "providers", "", PROVIDER):
        address = objects.take("provider", name, node)
        objects.add("provider", name, address, objects.connections.provider(node, path, address), path, node)


# --- agents ----------------------------------------------------------------------------------------------------------


def _agents(document: Document, reading: Reading, objects: Objects, options: Options) -> None:
    """Declare the agents of a file, with what belongs to them."""
    agents = Agents(document, reading, objects, options.model, options.embedding)
    given = document.root.map.get("agents")
    if given is None or given.null or given.value == []:
        reading.problems.add("the file has no `agents`", document.root.place, "lettactl needs at least one agent")
    for path, node, name in reading.named(document.root, "agents", "", AGENT):
        agents.declare(name, path, node)


def _unused_folders(reading: Reading, objects: Objects) -> None:
    for name, shared in objects.shared.items():
        if objects.address_of("folder", name) is None:
            reason = "no agent has it, and lettactl does not create such a folder"
            reading.leave(shared.path, shared.node.place, reason, "declare it in `folders`, with an `embedding`")


# --- secrets ---------------------------------------------------------------------------------------------------------


def _refuse_secrets(reading: Reading, objects: Objects) -> None:
    """Report the texts that would be written and contain a secret."""
    hidden = objects.declared.hidden
    clear = {name: value for name, value in hidden.values.items() if name not in hidden.environment}
    known = {value: f"the secret in {hidden.about[name]}" for name, value in clear.items()}
    for path, text, place in objects.texts:
        if found := find(text, known):
            message = f"{path}: line {found.line} of the text contains {found.what}"
            hint = "remove it; `--allow-secrets` writes such texts"
            reading.problems.add(message, place, hint, secret=True)


def _without_frames(problems: Sequence[Problem], secrets: set[str], documents: Sequence[Document]) -> list[Problem]:
    """Problems whose source lines are not shown where a secret stands in or beside them."""
    lines = {document.root.place.file: _lines(document.path) for document in documents}

    def shows(problem: Problem) -> bool:
        place = problem.place
        near = lines.get(place.file, [])[max(place.line - 2, 0) : place.line + 1] if place else []
        return any(secret in line for secret in secrets for line in near)

    return [replace(each, secret=each.secret or shows(each)) for each in problems]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


__all__ = ["Fleet", "Options", "read"]
