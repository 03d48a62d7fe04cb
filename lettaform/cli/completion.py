"""`lettaform completion`: print the completion script of a shell; and what the shell completes. Sends no requests."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from lettaform.cli import Globals, cli

_EPILOG = """\b
bash: eval "$(lettaform completion bash)"
zsh:  eval "$(lettaform completion zsh)"
fish: lettaform completion fish | source
"""
_ASKED_BY = "_LETTAFORM_COMPLETE"
"""The environment variable in which a shell asks for completions, as `bash_complete`."""
_SPECIAL = re.compile(r"""["'\\\s$`&|;<>(){}*?!#]""")
"""What bash does not take as it is in a word. The other shells quote what they insert."""


@click.command(epilog=_EPILOG, no_args_is_help=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL. Load it in the startup file of the shell.

    It completes verbs, options and files, addresses, environments and checks of the manifest, and names of snapshots.
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "lettaform", _ASKED_BY).source())


# --- what is completed: called by click, which asks nothing else -----------------------------------------------------


def addresses(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The addresses of the manifest that begin like this. Own blocks are named once their agent is."""
    return _matching(_top(_names(context)["addresses"], incomplete), incomplete)


def agents(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The agents and conversations of the manifest that begin like this."""
    return _of(("agents", "conversations"), context, incomplete)


def archives(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The archives of the manifest that begin like this."""
    return _of(("archives",), context, incomplete)


def _of(sections: tuple[str, ...], context: click.Context, incomplete: str) -> list[CompletionItem]:
    from lettaform.address import Address

    found = []
    for each in _top(_names(context)["addresses"], incomplete):
        with suppress(ValueError):  # a component may hold such objects
            address = Address.parse(each)
            if address.parent is not None or address.section not in sections:
                continue
        found.append(each)
    return _matching(found, incomplete)


def addresses_or_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Addresses, or else files."""
    return addresses(context, parameter, incomplete) or [CompletionItem(incomplete, type="file")]


def environments(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The environments of the manifest that begin like this."""
    return _matching(_names(context)["environments"], incomplete)


def checks(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The checks of the manifest that begin like this."""
    return _matching(_names(context)["checks"], incomplete)


def stacks(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The stack of the manifest."""
    return _matching([_names(context)["stack"]], incomplete)


def snapshots(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of snapshots that begin like this, the newest first; folders if there is none."""
    from lettaform import flow
    from lettaform.errors import LettaformError

    names: list[str] = []
    with suppress(LettaformError, OSError):
        found = flow.snapshot_list(_snapshot_directory(context))
        names = ["latest"] * bool(found) + [path.name for path, _ in reversed(found)]
    return _matching(names, incomplete) or [CompletionItem(incomplete, type="dir")]


def addresses_of_snapshot(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The addresses in the snapshot that the words before name."""
    from lettaform import flow
    from lettaform.errors import LettaformError

    with suppress(LettaformError, OSError):
        folder = flow.snapshot_find(context.params.get("name") or "", _snapshot_directory(context))
        lives = flow.snapshot_objects(flow.snapshot_read(folder))
        return _matching(_top([str(each.address) for each in lives if each.address], incomplete), incomplete)
    return []


def _snapshot_directory(context: click.Context) -> Path:
    from lettaform import flow

    where = context.params.get("snapshot_dir") or context.params.get("directory")
    return Path(where) if where else flow.snapshot_directory(_asked(context).source())


def _matching(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    found = [each for each in words if each and each.startswith(incomplete) and each.isprintable()]
    if os.environ.get(_ASKED_BY, "").startswith("bash"):
        found = [_SPECIAL.sub(_for_bash, each) for each in found]
    return [CompletionItem(each) for each in found]


def _for_bash(special: re.Match[str]) -> str:
    """A character that bash takes as it is. The script of click reads a backslash as the first half of a pair."""
    return "\\\\" + special[0] * (2 if special[0] == "\\" else 1)


def _top(every: Iterable[str], incomplete: str) -> list[str]:
    """The addresses without those of what is inside of others, unless the address of that has been written.

    Agents contain own blocks, and components contain objects.
    """
    around = ((each, _container(each)) for each in every)
    return [each for each, outer in around if outer is None or incomplete.startswith(f"{outer}.")]


def _container(text: str) -> object:
    """The object or the component that contains what is at an address; None if the manifest does."""
    from lettaform.address import Address, Component

    try:
        address = Address.parse(text)
    except ValueError:
        return Component.read(text).outer
    return address.parent or address.component


# --- the names of the manifest, kept between two calls: to read them again takes most of a second ---------------------


def _asked(context: click.Context) -> Globals:
    return context.obj if isinstance(context.obj, Globals) else Globals()


def _names(context: click.Context) -> Mapping[str, Any]:
    """The stack, addresses, environments and checks of the manifest; empty if there is none."""
    from hashlib import sha256

    from lettaform.local.places import cache

    asked = _asked(context)
    given = {name: text for name, text in os.environ.items() if name.startswith("LETTAFORM_VAR_")}
    about = [str(asked.directory.absolute()), [*map(str, asked.files)], asked.environment, dict(asked.variables)]
    key = sha256(json.dumps([*about, [*map(str, asked.variable_files)], given], sort_keys=True).encode()).hexdigest()
    kept = cache() / "completion" / f"{key[:32]}.json"
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        found: Mapping[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if "checks" in found and found["seen"] == _seen(found["seen"]):
            return found
    found = _read(asked)
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_name(f"{kept.name}.{os.getpid()}")
        temporary.write_text(json.dumps(found), encoding="utf-8")
        temporary.replace(kept)
    return found


def _read(asked: Globals) -> Mapping[str, Any]:
    from lettaform.errors import LettaformError
    from lettaform.manifest.names import Names, names

    found = Names("", (), (), (), ())
    with suppress(LettaformError, OSError):
        found = names(
            asked.directory,
            asked.files,
            environment=asked.environment,
            variables=asked.variables,
            variable_files=asked.variable_files,
        )
    # a file that is added to a folder may belong to the manifest
    folders = {asked.directory.absolute(), *(path.parent for path in found.files)}
    seen = _seen(map(str, (*folders, *found.files)))
    names_of = {"addresses": found.addresses, "environments": found.environments, "checks": found.checks}
    return {"stack": found.stack, **names_of, "seen": seen}


def _seen(paths: Iterable[str]) -> dict[str, list[int]]:
    """What tells that a file or folder has changed."""
    states: dict[str, list[int]] = {}
    for path in paths:
        states[path] = []
        with suppress(OSError):
            state = os.stat(path)
            states[path] = [state.st_mtime_ns, state.st_size]
    return states
