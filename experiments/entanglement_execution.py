"""What schedules deliver on links that succeed by chance, with slots for the mean time and for a probability.

``python -m experiments.entanglement_execution [--quick] [--out DIR] [--seed N]``

Random demands on each topology are compiled as in the paper (every link gets its mean time) and for
probabilities from 0.5 to 0.99 that a period's pair is delivered, admitted by ``rcpsp-np-edf`` and replayed.
Writes ``execution.csv`` (one row a task) and a picture: the share of periods that deliver, against what was
asked for, and what that costs in admitted demands.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from qos.demands import EntanglementDemand
from qos.errors import InfeasibleError
from schedulers.entanglement.admission import admit
from schedulers.entanglement.bell_diagonal import Memory
from schedulers.entanglement.compile import CompileOptions, Compiler
from schedulers.entanglement.delivery import Physics
from schedulers.entanglement.execution import execute
from schedulers.entanglement.link_conditions import conditions_of
from schedulers.entanglement.scheduler import get_scheduler
from schedulers.entanglement.workload import fixed_load
from topologies.files import load as load_topology

TOPOLOGIES = ("star", "h", "line", "symmetric")
MIN_FIDELITY = 0.55
LOAD_EBIT_PER_S = 2.0
PHYSICS = Physics(attempt_s=0.002, swap_success=0.98, memory=Memory(t1_s=10.0, t2_s=5.0))
PROBABILITIES = (None, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
MEAN_TIME = "mean time"
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7")


def demands_of(topology: str, seed: int) -> list[EntanglementDemand]:
    """Draw demands as the load study does."""
    return list(fixed_load(Compiler(load_topology(topology)), MIN_FIDELITY, LOAD_EBIT_PER_S, seed).demands)


def replayed(
    topology: str, demands: Sequence[EntanglementDemand], probability: float | None, rounds: int, seed: int
) -> list[dict[str, object]]:
    """Compile, admit and replay demands; one row for each demand, served or not."""
    options = CompileOptions(physics=PHYSICS, rounding="power-of-two")
    asked = [replace(demand, probability=probability) for demand in demands]
    try:
        compiled = Compiler(load_topology(topology), options).compile(asked, keep_going=True)
    except InfeasibleError:
        return []
    schedule = admit(compiled.task_set, get_scheduler("rcpsp-np-edf"))
    conditions = conditions_of(compiled.demands, PHYSICS)
    found = {
        task.task_id: task for task in execute(compiled.task_set, schedule, conditions, rounds, seed).tasks
    }
    rows: list[dict[str, object]] = []
    for number, demand in enumerate(asked):
        task = found.get(number)
        rows.append(
            {
                "topology": topology,
                "asked": MEAN_TIME if probability is None else probability,
                "demand": number,
                "source": demand.source,
                "destination": demand.destination,
                "served": int(task is not None),
                "promised_ebit_per_s": task.promised_ebit_per_s if task else 0.0,
                "delivered_ebit_per_s": task.delivered_ebit_per_s.mean if task else 0.0,
                "completion": task.completion.mean if task else "",
                "completion_low": task.completion.low if task else "",
                "completion_high": task.completion.high if task else "",
                "min_fidelity": demand.min_fidelity,
                "fidelity": task.fidelity.mean if task and task.fidelity else "",
            }
        )
    return rows


def draw(rows: list[dict[str, object]], path: Path) -> None:
    """Draw completion, delivered rate and share of demands served against the probability asked for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    completion, rate, served = figure.subplots(1, 3)
    labels = [MEAN_TIME if p is None else f"{p:g}" for p in PROBABILITIES]
    completion.plot(range(1, len(labels)), PROBABILITIES[1:], "k:", label="asked for")
    for topology, colour in zip(TOPOLOGIES, COLOURS, strict=True):
        groups: dict[str, list[dict[str, object]]] = defaultdict(list)
        for row in rows:
            if row["topology"] == topology:
                groups[str(row["asked"])].append(row)
        where = [place for place, label in enumerate(labels) if groups[label]]
        mine = [groups[labels[place]] for place in where]
        kept = [[float(str(r["completion"])) for r in group if r["served"]] for group in mine]
        lows = [min(values, default=np.nan) for values in kept]
        means = [np.mean(values) if values else np.nan for values in kept]
        completion.plot(where, means, marker="o", color=colour, label=topology)
        completion.plot(where, lows, marker="v", ls="none", ms=4, color=colour)
        totals = [sum(float(str(r["delivered_ebit_per_s"])) for r in group) for group in mine]
        rate.plot(where, totals, marker="o", color=colour)
        served.plot(
            where, [np.mean([r["served"] for r in group]) for group in mine], marker="o", color=colour
        )
    titles = {
        completion: "share of periods that deliver (mean; triangles: worst task)",
        rate: "delivered, ebit/s",
        served: "share of demands served",
    }
    for axes, title in titles.items():
        axes.set(title=title, xlabel="probability asked for")
        axes.set_xticks(range(len(labels)), labels)
        axes.set_ylim(bottom=0)
        axes.grid(linewidth=0.4, alpha=0.6)
    completion.legend(fontsize=8)
    figure.savefig(path, dpi=110)


@click.command()
@click.option("--quick", is_flag=True, help="Fewer rounds.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/entanglement_execution"))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0))
def main(quick: bool, out: Path, seed: int) -> None:
    """Replay schedules sized for the mean time and for a probability."""
    rows = []
    for topology in TOPOLOGIES:
        demands = demands_of(topology, seed)
        for probability in PROBABILITIES:
            rows += replayed(topology, demands, probability, 100 if quick else 1000, seed)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "execution.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, out / "execution.png")
    print(f"{len(rows)} demands replayed; {out}")


if __name__ == "__main__":
    main()
