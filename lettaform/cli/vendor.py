"""`lettaform vendor`: keep the components of git repositories in the project."""

from __future__ import annotations

import click

from lettaform.cli import Globals

_EPILOG = """\b
Exit codes:
  0    all components are in `vendor` as the lock file says
  1    a component cannot be fetched, or the manifest has problems
  2    with --check: a component is missing, differs, or is not used any more
"""


@click.command(epilog=_EPILOG)
@click.option("--check", is_flag=True, help="Fetch and write nothing. Exit with code 2 if something differs.")
@click.pass_obj
def vendor(asked: Globals, /, check: bool) -> int:
    """Fetch the components of git repositories that the manifest uses, and write the lock file.

    Each `use` that begins with git:: is fetched at its commit into the folder `vendor`, through the program git and its
    credentials. `lettaform.lock` holds the digest of every file. Commit both: every other verb reads the files of
    `vendor`, compares them with the lock file, and fetches nothing.

    The components of all environments are fetched, and those that they use themselves. What nothing uses any more is
    removed. No Letta server is contacted.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import vendor as render

    found = flow.vendor(asked.source(), check=check)
    click.echo(data.dumps(render.to_data(found), indent=2) if asked.json else render.text(found), nl=asked.json)
    return found.exit_code
