"""Train the policy `lfq`: forks of random scenarios, then a fit of the network to what they were worth.

`python -m experiments.lfq_policy_training [--quick] [--scenarios N] [--without NAME] [--out DIR]`

Each round forks scenarios under the policy of the round before and fits to all rounds. Without `--quick` a
round of 3,000 scenarios takes some 2 minutes on 12 cores.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

import numpy as np

from experiments.entry import run as run_command
from qos.simulation.simulation import prepare
from qos.training.forks import Samples, collect
from qos.training.regression import fit
from qos.training.scenarios import SENDERS, Ranges
from qos.workers import each, workers
from schedulers.packet.limits.lfq.network import first_network, pack, unpack
from schedulers.packet.limits.lfq.step import Float64
from schedulers.packet.limits.lfq.weights import save_network

CHUNK = 10
NOISE = 0.7
EPOCHS = 10


def joined(parts: list[Samples]) -> Samples:
    """Put samples behind each other."""
    names = [field.name for field in fields(Samples)]
    return Samples(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _chunk(work: tuple[int, int, Float64, Ranges]) -> list[Samples]:
    seed, begin, theta, ranges = work
    found = [collect(seed, index, unpack(theta), ranges, NOISE) for index in range(begin, begin + CHUNK)]
    return [samples for samples in found if samples is not None]


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two rounds of 60 small scenarios")
    parser.add_argument("--scenarios", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--without", choices=SENDERS, action="append", default=[], help="leave a sender out")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--cluster", metavar="ADDRESS", help="run on this Dask cluster")
    parser.add_argument("--out", type=Path, default=Path("results/lfq_policy_training"))
    arguments = parser.parse_args()
    prepare()
    senders = tuple(name for name in SENDERS if name not in arguments.without)
    count = 60 if arguments.quick else arguments.scenarios
    theta = pack(first_network(arguments.seed))
    known: list[Samples] = []
    for number in range(arguments.rounds):
        packets = 5_000.0 if arguments.quick else (15_000.0 if number == 0 else 40_000.0)
        ranges = Ranges(senders=senders, most_packets=packets)
        begins = range(number * 1_000_000, number * 1_000_000 + count, CHUNK)
        work = [(arguments.seed, begin, theta, ranges) for begin in begins]
        with workers(arguments.jobs, arguments.cluster) as jobs:
            parts = list(each(_chunk, work, jobs, f"round {number + 1}"))
        known += [samples for part in parts for samples in part]
        for epoch in fit(theta, joined(known), EPOCHS, arguments.seed):
            theta = epoch.theta
        print(f"round {number + 1}: {len(known)} scenarios, mean regret {epoch.regret:.4f}", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    save_network(arguments.out / "lfq.npz", unpack(theta))
    print(arguments.out / "lfq.npz")


if __name__ == "__main__":
    run_command(main)
