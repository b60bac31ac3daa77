"""`qos status --plan`: what a plan promises of this host's queues beside what they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qos.cli.common import CommandSettings, print_json, print_table
from qos.cli.host_options import places, wanted_settings
from qos.errors import InputError
from qos.units import format_rate

if TYPE_CHECKING:
    from linux_qdisc.measured import Measured
    from linux_qdisc.settings import QueueSettings
    from qos.plan_hosts import HostQueue


def status_plan(
    settings: CommandSettings, plan_file: str, host: str | None, interfaces: Sequence[str], seconds: float
) -> None:
    """Measure for a while and print promise and measurement of each interface.

    Raises
    ------
    InputError
        If a promise is not kept: another queue than the plan's, or packets that wait longer or are lost.
    """
    from linux_qdisc.applied import read_applied
    from linux_qdisc.measured import measure
    from qos.plan_files import load_plan
    from qos.plan_hosts import host_queues

    plan = load_plan(plan_file)
    if host is None:
        applied = read_applied()
        if applied is None or applied.name != plan.scenario.topology.name:
            raise InputError(
                "which node is this host? give --host NODE; no plan of this topology was applied"
            )
        host = applied.host
    queues = host_queues(plan, host, places(interfaces))
    wanted = wanted_settings(queues)
    loss: dict[tuple[str, str], float] = {}
    for flow in plan.flows.values():
        for hop in flow.hops:
            key = (hop.link, hop.sender)
            loss[key] = min(loss.get(key, 1.0), flow.loss_bound)
    found = measure([one.device for one in wanted], seconds)
    rows = [
        _row(queue, asked, seen, min(loss.get((link.link, link.sender), 1.0) for link in queue.links))
        for queue, asked, seen in zip(queues, wanted, found, strict=True)
    ]
    if settings.as_json:
        print_json({"schema": 1, "host": host, "seconds": seconds, "interfaces": rows})
    else:
        _print(settings, rows)
    broken = [row["device"] for row in rows if row["broken"]]
    if broken:
        raise InputError(f"{', '.join(broken)}: not as promised")


def _row(queue: HostQueue, wanted: QueueSettings, seen: Measured, loss: float) -> dict[str, Any]:
    broken = []
    if seen.settings is None:
        broken.append("nothing attached")
    else:
        same_rate = wanted.follow_radio or seen.settings.rate_bps == wanted.rate_bps
        if not same_rate or (seen.settings.policy, seen.settings.isolate) != (wanted.policy, wanted.isolate):
            broken.append("another queue")
        if not seen.controlled:
            broken.append("no controller")
        # Beyond what is reserved, senders outside of the plan fill the queue, and only their own part of it.
        if seen.rate_bps <= queue.reserved_bps:
            if seen.wait_s > queue.wait_s:
                broken.append("waits longer")
            if seen.loss > loss:
                broken.append("loses more")
    return {
        "device": wanted.device,
        "links": [link.link for link in queue.links],
        "promised": {
            "rate_bps": wanted.rate_bps,
            "policy": wanted.policy,
            "reserved_bps": queue.reserved_bps,
            "wait_s": queue.wait_s,
            "loss": loss,
        },
        "measured": {
            "rate_bps": None if seen.settings is None else seen.settings.rate_bps,
            "policy": None if seen.settings is None else seen.settings.policy,
            "sent_bps": seen.rate_bps,
            "wait_s": seen.wait_s,
            "loss": seen.loss,
            "flows": seen.flows,
        },
        "broken": broken,
    }


def _print(settings: CommandSettings, rows: Sequence[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("interface", "", "rate", "policy", "flows' rate", "longest wait", "loss", "kept"):
        table.add_column(title)
    for row in rows:
        promised, measured = row["promised"], row["measured"]
        table.add_row(
            row["device"],
            "promised",
            format_rate(promised["rate_bps"]),
            promised["policy"],
            format_rate(round(promised["reserved_bps"])),
            f"{promised['wait_s'] * 1e3:.2f} ms",
            f"{promised['loss']:.1e}",
            "",
        )
        table.add_row(
            "",
            "measured",
            "-" if measured["rate_bps"] is None else format_rate(measured["rate_bps"]),
            measured["policy"] or "-",
            format_rate(round(measured["sent_bps"])),
            f"{measured['wait_s'] * 1e3:.2f} ms",
            f"{measured['loss']:.1e}",
            ", ".join(row["broken"]) or "yes",
        )
    print_table(settings, table)
