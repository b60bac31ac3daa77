"""How much reward the learned policy gives away against the best fixed limit of each scenario.

`python -m experiments.lfq_regret [--quick] [--scenarios N] [--weights FILE] [--senders NAME ...] [--out DIR]`

Scenarios are drawn from the training ranges with a seed that training never uses. In each, every limit of
`LIMITS` (frames, the same for every flow) is tried for the whole run; the best one is known only afterwards.
Reward: bytes that left over what the link carries, minus alpha times the mean queue over the rate (the LFQ
paper's, section III, in shares of the rate). With `--weights` a policy trained without a sender is judged,
with `--senders` on flows of that sender alone.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from qos.simulation.simulation import prepare
from qos.training.scenarios import KINDS, LOSS_BASED, SENDERS, Ranges, draw_task
from qos.training.selection import fixed_outcomes, policy_outcome
from schedulers.packet.limits.lfq.step import Float64, Network
from schedulers.packet.limits.lfq.weights import SHIPPED, load_network

SEED = 2_000_003
ALPHAS = (1.0, 10.0)
LIMITS = tuple(int(n) for n in np.unique(np.round(np.geomspace(1, 4096, 43))))
"""Frames."""


def judge(network: Network, index: int, ranges: Ranges) -> Float64:
    """Give the rewards in one scenario, shape ``(alphas, 2)``: the policy's and the best fixed limit's."""
    task = draw_task(SEED, index, ranges)
    fixed = fixed_outcomes(task, LIMITS)
    rows = []
    for alpha in ALPHAS:
        ours = policy_outcome(network, task, alpha)
        best = max(outcome.utilisation - alpha * outcome.delay_s for outcome in fixed)
        rows.append((ours.utilisation - alpha * ours.delay_s, best))
    return np.array(rows)


def _report(kinds: list[str], rewards: Float64, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "lfq_regret.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["scenario", "kind", "alpha", "reward", "best_fixed_reward"])
        for index, kind in enumerate(kinds):
            for place, alpha in enumerate(ALPHAS):
                writer.writerow([index, kind, alpha, *(f"{value:.6f}" for value in rewards[index, place])])
    print(f"{'kind':16}{'runs':>6}" + "".join(f"{f'alpha {alpha:g}':>30}" for alpha in ALPHAS))
    names = np.array(kinds)
    for kind in [*sorted(set(kinds)), "all"]:
        chosen = rewards[(names == kind) | (kind == "all")]
        cells = ""
        for place in range(len(ALPHAS)):
            ours, best = chosen[:, place, 0], chosen[:, place, 1]
            given_away = 100 * (1 - ours.mean() / best.mean())
            cells += f"{ours.mean():9.4f} of {best.mean():7.4f} {given_away:+8.2f} %"
        print(f"{kind:16}{len(chosen):6}  {cells}")


def main() -> None:
    """Judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 scenarios")
    parser.add_argument("--scenarios", type=int, default=500)
    parser.add_argument("--senders", nargs="+", choices=SENDERS, default=list(SENDERS))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--out", type=Path, default=Path("results/lfq_regret"))
    arguments = parser.parse_args()
    prepare()
    network = load_network(arguments.weights or SHIPPED)
    lossy = any(name in LOSS_BASED for name in arguments.senders)
    kinds = tuple(kind for kind in KINDS if kind != "paper" or lossy)
    ranges = Ranges(senders=tuple(arguments.senders), kinds=kinds)
    count = 40 if arguments.quick else arguments.scenarios
    found = Parallel(n_jobs=arguments.jobs)(delayed(judge)(network, i, ranges) for i in range(count))
    drawn = [draw_task(SEED, index, ranges).kind for index in range(count)]
    _report(drawn, np.array(found), arguments.out)


if __name__ == "__main__":
    main()
