"""The root of the command: lazy verbs, and errors turned into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click

from qos import __version__
from qos.cli.common import global_options, merge_settings
from qos.errors import QosError

# verb -> (module under qos.cli that holds a click command named `command`, its one-line help).
# The help stands here so that `qos --help` imports no verb.
VERBS: dict[str, str] = {
    "adapt": "Choose modes, power and retries of wireless links; try policies on a trace.",
    "apply": "Put this host's part of a plan on its interfaces.",
    "attach": "Put a fair queue on an interface and control each flow's limit.",
    "completion": "Print the shell completion script.",
    "export": "Write a plan as containerlab topology, netplan or host files.",
    "report": "Write a plan as one HTML page that opens offline.",
    "plan": "Plan a network: who is admitted, on which paths, with which settings.",
    "schedule": "Schedule entangled pairs on a quantum network.",
    "demo": "Compare FIFO and fair queue on real kernel TCP, in namespaces of its own.",
    "detach": "Remove the fair queue and restore what was there.",
    "topology": "List, show, check, convert and draw topologies.",
    "doctor": "Say what this kernel and this user can do, and what is missing.",
    "simulate": "Simulate packet flows through queues.",
    "survive": "Show who is still served at each single failure, and backup paths.",
    "upgrade": "Find the cheapest upgrade of links that admits a rejected flow.",
    "watch": "Show the busiest flows of an interface, live.",
    "status": "Show what is attached and what it does.",
}


class _ReaderGone(Exception):  # noqa: N818 - no error, an end
    """Stdout has no reader any more; said in a way that click does not turn into its own exit."""


class LazyGroup(click.Group):
    """A group whose verbs are imported when they are asked for, not before."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the line; `--help` and `--version` print here."""
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError:
            raise _ReaderGone from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _ReaderGone from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Name every verb."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return one verb."""
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"qos.cli.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"qos.cli.{cmd_name}.command is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a verb; an unknown one is answered with the nearest known names."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else "; see 'qos --help'"
            raise click.UsageError(f"unknown command {args[0]!r}{hint}", ctx=None)
        return super().resolve_command(ctx, args)


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 1 bad input or failed check, 2 usage, 3 infeasible, 4 the kernel refused, "
    "5 missing privilege or kernel piece, 130 interrupted.",
)
@global_options
@click.version_option(__version__, prog_name="qos")
@click.pass_context
def cli(ctx: click.Context, /, **flags: object) -> None:
    """Quality of service from one topology: queues, radios, quantum links."""
    merge_settings(ctx, flags)


def _complain(message: str) -> None:
    print("qos: " + " ".join(message.split()), file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code; the entry point of `qos`.

    Parameters
    ----------
    arguments
        The words after `qos`; those of the process if None.
    """
    try:
        code = cli.main(args=arguments, prog_name="qos", standalone_mode=False)
        sys.stdout.flush()  # a reader that is gone shows here, not as noise at shutdown
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.NoArgsIsHelpError as bare:
        bare.show()  # the whole help, not one line of complaint
        sys.exit(bare.exit_code)
    except click.ClickException as refused:
        _complain(refused.format_message())
        sys.exit(refused.exit_code)
    except QosError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted")
        sys.exit(128 + signal.SIGINT)
    except (_ReaderGone, BrokenPipeError):
        # The reader (`| head`) is gone; nothing more can be said on stdout, also not at shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
