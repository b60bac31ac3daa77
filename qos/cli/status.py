"""`qos status`: what is attached and what it does."""

from __future__ import annotations

from typing import Any

import click

from qos.cli.common import CommandSettings, console, print_json, verb
from qos.errors import InputError
from qos.units import format_rate, format_size


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
    for title in ("interface", "rate", "policy", "controller", "flows", "backlog", "drops"):
        table.add_column(title)
    for row in rows:
        table.add_row(
            row["device"],
            format_rate(row["rate_bps"]),
            row["policy"],
            f"process {row['pid']}" if row["controlled"] else "none",
            str(row["flows_waiting"]),
            format_size(row["backlog_bytes"]),
            str(row["drops"]),
        )
    if rows:
        console(settings).print(table)
    else:
        console(settings, stderr=True).print("no interface has a queue of ours; 'qos attach DEV --rate RATE'")


def _rows(device: str | None) -> list[dict[str, Any]]:
    from linux_qdisc import state
    from linux_qdisc.device import all_devices, device_facts
    from linux_qdisc.rtnetlink import NetlinkSocket
    from linux_qdisc.stats import ClassReader

    wanted = device_facts(device).ifindex if device else None
    names = {row.ifindex: row.name for row in all_devices()}
    found = []
    with NetlinkSocket() as netlink:
        for key, held in state.attached():
            if key.ifindex not in names or wanted not in (None, key.ifindex):
                continue
            counters = ClassReader(netlink, key.ifindex, held.settings.flows).read()
            found.append(
                held.settings.to_json()
                | {
                    "device": names[key.ifindex],
                    "pid": held.pid,
                    "controlled": state.is_locked(key),
                    "flows_waiting": int((counters.backlog_bytes > 0).sum()),
                    "backlog_bytes": int(counters.backlog_bytes.sum()),
                    "sent_bytes": int(counters.sent_bytes.sum()),
                    "drops": int(counters.dropped_packets.sum()),
                }
            )
    if device and not found:
        raise InputError(f"{device} has no queue of ours; 'qos attach {device} --rate RATE' makes one")
    return found
