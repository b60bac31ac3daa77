"""What every limit would have been worth: forks from states that the policy gets into.

At random polls of a random scenario the simulation is forked once for each of a grid of factors; in each
fork all wished limits are multiplied by the factor and stay, to the end of the scenario; those of flows that
have not lost a packet yet stay until they do, and then the policy goes on. What the link carried and what
waited in each fork, as curves over the factor, tell the worth of any limit for any alpha.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from qos.simulation.simulation import Simulation
from qos.training.reward import outcome_since
from qos.training.rollout import (
    FRAME_BYTES,
    MOST_BYTES,
    NS,
    Bounds,
    Progress,
    bounds_of,
    copy_of,
    fresh_progress,
    gather,
    roll,
    table_of,
)
from qos.training.scenarios import ALPHA_RANGE, Ranges, Task, draw_task
from schedulers.packet.limits.lfq import company as among_others
from schedulers.packet.limits.lfq import memory as remembered
from schedulers.packet.limits.lfq import step
from schedulers.packet.limits.lfq.company import LEAST_FRAMES
from schedulers.packet.limits.lfq.memory import Float32, Float64, Poll
from schedulers.packet.limits.lfq.step import Network

FACTORS = np.exp(np.linspace(-2.8, 2.8, 15))
ALPHAS = 4
"""For each state the features are computed for so many prices."""
FLOWS_KEPT = 3
STATES = 4
NO_PACE = -60.0
LEAST_REST = 0.3
"""A fork runs at least this part of the scenario."""


@dataclass(frozen=True, slots=True)
class _Run:
    """A policy on its way through a scenario."""

    network: Network
    bounds: Bounds
    progress: Progress


@dataclass(frozen=True, slots=True)
class _State:
    """What a poll shows: features of the active flows for some prices, and which flows are alike."""

    prices: list[float]
    features: list[Float32]
    is_early: bool
    alike: NDArray[np.bool_]


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

    features: Float32
    alpha: Float64
    utilisation: Float64
    delay_s: Float64
    shortfall: Float64


def joined(parts: list[Samples]) -> Samples:
    """Put samples behind each other."""
    names = [field.name for field in fields(Samples)]
    return Samples(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _poll_times(rng: np.random.Generator, task: Task) -> list[int]:
    """Choose polls: the first ones more often, where slow start is decided."""
    last = task.scenario.duration_s * (1 - LEAST_REST)
    early = rng.uniform(task.interval_s, min(1.0, last), STATES // 2)
    late = rng.uniform(task.interval_s, last, STATES - STATES // 2)
    return sorted({max(int(t / task.interval_s), 1) for t in (*early, *late)})


def _alike(memory: Float64, young_packets: Float64) -> tuple[bool, NDArray[np.bool_]]:
    """Say whether most flows have lost nothing yet, and which ones the state stands for, shape ``(n,)``.

    A flow that begins has a limit of its own, see `step.apply`.
    """
    calm = memory[remembered.EVENTS] == 0.0
    is_early = bool(2 * np.count_nonzero(calm) > len(calm))
    grown_up = memory[remembered.AGE_PACKETS] >= young_packets
    return is_early, calm & grown_up if is_early else ~calm


def _curves(simulation: Simulation, task: Task, queue_id: int, run: _Run, is_early: bool) -> Float64:
    """Fork once for each factor; what is measured begins at the poll that is due now."""
    snapshot = simulation.snapshot()
    end_ns = round(task.scenario.duration_s * NS)
    # The network has no say in a fork, but what else belongs to the policy goes on.
    paces = np.array([*run.network.pace[:2], NO_PACE]) if is_early else np.full(3, NO_PACE)
    frozen = run.network._replace(pace=paces)
    rows = []
    for factor in FACTORS:
        fork = snapshot.fork()
        progress = copy_of(run.progress)
        roll(fork, queue_id, frozen, run.bounds, progress, int(progress.clock_ns[0]))
        _multiply(fork, queue_id, run.bounds, progress, float(factor))
        roll(fork, queue_id, frozen, run.bounds, progress, end_ns)
        result = outcome_since(fork, task, queue_id, simulation)
        rows.append((result.utilisation, result.delay_s, result.shortfall))
    return np.array(rows).T


def _multiply(fork: Simulation, queue_id: int, bounds: Bounds, progress: Progress, factor: float) -> None:
    """Multiply the limits that the policy wishes, in its memory and in force."""
    memory = progress.memory
    table = table_of(fork, queue_id, memory.shape[1])
    known = np.flatnonzero(memory[remembered.IN_FORCE] > 0.0)
    wish = memory[remembered.LOG_LIMIT, known] + np.log(factor)
    wish = np.clip(wish, np.log(bounds.least_bytes), np.log(bounds.most_bytes))
    memory[remembered.LOG_LIMIT, known] = wish
    waits = table["bytes"][known] + step.ROOM_FRAMES * bounds.frame_bytes
    room = np.minimum(table["limit_bytes"][known], waits)
    limit = np.floor(np.maximum(np.exp(wish) + memory[remembered.ALLOWANCE, known], room))
    table["limit_bytes"][known] = limit.astype(np.int64)
    memory[remembered.IN_FORCE, known] = limit


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
    run = _Run(network, bounds, progress)
    parts: list[Samples] = []
    for number in _poll_times(rng, task):
        at_ns = number * interval_ns
        if at_ns <= progress.clock_ns[1]:
            continue
        roll(simulation, queue_id, network, bounds, progress, at_ns - 1)
        simulation.run_until(at_ns / NS)
        state = _state(simulation, queue_id, run, rng)
        if state is not None and len(flows := np.flatnonzero(state.alike)):
            curves = _curves(simulation, task, queue_id, run, state.is_early)
            for price, features in zip(state.prices, state.features, strict=True):
                kept = rng.permutation(flows)[:FLOWS_KEPT]
                each = (np.tile(curve, (len(kept), 1)) for curve in curves)
                parts.append(Samples(features[:, kept].T, np.full(len(kept), price), *each))
        _disturb(simulation, queue_id, count, noise, rng)
    return joined(parts) if parts else None


def _state(simulation: Simulation, queue_id: int, run: _Run, rng: np.random.Generator) -> _State | None:
    """Look at a poll, for some prices, and leave the progress as it was."""
    bounds, progress = run.bounds, run.progress
    count = progress.seen.shape[1]
    dt_s = (int(progress.clock_ns[0]) - int(progress.clock_ns[1])) * 1e-9
    copy = copy_of(progress)
    active, figures, memory = gather(table_of(simulation, queue_id, count).copy(), bounds, copy, dt_s)
    if not len(active):
        return None
    poll = Poll(*figures)
    remembered.measure(memory, copy.link, poll, dt_s, bounds.frame_bytes)
    remembered.count_timeouts(memory, poll, dt_s)
    remembered.remember(memory, poll, dt_s)
    prices = [float(np.exp(rng.uniform(*np.log(ALPHA_RANGE)))) for _ in range(ALPHAS)]
    shared = among_others.sharing(memory, bounds.link_bytes_s)
    remembered.listen(memory, poll, dt_s, shared.share_bytes_s, bounds.frame_bytes)
    x = [step.features(memory, copy.link, poll, dt_s, price, bounds.frame_bytes, shared) for price in prices]
    least, frame = bounds.least_bytes, bounds.frame_bytes
    among = among_others.company(run.network.start, memory, shared, bounds.beginning, least, frame)
    return _State(prices, x, *_alike(memory, among.young_packets))


def _disturb(
    simulation: Simulation, queue_id: int, count: int, noise: float, rng: np.random.Generator
) -> None:
    table = table_of(simulation, queue_id, count)
    thrown = table["limit_bytes"] * np.exp(rng.normal(0, noise, count))
    table["limit_bytes"] = np.clip(thrown, LEAST_FRAMES * FRAME_BYTES, MOST_BYTES).astype(np.int64)
