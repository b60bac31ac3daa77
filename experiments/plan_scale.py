"""How long planning takes, from 10 nodes and 40 demands to 500 nodes and 2,000 demands.

``python -m experiments.plan_scale [--quick] [--out DIR] [--seed N]``

Networks and demands of `experiments.plan_networks`, once with room for nearly
all demands and once so tight that a part is rejected and the search has to choose. Times are of `qos.plan`
with its defaults, changes of every rejection included, in wall-clock and CPU seconds of one process.
Writes ``scale.csv`` and ``scale.png``. To reach: 50 nodes and 200 demands in 5 s, 500 and 2,000 in 120 s.
"""

from __future__ import annotations

import csv
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from experiments.plan_networks import demands, network
from qos.engine import plan
from qos.plan_check import violations
from qos.planning import Scenario

SIZES = ((10, 40), (20, 80), (50, 200), (100, 400), (200, 800), (350, 1400), (500, 2000))
TARGETS_S = {(50, 200): 5.0, (500, 2000): 120.0}
ROOM = {
    "roomy": (1_000_000_000, 2_500_000_000, 10_000_000_000),
    "tight": (20_000_000, 50_000_000, 200_000_000),
}


@dataclass(frozen=True)
class Row:
    """One plan."""

    room: str
    nodes: int
    links: int
    demands: int
    admitted: int
    value: float
    bound: float
    method: str
    seconds: float
    cpu_s: float
    peak_mib: float


def measure(room: str, nodes: int, count: int, seed: int) -> Row:
    """Plan once and have the plan judged."""
    topology = network(nodes, seed, ROOM[room])
    asked = Scenario(topology, demands(nodes, count, seed), seed=seed)
    begun, cpu = time.perf_counter(), time.process_time()
    found = plan(asked)
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    wrong = violations(found)
    if wrong:
        raise SystemExit(f"{room}, {nodes} nodes: the plan is not sound: {wrong[:3]}")
    size = (nodes, len(topology.links), count, len(found.flows))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Row(room, *size, found.search.value, found.search.bound, found.search.method, seconds, cpu_s, peak)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the time against the number of demands."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for room, style in zip(ROOM, ("o-", "s--"), strict=True):
        here = [row for row in rows if row.room == room]
        axes.loglog([row.demands for row in here], [row.seconds for row in here], style, label=room)
    for (nodes, count), limit_s in TARGETS_S.items():
        axes.plot(count, limit_s, "k_", ms=18)
        axes.annotate(f"target {nodes}/{count}", (count, limit_s), ha="center", va="bottom", fontsize=8)
    axes.set_xlabel("demands (four a node)")
    axes.set_ylabel("time of the plan, s")
    axes.grid(True, which="both", lw=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=140)


@click.command()
@click.option("--quick", is_flag=True, help="Up to 100 nodes.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/plan_scale"))
@click.option("--seed", type=int, default=1, show_default=True)
def main(quick: bool, out: Path, seed: int) -> None:
    """Measure the time of planning against the size of the network."""
    out.mkdir(parents=True, exist_ok=True)
    measure("tight", 10, 40, seed)  # loads and compiles, which is not counted
    rows = []
    heads = f"{'room':6} {'nodes':>5} {'links':>5} {'demands':>7} {'admitted':>8}"
    print(f"{heads} {'gap':>6} {'s':>7} {'CPU s':>7}")
    for nodes, count in SIZES[:4] if quick else SIZES:
        for room in ROOM:
            row = measure(room, nodes, count, seed)
            rows.append(row)
            gap = 1 - row.value / row.bound if row.bound else 0.0
            shown = f"{row.room:6} {row.nodes:5} {row.links:5} {row.demands:7} {row.admitted:8} {gap:6.1%}"
            print(f"{shown} {row.seconds:7.2f} {row.cpu_s:7.2f}", flush=True)
    with (out / "scale.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    draw(rows, out / "scale.png")


if __name__ == "__main__":
    main()
