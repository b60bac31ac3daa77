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

from schedulers.packet.limits.lfq.company import INITIAL_WINDOW_PACKETS, Company, Sharing
from schedulers.packet.limits.lfq.memory import (
    AGE_PACKETS,
    ALLOWANCE,
    CYCLE_LOST,
    CYCLE_LOWEST,
    CYCLE_MEAN,
    CYCLE_PACKETS,
    DEAF,
    DROP_SHARE,
    EARLY_FOR_RTT_S,
    EMPTY,
    EVENTS,
    GROWTH,
    HELD_BYTES,
    HELD_LEFT_BYTES,
    IN_FORCE,
    LEAST_RATE,
    LINK_EMPTY,
    LINK_IDLE,
    LINK_IDLE_LONG,
    LINK_LOW,
    LINK_MEAN_WAITING,
    LINK_RATE,
    LINK_VARIES,
    LOG_LIMIT,
    LOST_FAST,
    LOST_LONG,
    LOST_SLOW,
    LOWEST,
    MEAN_OCCUPANCY,
    MEAN_SENT,
    PEAK,
    RATE,
    RTT_S,
    SINCE_PACKETS,
    SINCE_POLLS,
    TIMEOUTS,
    UNKNOWN_RTT_S,
    WAS_DROPPING,
    Float32,
    Float64,
    Poll,
)

FEATURES = 48
"""Inputs of the network."""
UNTROUBLED_PACKETS = 200.0
"""A flow that has sent so many packets without a loss is one of steady rate, or its path holds many: a burst
may wait as one may at its beginning. Its queue is short of itself; a limit would only make it lose."""
CROWD_SHRINK = 0.5
"""A limit above its part of what may wait for repairs falls to this share at each poll, not to `SHRINK`."""
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
MOST_WISHES = 3.0
"""Whatever is kept for repairs, a limit is at most so many times what the network wishes: it may overrule."""
RETURNED_SHARE = 0.5
"""So much of what was dropped comes again at once: a sender also sends less after a loss."""
SETTLE_POLLS = 20.0
"""Poll n after a loss moves a limit at full pace up to this one, and at this over n of it later (Robbins and
Monro, "A stochastic approximation method", 1951): what a limit is worth shows once a cycle of losses. A pace
that never rests follows the sawtooth itself: down while the queue fills, up when the loss that it led to has
emptied the queue."""
NEWRENO_CYCLE = 0.75
"""Times the square of its window, in packets, is twice what NewReno sends from loss to loss (3/8 of it:
Mathis et al., "The macroscopic behavior of the TCP congestion avoidance algorithm", CCR 1997), as the
round-trip time is an estimate. Who has sent more without a loss does not come to its limit: it moves at full
pace again."""
LARGEST_STEP = 0.7
"""The logarithm of a limit changes by at most this much a poll."""
SERVED_EACH = 4.0
"""Room made for a dropped packet is taken back when so many have been served; a loss is repaired by then."""
FINE = 0.005
"""Shares of the rate around this size are told apart: what a too short limit loses is of this order."""
GRAIN_BYTES = 1e-3


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


