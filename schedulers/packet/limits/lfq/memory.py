"""What the learned policy remembers of each flow and of the link, and how a poll changes it.

Plain numpy on arrays of active flows, written so that it can be compiled as it stands, see `step`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Rows of the memory that is kept of every flow.
RATE, PREVIOUS_BACKLOG, LOWEST, MEAN_OCCUPANCY, LOST_FAST, LOST_SLOW = 0, 1, 2, 3, 4, 5
EVENTS, SINCE_PACKETS, CYCLE_PACKETS, CYCLE_LOWEST, CYCLE_LOST, SINCE_LOST = 6, 7, 8, 9, 10, 11
AGE_PACKETS, DROP_SHARE, WAS_DROPPING, LOG_LIMIT, SINCE_POLLS, PEAK = 12, 13, 14, 15, 16, 17
CYCLE_MEAN, SINCE_SUM, GROWTH, PREVIOUS_SENT, LOST_LONG, EMPTY = 18, 19, 20, 21, 22, 23
BUSY_BYTES, BUSY_TIME, RECENT_BYTES, RECENT_TIME = 24, 25, 26, 27
ALLOWANCE, IN_FORCE, MEAN_SENT, RTT_S = 28, 29, 30, 31
EARLY_FOR_RTT_S, HELD_BYTES, HELD_LEFT_BYTES, BURST_S = 32, 33, 34, 35
TRAIN_S, TRAIN_GAP_S, TRAIN_SENT, TRAIN_DROPPED, DEAF = 36, 37, 38, 39, 40
TIMEOUTS = 41
MEMORY = 42

# Places of what is remembered of the whole link.
LINK_RATE, LINK_IDLE, LINK_IDLE_LONG, LINK_BYTES, LINK_TIME = 0, 1, 2, 3, 4
LINK_WAITING, LINK_VARIES, LINK_LOW, LINK_EMPTY, LINK_MEAN_WAITING = 5, 6, 7, 8, 9
LINK_MEMORY = 10

MOST_RTT_S = 0.5
"""Bursts that are farther apart are not windows of one transfer."""
TIMEOUT_S = 0.12
"""A sender that is silent for so long, and for longer than a round trip, before what it lost was repaired
waits for a timeout (RFC 6298; Linux waits for at least 0.2 s)."""
UNKNOWN_RTT_S = 0.1
"""Where the round-trip time is not known, a train of drops is judged as if it were this."""
TRAIN_GAP_ROUNDS = 1.5
"""A train of drops ends after so many round-trip times without a drop..."""
DEAF_GAP_ROUNDS = 10.0
"""... and that of a sender which does not heed losses after so many."""
DEAF_ROUNDS = 4.0
"""Who goes on losing for so many round-trip times..."""
DEAF_WINDOWS = 1.5
"""... and has more waiting than so many windows of a sender which heeds losses as frequent (Mathis et al.
1997: the square root of 3/2 over their share), does not heed them."""
FAST_WEIGHT, SLOW_WEIGHT, LONG_WEIGHT = 0.25, 0.03, 0.01
"""How much one poll weighs in the three means of what was lost; in that of emptiness as in the second."""
LATEST_CYCLE = 0.3
"""The latest cycle between losses weighs at least so much in the mean over cycles."""
VARIES_WEIGHT, LOW_WEIGHT, EMPTY_WEIGHT = 0.05, 0.02, 0.01
"""How much one poll weighs in what is known of the link: how its rate varies, how little waits, how often
nothing."""
BUSY_WEIGHT = 0.1
RECENT_WEIGHT = 0.4
"""How much one poll weighs in a rate, and in that which shows a change of rate."""
LEAST_RATE = 1.0  # bytes/s


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
    quiet_s
        How long the queue was quiet before the interval of this poll.
    """

    sent_bytes: Float64
    sent_packets: Float64
    dropped_packets: Float64
    backlog_bytes: Float64
    limit_bytes: Float64
    is_new: Float64
    quiet_s: Float64


