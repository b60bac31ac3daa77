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
Flags = NDArray[np.bool_]

FEATURES = 36
"""Inputs of the network."""

# Rows of the memory that is kept of every flow.
RATE, PREVIOUS_BACKLOG, LOWEST, MEAN_OCCUPANCY, LOST_FAST, LOST_SLOW = 0, 1, 2, 3, 4, 5
EVENTS, SINCE_PACKETS, CYCLE_PACKETS, CYCLE_LOWEST, CYCLE_LOST, SINCE_LOST = 6, 7, 8, 9, 10, 11
AGE_PACKETS, DROP_SHARE, WAS_DROPPING, LOG_LIMIT, SINCE_POLLS, PEAK = 12, 13, 14, 15, 16, 17
CYCLE_MEAN, SINCE_SUM, GROWTH, PREVIOUS_SENT, LOST_LONG, EMPTY = 18, 19, 20, 21, 22, 23
BUSY_BYTES, BUSY_TIME, RECENT_BYTES, RECENT_TIME = 24, 25, 26, 27
ALLOWANCE, IN_FORCE, MEAN_SENT, RTT_S = 28, 29, 30, 31
EARLY_FOR_RTT_S, HELD_BYTES, HELD_LEFT_BYTES, BURST_S = 32, 33, 34, 35
MEMORY = 36

# Places of what is remembered of the whole link.
LINK_RATE, LINK_IDLE, LINK_IDLE_LONG, LINK_BYTES, LINK_TIME = 0, 1, 2, 3, 4
LINK_MEMORY = 5

INITIAL_WINDOW_FRAMES = 10
FIRST_FRAMES = 11
"""A flow that begins may queue an initial window (RFC 6928) and what ends the handshake before it..."""
FIRST_PRICE = 0.25
"""... unless waiting for so much would cost more than this, in shares of the rate..."""
LEAST_FIRST_FRAMES = 4
"""... but always so many frames: a burst that loses all but its head waits for a timeout."""
LEAST_FRAMES = 1
"""No limit is below this. A sender with fewer packets waits for timeouts, but over a short path at a low
rate, or among many flows, the link is busy all the same; where more is needed is left to the network."""
EARLY_FRAMES = 3
"""The early limit is at least this: fewer in flight cannot repair a loss (RFC 5681: three duplicates)."""
CROWD_REPAIR_S = 0.01
"""Limits longer than their flows wish, to repair losses, may together make a packet wait for this long..."""
ALONE_REPAIR_S = 0.1
"""... and that of a flow which is alone for this long, CoDel's interval (RFC 8289)."""
CROWD_FIRST_S = 0.025
CROWD_FIRST_WINDOWS = 1.5
"""First limits of all flows together are so much of the link, or so many first windows where that is more."""
CROWD_SHRINK = 0.5
"""A limit above its part of what may wait for repairs falls to this share at each poll, not to `SHRINK`."""
SMALL_BDP_FRAMES, LARGE_BDP_FRAMES = 50.0, 400.0
"""Where the flow's part of the path holds as much as the second, slow start may fill it once: a sender that
is cut at half of that needs as many round-trip times to come back. Between the two, something in between."""
MOST_RTT_S = 0.5
"""Bursts that are farther apart are not windows of one transfer."""
WORTH_WRITING = 0.02
"""A limit is not changed by less than this share: a message to a kernel costs more than it brings."""
ROOM_FRAMES = 1.0
"""A limit does not fall to less than what waits and so many frames."""
MOST_ROOM_FRAMES = 10.0
"""Room for what was dropped is at most so many frames: a slow start that overshoots would fill any."""
SHRINK = 0.99
"""A limit below what waits falls to this share at each poll."""
HELD_ROUNDS = 2.0
"""A limit at which packets were dropped stays until so many times as much has been served."""
RETURNED_SHARE = 0.5
"""So much of what was dropped comes again at once: a sender also sends less after a loss."""
LARGEST_STEP = 0.7
"""The logarithm of a limit changes by at most this much a poll."""
SERVED_EACH = 4.0
"""Room made for a dropped packet is taken back when so many have been served; a loss is repaired by then."""
LATEST_CYCLE = 0.3
"""The latest cycle between losses weighs at least so much in the mean over cycles."""
BUSY_WEIGHT = 0.1
RECENT_WEIGHT = 0.4
"""How much one poll weighs in a rate, and in that which shows a change of rate."""
FINE = 0.005
"""Shares of the rate around this size are told apart: what a too short limit loses is of this order."""
LEAST_RATE = 1.0  # bytes/s
GRAIN_BYTES = 1e-3


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
        Shape ``(3,)``: logarithm of the early limit in seconds where alpha is 1 and the exponent with which
        it falls with alpha, see `beginning_of`; and the share of the bandwidth-delay product that it is at
        least, where the round-trip time is known, see `company`.
    pace
        Shape ``(3,)``: what part of the way to the best limit a poll goes, up and down, and either way before
        the first loss, as logarithms.
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


