"""Polishing of the learned queue's policy by evolution strategies, in whole runs.

The fit to forks learns what a limit would be worth if it stayed. What the policy is worth in motion is only
seen in whole runs: so what speaks last in the network (its output, the direct weights, paces and first
limits) is thrown off a little, to both sides, in whole scenarios, and follows what that gained. The gradient
is estimated from antithetic pairs (Salimans et al., "Evolution Strategies as a Scalable Alternative to
Reinforcement Learning", arXiv 1703.03864), each drawn anew for a scenario of its own, and followed with Adam
(Kingma and Ba, arXiv 1412.6980); what counts is the average of the iterates (Shamir and Zhang, ICML 2013).
Everything is drawn by (seed, generation, number): the result is the same on any number of processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed

from qos.simulation.simulation import Simulation, Snapshot
from qos.training.reward import Outcome, outcome_since
from qos.training.rollout import NS, bounds_of, fresh_progress, roll
from qos.training.scenarios import Ranges, Task, draw_task
from schedulers.packet.limits.lfq.memory import Float64
from schedulers.packet.limits.lfq.network import pack, unpack
from schedulers.packet.limits.lfq.step import Network

CLIP = 0.1
"""A pair counts for at most this difference of rewards: a timeout more or less must not decide."""
ALPHA_RANGE = (0.7, 25.0)
OUTPUT_SIGMA, DIRECT_SIGMA, BIAS_SIGMA, PACE_SIGMA = 0.06, 0.03, 0.04, 0.1
START_SIGMA = (0.12, 0.05, 0.1)
"""How far weights are thrown off (standard deviations): limits then change by a quarter or so."""
FIRST_WEIGHT, SECOND_WEIGHT = 0.1, 0.02
AVERAGED_POWER = 8
"""The average weighs iterate t about as t to this power."""


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes
    ----------
    generations
        Steps of the search.
    scenarios
        Scenarios a generation.
    pairs
        Antithetic pairs a scenario.
    learning_rate, final_learning_rate
        Of Adam, at the first and last generation, in standard deviations of the noise; geometric between.
    seed
        Of the scenarios and the noise.
    ranges
        What scenarios are drawn from; their alpha is drawn anew, from `ALPHA_RANGE`.
    jobs
        Processes; -1: one a core.
    """

    generations: int
    scenarios: int = 400
    pairs: int = 3
    learning_rate: float = 0.25
    final_learning_rate: float = 0.04
    seed: int = 1
    ranges: Ranges = field(default_factory=Ranges)
    jobs: int = -1


class Search(NamedTuple):
    """Where a search stands, so that it can go on.

    Attributes
    ----------
    steps
        Generations done.
    theta, average
        The latest weights, and the average of all so far, which is what counts.
    first, second
        Adam's moments.
    """

    steps: int
    theta: Float64
    average: Float64
    first: Float64
    second: Float64


def begin(theta: Float64) -> Search:
    """Give a search that begins with weights, from `pack`."""
    theta = np.array(theta, np.float64)
    return Search(0, theta, theta, np.zeros_like(theta), np.zeros_like(theta))


@dataclass(frozen=True)
class Generation:
    """What a step of the search did: its mean reward, and where the search is then."""

    reward: float
    search: Search


