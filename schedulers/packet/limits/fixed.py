"""`fixed:SIZE`: the same limit for every flow, whatever it does."""

from __future__ import annotations

import numpy as np

from schedulers.packet.limits.contract import FlowCounters, Int64, QueueContext


class Fixed:
    """One limit for all flows.

    Parameters
    ----------
    context
        The queue that is served.
    limit_bytes
        The limit; raised to ``context.min_limit_bytes`` where it is below.
    """

    def __init__(self, context: QueueContext, limit_bytes: int) -> None:
        self._limit_bytes = min(max(limit_bytes, context.min_limit_bytes), context.max_limit_bytes)

    def limits(self, counters: FlowCounters, dt_s: float) -> Int64:  # noqa: ARG002
        """Return the one limit for each flow."""
        return np.full(counters.slot.shape, self._limit_bytes, dtype=np.int64)

    def first_limit_bytes(self, active_flows: int) -> int:  # noqa: ARG002
        """Return the one limit."""
        return self._limit_bytes
