"""The LFQ paper's table and ours: 400 runs a mechanism, one bulk flow through one queue.

`python -m experiments.lfq_table [--quick] [--detection sack|rack] [--out DIR]`

The runs are those of arXiv 2007.02735: NewReno and BIC, 100 round-trip times from 5 to 25 ms at 15 Mbit/s
and 100 rates from 5 to 25 Mbit/s at 15 ms, 5 s each. Nothing is trained; the shipped weights are used.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from experiments.entry import options
from experiments.entry import run as run_command
from qos.errors import ValueRefusedError
from qos.simulation.polling import configured_policies, run_polled
from qos.simulation.scenario import Flow, Transport, dumbbell
from qos.simulation.simulation import Simulation, prepare
from qos.workers import each, workers
from schedulers.packet.lfq_2020.weights import load_weights
from schedulers.packet.registry import QueueConfiguration, queue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DURATION_S = 5.0
SENDERS = ("newreno", "bic")
PAPER = {
    "LFQ offline alpha 0.01": (13.39, 7.69, 23.9),
    "LFQ offline alpha 10": (12.54, 3.42, 12.7),
    "LFQ online alpha 10": (12.84, 4.45, 16.1),
    "FqCoDel": (13.73, 15.36, 155.4),
    "fq 100": (11.74, 51.1, 100.0),
    "fq 1000": (11.85, 630.4, 1000.0),
}
"""Published means over the 400 runs: throughput in Mbit/s, mean and largest queue in packets."""
LABEL_PLACES = ((4, 3, "left"), (-4, 3, "right"), (4, -9, "left"), (-4, -9, "right"), (4, -16, "left"))
"""Where a point's name may stand: offsets to the right and up, and which side of it is there."""
CHUNK = 20
"""A process is given so many runs at a time."""
ALPHAS = (0.5, 1.0, 7.0, 10.0, 14.0, 30.0)
PAPER_CORRELATIONS = {
    "LFQ offline alpha 0.01": (0.983, 0.991, 0.802, 0.902, 22.0, 8.0),
    "LFQ offline alpha 10": (0.993, 0.965, 0.754, 0.620, 13.0, 5.0),
    "LFQ online alpha 10": (0.861, 0.877, 0.729, 0.736, 14.0, 8.0),
}
"""Published correlations of the limit: NewReno with rate and RTT, BIC with both; mean limits of both."""


@dataclass(frozen=True)
class Mechanism:
    """A row of the table: its name, its queue, and the weights of `lfq-2020` where it has them."""

    name: str
    queue: QueueConfiguration
    weights: str = ""


@dataclass(frozen=True)
class Point:
    """One run's place in the grid."""

    sender: str
    sweep: str
    rate_mbit: float
    rtt_ms: float


def mechanisms() -> list[Mechanism]:
    """List the rows: the paper's, then ours and what else there is."""
    rows = [
        Mechanism(f"LFQ {how} alpha {alpha}", queue("lfq-2020"), f"{how}-{alpha}")
        for how, alpha in (("offline", "0.01"), ("offline", "10"), ("online", "10"))
    ]
    rows += [Mechanism("FqCoDel", queue("fq_codel"))]
    rows += [Mechanism(f"fq {n}", queue("fq", flow_limit_packets=n)) for n in (100, 1000)]
    rows += [
        Mechanism(f"lfq {preference}", queue("lfq", policy=f"lfq:{preference}"))
        for preference in ("latency", "balanced", "throughput")
    ]
    rows += [Mechanism("sawtooth", queue("lfq", policy="sawtooth"))]
    rows += [Mechanism(name, queue(name)) for name in ("fq_pie", "cake")]
    rows += [Mechanism(f"fq {n}", queue("fq", flow_limit_packets=n)) for n in (8, 16, 32)]
    return rows


def front() -> list[Mechanism]:
    """List rows of `lfq` with other prices of delay: what the table's own have between and beyond them."""
    return [Mechanism(f"lfq alpha {alpha:g}", queue("lfq", policy=f"lfq:{alpha:g}")) for alpha in ALPHAS]


