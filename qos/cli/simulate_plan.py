"""`qos simulate PLAN.json`: what a plan promised beside what its simulation delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qos.cli.common import CommandSettings, console, print_json, print_table
from qos.units import format_rate

if TYPE_CHECKING:
    from qos.plan_simulation import DemandOutcome, PlanOutcome, PlayOptions


def simulate_plan_file(settings: CommandSettings, path: str, options: PlayOptions, jobs: int) -> None:
    """Play the plan of a file and print promise and delivery of every demand."""
    from qos.plan_files import load_plan
    from qos.plan_simulation import simulate_plan

    found = simulate_plan(load_plan(path), options, jobs=jobs)
    if settings.as_json:
        print_json(found.to_json())
        return
    _print(settings, found)


def _print(settings: CommandSettings, found: PlanOutcome) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("demand")
    for title in ("rate", "got", "delay", "worst", "jitter", "worst", "loss", "lost", "late", "kept"):
        table.add_column(title, justify="right")
    table.add_column("not kept")
    for one in found.demands:
        table.add_row(*_row(one))
    print_table(settings, table)
    out = console(settings)
    out.print()
    out.print(
        f"{found.kept_share:.2%} of {found.runs} runs of {len(found.demands)} demands got what was promised; "
        f"{found.duration_s:g} s each, {found.background} greedy flow(s) on each link, seed {found.seed}",
        markup=False,
    )
    if found.left_without_background:
        names = ", ".join(found.left_without_background[:5])
        more = len(found.left_without_background) - 5
        out.print(
            f"without greedy flows, as too fast for this simulation: {names}"
            + (f" and {more} more" if more > 0 else ""),
            markup=False,
        )


def _row(one: DemandOutcome) -> list[str]:
    promised, got = one.promised, one.delivered

    def rate(value: float | None) -> str:
        if value is None:
            return "-"
        return f"{value:.3g} ebit/s" if one.kind == "entanglement" else _bits(value)

    return [
        one.name,
        rate(promised["rate"]),
        rate(got["rate"]),
        _milliseconds(promised["delay_s"]),
        _milliseconds(got["delay_s"]),
        _milliseconds(promised["jitter_s"]),
        _milliseconds(got["jitter_s"]),
        _share(promised["loss"]),
        _share(got["loss"]),
        _share(got["late"]),
        f"{one.kept}/{one.runs}",
        ", ".join(f"{what} ({count})" for what, count in one.broken.items()),
    ]


def _bits(rate_bps: float) -> str:
    return format_rate(int(float(f"{rate_bps:.4g}")))


def _milliseconds(time_s: float | None) -> str:
    return "-" if time_s is None else f"{time_s * 1e3:.3g} ms"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.2g}"
