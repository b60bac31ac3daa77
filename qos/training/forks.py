"""What every limit would have been worth: forks from states that the policy gets into.

At random polls of a random scenario the simulation is forked once for each of a grid of factors; in each
fork all limits are multiplied by the factor and stay, to the end of the scenario. What the link carried
and what waited in each fork, as curves over the factor, tell the worth of any limit for any alpha.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qos.simulation.simulation import Simulation
from qos.training.reward import outcome_since
from qos.training.rollout import (
    FRAME_BYTES,
    MOST_BYTES,
    NS,
    Bounds,
    Progress,
    bounds_of,
    fresh_progress,
    gather,
    roll,
    table_of,
)
from qos.training.scenarios import ALPHA_RANGE, Ranges, Task, draw_task
from schedulers.packet.limits.lfq import step
from schedulers.packet.limits.lfq.step import LEAST_FRAMES, Float64, Network, Poll

FACTORS = np.exp(np.linspace(-2.8, 2.8, 15))
ALPHAS = 4
"""For each state the features are computed for so many prices."""
FLOWS_KEPT = 3
STATES = 4
LEAST_REST = 0.3
"""A fork runs at least this part of the scenario."""


@dataclass(frozen=True, slots=True)
class Samples:
    """States and what limits were worth in them.

    Attributes
    ----------
    features
        Shape ``(m, FEATURES)``.
    alpha
        Shape ``(m,)``.
    utilisation, delay_s, shortfall
        Shape ``(m, factors)``.
    """

    features: Float64
    alpha: Float64
    utilisation: Float64
    delay_s: Float64
    shortfall: Float64


def _poll_times(rng: np.random.Generator, task: Task) -> list[int]:
    """Choose polls: the first ones more often, where slow start is decided."""
    last = task.scenario.duration_s * (1 - LEAST_REST)
    early = rng.uniform(task.interval_s, min(1.0, last), STATES // 2)
    late = rng.uniform(task.interval_s, last, STATES - STATES // 2)
    return sorted({max(int(t / task.interval_s), 1) for t in (*early, *late)})


def _curves(
    simulation: Simulation, task: Task, queue_id: int, limits: Float64, active: np.ndarray
) -> Float64:
    snapshot = simulation.snapshot()
    rows = []
    for factor in FACTORS:
        fork = snapshot.fork()
        chosen = np.clip(limits * factor, LEAST_FRAMES * FRAME_BYTES, MOST_BYTES).astype(np.int64)
        fork.set_limits(queue_id, chosen, slots=active)
        fork.run_until(task.scenario.duration_s)
        result = outcome_since(fork, task, queue_id, simulation)
        rows.append((result.utilisation, result.delay_s, result.shortfall))
    return np.array(rows).T


def collect(seed: int, index: int, network: Network, ranges: Ranges, noise: float) -> Samples | None:
    """Run one scenario under a policy and fork it at some of its polls.

    Parameters
    ----------
    seed, index
        Which scenario.
    network
        The policy that leads there.
    ranges
        What scenarios are drawn from.
    noise
        Limits are thrown off by this much (standard deviation of the logarithm) before a fork: the
        policy must know its way back.
    """
    task = draw_task(seed, index, ranges)
    rng = np.random.default_rng([seed, index, 1])
    simulation = Simulation(task.scenario)
    queue_id = simulation.paths.directions.index(("bottleneck", "router"))
    count = max(task.flows, 2)
    bounds = bounds_of(network, task.rate_bps, task.interval_s, task.alpha)
    interval_ns = bounds.interval_ns
    start = bounds.start_bytes * np.exp(rng.normal(0, noise))
    simulation.set_limits(queue_id, int(np.clip(start, bounds.least_bytes, bounds.most_bytes)))
    progress = fresh_progress(count, 0, interval_ns)
    columns: list[list[Float64]] = [[], [], [], [], []]
    for number in _poll_times(rng, task):
        at_ns = number * interval_ns
        if at_ns <= progress.clock_ns[1]:
            continue
        roll(simulation, queue_id, network, bounds, progress, at_ns - 1)
        simulation.run_until(at_ns / NS)
        state = _state(simulation, queue_id, bounds, progress, rng)
        if state is not None:
            active, limits, prices, x = state
            curves = _curves(simulation, task, queue_id, limits, active)
            for price, features in zip(prices, x, strict=True):
                kept = rng.permutation(len(active))[:FLOWS_KEPT]
                columns[0].append(features[:, kept].T)
                columns[1].append(np.full(len(kept), price))
                for place, curve in enumerate(curves):
                    columns[2 + place].append(np.tile(curve, (len(kept), 1)))
        _disturb(simulation, queue_id, count, noise, rng)
    if not columns[0]:
        return None
    return Samples(*(np.concatenate(column) for column in columns))


def _state(
    simulation: Simulation,
    queue_id: int,
    bounds: Bounds,
    progress: Progress,
    rng: np.random.Generator,
) -> tuple[np.ndarray, Float64, list[float], list[Float64]] | None:
    """Compute the features at a poll, for some prices, and leave the progress as it was."""
    count = progress.seen.shape[1]
    dt_s = (int(progress.clock_ns[0]) - int(progress.clock_ns[1])) * 1e-9
    copy = Progress(
        progress.memory.copy(),
        progress.link.copy(),
        progress.seen.copy(),
        progress.quiet_s.copy(),
        progress.clock_ns.copy(),
    )
    active, figures, memory = gather(table_of(simulation, queue_id, count).copy(), bounds, copy, dt_s)
    if not len(active):
        return None
    poll = Poll(*figures)
    step.remember(memory, copy.link, poll, dt_s)
    prices = [float(np.exp(rng.uniform(*np.log(ALPHA_RANGE)))) for _ in range(ALPHAS)]
    x = [step.features(memory, copy.link, poll, dt_s, price, bounds.frame_bytes) for price in prices]
    return active, figures[4], prices, x


def _disturb(
    simulation: Simulation, queue_id: int, count: int, noise: float, rng: np.random.Generator
) -> None:
    table = table_of(simulation, queue_id, count)
    thrown = table["limit_bytes"] * np.exp(rng.normal(0, noise, count))
    table["limit_bytes"] = np.clip(thrown, LEAST_FRAMES * FRAME_BYTES, MOST_BYTES).astype(np.int64)
