"""The learned queue under real TCP: utilisation and queueing delay in network namespaces.

`python -m experiments.lfq_live [--quick] [--control NAME ...] [--rate RATE ...] [--rtt TIME ...] [--out DIR]`

One bulk flow of this kernel's TCP (Reno, CUBIC, BBR) through each queue, at 10, 50 and 200 Mbit/s and
round-trip times of 10 and 40 ms. Prints utilisation and mean queueing delay of `lfq`, of `sawtooth`, and of
limits fixed at one bandwidth-delay product, and whether `lfq` uses at least 97 %, waits at most half as long
as the fixed limit, and is no worse than `sawtooth` in either. Every run is written when it is done; an
interrupted command goes on.
Needs root or `unshare -rn`, and the kernel's bbr module for BBR. What is measured is real time: on a machine
that is busy with something else the control loop and the senders come late, and all queues suffer.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.entry import claim, weights_sha256
from experiments.entry import run as run_command
from linux_qdisc.lab.compare import MIN_FIFO_FRAMES, Path3, Queue, Scenario
from qos.units import format_rate, parse_duration, parse_rate

LEAST_UTILISATION = 0.97
TOLERANCE = 0.005
"""Utilisations closer than this are the same, in shares of the rate."""
DELAY_TOLERANCE_S = 0.0005
"""Delays closer than this are the same: a run differs by so much from the next."""
FRAME_BYTES = 1514
QUEUES = ("fixed", "sawtooth", "lfq")


@dataclass(frozen=True)
class Point:
    """One path and the congestion control of the flow."""

    control: str
    rate_bps: int
    rtt_s: float


@dataclass(frozen=True)
class Figures:
    """What a queue did at a point."""

    utilisation: float
    delay_mean_s: float
    delay_p99_s: float


def queue_of(name: str, point: Point) -> Queue:
    """Give the queue under test; `fixed` has one bandwidth-delay product, and at least a small fifo."""
    if name != "fixed":
        return Queue(name, policy=name)
    size = max(int(point.rate_bps * point.rtt_s / 8), MIN_FIFO_FRAMES * FRAME_BYTES // 5)
    return Queue(name, policy=f"fixed:{size}b")


def measure(point: Point, names: Sequence[str], duration_s: float) -> dict[str, Figures]:
    """Run the flow once through each queue."""
    scenario = Scenario(point.rate_bps, point.rtt_s, (point.control,), duration_s, duration_s / 4)
    found = {}
    with Path3(scenario) as path:
        for name in names:
            row = path.measure(queue_of(name, point)).to_json()
            figures = (row["utilisation"], row["delay_mean_s"], row["delay_p99_s"])
            found[name] = Figures(*(float(str(value)) for value in figures))
    return found


def verdict(found: dict[str, Figures]) -> list[str]:
    """Name the goals that `lfq` misses at a point."""
    ours, fixed, rule = (found[name] for name in ("lfq", "fixed", "sawtooth"))
    missed = []
    if ours.utilisation < LEAST_UTILISATION:
        missed.append("below 97 %")
    if ours.delay_mean_s > 0.5 * fixed.delay_mean_s:
        missed.append("over half of fixed")
    if ours.utilisation < rule.utilisation - TOLERANCE:
        missed.append("less use than sawtooth")
    if ours.delay_mean_s > rule.delay_mean_s + DELAY_TOLERANCE_S:
        missed.append("more delay than sawtooth")
    return missed


def _known(path: Path) -> dict[Point, dict[str, Figures]]:
    known: dict[Point, dict[str, Figures]] = {}
    if path.exists():
        with path.open(newline="") as stream:
            for control, rate, rtt, name, *figures in list(csv.reader(stream))[1:]:
                point = Point(control, int(rate), float(rtt))
                known.setdefault(point, {})[name] = Figures(*map(float, figures))
    return known


def _cells(point: Point, found: dict[str, Figures]) -> str:
    cells = "".join(
        f"{100 * found[name].utilisation:8.1f}%{1e3 * found[name].delay_mean_s:7.2f}" for name in QUEUES
    )
    return f"{point.control:8}{format_rate(point.rate_bps):>10}{1e3 * point.rtt_s:5.0f} ms{cells}"


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one point, 4 s a run")
    parser.add_argument("--control", nargs="+", default=["reno", "cubic", "bbr"])
    parser.add_argument("--rate", nargs="+", type=parse_rate, default=[10**7, 5 * 10**7, 2 * 10**8])
    parser.add_argument("--rtt", nargs="+", type=parse_duration, default=[10_000_000, 40_000_000])
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a run")
    parser.add_argument("--out", type=Path, default=Path("results/lfq_live"))
    arguments = parser.parse_args()
    points = [
        Point(control, rate, rtt_ns * 1e-9)
        for control in arguments.control
        for rate in arguments.rate
        for rtt_ns in arguments.rtt
    ]
    seconds = arguments.seconds
    if arguments.quick:
        points, seconds = points[:1], 4.0
    claim(arguments.out / "lfq_live.json", {"seconds": seconds, "weights_sha256": weights_sha256()})
    path = arguments.out / "lfq_live.csv"
    known = _known(path)
    if not known:
        columns = ("control", "rate_bps", "rtt_s", "queue", "utilisation", "delay_mean_s", "delay_p99_s")
        path.write_text(",".join(columns) + "\n")
    heads = "".join(f"{f'{name}: used, ms':>16}" for name in QUEUES)
    print(f"{'control':8}{'rate':>10}{'RTT':>8}{heads}", flush=True)
    for point in points:
        if len(known.get(point, {})) < len(QUEUES):
            had = known.get(point, {})
            fresh = measure(point, tuple(name for name in QUEUES if name not in had), seconds)
            known[point] = had | fresh
            with path.open("a", newline="") as stream:
                for name, figures in fresh.items():
                    about = (point.control, point.rate_bps, point.rtt_s, name)
                    row = (figures.utilisation, figures.delay_mean_s, figures.delay_p99_s)
                    csv.writer(stream).writerow([*about, *(f"{value:.6f}" for value in row)])
        missed = verdict(known[point])
        print(_cells(point, known[point]), "  " + ", ".join(missed), flush=True)
    met = sum(not verdict(known[point]) for point in points)
    print(f"all goals met at {met} of {len(points)} points")


if __name__ == "__main__":
    run_command(main)
