"""How `qos plan` shows a plan: tables for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qos.cli.common import console
from qos.units import format_rate

if TYPE_CHECKING:
    from qos.cli.common import CommandSettings
    from qos.planning import Plan, PlannedFlow

NO_CHANGE = "no change of its figures"
BUSY_LINKS = 12
"""Links that the table shows, the busiest; all of them with -v."""


def _table(
    settings: CommandSettings, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print an aligned table; a column whose name starts with `>` is set to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    out = console(settings)
    if not sys.stdout.isatty():
        out.width = 10_000  # on a pipe nothing is cut or folded: the reader is a program
    out.print(table)
    out.print()


def rate(rate_bps: float) -> str:
    """Spell a rate in three digits or so."""
    return format_rate(int(float(f"{rate_bps:.4g}"))) if rate_bps >= 1 else "0"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.3g} ms"


def _flow_row(flow: PlannedFlow) -> list[str]:
    return [
        flow.name,
        rate(flow.rate_bps),
        _time(flow.delay_predicted_s),
        _time(flow.delay_bound_s),
        f"{flow.loss_predicted:.1e}",
        " - ".join(flow.path),
    ]


def print_plan(settings: CommandSettings, plan: Plan) -> None:
    """Print what was decided.

    Parameters
    ----------
    settings
        The global flags; with -v also control messages, quiet links and the reasons of admissions.
    plan
        The plan.
    """
    more = settings.verbosity > 0
    out = console(settings)
    out.print(summary(plan), markup=False)
    out.print()
    shown = [flow for flow in plan.flows.values() if more or not flow.serves]
    columns = ["flow", ">rate", ">delay <=", ">bound", ">loss", "path"]
    rows = [_flow_row(flow) for flow in shown]
    wanted = {demand.name for demand in plan.scenario.flows if demand.protection}
    if wanted:
        columns.append("backup")
        for flow, row in zip(shown, rows, strict=True):
            row.append(" - ".join(flow.backup or ["none"] if flow.name in wanted else []))
    if more:
        columns.append("why")
        rows = [[*row, flow.reason] for row, flow in zip(rows, shown, strict=True)]
    _table(settings, "admitted flows", columns, rows)
    _table(
        settings,
        "admitted entanglement",
        ["demand", ">ebit/s", ">fidelity", ">control <=", "path"],
        [
            [
                one.name,
                f"{one.rate_ebit_per_s:.4g}",
                f"{one.min_fidelity:g}",
                _time(one.control_delay_s),
                " - ".join(one.path),
            ]
            for one in plan.entanglement.values()
        ],
    )
    _table(
        settings,
        "rejected",
        ["demand", "why", "would do"],
        [
            [one.name, one.reason, one.smallest_change.text if one.smallest_change else NO_CHANGE]
            for one in plan.rejected
        ],
    )
    _print_links(settings, plan, more)


def _print_links(settings: CommandSettings, plan: Plan, more: bool) -> None:
    used = sorted((link for link in plan.links if link.flows), key=lambda link: -link.utilisation)
    links = list(plan.links) if more else used[:BUSY_LINKS]
    rows = [
        [
            f"{link.sender} > {link.receiver}",
            link.kind,
            rate(link.fair_queue_rate_bps),
            f"{link.policy}:{link.preference}" if link.policy == "lfq" else link.policy,
            str(len(link.flows)),
            f"{link.utilisation:.0%}",
            _time(link.wait_s),
            "-" if link.unplanned_flows is None else str(link.unplanned_flows),
            ", ".join(f"{each.access_category} {each.retransmissions}" for each in link.classes),
        ]
        for link in links
    ]
    hidden = len(used) - len(links)
    title = "links" if more or hidden <= 0 else f"links, the {len(links)} busiest of {len(used)} in use"
    columns = ["direction", "kind", ">queue rate", "policy", ">flows", ">reserved", ">round <=", ">room for"]
    _table(settings, title, [*columns, "retries"], rows)


def summary(plan: Plan) -> str:
    """Say in one line how many demands are served."""
    own = [flow for flow in plan.flows.values() if not flow.serves]
    asked = len(plan.scenario.flows) + len(plan.scenario.entanglement)
    control = len(plan.flows) - len(own)
    text = (
        f"{plan.scenario.topology.name or 'network'}: {len(own) + len(plan.entanglement)} of {asked} demands"
    )
    text += f" admitted ({len(own)} flows, {len(plan.entanglement)} entanglement"
    text += f", {control} flows of control messages)" if control else ")"
    search = plan.search
    quality = "optimal" if search.status == "optimal" else f"within {search.gap:.1%} of the bound"
    return f"{text}; {quality}, {plan.seconds:.2f} s"


def print_changes(settings: CommandSettings, old: Plan, new: Plan) -> None:
    """Print what a new plan changes."""
    from qos.plan_changes import diff

    found = diff(old, new)
    out = console(settings)
    lines = found.lines(old, new)
    out.print(f"changes against the earlier plan: {len(lines)} demands, {len(found.settings)} link settings")
    for line in lines:
        out.print(f"  {line}", markup=False)
    out.print()


def changes_document(old: Plan, new: Plan) -> dict[str, Any]:
    """Give what a new plan changes, for programs."""
    from dataclasses import asdict

    from qos.plan_changes import diff

    return {key: list(value) for key, value in asdict(diff(old, new)).items()}
