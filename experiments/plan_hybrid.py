"""The hybrid network: entangled pairs that are lost when their control messages share a congested link.

``python -m experiments.plan_hybrid [--quick] [--out DIR] [--seed N] [--jobs N | --cluster ADDRESS]``

The campus, with a slow link (100 Mbit/s) between its core and its laboratories, which the control messages of
the key between Alice and Bob must cross. More and more greedy TCP flows cross it as well. The slot tables and
heralding messages must be there within the guard time of 2 ms; a run whose messages are late or lost gives
no pair. With the plan: fair queues at planned rates. Without: the same schedule over one FIFO a link. (At
20 Mbit/s the plan refuses the key: three full packets already take longer than the guard time leaves.) Writes
``hybrid.csv`` and ``hybrid.png``.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from experiments.entry import options
from experiments.entry import run as run_command
from qos.engine import plan as make_plan
from qos.plan_simulation.packets import packet_run, play_packets
from qos.plan_simulation.pairs import PairReplay
from qos.planning import Plan, PlanOptions
from qos.scenarios import load
from qos.simulation.scenario import Flow
from qos.simulation.simulation import prepare
from qos.workers import each, workers
from schedulers.packet.registry import queue
from topologies.links import WiredLink
from topologies.model import Topology

SLOW = "core--labs"
SLOW_BPS = 100_000_000
FLOWS = (0, 1, 2, 4, 8, 16)
QUICK_FLOWS = (0, 1, 4)
DURATION_S = 20.0
VARIANTS = ("with the plan", "without")


@dataclass(frozen=True)
class Point:
    """One run."""

    variant: str
    greedy: int
    repetition: int
    seed: int


@dataclass(frozen=True)
class Row:
    """What came of it: pairs delivered and promised a second, share of late or lost control messages."""

    variant: str
    greedy: int
    repetition: int
    promised_ebit_per_s: float
    delivered_ebit_per_s: float
    missed_control: float


@cache
def plan_of_the_hybrid() -> Plan:
    """Plan the campus with the slow link: keys and their control messages only."""
    campus = load("campus")
    topology = campus.topology
    links = [
        replace(link, rate_bps=SLOW_BPS) if isinstance(link, WiredLink) and link.id == SLOW else link
        for link in topology.links.values()
    ]
    slow = Topology(topology.nodes.values(), links, name="hybrid", quantum=topology.quantum)
    return make_plan(replace(campus, topology=slow, flows=(), source=""), PlanOptions(explain=False))


def measure(point: Point) -> Row:
    """Play the schedule beside greedy flows over the slow link, both ways."""
    plan = plan_of_the_hybrid()
    run = packet_run(plan, DURATION_S, 0, point.seed)
    crowd = [
        Flow("cubic", *ends, via=(SLOW,), start_s=0.1 * number, stop_s=DURATION_S)
        for number in range(point.greedy)
        for ends in (("core", "labs"), ("labs", "core"))
    ]
    queues = dict(run.scenario.queues)
    if point.variant == "without":
        queues = dict.fromkeys(queues, queue("fifo"))
    scenario = replace(run.scenario, flows=(*run.scenario.flows, *crowd), queues=queues)
    missed = {
        one.name: min(one.late + one.loss, 1.0) for one in play_packets(plan, replace(run, scenario=scenario))
    }
    pairs = PairReplay(plan).run(DURATION_S, point.seed, missed)
    asked = {one.name: one.demand for one in plan.scenario.entanglement}
    promised = sum(
        one.rate_ebit_per_s * (asked[name].probability or 1.0) for name, one in plan.entanglement.items()
    )
    return Row(
        point.variant,
        point.greedy,
        point.repetition,
        promised,
        sum(one.rate for one in pairs),
        max(missed.values()),
    )


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw delivered pairs against greedy flows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    crowds = sorted({row.greedy for row in rows})
    for variant, colour in zip(VARIANTS, ("#0072b2", "#999999"), strict=True):
        groups = [
            [r.delivered_ebit_per_s for r in rows if (r.variant, r.greedy) == (variant, n)] for n in crowds
        ]
        means = [float(np.mean(group)) for group in groups]
        errors = [float(np.std(group)) / len(group) ** 0.5 for group in groups]
        axes.errorbar(range(len(crowds)), means, errors, marker="o", color=colour, capsize=3, label=variant)
    axes.axhline(rows[0].promised_ebit_per_s, ls=":", color="black", lw=1, label="promised")
    axes.set_xticks(range(len(crowds)), [str(count) for count in crowds])
    axes.set(
        xlabel="greedy TCP flows each way over the slow link",
        ylabel="pairs delivered a second",
        ylim=(0, None),
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    axes.set_title("Entanglement whose control shares a congested link")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run the experiment."""
    parser = options(__doc__, "plan_hybrid", "fewer crowds, two repetitions")
    parser.add_argument("--repetitions", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cluster", metavar="ADDRESS", help="run on this Dask cluster")
    arguments = parser.parse_args()
    repetitions = 2 if arguments.quick else arguments.repetitions
    seeds = np.random.SeedSequence(arguments.seed).generate_state(repetitions, np.uint32)
    points = [
        Point(variant, greedy, number, int(seed))
        for variant in VARIANTS
        for greedy in (QUICK_FLOWS if arguments.quick else FLOWS)
        for number, seed in enumerate(seeds)
    ]
    prepare()
    from experiments.plan_hybrid import measure as worker

    with workers(arguments.jobs, arguments.cluster) as jobs:
        rows = list(each(worker, points, jobs, "hybrid"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "hybrid.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    draw(rows, arguments.out / "hybrid.png")
    print(f"promised {rows[0].promised_ebit_per_s:.3f} ebit/s")
    print(f"{'variant':16}{'greedy flows':>14}{'delivered ebit/s':>18}{'control missed':>16}")
    for variant in VARIANTS:
        for greedy in sorted({row.greedy for row in rows}):
            group = [row for row in rows if (row.variant, row.greedy) == (variant, greedy)]
            rate = np.mean([row.delivered_ebit_per_s for row in group])
            missed = np.mean([row.missed_control for row in group])
            print(f"{variant:16}{greedy:14d}{rate:18.3f}{missed:16.3f}")


if __name__ == "__main__":
    run_command(main)
