"""Terraform for Letta agents: declare, plan, apply.

    cli                                      click; one file per verb
    flow                                     the whole of lettaform as a straight line
    apply · snapshot · render · local        walk the Steps · .af files · for people and machines · a server here
    manifest | server | plan                 wanted | is | the difference: strangers that meet as values
    model                                    Desired, Live, Change, Step, Plan, Report
    kinds                                    what can exist: one file a kind, one line a field
    words                                    Address, slots, digest
    errors                                   what can go wrong

Imports point down only. From Python:

    from lettaform import flow

    plan, report = flow.apply(flow.Source(Path("fleet")), flow.Connection(url="http://localhost:8283"))
"""

from __future__ import annotations

__version__ = "0.1.0"
