"""`qos status`: what is attached and what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from qos.cli.common import DURATION, CommandSettings, console, print_json, verb
from qos.cli.host_options import interface_option
from qos.errors import InputError, ValueRefusedError
from qos.units import NANOSECONDS_PER_SECOND, format_rate, format_size

if TYPE_CHECKING:
    from rich.table import Table


@verb(short_help="Show what is attached and what it does.")
@click.argument("device", metavar="[DEV]", required=False)
@click.option("--plan", "plan_file", type=click.Path(), help="Compare with what this plan promises.")
@click.option("--host", metavar="NODE", help="Which node of the plan this is.  [default: as applied]")
@interface_option
@click.option("--interval", "interval_ns", type=DURATION, default="1s", help="How long to measure.")
def command(
    settings: CommandSettings,
    device: str | None,
    plan_file: str | None,
    host: str | None,
    interfaces: Sequence[str],
    interval_ns: int,
) -> None:
    """Show the queues of DEV, or of every interface that has one.

    With --plan: measure for a while, and show promise and measurement of each interface that the plan sets;
    exits with 1 where a promise is not kept.
    """
    if plan_file is not None:
        if device is not None:
            raise ValueRefusedError("give DEV or --plan, not both")
        from qos.cli.status_plan import status_plan

        status_plan(settings, plan_file, host, interfaces, interval_ns / NANOSECONDS_PER_SECOND)
        return
    if host is not None or interfaces:
        raise ValueRefusedError("--host and --interface belong to --plan PLAN")
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
        for row in rows:
            if row["ended"] and not row["controlled"]:
                console(settings, stderr=True).print(
                    f"the controller of {row['device']} ended: {row['ended']}"
                )
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
