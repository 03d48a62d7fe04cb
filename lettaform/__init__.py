"""Declare Letta agents in files, plan the changes, and apply them.

    cli                                     one file per command
    flow                                    one function per command; the public Python API
    session                                 one manifest and one backend during one run
    apply | snapshot | render | local       carry out steps | snapshots | text and JSON | a server on this machine
    lettactl                                manifests of lettactl to declarations
    manifest | backend | plan               YAML to Desired | the server's objects to Live | both to a Plan
    ownership                               which object belongs to which address: marks, state, claims
    model                                   Desired, Live, Observed, Change, Step, Plan, Report
    kinds                                   the kinds of objects: one file per kind, one line per field
    values                                  Ref, Template, Secret, Patch, Item, Digest
    address                                 Address
    errors                                  the errors, and places in files

A package imports only packages below it. From Python:

    from lettaform import flow

    plan, report = flow.apply(flow.Source(Path("fleet")), flow.Connection(url="http://localhost:8283"))
"""

from __future__ import annotations

__version__ = "0.1.0"