def grid(count: int) -> list[Point]:
    """Give the paper's grid with `count` points a sweep (100 in the paper)."""
    points = []
    for sender in SENDERS:
        points += [Point(sender, "rtt", 15.0, float(rtt)) for rtt in np.linspace(5, 25, count)]
        points += [Point(sender, "rate", float(rate), 15.0) for rate in np.linspace(5, 25, count)]
    return points


def run(mechanism: Mechanism, point: Point, detection: str) -> tuple[float, float, float, float]:
    """Run once: goodput in Mbit/s, mean and largest queue, mean limit (time average) in packets."""
    flow = Flow(point.sender, "left", "right", transport=Transport(loss_detection=detection))
    simulation = Simulation(
        dumbbell(
            (flow,),
            rate_bps=round(point.rate_mbit * 1e6),
            rtt_s=point.rtt_ms / 1e3,
            queue=mechanism.queue,
            duration_s=DURATION_S,
        )
    )
    if mechanism.weights:
        simulation.set_policy_parameters(load_weights(mechanism.weights))
    policies = configured_policies(simulation)
    limits = []
    for time_s in np.arange(1, 251) * (DURATION_S / 250):
        run_polled(simulation, policies, float(time_s))
        part = simulation.state.subqueues[0]
        limits.append(min(float(part["limit_packets"]), float(part["limit_bytes"]) / 1500))
    result = simulation.result()
    bottleneck = result.queues[0]
    return (
        result.flows[0].goodput_bps / 1e6,
        bottleneck.backlog_mean_packets,
        float(bottleneck.backlog_max_packets),
        float(np.mean(limits)),
    )


def _row(work: tuple[Mechanism, list[Point], str]) -> NDArray[np.float64]:
    mechanism, points, detection = work
    return np.array([run(mechanism, point, detection) for point in points])


def correlations(points: list[Point], figures: NDArray[np.float64]) -> tuple[float, ...]:
    """Correlate the mean limit with what was swept, for each sender; then mean limits of each."""
    found = []
    for sender in SENDERS:
        for sweep in ("rate", "rtt"):
            chosen = [i for i, p in enumerate(points) if (p.sender, p.sweep) == (sender, sweep)]
            swept = [points[i].rate_mbit if sweep == "rate" else points[i].rtt_ms for i in chosen]
            found.append(float(np.corrcoef(swept, figures[chosen, 3])[0, 1]))
    means = [float(figures[[p.sender == sender for p in points], 3].mean()) for sender in SENDERS]
    return (*found, *means)


def _print_table(rows: dict[str, NDArray[np.float64]], points: list[Point]) -> None:
    reno = np.array([point.sender == "newreno" for point in points])
    head = f"{'mechanism':26}{'Mbit/s':>8}{'mean q':>8}{'max q':>8}   {'paper':>24}   {'NewReno':>24}"
    print(head)
    for name, figures in rows.items():
        ours = "".join(f"{value:8.2f}" for value in figures[:, :3].mean(axis=0))
        paper = "".join(f"{value:8.2f}" for value in PAPER[name]) if name in PAPER else " " * 24
        half = "".join(f"{value:8.2f}" for value in figures[reno, :3].mean(axis=0))
        print(f"{name:26}{ours}   {paper}   {half}")


def _print_correlations(rows: dict[str, NDArray[np.float64]], points: list[Point]) -> None:
    print("\ncorrelation of the limit with rate and RTT, mean limits (ours; paper in brackets)")
    print(f"{'mechanism':26}{'NewReno rate':>16}{'RTT':>16}{'BIC rate':>16}{'RTT':>16}{'limits':>28}")
    for name, theirs in PAPER_CORRELATIONS.items():
        if name not in rows:
            continue
        ours = correlations(points, rows[name])
        cells = "".join(f"{ours[i]:8.3f} ({theirs[i]:.3f})" for i in range(4))
        print(f"{name:26}{cells}   {ours[4]:6.1f} ({theirs[4]:.0f}) {ours[5]:6.1f} ({theirs[5]:.0f})")


