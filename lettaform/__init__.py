"""Declare Letta agents in files or in Python, plan the changes, and apply them.

    import lettaform

    stack = lettaform.load("fleet", server="http://localhost:8283")
    plan = stack.plan()
    stack.apply(plan)

    cli | testing                           one file per command | fixtures for pytest
    api                                     load, Stack, and typed objects of a manifest
    flow                                    one function per command
    session                                 one manifest and one backend during one run
    apply | snapshot | render | local       carry out steps | snapshots | text and JSON | a server on this machine
    lettactl                                manifests of lettactl to declarations
    manifest | backend | plan               YAML to Desired | the server's objects to Live | both to a Plan
    ownership                               which object belongs to which address: marks, state, claims
    model                                   Desired, Live, Observed, Change, Step, Plan, Report
    kinds                                   the kinds of objects: one file per kind, one line per field
    values                                  Ref, Template, Secret, Patch, Item, Digest
    address                                 Address
    client                                  an HTTP client of a Letta server, which can be used on its own
    errors | about                          the errors, and places in files | the help and the version

A package imports only packages below it. `import lettaform` imports none: each name is imported when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""`typing.TYPE_CHECKING`, as type checkers read it. The import would take half the time of `lettaform version`."""

if TYPE_CHECKING:
    from typing import Any

    from lettaform.api.aio import AsyncStack as AsyncStack
    from lettaform.api.declared import Expression as Expression
    from lettaform.api.objects import *  # noqa: F403
    from lettaform.api.results import Failed as Failed
    from lettaform.api.results import Result as Result
    from lettaform.api.stack import Stack as Stack
    from lettaform.api.stack import load as load
    from lettaform.api.talk import Answer as Answer
    from lettaform.api.talk import NotAnswered as NotAnswered
    from lettaform.client import AsyncClient as AsyncClient
    from lettaform.client import Client as Client
    from lettaform.errors import Conflicting as Conflicting
    from lettaform.errors import Guarded as Guarded
    from lettaform.errors import LettaformError as LettaformError
    from lettaform.errors import Locked as Locked
    from lettaform.errors import ManifestError as ManifestError
    from lettaform.errors import PlanError as PlanError
    from lettaform.errors import ServerError as ServerError
    from lettaform.errors import SnapshotError as SnapshotError
    from lettaform.errors import Stale as Stale
    from lettaform.model import Event as Event
    from lettaform.model import Plan as Plan
    from lettaform.model import Report as Report
    from lettaform.session import Snapshots as Snapshots
    from lettaform.session.server import Connection as Connection
    from lettaform.values import UNSET as UNSET
    from lettaform.values import CsvFile as CsvFile
    from lettaform.values import File as File
    from lettaform.values import JsonFile as JsonFile

__version__ = "0.1.0"

_MODULES = {
    "api.aio": ("AsyncStack",),
    "api.declared": ("Expression",),
    "api.results": ("Failed", "Result"),
    "api.stack": ("Stack", "load"),
    "api.talk": ("Answer", "NotAnswered"),
    "client": ("AsyncClient", "Client"),
    "errors": (
        *("Conflicting", "Guarded", "LettaformError", "Locked", "ManifestError", "PlanError", "ServerError"),
        *("SnapshotError", "Stale"),
    ),
    "model": ("Event", "Plan", "Report"),
    "session": ("Snapshots",),
    "session.server": ("Connection",),
    "values": ("UNSET", "CsvFile", "File", "JsonFile"),
}
"""A module to what this package exports from it. `api.objects` exports the typed objects: one for each kind."""
_OF_A_STACK = ("plan", "apply", "destroy", "snapshot", "restore", "pull", "send", "check", "status")

if not TYPE_CHECKING:  # otherwise every name would exist for a type checker

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        module = next((module for module, names in _MODULES.items() if name in names), None)
        if module is None and name[:1].isupper() and name in import_module("lettaform.api.objects").__all__:
            module = "api.objects"
        if module is None:
            hint = f"; it is a method of what `load` returns: `load(…).{name}(…)`" if name in _OF_A_STACK else ""
            raise AttributeError(f"module 'lettaform' has no attribute {name!r}{hint}", name=name, obj=None)
        found = globals()[name] = getattr(import_module(f"lettaform.{module}"), name)
        return found

    def __dir__() -> list[str]:
        from importlib import import_module

        objects = import_module("lettaform.api.objects").__all__
        return sorted({*(name for names in _MODULES.values() for name in names), *objects, "__version__"})
