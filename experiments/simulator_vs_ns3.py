"""Compare the packet simulator with ns-3.44 on a grid of runs: throughput, mean and maximum queue.

``python -m experiments.simulator_vs_ns3 --grid ns3_grid.csv``; columns: qdisc, limit, cc, recovery, bw_mbit,
rtt_ms, dur_s, thr_mbit, avgq_exact, maxq_exact, drops (one bulk flow, the LFQ paper's network). More rows
come from `experiments/ns3_reference.py --grid`, as those of tests/simulation/data/ns3_more.csv did.
"""

from __future__ import annotations

import argparse
import csv
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from qos.simulation import Flow, Result, Simulation, dumbbell
from qos.simulation.scenario import transport_of
from schedulers.packet.registry import queue

DISCIPLINES = {
    "Fifo": "fifo",
    "CoDel": "codel",
    "FqCoDel": "fq_codel",
    "Pie": "pie",
    "FqPie": "fq_pie",
    "Cobalt": "cobalt",
    "FqCobalt": "fq_cobalt",
}
RANDOM = ("Pie", "FqPie")
SEEDS = 8
SCENARIO = ("qdisc", "limit", "cc", "recovery", "bw_mbit", "rtt_ms", "dur_s")
MEASURED = ("thr_mbit", "avgq_exact", "maxq_exact", "drops")
THROUGHPUT_BOUND = 0.02
QUEUE_BOUND = 0.1
QUEUE_BOUND_PACKETS = 1.0


@dataclass(frozen=True)
class Row:
    """One run of ns-3 and ours; means over seeds where the discipline draws random numbers."""

    discipline: str
    limit: str
    sender: str
    recovery: str
    rate_mbit: float
    rtt_ms: float
    reference_throughput_mbit: float
    throughput_mbit: float
    throughput_spread_mbit: float
    reference_mean_packets: float
    mean_packets: float
    reference_max_packets: float
    max_packets: float
    reference_drops: float
    drops: float
    timeouts: float

    @property
    def agrees(self) -> bool:
        """Throughput within 2 %, mean queue within 10 % or one packet."""
        reference = self.reference_throughput_mbit
        throughput = abs(self.throughput_mbit - reference) <= THROUGHPUT_BOUND * reference
        apart = abs(self.mean_packets - self.reference_mean_packets)
        return throughput and apart <= max(QUEUE_BOUND * self.reference_mean_packets, QUEUE_BOUND_PACKETS)


