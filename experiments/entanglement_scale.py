"""How the optimiser's time and gap grow with demands and nodes.

``python -m experiments.entanglement_scale [--quick] [--out DIR] [--seed N] [--topology FILE]``

Random demands on random geometric networks (each repeater with an end node of its own) and, with
``--topology``, on any topology of quantum links; every schedule is judged by the verifier.
"""

from __future__ import annotations

import csv
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import click
import networkx as nx

from schedulers.entanglement.compile import Compiler
from schedulers.entanglement.cpsat.optimise import optimise, paper_schedules
from schedulers.entanglement.cpsat.outcome import Options
from schedulers.entanglement.metrics import measure
from schedulers.entanglement.random_demands import random_demands
from schedulers.entanglement.verify import verify
from topologies.files import load
from topologies.links import LinkCapability, QuantumLink
from topologies.model import Topology
from topologies.nodes import Node

LINK_FIDELITY, LINK_RATE_EBIT_PER_S, MIN_FIDELITY = 0.999, 1400.0, 0.98
NODES, DEMANDS = (20, 50, 100), (10, 30, 100, 300, 1000)


@dataclass(frozen=True)
class Row:
    """One run."""

    network: str
    nodes: int
    demands: int
    limit_s: float
    seconds: float
    cpu_s: float
    paper: float
    ours: float
    admitted: int
    bound: float
    gap: float
    status: str


def network(nodes: int, seed: int) -> Topology:
    """Make a connected random network in which half of the nodes are end nodes, one at each repeater."""
    half = nodes // 2
    radius = 0.1
    while True:
        graph = nx.random_geometric_graph(half, radius, seed=seed)
        if nx.is_connected(graph):
            break
        radius *= 1.1
    return with_end_nodes(
        [f"{a}" for a in graph], [(f"{a}", f"{b}") for a, b in graph.edges()], f"random-{nodes}"
    )


def with_end_nodes(nodes: list[str], links: list[tuple[str, str]], name: str) -> Topology:
    """Make a quantum network of a graph: every node a repeater, with an end node of its own."""
    places = [Node(f"r{a}", kind="quantum-repeater", communication_qubits=1, storage_qubits=3) for a in nodes]
    places += [Node(f"e{a}", kind="quantum-end", communication_qubits=1, storage_qubits=3) for a in nodes]
    point = (LinkCapability(LINK_FIDELITY, LINK_RATE_EBIT_PER_S),)
    ends = [(f"r{a}", f"r{b}") for a, b in links] + [(f"e{a}", f"r{a}") for a in nodes]
    return Topology(places, [QuantumLink(a, b, 5000.0, capabilities=point) for a, b in ends], name=name)


def quantum(topology: Topology) -> Topology:
    """Give a quantum topology as it is, and any other (Topology Zoo) with quantum links in place."""
    if any(link.kind == "quantum" for link in topology.links.values()):
        return topology
    pairs = {tuple(sorted((link.source, link.target))) for link in topology.links.values()}
    return with_end_nodes(list(topology.nodes), [(a, b) for a, b in sorted(pairs) if a != b], topology.name)


def run(topology: Topology, count: int, limit_s: float, seed: int, min_fidelity: float) -> Row:
    """Draw demands, optimise, judge."""
    compiler = Compiler(topology)
    drawn = random_demands(compiler, count, min_fidelity, seed)
    task_set = compiler.compile(drawn).task_set
    paper = measure(task_set, paper_schedules(task_set)[0]).throughput_ebit_per_s
    begun = time.process_time()
    outcome = optimise(task_set, Options(time_limit_s=limit_s, seed=seed))
    cpu_s = time.process_time() - begun
    verify(task_set, outcome.schedule)
    metrics = measure(task_set, outcome.schedule)
    return Row(
        topology.name,
        len(topology.nodes),
        count,
        limit_s,
        outcome.seconds,
        cpu_s,
        paper,
        metrics.throughput_ebit_per_s,
        metrics.admitted,
        outcome.bound_ebit_per_s,
        outcome.gap,
        outcome.status,
    )


def draw(rows: list[Row], path: Path) -> None:
    """Draw time and gap against the number of demands."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in dict.fromkeys(row.network for row in rows):
        mine = [row for row in rows if row.network == name]
        left.plot([r.demands for r in mine], [r.seconds for r in mine], "o-", label=name)
        right.plot([r.demands for r in mine], [100 * r.gap for r in mine], "o-", label=name)
    for axes, label in ((left, "seconds"), (right, "gap to the proven bound in %")):
        axes.set_xscale("log")
        axes.set_xlabel("demands")
        axes.set_ylabel(label)
        axes.legend(frameon=False)
    left.set_yscale("log")
    figure.savefig(path, dpi=120)


@click.command()
@click.option("--quick", is_flag=True, help="Small networks, three seconds a run.")
@click.option("--time-limit", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True)
@click.option("--topology", multiple=True, help="Also this one (name or file).")
@click.option("--fidelity", type=float, default=MIN_FIDELITY, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/entanglement_scale"))
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def main(
    quick: bool, time_limit: float, topology: tuple[str, ...], fidelity: float, out: Path, seed: int
) -> None:
    """Show how time and gap grow."""
    limit_s = 3.0 if quick else time_limit
    networks = [network(nodes, seed) for nodes in (NODES[:1] if quick else NODES)]
    networks += [quantum(load(name)) for name in topology]
    rows = []
    for one in networks:
        for count in DEMANDS[:3] if quick else DEMANDS:
            rows.append(run(one, count, limit_s, seed, fidelity))
            row = rows[-1]
            print(
                f"{row.network:12} {row.demands:5} demands: {row.ours:8.2f} of at most {row.bound:8.2f}"
                f" ebit/s, gap {row.gap:6.1%}, {row.status:9}, {row.seconds:5.1f} s;"
                f" paper's best {row.paper:8.2f}",
                flush=True,
            )
    out.mkdir(parents=True, exist_ok=True)
    with (out / "scale.csv").open("w", newline="") as sheet:
        writer = csv.writer(sheet)
        writer.writerow([field.name for field in fields(Row)])
        writer.writerows(asdict(row).values() for row in rows)
    draw(rows, out / "scale.png")


if __name__ == "__main__":
    main()
