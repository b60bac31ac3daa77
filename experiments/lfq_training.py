"""Train `lfq-2020` as the LFQ paper does, and draw its learning curve.

`python -m experiments.lfq_training [--variant offline-0.01|offline-10|online-10] [--minutes M] [--out DIR]`

Writes the weights (the average of the iterates, see `qos.training.lfq_2020`), the learning curve as CSV and
a plot, and every minute a checkpoint from which `--resume FILE` goes on. With the same seed and the same
number of batches the weights are the same, on any number of processes and whether or not training was
interrupted. Most time goes into many small products of matrices: with several jobs a core, set
OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from experiments.entry import run as run_command
from qos.array_files import stored_arrays
from qos.simulation.scenario import check_range, check_whole
from qos.training.lfq_2020 import (
    HELD_OUT_SEED,
    OFFLINE_BATCH,
    ONLINE_BATCH,
    Networks,
    Plan,
    Step,
    held_out_rewards,
    train,
)
from qos.whole_files import whole_file
from schedulers.packet.lfq_2020.weights import WEIGHTS, load_weights, save_weights

EVERY = 50
"""The curve has a point after so many batches, their mean."""
CHECKPOINT_EVERY_S = 60.0
COLUMNS = ("batches", "flows", "seconds", "error", "reward", "limit_packets")


@dataclass
class Progress:
    """How far a training came: batches, seconds, the curve, and what its next point averages."""

    batches: int = 0
    elapsed_s: float = 0.0
    curve: list[tuple[float, ...]] = field(default_factory=list)
    recent: list[tuple[float, ...]] = field(default_factory=list)

    def note(self, step: Step, flows_a_batch: int, elapsed_s: float) -> None:
        """Take a batch in; print a line where the curve gets a point."""
        self.batches = step.iteration + 1
        self.elapsed_s = elapsed_s
        self.recent.append((step.error, step.reward, step.limit_packets))
        if len(self.recent) < EVERY:
            return
        error, reward, limit = (float(value) for value in np.mean(self.recent, axis=0))
        flows = self.batches * flows_a_batch
        self.curve.append((self.batches, flows, elapsed_s, error, reward, limit))
        self.recent.clear()
        line = f"{flows:9d} flows {elapsed_s:7.0f} s  error {error:6.3f}"
        print(f"{line}  reward {reward:.4f}  limit {limit:5.2f}", flush=True)


def _save(path: Path, networks: Networks, progress: Progress) -> None:
    """Write a checkpoint; it replaces the last one only when it is complete."""
    with whole_file(path) as new:
        np.savez(
            new,
            actor=networks.actor,
            critic=networks.critic,
            average=networks.average,
            progress=[progress.batches, progress.elapsed_s],
            curve=np.array(progress.curve).reshape(-1, len(COLUMNS)),
            recent=np.array(progress.recent).reshape(-1, 3),
        )


def _load(path: Path) -> tuple[Networks, Progress]:
    with stored_arrays(path, "this command, for --resume") as stored:
        networks = Networks.beginning_with(stored["actor"], stored["critic"])
        if "average" in stored:  # checkpoints had none before
            networks.average[:] = stored["average"]
        batches, elapsed_s = stored["progress"].tolist()
        curve, recent = (list(map(tuple, stored[name].tolist())) for name in ("curve", "recent"))
    return networks, Progress(int(batches), elapsed_s, curve, recent)


def _plot(folder: Path, name: str, curve: list[tuple[float, ...]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    flows = [row[1] / 1e3 for row in curve]
    columns = ((3, "error of the actor, packets"), (4, "reward"), (5, "limit to learn, packets"))
    for axes, (column, label) in zip(figure.subplots(3, sharex=True), columns, strict=True):
        axes.plot(flows, [row[column] for row in curve], linewidth=0.6)
        axes.set_ylabel(label)
    axes.set_xlabel("flows trained on, thousands")
    figure.suptitle(f"lfq-2020 {name}")
    figure.savefig(folder / f"{name}.png", dpi=120)


def _write(folder: Path, name: str, networks: Networks, progress: Progress) -> None:
    save_weights(folder / f"{name}.npz", networks.average)
    with (folder / f"{name}.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows(progress.curve)
    if progress.curve:
        _plot(folder, name, progress.curve)


def _judge(variant: str, networks: Networks, flows: int) -> None:
    """Print mean rewards over flows that training did not draw, and how far they are from what ships."""
    alpha = float(variant.split("-")[1])
    ships = held_out_rewards(load_weights(variant), alpha, flows)
    print(f"mean reward over {flows} whole flows that training did not draw: what ships {ships.mean():.4f}")
    for name, weights in (("average", networks.average), ("last iterate", networks.actor)):
        rewards = held_out_rewards(weights, alpha, flows)
        gain = rewards - ships
        error = gain.std(ddof=1) / np.sqrt(flows)
        print(
            f"{name} {rewards.mean():.4f}, which is {gain.mean():+.4f} (standard error {error:.4f})",
            flush=True,
        )


def _check(arguments: argparse.Namespace) -> None:
    check_whole("--jobs", arguments.jobs, 1, 4096)
    check_whole("--lag", arguments.lag, 0, 64)
    check_whole("--batches", arguments.batches, 1, 10**9)
    check_whole("--judge", arguments.judge, 2, 10**6)
    check_whole("--seed", arguments.seed, 0, HELD_OUT_SEED - 1)
    check_range("--minutes", arguments.minutes, 0, 1e6)


def main() -> None:
    """Train one variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", choices=WEIGHTS, default=WEIGHTS[0])
    parser.add_argument("--batches", type=int, default=100_000, help="number of the last batch")
    parser.add_argument("--minutes", type=float, default=30.0, help="stop after this time")
    parser.add_argument("--quick", action="store_true", help="100 batches")
    parser.add_argument("--seed", type=int, default=1, help="below 2^31")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--lag", type=int, default=0, help="batches simulated ahead (see docs/lfq.md)")
    parser.add_argument("--judge", type=int, default=150, metavar="FLOWS", help="flows to judge weights by")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="go on from this checkpoint")
    parser.add_argument("--out", type=Path, default=Path("results/lfq_training"))
    arguments = parser.parse_args()
    _check(arguments)
    mode, alpha = arguments.variant.split("-")
    batches = 100 if arguments.quick else arguments.batches
    plan = Plan(mode, float(alpha), batches, arguments.seed, arguments.jobs, arguments.lag)
    size = ONLINE_BATCH if mode == "online" else OFFLINE_BATCH
    networks, progress = _load(arguments.resume) if arguments.resume else (None, Progress())
    arguments.out.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.out / f"{arguments.variant}.checkpoint.npz"
    before_s, began = progress.elapsed_s, time.monotonic()
    saved = began
    for step in train(plan, networks, progress.batches):
        now = time.monotonic()
        networks = step.networks
        progress.note(step, size, before_s + now - began)
        if now - saved > CHECKPOINT_EVERY_S:
            _save(checkpoint, networks, progress)
            saved = now
        if now - began > 60 * arguments.minutes:
            break
    if networks is not None:
        _save(checkpoint, networks, progress)
        _write(arguments.out, arguments.variant, networks, progress)
        _judge(arguments.variant, networks, arguments.judge)


if __name__ == "__main__":
    run_command(main)
