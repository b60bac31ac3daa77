"""`qos demo`: FIFO against fair queue on real kernel TCP."""

from __future__ import annotations

import difflib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qos.cli.common import DURATION, RATE, CommandSettings, console, print_json, print_table, verb
from qos.errors import InputError, ValueRefusedError
from qos.units import is_count

if TYPE_CHECKING:
    from linux_qdisc.lab.compare import Outcome, Scenario

DEFAULT_FLOWS = ("reno:3", "cubic:3", "bbr:2")
MAX_FLOWS = 64
PICTURE_SUFFIXES = (".png", ".svg", ".pdf")
WARM_UP_FRACTION = 0.3


@verb(short_help="Compare FIFO and fair queue on real kernel TCP, in namespaces of its own.")
@click.option("--rate", "rate_bps", type=RATE, default="50mbit", show_default=True, help="Bottleneck.")
@click.option("--rtt", "rtt_ns", type=DURATION, default="20ms", show_default=True, help="Round-trip time.")
@click.option("--flow", "flows", multiple=True, metavar="CC[:N]", help="Flows: reno:3, cubic, bbr:2 ...")
@click.option("--duration", "duration_ns", type=DURATION, default="15s", show_default=True, help="Of a row.")
@click.option("--plot", type=click.Path(dir_okay=False), default="qos-demo.png", show_default=True)
@click.option("--no-plot", is_flag=True, help="Draw nothing.")
def command(settings: CommandSettings, **wishes: Any) -> None:
    """Run the same TCP flows through two FIFOs and two fair queues and compare them.

    Works as root, or without root where the kernel allows user namespaces. Everything it makes is
    gone afterwards.
    """
    controls = _checked_controls(wishes)
    plot = None if wishes["no_plot"] else _checked_plot(Path(wishes["plot"]))
    # Before numpy comes in with a thread for each processor: unshare(2) refuses threads a user namespace.
    _become_root()
    scenario = _scenario(wishes, controls)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcomes = _measure(settings, scenario)
    if settings.as_json:
        print_json({"schema": 1, "rows": [row.to_json() for row in outcomes]})
    else:
        _table(settings, outcomes)
    if plot is not None:
        from qos.report import draw_comparison

        try:
            draw_comparison(outcomes, plot)
        except OSError as error:
            raise InputError(f"--plot {plot}: cannot be written: {error.strerror}") from None
        if not settings.as_json:
            print(f"picture: {plot}")


def _checked_plot(plot: Path) -> Path:
    """Refuse now what could not be written after the measurement."""
    if plot.suffix.lower() not in PICTURE_SUFFIXES:
        raise ValueRefusedError(
            f"--plot {plot}: a picture needs one of the suffixes {', '.join(PICTURE_SUFFIXES)}"
        )
    if not plot.parent.is_dir():
        raise ValueRefusedError(f"--plot {plot}: there is no directory {plot.parent}")
    if not os.access(plot if plot.exists() else plot.parent, os.W_OK):
        raise InputError(f"--plot {plot}: it cannot be written there; name another file or give --no-plot")
    return plot


def _checked_controls(wishes: dict[str, Any]) -> tuple[str, ...]:
    """Refuse bad times and flows; return the congestion control of each flow."""
    if not 2 <= wishes["duration_ns"] / 1e9 <= 600:
        raise ValueRefusedError("--duration must be from 2s to 600s a row")
    if wishes["rtt_ns"] / 1e9 > 2:
        raise ValueRefusedError("--rtt must be at most 2s")
    return _controls(wishes["flows"] or DEFAULT_FLOWS, strict=bool(wishes["flows"]))


def _scenario(wishes: dict[str, Any], controls: tuple[str, ...]) -> Scenario:
    from linux_qdisc.lab.compare import Scenario

    duration_s, rtt_s = wishes["duration_ns"] / 1e9, wishes["rtt_ns"] / 1e9
    return Scenario(wishes["rate_bps"], rtt_s, controls, duration_s, WARM_UP_FRACTION * duration_s)


def _controls(flows: tuple[str, ...], *, strict: bool) -> tuple[str, ...]:
    available = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    found: list[str] = []
    for flow in flows:
        name, colon, count = flow.partition(":")
        count = count if colon else "1"
        if not is_count(count) or not 1 <= int(count) <= MAX_FLOWS:
            raise ValueRefusedError(
                f"--flow {flow!r}: the count must be from 1 to {MAX_FLOWS}, as in cubic:3"
            )
        if name not in available:
            if not strict:
                continue
            near = difflib.get_close_matches(name, available, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueRefusedError(
                f"--flow {flow!r}: this kernel has no congestion control {name!r}, only "
                f"{', '.join(sorted(available))}{hint}"
            )
        found += [name] * int(count)
    if not 1 <= len(found) <= MAX_FLOWS:
        raise ValueRefusedError(f"--flow: {len(found)} flows; there must be from 1 to {MAX_FLOWS}")
    return tuple(found)


def _become_root() -> None:
    from linux_qdisc.lab.namespaces import enter_user_namespace

    effective = int(
        next(
            line.split()[1]
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("CapEff")
        ),
        16,
    )
    needed = 1 << 12 | 1 << 21
    if effective & needed != needed:
        enter_user_namespace()


def _measure(settings: CommandSettings, scenario: Scenario) -> list[Outcome]:
    from linux_qdisc.lab.compare import compare, default_queues
    from schedulers.packet.limits import DEFAULT_POLICY

    queues = default_queues(scenario, DEFAULT_POLICY)
    screen = console(settings, stderr=True)
    seconds = scenario.duration_s
    if settings.as_json or settings.verbosity < 0:
        return compare(scenario, queues, lambda _name: None)
    if not screen.is_terminal:
        return compare(scenario, queues, lambda name: screen.print(f"{name} ({seconds:g} s)"))
    with screen.status("building the network") as line:

        def progress(name: str) -> None:
            line.update(f"{name} ({seconds:g} s of {len(scenario.controls)} TCP flows)")

        return compare(scenario, queues, progress)


def _table(settings: CommandSettings, outcomes: list[Outcome]) -> None:
    from rich.table import Table

    if not outcomes:
        raise InputError("nothing was measured")
    # Units stand in the heads: the whole table fits 80 columns.
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    table.add_column("\nqueue", no_wrap=True)
    for title in ("\nMbit/s", "\nutilised", "\nJain", "delay\nmean ms", "delay\np99 ms", "\ndrops"):
        table.add_column(title, justify="right", no_wrap=True)
    for outcome in outcomes:
        row: dict[str, Any] = outcome.to_json()
        table.add_row(
            str(row["queue"]),
            f"{row['throughput_bps'] / 1e6:.1f}",
            f"{row['utilisation']:.1%}",
            f"{row['jain']:.3f}",
            f"{row['delay_mean_s'] * 1e3:.1f}",
            f"{row['delay_p99_s'] * 1e3:.1f}",
            str(row["drops"]),
        )
    print_table(settings, table)
