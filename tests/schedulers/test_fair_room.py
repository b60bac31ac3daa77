"""Room for flows that get less than their share."""

from __future__ import annotations

import numpy as np

from schedulers.packet.limits.lfq.fair_room import (
    CHEAP_ALPHA,
    FIRST_SHARE,
    GROWN_UP_S,
    MOST_FRAMES,
    MOST_S,
    WORTH_WRITING,
    RoomBounds,
    fresh_room,
    remember_served,
    room_bounds,
    widen,
)
from schedulers.packet.limits.lfq.memory import Float64, Poll

FRAME, DT_S, SHORTEST = 1514, 0.02, 6_056
BOUNDS = room_bounds(1.0, 4_000_000.0, float(FRAME))


def run(
    room: Float64,
    sent_bytes: list[int],
    dropped: list[int],
    polls: int,
    limit: list[int] | None = None,
    new: bool = True,
    bounds: RoomBounds = BOUNDS,
    wanted_bytes: int = SHORTEST,
) -> list[int]:
    """Poll flows that are served the same each time; the policy always wants the same."""
    count = len(sent_bytes)
    slot = np.arange(count)
    limits = np.array(limit or [wanted_bytes] * count, float)
    for number in range(polls):
        poll = Poll(
            sent_bytes=np.array(sent_bytes, float),
            sent_packets=np.array(sent_bytes) / FRAME,
            dropped_packets=np.array(dropped, float) * (number % 10 == 0),
            backlog_bytes=np.full(count, float(FRAME)),
            limit_bytes=limits,
            is_new=np.full(count, float(new and number == 0)),
            quiet_s=np.zeros(count),
        )
        remember_served(room, slot, poll, DT_S)
        wanted = np.full(count, float(wanted_bytes))
        limits = np.floor(widen(room, slot, poll, wanted, np.zeros(count), DT_S, bounds))
    return [int(value) for value in limits]


def test_a_flow_that_loses_packets_and_gets_less_than_the_others_gets_room_and_they_do_not() -> None:
    limits = run(fresh_room(4), [10_000, 20_000, 20_000], [1, 1, 1], 200)
    assert limits[0] > 2 * SHORTEST
    assert limits[1:] == [SHORTEST, SHORTEST]


def test_room_begins_with_half_of_the_times_but_not_of_the_frames() -> None:
    polls = round(GROWN_UP_S / DT_S) + 1
    fast = run(fresh_room(4), [200_000, 300_000], [1, 1], polls)
    known_rate = 0.86 * 250_000 / DT_S  # a mean over half a second, after one
    assert fast[0] >= FIRST_SHARE * MOST_S * known_rate
    slow = run(fresh_room(4), [200, 300], [1, 1], polls, wanted_bytes=FRAME)
    assert slow[0] < 1.2 * FRAME < FIRST_SHARE * MOST_FRAMES * FRAME


def test_the_room_is_bounded_and_is_given_back_when_the_share_is_there() -> None:
    room = fresh_room(4)
    wide = run(room, [5_000, 30_000], [1, 1], 1000)
    most = max(MOST_S * 17_500 / DT_S, MOST_FRAMES * FRAME)
    assert (1 - WORTH_WRITING) * most <= wide[0] <= most
    assert run(room, [20_000, 20_000], [1, 1], 3000, wide, new=False) == [SHORTEST, SHORTEST]


def test_flows_that_lose_nothing_or_are_alone_or_young_are_left_alone() -> None:
    assert run(fresh_room(4), [1_000, 20_000], [0, 1], 300) == [SHORTEST, SHORTEST]
    assert run(fresh_room(4), [1_000], [1], 300) == [SHORTEST]
    assert run(fresh_room(4), [1_000, 20_000], [1, 1], 40) == [SHORTEST, SHORTEST]


def test_who_has_a_queue_next_has_no_room_of_the_flow_before() -> None:
    room = fresh_room(4)
    wide = run(room, [5_000, 30_000], [1, 1], 300)
    assert wide[0] > SHORTEST
    assert run(room, [5_000, 30_000], [1, 1], 1, [SHORTEST, SHORTEST])[0] == SHORTEST


def test_the_room_is_shorter_where_delay_is_dear_and_no_longer_where_it_is_cheap() -> None:
    def room(alpha: float) -> int:
        bounds = room_bounds(alpha, 4_000_000.0, float(FRAME))
        return run(fresh_room(4), [5_000, 30_000], [1, 1], 1000, bounds=bounds)[0]

    assert room(0.1) == room(CHEAP_ALPHA) > room(1.5 * CHEAP_ALPHA) > room(100.0)
    assert room(100.0) >= (1 - WORTH_WRITING) * MOST_FRAMES * FRAME
