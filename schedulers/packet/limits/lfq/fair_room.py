"""Room for flows that get less than their share beside others, whatever their policy wishes.

A fair queue shares the link only among flows whose queues hold packets. A sender that halves its window after
a loss empties a short queue for a while, and a sender that does not heed losses (BBR) takes that time: with
queues of 4 packets, six Reno and CUBIC flows had 4 Mbit/s each beside two BBR flows of 12. What helps is not
to shorten the queue of the one who has more, which is served by turns already, but to lengthen those that run
empty (Appenzeller, Keslassy and McKeown, SIGCOMM 2004: a queue that never runs empty loses nothing). So the
limits of flows that lose packets are controlled by what they are served: below `SHARE` of the mean of such
flows room grows, above it shrinks, both in proportion.

Plain numpy, written so that it can be compiled as it stands, see `step`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from schedulers.packet.limits.contract import Int64
from schedulers.packet.limits.lfq.memory import Float64, Poll

# Rows of what is remembered of every flow.
SERVED_RATE, ROOM_BYTES, AGE_S, LOSSLESS_S, SILENT_S = 0, 1, 2, 3, 4
ROOM_MEMORY = 5

SHARE = 0.96
"""What a flow shall have of the mean at least; with 0.92 for three of four flows Jain's index is 0.98."""
RATE_S = 0.5
"""Served rates are means over about so long."""
GROWN_UP_S = 1.0
"""A flow is compared with others when it is so old; before, it is still looking for its rate."""
LOSSY_S = 3.0
"""A flow that lost no packet for so long has what it asks for."""
MOST_SILENT_S = 0.4
"""A flow that sent nothing for so long has ended or rests: longer than a timeout (RFC 6298; Linux: 0.2 s)."""
GAIN_PER_S = 4.0
"""The logarithm of the room changes by so much a second for each share that is missing..."""
FASTEST_PER_S = 1.0
"""... but by no more than this."""
MOST_S = 0.015
"""The room is at most what the mean flow sends in so long..."""
MOST_RTTS = 0.5
"""... or in this part of a round-trip time, where that is known and more..."""
MOST_FRAMES = 4
"""... or so many frames, if that is more."""
FIRST_SHARE = 0.5
"""Room begins with this part of those times: growing from a frame it would come seconds too late. Of the
frames it does not: where many share a slow link a frame takes long."""
CHEAP_ALPHA = 4.5
"""Where a second of queueing is worth more than this (1/s), `MOST_S` falls with its square root."""
WORTH_WRITING = 0.02
"""A limit is not changed by less than this share."""


class RoomBounds(NamedTuple):
    """What room there may be.

    Attributes
    ----------
    most_bytes
        No room is above this.
    frame_bytes
        Largest frame.
    time_share
        So much of `MOST_S` may be used, above 0, at most 1.
    """

    most_bytes: float
    frame_bytes: float
    time_share: float


def room_bounds(alpha: float, most_bytes: float, frame_bytes: float) -> RoomBounds:
    """Say what room there may be where a second of queueing is worth `alpha` shares of the rate, 1/s."""
    return RoomBounds(most_bytes, frame_bytes, min((CHEAP_ALPHA / alpha) ** 0.5, 1.0))


def fresh_room(slots: int) -> Float64:
    """Remember nothing of any flow, shape ``(ROOM_MEMORY, slots)``."""
    room = np.zeros((ROOM_MEMORY, slots))
    room[LOSSLESS_S:] = np.inf
    return room


def remember_served(room: Float64, slot: Int64, poll: Poll, dt_s: float) -> None:
    """Remember how each flow was served.

    Parameters
    ----------
    room
        From `fresh_room`; is changed.
    slot
        Queues of the active flows, shape ``(n,)``.
    poll
        What was counted of them.
    dt_s
        Time since the previous poll, more than 0.
    """
    new = slot[poll.is_new > 0.0]
    room[SERVED_RATE][new] = 0.0
    room[ROOM_BYTES][new] = 0.0
    room[AGE_S][new] = 0.0
    room[LOSSLESS_S][new] = np.inf
    weight = -np.expm1(-dt_s / RATE_S)
    room[SERVED_RATE] *= 1.0 - weight
    room[SERVED_RATE][slot] += weight / dt_s * poll.sent_bytes
    room[AGE_S:] += dt_s
    room[LOSSLESS_S][slot[poll.dropped_packets > 0.0]] = 0.0
    room[SILENT_S][slot] = 0.0


def widen(
    room: Float64,
    slot: Int64,
    poll: Poll,
    wanted_bytes: Float64,
    rtt_s: Float64,
    dt_s: float,
    bounds: RoomBounds,
) -> Float64:
    """Return the limits, none of them shorter than what a policy wants, after `remember_served`.

    Parameters
    ----------
    room, slot, poll, dt_s
        As of `remember_served`.
    wanted_bytes
        What the policy wants for the active flows, shape ``(n,)``.
    rtt_s
        Their round-trip times, shape ``(n,)``; 0 where they are not known.
    bounds
        What room there may be.
    """
    rate, bytes_of = room[SERVED_RATE], room[ROOM_BYTES]
    compared = (room[AGE_S] >= GROWN_UP_S) & (room[LOSSLESS_S] < LOSSY_S) & (room[SILENT_S] < MOST_SILENT_S)
    mean = np.mean(rate[compared]) if np.count_nonzero(compared) >= 2 else 0.0
    missing = np.where(compared, SHARE - rate / mean, -1.0) if mean > 0.0 else np.full(len(rate), -1.0)
    begins = missing[slot] > 0.0
    longest_s = np.maximum(MOST_RTTS * rtt_s, bounds.time_share * MOST_S)
    in_time = np.minimum(longest_s * mean, bounds.most_bytes)
    most = np.minimum(np.maximum(in_time, MOST_FRAMES * bounds.frame_bytes), bounds.most_bytes)
    first = np.maximum(poll.limit_bytes, FIRST_SHARE * in_time)
    bytes_of[slot[begins]] = np.maximum(bytes_of[slot], first)[begins]
    pace = np.minimum(np.maximum(GAIN_PER_S * missing, -FASTEST_PER_S), FASTEST_PER_S)
    bytes_of *= np.exp(pace * dt_s)
    bytes_of[slot] = np.minimum(bytes_of[slot], most)
    kept = np.abs(bytes_of[slot] - poll.limit_bytes) < WORTH_WRITING * poll.limit_bytes
    return np.maximum(wanted_bytes, np.where(kept, poll.limit_bytes, bytes_of[slot]))