def measure(memory: Float64, link: Float64, poll: Poll, dt_s: float, frame_bytes: float) -> None:
    """Learn how fast each flow and the link are served: from polls between which no queue was seen empty.

    To be called before `remember`, with the same arguments.

    Parameters
    ----------
    memory
        Shape ``(MEMORY, n)``, changed in place; what is remembered of flows that begin is forgotten.
    link
        Shape ``(LINK_MEMORY,)``, changed in place.
    poll
        What was counted.
    dt_s
        Time since the previous poll.
    frame_bytes
        Largest frame.
    """
    if poll.is_new.any():
        memory *= 1.0 - poll.is_new
        memory[LOWEST] += poll.is_new
    busy = (poll.backlog_bytes > 0.0) & (memory[PREVIOUS_BACKLOG] > 0.0)
    kept = np.where(busy, BUSY_WEIGHT, 0.0)
    recent = np.where(busy, RECENT_WEIGHT, 0.0)
    memory[BUSY_BYTES] += kept * (poll.sent_bytes - memory[BUSY_BYTES])
    memory[BUSY_TIME] += kept * (dt_s - memory[BUSY_TIME])
    memory[RECENT_BYTES] += recent * (poll.sent_bytes - memory[RECENT_BYTES])
    memory[RECENT_TIME] += recent * (dt_s - memory[RECENT_TIME])
    # A rate that has changed, not one that single frames blur, is learned anew.
    expected = memory[RATE] * memory[RECENT_TIME]
    change = np.abs(memory[RECENT_BYTES] - expected)
    anew = busy & (change > np.maximum(0.25 * expected, 2.0 * frame_bytes))
    memory[BUSY_BYTES] = np.where(anew, memory[RECENT_BYTES], memory[BUSY_BYTES])
    memory[BUSY_TIME] = np.where(anew, memory[RECENT_TIME], memory[BUSY_TIME])
    measured = memory[BUSY_BYTES] / np.maximum(memory[BUSY_TIME], 1e-9)
    served = poll.sent_bytes / dt_s
    faster = np.where(served > memory[RATE] + frame_bytes / dt_s, served, memory[RATE])
    unknown = np.where(memory[RATE] <= LEAST_RATE, served, faster)
    memory[RATE] = np.maximum(np.where(busy, measured, unknown), LEAST_RATE)

    total = poll.sent_bytes.sum()
    if busy.any():
        if abs(total / dt_s - link[LINK_RATE]) > 0.3 * link[LINK_RATE]:
            link[LINK_BYTES] *= 0.5
            link[LINK_TIME] *= 0.5
        link[LINK_BYTES] += BUSY_WEIGHT * (total - link[LINK_BYTES])
        link[LINK_TIME] += BUSY_WEIGHT * (dt_s - link[LINK_TIME])
        link[LINK_RATE] = link[LINK_BYTES] / link[LINK_TIME]
    else:
        link[LINK_RATE] = max(link[LINK_RATE], 0.5 * (link[LINK_RATE] + total / dt_s))
    idle = max(1.0 - total / max(link[LINK_RATE] * dt_s, LEAST_RATE), -1.0)
    link[LINK_IDLE] += 0.1 * (idle - link[LINK_IDLE])
    link[LINK_IDLE_LONG] += 0.02 * (idle - link[LINK_IDLE_LONG])
    # Of a crowd no flow's own queue tells whether the link idles, nor one loss after another that it fades.
    waiting = poll.backlog_bytes.sum()
    if waiting > 0.0 and link[LINK_WAITING] > 0.0:
        expected_bytes = max(link[LINK_RATE] * dt_s, frame_bytes)
        change_bytes = max(abs(total - expected_bytes) - frame_bytes, 0.0)
        link[LINK_VARIES] += VARIES_WEIGHT * (min(change_bytes / expected_bytes, 2.0) - link[LINK_VARIES])
    link[LINK_WAITING] = waiting
    link[LINK_MEAN_WAITING] += LOW_WEIGHT * (waiting - link[LINK_MEAN_WAITING])
    link[LINK_LOW] += LOW_WEIGHT * (frame_bytes / (frame_bytes + waiting) - link[LINK_LOW])
    link[LINK_EMPTY] += EMPTY_WEIGHT * ((1.0 if waiting == 0.0 else 0.0) - link[LINK_EMPTY])


def count_timeouts(memory: Float64, poll: Poll, dt_s: float) -> None:
    """Count the time that flows waited for timeouts as lost: in it they were not polled. Before `remember`.

    Parameters
    ----------
    memory
        Shape ``(MEMORY, n)``, changed in place.
    poll, dt_s
        As of `measure`.
    """
    silent = np.maximum(TIMEOUT_S, 1.2 * memory[RTT_S])
    waited = (poll.quiet_s > silent) & (memory[HELD_LEFT_BYTES] > 0.0)
    polls = np.where(waited, poll.quiet_s / dt_s, 0.0)
    memory[TIMEOUTS] += np.where(waited, 1.0, 0.0)
    memory[LOST_FAST] += (1.0 - (1.0 - FAST_WEIGHT) ** polls) * (1.0 - memory[LOST_FAST])
    memory[LOST_SLOW] += (1.0 - (1.0 - SLOW_WEIGHT) ** polls) * (1.0 - memory[LOST_SLOW])
    memory[LOST_LONG] += (1.0 - (1.0 - LONG_WEIGHT) ** polls) * (1.0 - memory[LOST_LONG])
    memory[EMPTY] += (1.0 - (1.0 - SLOW_WEIGHT) ** polls) * (1.0 - memory[EMPTY])
    memory[SINCE_POLLS] += polls
    memory[SINCE_LOST] += polls


