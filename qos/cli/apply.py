"""`qos apply`: this host's part of a plan on its interfaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from qos.cli.common import CommandSettings, print_json, print_table, verb
from qos.cli.host_options import interface_option, places, wanted_settings
from qos.units import format_rate

if TYPE_CHECKING:
    from linux_qdisc.settings import QueueSettings
    from qos.plan_hosts import HostQueue


@verb(short_help="Put this host's part of a plan on its interfaces.")
@click.argument("plan_file", metavar="PLAN", type=click.Path())
@click.option("--host", required=True, metavar="NODE", help="Which node of the plan this host is.")
@interface_option
@click.option("--topology", metavar="FILE", help="Refuse a plan that was not made for this topology.")
@click.option("--dry-run", is_flag=True, help="Print what would be done; needs no root.")
@click.option("--force", is_flag=True, help="Replace foreign qdiscs, and another node's part.")
def command(
    settings: CommandSettings,
    plan_file: str,
    host: str,
    interfaces: Sequence[str],
    topology: str | None,
    dry_run: bool,
    force: bool,
) -> None:
    """Put the fair queues of PLAN on this host, which is NODE of its topology.

    The interface of each link is the one that the topology names, or that --interface says. What stands
    already is left alone: a second apply changes nothing. If one interface fails, all are led back.
    """
    from linux_qdisc.applied import AppliedPlan, apply_all, check_host, write_applied
    from qos.plan_files import load_plan
    from qos.plan_hosts import check_version, host_queues

    plan = load_plan(plan_file)
    check_version(plan, topology)
    queues = host_queues(plan, host, places(interfaces))
    name = plan.scenario.topology.name
    if not force:
        check_host(host, name)
    wanted = wanted_settings(queues)
    if dry_run:
        _print_commands(settings, host, wanted, force)
        return
    changes = apply_all(wanted, force=force)
    write_applied(AppliedPlan(host, name, plan.scenario.digest, tuple(one.device for one in wanted)))
    _print_changes(settings, host, queues, wanted, changes)


def _print_commands(
    settings: CommandSettings, host: str, wanted: Sequence[QueueSettings], force: bool
) -> None:
    from linux_qdisc.applied import commands_of

    every = {one.device: commands_of(one, force=force) for one in wanted}
    if settings.as_json:
        print_json({"schema": 1, "host": host, "commands": every})
        return
    for device, lines in every.items():
        print(f"# {device}" if lines else f"# {device}: nothing to do")
        for line in lines:
            print(line)


def _print_changes(
    settings: CommandSettings,
    host: str,
    queues: Sequence[HostQueue],
    wanted: Sequence[QueueSettings],
    changes: Sequence[str],
) -> None:
    rows = [
        {
            "device": one.device,
            "links": [link.link for link in queue.links],
            "rate_bps": one.rate_bps,
            "follow_radio": one.follow_radio,
            "policy": one.policy,
            "change": change,
        }
        for queue, one, change in zip(queues, wanted, changes, strict=True)
    ]
    if settings.as_json:
        print_json({"schema": 1, "host": host, "interfaces": rows})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("interface", "links", "rate", "policy", ""):
        table.add_column(title)
    for queue, one, change in zip(queues, wanted, changes, strict=True):
        rate = "auto" if one.follow_radio else format_rate(one.rate_bps)
        table.add_row(one.device, ", ".join(link.link for link in queue.links), rate, one.policy, change)
    print_table(settings, table)
