"""How many demands a plan admits beside first come, first served on shortest paths, at equal guarantees.

``python -m experiments.plan_admission [--quick] [--topology FILE]... [--out DIR] [--seed N]``

Ten networks of 20 to 60 nodes (`experiments.plan_networks`; 50, 100 and 200 Mbit/s), or those of files that
are given, such as Topology Zoo's GraphML and GML. For each the number of
demands is raised until 1.5 times as many are offered as the plan admits. All methods use the same routes,
budgets, rates, bounds on waits and test of what fits; they differ in who comes first and on which path:

``shortest``  in order of arrival, each on its path of least delay, or not at all
``hops``      the same on the path of fewest links
``cspf``      in order of arrival, on the fastest path that still fits (constrained shortest path first)
``plan``      all together, each demand counting the same

The mix of classes has demands of 1 to 10 Mbit/s, so that whoever may choose admits more of the small ones; a
second run with demands of one size shows what paths alone give. Writes ``admission.csv`` and
``admission.png``, prints the geometric means.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from experiments.entry import run as run_command
from experiments.plan_networks import CLASSES, ONE_SIZE, demands, from_file, network
from qos.demands import FlowDemand
from qos.engine.admission import admit
from qos.engine.candidates import Candidates, Wish
from qos.engine.network import Network, network_of
from qos.engine.residual import Residual
from qos.engine.routes import least_bps
from qos.planning import PlanOptions
from schedulers.admission.greedy import first_come
from schedulers.admission.problem import Problem
from schedulers.admission.state import Loads
from topologies.model import Topology

RATES_BPS = (50_000_000, 100_000_000, 200_000_000)
OFFERED = 1.5
ROUNDS = 8
SEARCH_S = 8.0
METHODS = ("shortest", "hops", "cspf", "plan")
MIXES = {"mix": CLASSES, "one size": ONE_SIZE}


@dataclass(frozen=True)
class Row:
    """One method on one network."""

    mix: str
    seed: int
    nodes: int
    links: int
    offered: int
    method: str
    admitted: int
    least_rate_bps: float
    bound: float
    seconds: float


def on_one_path(net: Network, wanted: Sequence[FlowDemand], *, hops: bool) -> list[int]:
    """Admit in order of arrival, each on its shortest path; give the numbers of the admitted."""
    candidates = Candidates(net, [Wish(demand, 1.0) for demand in wanted])
    if hops:
        weights = 1.0 + 1e-6 * net.delay_s(1500)
        trees = candidates.finder.trees(weights, (demand.source for demand in wanted))
        for number, demand in enumerate(wanted):
            candidates.offer(number, candidates.finder.path(trees, demand.source, demand.destination))
    else:
        candidates.begin()
    found = first_come(candidates.problem())
    return [number for number, pick in enumerate(found.chosen) if pick is not None]


def on_fitting_paths(net: Network, wanted: Sequence[FlowDemand]) -> list[int]:
    """Admit in order of arrival, each on the fastest path that still fits."""
    candidates = Candidates(net, [Wish(demand, 1.0) for demand in wanted])
    loads = Loads(Problem(0, (), net.capacity, net.base_wait_s))
    residual = Residual(candidates, loads)
    taken = []
    for number, demand in enumerate(wanted):
        route = residual.find(demand)
        if route is not None:
            loads.add(route.option(number, 1.0))
            taken.append(number)
    return taken


def planned(net: Network, wanted: Sequence[FlowDemand], seed: int) -> tuple[list[int], float]:
    """Admit all together; give the numbers of the admitted and the bound on their number."""
    found = admit(net, [Wish(demand, 1.0) for demand in wanted], seed)
    return sorted(found.routes), found.selection.bound


def overload(net: Network, pool: Sequence[FlowDemand], seed: int) -> int:
    """Give the number of demands of which the plan admits two thirds, to 2 %."""
    count = 60 * len(net.topology.nodes)
    for _ in range(ROUNDS):
        kept, _ = planned(net, pool[:count], seed)
        wanted = min(round(OFFERED * len(kept)), len(pool))
        if abs(wanted - count) <= count // 50:
            break
        count = wanted
    return count


def study(topology: Topology, mix: str, seed: int, pool: int) -> list[Row]:
    """Run every method on one network."""
    search = network_of(topology, PlanOptions(weight="count", time_limit_s=0.2, explain=False))
    net = network_of(topology, PlanOptions(weight="count", time_limit_s=SEARCH_S, explain=False))
    wanted = demands(len(topology.nodes), pool, seed, MIXES[mix])
    wanted = wanted[: overload(search, wanted, seed)]
    rows = []
    for method in METHODS:
        begun, bound = time.perf_counter(), math.nan
        if method == "plan":
            taken, bound = planned(net, wanted, seed)
        elif method == "cspf":
            taken = on_fitting_paths(net, wanted)
        else:
            taken = on_one_path(net, wanted, hops=method == "hops")
        rate_bps = sum(least_bps(wanted[number]) for number in taken)
        seconds = time.perf_counter() - begun
        size = (len(topology.nodes), len(topology.links), len(wanted))
        rows.append(Row(mix, seed, *size, method, len(taken), rate_bps, bound, seconds))
    return rows


def ratios(rows: Sequence[Row], mix: str, other: str) -> list[float]:
    """Give the admitted demands of the plan over those of another method, network by network."""
    of = {(row.seed, row.method): row.admitted for row in rows if row.mix == mix}
    return [of[seed, "plan"] / of[seed, other] for seed, method in of if method == other]


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the admitted share of each method on each network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(MIXES), sharey=True))
    for axes, mix in zip(panels, MIXES, strict=True):
        here = [row for row in rows if row.mix == mix]
        seeds = sorted({row.seed for row in here})
        for place, method in enumerate(METHODS):
            share = [row.admitted / row.offered for row in here if row.method == method]
            axes.bar(np.arange(len(seeds)) + 0.2 * (place - 1.5), share, 0.2, label=method)
        names = [next(f"{row.nodes}" for row in here if row.seed == seed) for seed in seeds]
        axes.set_xticks(range(len(seeds)), names)
        axes.set_xlabel("nodes of the network")
        axes.set_title(mix)
        axes.axhline(1 / OFFERED, color="#4d4d4d", lw=0.8, ls=":")
    panels[0].set_ylabel("share of the offered demands that is admitted")
    panels[0].legend(frameon=False, ncols=2)
    figure.savefig(path, dpi=140)


@click.command()
@click.option("--quick", is_flag=True, help="Three networks.")
@click.option("--topology", "files", multiple=True, metavar="FILE", help="Networks of files instead.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/plan_admission"))
@click.option("--seed", type=int, default=1, show_default=True)
def main(quick: bool, files: tuple[str, ...], out: Path, seed: int) -> None:
    """Compare joint admission with first come, first served."""
    if files:
        networks = [from_file(path, seed + number, RATES_BPS) for number, path in enumerate(files)]
    else:
        sizes = np.linspace(20, 60, 3 if quick else 10).round().astype(int)
        networks = [network(int(size), seed + number, RATES_BPS) for number, size in enumerate(sizes)]
    rows: list[Row] = []
    out.mkdir(parents=True, exist_ok=True)
    for number, topology in enumerate(networks):
        nodes = len(topology.nodes)
        for mix in MIXES:
            rows += study(topology, mix, seed + number, 200 * nodes)
            shown = ", ".join(f"{row.method} {row.admitted}" for row in rows[-len(METHODS) :])
            print(f"{nodes} nodes, {mix}: {rows[-1].offered} offered, {shown}", flush=True)
    with (out / "admission.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    draw(rows, out / "admission.png")
    for mix in MIXES:
        for other in METHODS[:-1]:
            found = ratios(rows, mix, other)
            mean = math.exp(sum(map(math.log, found)) / len(found))
            print(f"{mix}: plan / {other}: geometric mean {mean:.3f}, {min(found):.3f} to {max(found):.3f}")
        gaps = [1 - row.admitted / row.bound for row in rows if row.mix == mix and row.method == "plan"]
        print(f"{mix}: the plan is within {max(gaps):.1%} of the bound over all paths")


if __name__ == "__main__":
    run_command(main)
