"""A limit policy over a link whose rate is foreseen: its limits follow the rate and so keep their time.

A limit in bytes is a time at a rate. A policy that is polled learns a new rate only from what left the queue;
a radio that knows its mode can say before what it will carry. The limits of the policy are taken as being
for the rate that was told lately, and are scaled to the one that is expected.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from schedulers.packet.limits.contract import FlowCounters, Int64, LimitPolicy, QueueContext

MEMORY_S = 0.5
"""Over this time the policy is taken to have learnt a rate by itself."""

LEAST_FACTOR, LARGEST_FACTOR = 0.5, 1.5


class Forecast:
    """Scales the limits of a policy by a rate that is told.

    Parameters
    ----------
    policy
        The policy; it sees its own limits, not the scaled ones.
    context
        The queue.
    """

    def __init__(self, policy: LimitPolicy, context: QueueContext) -> None:
        self._policy = policy
        self._least, self._most = context.min_limit_bytes, context.max_limit_bytes
        self._own = np.full(context.slots, context.initial_limit_bytes, dtype=np.int64)
        self._told_bps = self._usual_bps = float(context.rate_bps)

    def tell(self, rate_bps: float) -> None:
        """Say what the link is expected to carry until the next poll, bit/s, at least 0."""
        self._told_bps = max(rate_bps, 0.0)

    def limits(self, counters: FlowCounters, dt_s: float) -> Int64:
        """Return the limits for the rate that was told, shape ``(n,)``."""
        slot = counters.slot
        own = np.where(counters.is_new, counters.limit_bytes, self._own[slot])
        wanted = self._policy.limits(replace(counters, limit_bytes=own), dt_s)
        self._own[slot] = wanted
        self._usual_bps += (1 - math.exp(-dt_s / MEMORY_S)) * (self._told_bps - self._usual_bps)
        factor = self._told_bps / max(self._usual_bps, 1.0)
        scaled = wanted * min(max(factor, LEAST_FACTOR), LARGEST_FACTOR)
        limits: Int64 = np.clip(scaled, self._least, self._most).astype(np.int64)
        return limits

    def first_limit_bytes(self, active_flows: int) -> int:
        """Return what the policy gives the queues that nobody uses."""
        return self._policy.first_limit_bytes(active_flows)
