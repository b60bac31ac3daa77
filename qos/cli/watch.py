"""`qos watch`: the busiest flows of an interface, live."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from qos.cli.common import DURATION, CommandSettings, console, print_json, verb
from qos.errors import InputError
from qos.units import format_rate, format_size

if TYPE_CHECKING:
    from rich.table import Table


@verb(short_help="Show the busiest flows of an interface, live.")
@click.argument("device", metavar="DEV")
@click.option("--interval", "interval_ns", type=DURATION, default="1s", show_default=True)
@click.option("--flows", "rows", type=click.IntRange(1, 200), default=15, show_default=True)
@click.option("--count", type=click.IntRange(1), help="End after so many refreshes.")
def command(settings: CommandSettings, device: str, interval_ns: int, rows: int, count: int | None) -> None:
    """Show the flows of DEV that send or wait most. Ctrl-C ends it."""
    watcher = _Watcher(device, rows)
    if settings.as_json:
        time.sleep(interval_ns / 1e9)
        print_json({"schema": 1, "device": device, "flows": watcher.refresh()})
        return
    from rich.live import Live

    left = count
    with Live(console=console(settings), auto_refresh=False) as live:
        while left is None or left > 0:
            time.sleep(interval_ns / 1e9)
            live.update(_table(watcher.refresh()), refresh=True)
            left = None if left is None else left - 1


class _Watcher:
    """Two dumps apart in time make rates."""

    def __init__(self, device: str, rows: int) -> None:
        from linux_qdisc import state
        from linux_qdisc.device import device_facts
        from linux_qdisc.rtnetlink import NetlinkSocket
        from linux_qdisc.stats import ClassReader

        self._ifindex = device_facts(device).ifindex
        held = state.read(state.Key.of(self._ifindex))
        if held is None:
            raise InputError(f"{device} has no queue of ours; 'qos attach {device} --rate RATE' makes one")
        self._flows, self._rows = held.settings.flows, rows
        self._netlink = NetlinkSocket()
        self._reader = ClassReader(self._netlink, self._ifindex, self._flows)
        self._last, self._at = self._reader.read(), time.monotonic()

    def refresh(self) -> list[dict[str, Any]]:
        """Return the busiest flows since the previous call."""
        import numpy as np

        from linux_qdisc.stats import read_limits

        now, at = self._reader.read(), time.monotonic()
        rate_bps = (now.sent_bytes - self._last.sent_bytes) * 8 / max(at - self._at, 1e-9)
        drops = (now.dropped_packets - self._last.dropped_packets) & 0xFFFFFFFF  # the counter wraps
        limits = read_limits(self._netlink, self._ifindex, self._flows)
        self._last, self._at = now, at
        busiest = np.lexsort((-rate_bps, -now.backlog_bytes))[: self._rows]
        return [
            {
                "queue": int(queue),
                "rate_bps": int(rate_bps[queue]),
                "backlog_bytes": int(now.backlog_bytes[queue]),
                "backlog_s": float(now.backlog_bytes[queue] * 8 / rate_bps[queue])
                if rate_bps[queue]
                else None,
                "limit_bytes": int(limits[queue]),
                "drops": int(drops[queue]),
            }
            for queue in busiest.tolist()
            if rate_bps[queue] or now.backlog_bytes[queue]
        ]


def _table(flows: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("queue", "rate", "backlog", "waits", "limit", "drops"):
        table.add_column(title, justify="right")
    for flow in flows:
        waits = "-" if flow["backlog_s"] is None else f"{flow['backlog_s'] * 1e3:.1f} ms"
        table.add_row(
            str(flow["queue"]),
            format_rate(flow["rate_bps"]),
            format_size(flow["backlog_bytes"]),
            waits,
            format_size(flow["limit_bytes"]),
            str(flow["drops"]),
        )
    return table
