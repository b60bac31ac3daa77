"""Earliest deadline first: the user whose oldest packet has least time left."""

from __future__ import annotations

import numpy as np

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.multiuser.contract import SlotView


def earliest_deadline(view: SlotView) -> Float:
    """Return the age of the oldest packet, ties to the higher rate; deadlines are the same for all."""
    top = np.maximum(view.rate_bits.max(axis=-1, keepdims=True), 1.0)
    return np.asarray(view.head_age_slots + 0.5 * view.rate_bits / top)
