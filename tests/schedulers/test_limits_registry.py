"""Limit policies by name, and `fixed`, which keeps within the queue's range."""

from __future__ import annotations

import numpy as np
import pytest

from qos.errors import ValueRefusedError
from schedulers.packet.limits import (
    DEFAULT_POLICY,
    FlowCounters,
    QueueContext,
    check_policy,
    make_policy,
    policy_names,
)
from schedulers.packet.limits.fixed import Fixed

CONTEXT = QueueContext(
    slots=16,
    rate_bps=10_000_000,
    mtu_bytes=1514,
    initial_limit_bytes=30_000,
    min_limit_bytes=6_056,
    max_limit_bytes=1_000_000,
)


def counters(flows: int) -> FlowCounters:
    zeros = np.zeros(flows, dtype=np.int64)
    return FlowCounters(
        slot=np.arange(flows, dtype=np.int64),
        is_new=np.ones(flows, dtype=np.bool_),
        sent_bytes=zeros,
        sent_packets=zeros,
        dropped_packets=zeros,
        backlog_bytes=zeros,
        backlog_packets=zeros,
        limit_bytes=np.full(flows, CONTEXT.initial_limit_bytes, dtype=np.int64),
    )


@pytest.mark.parametrize(
    "spelling",
    ["sawtooth", "lfq", "lfq:latency", "lfq:7.5", "fixed:30kb", "fixed:1", "fixed:2147483647", "fixed:1.5m"],
)
def test_a_known_policy_passes(spelling: str) -> None:
    check_policy(spelling)
    make_policy(spelling, CONTEXT)


@pytest.mark.parametrize(
    ("spelling", "complaint"),
    [
        ("", "unknown policy ''"),
        ("sawtoth", "did you mean 'sawtooth'"),
        ("Fixed:30kb", "did you mean 'fixed'"),
        ("nonsense", "known: fixed:SIZE, lfq, .*, sawtooth$"),
        (" sawtooth", "unknown policy"),
        ("sawtooth:3", "takes no argument"),
        ("sawtooth:", "takes no argument"),
        ("lfq:", "neither a preference"),
        ("lfq:latencey", "did you mean 'latency'"),
        ("lfq:0", "alpha must be from"),
        ("lfq:nan", "alpha must be from"),
        ("lfq:1e9", "alpha must be from"),
        ("fixed", "needs a size"),
        ("fixed:", "needs a size"),
        ("fixed:0", "at least 1 byte"),
        ("fixed:-5kb", "at least 1 byte"),
        ("fixed:2g", "below 2 GiB"),
        ("fixed:30parsec", "unknown unit"),
        ("fixed:thirty", "not a number"),
        ("fixed:30kb:40kb", "not a number"),
    ],
)
def test_a_policy_that_cannot_be_made_is_refused_with_a_hint(spelling: str, complaint: str) -> None:
    with pytest.raises(ValueRefusedError, match=complaint):
        check_policy(spelling)
    with pytest.raises(ValueRefusedError, match=complaint):
        make_policy(spelling, CONTEXT)


def test_the_default_is_a_policy_that_is_shipped() -> None:
    assert DEFAULT_POLICY in policy_names()
    check_policy(DEFAULT_POLICY)


@pytest.mark.parametrize(
    ("asked", "given"),
    [("1", 6_056), ("30kb", 30_720), ("2000000", 1_000_000)],
    ids=["low", "within", "high"],
)
def test_a_fixed_limit_is_kept_within_the_range_of_the_queue(asked: str, given: int) -> None:
    limits = make_policy(f"fixed:{asked}", CONTEXT).limits(counters(5), 0.02)
    assert limits.dtype == np.int64
    assert limits.tolist() == [given] * 5


def test_a_fixed_limit_forgets_nothing_and_learns_nothing() -> None:
    policy = Fixed(CONTEXT, 30_000)
    first, second = policy.limits(counters(3), 0.02), policy.limits(counters(3), 5.0)
    assert first.tolist() == second.tolist()