class Company(NamedTuple):
    """What a flow may queue among the others.

    Attributes
    ----------
    least_bytes
        No limit is below this.
    first_bytes
        Most that a flow may queue that begins, shape ``(n,)``.
    early_bytes
        Limit of a flow that has sent its initial window, shape ``(n,)``.
    part_bytes
        The flow's part of what all flows together may queue to repair losses.
    """

    least_bytes: float
    first_bytes: Float64
    early_bytes: Float64
    part_bytes: float


class Beginning(NamedTuple):
    """What a flow that is alone may queue before its first loss.

    Attributes
    ----------
    first_bytes
        Limit of a flow that begins: mostly an initial window, which comes at once.
    early_bytes
        Limit of a flow that has sent its initial window, where nothing is known of the path.
    """

    first_bytes: float
    early_bytes: float


def beginning_of(network: Network, rate_bps: float, alpha: float, frame_bytes: float) -> Beginning:
    """Give the limits before the first loss on a link of a rate.

    The early limit is short: a loss soon ends slow start before it overshoots far. `company` divides it among
    the flows and makes it longer for those whose handshake tells of a long path.
    """
    first_s = FIRST_PRICE / alpha
    least, most = LEAST_FIRST_FRAMES * frame_bytes, FIRST_FRAMES * frame_bytes
    early_s = float(np.exp(network.start[0] - network.start[1] * np.log(alpha)))
    return Beginning(
        min(max(first_s * rate_bps / 8.0, least), most),
        max(early_s * rate_bps / 8.0, EARLY_FRAMES * frame_bytes),
    )


def start_limit_bytes(network: Network, rate_bps: float, alpha: float, frame_bytes: float) -> float:
    """Give the limit of a queue in which no flow has been seen."""
    beginning = beginning_of(network, rate_bps, alpha, frame_bytes)
    return max(beginning.first_bytes, beginning.early_bytes)


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
    memory[LOST_FAST] += 0.25 * (lost - memory[LOST_FAST])
    memory[LOST_SLOW] += 0.03 * (lost - memory[LOST_SLOW])
    memory[LOST_LONG] += 0.01 * (lost - memory[LOST_LONG])
    memory[EMPTY] += 0.03 * (np.where(poll.backlog_bytes == 0.0, 1.0, 0.0) - memory[EMPTY])
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


