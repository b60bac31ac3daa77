"""The campus under growing load: what the plan serves, beside each pillar alone and best effort.

``python -m experiments.plan_campus_load [--quick] [--out DIR] [--seed N] [--jobs N | --cluster ADDRESS]``

Demands of an office's profiles between hosts, stations and the internet are offered, more and more of them.
Each variant is played: packets through its queues, radios that fade, one greedy TCP flow beside them on each
link. A demand is *served* if everything that it asked for was delivered in a run. Variants: the plan; fair
queues alone (everybody sent, default radios); cross-layer design alone (everybody sent, one FIFO a link);
best effort. Writes ``campus_load.csv`` and ``campus_load.png``.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from experiments.entry import options
from experiments.entry import run as run_command
from experiments.plan_unplanned import everybody
from qos.engine import plan as make_plan
from qos.plan_simulation.packets import packet_run, play_packets
from qos.planning import PlanOptions, Scenario
from qos.random_flows import random_flows
from qos.scenarios import load
from qos.simulation.simulation import prepare
from qos.workers import each, workers
from schedulers.packet.registry import queue

LOADS = (10, 20, 40, 60, 90, 120)
QUICK_LOADS = (10, 40, 90)
VARIANTS = ("plan", "fair queues alone", "cross-layer alone", "best effort")
ENDS = {
    "internet": 4.0,
    "server": 3.0,
    "desk": 1.0,
    "laptop": 2.0,
    "tablet": 2.0,
    "phone": 2.0,
    "scooter": 0.5,
}
"""Who sends and receives how much, relative [ours]."""
DURATION_S = 4.0
COLOURS = dict(zip(VARIANTS, ("#0072b2", "#009e73", "#e69f00", "#999999"), strict=True))


@dataclass(frozen=True)
class Point:
    """One run."""

    variant: str
    offered: int
    repetition: int
    seed: int


@dataclass(frozen=True)
class Row:
    """What came of it: demands offered, admitted, served whole, and the bits that came as asked."""

    variant: str
    offered: int
    repetition: int
    admitted: int
    served: int
    kept_share: float
    served_bps: float


def scenario_of(point: Point) -> Scenario:
    """Give the campus with so many demands."""
    campus = load("campus")
    flows = random_flows(campus.topology, point.offered, seed=point.seed, masses=ENDS)
    return Scenario(campus.topology, flows, (), point.seed, "campus")


def measure(point: Point) -> Row:
    """Plan or not, play, and count."""
    scenario = scenario_of(point)
    if point.variant == "plan":
        found = make_plan(scenario, PlanOptions(explain=False))
    else:
        found = everybody(scenario, crosslayer=point.variant == "cross-layer alone")
    if not found.flows:
        return Row(point.variant, point.offered, point.repetition, 0, 0, 1.0, 0.0)
    run = packet_run(found, DURATION_S, 1, point.seed)
    if point.variant in ("cross-layer alone", "best effort"):
        common = dict.fromkeys(run.scenario.queues, queue("fifo"))
        run = replace(run, scenario=replace(run.scenario, queues=common))
    delivered = play_packets(found, run)
    good = [one for one in delivered if not one.broken]
    return Row(
        point.variant,
        point.offered,
        point.repetition,
        len(delivered),
        len(good),
        len(good) / len(delivered),
        sum(one.rate for one in good),
    )


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw served demands and the share of promises kept against the demands offered."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    served, kept = figure.subplots(1, 2)
    loads = sorted({row.offered for row in rows})
    served.plot(loads, loads, ":", color="black", lw=1, label="offered")
    for variant in VARIANTS:
        mine = [[row for row in rows if (row.variant, row.offered) == (variant, count)] for count in loads]
        means = [float(np.mean([row.served for row in group])) for group in mine]
        served.plot(loads, means, marker="o", color=COLOURS[variant], label=variant)
        shares = [float(np.mean([row.kept_share for row in group])) for group in mine]
        kept.plot(loads, shares, marker="o", color=COLOURS[variant], label=variant)
    served.set(xlabel="demands offered", ylabel="demands that got all they asked for", ylim=(0, None))
    kept.set(xlabel="demands offered", ylabel="share of those carried that did", ylim=(0, 1.03))
    for axes in (served, kept):
        axes.grid(alpha=0.3)
    served.legend(frameon=False)
    figure.suptitle("Campus under growing load")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run the experiment."""
    parser = options(__doc__, "plan_campus_load", "three loads, two repetitions")
    parser.add_argument("--repetitions", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cluster", metavar="ADDRESS", help="run on this Dask cluster")
    arguments = parser.parse_args()
    repetitions = 2 if arguments.quick else arguments.repetitions
    seeds = np.random.SeedSequence(arguments.seed).generate_state(repetitions, np.uint32)
    points = [
        Point(variant, offered, number, int(seed))
        for variant in VARIANTS
        for offered in (QUICK_LOADS if arguments.quick else LOADS)
        for number, seed in enumerate(seeds)
    ]
    prepare()
    # By its module's name and not that of __main__, so that other processes find it.
    from experiments.plan_campus_load import measure as worker

    with workers(arguments.jobs, arguments.cluster) as jobs:
        rows = list(each(worker, points, jobs, "campus"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "campus_load.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    draw(rows, arguments.out / "campus_load.png")
    print(f"{'variant':20}{'offered':>9}{'carried':>9}{'served':>9}{'kept':>9}")
    for variant in VARIANTS:
        for offered in sorted({row.offered for row in rows}):
            group = [row for row in rows if (row.variant, row.offered) == (variant, offered)]
            means = [
                np.mean([getattr(row, name) for row in group])
                for name in ("admitted", "served", "kept_share")
            ]
            print(f"{variant:20}{offered:9d}{means[0]:9.1f}{means[1]:9.1f}{means[2]:9.3f}")


if __name__ == "__main__":
    run_command(main)