def features(
    memory: Float64,
    link: Float64,
    poll: Poll,
    dt_s: float,
    alpha: float,
    frame_bytes: float,
    sharing: Sharing,
) -> Float32:
    """Compute the inputs of the network, shape ``(FEATURES, n)``, after `remember` and `listen`.

    Parameters
    ----------
    memory, link, poll, dt_s, frame_bytes
        As of `measure`.
    alpha
        What a second of queueing costs, in shares of the flow's rate, more than 0.
    sharing
        What `company.sharing` said.
    """
    n = memory.shape[1]
    x = np.zeros((FEATURES, n), np.float32)  # as weights are stored: half the time with a thousand flows
    rate = memory[RATE]
    limit = poll.limit_bytes
    limit_packets = limit / frame_bytes
    # The first cycle began with the flow: slow start.
    steady = np.maximum(np.minimum(memory[EVENTS], 2.0) - 1.0, 0.0)
    window = np.sqrt(8.0 / 3.0 * memory[CYCLE_PACKETS] + 1.0)  # NewReno's, from the packets of a cycle
    x[0] = np.log(alpha * limit / rate) / 2.0
    x[1] = np.log(limit_packets) / 3.0 - 1.0
    x[2] = np.minimum(poll.backlog_bytes / limit, 2.0)
    x[3], x[4] = memory[LOWEST], memory[MEAN_OCCUPANCY]
    x[5] = np.maximum(1.0 - poll.sent_bytes / (dt_s * rate), -1.0)
    x[6], x[8] = memory[LOST_FAST], memory[WAS_DROPPING]
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
    x[27] = np.log(1.0 + poll.sent_packets) / 3.0 - 1.0
    x[26], x[28], x[30] = memory[GROWTH], memory[PEAK], memory[EMPTY]
    x[32] = np.log(alpha * (memory[MEAN_OCCUPANCY] * limit + 1.0) / rate) / 2.0
    paced = np.where(memory[RTT_S] > 0.0, 1.0, 0.0)
    rtt = np.maximum(memory[RTT_S], 1e-4)
    x[33] = paced
    x[34] = paced * np.log(alpha * rtt) / 2.0
    x[35] = paced * np.log(rtt * rate / limit) / 2.0
    share = sharing.share_bytes_s
    x[36] = np.log(alpha * limit / share) / 2.0
    x[37] = paced * np.log(rtt * share / limit) / 2.0
    x[38] = np.log(rate / share) / 3.0
    x[39] = np.minimum(memory[MEAN_SENT] / share, 2.0)
    x[40] = np.log(sharing.flows) / 3.0
    x[41] = memory[DEAF]
    x[42] = np.log(0.05 + memory[MEAN_OCCUPANCY] * limit_packets * np.sqrt(memory[DROP_SHARE] / 1.5)) / 3.0
    x[43] = np.log(1.0 + memory[TIMEOUTS])
    x[44] = np.log(0.02 + link[LINK_VARIES]) / 2.0 + 1.0
    x[45] = np.log(0.001 + link[LINK_LOW]) / 3.0 + 1.0
    x[46] = np.log(0.001 + link[LINK_EMPTY]) / 3.0 + 1.0
    x[47] = np.log(alpha * (link[LINK_MEAN_WAITING] + 1.0) / max(link[LINK_RATE], LEAST_RATE)) / 2.0
    # arcsinh by logarithms, which numpy computes many at a time.
    fine = np.empty((6, n))
    fine[0], fine[1] = memory[LOST_SLOW], memory[CYCLE_LOST]
    fine[3], fine[4] = memory[DROP_SHARE], memory[LOST_LONG]
    fine[2], fine[5] = link[LINK_IDLE], link[LINK_IDLE_LONG]
    fine /= FINE
    size = np.abs(fine)
    fine = np.copysign(np.log(size + np.sqrt(size * size + 1.0)), fine) / 3.0
    x[7], x[15], x[19] = fine[0], steady * fine[1], fine[2]
    x[22], x[29], x[31] = fine[3], fine[4], fine[5]
    return np.clip(x, np.float32(-3.0), np.float32(3.0), x)


