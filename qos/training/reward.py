"""What a queue is worth: bytes delivered against time spent waiting.

The LFQ paper's reward (arXiv 2007.02735, section III) in dimensionless form: the share of the link's
capacity that left the queue, minus alpha times the mean time that a byte sent at the link's rate waits.
For one flow it is the paper's ``B/T - alpha * Q`` divided by the rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.simulation.simulation import Simulation
from qos.training.scenarios import Task

UNFAIRNESS_PRICE = 0.5
"""What it costs when flows that want equal shares do not get them, per unit of the mean shortfall."""


@dataclass(frozen=True)
class Outcome:
    """What a queue did in a scenario.

    Attributes
    ----------
    utilisation
        Bytes that left over what the link could carry.
    delay_s
        Mean backlog over the rate: how long the mean queue takes to drain.
    shortfall
        How much the flows got less than an equal share, on average, 0 to 1; 0 where no equal share is due.
    """

    utilisation: float
    delay_s: float
    shortfall: float

    def reward(self, alpha: float) -> float:
        """Weigh the outcome; alpha in 1/s."""
        return self.utilisation - alpha * self.delay_s - UNFAIRNESS_PRICE * self.shortfall


def outcome_since(
    simulation: Simulation, task: Task, queue_id: int, earlier: Simulation | None = None
) -> Outcome:
    """Judge a simulation from a state that it went through to now.

    Parameters
    ----------
    simulation
        What has run.
    task
        Its scenario.
    queue_id
        The bottleneck's queue.
    earlier
        The same simulation earlier; None: from the beginning.
    """
    sent, area, now_ns = _figures(simulation, task, queue_id)
    if earlier is not None:
        sent_before, area_before, before_ns = _figures(earlier, task, queue_id)
        sent, area, now_ns = sent - sent_before, area - area_before, now_ns - before_ns
    capacity_bytes = task.rate_bps * now_ns * 1e-9 / 8
    shortfall = 0.0
    if task.elastic and task.flows > 1:
        shares = sent * task.flows / capacity_bytes
        shortfall = float(np.maximum(1.0 - shares, 0.0).mean())
    return Outcome(float(sent.sum()) / capacity_bytes, area / now_ns * 8 / task.rate_bps, shortfall)


def _figures(simulation: Simulation, task: Task, queue_id: int) -> tuple[NDArray[np.float64], float, float]:
    state = simulation.state
    record = state.queues[queue_id]
    first = int(record["first"])
    sent = state.subqueues["sent_bytes"][first : first + task.flows].astype(np.float64)
    now_ns = float(state.control["now_ns"][0])
    area = float(record["area_bytes_ns"]) + float(record["bytes"]) * (now_ns - float(record["changed_ns"]))
    return sent, area, now_ns
