"""The commands of `qos` as a flat list, read from the click parser."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass

import click

from qos.cli.root import VERBS, cli

EXIT_CODES = (
    (0, "success"),
    (1, "bad input, or a check that failed"),
    (2, "wrong usage: an unknown command or flag, a value that cannot be used"),
    (3, "infeasible: no solution exists, or none was found in the time limit"),
    (4, "the kernel refused an operation"),
    (5, "a privilege, a kernel piece or a program is missing"),
    (130, "interrupted (Ctrl-C)"),
    (141, "the reader of standard output left"),
)

ENVIRONMENT = (
    ("QOS_CONFIG", "Configuration file, where --config is not given."),
    ("QOS_LOG_LEVEL", "debug, info, warning or error, where neither -v nor -q is given."),
    ("NO_COLOR", "Any value but an empty one switches colour off."),
    ("QOS_STATE_DIR", "Directory of the state files, in place of the ones under FILES."),
    ("XDG_RUNTIME_DIR", "The state files of a user other than root stand in qos/ below it."),
)

FILES = (
    ("/etc/qos/DEV.yaml", "What qos@DEV.service attaches; keys are the long flags with underscores."),
    ("/run/qos/", "State of each attached interface: what we own and how to give it back."),
)


@dataclass(frozen=True)
class Entry:
    """One command.

    Attributes
    ----------
    path
        Its words, such as ``qos topology show``.
    command
        What click knows of it.
    context
        A context of it, for usage lines and defaults.
    """

    path: str
    command: click.Command
    context: click.Context

    @property
    def usage(self) -> str:
        """What follows the path on a usage line."""
        return " ".join(self.command.collect_usage_pieces(self.context))

    @property
    def paragraphs(self) -> list[str]:
        """The help text, a paragraph an element, without click's marks."""
        text = (self.command.help or "").partition("\f")[0].replace("\b\n", "")
        return [part.strip("\n") for part in text.split("\n\n") if part.strip()]

    @property
    def options(self) -> list[tuple[str, str]]:
        """Spelling and help of each option, in the parser's order."""
        records = (
            parameter.get_help_record(self.context)
            for parameter in self.command.get_params(self.context)
            if isinstance(parameter, click.Option)
        )
        return [record for record in records if record is not None]


def entries() -> Iterator[Entry]:
    """Walk the root, its verbs that exist, and their sub-commands."""
    root = click.Context(cli, info_name="qos", **cli.context_settings)
    yield Entry("qos", cli, root)
    for name in sorted(VERBS):
        if importlib.util.find_spec(f"qos.cli.{name}") is not None:
            command = cli.get_command(root, name)
            if command is not None:
                yield from _below(command, name, root)


def _below(command: click.Command, name: str, parent: click.Context) -> Iterator[Entry]:
    context = click.Context(command, info_name=name, parent=parent)
    yield Entry(context.command_path, command, context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from _below(found, child, context)
