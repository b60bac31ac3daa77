"""`lfq`: the learned policy, polled. One network for all rates, senders and preferences.

The idea is that of LFQ (arXiv 2007.02735): a small network looks at a flow's own queue and says how long it
may get. Here it sees only counters that a kernel's statistics dump has, everything is free of units, and
the price of delay is an input. How it was trained is in `qos.training`, what it is worth in docs/lfq.md.
"""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

from qos.errors import ValueRefusedError
from schedulers.packet.limits.contract import FlowCounters, Int64, QueueContext
from schedulers.packet.limits.lfq.company import beginning_of, company, sharing, welcome
from schedulers.packet.limits.lfq.fair_room import fresh_room, remember_served, room_bounds, widen
from schedulers.packet.limits.lfq.memory import (
    LINK_MEMORY,
    MEMORY,
    RTT_S,
    Poll,
    count_timeouts,
    listen,
    measure,
    remember,
)
from schedulers.packet.limits.lfq.online import Learner, fortune_of
from schedulers.packet.limits.lfq.step import Network, apply, evaluate, features

PREFERENCES = MappingProxyType({"latency": 21.0, "balanced": 4.5, "throughput": 2.0})
"""Alpha of each preference, 1/s: so many shares of the rate is a second of queueing worth.

With ``latency`` a millisecond of mean queue costs as much as 2.1 % of throughput, with ``balanced`` 0.45 %,
with ``throughput`` 0.2 %.
"""
DEFAULT_PREFERENCE = "balanced"
ALPHA_RANGE = (0.1, 100.0)


def check_alpha(alpha: float) -> None:
    """Refuse an alpha outside of `ALPHA_RANGE`.

    Raises
    ------
    ValueRefusedError
        If it is outside, or no number.
    """
    low, high = ALPHA_RANGE
    if not (math.isfinite(alpha) and low <= alpha <= high):
        raise ValueRefusedError(f"alpha must be from {low:g} to {high:g} (1/s), not {alpha:g}")


class Lfq:
    """The learned policy over one queue.

    Parameters
    ----------
    context
        The queue that is served.
    network
        The weights.
    alpha
        Price of a second of queueing, in shares of the rate (1/s); see `PREFERENCES`.
    learner
        Learns beside the weights, or None.

    Raises
    ------
    ValueRefusedError
        If alpha is out of range.
    """

    def __init__(
        self, context: QueueContext, network: Network, alpha: float, learner: Learner | None = None
    ) -> None:
        check_alpha(alpha)
        self.network = network
        self.learner = learner
        self._alpha = alpha
        self._frame = float(context.mtu_bytes)
        self._least = float(context.min_limit_bytes)
        self._link_bytes_s = context.rate_bps / 8
        self._beginning = beginning_of(network.start, context.rate_bps, alpha, self._frame)
        self._most = float(max(context.max_limit_bytes, self._least))
        self._memory = np.zeros((MEMORY, context.slots))
        self._polled = np.empty(MEMORY * context.slots)  # room for a poll: new pages each time cost more
        self._link = np.zeros(LINK_MEMORY)
        self._initial = context.initial_limit_bytes
        self._standing = np.array([float(self._initial), 0.0])
        self._room = fresh_room(context.slots)
        self._room_bounds = room_bounds(alpha, self._most, self._frame)

    def limits(self, counters: FlowCounters, dt_s: float) -> Int64:
        """Return the limits after this poll; those that hardly change stay as they are."""
        slot = counters.slot
        poll = as_poll(counters)
        memory = self._polled[: MEMORY * len(slot)].reshape(MEMORY, len(slot))
        self._memory.take(slot, axis=1, out=memory, mode="clip")  # in rows, as indexing would not lay it
        measure(memory, self._link, poll, dt_s, self._frame)
        count_timeouts(memory, poll, dt_s)
        remember(memory, poll, dt_s)
        shared = sharing(memory, self._link_bytes_s)
        listen(memory, poll, dt_s, shared.share_bytes_s, self._frame)
        x = features(memory, self._link, poll, dt_s, self._alpha, self._frame, shared)
        distance = evaluate(self.network, x)
        if self.learner is not None:
            fortune = fortune_of(poll, memory, self._link, dt_s)
            self.learner.observe(slot, counters.is_new, x, fortune, dt_s)
            distance += self.learner.shift(x)
        among = company(self.network.start, memory, shared, self._beginning, self._least, self._frame)
        welcome(self._standing, among.next_bytes, dt_s)
        wanted = apply(self.network, memory, poll, distance, among, self._most, self._frame)
        self._memory[:, slot] = memory
        remember_served(self._room, slot, poll, dt_s)
        limits = widen(self._room, slot, poll, wanted, memory[RTT_S], dt_s, self._room_bounds)
        return limits.astype(np.int64)

    def first_limit_bytes(self, active_flows: int) -> int:
        """Return the limit of the queues that nobody uses: in a crowd, less."""
        if not active_flows:
            self._standing[:] = self._initial, 0.0
        return int(self._standing[0])


def as_poll(counters: FlowCounters) -> Poll:
    """Give counters as the network's step takes them."""
    return Poll(
        counters.sent_bytes.astype(np.float64),
        counters.sent_packets.astype(np.float64),
        counters.dropped_packets.astype(np.float64),
        counters.backlog_bytes.astype(np.float64),
        np.maximum(counters.limit_bytes, 1).astype(np.float64),
        counters.is_new.astype(np.float64),
        np.zeros(len(counters.slot)) if counters.quiet_s is None else counters.quiet_s,
    )
