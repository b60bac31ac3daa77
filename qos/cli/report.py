"""`qos report`: a plan as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from qos.cli.common import CommandSettings, print_json, verb
from qos.errors import ValueRefusedError


@verb(short_help="Write a plan as one HTML page that opens offline.")
@click.argument("plan_file", metavar="PLAN", type=click.Path())
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The page, such as plan.html.")
@click.option("--runs", type=int, default=0, help="Also simulate the plan so often and show what came.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the simulation.")
def command(settings: CommandSettings, plan_file: str, out: Path, runs: int, seed: int) -> None:
    """Write a page with the network, the demands, all settings, the schedule and the expected delays."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueRefusedError(f"--out {out}: expected a name that ends in .html")
    if runs < 0:
        raise ValueRefusedError(f"--runs {runs}: must be at least 0")
    from qos.plan_files import load_plan
    from qos.plan_report import write_report

    plan = load_plan(plan_file)
    outcome = None
    if runs:
        from qos.plan_simulation import PlayOptions, simulate_plan

        outcome = simulate_plan(plan, PlayOptions(runs=runs, seed=seed))
    write_report(plan, out, outcome)
    if settings.as_json:
        print_json({"schema": 1, "report": str(out)})
    elif settings.verbosity >= 0:
        print(out)
