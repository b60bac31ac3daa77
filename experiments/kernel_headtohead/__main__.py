"""Compare queues on a real kernel; run it again to go on where it stopped."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import click

import qos
from experiments.kernel_headtohead import goals, plots, summary
from experiments.kernel_headtohead.grid import (
    LENGTHS_S,
    THEIRS,
    Cell,
    Scenario,
    cells,
    default_scenarios,
    every_scenario,
    is_learned,
    our_queues,
)
from experiments.kernel_headtohead.here import lacks_here
from experiments.kernel_headtohead.runs import Store, carry_out
from experiments.rig import Rig, RigMissingError, prepare
from qos.errors import InputError, ValueRefusedError
from schedulers.packet.limits import check_policy
from schedulers.packet.limits.lfq.weights import SHIPPED, load_network

MISSING = 5


@click.command()
@click.option("--quick", is_flag=True, help="Two scenarios, one repetition.")
@click.option("--full", is_flag=True, help="Every scenario instead of the twelve.")
@click.option(
    "--scenario", "chosen", multiple=True, metavar="NAME", help="Only this one of the full grid; repeatable."
)
@click.option(
    "--queue", "queues", multiple=True, metavar="NAME", help="Only this queue, or fixed:SIZE; repeatable."
)
@click.option("--repetitions", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option(
    "--minutes", type=float, default=40.0, show_default=True, help="Stop then; the next call goes on."
)
@click.option("--workers", type=click.IntRange(1, 64), default=None, help="Kernels at a time; one a CPU.")
@click.option(
    "--on",
    "where",
    type=click.Choice(["auto", "here", "rig"]),
    default="auto",
    show_default=True,
    help="This host's kernel, in namespaces, or User-mode Linux; auto: this host's if it has all queues.",
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/kernel_headtohead"))
def main(
    quick: bool,
    full: bool,
    chosen: tuple[str, ...],
    queues: tuple[str, ...],
    repetitions: int,
    minutes: float,
    workers: int | None,
    where: str,
    seed: int,
    out: Path,
) -> None:
    """Run the grid on a kernel that has every queue and sum it up."""
    # As an exception, so that the kernels that run are ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scenarios = every_scenario() if full else default_scenarios()
    if quick:
        scenarios, repetitions = [scenarios[4], scenarios[2]] if not full else scenarios[:2], 1
    if chosen:
        scenarios = _chosen_scenarios(chosen)
    queues = _chosen_queues(queues)
    wanted = cells(scenarios, list(queues), repetitions, seed)
    out.mkdir(parents=True, exist_ok=True)
    store = Store(out / "runs.jsonl")
    is_here = _is_here(where)
    store.refuse_others("here" if is_here else "rig")
    try:
        rig = None if is_here else prepare()
        _carry_out(wanted, store, rig, 1 if is_here else workers or os.cpu_count() or 1, minutes)
    except RigMissingError as error:
        click.echo(f"experiments.kernel_headtohead: {error}", err=True)
        sys.exit(MISSING)
    names = {cell.name for cell in wanted}
    rows = [row for row in store.rows() if row["name"] in names]
    lines = summary.summarise(rows, seed)
    settings = {
        "schema": 1,
        "version": qos.__version__,
        "python": platform.python_version(),
        "iproute2": subprocess.run(["tc", "-V"], capture_output=True, text=True, check=False).stdout.strip(),
        "seed": seed,
        "queues": list(queues),
        "scenarios": [scenario.name for scenario in scenarios],
        "repetitions": repetitions,
        "runs": len(rows),
        "kernel": sorted({row["kernel"] for row in rows}),
        "host": f"{platform.release()} {platform.machine()}, {os.cpu_count()} CPUs",
        "lengths_s": {scenario.name: LENGTHS_S[scenario.rate_mbit] for scenario in scenarios},
        "clock": "the host's" if is_here else "virtual",
    }
    (out / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")
    summary.write_csv(lines, out / "summary.csv")
    verdicts = goals.judge(lines)
    goals.write_csv(verdicts, out / "goals.csv")
    click.echo(summary.table(lines))
    click.echo(goals.table(verdicts))
    if lines:
        plots.fronts(lines, out / "fronts.png")
        plots.winners(lines, out / "winners.png")
        plots.series(rows, out / "series.png")
    click.echo(f"{len(rows)} of {len(wanted)} runs; {out}", err=True)


def _chosen_scenarios(names: tuple[str, ...]) -> list[Scenario]:
    """Return scenarios by their names; refuse one that the grid does not have."""
    grid = {row.name: row for row in every_scenario()}
    for name in names:
        if name not in grid:
            raise click.BadParameter(f"{name!r} is none of {', '.join(grid)}", param_hint="--scenario")
    return [grid[name] for name in names]


def _chosen_queues(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return queues by their names, ours by any spelling that `qos attach --policy` takes."""
    for name in names:
        if name not in THEIRS:
            try:
                check_policy(name)
            except ValueRefusedError as error:
                said = f"{error}, or one of {', '.join(THEIRS)}"
                raise click.BadParameter(said, param_hint="--queue") from None
    queues = names or (*THEIRS, *our_queues())
    if any(is_learned(name) for name in queues):
        try:
            load_network(SHIPPED)
        except InputError as error:  # the controller would fall back to another policy, under this name
            raise click.ClickException(str(error)) from None
    return queues


def _is_here(where: str) -> bool:
    """Decide on whose kernel it runs; a host that was asked for and lacks something is refused."""
    if where == "rig":
        return False
    lacking = lacks_here()
    if where == "here" and lacking is not None:
        raise click.ClickException(f"--on here: this host's kernel lacks: {lacking}")
    if lacking is not None:
        click.echo(f"on User-mode Linux, since this host's kernel lacks: {lacking}", err=True)
    return lacking is None


def _carry_out(wanted: list[Cell], store: Store, rig: Rig | None, workers: int, minutes: float) -> None:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        known = {row["name"] for row in store.rows()}
        task = progress.add_task("runs", total=sum(cell.name not in known for cell in wanted))
        until_s = time.monotonic() + 60 * minutes
        carry_out(wanted, store, rig, workers, until_s, lambda count: progress.advance(task, count))


if __name__ == "__main__":
    main()