def read_grid(path: Path) -> list[dict[str, str]]:
    """Read the rows of a grid; runs of the same scenario with other random numbers become their mean."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in SCENARIO), []).append(row)
    return [_mean(group) for group in groups.values()]


def _mean(rows: list[dict[str, str]]) -> dict[str, str]:
    means = {name: str(np.mean([float(row[name]) for row in rows])) for name in MEASURED}
    return rows[0] | means if len(rows) > 1 else rows[0]


def simulate(row: dict[str, str], seed: int) -> Result:
    """Run the scenario of one row."""
    parameters: dict[str, object] = {"limit_packets": int(row["limit"][:-1])} if row["limit"] else {}
    flow = Flow(row["cc"].lower(), "left", "right", transport=transport_of("ns3", recovery=row["recovery"]))
    scenario = dumbbell(
        (flow,) * int(row.get("nflows", 1)),
        rate_bps=round(float(row["bw_mbit"]) * 1e6),
        rtt_s=float(row["rtt_ms"]) / 1e3,
        queue=queue(DISCIPLINES[row["qdisc"]], **parameters),
        duration_s=float(row["dur_s"]),
        seed=seed,
    )
    return Simulation(scenario).run()


def compare(row: dict[str, str]) -> Row:
    """Run the scenario of one row and put both figures side by side."""
    seeds = range(SEEDS if row["qdisc"] in RANDOM else 1)
    results = [simulate(row, seed) for seed in seeds]
    throughputs = [sum(flow.goodput_bps for flow in result.flows) / 1e6 for result in results]
    queues = [result.queues[0] for result in results]
    return Row(
        discipline=row["qdisc"],
        limit=row["limit"],
        sender=row["cc"],
        recovery=row["recovery"],
        rate_mbit=float(row["bw_mbit"]),
        rtt_ms=float(row["rtt_ms"]),
        reference_throughput_mbit=float(row["thr_mbit"]),
        throughput_mbit=float(np.mean(throughputs)),
        throughput_spread_mbit=float(np.std(throughputs)),
        reference_mean_packets=float(row["avgq_exact"]),
        mean_packets=float(np.mean([queue.backlog_mean_packets for queue in queues])),
        reference_max_packets=float(row["maxq_exact"]),
        max_packets=float(np.mean([queue.backlog_max_packets for queue in queues])),
        reference_drops=float(row["drops"]),
        drops=float(np.mean([queue.drops for queue in queues])),
        timeouts=float(np.mean([result.flows[0].timeouts for result in results])),
    )


def print_table(rows: list[Row]) -> None:
    """Print all rows, those that do not agree with an X."""
    print(f"{'':2}{'queue':15}{'sender':9}{'recovery':9}{'rate/RTT':>9}", end="")
    print(f"{'ns-3 Mbit/s':>13}{'ours':>8}{'ns-3 mean q':>13}{'ours':>8}{'ns-3 max':>10}{'ours':>6}")
    for row in rows:
        name = f"{row.discipline} {row.limit}"
        place = f"{row.rate_mbit:g}/{row.rtt_ms:g}"
        print(f"{' ' if row.agrees else 'X':2}{name:15}{row.sender:9}{row.recovery:9}{place:>9}", end="")
        print(f"{row.reference_throughput_mbit:13.3f}{row.throughput_mbit:8.3f}", end="")
        print(f"{row.reference_mean_packets:13.2f}{row.mean_packets:8.2f}", end="")
        print(f"{row.reference_max_packets:10.0f}{row.max_packets:6.0f}")


def summarise(rows: list[Row]) -> list[tuple[str, int, int]]:
    """Count the rows that agree, by recovery, sender and discipline."""
    groups: dict[str, list[bool]] = {}
    for row in rows:
        groups.setdefault(f"{row.recovery} {row.sender} {row.discipline} {row.limit}".strip(), []).append(
            row.agrees
        )
    return [(name, sum(values), len(values)) for name, values in sorted(groups.items())]


def draw(rows: list[Row], path: Path) -> None:
    """Draw ours over ns-3's throughput and mean queue; the bounds are grey."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    panels = (
        (left, "throughput_mbit", "throughput (Mbit/s)", THROUGHPUT_BOUND),
        (right, "mean_packets", "mean queue (packets)", QUEUE_BOUND),
    )
    for axes, name, title, bound in panels:
        for discipline in sorted({row.discipline for row in rows}):
            chosen = [row for row in rows if row.discipline == discipline]
            reference = [getattr(row, f"reference_{name}") for row in chosen]
            axes.plot(
                reference, [getattr(row, name) for row in chosen], "o", ms=4, label=discipline, alpha=0.7
            )
        low = min(getattr(row, f"reference_{name}") for row in rows)
        high = max(getattr(row, f"reference_{name}") for row in rows)
        line = np.array([low, high])
        axes.plot(line, line, color="black", linewidth=0.8)
        axes.fill_between(line, line * (1 - bound), line * (1 + bound), color="grey", alpha=0.3)
        axes.set_xlabel(f"ns-3.44: {title}")
        axes.set_ylabel(f"qos simulate: {title}")
        axes.grid(alpha=0.3)
    right.set_xscale("log")
    right.set_yscale("log")
    left.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def main(arguments: list[str] | None = None) -> None:
    """Compare all rows of the grid, write table and plot."""
    default = Path(os.environ.get("QOS_SHARED_DATA", "../shared/data")) / "lfq" / "ns3_grid.csv"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", type=Path, default=default, help="CSV of ns-3's runs")
    parser.add_argument("--out", type=Path, default=Path("results/simulator_vs_ns3"))
    parser.add_argument("--quick", action="store_true", help="classic recovery, NewReno and CUBIC only")
    parser.add_argument("--seed", type=int, default=0, help="unused: the seeds are 0 to 7")
    options = parser.parse_args(arguments)
    grid = [row for row in read_grid(options.grid) if row["cc"].lower() in ("newreno", "cubic", "bic", "bbr")]
    if options.quick:
        grid = [row for row in grid if row["recovery"] == "classic" and row["cc"] in ("NewReno", "Cubic")]
    rows = [compare(row) for row in grid]
    print_table(rows)
    for name, good, total in summarise(rows):
        print(f"{name:32} {good} of {total}")
    wanted = [r for r in rows if r.recovery == "classic" and r.sender in ("NewReno", "Cubic")]
    wanted = [r for r in wanted if r.discipline in ("Fifo", "CoDel", "FqCoDel", "Pie", "Cobalt")]
    print(f"the project's target rows: {sum(r.agrees for r in wanted)} of {len(wanted)} agree")
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "comparison.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=[*asdict(rows[0]), "agrees"])
        writer.writeheader()
        writer.writerows(asdict(row) | {"agrees": int(row.agrees)} for row in rows)
    draw(rows, options.out / "comparison.png")


if __name__ == "__main__":
    main()
