"""The preemption study of arXiv 2111.13124: what interrupting protocols brings, by budget.

``python -m experiments.entanglement_preemption [--quick] [--out DIR] [--seed N] [--jobs N]
[--cluster ADDRESS]``

On the line topology, for fidelities from 0.55 to 0.9, random demands are added until every end node is
asked for 1.2 times what its communication qubit has (balanced workload), and admitted in order of arrival by
the preemptive schedulers with budgets of 0.01, 0.1 and 1 s, beside the ones that never interrupt. Writes
``preemption.csv`` (one row a run) and a picture against the fidelity. Each point is the mean over the
repetitions; the bands, for those that never interrupt, are one standard error.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import numpy as np

from experiments.entanglement_sweep import sweep
from experiments.entry import run as run_command
from qos.errors import InfeasibleError
from qos.workers import workers
from schedulers.entanglement.admission import admit
from schedulers.entanglement.compile import CompileOptions, Compiler
from schedulers.entanglement.metrics import measure
from schedulers.entanglement.protocol import SearchOptions
from schedulers.entanglement.scheduler import get_scheduler
from schedulers.entanglement.workload import balanced_load
from topologies.files import load as load_topology

TOPOLOGY = "line"
FIDELITIES = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
BUDGETS_S = (0.01, 0.1, 1.0)
PLAIN = ("pts-np-edf", "rcpsp-np-fpr", "rcpsp-np-edf")
PREEMPTIVE = ("pts-pb", "rcpsp-pbs", "rcpsp-pb")
COLOURS = {
    "pts-np-edf": "#d55e00", "pts-pb": "#d55e00", "rcpsp-np-fpr": "#0072b2", "rcpsp-pbs": "#0072b2",
    "rcpsp-np-edf": "#009e73", "rcpsp-pb": "#009e73",
}  # fmt: skip
STYLES = {None: "-", 0.01: ":", 0.1: "-.", 1.0: "--"}
PANELS = (
    ("throughput_ebit_per_s", "throughput, ebit/s"),
    ("jitter_s2", "jitter, s²"),
    ("satisfied", "share of demands satisfied"),
)


@dataclass(frozen=True)
class Point:
    """One workload of the study."""

    fidelity: float
    repetition: int
    seed: int


@cache
def compiler() -> Compiler:
    """Make the compiler of the network, once in a process."""
    options = CompileOptions(search=SearchOptions(variant="paper"), balance="paper")
    return Compiler(load_topology(TOPOLOGY), options)


def run(point: Point) -> list[dict[str, object]]:
    """Make one workload and let every scheduler admit what it can, with every budget."""
    try:
        task_set = balanced_load(compiler(), point.fidelity, point.seed).task_set
    except InfeasibleError:
        return []  # no pair of end nodes reaches the fidelity
    rows: list[dict[str, object]] = []
    slot_s = task_set.slot_s
    wanted: list[tuple[str, float | None]] = [(name, None) for name in PLAIN]
    wanted += [(name, budget) for name in PREEMPTIVE for budget in BUDGETS_S]
    for name, budget_s in wanted:
        begin = time.process_time()
        budget = None if budget_s is None else round(budget_s / slot_s)
        schedule = admit(task_set, get_scheduler(name, budget))
        cpu_s = time.process_time() - begin
        found = measure(task_set, schedule)
        rows.append(
            {
                "fidelity": point.fidelity,
                "repetition": point.repetition,
                "seed": point.seed,
                "scheduler": name,
                "budget_s": "" if budget_s is None else budget_s,
                "demands": found.demands,
                "admitted": found.admitted,
                "satisfied": found.admitted / found.demands,
                "throughput_ebit_per_s": found.throughput_ebit_per_s,
                "jitter_s2": found.jitter_s2,
                "worst_response_s": found.response_s,
                "interrupted": sum(len(parts) > 1 for one in schedule.segments.values() for parts in one),
                "cpu_s": round(cpu_s, 6),
            }
        )
    return rows


def draw(rows: list[dict[str, object]], path: Path) -> None:
    """Draw every measure against the fidelity: a colour a rule, a line style a budget."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    curves = list(dict.fromkeys((str(row["scheduler"]), row["budget_s"]) for row in rows))
    where = sorted({float(str(row["fidelity"])) for row in rows})
    for axes, (column, label) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for name, budget_s in curves:
            mine = [row for row in rows if row["scheduler"] == name and row["budget_s"] == budget_s]
            groups = [[float(str(r[column])) for r in mine if r["fidelity"] == x] for x in where]
            mean = np.array([np.mean(values) for values in groups])
            error = np.array([np.std(v, ddof=1) / len(v) ** 0.5 if len(v) > 1 else 0.0 for v in groups])
            budget = float(str(budget_s)) if budget_s != "" else None
            text = name if budget is None else f"{name}, {budget:g} s"
            axes.plot(where, mean, STYLES[budget], color=COLOURS[name], label=text)
            if budget is None:
                low, high = mean - error, mean + error
                axes.fill_between(where, low, high, color=COLOURS[name], alpha=0.15, linewidth=0)
        axes.set(xlabel="minimum fidelity", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(linewidth=0.4, alpha=0.6)
    figure.axes[-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.suptitle("line, every end node asked for 1.2 times what it has")
    figure.savefig(path, dpi=110)


@click.command()
@click.option("--quick", is_flag=True, help="Fewer fidelities and repetitions.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/entanglement_preemption"))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0))
@click.option("--repetitions", default=None, type=click.IntRange(min=1), help="Workloads a fidelity.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Processes.")
@click.option("--cluster", metavar="ADDRESS", help="Run on this Dask cluster.")
def main(quick: bool, out: Path, seed: int, repetitions: int | None, jobs: int, cluster: str | None) -> None:
    """Regenerate the paper's preemption study."""
    fidelities = FIDELITIES[::3] if quick else FIDELITIES
    grid = [
        Point(fidelity, k, int(np.random.SeedSequence([seed, round(1e4 * fidelity), k]).generate_state(1)[0]))
        for fidelity in fidelities
        for k in range(repetitions or (2 if quick else 10))
    ]
    # By its module's name and not that of __main__, so that other processes can keep their compilers.
    from experiments.entanglement_preemption import run as worker

    with workers(jobs, cluster) as chosen:
        rows = sweep(worker, grid, chosen, out / "preemption.csv")
    draw(rows, out / "preemption.png")
    print(f"{len(rows)} runs of {len(grid)} workloads in {out}")


if __name__ == "__main__":
    run_command(main)
