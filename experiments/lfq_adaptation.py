"""How `--learn` adapts to a sender that the weights never saw.

`python -m experiments.lfq_adaptation [--quick] [--weights FILE] [--sender NAME] [--out DIR]`

The learner of `qos attach --learn` runs on the simulator as it runs on a host: flows of one sender through a
fair queue, weights that were trained without that sender (`experiments.lfq_policy_training --without NAME`),
and nothing but polled counters. Afterwards what was learned is frozen; it and the weights from which it
began are each run, without learning, on the same flows with other round-trip times. Prints utilisation, mean
delay and reward of both, with alpha of the preference, and the learner's own standing.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.entry import run as run_command
from qos.simulation.polling import PolledLimits, run_polled
from qos.simulation.scenario import Bulk, Flow, Scenario, Transport
from qos.simulation.simulation import Simulation, prepare
from qos.training.scenarios import SENDERS, fair_queue, star_of_sources
from schedulers.packet.limits import LimitPolicy, QueueContext
from schedulers.packet.limits.lfq.company import start_limit_bytes
from schedulers.packet.limits.lfq.online import Learner
from schedulers.packet.limits.lfq.policy import PREFERENCES, Lfq
from schedulers.packet.limits.lfq.step import Network
from schedulers.packet.limits.lfq.weights import SHIPPED, load_network

POLL_S = 0.02
RTT_RANGE_S = (0.01, 0.06)
FRAME_BYTES = 1500
SEED = 6
JUDGED_S = 60.0
WARM_UP_S = 5.0


@dataclass(frozen=True)
class Course:
    """What is run: the sender, how many flows, the rate, and the preference's alpha."""

    sender: str
    flows: int
    rate_bps: int
    alpha: float


def network_of(path: Course, seed: int, duration_s: float) -> Scenario:
    """Make the network: flows of one sender with round-trip times of their own."""
    rng = np.random.default_rng([SEED, seed])
    rtts_s = np.exp(rng.uniform(*np.log(RTT_RANGE_S), path.flows))
    transport = Transport(initial_cwnd=10, recovery="prr", loss_detection="rack", min_rto_s=0.2)
    flows = tuple(
        Flow(path.sender, f"s{i}", "sink", Bulk(write_bytes=1446), transport, 0.1 * i)
        for i in range(path.flows)
    )
    return Scenario(
        star_of_sources(path.rate_bps, [float(rtt) for rtt in rtts_s]),
        flows,
        duration_s,
        {("bottleneck", "router"): fair_queue(path.flows)},
        seed=seed,
    )


def polled(path: Course, scenario: Scenario, network: Network, learner: Learner | None) -> PolledLimits:
    """Put the policy over the bottleneck of a new simulation."""
    simulation = Simulation(scenario)
    queue_id = simulation.paths.directions.index(("bottleneck", "router"))
    first = int(start_limit_bytes(network.start, path.rate_bps, path.alpha, FRAME_BYTES))
    context = QueueContext(max(path.flows, 2), path.rate_bps, FRAME_BYTES, first, 2 * FRAME_BYTES, 64 << 20)
    policy: LimitPolicy = Lfq(context, network, path.alpha, learner)
    return PolledLimits(simulation, policy, POLL_S, queue_id)


def judge(path: Course, network: Network, seed: int) -> tuple[float, float]:
    """Give utilisation and mean delay (s) of weights that stay as they are, after the warm-up."""
    limits = polled(path, network_of(path, seed, JUDGED_S), network, None)
    simulation = limits.simulation
    queue_id = simulation.paths.directions.index(("bottleneck", "router"))
    figures = []
    for until_s in (WARM_UP_S, JUDGED_S):
        run_polled(simulation, [limits], until_s)
        record = simulation.state.queues[queue_id]
        sent = int(simulation.queue_counters(queue_id).sent_bytes.sum())
        figures.append((sent, float(record["area_bytes_ns"])))
    span_s = JUDGED_S - WARM_UP_S
    sent, area = figures[1][0] - figures[0][0], figures[1][1] - figures[0][1]
    return sent * 8 / (path.rate_bps * span_s), area * 1e-9 / span_s * 8 / path.rate_bps


def learn(path: Course, network: Network, seconds: float) -> tuple[Network, Learner]:
    """Learn for some simulated time."""
    learner = Learner(max(path.flows, 2), path.alpha, SEED)
    limits = polled(path, network_of(path, 0, seconds), network, learner)
    run_polled(limits.simulation, [limits], seconds)
    return learner.network(network), learner


def main() -> None:
    """Learn and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="300 s of learning, one judged network")
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    parser.add_argument("--sender", choices=SENDERS, default="bbr")
    parser.add_argument("--flows", type=int, default=8)
    parser.add_argument("--rate", type=int, default=40_000_000, help="bit/s")
    parser.add_argument("--prefer", choices=PREFERENCES, default="balanced")
    parser.add_argument("--seconds", type=float, default=3000.0, help="simulated time of learning")
    parser.add_argument("--out", type=Path, default=Path("results/lfq_adaptation"))
    arguments = parser.parse_args()
    network = load_network(arguments.weights)
    prepare()
    path = Course(arguments.sender, arguments.flows, arguments.rate, PREFERENCES[arguments.prefer])
    learned, learner = learn(path, network, 300.0 if arguments.quick else arguments.seconds)
    standing = learner.standing
    print(
        f"learned from {standing.learned_blocks} blocks, rolled back {standing.roll_backs} times", flush=True
    )
    print(f"its own comparison: {standing.gain:+.5f} of the rate, standard error {standing.gain_error:.5f}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "lfq_adaptation.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["network", "weights", "utilisation", "delay_s", "reward"])
        totals: dict[str, list[float]] = {"before": [], "learned": []}
        print(f"{'network':>8}{'weights':>10}{'used':>9}{'delay ms':>10}{'reward':>9}")
        for seed in range(1, 2 if arguments.quick else 6):
            for name, weights in (("before", network), ("learned", learned)):
                used, delay_s = judge(path, weights, seed)
                reward = used - path.alpha * delay_s
                totals[name].append(reward)
                writer.writerow([seed, name, f"{used:.6f}", f"{delay_s:.6f}", f"{reward:.6f}"])
                print(f"{seed:8}{name:>10}{100 * used:8.2f}%{1e3 * delay_s:10.2f}{reward:9.4f}", flush=True)
    before, after = (float(np.mean(totals[name])) for name in ("before", "learned"))
    print(f"mean reward before {before:.4f}, learned {after:.4f}: {100 * (after / before - 1):+.2f} %")


if __name__ == "__main__":
    run_command(main)
