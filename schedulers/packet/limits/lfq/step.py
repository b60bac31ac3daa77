"""One step of the learned policy: counters of a poll in, the wanted limits out.

This is the only place where features are computed and the network is evaluated. It is plain numpy on arrays
of active flows, written so that it can be compiled as it stands: a control loop on a router runs it as
Python, the packet simulator runs the same source compiled, so what is trained is what runs.

All features are free of units. A limit L enters as packets, as a share of what it holds (occupancy), and as
``alpha * L / r``, the price of the delay that it can cause at the flow's own drain rate r; time enters as
packets served and as ``alpha * dt``. So 1 Mbit/s and 1 Gbit/s look alike where they are alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

FEATURES = 29
"""Inputs of the network."""

# Rows of the memory that is kept of every flow.
RATE, PREVIOUS_BACKLOG, LOWEST, MEAN_OCCUPANCY, LOST_FAST, LOST_SLOW = 0, 1, 2, 3, 4, 5
EVENTS, SINCE_PACKETS, CYCLE_PACKETS, CYCLE_LOWEST, CYCLE_LOST, SINCE_LOST = 6, 7, 8, 9, 10, 11
AGE_PACKETS, DROP_SHARE, WAS_DROPPING, LOG_LIMIT, SINCE_POLLS, PEAK = 12, 13, 14, 15, 16, 17
CYCLE_MEAN, SINCE_SUM, GROWTH, PREVIOUS_SENT = 18, 19, 20, 21
MEMORY = 22

# Places of what is remembered of the whole link.
LINK_RATE, LINK_IDLE = 0, 1
LINK_MEMORY = 2

INITIAL_WINDOW_FRAMES = 10
LEAST_FRAMES = 4
"""Below this a sender has too few packets in flight for fast retransmit (RFC 5681: three duplicates)."""
WORTH_WRITING = 0.02
"""A limit is not changed by less than this share: a message to a kernel costs more than it brings."""
LARGEST_STEP = 0.7
"""The logarithm of a limit changes by at most this much a poll."""
KEPT = 0.05
"""A limit in force this near the wish is the wish, rounded or not worth a message."""
_LEAST_RATE = 1.0  # bytes/s


class Poll(NamedTuple):
    """Counters of the active flows since the previous poll, float64 arrays of shape ``(n,)``.

    Attributes
    ----------
    sent_bytes, sent_packets, dropped_packets
        What left and what was dropped.
    backlog_bytes
        What waits.
    limit_bytes
        Limits in force.
    is_new
        1.0 where the flow begins, else 0.0.
    """

    sent_bytes: Float64
    sent_packets: Float64
    dropped_packets: Float64
    backlog_bytes: Float64
    limit_bytes: Float64
    is_new: Float64


class Network(NamedTuple):
    """The weights, float64.

    Attributes
    ----------
    first, first_bias
        Shapes ``(h, FEATURES)`` and ``(h, 1)``.
    second, second_bias
        Shapes ``(h, h)`` and ``(h, 1)``.
    output, direct
        Shapes ``(1, h)`` and ``(1, FEATURES)``; the output also sees the features directly.
    bias
        Shape ``(1,)``.
    start
        Shape ``(2,)``: see `start_limit_bytes`.
    pace
        Shape ``(2,)``: what part of the way to the best limit a poll goes, up and down, as logarithms.
    """

    first: Float64
    first_bias: Float64
    second: Float64
    second_bias: Float64
    output: Float64
    direct: Float64
    bias: Float64
    start: Float64
    pace: Float64


def early_limit_bytes(network: Network, rate_bps: float, alpha: float, frame_bytes: float) -> float:
    """Give the limit of a flow that has sent its initial window: a time at the link's rate.

    It is short: a loss soon ends slow start before it overshoots far. The network raises it for flows whose
    first packets come in bursts far apart, as they do over long paths.
    """
    start_s = float(np.exp(network.start[0] - network.start[1] * np.log(alpha)))
    return max(start_s * rate_bps / 8.0, LEAST_FRAMES * frame_bytes)


def start_limit_bytes(network: Network, rate_bps: float, alpha: float, frame_bytes: float) -> float:
    """Give the limit of a flow that begins: at least an initial window (RFC 6928), which comes at once."""
    return max(early_limit_bytes(network, rate_bps, alpha, frame_bytes), INITIAL_WINDOW_FRAMES * frame_bytes)


def remember(memory: Float64, link: Float64, poll: Poll, dt_s: float) -> None:
    """Update what is remembered of each flow, and of the link, with one poll.

    Parameters
    ----------
    memory
        Shape ``(MEMORY, n)``, changed in place.
    link
        Shape ``(LINK_MEMORY,)``, changed in place.
    poll
        What was counted.
    dt_s
        Time since the previous poll.
    """
    if poll.is_new.any():
        memory *= 1.0 - poll.is_new
        memory[LOWEST] += poll.is_new
    limit = poll.limit_bytes
    occupancy = np.minimum(poll.backlog_bytes / limit, 2.0)
    busy = (poll.backlog_bytes > 0.0) & (memory[PREVIOUS_BACKLOG] > 0.0)
    served = poll.sent_bytes / dt_s
    rate = memory[RATE]
    weight = np.where(served > rate, 0.5, np.where(busy, 0.25, 0.0))
    weight = np.where(rate <= _LEAST_RATE, 1.0, weight)
    memory[RATE] = np.maximum(rate + weight * (served - rate), _LEAST_RATE)
    total = poll.sent_bytes.sum() / dt_s
    if total > link[LINK_RATE]:
        link[LINK_RATE] += 0.5 * (total - link[LINK_RATE]) if link[LINK_RATE] > 0.0 else total
    elif busy.any():
        link[LINK_RATE] += 0.25 * (total - link[LINK_RATE])
    idle = 1.0 - min(total / max(link[LINK_RATE], _LEAST_RATE), 1.0)
    link[LINK_IDLE] += 0.1 * (idle - link[LINK_IDLE])

    lost = 1.0 - np.minimum(served / memory[RATE], 1.0)
    memory[LOST_FAST] += 0.25 * (lost - memory[LOST_FAST])
    memory[LOST_SLOW] += 0.03 * (lost - memory[LOST_SLOW])
    memory[MEAN_OCCUPANCY] += 0.1 * (occupancy - memory[MEAN_OCCUPANCY])
    dropping = np.where(poll.dropped_packets > 0.0, 1.0, 0.0)
    share = poll.dropped_packets / np.maximum(poll.dropped_packets + poll.sent_packets, 1.0)
    memory[DROP_SHARE] += 0.1 * (share - memory[DROP_SHARE])
    event = dropping * (1.0 - memory[WAS_DROPPING])
    memory[WAS_DROPPING] = dropping

    memory[SINCE_PACKETS] += poll.sent_packets
    memory[SINCE_POLLS] += 1.0
    memory[SINCE_LOST] += lost
    memory[SINCE_SUM] += occupancy
    memory[LOWEST] = np.minimum(memory[LOWEST], occupancy)
    polls = memory[SINCE_POLLS]
    memory[CYCLE_PACKETS] += event * (memory[SINCE_PACKETS] - memory[CYCLE_PACKETS])
    memory[CYCLE_LOWEST] += event * (memory[LOWEST] - memory[CYCLE_LOWEST])
    memory[CYCLE_LOST] += event * (memory[SINCE_LOST] / polls - memory[CYCLE_LOST])
    memory[CYCLE_MEAN] += event * (memory[SINCE_SUM] / polls - memory[CYCLE_MEAN])
    memory[EVENTS] += event
    quiet = 1.0 - event
    memory[SINCE_PACKETS] *= quiet
    memory[SINCE_POLLS] *= quiet
    memory[SINCE_LOST] *= quiet
    memory[SINCE_SUM] *= quiet
    memory[LOWEST] = memory[LOWEST] * quiet + event
    memory[PEAK] = np.maximum(memory[PEAK] * 0.98, occupancy)
    memory[AGE_PACKETS] += poll.sent_packets
    memory[PREVIOUS_BACKLOG] = poll.backlog_bytes
    growth = np.log((poll.sent_packets + 1.0) / (memory[PREVIOUS_SENT] + 1.0))
    memory[GROWTH] += 0.5 * (growth - memory[GROWTH])
    memory[PREVIOUS_SENT] = poll.sent_packets


def features(
    memory: Float64, link: Float64, poll: Poll, dt_s: float, alpha: float, frame_bytes: float
) -> Float64:
    """Compute the inputs of the network, shape ``(FEATURES, n)``, after `remember`.

    Parameters
    ----------
    memory, link, poll, dt_s
        As of `remember`.
    alpha
        What a second of queueing costs, in shares of the flow's rate, more than 0.
    frame_bytes
        Largest frame.
    """
    n = memory.shape[1]
    x = np.zeros((FEATURES, n))
    rate = memory[RATE]
    limit = poll.limit_bytes
    limit_packets = limit / frame_bytes
    known = np.minimum(memory[EVENTS], 2.0) - 1.0  # the first cycle began with the flow: slow start
    steady = np.maximum(known, 0.0)
    window = np.sqrt(8.0 / 3.0 * memory[CYCLE_PACKETS] + 1.0)  # NewReno's, from the packets of a cycle
    x[0] = np.log(alpha * limit / rate) / 2.0
    x[1] = np.log(limit_packets) / 3.0 - 1.0
    x[2] = np.minimum(poll.backlog_bytes / limit, 2.0)
    x[3] = memory[LOWEST]
    x[4] = memory[MEAN_OCCUPANCY]
    x[5] = 1.0 - np.minimum(poll.sent_bytes / (dt_s * rate), 1.0)
    x[6] = memory[LOST_FAST]
    x[7] = memory[LOST_SLOW]
    x[8] = memory[WAS_DROPPING]
    x[9] = np.where(memory[EVENTS] == 0.0, 1.0, 0.0)
    x[10] = 1.0 / (1.0 + memory[EVENTS])
    x[11] = np.log(1.0 + memory[SINCE_PACKETS]) / 5.0 - 1.0
    x[12] = steady * (np.log(1.0 + memory[CYCLE_PACKETS]) / 5.0 - 1.0)
    x[13] = steady * np.log(window / limit_packets) / 2.0
    x[14] = steady * memory[CYCLE_LOWEST]
    x[15] = steady * memory[CYCLE_LOST]
    x[16] = np.log(alpha * dt_s) / 2.0
    x[17] = np.log(1.0 + rate * dt_s / frame_bytes) / 3.0 - 1.0
    x[18] = np.log(float(n)) / 3.0
    x[19] = link[LINK_IDLE]
    x[20] = np.log(1.0 + memory[AGE_PACKETS]) / 5.0 - 1.0
    x[21] = np.log(rate * n / max(link[LINK_RATE], _LEAST_RATE)) / 3.0
    x[22] = memory[DROP_SHARE]
    x[23] = np.where(poll.backlog_bytes == 0.0, 1.0, 0.0)
    x[24] = steady * memory[CYCLE_MEAN]
    x[25] = steady * np.log(alpha * window * frame_bytes / rate) / 2.0
    x[26] = memory[GROWTH]
    x[27] = np.log(1.0 + poll.sent_packets) / 3.0 - 1.0
    x[28] = memory[PEAK]
    return np.minimum(np.maximum(x, -3.0), 3.0)


def evaluate(network: Network, x: Float64) -> Float64:
    """Evaluate the network: the logarithm of the best limit over that in force, shape ``(n,)``."""
    inner = np.tanh(network.first @ x + network.first_bias)
    inner = np.tanh(network.second @ inner + network.second_bias)
    distance: Float64 = (network.output @ inner + network.direct @ x)[0] + network.bias[0]
    return distance


def apply(
    network: Network,
    memory: Float64,
    poll: Poll,
    distance: Float64,
    early_bytes: float,
    least_bytes: float,
    most_bytes: float,
) -> Float64:
    """Change the limits and give those to be in force, bytes, shape ``(n,)``.

    Parameters
    ----------
    network
        The weights.
    memory, poll
        As of `remember`.
    distance
        What `evaluate` said: how far the best limit is, as a logarithm. A part of the way is gone at a time.
    early_bytes
        See `early_limit_bytes`.
    least_bytes, most_bytes
        Bounds of a limit.
    """
    # Whole bytes are in force: the exact wish is kept, so that small steps add up.
    pace = np.where(distance > 0.0, np.exp(network.pace[0]), np.exp(network.pace[1]))
    change = pace * distance
    change = np.minimum(np.maximum(change, -LARGEST_STEP), LARGEST_STEP)
    kept = memory[LOG_LIMIT]
    in_force = np.log(poll.limit_bytes)
    base = np.where(np.abs(kept - in_force) < KEPT, kept, in_force)
    age = memory[AGE_PACKETS]
    begins = age < INITIAL_WINDOW_FRAMES
    calm = memory[EVENTS] == 0.0
    grown_up = calm & ~begins & (age - poll.sent_packets < INITIAL_WINDOW_FRAMES)
    base = np.where(grown_up, np.minimum(base, np.log(early_bytes)), base)
    change = np.where(calm & begins, 0.0, change)
    wanted = np.minimum(np.maximum(base + change, np.log(least_bytes)), np.log(most_bytes))
    memory[LOG_LIMIT] = wanted
    size = np.floor(np.exp(wanted))
    limit = poll.limit_bytes
    return np.where(np.abs(size - limit) < WORTH_WRITING * limit, limit, size)
