"""How much reward the learned policy gives away against the best fixed limit of each scenario.

`python -m experiments.lfq_regret [--quick] [--scenarios N] [--weights FILE] [--senders NAME ...]
[--kinds NAME ...] [--seed N] [--out DIR]`

Scenarios are drawn from the training ranges with a seed that training never uses. In each, every limit of
`LIMITS` (frames, the same for every flow) is tried for the whole run; the best one is known only afterwards.
Reward: bytes that left over what the link carries, minus alpha times the mean queue over the rate (the LFQ
paper's, section III, in shares of the rate), of the whole run. With `--weights` a policy trained without a
sender is judged, with `--senders` on flows of that sender alone. Every scenario is written when it is done: a
run that was interrupted goes on where it was.

A part of it nobody can have: the best of 25 limits is also the luckiest (with it no retransmission is lost,
no timeout waited for). So each scenario runs with every limit again, its delays 1 % longer, and the table
says, beside what the policy gives away, what the best limit of the first run gives away in the second.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.entry import claim, options, weights_sha256
from experiments.entry import run as run_command
from qos.errors import ValueRefusedError
from qos.simulation.simulation import prepare
from qos.training.reward import Outcome
from qos.training.scenarios import KINDS, LOSS_BASED, SENDERS, Ranges, Task, draw_task
from qos.training.selection import fixed_outcomes, policy_outcome
from qos.workers import each, workers
from schedulers.packet.limits.lfq.step import Network
from schedulers.packet.limits.lfq.weights import SHIPPED, load_network
from topologies.model import Topology, WiredLink

SEED = 2_000_003
ALPHAS = (1.0, 10.0)
LIMITS = tuple(int(n) for n in np.unique(np.round(np.geomspace(1, 4096, 25))))
"""Frames; neighbours differ by a factor of about 1.41."""
MOST_PACKETS = 30_000.0
LONGER = 1.01
"""Delays of the second run over those of the first."""
CHUNK = 4
COLUMNS = (
    "scenario",
    "kind",
    "rate_bps",
    "flows",
    "interval_s",
    "alpha",
    "reward",
    "utilisation",
    "delay_s",
    "best_reward",
    "best_utilisation",
    "best_delay_s",
    "best_limit_frames",
    "longer_reward",
    "longer_best_reward",
)

Row = list[str]


def longer(task: Task) -> Task:
    """Give the same scenario with every delay `LONGER` times as long."""
    topology = task.scenario.topology
    wired = [link for link in topology.links.values() if isinstance(link, WiredLink)]
    links = [replace(link, delay_s=LONGER * link.delay_s) for link in wired]
    stretched = Topology(topology.nodes.values(), links, name=topology.name)
    return replace(task, scenario=replace(task.scenario, topology=stretched))


def _worth(outcome: Outcome, alpha: float) -> float:
    return outcome.utilisation - alpha * outcome.delay_s


def judge(work: tuple[Network, int, list[int], Ranges]) -> list[Row]:
    """Give the rows of some scenarios: what the policy and what the best fixed limit reach."""
    network, seed, indices, ranges = work
    rows = []
    for index in indices:
        task = draw_task(seed, index, ranges)
        fixed, again = fixed_outcomes(task, LIMITS), fixed_outcomes(longer(task), LIMITS)
        for alpha in ALPHAS:
            ours = policy_outcome(network, task, alpha)
            worth, worth_again = ([_worth(one, alpha) for one in tried] for tried in (fixed, again))
            place = int(np.argmax(worth))
            best = fixed[place]
            figures = (
                *(_worth(ours, alpha), ours.utilisation, ours.delay_s),
                *(worth[place], best.utilisation, best.delay_s),
            )
            about = (index, task.kind, task.rate_bps, task.flows, f"{task.interval_s:.4f}", f"{alpha:g}")
            luck = (worth_again[place], max(worth_again))
            row = [*map(str, about), *(f"{value:.6f}" for value in figures), str(LIMITS[place])]
            rows.append(row + [f"{value:.6f}" for value in luck])
    return rows


def _known(path: Path) -> dict[int, list[Row]]:
    known: dict[int, list[Row]] = defaultdict(list)
    if path.exists():
        with path.open(newline="") as stream:
            for row in list(csv.reader(stream))[1:]:
                known[int(row[0])].append(row)
    return {index: rows for index, rows in known.items() if len(rows) == len(ALPHAS)}


def _report(rows: list[Row]) -> None:
    columns = {name: np.array([row[place] for row in rows]) for place, name in enumerate(COLUMNS)}
    heads = (f"{f'alpha {alpha:g}':>32}{'again':>10}" for alpha in ALPHAS)
    print(f"{'kind':16}{'runs':>6}" + "".join(heads))
    for kind in [*sorted(set(columns["kind"])), "all"]:
        cells = ""
        for alpha in ALPHAS:
            chosen = (columns["alpha"] == f"{alpha:g}") & ((columns["kind"] == kind) | (kind == "all"))
            names = ("reward", "best_reward", "longer_reward", "longer_best_reward")
            ours, best, kept, best_again = (columns[name][chosen].astype(float).mean() for name in names)
            cells += f"{ours:11.4f} of {best:7.4f} {100 * (1 - ours / best):+8.2f} %"
            cells += f"{100 * (1 - kept / best_again):+8.2f} %"
        print(f"{kind:16}{int(chosen.sum()):6}  {cells}")


def main() -> None:
    """Judge."""
    parser = options(__doc__, "lfq_regret", "40 scenarios")
    parser.add_argument("--scenarios", type=int, default=500)
    parser.add_argument("--senders", nargs="+", choices=SENDERS, default=list(SENDERS))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--cluster", metavar="ADDRESS", help="run on this Dask cluster")
    arguments = parser.parse_args()
    judged = arguments.weights or SHIPPED
    network = load_network(judged)
    lossy = any(name in LOSS_BASED for name in arguments.senders)
    kinds = tuple(kind for kind in arguments.kinds if kind != "paper" or lossy)
    if not kinds:
        raise ValueRefusedError("--kinds paper: its flows are NewReno, CUBIC or BIC; name one of --senders")
    card = {
        "seed": arguments.seed,
        "senders": arguments.senders,
        "kinds": kinds,
        "weights_sha256": weights_sha256(judged),
        "longer": LONGER,
    }
    claim(arguments.out / "lfq_regret.json", card)
    prepare()
    ranges = Ranges(senders=tuple(arguments.senders), kinds=kinds, most_packets=MOST_PACKETS)
    count = 40 if arguments.quick else arguments.scenarios
    path = arguments.out / "lfq_regret.csv"
    known = _known(path)
    missing = [index for index in range(count) if index not in known]
    begins = range(0, len(missing), CHUNK)
    work = [(network, arguments.seed, missing[begin : begin + CHUNK], ranges) for begin in begins]
    with path.open("w", newline="") as stream, workers(arguments.jobs, arguments.cluster) as jobs:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for rows in known.values():
            writer.writerows(rows)
        stream.flush()
        for rows in each(judge, work, jobs, "scenarios"):
            writer.writerows(rows)
            stream.flush()
    _report([row for index, rows in sorted(_known(path).items()) if index < count for row in rows])


if __name__ == "__main__":
    run_command(main)
