"""The optimum against the paper's schedulers on task sets in files.

``python -m experiments.entanglement_optimum [--data DIR] [--quick] [--out DIR] [--seed N] [--json]``

For every ``DIR/*.json`` (``qtaskset/1``; by default ``$QOS_SHARED_DATA/entanglement/tasksets`` or
``../shared/data/entanglement/tasksets`` beside the checkout) the best of the paper's three default
schedulers, the optimum chosen freely (``batch``), the optimum that keeps all of the paper's best
(``dominate``), its least jitter, and whether it can be served with none. Every schedule is judged by
`schedulers.entanglement.verify`. CSV and a chart go to the output folder.
"""

from __future__ import annotations

import csv
import json
import math
import os
import statistics
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import click

from qos.errors import InfeasibleError
from schedulers.entanglement.cpsat.online import OnlineScheduler
from schedulers.entanglement.cpsat.optimise import optimise, paper_schedules
from schedulers.entanglement.cpsat.outcome import Mode, Objective, Options, Outcome
from schedulers.entanglement.metrics import ScheduleMetrics, measure
from schedulers.entanglement.tasks import TaskSet
from schedulers.entanglement.taskset_files import load_task_set
from schedulers.entanglement.verify import verify

ZERO_S2 = 1e-9
"""Below, a jitter of the paper's schedulers counts as none and is left out of the ratio."""

FLOOR_S2 = 1e-6
"""Jitter of ours below this counts as this."""


@dataclass(frozen=True)
class Row:
    """One task set: rates in ebit/s, jitter in s^2, times in wall and CPU seconds."""

    name: str
    demands: int
    paper: float
    paper_admitted: int
    paper_jitter: float
    paper_jain: float
    batch: float
    batch_bound: float
    batch_gap: float
    batch_status: str
    batch_admitted: int
    batch_jain: float
    batch_s: float
    batch_cpu_s: float
    dominate: float
    dominate_bound: float
    dominate_status: str
    dominate_admitted: int
    dominate_s: float
    jitter: float
    jitter_bound: float
    jitter_status: str
    zero_jitter: str


def default_data() -> Path:
    """Say where the reference task sets are if they are beside the checkout."""
    shared = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    return Path(os.environ.get("QOS_SHARED_DATA", shared)) / "entanglement" / "tasksets"


def run(
    task_set: TaskSet, limit_s: float, seed: int, mode: Mode, objective: Objective = "throughput"
) -> tuple[Outcome, ScheduleMetrics, float]:
    """Optimise, judge and measure; also the CPU seconds spent."""
    begun = time.process_time()
    outcome = optimise(task_set, Options(objective=objective, mode=mode, time_limit_s=limit_s, seed=seed))
    cpu_s = time.process_time() - begun
    verify(task_set, outcome.schedule)
    return outcome, measure(task_set, outcome.schedule), cpu_s


def zero_jitter(task_set: TaskSet, limit_s: float, seed: int) -> str:
    """Say whether the paper's best set can be served without jitter: possible, refuted or open."""
    try:
        run(task_set, limit_s, seed, "dominate", "zero-jitter")
    except InfeasibleError as error:
        return "refuted" if "proven" in str(error) else "open"
    return "possible"


def study(task_set: TaskSet, limit_s: float, seed: int) -> Row:
    """Run everything on one task set."""
    paper = measure(task_set, paper_schedules(task_set)[0])
    batch, batch_metrics, batch_cpu_s = run(task_set, limit_s, seed, "batch")
    dominate, dominate_metrics, _ = run(task_set, limit_s, seed, "dominate")
    jitter, jitter_metrics, _ = run(task_set, limit_s, seed, "dominate", "jitter")
    return Row(
        task_set.name,
        paper.demands,
        paper.throughput_ebit_per_s,
        paper.admitted,
        paper.jitter_s2,
        paper.jain,
        batch.value,
        batch.bound,
        batch.gap,
        batch.status,
        batch_metrics.admitted,
        batch_metrics.jain,
        batch.seconds,
        batch_cpu_s,
        dominate.value,
        dominate.bound,
        dominate.status,
        dominate_metrics.admitted,
        dominate.seconds,
        jitter_metrics.jitter_s2,
        jitter.bound,
        jitter.status,
        zero_jitter(task_set, limit_s, seed),
    )


def geometric_mean(values: list[float]) -> float | None:
    """Give the geometric mean; None of nothing."""
    return math.exp(statistics.fmean(map(math.log, values))) if values else None


