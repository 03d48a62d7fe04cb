"""`lettaform completion`: print the completion script of a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from lettaform.cli import cli

_EPILOG = """\b
bash, zsh: eval "$(lettaform completion bash)"
fish:      lettaform completion fish | source
"""


@click.command(epilog=_EPILOG, no_args_is_help=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL. Load it in the startup file of the shell."""
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "lettaform", "_LETTAFORM_COMPLETE").source())
