"""Room for flows that get less than their share beside others, whatever their policy wishes.

A fair queue shares the link only among flows whose queues hold packets. A sender that halves its window after
a loss empties a short queue for a while, and a sender that does not heed losses (BBR) takes that time: with
queues of 4 packets, six Reno and CUBIC flows had 4 Mbit/s each beside two BBR flows of 12. What helps is not
to shorten the queue of the one who has more, which is served by turns already, but to lengthen those that run
empty (Appenzeller, Keslassy and McKeown, SIGCOMM 2004: a queue that never runs empty loses nothing). So the
limits of flows that lose packets are controlled by what they are served: below `SHARE` of the mean of such
flows room grows, above it shrinks, both in proportion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schedulers.packet.limits.contract import FlowCounters, QueueContext

Float64 = NDArray[np.float64]

SHARE = 0.96
"""What a flow shall have of the mean at least; with 0.92 for three of four flows Jain's index is 0.98."""
RATE_S = 0.5
"""Served rates are means over about so long."""
GROWN_UP_S = 1.0
"""A flow is compared with others when it is so old; before, it is still looking for its rate."""
LOSSY_S = 3.0
"""A flow that lost no packet for so long has what it asks for."""
SILENT_S = 0.4
"""A flow that sent nothing for so long has ended or rests: longer than a timeout (RFC 6298; Linux: 0.2 s)."""
GAIN_PER_S = 4.0
"""The logarithm of the room changes by so much a second for each share that is missing..."""
FASTEST_PER_S = 1.0
"""... but by no more than this."""
MOST_S = 0.015
"""The room is at most what the mean flow sends in so long..."""
MOST_RTTS = 0.35
"""... or in this part of a round-trip time, where that is known and more..."""
MOST_FRAMES = 4
"""... or so many frames, if that is more."""
WORTH_WRITING = 0.02
"""A limit is not changed by less than this share."""


class FairRoom:
    """Remembers how each flow is served; one for each queue that is controlled.

    Parameters
    ----------
    context
        The queue that is served.
    """

    def __init__(self, context: QueueContext) -> None:
        self._frame = context.mtu_bytes
        self._most = float(context.max_limit_bytes)
        self._rate = np.zeros(context.slots)
        self._room = np.zeros(context.slots)
        self._age_s = np.zeros(context.slots)
        self._lossless_s = np.full(context.slots, np.inf)
        self._silent_s = np.full(context.slots, np.inf)

    def widen(self, wanted_bytes: Float64, counters: FlowCounters, dt_s: float, rtt_s: Float64) -> Float64:
        """Return the limits, none of them shorter than what a policy wants.

        Parameters
        ----------
        wanted_bytes
            What the policy wants for the flows of `counters`, shape ``(n,)``.
        counters
            What was counted since the previous call.
        dt_s
            Time since the previous call in seconds, > 0.
        rtt_s
            Round-trip times of the flows, shape ``(n,)``; 0 where they are not known.
        """
        self._remember(counters, dt_s)
        compared = (self._age_s >= GROWN_UP_S) & (self._lossless_s < LOSSY_S) & (self._silent_s < SILENT_S)
        mean = float(self._rate[compared].mean()) if np.count_nonzero(compared) >= 2 else 0.0
        missing = (
            np.where(compared, SHARE - self._rate / mean, -1.0) if mean else np.full(len(compared), -1.0)
        )
        slot = counters.slot
        begins = missing[slot] > 0.0
        self._room[slot[begins]] = np.maximum(self._room[slot], counters.limit_bytes)[begins]
        pace = np.clip(GAIN_PER_S * missing, -FASTEST_PER_S, FASTEST_PER_S)
        self._room *= np.exp(pace * dt_s)
        longest_s = np.maximum(MOST_RTTS * rtt_s, MOST_S)
        most = np.minimum(np.maximum(longest_s * mean, MOST_FRAMES * self._frame), self._most)
        self._room[slot] = np.minimum(self._room[slot], most)
        kept = np.abs(self._room[slot] - counters.limit_bytes) < WORTH_WRITING * counters.limit_bytes
        return np.maximum(wanted_bytes, np.where(kept, counters.limit_bytes, self._room[slot]))

    def _remember(self, counters: FlowCounters, dt_s: float) -> None:
        slot, new = counters.slot, counters.slot[counters.is_new]
        self._rate[new] = self._room[new] = self._age_s[new] = 0.0
        self._lossless_s[new] = np.inf
        weight = -np.expm1(-dt_s / RATE_S)
        self._rate *= 1.0 - weight
        self._rate[slot] += weight / dt_s * counters.sent_bytes
        for clock in (self._age_s, self._lossless_s, self._silent_s):
            clock += dt_s
        self._lossless_s[slot[counters.dropped_packets > 0]] = 0.0
        self._silent_s[slot] = 0.0
