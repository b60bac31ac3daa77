"""`qos watch`: the busiest flows of an interface, live."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from qos.cli.common import DURATION, CommandSettings, console, print_json, verb
from qos.units import format_rate, format_size

if TYPE_CHECKING:
    from rich.table import Table

    from linux_qdisc.monitor import FlowRow


@verb(short_help="Show the busiest flows of an interface, live.")
@click.argument("device", metavar="DEV")
@click.option("--interval", "interval_ns", type=DURATION, default="1s", show_default=True)
@click.option("--flows", "rows", type=click.IntRange(1, 200), default=15, show_default=True)
@click.option("--count", type=click.IntRange(1), help="End after so many refreshes.")
def command(settings: CommandSettings, device: str, interval_ns: int, rows: int, count: int | None) -> None:
    """Show the flows of DEV that send or wait most, in both directions. Ctrl-C ends it.

    Flows are named by addresses and ports, or by the host that is isolated, where the eBPF classifier
    is at work and this user is root.
    """
    from linux_qdisc.monitor import InterfaceMonitor

    with closing(InterfaceMonitor(device)) as monitor:
        if settings.as_json:
            time.sleep(interval_ns / 1e9)
            flows = [row.to_json() for row in monitor.refresh(rows)]
            print_json({"schema": 1, "device": device, "flows": flows})
            return
        from rich.live import Live

        left = count
        with Live(console=console(settings), auto_refresh=False) as live:
            while left is None or left > 0:
                time.sleep(interval_ns / 1e9)
                live.update(_table(monitor.refresh(rows)), refresh=True)
                left = None if left is None else left - 1


def _table(flows: list[FlowRow]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for title in ("queue", "rate", "backlog", "waits", "limit", "drops"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("flow", overflow="fold")
    for row in flows:
        others = f" (+{len(row.flows) - 1})" if len(row.flows) > 1 else ""
        table.add_row(
            "in" if row.direction == "ingress" else "out",
            str(row.queue),
            format_rate(row.rate_bps),
            format_size(row.backlog_bytes),
            "-" if row.backlog_s is None else f"{row.backlog_s * 1e3:.1f} ms",
            format_size(row.limit_bytes),
            str(row.drops),
            row.flows[0] + others if row.flows else "-",
        )
    return table
