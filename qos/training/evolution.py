"""Training of the learned queue's policy by evolution strategies over forks of simulations.

Every scenario is built once and forked for each member of the population, so that members are compared on
exactly the same network and draws; what a member gains over the mean of its scenario is its score. The
gradient is estimated from antithetic pairs (Salimans et al., "Evolution Strategies as a Scalable
Alternative to Reinforcement Learning", arXiv 1703.03864) and followed with Adam (Kingma and Ba, arXiv
1412.6980). Scenarios are drawn by (seed, number): the result is the same on any number of processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from joblib import Parallel, delayed

from qos.simulation.simulation import Simulation, Snapshot
from qos.training.reward import Outcome, outcome_since
from qos.training.rollout import NS, bounds_of, fresh_progress, roll
from qos.training.scenarios import Ranges, Task, draw_task
from schedulers.packet.limits.lfq.network import unpack
from schedulers.packet.limits.lfq.step import Float64, Network

NOISE_FLOOR = 0.005
"""A scenario in which members differ by less than this hardly counts."""
CLIP = 2.5


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
        Antithetic pairs a generation.
    sigma
        Standard deviation of the noise.
    learning_rate, final_learning_rate
        Of Adam, at the first and last generation; geometric between.
    frozen
        So many numbers at the beginning of the weights stay as they are.
    seed
        Of the scenarios, the noise and the first weights.
    ranges
        What scenarios are drawn from.
    jobs
        Processes; -1: one a core.
    """

    generations: int
    scenarios: int = 48
    pairs: int = 32
    sigma: float = 0.04
    learning_rate: float = 0.03
    final_learning_rate: float = 0.005
    frozen: int = 0
    seed: int = 1
    ranges: Ranges = field(default_factory=Ranges)
    jobs: int = -1


@dataclass(frozen=True)
class Generation:
    """What a step of the search did: its number, means over the population, the weights so far."""

    number: int
    reward: float
    utilisation: float
    delay_price: float
    theta: Float64


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


def _noise(plan: Plan, generation: int, count: int) -> Float64:
    """Draw the noise of a generation, shape ``(pairs, count)``."""
    noise = np.random.default_rng((plan.seed, generation)).standard_normal((plan.pairs, count))
    noise[:, : plan.frozen] = 0.0
    return noise


def _scores(theta: Float64, plan: Plan, generation: int, indices: list[int]) -> tuple[Float64, Float64]:
    """Give each member's normalised score, shape ``(scenarios, 2 pairs)``, and means of the outcomes."""
    noise = plan.sigma * _noise(plan, generation, len(theta))
    networks = [unpack(theta + part) for part in (*noise, *-noise)]
    scores = np.empty((len(indices), len(networks)))
    means = np.empty((len(indices), 3))
    for row, index in enumerate(indices):
        bench = Bench(draw_task(plan.seed, index, plan.ranges))
        alpha = bench.task.alpha
        outcomes = [bench.run(network, alpha) for network in networks]
        rewards = np.array([o.reward(alpha) for o in outcomes])
        advantage = (rewards - rewards.mean()) / (rewards.std() + NOISE_FLOOR)
        scores[row] = np.clip(advantage, -CLIP, CLIP)
        means[row] = (
            rewards.mean(),
            np.mean([o.utilisation for o in outcomes]),
            alpha * np.mean([o.delay_s for o in outcomes]),
        )
    return scores, means


def train(theta: Float64, plan: Plan) -> Iterator[Generation]:
    """Improve the weights, a generation at a time.

    Parameters
    ----------
    theta
        Where to start, from `pack`.
    plan
        How to train.

    Yields
    ------
    Generation
        After each generation.
    """
    theta = np.array(theta, np.float64)
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    decay = (plan.final_learning_rate / plan.learning_rate) ** (1 / max(plan.generations - 1, 1))
    with Parallel(n_jobs=plan.jobs) as parallel:
        for generation in range(plan.generations):
            begin = generation * plan.scenarios
            parts = parallel(
                delayed(_scores)(theta, plan, generation, [begin + i]) for i in range(plan.scenarios)
            )
            total = np.concatenate([scores for scores, _ in parts]).mean(axis=0)
            means = np.concatenate([m for _, m in parts]).mean(axis=0)
            noise = _noise(plan, generation, len(theta))
            half = plan.pairs
            gradient = ((total[:half] - total[half:])[:, None] * noise).mean(axis=0) / plan.sigma / 2
            first = 0.9 * first + 0.1 * gradient
            second = 0.99 * second + 0.01 * gradient**2
            step = generation + 1
            rate = plan.learning_rate * decay**generation
            theta = theta + rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
            yield Generation(generation, float(means[0]), float(means[1]), float(means[2]), theta.copy())
