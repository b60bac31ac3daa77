"""`sawtooth`: the smallest limit at which a flow's queue just does not run empty.

A loss-driven sender fills its queue, loses a packet, backs off, and fills it again. What its queue
never falls below between two losses is wasted delay; a queue that runs empty wastes the link. So
each flow's smallest backlog over a window that spans several polls is driven to a small margin:
above it, the limit falls by a part of the excess; where the queue ran empty after losses, it rises.
A new flow starts with 25 ms of its fair share. One that neither fills its queue nor loses packets
is left alone. This is the buffer rule of Appenzeller, Keslassy and McKeown, "Sizing router buffers"
(SIGCOMM 2004), section 3, found by feedback instead of from the RTT.
"""

from __future__ import annotations

import numpy as np

from schedulers.packet.limits.contract import FlowCounters, Int64, QueueContext

WINDOW_S = 0.5
"""A window ends after this time and a loss; the sawtooth of a flow in its own queue is about this long."""
LONGEST_WINDOW_S = 4.0
MARGIN_FRAMES = 1
SHRINK_GAIN = 0.7
GROW_FACTOR = 1.2
START_S = 0.025
"""A new flow may queue this much of its fair share of the link, and at least `START_FRAMES`."""
START_FRAMES = 10
START_PHASE_S = 0.5
"""Flows often come in groups: the share follows the number of flows for this long."""
EMPTY_SHARE = 0.05
"""A queue found empty at more than this share of the polls between losses is too short."""
FLOOR_FRAMES = 5
"""Below this a sender has too few packets in flight for fast retransmit (RFC 5681, three duplicates)."""


class Sawtooth:
    """Per-flow feedback on the smallest backlog between losses.

    Parameters
    ----------
    context
        The queue that is served.
    """

    def __init__(self, context: QueueContext) -> None:
        self._frame = context.mtu_bytes
        self._first_bytes = context.initial_limit_bytes
        self._start_bytes = context.rate_bps * START_S / 8
        self._low = max(context.min_limit_bytes, FLOOR_FRAMES * context.mtu_bytes)
        self._high = max(context.max_limit_bytes, self._low)
        self._smallest = np.zeros(context.slots, np.int64)
        self._largest = np.zeros(context.slots, np.int64)
        self._elapsed_s = np.zeros(context.slots)
        self._drops = np.zeros(context.slots, np.int64)
        self._empty_s = np.zeros(context.slots)
        self._age_s = np.zeros(context.slots)

    def first_limit_bytes(self, active_flows: int) -> int:  # noqa: ARG002
        """Return the limit that a queue had at the beginning."""
        return self._first_bytes

    def limits(self, counters: FlowCounters, dt_s: float) -> Int64:
        """Return the limits after this poll; most stay as they are."""
        slot = counters.slot
        self._restart(slot[counters.is_new])
        self._smallest[slot] = np.minimum(self._smallest[slot], counters.backlog_bytes)
        self._largest[slot] = np.maximum(self._largest[slot], counters.backlog_bytes)
        self._elapsed_s[slot] += dt_s
        self._empty_s[slot] += dt_s * (counters.backlog_bytes == 0)
        self._drops[slot] += counters.dropped_packets
        elapsed, drops = self._elapsed_s[slot], self._drops[slot]
        ends = ((elapsed >= WINDOW_S) & (drops > 0)) | (elapsed >= LONGEST_WINDOW_S)
        limit = counters.limit_bytes.copy()
        self._age_s[slot[counters.is_new]] = 0.0
        self._age_s[slot] += dt_s
        young = self._age_s[slot] <= START_PHASE_S
        if young.any():
            share = max(int(self._start_bytes / len(slot)), START_FRAMES * self._frame, self._low)
            limit[young] = np.minimum(limit[young], share)
        if ends.any():
            limit[ends] = self._decide(slot[ends], limit[ends])
            self._restart(slot[ends])
        return limit

    def _decide(self, slot: Int64, limit: Int64) -> Int64:
        smallest, largest, drops = self._smallest[slot], self._largest[slot], self._drops[slot]
        margin = MARGIN_FRAMES * self._frame
        excess = np.maximum(smallest - margin, 0)
        shrunk = limit - (SHRINK_GAIN * excess).astype(np.int64)
        grown = (GROW_FACTOR * limit).astype(np.int64) + self._frame
        empty_share = self._empty_s[slot] / self._elapsed_s[slot]
        ran_empty = (empty_share > EMPTY_SHARE) & (drops > 0) & (largest > 0)
        changed = np.where(ran_empty, grown, np.where(excess > 0, shrunk, limit))
        return np.where(changed == limit, limit, np.clip(changed, self._low, self._high))

    def _restart(self, slot: Int64) -> None:
        self._smallest[slot] = np.iinfo(np.int64).max
        self._largest[slot] = 0
        self._elapsed_s[slot] = 0.0
        self._empty_s[slot] = 0.0
        self._drops[slot] = 0
