"""`qos upgrade`: the cheapest upgrade of links that admits a rejected flow."""

from __future__ import annotations

from dataclasses import asdict

import click

from qos.cli.common import CommandSettings, print_json, print_table, verb
from qos.errors import InfeasibleError


@verb(short_help="Find the cheapest upgrade of links that admits a rejected flow.")
@click.argument("plan_file", metavar="PLAN", type=click.Path())
@click.option("--demand", "names", multiple=True, metavar="NAME", help="Rejected flow.  [default: each]")
@click.option("--gbit-cost", type=float, default=1.0, show_default=True, help="Of one more Gbit/s of a wire.")
@click.option("--db-cost", type=float, default=1.0, show_default=True, help="Of one more dB of a radio.")
def command(
    settings: CommandSettings, plan_file: str, names: tuple[str, ...], gbit_cost: float, db_cost: float
) -> None:
    """Find, for each rejected flow of PLAN, the cheapest faster wires and stronger radios that admit it.

    Every upgrade is tried: it counts only if the flow is admitted and no other demand is dropped.
    """
    from qos.plan_files import load_plan
    from qos.survival import Costs, cheapest_upgrade

    costs = Costs(gbit_cost, db_cost)
    plan = load_plan(plan_file)
    wanted = names or tuple(one.name for one in plan.rejected if one.kind == "flow")
    found = {name: cheapest_upgrade(plan, name, costs) for name in wanted}
    if settings.as_json:
        rows = [{"demand": name, "upgrade": each and asdict(each)} for name, each in found.items()]
        print_json({"schema": 1, "upgrades": rows})
    else:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for title in ("demand", "cost", "upgrade", "path then"):
            table.add_column(title)
        for name, each in found.items():
            words = "none was found" if each is None else "; ".join(each.changes)
            cost = "-" if each is None else f"{each.cost:.4g}"
            path = "-" if each is None else " - ".join(each.path)
            table.add_row(*map(Text, (name, cost, words, path)))
        print_table(settings, table)
    if names and None in found.values():
        raise InfeasibleError(
            "no upgrade was found for " + ", ".join(n for n, one in found.items() if one is None)
        )
