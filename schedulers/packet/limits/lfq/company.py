"""What a flow may queue before its first loss, among others, and what the next flow may queue.

Plain numpy, written so that it can be compiled as it stands, see `step`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from schedulers.packet.limits.lfq.memory import AGE_PACKETS, EVENTS, MEAN_SENT, RTT_S, Float64

INITIAL_WINDOW_PACKETS = 10
FIRST_FRAMES = INITIAL_WINDOW_PACKETS + 1
"""A flow that begins may queue an initial window (RFC 6928) and what ends the handshake before it..."""
FIRST_PRICE = 0.25
"""... unless waiting for so much would cost more than this, in shares of the rate, and it is not beside
others..."""
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
CROWD_FIRST_S = 0.01
CROWD_FIRST_WINDOWS = 3.0
"""First limits of flows that begin, all together, are so much of the link, or so many first windows where
that is more."""
ONGOING_PACKETS, BESIDE_SHARE = 200, 0.1
"""A flow is beside others if those that have sent so many packets use so much of the link. It does not make
them wait (the queue is fair), so what it queues delays nobody but itself..."""
BESIDE_PACKETS = 3 * INITIAL_WINDOW_PACKETS
"""... and its second window too may queue as much as the first: a page of so many packets that loses one
takes a round-trip time longer. Alone, a flow is taken for one that goes on, and loses early."""
SMALL_BDP_FRAMES, LARGE_BDP_FRAMES = 50.0, 400.0
"""Where the flow's part of the path holds as much as the second, slow start may fill it once: a sender that
is cut at half of that needs as many round-trip times to come back. Between the two, something in between."""
WELCOME_S = 1.0
WELCOME_FALL, WELCOME_RISE = 1.4, 1.1
"""The limit of unused queues changes by at least these factors, and rises at most every `WELCOME_S`."""


class Sharing(NamedTuple):
    """How flows share the link.

    Attributes
    ----------
    flows
        So many equal flows would share it as unevenly: a voice call beside a download hardly counts.
    share_bytes_s
        The link's rate over these. Before a flow has seen the link busy, its own rate says nothing.
    """

    flows: float
    share_bytes_s: float


class Company(NamedTuple):
    """What a flow may queue among the others.

    Attributes
    ----------
    least_bytes
        No limit is below this.
    window_bytes
        An initial window, or a flow's part of what all flows together may queue so early.
    first_bytes
        Most that a flow may queue that begins, shape ``(n,)``.
    young_packets
        A flow begins until it has sent so many, shape ``(n,)``.
    early_bytes
        Limit of a flow that has, shape ``(n,)``.
    part_bytes
        The flow's part of what all flows together may queue to repair losses.
    next_bytes
        Most that the next flow may queue that begins.
    """

    least_bytes: float
    window_bytes: float
    first_bytes: Float64
    young_packets: Float64
    early_bytes: Float64
    part_bytes: float
    next_bytes: float


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


def beginning_of(start: Float64, rate_bps: float, alpha: float, frame_bytes: float) -> Beginning:
    """Give the limits before the first loss on a link of a rate.

    The early limit is short: a loss soon ends slow start before it overshoots far. `company` divides it among
    the flows and makes it longer for those whose handshake tells of a long path.
    """
    first_s = FIRST_PRICE / alpha
    least, most = LEAST_FIRST_FRAMES * frame_bytes, FIRST_FRAMES * frame_bytes
    early_s = float(np.exp(start[0] - start[1] * np.log(alpha)))
    return Beginning(
        min(max(first_s * rate_bps / 8.0, least), most),
        max(early_s * rate_bps / 8.0, EARLY_FRAMES * frame_bytes),
    )


def start_limit_bytes(start: Float64, rate_bps: float, alpha: float, frame_bytes: float) -> float:
    """Give the limit of a queue in which no flow has been seen."""
    beginning = beginning_of(start, rate_bps, alpha, frame_bytes)
    return max(beginning.first_bytes, beginning.early_bytes)


def sharing(memory: Float64, link_bytes_s: float) -> Sharing:
    """Say how the active flows share the link, after `remember`.

    Parameters
    ----------
    memory
        As of `remember`.
    link_bytes_s
        Rate that the link is said to have, bytes/s.
    """
    sent = memory[MEAN_SENT] + 1e-9
    total = sent.sum()
    flows = total * total / (sent * sent).sum()
    return Sharing(flows, link_bytes_s / flows)


def company(
    start: Float64,
    memory: Float64,
    sharing: Sharing,
    beginning: Beginning,
    least_bytes: float,
    frame_bytes: float,
) -> Company:
    """Say what flows may queue beside each other, after `remember`.

    Parameters
    ----------
    start
        From the weights, see `step.Network`.
    memory
        As of `remember`.
    sharing
        What `sharing` said.
    beginning
        From `beginning_of`.
    least_bytes
        Least limit that the queue takes.
    frame_bytes
        Largest frame.
    """
    flows, share = sharing.flows, sharing.share_bytes_s
    link = flows * share
    floor = max(LEAST_FRAMES * frame_bytes, least_bytes)
    part = max(max(CROWD_REPAIR_S, ALONE_REPAIR_S / flows) * share, floor)
    alone, whole = beginning.first_bytes, FIRST_FRAMES * frame_bytes
    window = max(min(max(CROWD_FIRST_S * link, CROWD_FIRST_WINDOWS * alone) / flows, alone), floor)
    sent = memory[MEAN_SENT]
    ongoing = np.where(memory[AGE_PACKETS] >= ONGOING_PACKETS, sent, 0.0)
    by_others = np.append(ongoing.sum() - ongoing, ongoing.sum())  # for each flow, and for the next one
    beside = by_others > BESIDE_SHARE * link
    beginners = float(((memory[EVENTS] == 0.0) & (memory[AGE_PACKETS] < INITIAL_WINDOW_PACKETS)).sum())
    together = np.append(np.full(len(sent), max(beginners, 1.0)), beginners + 1.0)
    most = np.where(beside, whole, alone)
    crowd = np.maximum(CROWD_FIRST_S * link, CROWD_FIRST_WINDOWS * most)
    first = np.maximum(np.minimum(crowd / together, most), floor)
    bdp = np.maximum(memory[RTT_S] * share, frame_bytes)
    unknown = max(beginning.early_bytes / flows, floor)
    early = np.maximum(unknown, start[2] * bdp)
    steps = np.log(LARGE_BDP_FRAMES / SMALL_BDP_FRAMES)
    large = np.minimum(np.maximum(np.log(bdp / (SMALL_BDP_FRAMES * frame_bytes)) / steps, 0.0), 1.0)
    early = np.maximum(early, np.exp((1.0 - large) * np.log(early) + large * np.log(bdp)))
    young = np.where(beside[:-1], float(BESIDE_PACKETS), float(INITIAL_WINDOW_PACKETS))
    first_bytes, next_bytes = np.maximum(first[:-1], early), max(first[-1], unknown)
    return Company(floor, window, first_bytes, young, early, part, next_bytes)


def welcome(standing: Float64, next_bytes: float, dt_s: float) -> None:
    """Say what the queues may hold that nobody uses: in a crowd, less.

    Parameters
    ----------
    standing
        What holds: their limit, and for how long more would have been right, shape ``(2,)``; changed in
        place. A limit falls at once and rises after `WELCOME_S`: there may be thousands to write.
    next_bytes
        From `company`.
    dt_s
        Time since the previous poll.
    """
    more = next_bytes > standing[0] * WELCOME_RISE
    standing[1] = standing[1] + dt_s if more else 0.0
    if standing[1] >= WELCOME_S or next_bytes * WELCOME_FALL < standing[0]:
        standing[0] = next_bytes
        standing[1] = 0.0