def online_seconds(task_set: TaskSet) -> float:
    """Time, for each task, its arrival after all others were offered; give the median."""
    found = []
    for last in task_set.tasks:
        online = OnlineScheduler(task_set.hyperperiod_slots)
        for task in task_set.tasks:
            if task is not last:
                online.offer(task)
        found.append(online.offer(last).seconds)
    return statistics.median(found)


def summary(rows: list[Row]) -> dict[str, object]:
    """Put the targets' figures together."""
    jittery = [row for row in rows if row.paper_jitter >= ZERO_S2]
    open_gaps = [row.batch_gap for row in rows if row.batch_status != "optimal"]
    return {
        "sets": len(rows),
        "batch_over_paper": geometric_mean([row.batch / row.paper for row in rows if row.paper > 0]),
        "proven_optimal": sum(row.batch_status == "optimal" for row in rows),
        "worst_gap_of_the_others": max(open_gaps, default=0.0),
        "dominate_below_paper": sum(row.dominate < row.paper - 1e-9 for row in rows),
        "paper_jitter_over_ours": geometric_mean(
            [row.paper_jitter / max(row.jitter, FLOOR_S2) for row in jittery]
        ),
        "zero_jitter_decided": sum(row.zero_jitter != "open" for row in rows),
    }


def table(rows: list[Row]) -> str:
    """Lay the rows out for people."""
    lines = [
        f"{'task set':24} {'demands':>7} {'paper':>15} {'jitter':>8} {'batch':>14} {'bound':>7} {'proven':>8}"
        f" {'dominate':>14} {'jitter':>8} {'none?':>8} {'Jain':>11}"
    ]
    for row in rows:
        lines.append(
            f"{row.name[:24]:24} {row.demands:7} {row.paper:9.3f} ({row.paper_admitted:3}) "
            f"{row.paper_jitter:8.1e} {row.batch:8.3f} ({row.batch_admitted:3}) {row.batch_bound:7.3f} "
            f"{row.batch_status:>8} {row.dominate:8.3f} ({row.dominate_admitted:3}) {row.jitter:8.1e} "
            f"{row.zero_jitter:>8} {row.paper_jain:5.2f} {row.batch_jain:5.2f}"
        )
    return "\n".join(lines)


def draw(rows: list[Row], path: Path) -> None:
    """Draw throughput and bound against the paper's best."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows))
    bars = (("paper's best", "#999999", -0.27), ("dominate", "#56b4e9", 0.0), ("batch", "#0072b2", 0.27))
    for (label, colour, shift), values in zip(
        bars, ([r.paper for r in rows], [r.dominate for r in rows], [r.batch for r in rows]), strict=True
    ):
        axes.bar([p + shift for p in places], values, 0.26, label=label, color=colour)
    axes.plot(
        [p + 0.27 for p in places],
        [r.batch_bound for r in rows],
        "_",
        color="#d55e00",
        markersize=14,
        label="bound of batch",
    )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_xticks(list(places), [row.name for row in rows], rotation=60, ha="right", fontsize=8)
    axes.set_ylabel("throughput in ebit/s")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=None, help="Folder of task sets.")
@click.option("--time-limit", type=click.FloatRange(0, min_open=True), default=20.0, show_default=True)
@click.option("--quick", is_flag=True, help="Two seconds a run.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/entanglement_optimum"))
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def main(data: Path | None, time_limit: float, quick: bool, out: Path, seed: int, as_json: bool) -> None:
    """Compare the optimum with the paper's schedulers."""
    folder = data or default_data()
    files = sorted(folder.glob("*.json"))
    if not files:
        raise click.ClickException(f"{folder}: no task sets (*.json) there; --data names another folder")
    out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    online: dict[str, float] = {}
    for file in files:
        task_set = load_task_set(file)
        rows.append(study(task_set, 2.0 if quick else time_limit, seed))
        online[task_set.name] = online_seconds(task_set)
        if not as_json:
            print(table(rows[-1:]).splitlines()[1] if len(rows) > 1 else table(rows), flush=True)
    with (out / "optimum.csv").open("w", newline="") as sheet:
        writer = csv.writer(sheet)
        writer.writerow([field.name for field in fields(Row)])
        writer.writerows(asdict(row).values() for row in rows)
    draw(rows, out / "optimum.png")
    figures = summary(rows)
    if as_json:
        document = {"schema": 1, "seed": seed, "summary": figures, "online_median_s": online}
        print(json.dumps(document | {"sets": [asdict(row) for row in rows]}, indent=2, allow_nan=False))
        return
    for key, value in figures.items():
        print(f"{key.replace('_', ' ')}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}")
    print(f"one more demand, median: {max(online.values()) * 1e3:.1f} ms at most over the sets")


if __name__ == "__main__":
    main()
