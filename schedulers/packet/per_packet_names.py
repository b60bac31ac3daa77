"""Names, numbers and needs of the limit policies that decide at every packet; without compiled code."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from schedulers.packet.lfq_2020.memory import WIDTH
from schedulers.packet.lfq_2020.weights import DEFAULT_WEIGHTS, load_weights

NUMBERS = MappingProxyType({"share": 1, "lfq-2020": 2})
"""Number of each policy in a queue's record; 0 means none."""

MEMORY_WIDTHS = MappingProxyType({"share": 2, "lfq-2020": WIDTH})
"""Float64 numbers that each policy keeps of every sub-queue."""

NAMES = tuple(NUMBERS)

_SHARE = (0.02, 4.0)


def default_parameters(policy: str) -> NDArray[np.float64]:
    """Give what a policy works with where nothing else is given; one zero for no policy."""
    if policy == "lfq-2020":
        return load_weights(DEFAULT_WEIGHTS)
    return np.array(_SHARE if policy == "share" else (0.0,), np.float64)
