"""Terraform for Letta agents: declare, plan, apply.

    cli                                      click; one file per verb
    flow                                     the whole of lettaform as a straight line
    apply · snapshot · render · local        walk the Steps · .af files · for people and machines · a server here
    manifest | server | plan                 wanted | is | the difference: strangers that meet as values
    model                                    Desired, Live, Change, Step, Plan, Report
    kinds                                    what can exist: one file a kind, one line a field
    words                                    Address, slots, digest
    errors                                   what can go wrong

Imports point down only. From Python: `lettaform.plan(...)`, `lettaform.apply(...)`, see `lettaform.flow`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lettaform.flow import Connection as Connection
    from lettaform.flow import Source as Source
    from lettaform.flow import apply as apply
    from lettaform.flow import plan as plan
    from lettaform.model import Wish as Wish

__all__ = ["Connection", "Source", "Wish", "__version__", "apply", "plan"]


def __getattr__(name: str) -> Any:
    """Load the public API where it is used, so that `--help` stays instant."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module 'lettaform' has no attribute {name!r}")
    return getattr(import_module("lettaform.flow"), name)
