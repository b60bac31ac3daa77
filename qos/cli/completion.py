"""`qos completion SHELL`: the completion script of a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from qos.cli.common import CommandSettings, verb


@verb(short_help="Print the shell completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(settings: CommandSettings, shell: str) -> None:  # noqa: ARG001
    """Print the completion script of SHELL.

    For bash: qos completion bash > /etc/bash_completion.d/qos
    """
    from qos.cli.root import cli

    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"no completion for {shell}")
    print(completion(cli, {}, "qos", "_QOS_COMPLETE").source())