def company(
    network: Network,
    memory: Float64,
    link_bytes_s: float,
    beginning: Beginning,
    least_bytes: float,
    frame_bytes: float,
) -> Company:
    """Say what flows may queue beside each other, after `remember`.

    Parameters
    ----------
    network
        The weights.
    memory
        As of `remember`.
    link_bytes_s
        Rate of the link, bytes/s.
    beginning
        From `beginning_of`.
    least_bytes
        Least limit that the queue takes.
    frame_bytes
        Largest frame.
    """
    sent = memory[MEAN_SENT] + 1e-9
    total = sent.sum()
    # So many equal flows would share the link as unevenly: a voice call beside a download hardly counts.
    flows = total * total / (sent * sent).sum()
    share = link_bytes_s / flows
    floor = max(LEAST_FRAMES * frame_bytes, least_bytes)
    part = max(max(CROWD_REPAIR_S, ALONE_REPAIR_S / flows) * share, floor)
    window = beginning.first_bytes
    crowd = max(CROWD_FIRST_S * link_bytes_s, CROWD_FIRST_WINDOWS * window)
    first = max(min(crowd / flows, window), floor)
    bdp = np.maximum(memory[RTT_S] * share, frame_bytes)
    early = np.maximum(max(beginning.early_bytes / flows, floor), network.start[2] * bdp)
    steps = np.log(LARGE_BDP_FRAMES / SMALL_BDP_FRAMES)
    large = np.minimum(np.maximum(np.log(bdp / (SMALL_BDP_FRAMES * frame_bytes)) / steps, 0.0), 1.0)
    early = np.maximum(early, np.exp((1.0 - large) * np.log(early) + large * np.log(bdp)))
    return Company(floor, np.maximum(first, early), early, part)


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
    x[5] = np.maximum(1.0 - poll.sent_bytes / (dt_s * rate), -1.0)
    x[6] = memory[LOST_FAST]
    x[8] = memory[WAS_DROPPING]
    x[9] = np.where(memory[EVENTS] == 0.0, 1.0, 0.0)
    x[10] = 1.0 / (1.0 + memory[EVENTS])
    x[11] = np.log(1.0 + memory[SINCE_PACKETS]) / 5.0 - 1.0
    x[12] = steady * (np.log(1.0 + memory[CYCLE_PACKETS]) / 5.0 - 1.0)
    x[13] = steady * np.log(window / limit_packets) / 2.0
    x[14] = steady * memory[CYCLE_LOWEST]
    x[16] = np.log(alpha * dt_s) / 2.0
    x[17] = np.log(1.0 + rate * dt_s / frame_bytes) / 3.0 - 1.0
    x[18] = np.log(float(n)) / 3.0
    x[20] = np.log(1.0 + memory[AGE_PACKETS]) / 5.0 - 1.0
    x[21] = np.log(rate * n / max(link[LINK_RATE], LEAST_RATE)) / 3.0
    x[23] = np.where(poll.backlog_bytes == 0.0, 1.0, 0.0)
    x[24] = steady * memory[CYCLE_MEAN]
    x[25] = steady * np.log(alpha * window * frame_bytes / rate) / 2.0
    x[26] = memory[GROWTH]
    x[27] = np.log(1.0 + poll.sent_packets) / 3.0 - 1.0
    x[28] = memory[PEAK]
    x[30] = memory[EMPTY]
    x[32] = np.log(alpha * (memory[MEAN_OCCUPANCY] * limit + 1.0) / rate) / 2.0
    paced = np.where(memory[RTT_S] > 0.0, 1.0, 0.0)
    rtt = np.maximum(memory[RTT_S], 1e-4)
    x[33] = paced
    x[34] = paced * np.log(alpha * rtt) / 2.0
    x[35] = paced * np.log(rtt * rate / limit) / 2.0
    # arcsinh by logarithms, which numpy computes many at a time.
    fine = np.empty((6, n))
    fine[0] = memory[LOST_SLOW]
    fine[1] = memory[CYCLE_LOST]
    fine[2] = link[LINK_IDLE]
    fine[3] = memory[DROP_SHARE]
    fine[4] = memory[LOST_LONG]
    fine[5] = link[LINK_IDLE_LONG]
    fine /= FINE
    size = np.abs(fine)
    fine = np.copysign(np.log(size + np.sqrt(size * size + 1.0)), fine) / 3.0
    x[7] = fine[0]
    x[15] = steady * fine[1]
    x[19] = fine[2]
    x[22] = fine[3]
    x[29] = fine[4]
    x[31] = fine[5]
    return np.clip(x, -3.0, 3.0)


def evaluate(network: Network, x: Float64) -> Float64:
    """Evaluate the network: the logarithm of the best limit over that in force, shape ``(n,)``.

    In single precision, in which weights are stored: a poll of a thousand flows takes half the time.
    """
    single = x.astype(np.float32)
    inner = network.first.astype(np.float32) @ single
    inner += network.first_bias.astype(np.float32)
    np.tanh(inner, inner)
    inner = network.second.astype(np.float32) @ inner
    inner += network.second_bias.astype(np.float32)
    np.tanh(inner, inner)
    linear = network.direct.astype(np.float32) @ single
    single_distance = (network.output.astype(np.float32) @ inner + linear)[0]
    distance: Float64 = single_distance.astype(np.float64) + network.bias[0]
    return distance


