"""What every verb shares: the global flags, the output channels, the parameter types."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from qos.errors import QosError, ValueRefusedError
from qos.units import parse_duration, parse_rate, parse_size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class CommandSettings:
    """The global flags, wherever on the line they stood.

    Attributes
    ----------
    as_json
        Print one JSON document on stdout instead of a table.
    verbosity
        0 says warnings, 1 information, 2 everything, -1 errors only.
    colour
        False switches colour off; `NO_COLOR`, JSON and a pipe do so too.
    netns
        Name of the network namespace to work in, or None for the present one.
    """

    as_json: bool = False
    verbosity: int = 0
    colour: bool = True
    netns: str | None = None


_FLAGS: tuple[Callable[[Any], Any], ...] = (
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
    click.option("-v", "--verbose", count=True, help="Say more on stderr (-vv: everything)."),
    click.option("-q", "--quiet", is_flag=True, help="Say only errors."),
    click.option("--no-color", is_flag=True, help="No colour (also: NO_COLOR)."),
    click.option("--netns", metavar="NAME", help="Work in this network namespace."),
)


_FLAG_NAMES = ("as_json", "verbose", "quiet", "no_color", "netns")


def global_options(function: F) -> F:
    """Add the global flags to a command."""
    for option in reversed(_FLAGS):
        function = option(function)
    return function


def merge_settings(ctx: click.Context, flags: Mapping[str, object]) -> CommandSettings:
    """Join the flags given before the verb with those after it; the later one wins."""
    outer = ctx.obj if isinstance(ctx.obj, CommandSettings) else CommandSettings()
    verbose = flags.get("verbose")
    settings = replace(
        outer,
        as_json=bool(flags.get("as_json")) or outer.as_json,
        colour=outer.colour and not flags.get("no_color"),
        netns=str(flags["netns"]) if flags.get("netns") else outer.netns,
    )
    if flags.get("quiet"):
        settings = replace(settings, verbosity=-1)
    elif isinstance(verbose, int) and verbose:
        settings = replace(settings, verbosity=verbose)
    ctx.obj = settings
    return settings


def verb(**context: Any) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function a verb: global flags, logging to stderr, its settings as first argument."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @click.pass_context
        def run(ctx: click.Context, /, **arguments: Any) -> None:
            flags = {name: arguments.pop(name) for name in _FLAG_NAMES}
            settings = merge_settings(ctx, flags)
            start_logging(settings)
            if settings.netns is not None:
                enter_namespace(settings.netns)
            function(settings, **arguments)

        run.__doc__ = function.__doc__
        run.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        name = function.__module__.rpartition(".")[2]
        decorator: Callable[[Callable[..., Any]], click.Command] = click.command(name=name, **context)
        return decorator(global_options(run))

    return decorate


def start_logging(settings: CommandSettings) -> None:
    """Send the project's log to stderr at the wanted level (`QOS_LOG_LEVEL` where no flag says)."""
    levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
    level: int | str = levels.get(settings.verbosity, logging.DEBUG)
    named = os.environ.get("QOS_LOG_LEVEL", "").upper()
    if settings.verbosity == 0 and named in ("DEBUG", "INFO", "WARNING", "ERROR"):
        level = named
    logging.basicConfig(stream=sys.stderr, level=level, format="qos: %(message)s", force=True)


def enter_namespace(name: str) -> None:
    """Move this process into a named network namespace (`ip netns add NAME` makes one).

    Raises
    ------
    ValueRefusedError
        If there is no namespace of that name.
    PrivilegeError
        If the process may not enter it.
    """
    from linux_qdisc.namespace import enter

    enter(name)


def print_json(document: Mapping[str, object]) -> None:
    """Print one machine-readable document on stdout; NaN and infinity are never written."""
    print(json.dumps(document, indent=2, allow_nan=False))


def console(settings: CommandSettings, *, stderr: bool = False) -> Console:
    """Make a rich console that follows the colour rule: tty, no `NO_COLOR`, no `--no-color`."""
    from rich.console import Console

    colourless = not settings.colour or bool(os.environ.get("NO_COLOR")) or settings.as_json
    return Console(stderr=stderr, no_color=colourless, highlight=False, soft_wrap=not sys.stdout.isatty())


def print_table(settings: CommandSettings, table: Table) -> None:
    """Print a table; on a pipe nothing is cut or folded, since the reader is a program."""
    out = console(settings)
    if not sys.stdout.isatty():
        out.width = 10_000
    out.print(table)


class UnitType(click.ParamType[int]):
    """A click type made of one of the parsers of `qos.units` and the range that makes sense."""

    def __init__(self, name: str, parse: Callable[[str], int], low: int, high: int, range_text: str) -> None:
        self.name = name
        self._parse = parse
        self._low = low
        self._high = high
        self._range_text = range_text

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse `value` and refuse what is out of range."""
        if isinstance(value, int):
            return value
        try:
            number = self._parse(str(value))
        except QosError as error:
            self.fail(str(error), param, ctx)
        if not self._low <= number <= self._high:
            self.fail(f"{value!r} is out of range; it must be {self._range_text}", param, ctx)
        return number


MIN_RATE_BPS = 8_000
MAX_RATE_BPS = 1_000_000_000_000

RATE = UnitType("RATE", parse_rate, MIN_RATE_BPS, MAX_RATE_BPS, "from 8kbit to 1tbit")
SIZE = UnitType("SIZE", parse_size, 1, 2**31, "from 1 byte to 2 GiB")
DURATION = UnitType("DURATION", parse_duration, 1, 10**9 * 86400, "more than 0 and at most a day")

__all__ = [
    "DURATION",
    "MAX_RATE_BPS",
    "MIN_RATE_BPS",
    "RATE",
    "SIZE",
    "CommandSettings",
    "UnitType",
    "ValueRefusedError",
    "console",
    "enter_namespace",
    "merge_settings",
    "print_json",
    "print_table",
    "start_logging",
    "verb",
]
