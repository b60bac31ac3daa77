"""EXP/PF: the exponential rule of Shakkottai & Stolyar (ITC-17, 2001) on proportional fair."""

from __future__ import annotations

import numpy as np

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.multiuser.contract import SlotView


def _exponential(view: SlotView) -> Float:
    waiting = view.queue_bits > 0
    count = np.maximum(waiting.sum(axis=-1, keepdims=True), 1)
    average = np.where(waiting, view.urgency, 0.0).sum(axis=-1, keepdims=True) / count
    return np.asarray(np.exp((view.urgency - average) / (1 + np.sqrt(average))))


def exp_pf(view: SlotView) -> Float:
    """Return ``exp((aW - mean aW) / (1 + sqrt(mean aW))) r / R`` with the served mean for R."""
    return np.asarray(_exponential(view) * view.rate_bits / view.served_bits)


def exp_mean(view: SlotView) -> Float:
    """Return the same with the rate's own mean (the topology's) for R."""
    return np.asarray(_exponential(view) * view.rate_bits / view.mean_rate_bits)
