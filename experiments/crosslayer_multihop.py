"""Splitting the retransmissions of a path: greedy against uniform and brute force, and the time it takes.

Run: ``python -m experiments.crosslayer_multihop [--quick] [--out DIR] [--seed N]``

Paths: 3 to 8 hops, error rates of a transmission log-uniform from 0.01 to 0.5, two retries a hop on average.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import time
from pathlib import Path

import numpy as np

from qos.crosslayer.multihop.budget import split_budget, working_points
from qos.crosslayer.multihop.retry_split import path_loss_probability, split_retries, split_uniformly
from qos.errors import InfeasibleError


def main() -> None:
    """Write drops.csv and drops.png, print medians and times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer paths")
    parser.add_argument("--out", type=Path, default=Path("results/crosslayer_multihop"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    rows, equal, enumerated = [], 0, 0
    for _ in range(200 if options.quick else 2000):
        hops = int(rng.integers(3, 9))
        rates = (10 ** rng.uniform(-2, -0.3, hops)).tolist()
        total = 2 * hops
        greedy = path_loss_probability(rates, split_retries(rates, total))
        rows.append((hops, greedy, path_loss_probability(rates, split_uniformly(hops, total))))
        if hops <= 4 and enumerated < 200:
            enumerated += 1
            splits = itertools.product(range(total + 1), repeat=hops)
            best = min(path_loss_probability(rates, s) for s in splits if sum(s) == total)
            equal += greedy <= best * (1 + 1e-9)
    ratios = np.array([row[2] / row[1] for row in rows])
    print(f"equal to brute force: {equal} of {enumerated}")
    print(f"uniform drops {np.median(ratios):.2f} times more (median), {np.quantile(ratios, 0.9):.2f} (p90)")
    times = _times(rng, 50 if options.quick else 200)
    print(f"ten hops: CPU {np.median(times):.1f} ms (median), {np.quantile(times, 0.9):.1f} (p90)")
    with (options.out / "drops.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("hops", "greedy_loss", "uniform_loss"))
        writer.writerows(rows)
    _plot(ratios, options.out / "drops.png")


def _times(rng: np.random.Generator, count: int) -> list[float]:
    """Measure the exact split of ten hops, eight points a hop, feasible or not: CPU milliseconds."""
    times = []
    for _ in range(count):
        hops = [
            working_points(10 ** rng.uniform(-3, -1), rng.uniform(1e-3, 3e-3), 3)
            + working_points(10 ** rng.uniform(-1.2, -0.3), rng.uniform(3e-4, 1e-3), 3)
            for _ in range(10)
        ]
        started = time.process_time()
        with contextlib.suppress(InfeasibleError):
            split_budget(hops, 10 ** rng.uniform(-4, -1), rng.uniform(0.02, 0.06))
        times.append((time.process_time() - started) * 1e3)
    return times


def _plot(ratios: np.ndarray[tuple[int], np.dtype[np.float64]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    axes.plot(np.sort(ratios), np.arange(1, len(ratios) + 1) / len(ratios))
    axes.axvline(2, linestyle=":", color="grey")
    axes.set_xscale("log")
    axes.set_xlabel("drops of a uniform split over those of the greedy one")
    axes.set_ylabel("share of paths")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
