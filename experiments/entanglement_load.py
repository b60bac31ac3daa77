"""The load study of arXiv 2111.13124, section VI: throughput, jitter and satisfied demands.

``python -m experiments.entanglement_load [--quick] [--out DIR] [--seed N] [--jobs N | --cluster ADDRESS]``

For each topology (star, H, line, symmetric, SURFnet), fidelity and offered load, random demands in order of
arrival are compiled to repeater protocols and admitted by the paper's three default schedulers. Writes
``load.csv`` (one row a run), and for each topology a picture against the load and one against the fidelity.
Each point is the mean over the repetitions; the bands are one standard error.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
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
from schedulers.entanglement.workload import fixed_load
from topologies.files import load as load_topology

SCHEDULERS = ("pts-np-edf", "rcpsp-np-fpr", "rcpsp-np-edf")
SMALL = ("star", "h", "line", "symmetric")
SMALL_FIDELITIES = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85)
SURFNET_FIDELITIES = (0.98, 0.985, 0.99, 0.995, 0.997)
LOADS = (0.5, 1, 2, 3, 4, 5, 10, 15, 20, 25, 30, 35, 40, 50, 60, 80, 100)
MIDDLE_LOAD = 20.0
PANELS = (
    ("throughput_ebit_per_s", "throughput, ebit/s"),
    ("jitter_s2", "jitter, s²"),
    ("peak_to_peak_jitter_s", "peak-to-peak start offset, s"),
    ("satisfied", "share of demands satisfied"),
)
COLOURS = {"pts-np-edf": "#d55e00", "rcpsp-np-fpr": "#0072b2", "rcpsp-np-edf": "#009e73"}
# Wide below narrow, solid below dashed: curves that lie on each other stay visible.
STYLES = {"pts-np-edf": (4.0, "-"), "rcpsp-np-fpr": (2.2, "-"), "rcpsp-np-edf": (1.4, "--")}


@dataclass(frozen=True)
class Point:
    """One workload of the study."""

    topology: str
    fidelity: float
    load: float
    repetition: int
    seed: int


def points(quick: bool, repetitions: int, seed: int) -> list[Point]:
    """List the workloads; each has a seed of its own, whatever else is run."""
    found = []
    for topology in (*SMALL, "surfnet"):
        fidelities = SURFNET_FIDELITIES if topology == "surfnet" else SMALL_FIDELITIES
        loads = (1, 5, MIDDLE_LOAD, 60) if quick else LOADS
        middle = fidelities[len(fidelities) // 2] if topology != "surfnet" else fidelities[0]
        chosen = fidelities[::2] if quick else fidelities
        grid = {(middle, load) for load in loads} | {(fidelity, MIDDLE_LOAD) for fidelity in chosen}
        if not quick:
            grid = {(fidelity, load) for fidelity in chosen for load in loads}
        for fidelity, load in sorted(grid):
            for repetition in range(repetitions):
                key = [seed, *topology.encode(), round(1e4 * fidelity), round(10 * load), repetition]
                own = int(np.random.SeedSequence(key).generate_state(1)[0])
                found.append(Point(topology, fidelity, float(load), repetition, own))
    return found


@cache
def compiler_of(topology: str) -> Compiler:
    """Make the compiler of a network, once in a process: what it remembers changes no result."""
    options = CompileOptions(search=SearchOptions(variant="paper"), balance="paper")
    return Compiler(load_topology(topology), options)


def run(point: Point) -> list[dict[str, object]]:
    """Make one workload and let every scheduler admit what it can."""
    try:
        task_set = fixed_load(compiler_of(point.topology), point.fidelity, point.load, point.seed).task_set
    except InfeasibleError:
        return []  # no pair of end nodes reaches the fidelity: the point is left out of the pictures
    rows: list[dict[str, object]] = []
    for name in SCHEDULERS:
        begin = time.process_time()
        schedule = admit(task_set, get_scheduler(name))
        cpu_s = time.process_time() - begin
        found = measure(task_set, schedule)
        rows.append(
            {
                "topology": point.topology,
                "fidelity": point.fidelity,
                "load": point.load,
                "repetition": point.repetition,
                "seed": point.seed,
                "scheduler": name,
                "demands": found.demands,
                "admitted": found.admitted,
                "satisfied": found.admitted / found.demands,
                "offered_ebit_per_s": found.offered_ebit_per_s,
                "throughput_ebit_per_s": found.throughput_ebit_per_s,
                "jitter_s2": found.jitter_s2,
                "peak_to_peak_jitter_s": found.peak_to_peak_jitter_s,
                "worst_response_s": found.response_s,
                "jain": found.jain,
                "cpu_s": round(cpu_s, 6),
            }
        )
    return rows


def curves(
    rows: list[dict[str, object]], along: str, column: str
) -> Iterator[tuple[str, list[float], list[float], list[float]]]:
    """For each scheduler the points of a curve: where, mean, standard error."""
    for name in SCHEDULERS:
        values: dict[float, list[float]] = defaultdict(list)
        for row in rows:
            if row["scheduler"] == name:
                values[float(str(row[along]))].append(float(str(row[column])))
        where = sorted(values)
        errors = [
            np.std(values[x], ddof=1) / len(values[x]) ** 0.5 if len(values[x]) > 1 else 0 for x in where
        ]
        yield name, where, [float(np.mean(values[x])) for x in where], [float(error) for error in errors]


def draw(rows: list[dict[str, object]], along: str, title: str, path: Path) -> None:
    """Draw every measure against load or fidelity."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (column, label) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for name, where, mean, error in curves(rows, along, column):
            width, style = STYLES[name]
            axes.plot(where, mean, style, marker="o", markersize=3, lw=width, color=COLOURS[name], label=name)
            low, high = np.subtract(mean, error), np.add(mean, error)
            axes.fill_between(where, low, high, color=COLOURS[name], alpha=0.2, linewidth=0)
        axes.set(xlabel="offered load, ebit/s" if along == "load" else "minimum fidelity", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(linewidth=0.4, alpha=0.6)
    figure.axes[0].legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def pictures(rows: list[dict[str, object]], out: Path) -> None:
    """Draw two pictures a topology: against load at one fidelity, against fidelity at one load."""
    for topology in dict.fromkeys(str(row["topology"]) for row in rows):
        mine = [row for row in rows if row["topology"] == topology]
        counts: dict[float, set[float]] = defaultdict(set)
        for row in mine:
            counts[float(str(row["fidelity"]))].add(float(str(row["load"])))
        middle = max(counts, key=lambda fidelity: (len(counts[fidelity]), -fidelity))
        by_load = [row for row in mine if row["fidelity"] == middle]
        draw(by_load, "load", f"{topology}, fidelity at least {middle:g}", out / f"{topology}-load.png")
        by_fidelity = [row for row in mine if row["load"] == MIDDLE_LOAD]
        title = f"{topology}, offered load {MIDDLE_LOAD:g} ebit/s"
        draw(by_fidelity, "fidelity", title, out / f"{topology}-fidelity.png")


@click.command()
@click.option("--quick", is_flag=True, help="Few loads, fidelities and repetitions.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/entanglement_load"))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0))
@click.option("--repetitions", default=None, type=click.IntRange(min=1), help="Workloads a point.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Processes.")
@click.option("--cluster", metavar="ADDRESS", help="Run on this Dask cluster.")
def main(quick: bool, out: Path, seed: int, repetitions: int | None, jobs: int, cluster: str | None) -> None:
    """Regenerate the paper's load study."""
    grid = points(quick, repetitions or (3 if quick else 10), seed)
    # By its module's name and not that of __main__, so that other processes can keep their compilers.
    from experiments.entanglement_load import run as worker

    with workers(jobs, cluster) as chosen:
        rows = sweep(worker, grid, chosen, out / "load.csv")
    pictures(rows, out)
    print(f"{len(rows)} runs of {len(grid)} workloads in {out}")


if __name__ == "__main__":
    run_command(main)
