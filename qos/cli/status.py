"""`qos status`: what is attached and what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qos.cli.common import CommandSettings, console, print_json, verb
from qos.errors import InputError
from qos.units import format_rate, format_size

if TYPE_CHECKING:
    from rich.table import Table


@verb(short_help="Show what is attached and what it does.")
@click.argument("device", metavar="[DEV]", required=False)
def command(settings: CommandSettings, device: str | None) -> None:
    """Show the queues of DEV, or of every interface that has one."""
    rows = _rows(device)
    if settings.as_json:
        print_json({"schema": 1, "interfaces": rows})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("interface", "", "rate", "policy", "controller", "flows", "backlog", "drops"):
        table.add_column(title)
    for row in rows:
        controller = f"process {row['pid']}" if row["controlled"] else "none"
        _add(table, row, "out", row, controller)
        if row["ingress"] is not None:
            _add(table, row | {"rate_bps": row["ingress_rate_bps"]}, "in", row["ingress"], "")
    if rows:
        console(settings).print(table)
    else:
        console(settings, stderr=True).print("no interface has a queue of ours; 'qos attach DEV --rate RATE'")


def _add(
    table: Table, settings: dict[str, Any], direction: str, figures: dict[str, Any], controller: str
) -> None:
    table.add_row(
        settings["device"] if direction == "out" else "",
        direction,
        format_rate(settings["rate_bps"]),
        settings["policy"],
        controller if figures["standing"] else "the queue was removed",
        str(figures["flows_waiting"]),
        format_size(figures["backlog_bytes"]),
        str(figures["drops"]),
    )


def _rows(device: str | None) -> list[dict[str, Any]]:
    from linux_qdisc.device import device_facts
    from linux_qdisc.monitor import attached_figures

    found = attached_figures(device_facts(device).ifindex if device else None)
    if device and not found:
        raise InputError(f"{device} has no queue of ours; 'qos attach {device} --rate RATE' makes one")
    return found
