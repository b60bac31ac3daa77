"""Train the policy `lfq`: forks of random scenarios, a fit to what they were worth, a choice, and a polish.

`python -m experiments.lfq_policy_training [--size NAME] [--without SENDER] [--seed N] [--out DIR]`

Each round forks scenarios under the policy of the round before; the network is fitted to all rounds. Then
fits from several seeds and paces are tried on scenarios that none was fitted to, and the best is kept
(DIR/chosen.npz). From there evolution strategies polish it in whole runs (DIR/polished.npz); the result lies
between the two (DIR/lfq.npz). Everything is counted, nothing is timed: the same seed gives the same
weights, on any number of processes. What a round has measured is kept in DIR, and a training that was
interrupted goes on from there. The size half takes 20 minutes on 64 cores, half of it the polish.

`--join FILE FILE` trains nothing: DIR/lfq.npz says the mean of what these networks say, which errs less.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from experiments.entry import claim
from experiments.entry import run as run_command
from qos.array_files import stored_arrays
from qos.simulation.simulation import prepare
from qos.training.evolution import Plan, Search, begin, train
from qos.training.forks import Samples, collect, joined
from qos.training.regression import fit
from qos.training.scenarios import SENDERS, Ranges
from qos.training.selection import rewards_of, scores
from qos.whole_files import whole_file
from qos.workers import each, workers
from schedulers.packet.limits.lfq.memory import Float64
from schedulers.packet.limits.lfq.network import first_network, pack, side_by_side, unpack
from schedulers.packet.limits.lfq.step import Network
from schedulers.packet.limits.lfq.weights import load_network, save_network

CHUNK = 10
NOISE = 0.7
PACES_UP = (0.06, 0.12, 0.2)
PACES_DOWN = (0.015, 0.03, 0.06)
PACES_CALM = (0.03, 0.1, 0.3)
LONGEST_S = 24.0
LARGE_EVERY = CHUNK
"""So often a scenario is large, see `Ranges`: one in each chunk of work."""
VALIDATION_SEED = 1_000_003
JUDGED_PACKETS = 30_000.0
POLISHED_PACKETS, POLISHED_LONGEST_S = 20_000.0, 12.0
KEPT_EVERY = 10
"""Generations after which the polish is kept."""
POLISH_SEED = 66
"""And the seed of the training: what is polished further is so in other scenarios."""
POLISHED_SHARE = 0.75
"""The result is so far from the chosen fit towards the polished one: between the two the noise of either is
less (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022)..."""
FIRST_LIMITS_SHARE = 0.5
"""... and its limits before the first loss so far. What they cost is mostly timeouts after a slow start that
overshot, and the polish counts no pair of runs for more than `evolution.CLIP`: it makes them too long."""


@dataclass(frozen=True)
class Schedule:
    """How much is done.

    Attributes
    ----------
    rounds
        Of each round of forks, scenarios and packets a scenario.
    epochs, fits
        Passes over the forks of a fit, and fits.
    judged
        Scenarios on which fits and paces are tried.
    polish
        Generations of the polish.
    """

    rounds: tuple[tuple[int, float], ...]
    epochs: int
    fits: int
    judged: int
    polish: int


SIZES = {
    "full": Schedule(((3_000, 15_000.0), (4_000, 30_000.0), (6_000, 40_000.0)), 40, 8, 600, 210),
    "half": Schedule(((1_500, 15_000.0), (2_500, 30_000.0), (4_500, 30_000.0)), 40, 8, 400, 140),
    "small": Schedule(((600, 15_000.0), (800, 30_000.0)), 40, 2, 150, 15),
    "quick": Schedule(((60, 5_000.0), (60, 5_000.0)), 40, 2, 30, 1),
}


def _chunk(work: tuple[int, int, Float64, Ranges]) -> list[Samples]:
    seed, begin, theta, ranges = work
    found = [collect(seed, index, unpack(theta), ranges, NOISE) for index in range(begin, begin + CHUNK)]
    return [samples for samples in found if samples is not None]


def _fitted(work: tuple[Float64, Samples, int, int]) -> tuple[Float64, float]:
    theta, samples, epochs, seed = work
    for epoch in fit(theta, samples, epochs, seed):
        theta, regret = epoch.theta, epoch.regret
    return theta, regret


def _round(
    path: Path,
    number: int,
    schedule: Schedule,
    theta: Float64,
    seed: int,
    senders: tuple[str, ...],
    jobs: int,
) -> Samples:
    if path.exists():
        with stored_arrays(path, "this command; delete it, and the round is run again") as stored:
            return Samples(**stored)
    count, packets = schedule.rounds[number]
    ranges = Ranges(senders=senders, most_packets=packets, longest_s=LONGEST_S, large_every=LARGE_EVERY)
    begins = range(number * 1_000_000, number * 1_000_000 + count, CHUNK)
    work = [(seed, begin, theta, ranges) for begin in begins]
    parts = list(each(_chunk, work, jobs, f"round {number + 1}"))
    samples = joined([found for part in parts for found in part])
    with whole_file(path) as new:
        np.savez(new, **{field.name: getattr(samples, field.name) for field in fields(Samples)})
    return samples


class Judge:
    """Tries networks on held-out scenarios."""

    def __init__(self, count: int, ranges: Ranges, jobs: int) -> None:
        self._count = count
        self._ranges = ranges
        self._jobs = jobs

    def best(self, candidates: Sequence[Network]) -> tuple[Network, Float64]:
        """Give the best candidate and what each gives away."""
        work = [(candidates, index, self._ranges) for index in range(self._count)]
        found = list(each(_rewards, work, self._jobs, "judging"))
        found_scores = scores(np.concatenate(found, axis=1))
        return candidates[int(found_scores.argmax())], found_scores


def _rewards(work: tuple[Sequence[Network], int, Ranges]) -> Float64:
    candidates, index, ranges = work
    return np.array([rewards_of(network, VALIDATION_SEED, index, ranges) for network in candidates])


def choose(candidates: list[Network], judge: Judge) -> Network:
    """Choose a fit, then its paces."""
    fitted, found = judge.best(candidates)
    print("fits:", np.round(found, 5), flush=True)
    calm = fitted.pace[2]
    paces = [np.array([np.log(up), np.log(down), calm]) for up in PACES_UP for down in PACES_DOWN]
    paced, found = judge.best([fitted._replace(pace=pace) for pace in paces])
    print("paces:", np.round(found, 5), flush=True)
    before_loss = [np.array([*paced.pace[:2], np.log(pace)]) for pace in PACES_CALM]
    paced, found = judge.best([paced._replace(pace=pace) for pace in before_loss])
    print("paces before a loss:", np.round(found, 5), "chosen:", np.exp(paced.pace), flush=True)
    return paced


def _kept(path: Path, chosen: Float64) -> Search:
    """Read where a polish of these weights was left; else it begins."""
    if path.exists():
        with stored_arrays(path, "this command; delete it, and the polish begins anew") as stored:
            if np.array_equal(stored["chosen"], chosen):
                return Search(int(stored["steps"]), *(stored[name] for name in Search._fields[1:]))
    return begin(chosen)


def _keep(path: Path, chosen: Float64, search: Search) -> None:
    with whole_file(path) as new:
        np.savez(new, chosen=chosen, **search._asdict())


def polish(
    chosen: Network, schedule: Schedule, senders: tuple[str, ...], seed: int, jobs: int, folder: Path
) -> Network:
    """Improve what was chosen in whole runs."""
    ranges = Ranges(
        senders=senders,
        most_packets=POLISHED_PACKETS,
        longest_s=POLISHED_LONGEST_S,
        large_every=LARGE_EVERY,
    )
    plan = Plan(schedule.polish, seed=POLISH_SEED + seed, ranges=ranges, jobs=jobs)
    path = folder / f"polish-{seed}-{schedule.polish}.npz"
    search = _kept(path, pack(chosen))
    for generation in train(search, plan):
        search = generation.search
        if search.steps % KEPT_EVERY == 0:
            _keep(path, pack(chosen), search)
            print(f"polish {search.steps}: reward {generation.reward:.4f}", flush=True)
    return unpack(search.average)


def between(chosen: Network, polished: Network) -> Network:
    """Give the result: `POLISHED_SHARE` of the way, its first limits `FIRST_LIMITS_SHARE` of it."""
    network = unpack((1.0 - POLISHED_SHARE) * pack(chosen) + POLISHED_SHARE * pack(polished))
    start = (1.0 - FIRST_LIMITS_SHARE) * chosen.start + FIRST_LIMITS_SHARE * polished.start
    return network._replace(start=start)


def _first(arguments: argparse.Namespace, senders: tuple[str, ...], jobs: int) -> Network:
    """Give what is polished: weights of a file, or those that were chosen, perhaps before an interruption."""
    if arguments.polish:
        return load_network(arguments.polish)
    chosen = arguments.out / "chosen.npz"
    return load_network(chosen) if chosen.exists() else _train(arguments, senders, jobs)


def _train(arguments: argparse.Namespace, senders: tuple[str, ...], jobs: int) -> Network:
    """Fork, fit and choose."""
    begun = time.monotonic()
    schedule = SIZES[arguments.size]
    theta = pack(first_network(arguments.seed))
    known: list[Samples] = []
    for number in range(len(schedule.rounds)):
        path = arguments.out / f"round{number + 1}.npz"
        known.append(_round(path, number, schedule, theta, arguments.seed, senders, jobs))
        if number + 1 < len(schedule.rounds):
            theta, regret = _fitted((theta, joined(known), schedule.epochs, arguments.seed))
            print(f"round {number + 1}: {len(known[-1].alpha)} states, regret {regret:.4f}", flush=True)
        print(f"{time.monotonic() - begun:.0f} s", flush=True)
    samples = joined(known)
    seeds = range(arguments.seed, arguments.seed + schedule.fits)
    work = [(pack(first_network(seed)), samples, schedule.epochs, seed) for seed in seeds]
    fits = list(each(_fitted, work, jobs, "fits"))
    print("regrets:", [round(regret, 5) for _, regret in fits], flush=True)
    ranges = Ranges(
        senders=senders, most_packets=JUDGED_PACKETS, longest_s=LONGEST_S, large_every=LARGE_EVERY
    )
    return choose([unpack(theta) for theta, _ in fits], Judge(schedule.judged, ranges, jobs))


def _card(arguments: argparse.Namespace, senders: tuple[str, ...]) -> dict[str, object]:
    """Say whose training it is: what of another lies in the folder would be taken up."""
    polished_from = str(arguments.polish) if arguments.polish else None  # then there are no rounds and fits
    card = {"seed": arguments.seed, "senders": senders, "polished_from": polished_from}
    return card | asdict(SIZES[arguments.size])


def _join(paths: list[Path], folder: Path) -> None:
    network = side_by_side([load_network(path) for path in paths])
    claim(folder / "lfq.json", {"joined": [str(path) for path in paths]})
    save_network(folder / "lfq.npz", network)
    print(folder / "lfq.npz", f"{len(network.first)} units a layer")


def _make(arguments: argparse.Namespace) -> None:
    begun = time.monotonic()
    schedule = SIZES[arguments.size]
    senders = tuple(name for name in SENDERS if name not in arguments.without)
    claim(arguments.out / "lfq.json", _card(arguments, senders))
    prepare()
    with workers(arguments.jobs, arguments.cluster) as jobs:
        save_network(arguments.out / "chosen.npz", _first(arguments, senders, jobs))
        chosen = load_network(arguments.out / "chosen.npz")  # in the precision in which it is kept
        polished = polish(chosen, schedule, senders, arguments.seed, jobs, arguments.out)
        save_network(arguments.out / "polished.npz", polished)
    save_network(arguments.out / "lfq.npz", between(chosen, polished))
    print(arguments.out / "lfq.npz", f"{time.monotonic() - begun:.0f} s")


def main() -> None:
    """Train, or join what was trained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--size", choices=SIZES, default="half", help="half made each shipped network; quick tries it"
    )
    parser.add_argument("--without", choices=SENDERS, action="append", default=[], help="leave a sender out")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--polish", type=Path, metavar="FILE", help="only polish these weights further")
    given.add_argument("--join", type=Path, nargs="+", metavar="FILE", help="only join these, side by side")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--cluster", metavar="ADDRESS", help="run on this Dask cluster")
    parser.add_argument("--out", type=Path, default=Path("results/lfq_policy_training"))
    arguments = parser.parse_args()
    if arguments.join:
        _join(arguments.join, arguments.out)
    else:
        _make(arguments)


if __name__ == "__main__":
    run_command(main)