class Bench:
    """A scenario that is built once and run many times from the same state."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._simulation = Simulation(task.scenario)
        self.queue_id = self._simulation.paths.directions.index(("bottleneck", "router"))
        self._snapshot: Snapshot = self._simulation.snapshot()

    def fresh(self) -> Simulation:
        """Put the simulation back to its beginning."""
        self._simulation.rewind(self._snapshot)
        return self._simulation

    def run(self, network: Network, alpha: float) -> Outcome:
        """Run the policy over the whole scenario."""
        task = self.task
        simulation = self.fresh()
        bounds = bounds_of(network, task.rate_bps, task.interval_s, alpha)
        simulation.set_limits(self.queue_id, int(bounds.start_bytes))
        progress = fresh_progress(max(task.flows, 2), 0, bounds.interval_ns)
        roll(simulation, self.queue_id, network, bounds, progress, round(task.scenario.duration_s * NS))
        return outcome_since(simulation, task, self.queue_id)

    def run_fixed(self, limit_bytes: int) -> Outcome:
        """Run the whole scenario with one limit for every flow."""
        simulation = self.fresh()
        simulation.set_limits(self.queue_id, limit_bytes)
        simulation.run_until(self.task.scenario.duration_s)
        return outcome_since(simulation, self.task, self.queue_id)


def spread(theta: Float64) -> Float64:
    """Give how far each of these weights is thrown off; what hidden units see stays as it is."""
    network = unpack(theta)
    parts = Network(*(np.zeros_like(array) for array in network))._replace(
        output=np.full_like(network.output, OUTPUT_SIGMA),
        direct=np.full_like(network.direct, DIRECT_SIGMA),
        bias=np.full_like(network.bias, BIAS_SIGMA),
        start=np.array(START_SIGMA),
        pace=np.full_like(network.pace, PACE_SIGMA),
    )
    return pack(parts)


def _gradient(theta: Float64, plan: Plan, generation: int, number: int) -> tuple[Float64, float]:
    """Estimate the gradient, in standard deviations, from one scenario; and its mean reward."""
    sigma = spread(theta)
    rng = np.random.default_rng((plan.seed, generation, number))
    bench = Bench(draw_task(plan.seed, generation * plan.scenarios + number, plan.ranges))
    alpha = float(np.exp(rng.uniform(*np.log(ALPHA_RANGE))))
    total, reward = np.zeros_like(theta), 0.0
    for _ in range(plan.pairs):
        noise = np.where(sigma > 0.0, rng.standard_normal(len(theta)), 0.0)
        there, back = (bench.run(unpack(theta + s * sigma * noise), alpha).reward(alpha) for s in (1, -1))
        total += np.clip(there - back, -CLIP, CLIP) / 2.0 * noise
        reward += (there + back) / 2.0
    return total / plan.pairs, reward / plan.pairs


def _step(search: Search, gradient: Float64, plan: Plan, sigma: Float64) -> Search:
    """Follow a gradient, which is in standard deviations of the noise."""
    steps = search.steps + 1
    first = search.first + FIRST_WEIGHT * (gradient - search.first)
    second = search.second + SECOND_WEIGHT * (gradient**2 - search.second)
    unbiased = first / (1 - (1 - FIRST_WEIGHT) ** steps)
    size = np.sqrt(second / (1 - (1 - SECOND_WEIGHT) ** steps)) + 1e-9
    decay = (plan.final_learning_rate / plan.learning_rate) ** (search.steps / max(plan.generations - 1, 1))
    theta = search.theta + plan.learning_rate * decay * sigma * unbiased / size
    weight = (AVERAGED_POWER + 1) / (steps + AVERAGED_POWER)
    return Search(steps, theta, search.average + weight * (theta - search.average), first, second)


def train(search: Search, plan: Plan) -> Iterator[Generation]:
    """Improve the weights, a generation at a time.

    Parameters
    ----------
    search
        Where to start: from `begin`, or where an earlier search with the same plan was left.
    plan
        How to train.

    Yields
    ------
    Generation
        After each generation that was not done yet.
    """
    sigma = spread(search.theta)
    with Parallel(n_jobs=plan.jobs) as parallel:
        for generation in range(search.steps, plan.generations):
            parts = parallel(
                delayed(_gradient)(search.theta, plan, generation, number) for number in range(plan.scenarios)
            )
            search = _step(search, np.mean([slope for slope, _ in parts], axis=0), plan, sigma)
            yield Generation(float(np.mean([reward for _, reward in parts])), search)
