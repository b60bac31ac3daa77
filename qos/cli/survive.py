"""`qos survive`: backup paths and every single failure of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from qos.cli.common import CommandSettings, console, print_json, print_table, verb
from qos.errors import ValueRefusedError

if TYPE_CHECKING:
    from qos.planning import Plan
    from qos.survival import FailureOutcome


@verb(short_help="Show who is still served at each single failure, and backup paths.")
@click.argument("plan_file", metavar="PLAN", type=click.Path())
@click.option("--risk-groups", type=click.Path(), metavar="FILE", help="YAML: links that fail together.")
@click.option("--nodes", is_flag=True, help="Nodes fail too.")
@click.option("--out", type=click.Path(), metavar="PLAN", help="Write the plan with its backup paths.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes; -1: one a core.")
def command(
    settings: CommandSettings,
    plan_file: str,
    risk_groups: str | None,
    nodes: bool,
    out: str | None,
    jobs: int,
) -> None:
    """Give each flow of PLAN a backup path, and plan anew for every single failure (N-1).

    A backup path shares no link, no risk and where possible no node with the first. With --risk-groups,
    links of one group fail together: `duct-7: [core--hall, core--labs]`.
    """
    if jobs == 0:
        raise ValueRefusedError("--jobs must not be 0; -1 means one process a core")
    from qos.plan_files import load_plan, save_plan
    from qos.survival import protect, read_risk_groups, sweep

    plan = load_plan(plan_file)
    risks = None if risk_groups is None else read_risk_groups(risk_groups, plan.scenario.topology)
    protected = protect(plan, risks)
    outcomes = sweep(protected, risks, nodes=nodes, jobs=jobs)
    if out is not None:
        save_plan(protected, out)
    if settings.as_json:
        backups = {name: flow.backup for name, flow in protected.flows.items() if not flow.serves}
        print_json({"schema": 1, "backups": backups, "failures": [asdict(one) for one in outcomes]})
        return
    _print(settings, protected, outcomes)


def _print(settings: CommandSettings, plan: Plan, outcomes: Sequence[FailureOutcome]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    paths = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("flow", "path", "backup"):
        paths.add_column(title)
    for name, flow in plan.flows.items():
        if not flow.serves:
            backup = "none" if flow.backup is None else " - ".join(flow.backup)
            paths.add_row(Text(name), Text(" - ".join(flow.path)), Text(backup))
    print_table(settings, paths)
    out = console(settings)
    out.print()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("failure", "served", "lost", "moved"):
        table.add_column(title, justify="right" if title == "served" else "left")
    harmless = 0
    for one in sorted(outcomes, key=lambda one: one.served):
        if not (one.lost or one.moved or one.retuned):
            harmless += 1
            continue
        names = (", ".join(one.lost) or "-", ", ".join(one.moved) or "-")
        table.add_row(
            Text(f"{one.failure.kind} {one.failure.name}"), f"{one.served}/{one.asked}", *map(Text, names)
        )
    print_table(settings, table)
    out.print()
    worst = min((one.served for one in outcomes), default=0)
    asked = outcomes[0].asked if outcomes else 0
    out.print(
        f"{len(outcomes)} failures, each alone: {worst} of {asked} demands are served at the worst, "
        f"{harmless} failures change nothing",
        markup=False,
    )
