"""Choosing among policies by what they do on scenarios that none was fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qos.simulation.simulation import Simulation
from qos.training.reward import Outcome, outcome_since
from qos.training.rollout import FRAME_BYTES, NS, bounds_of, fresh_progress, roll
from qos.training.scenarios import Ranges, Task, draw_task
from schedulers.packet.limits.lfq.step import Network

JUDGED_ALPHAS = (21.0, 5.0, 1.0)
"""Prices of delay (1/s) with which candidates are compared."""
WORST = 0.3
"""No scenario counts for more than this: a few hopeless ones must not decide."""


def rewards_of(network: Network, seed: int, index: int, ranges: Ranges) -> NDArray[np.float64]:
    """Run one scenario from its beginning with each price of delay.

    Parameters
    ----------
    network
        The policy.
    seed, index, ranges
        Which scenario: see `qos.training.scenarios.draw_task`.

    Returns
    -------
    The rewards, shape ``(alphas,)``.
    """
    task = draw_task(seed, index, ranges)
    return np.array([policy_outcome(network, task, alpha).reward(alpha) for alpha in JUDGED_ALPHAS])


def policy_outcome(network: Network, task: Task, alpha: float) -> Outcome:
    """Run a scenario from its beginning under the policy.

    Parameters
    ----------
    network
        The policy.
    task
        The scenario; its own alpha does not count.
    alpha
        The price of delay, 1/s.
    """
    simulation = Simulation(task.scenario)
    queue_id = simulation.paths.directions.index(("bottleneck", "router"))
    bounds = bounds_of(network, task.rate_bps, task.interval_s, alpha)
    simulation.set_limits(queue_id, int(bounds.start_bytes))
    progress = fresh_progress(max(task.flows, 2), 0, bounds.interval_ns)
    roll(simulation, queue_id, network, bounds, progress, round(task.scenario.duration_s * NS))
    return outcome_since(simulation, task, queue_id)


def fixed_outcomes(task: Task, limits_frames: Sequence[int]) -> list[Outcome]:
    """Run a scenario once with each of some limits, the same for every flow and for the whole run.

    Parameters
    ----------
    task
        The scenario.
    limits_frames
        Limits in largest frames, at least 1.

    Returns
    -------
    One a limit, the least limit first.
    """
    outcomes: list[Outcome] = []
    for frames in sorted(limits_frames):
        simulation = Simulation(task.scenario)
        queue_id = simulation.paths.directions.index(("bottleneck", "router"))
        simulation.set_limits(queue_id, int(frames * FRAME_BYTES))
        simulation.run_until(task.scenario.duration_s)
        outcomes.append(outcome_since(simulation, task, queue_id))
        if not simulation.queue_counters(queue_id).dropped_packets.any():
            # With a longer limit nothing would have been different.
            return outcomes + [outcomes[-1]] * (len(limits_frames) - len(outcomes))
    return outcomes


def scores(rewards: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compare candidates run by run with the best of them.

    Parameters
    ----------
    rewards
        Shape ``(candidates, runs)``.

    Returns
    -------
    Mean of what each gives away, 0 or less, shape ``(candidates,)``; a run counts `WORST` at most.
    """
    behind: NDArray[np.float64] = np.maximum(rewards - rewards.max(axis=0), -WORST).mean(axis=1)
    return behind
