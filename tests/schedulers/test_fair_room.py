"""Room for flows that get less than their share."""

from __future__ import annotations

import numpy as np

from schedulers.packet.limits import FlowCounters, QueueContext
from schedulers.packet.limits.fair_room import MOST_FRAMES, MOST_S, WORTH_WRITING, FairRoom

FRAME, DT_S, SHORTEST = 1514, 0.02, 6_056
CONTEXT = QueueContext(4, 50_000_000, FRAME, 60_000, 3_028, 4_000_000)


def run(
    fair: FairRoom,
    sent_bytes: list[int],
    dropped: list[int],
    polls: int,
    limit: list[int] | None = None,
    new: bool = True,
) -> list[int]:
    """Poll flows that are served the same each time; the policy always wants `SHORTEST`."""
    count = len(sent_bytes)
    limits = np.array(limit or [SHORTEST] * count)
    for poll in range(polls):
        counters = FlowCounters(
            slot=np.arange(count),
            is_new=np.full(count, new and poll == 0),
            sent_bytes=np.array(sent_bytes),
            sent_packets=np.array(sent_bytes) // FRAME,
            dropped_packets=np.array(dropped) * (poll % 10 == 0),
            backlog_bytes=np.full(count, FRAME),
            backlog_packets=np.ones(count, np.int64),
            limit_bytes=limits,
        )
        limits = fair.widen(np.full(count, float(SHORTEST)), counters, DT_S, np.zeros(count)).astype(np.int64)
    return [int(value) for value in limits]


def test_a_flow_that_loses_packets_and_gets_less_than_the_others_gets_room_and_they_do_not() -> None:
    limits = run(FairRoom(CONTEXT), [10_000, 20_000, 20_000], [1, 1, 1], 200)
    assert limits[0] > 2 * SHORTEST
    assert limits[1:] == [SHORTEST, SHORTEST]


def test_the_room_is_bounded_and_is_given_back_when_the_share_is_there() -> None:
    fair = FairRoom(CONTEXT)
    wide = run(fair, [5_000, 30_000], [1, 1], 1000)
    most = max(MOST_S * 17_500 / DT_S, MOST_FRAMES * FRAME)
    assert (1 - WORTH_WRITING) * most <= wide[0] <= most
    assert run(fair, [20_000, 20_000], [1, 1], 3000, wide, new=False) == [SHORTEST, SHORTEST]


def test_flows_that_lose_nothing_or_are_alone_or_young_are_left_alone() -> None:
    assert run(FairRoom(CONTEXT), [1_000, 20_000], [0, 1], 300) == [SHORTEST, SHORTEST]
    assert run(FairRoom(CONTEXT), [1_000], [1], 300) == [SHORTEST]
    assert run(FairRoom(CONTEXT), [1_000, 20_000], [1, 1], 40) == [SHORTEST, SHORTEST]


def test_who_has_a_queue_next_has_no_room_of_the_flow_before() -> None:
    fair = FairRoom(CONTEXT)
    wide = run(fair, [5_000, 30_000], [1, 1], 300)
    assert wide[0] > SHORTEST
    assert run(fair, [5_000, 30_000], [1, 1], 1, [SHORTEST, SHORTEST])[0] == SHORTEST
