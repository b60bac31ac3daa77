"""Modified largest weighted delay first (Andrews et al., Prob. Eng. Inf. Sci. 18, 2004)."""

from __future__ import annotations

import numpy as np

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.multiuser.contract import SlotView


def mlwdf(view: SlotView) -> Float:
    """Return ``a W r / R`` with the served mean for R."""
    return np.asarray(view.urgency * view.rate_bits / view.served_bits)


def mlwdf_mean(view: SlotView) -> Float:
    """Return ``a W r / R`` with the rate's own mean (the topology's) for R."""
    return np.asarray(view.urgency * view.rate_bits / view.mean_rate_bits)
