"""`qos adapt --trace`: link adaptation policies side by side on a recorded channel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from qos.cli.common import CommandSettings, console, print_json
from qos.errors import InputError, ValueRefusedError

if TYPE_CHECKING:
    from qos.crosslayer.adaptation.arrays import Modes
    from qos.crosslayer.adaptation.modetable import ModeTable
    from qos.crosslayer.adaptation.replay import Score

DEFAULT_CASES = ((0.5, 30), (0.7, 30))
ALL = "all"


@dataclass(frozen=True)
class TraceRequest:
    """What was asked on the command line.

    Attributes
    ----------
    trace, bler
        Files of the channel and of the modes.
    policies
        Spellings, or `all`.
    cases
        Loads with their deadlines in slots.
    decisions
        File to write each policy's modes to, or None.
    """

    trace: str
    bler: str
    policies: tuple[str, ...]
    cases: tuple[tuple[float, int], ...]
    decisions: str | None

    @classmethod
    def from_flags(cls, flags: Mapping[str, object]) -> TraceRequest:
        """Join the flags; refuse those that do not go together.

        Raises
        ------
        ValueRefusedError
            If --bler is missing or loads and deadlines do not pair up.
        """
        if not flags["bler"]:
            raise ValueRefusedError("--trace needs the modes' block error rates; give --bler FILE.npz")
        loads, deadlines = (
            cast("tuple[float, ...]", flags["loads"]),
            cast("tuple[int, ...]", flags["deadlines"]),
        )
        if len(loads) != len(deadlines):
            raise ValueRefusedError(f"{len(loads)} --load but {len(deadlines)} --deadline: they go in pairs")
        return cls(
            str(flags["trace"]),
            str(flags["bler"]),
            cast("tuple[str, ...]", flags["policies"]) or (ALL,),
            tuple(zip(loads, deadlines, strict=True)) or DEFAULT_CASES,
            str(flags["decisions"]) if flags["decisions"] else None,
        )


def adapt_trace(settings: CommandSettings, request: TraceRequest) -> None:
    """Run the policies asked for and the two bounds, and print their scores.

    Raises
    ------
    InputError
        If a file is not what it must be, or the decisions cannot be written.
    ValueRefusedError
        If a policy, load or deadline cannot be used.
    """
    from qos.crosslayer.adaptation.bounds import genie
    from qos.crosslayer.adaptation.modetable import load_mode_table
    from qos.crosslayer.adaptation.ontime import TrafficCase
    from qos.crosslayer.adaptation.registry import decide_all, make_policy, told_by
    from qos.crosslayer.adaptation.replay import score
    from qos.crosslayer.adaptation.trace import load_trace

    names = _names(request.policies)
    cases = tuple(TrafficCase(load, deadline) for load, deadline in request.cases)
    table = load_mode_table(request.bler)
    trace = load_trace(request.trace)
    for name in names[2:]:
        make_policy(name, trace, table)  # what is wrong with a policy is said before the first one runs
    if request.decisions:
        _check_writable(request.decisions)
    if table.dropped and settings.verbosity >= 0:
        modes = ", ".join(map(str, table.dropped))
        print(f"qos: {request.bler}: modes without a finite error rate dropped: {modes}", file=sys.stderr)
    genie_modes = genie(trace, table)
    decided: dict[str, Modes] = {}
    scores: dict[str, Score] = {}
    with _progress(settings, trace.slots * (len(names) - 2)) as (advance, say):
        for name in names:
            say(name)
            decided[name] = genie_modes if name == "genie" else decide_all(name, trace, table, advance)
            scores[name] = score(decided[name], trace, table, cases, genie_modes)
    if request.decisions:
        _write(request.decisions, decided)
    if settings.as_json:
        rows = {name: _row(one) | {"told": list(told_by(name))} for name, one in scores.items()}
        print_json({"schema": 1, "policies": rows})
        return
    _table(settings, scores, table)


def _names(asked: tuple[str, ...]) -> list[str]:
    """List what runs: the bounds first, then each policy once."""
    from qos.crosslayer.adaptation.registry import BOUNDS, parse_policy, policy_names

    names = dict.fromkeys(BOUNDS)
    for spelling in asked:
        if spelling != ALL:
            parse_policy(spelling)
        names |= dict.fromkeys(policy_names() if spelling == ALL else (spelling,))
    return list(names)


def _row(one: Score) -> dict[str, Any]:
    return {
        "bler": one.bler,
        "spectral_efficiency": one.spectral_efficiency,
        "spectral_efficiency_by_doppler": one.spectral_efficiency_by_doppler,
        "on_time": one.on_time,
    }


def _check_writable(path: str) -> None:
    place = Path(path)
    if place.is_dir() or not place.absolute().parent.is_dir():
        raise InputError(f"--decisions {path}: no such folder, or a folder itself; give a file to write")


def _write(path: str, decided: Mapping[str, Modes]) -> None:
    import numpy as np

    try:
        with open(path, "wb") as file:
            np.savez_compressed(file, **cast("dict[str, Any]", dict(decided)))
    except OSError as error:
        raise InputError(f"--decisions {path}: {error.strerror}") from None


@contextmanager
def _progress(
    settings: CommandSettings, total: int
) -> Iterator[tuple[Callable[[int], None], Callable[[str], None]]]:
    """Show a bar on a terminal's stderr; give what advances it and what names the present policy."""
    from rich.progress import Progress

    out = console(settings, stderr=True)
    hidden = settings.verbosity < 0 or not sys.stderr.isatty()
    with Progress(console=out, transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=total)
        yield (lambda slots: bar.advance(task, slots)), (lambda name: bar.update(task, description=name))


def _table(settings: CommandSettings, scores: Mapping[str, Score], table: ModeTable) -> None:
    from rich import box
    from rich.table import Table

    first = next(iter(scores.values()))
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    grid.add_column("policy")
    dopplers, cases = list(first.spectral_efficiency_by_doppler), list(first.on_time)
    heads = ["BLER", "bit/s/Hz", *(f"{float(fd):g} Hz" for fd in dopplers), *(f"on time {c}" for c in cases)]
    for head in heads:
        grid.add_column(head, justify="right")
    for name, one in scores.items():
        cells = [one.bler, one.spectral_efficiency]
        cells += [one.spectral_efficiency_by_doppler[fd] for fd in dopplers]
        cells += [one.on_time[case] for case in cases]
        grid.add_row(name, *(f"{cell:.3f}" for cell in cells))
    out = console(settings)
    if not sys.stdout.isatty():
        out.width = 10_000  # on a pipe nothing is cut or folded: the reader is a program
    out.print(grid)
    kinds = int(table.usable.sum())
    out.print(f"{kinds} modes; bits per resource element over all slots; on time LOAD/DEADLINE in slots")