def _write(folder: Path, rows: dict[str, NDArray[np.float64]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("throughput_mbit", "queue_mean_packets", "queue_max_packets")
    with (folder / "lfq_table.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["mechanism", *names, *(f"paper_{name}" for name in names)])
        for name, figures in rows.items():
            ours = [f"{value:.4f}" for value in figures[:, :3].mean(axis=0)]
            writer.writerow([name, *ours, *PAPER.get(name, ("", "", ""))])


def _label(axes: Axes, points: Mapping[str, tuple[float, float]], paper: bool) -> None:
    """Name the points, beside them where there is room."""
    taken = [text.get_window_extent() for text in axes.texts]
    for name, at in points.items():
        for place, (right, above, side) in enumerate(LABEL_PLACES, 1):
            label = axes.annotate(
                f"{name} (paper)" if paper else name,
                at,
                xytext=(right, above),
                textcoords="offset points",
                ha=side,
                fontsize=6 if paper else 7,
                color="grey" if paper else "black",
            )
            box = label.get_window_extent()
            free = axes.bbox.x0 < box.x0 < box.x1 < axes.bbox.x1 and not any(
                box.overlaps(other) for other in taken
            )
            if free or place == len(LABEL_PLACES):
                taken.append(box)
                break
            label.remove()


def _plot(folder: Path, rows: dict[str, NDArray[np.float64]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    points = {}
    for name, figures in rows.items():
        throughput, mean, _ = figures[:, :3].mean(axis=0)
        ours = name.startswith("lfq ")
        axes.plot(mean, throughput, "o" if ours else "s", color="tab:red" if ours else "tab:blue")
        if not (" alpha " in name and ours):
            points[name] = (float(mean), float(throughput))
    learned = [figures[:, :2].mean(axis=0) for name, figures in rows.items() if name.startswith("lfq ")]
    if learned:
        throughputs, means = np.array(sorted(learned, key=lambda pair: float(pair[1]))).T
        axes.plot(means, throughputs, "-", color="tab:red", lw=0.8)
    for throughput, mean, _ in PAPER.values():
        axes.plot(mean, throughput, "x", color="grey")
    axes.set_xscale("log")
    axes.set_xlabel("mean queue, packets")
    axes.set_ylabel("goodput, Mbit/s")
    axes.set_title("Means over the LFQ paper's 400 runs")
    figure.draw_without_rendering()  # fixes where everything is
    _label(axes, points, paper=False)
    _label(axes, {name: (mean, throughput) for name, (throughput, mean, _) in PAPER.items()}, paper=True)
    figure.savefig(folder / "lfq_table.png", dpi=150)


def main() -> None:
    """Run the table."""
    parser = options(__doc__, "lfq_table", "10 points a sweep in place of 100")
    parser.add_argument("--front", action="store_true", help="lfq with more prices of delay, too")
    parser.add_argument("--only", metavar="NAME", help="rows whose name begins so")
    parser.add_argument("--detection", choices=["sack", "rack"], default="sack")
    parser.add_argument("--cluster", metavar="ADDRESS", help="run on this Dask cluster")
    arguments = parser.parse_args()
    prepare()
    points = grid(10 if arguments.quick else 100)
    chosen = mechanisms() + (front() if arguments.front else [])
    chosen = [mechanism for mechanism in chosen if mechanism.name.startswith(arguments.only or "")]
    if not chosen:
        raise ValueRefusedError(f"--only {arguments.only}: no row begins so")
    parts = [points[begin : begin + CHUNK] for begin in range(0, len(points), CHUNK)]
    work = [(mechanism, part, arguments.detection) for mechanism in chosen for part in parts]
    with workers(arguments.jobs, arguments.cluster) as jobs:
        found = iter(each(_row, work, jobs, "runs"))
        rows = {mechanism.name: np.concatenate([next(found) for _ in parts]) for mechanism in chosen}
    _print_table(rows, points)
    _print_correlations(rows, points)
    _write(arguments.out, rows)
    _plot(arguments.out, rows)


if __name__ == "__main__":
    run_command(main)
