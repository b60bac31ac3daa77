"""Who is guaranteed how much: sparse flows a part of the link, bulk flows next to nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linux_qdisc.compile import guaranteed_rate_bps
from linux_qdisc.guarantee import (
    BULK_AFTER_S,
    DEBT_S,
    SPARSE_AFTER_S,
    Guarantees,
    power_of_two,
)
from linux_qdisc.settings import MIN_RATE_BPS

FLOWS, DT_S, FRAME = 16, 0.02, 1514


def poll(held: Guarantees, full: set[int], used: set[int], seconds: float = DT_S) -> dict[int, int]:
    """Shares of each queue in use after `seconds` of polls that find `full` queues holding packets."""
    in_use = np.isin(np.arange(FLOWS), list(full | used))
    backlog = np.where(np.isin(np.arange(FLOWS), list(full)), 3000, 0)
    told: dict[int, int] = {}
    for _ in range(max(1, round(seconds / DT_S))):
        told = {
            queue: shares
            for queues, shares in held.update(in_use, backlog, DT_S)
            for queue in queues.tolist()
        }
    return told


@pytest.mark.parametrize(("count", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1000, 1024)])
def test_power_of_two(count: int, power: int) -> None:
    assert power_of_two(count) == power


def test_a_queue_that_does_not_run_empty_loses_its_guarantee_and_gets_it_back() -> None:
    held = Guarantees(FLOWS, 10_000_000, FRAME)
    first = poll(held, {1}, {1, 2})
    assert first[1] == first[2]
    after = poll(held, {1}, {1, 2}, BULK_AFTER_S + DT_S)
    assert after[1] > 8 * after[2]
    assert poll(held, set(), {1, 2}, SPARSE_AFTER_S / 2)[1] > 8 * after[2]
    calm = poll(held, set(), {1, 2}, SPARSE_AFTER_S)
    assert calm[1] == calm[2]


def test_a_queue_that_runs_empty_between_packets_stays_sparse() -> None:
    held = Guarantees(FLOWS, 10_000_000, FRAME)
    for _ in range(100):
        full = poll(held, {1}, {1, 2})
        empty = poll(held, set(), {1, 2})
    assert full[1] == full[2] == empty[1]


def test_a_queue_that_went_idle_is_forgotten() -> None:
    held = Guarantees(FLOWS, 10_000_000, FRAME)
    poll(held, {1}, {1}, 1.0)
    poll(held, set(), {2}, DT_S)
    both = poll(held, set(), {1, 2})
    assert both[1] == both[2]


def test_a_bulk_queue_is_not_in_debt_for_long() -> None:
    """A full packet on the guarantee of a bulk queue of a common link is paid for in `DEBT_S`."""
    held = Guarantees(FLOWS, 50_000_000, FRAME)
    shares = poll(held, set(range(8)), set(), 10.0)[0]
    rate_bps = guaranteed_rate_bps(50_000_000, shares)
    assert FRAME * 8 / rate_bps <= 2 * DEBT_S


@given(
    rate=st.integers(MIN_RATE_BPS, 10**10),
    steps=st.lists(
        st.tuples(st.sets(st.integers(0, FLOWS - 1)), st.sets(st.integers(0, FLOWS - 1))), max_size=30
    ),
)
def test_the_sum_of_the_guarantees_stays_below_the_link(
    rate: int, steps: list[tuple[set[int], set[int]]]
) -> None:
    held = Guarantees(FLOWS, rate, FRAME)
    for full, used in steps:
        told = poll(held, full, used, 0.12)
        assert told.keys() == full | used
        assert sum(guaranteed_rate_bps(rate, shares) for shares in told.values()) < rate
