"""The contract of a per-flow limit policy: polled counters in, limits in bytes out.

A policy sees only what a kernel's statistics dump carries, so the same policy runs over the
packet simulator and over a real interface. It is vectorised over the flows that are active; the
caller keeps idle flows away from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
"""An array of counters or sizes."""


@dataclass(frozen=True, slots=True)
class FlowCounters:
    """What one poll says of `n` active flows; every array has shape ``(n,)`` and type int64.

    Attributes
    ----------
    slot
        Queue number of each flow in ``[0, slots)``: where a policy keeps the flow's state.
    is_new
        True (bool) where the queue was idle before: the flow starts afresh, state is to be reset.
    sent_bytes, sent_packets
        What left the queue since the previous poll.
    dropped_packets
        What was dropped at the queue since the previous poll.
    backlog_bytes, backlog_packets
        What waits in the queue now.
    limit_bytes
        The limit in force now.
    quiet_s
        How long each queue had sent nothing and held nothing before the latest poll interval (float64);
        None: not known, taken as 0.
    """

    slot: Int64
    is_new: NDArray[np.bool_]
    sent_bytes: Int64
    sent_packets: Int64
    dropped_packets: Int64
    backlog_bytes: Int64
    backlog_packets: Int64
    limit_bytes: Int64
    quiet_s: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class QueueContext:
    """What a policy is told once about the queue that it serves.

    Attributes
    ----------
    slots
        Number of queues.
    rate_bps
        Rate of the bottleneck, in bit/s, > 0.
    mtu_bytes
        Largest frame of the device, in bytes.
    initial_limit_bytes
        Limit of a queue when a flow begins.
    min_limit_bytes
        No limit may be below this (a GSO super-packet where offloads stay on, else a few frames).
    max_limit_bytes
        No limit may be above this.
    """

    slots: int
    rate_bps: int
    mtu_bytes: int
    initial_limit_bytes: int
    min_limit_bytes: int
    max_limit_bytes: int


class LimitPolicy(Protocol):
    """Sets the buffer limit of every active flow, once a poll."""

    def limits(self, counters: FlowCounters, dt_s: float) -> Int64:
        """Return the limit in bytes of each flow of `counters`, shape ``(n,)``.

        Parameters
        ----------
        counters
            The active flows; never empty.
        dt_s
            Time since the previous poll in seconds, > 0.
        """
        ...

    def first_limit_bytes(self, active_flows: int) -> int:
        """Return the limit of the queues that nobody uses, in bytes: asked after each poll.

        Parameters
        ----------
        active_flows
            How many flows were active in the poll; 0 where `limits` was not asked.
        """
        ...
