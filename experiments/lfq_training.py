"""Train `lfq-2020` as the LFQ paper does, and draw its learning curve.

`python -m experiments.lfq_training [--variant offline-0.01|offline-10|online-10] [--minutes M] [--out DIR]`

Writes the weights, the learning curve as CSV and a plot. With the same seed and the same number of batches
the weights are the same on any number of processes.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from qos.training.lfq_2020 import OFFLINE_BATCH, ONLINE_BATCH, Plan, train
from schedulers.packet.lfq_2020.weights import WEIGHTS, save_weights

EVERY = 50
"""The curve has a point after so many batches, their mean."""


def _plot(folder: Path, name: str, curve: list[tuple[float, ...]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    flows = [row[1] / 1e3 for row in curve]
    columns = ((3, "error of the actor, packets"), (4, "reward"), (5, "limit to learn, packets"))
    for axes, (column, label) in zip(figure.subplots(3, sharex=True), columns, strict=True):
        axes.plot(flows, [row[column] for row in curve])
        axes.set_ylabel(label)
    axes.set_xlabel("flows trained on, thousands")
    figure.suptitle(f"lfq-2020 {name}")
    figure.savefig(folder / f"{name}.png", dpi=150)


def main() -> None:
    """Train one variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", choices=WEIGHTS, default=WEIGHTS[0])
    parser.add_argument("--batches", type=int, default=12_500)
    parser.add_argument("--minutes", type=float, default=30.0, help="stop after this time")
    parser.add_argument("--quick", action="store_true", help="100 batches")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/lfq_training"))
    arguments = parser.parse_args()
    mode, alpha = arguments.variant.split("-")
    batches = 100 if arguments.quick else arguments.batches
    plan = Plan(mode, float(alpha), batches, arguments.seed, arguments.jobs)
    size = ONLINE_BATCH if mode == "online" else OFFLINE_BATCH
    arguments.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    curve: list[tuple[float, ...]] = []
    recent: list[tuple[float, float, float]] = []
    for step in train(plan):
        recent.append((step.error, step.reward, step.limit_packets))
        elapsed_s = time.monotonic() - began
        if len(recent) == EVERY:
            figures = [float(value) for value in np.mean(recent, axis=0)]
            curve.append((step.iteration + 1, (step.iteration + 1) * size, elapsed_s, *figures))
            error, reward, limit = figures
            line = f"{curve[-1][1]:9.0f} flows {elapsed_s:7.0f} s  error {error:6.3f}"
            print(f"{line}  reward {reward:.4f}  limit {limit:5.2f}", flush=True)
            recent.clear()
        last = step
        if elapsed_s > 60 * arguments.minutes:
            break
    save_weights(arguments.out / f"{arguments.variant}.npz", last.networks.actor)
    with (arguments.out / f"{arguments.variant}.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["batches", "flows", "seconds", "error", "reward", "limit_packets"])
        writer.writerows(curve)
    if curve:
        _plot(arguments.out, arguments.variant, curve)


if __name__ == "__main__":
    main()
