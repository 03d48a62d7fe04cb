"""`lettaform completion`: the script that completes lettaform in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from lettaform.cli import cli


@click.command(epilog='Then: eval "$(lettaform completion bash)", or fish: lettaform completion fish | source')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes lettaform in SHELL. Put it where your shell reads such scripts."""
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "lettaform", "_LETTAFORM_COMPLETE").source())