def remember(memory: Float64, poll: Poll, dt_s: float) -> None:
    """Update what is remembered of each flow with one poll, after `measure`.

    Parameters
    ----------
    memory
        Shape ``(MEMORY, n)``, changed in place.
    poll, dt_s
        As of `measure`.
    """
    limit = poll.limit_bytes
    occupancy = np.minimum(poll.backlog_bytes / limit, 2.0)
    # Signed: where single frames blur a poll's count, what is too much and too little adds up to nothing.
    lost = np.maximum(1.0 - poll.sent_bytes / (memory[RATE] * dt_s), -1.0)
    memory[LOST_FAST] += FAST_WEIGHT * (lost - memory[LOST_FAST])
    memory[LOST_SLOW] += SLOW_WEIGHT * (lost - memory[LOST_SLOW])
    memory[LOST_LONG] += LONG_WEIGHT * (lost - memory[LOST_LONG])
    memory[EMPTY] += SLOW_WEIGHT * (np.where(poll.backlog_bytes == 0.0, 1.0, 0.0) - memory[EMPTY])
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
    # A mean over the last cycles between losses; the first one, slow start, is forgotten with the second.
    weight = event * np.maximum(1.0 / np.maximum(memory[EVENTS], 1.0), LATEST_CYCLE)
    memory[CYCLE_PACKETS] += weight * (memory[SINCE_PACKETS] - memory[CYCLE_PACKETS])
    memory[CYCLE_LOWEST] += weight * (memory[LOWEST] - memory[CYCLE_LOWEST])
    memory[CYCLE_LOST] += weight * (memory[SINCE_LOST] / polls - memory[CYCLE_LOST])
    memory[CYCLE_MEAN] += weight * (memory[SINCE_SUM] / polls - memory[CYCLE_MEAN])
    memory[EVENTS] += event
    quiet = 1.0 - event
    memory[SINCE_PACKETS] *= quiet
    memory[SINCE_POLLS] *= quiet
    memory[SINCE_LOST] *= quiet
    memory[SINCE_SUM] *= quiet
    memory[LOWEST] = memory[LOWEST] * quiet + event
    memory[PEAK] = np.maximum(memory[PEAK] * 0.98, occupancy)
    # The handshake and the first window are a round-trip time apart, known to within an interval. (Later
    # bursts may be nearer: a window does not come in one piece.)
    memory[BURST_S] += poll.quiet_s + dt_s
    paused = (poll.quiet_s > 0.0) | (memory[AGE_PACKETS] == 1.0)
    first = (memory[EVENTS] == event) & (poll.is_new == 0.0) & (memory[RTT_S] == 0.0)
    burst = paused & first & (poll.quiet_s < MOST_RTT_S)
    memory[RTT_S] = np.where(burst, memory[BURST_S] - 0.5 * dt_s, memory[RTT_S])
    memory[BURST_S] = np.where((poll.quiet_s > 0.0) | (poll.is_new > 0.0), 0.0, memory[BURST_S])
    memory[AGE_PACKETS] += poll.sent_packets
    memory[MEAN_SENT] += 0.05 * (poll.sent_bytes / dt_s - memory[MEAN_SENT])
    memory[PREVIOUS_BACKLOG] = poll.backlog_bytes
    growth = np.log((poll.sent_packets + 1.0) / (memory[PREVIOUS_SENT] + 1.0))
    memory[GROWTH] += 0.5 * (growth - memory[GROWTH])
    memory[PREVIOUS_SENT] = poll.sent_packets


def listen(memory: Float64, poll: Poll, dt_s: float, share_bytes_s: float, frame_bytes: float) -> None:
    """Find out who does not heed losses, after `remember`.

    Such a sender (BBR, or a call that knows no congestion control) would fill whatever is kept for repairs.

    Parameters
    ----------
    memory
        Shape ``(MEMORY, n)``, changed in place.
    poll, dt_s
        As of `remember`.
    share_bytes_s
        From `sharing`.
    frame_bytes
        Largest frame.
    """
    rtt_s = np.where(memory[RTT_S] > 0.0, memory[RTT_S], UNKNOWN_RTT_S) + poll.limit_bytes / share_bytes_s
    dropped = poll.dropped_packets > 0.0
    memory[TRAIN_GAP_S] = np.where(dropped, 0.0, memory[TRAIN_GAP_S] + dt_s)
    gap = np.where(memory[DEAF] > 0.0, DEAF_GAP_ROUNDS, TRAIN_GAP_ROUNDS)
    goes_on = (memory[TRAIN_GAP_S] <= gap * rtt_s) & (dropped | (memory[TRAIN_DROPPED] > 0.0))
    memory[TRAIN_S] = np.where(goes_on, memory[TRAIN_S] + dt_s, 0.0)
    memory[TRAIN_SENT] = np.where(goes_on, memory[TRAIN_SENT] + poll.sent_packets, 0.0)
    memory[TRAIN_DROPPED] = np.where(goes_on, memory[TRAIN_DROPPED] + poll.dropped_packets, 0.0)
    # The window of a sender that heeds losses, for the share lost in the train.
    window = np.sqrt(1.5 * (1.0 + memory[TRAIN_SENT] / np.maximum(memory[TRAIN_DROPPED], 1.0)))
    waits = memory[MEAN_OCCUPANCY] * poll.limit_bytes / frame_bytes
    found = dropped & (memory[TRAIN_S] > DEAF_ROUNDS * rtt_s) & (waits > DEAF_WINDOWS * window)
    memory[DEAF] = np.where(goes_on & (found | (memory[DEAF] > 0.0)), 1.0, 0.0)
