"""M-LWDF between efficiency and fairness: the rate over the square root of its mean, completions first.

Dividing by the mean rate serves everybody alike, which under heavy load spends most slots on the users
whose packets cost most; not dividing serves the cheap ones only. The square root of the mean lies
between; what is ours is that choice and the two deadline terms.
"""

from __future__ import annotations

import numpy as np

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.multiuser.contract import SlotView

HOPELESS = 1e-3
"""Weight of a packet that cannot be through in time any more: it goes only where nothing else waits."""


def mlwdf_sqrt(view: SlotView) -> Float:
    """Return ``a W r / sqrt(mean r)`` times the root of the share of the packet that the slot completes.

    A packet whose rest exceeds what the slots left would carry at the better of the present and the
    mean rate weighs `HOPELESS`.
    """
    slots_left = np.maximum(view.deadline_slots - view.head_age_slots + 1, 1)
    completes = np.minimum(1.0, view.rate_bits / np.maximum(view.head_bits, 1.0))
    weight = view.urgency * view.rate_bits / np.sqrt(view.mean_rate_bits) * np.sqrt(completes)
    reachable = slots_left * np.maximum(view.rate_bits, view.mean_rate_bits)
    return np.asarray(np.where(reachable < view.head_bits, weight * HOPELESS, weight))
