"""The error rate to aim at when a buffer waits in front of the radio, and which model to trust where.

A small target makes the radio slow and the buffer overflow; a large one loses packets on the air. Measured
against `simulate_queue` (``python -m experiments.crosslayer_queue_aware``): the chains miss the overflow by
factors, the replay is within a quarter from a Doppler per slot of 0.005 to 0.1 where overflow is not rare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qos.crosslayer.queueing.buffered_link import BufferedLink, QueueFigures
from qos.crosslayer.queueing.clarke_replay import replay_queue
from qos.crosslayer.queueing.joint_chain import CHAINS, solve_chain
from qos.errors import ValueRefusedError

MODELS = (*CHAINS, "clarke-replay")
REPLAY_RANGE = (0.005, 0.1)
"""Dopplers per slot at which the replay was held against simulation."""

MAX_RELATIVE_ERROR = 0.25


@dataclass(frozen=True)
class Target:
    """A target error rate and what it leads to."""

    error_rate: float
    figures: QueueFigures


def predict(link: BufferedLink, target: float, model: str = "clarke-replay") -> QueueFigures:
    """Predict a buffered link by a model, refusing where the model does not hold.

    Raises
    ------
    ValueRefusedError
        If the model is unknown, or does not hold there; the message names one that does.
    """
    if model in CHAINS:
        return solve_chain(link, target, model)
    if model != "clarke-replay":
        raise ValueRefusedError(f"queue model {model!r} is unknown; use one of {', '.join(MODELS)}")
    low, high = REPLAY_RANGE
    if not low <= link.doppler_slot <= high:
        raise ValueRefusedError(
            f"Doppler per slot {link.doppler_slot:g} is outside {low:g} to {high:g}, where the replay was "
            "checked; use the first-order chain, which is on the safe side"
        )
    figures = replay_queue(link, target)
    if figures.overflow_error > MAX_RELATIVE_ERROR / 2 * max(figures.overflow, 1e-300):
        raise ValueRefusedError(
            f"overflow is too rare to predict by replay (about {figures.overflow:.1e}); "
            "use the first-order chain, which is on the safe side"
        )
    return figures


def best_target(link: BufferedLink, model: str = "first-order") -> Target:
    """Find the target error rate with the least loss in the buffer and on the air together.

    The replay uses the same fading for every target, so that their difference is not noise.
    """

    def at(log_target: float) -> Target:
        target = math.exp(log_target)
        figures = replay_queue(link, target) if model == "clarke-replay" else predict(link, target, model)
        return Target(target, figures)

    low, high = math.log(1e-6), math.log(0.9)
    best: Target | None = None
    for points in (13, 9, 9):
        grid = np.linspace(low, high, points)
        tried = [at(float(point)) for point in grid]
        index = int(np.argmin([each.figures.loss for each in tried]))
        if best is None or tried[index].figures.loss < best.figures.loss:
            best = tried[index]
        low, high = float(grid[max(index - 1, 0)]), float(grid[min(index + 1, points - 1)])
    assert best is not None
    return best