def evaluate(network: Network, x: Float32) -> Float64:
    """Evaluate the network: the logarithm of the best limit over that in force, shape ``(n,)``."""
    inner = network.first.astype(np.float32) @ x
    inner += network.first_bias.astype(np.float32)
    np.tanh(inner, inner)
    inner = network.second.astype(np.float32) @ inner
    inner += network.second_bias.astype(np.float32)
    np.tanh(inner, inner)
    linear = network.direct.astype(np.float32) @ x
    single = (network.output.astype(np.float32) @ inner + linear)[0]
    distance: Float64 = single.astype(np.float64) + network.bias[0]
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
    rtt_s = np.where(memory[RTT_S] > 0.0, memory[RTT_S], UNKNOWN_RTT_S)
    window = (rtt_s * memory[RATE] + limit) / frame_bytes
    in_cycle = memory[SINCE_PACKETS] < NEWRENO_CYCLE * window * window
    settled = np.where(in_cycle, SETTLE_POLLS / np.maximum(memory[SINCE_POLLS], SETTLE_POLLS), 1.0)
    pace = np.where(calm, np.exp(network.pace[2]), settled * pace)
    change = np.minimum(np.maximum(pace * distance, -LARGEST_STEP), LARGEST_STEP)
    # The wish is kept exactly, so that small steps add up; a limit that somebody else set is the new wish.
    ours = memory[IN_FORCE] == limit
    base = np.where(ours, memory[LOG_LIMIT], np.log(limit))
    age = memory[AGE_PACKETS]
    begins = age < INITIAL_WINDOW_PACKETS
    young = age < among.young_packets
    # Set anew when more is known of the path: its length shows only after a window.
    untried = calm | ((memory[EVENTS] == 1.0) & (memory[SINCE_POLLS] == 0.0))  # no loss before this poll
    grown_up = age - poll.sent_packets < np.where(young, INITIAL_WINDOW_PACKETS, among.young_packets)
    grown_up |= memory[RTT_S] != memory[EARLY_FOR_RTT_S]
    grown_up &= untried & ~begins
    memory[EARLY_FOR_RTT_S] = np.where(grown_up, memory[RTT_S], memory[EARLY_FOR_RTT_S])
    base = np.where(grown_up, np.log(np.where(young, among.first_bytes, among.early_bytes)), base)
    base = np.where(calm & begins, np.minimum(base, np.log(among.first_bytes)), base)
    change = np.where(calm & young, 0.0, change)
    untroubled = calm & (age >= UNTROUBLED_PACKETS)
    least = np.log(np.where(untroubled, among.window_bytes, among.least_bytes))
    wanted = np.minimum(np.maximum(base + change, least), np.log(most_bytes))
    memory[LOG_LIMIT] = wanted
    # What was dropped comes again. Room is made for it, or a lost retransmission costs the flow a timeout.
    allowance = np.where(ours, np.maximum(memory[ALLOWANCE] - poll.sent_bytes / SERVED_EACH, 0.0), 0.0)
    allowance += RETURNED_SHARE * frame_bytes * poll.dropped_packets
    # A sender that does not heed losses gets no more than a sender that does needs.
    most_room = np.maximum(among.part_bytes - np.exp(wanted), 0.0)
    most_room = np.minimum(most_room, MOST_ROOM_FRAMES * frame_bytes)
    heeds = memory[DEAF] == 0.0
    memory[ALLOWANCE] = np.where(heeds, np.minimum(allowance, most_room), 0.0)
    # For the same reason a limit falls only slowly below what waits: the sender backs off first.
    shrink = np.where((limit > among.part_bytes) | ~heeds, CROWD_SHRINK, SHRINK)
    room = np.minimum(shrink * limit, poll.backlog_bytes + ROOM_FRAMES * frame_bytes)
    # A limit at which packets were dropped stays until the loss is repaired: a burst of retransmissions of
    # which one is dropped again costs a timeout.
    dropped = poll.dropped_packets > 0.0
    memory[HELD_BYTES] = np.where(dropped, np.minimum(limit, among.part_bytes), memory[HELD_BYTES])
    left = np.where(dropped, HELD_ROUNDS * limit, memory[HELD_LEFT_BYTES] - poll.sent_bytes)
    memory[HELD_LEFT_BYTES] = np.maximum(left, 0.0)
    room = np.maximum(room, np.where(heeds & (memory[HELD_LEFT_BYTES] > 0.0), memory[HELD_BYTES], 0.0))
    size = np.maximum(np.exp(wanted) + memory[ALLOWANCE], room)
    size = np.minimum(np.minimum(size, MOST_WISHES * np.exp(wanted)), most_bytes)
    # exp(log(3 * 1514)) is a hair below 4542: without a grain more, the third frame would not fit.
    size = np.floor(size + GRAIN_BYTES)
    size = np.where(np.abs(size - limit) < WORTH_WRITING * limit, limit, size)
    memory[IN_FORCE] = size
    return size
