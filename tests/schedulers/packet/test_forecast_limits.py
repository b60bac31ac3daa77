"""Limits that follow a rate that is told: scaled for the link, unscaled for the policy."""

from __future__ import annotations

import numpy as np
import pytest

from schedulers.packet.limits.contract import FlowCounters, Int64, QueueContext
from schedulers.packet.limits.forecast import LARGEST_FACTOR, LEAST_FACTOR, Forecast

CONTEXT = QueueContext(4, 10_000_000, 1500, 100_000, 3_000, 1_000_000)


class Recorder:
    """Always wants 50 kB, and notes what it was told was in force."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def first_limit_bytes(self, active_flows: int) -> int:
        return 1000

    def limits(self, counters: FlowCounters, dt_s: float) -> Int64:
        self.seen += counters.limit_bytes.tolist()
        return np.full(len(counters.slot), 50_000, dtype=np.int64)


def poll(limit: int, *, new: bool = False) -> FlowCounters:
    one = np.array([1], dtype=np.int64)
    zero = np.zeros(1, dtype=np.int64)
    limits = np.array([limit], dtype=np.int64)
    return FlowCounters(one, np.array([new]), zero, zero, zero, zero, zero, limits)


def test_at_the_usual_rate_the_limits_are_the_policy_s() -> None:
    forecast = Forecast(Recorder(), CONTEXT)
    assert forecast.limits(poll(100_000, new=True), 0.02).tolist() == [50_000]


@pytest.mark.parametrize(("told", "factor"), [(0.0, LEAST_FACTOR), (1e9, LARGEST_FACTOR)])
def test_a_rate_that_is_told_scales_within_bounds(told: float, factor: float) -> None:
    forecast = Forecast(Recorder(), CONTEXT)
    forecast.tell(told)
    assert forecast.limits(poll(100_000, new=True), 0.02).tolist() == [int(50_000 * factor)]


def test_the_policy_sees_its_own_limits() -> None:
    policy = Recorder()
    forecast = Forecast(policy, CONTEXT)
    forecast.tell(5e6)
    first = forecast.limits(poll(100_000, new=True), 0.02)
    forecast.limits(poll(int(first[0])), 0.02)
    assert policy.seen == [100_000, 50_000]


def test_a_rate_that_stays_becomes_the_usual_one() -> None:
    forecast = Forecast(Recorder(), CONTEXT)
    forecast.tell(5e6)
    for _ in range(500):
        limits = forecast.limits(poll(50_000), 0.02)
    assert limits[0] == pytest.approx(50_000, rel=0.01)