def apply(
    network: Network,
    memory: Float64,
    poll: Poll,
    distance: Float64,
    among: Company,
    most_bytes: float,
    frame_bytes: float,
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
    among
        What `company` said.
    most_bytes
        No limit is above this.
    frame_bytes
        Largest frame.
    """
    limit = poll.limit_bytes
    calm = memory[EVENTS] == 0.0
    pace = np.where(distance > 0.0, np.exp(network.pace[0]), np.exp(network.pace[1]))
    pace = np.where(calm, np.exp(network.pace[2]), pace)
    change = np.minimum(np.maximum(pace * distance, -LARGEST_STEP), LARGEST_STEP)
    # The wish is kept exactly, so that small steps add up; a limit that somebody else set is the new wish.
    ours = memory[IN_FORCE] == limit
    base = np.where(ours, memory[LOG_LIMIT], np.log(limit))
    age = memory[AGE_PACKETS]
    begins = age < INITIAL_WINDOW_FRAMES
    # Set anew when more is known of the path: its length shows only after a window.
    untried = calm | ((memory[EVENTS] == 1.0) & (memory[SINCE_POLLS] == 0.0))  # no loss before this poll
    grown_up = age - poll.sent_packets < INITIAL_WINDOW_FRAMES
    grown_up |= memory[RTT_S] != memory[EARLY_FOR_RTT_S]
    grown_up &= untried & ~begins
    memory[EARLY_FOR_RTT_S] = np.where(grown_up, memory[RTT_S], memory[EARLY_FOR_RTT_S])
    base = np.where(grown_up, np.log(among.early_bytes), base)
    base = np.where(calm & begins, np.minimum(base, np.log(among.first_bytes)), base)
    change = np.where(calm & begins, 0.0, change)
    wanted = np.minimum(np.maximum(base + change, np.log(among.least_bytes)), np.log(most_bytes))
    memory[LOG_LIMIT] = wanted
    # What was dropped comes again. Room is made for it, or a lost retransmission costs the flow a timeout.
    allowance = np.where(ours, np.maximum(memory[ALLOWANCE] - poll.sent_bytes / SERVED_EACH, 0.0), 0.0)
    allowance += RETURNED_SHARE * frame_bytes * poll.dropped_packets
    # A sender that does not heed losses gets no more than a sender that does needs.
    most_room = np.maximum(among.part_bytes - np.exp(wanted), 0.0)
    most_room = np.minimum(most_room, MOST_ROOM_FRAMES * frame_bytes)
    memory[ALLOWANCE] = np.minimum(allowance, most_room)
    # For the same reason a limit falls only slowly below what waits: the sender backs off first.
    shrink = np.where(limit > among.part_bytes, CROWD_SHRINK, SHRINK)
    room = np.minimum(shrink * limit, poll.backlog_bytes + ROOM_FRAMES * frame_bytes)
    # A limit at which packets were dropped stays until the loss is repaired: a burst of retransmissions of
    # which one is dropped again costs a timeout.
    dropped = poll.dropped_packets > 0.0
    memory[HELD_BYTES] = np.where(dropped, np.minimum(limit, among.part_bytes), memory[HELD_BYTES])
    left = np.where(dropped, HELD_ROUNDS * limit, memory[HELD_LEFT_BYTES] - poll.sent_bytes)
    memory[HELD_LEFT_BYTES] = np.maximum(left, 0.0)
    room = np.maximum(room, np.where(memory[HELD_LEFT_BYTES] > 0.0, memory[HELD_BYTES], 0.0))
    size = np.minimum(np.maximum(np.exp(wanted) + memory[ALLOWANCE], room), most_bytes)
    # exp(log(3 * 1514)) is a hair below 4542: without a grain more, the third frame would not fit.
    size = np.floor(size + GRAIN_BYTES)
    size = np.where(np.abs(size - limit) < WORTH_WRITING * limit, limit, size)
    memory[IN_FORCE] = size
    return size
