"""Effective capacity: known values, limits, and a queue that it predicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.channel.markov import crossing_chain
from qos.crosslayer.effective_capacity import (
    RunningEstimate,
    admissible_rate,
    estimated_theta,
    of_independent,
    of_markov,
    of_measured,
    predicted_violation,
)
from qos.crosslayer.modes import HIPERLAN2
from qos.crosslayer.threshold_design import thresholds_at
from qos.errors import ValueRefusedError

TABLE = HIPERLAN2.subset(1, 2, 3, 5, 6)
CHAIN = crossing_chain(NakagamiFading(15), thresholds_at(TABLE, 0.01), 0.01)
SERVICE = np.array([0, 1, 2, 3, 6, 9.0])
DELIVERED = 1 - 0.00098  # the share of packets that arrive in this case


def capacity(theta: float) -> float:
    return of_markov(CHAIN.transition, CHAIN.stationary, SERVICE, theta)


def test_values_of_the_base_case() -> None:
    # Computed with an independent program; packets a frame.
    wanted = {1e-4: 4.3349, 1e-3: 4.1872, 0.01: 2.8320, 0.1: 0.7020, 0.3: 0.3218, 1.0: 0.1202}
    for theta, value in wanted.items():
        assert capacity(theta) * DELIVERED == pytest.approx(value, rel=1.5e-3)
    free = {1e-4: 4.3510, 0.1: 4.1214, 1.0: 2.4862}
    for theta, value in free.items():
        assert of_independent(SERVICE, CHAIN.stationary, theta) * DELIVERED == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(
    ("delay", "wanted"),
    [
        (25, (0.369, 0, 0)),
        (50, (1.567, 0.369, 0)),
        (100, (3.202, 1.567, 0.726)),
        (250, (3.969, 3.490, 2.882)),
    ],
)
def test_admissible_rates_of_the_base_case(delay: float, wanted: tuple[float, ...]) -> None:
    got = [admissible_rate(capacity, delay, violation) for violation in (0.1, 0.01, 0.001)]
    assert got == pytest.approx(wanted, abs=0.005)


@given(st.floats(1e-4, 1), st.floats(1.01, 5))
def test_capacity_falls_with_the_exponent_and_lies_between_least_and_mean(theta: float, step: float) -> None:
    assert capacity(theta * step) <= capacity(theta) + 1e-9
    assert 0 <= capacity(theta) <= capacity(0.0)


def test_a_constant_service_has_its_rate_as_capacity() -> None:
    assert of_independent([2.0], [1.0], 0.7) == pytest.approx(2)
    assert admissible_rate(lambda _: 2.0, 10, 1e-6) == pytest.approx(2)


def test_the_delay_of_a_simulated_queue_keeps_the_bound() -> None:
    violation, delay = 0.01, 100
    rate = admissible_rate(capacity, delay, violation)
    rng = np.random.default_rng(4)
    cumulative = CHAIN.transition.cumsum(axis=1)
    links = 400
    state = rng.choice(6, links, p=CHAIN.stationary / CHAIN.stationary.sum())
    backlog, late, busy, total, count = np.zeros(links), 0, 0, 0.0, 0
    for slot in range(6000):
        state = (rng.random(links)[:, None] > cumulative[state]).sum(axis=1)
        backlog = np.maximum(backlog + rate - SERVICE[state], 0)
        if slot >= 2000:
            late += int((backlog > rate * delay).sum())
            busy += int((backlog > 0).sum())
            total += float(backlog.sum())
            count += links
    theta = math.log(1 / violation) / (rate * delay)
    assert late / count <= violation
    refined = predicted_violation(theta, rate, delay, busy / count)
    assert late / count == pytest.approx(refined, rel=0.5)
    assert estimated_theta(busy / count, total / count) == pytest.approx(theta, rel=0.35)
    assert predicted_violation(theta, rate, delay) == pytest.approx(violation)


def test_the_delay_tail_is_estimated_from_a_link_that_runs() -> None:
    """Looks at the backlogs of a hundred such links: what they predict is what the delays turn out to be."""
    rate = admissible_rate(capacity, 100, 0.01)
    rng = np.random.default_rng(8)
    cumulative = CHAIN.transition.cumsum(axis=1)
    links = 100
    state = rng.choice(6, links, p=CHAIN.stationary / CHAIN.stationary.sum())
    estimate, backlog, delays = RunningEstimate(memory_looks=1e6), np.zeros(links), []
    for slot in range(5000):
        state = (rng.random(links)[:, None] > cumulative[state]).sum(axis=1)
        backlog = np.maximum(backlog + rate - SERVICE[state], 0)
        if slot >= 1000 and slot % 10 == 0:
            delays.append(backlog / rate)
            for each in backlog:
                estimate.look(float(each), rate)
    for bound in (10, 40):
        seen = float((np.array(delays) > bound).mean())
        assert estimate.violation(bound) == pytest.approx(seen, rel=0.5)
    assert estimate.theta == pytest.approx(math.log(100) / (rate * 100), rel=0.35)
    assert estimate.keeps(100, 0.02)
    assert not estimate.keeps(10, 1e-3)


def test_a_queue_that_was_never_seen_has_no_late_packets() -> None:
    estimate = RunningEstimate()
    estimate.look(0.0, 1.0)
    assert estimate.theta == math.inf
    assert estimate.violation(3) == 0
    with pytest.raises(ValueRefusedError, match="backlog"):
        estimate.look(math.nan, 1.0)


def test_a_measured_record_gives_the_capacity_of_its_process() -> None:
    rng = np.random.default_rng(1)
    record = rng.choice([0.0, 1.0, 4.0], p=[0.2, 0.5, 0.3], size=(20_000, 4))
    got = of_measured(record, 0.2, 5)
    assert got == pytest.approx(of_independent([0, 1, 4], [0.2, 0.5, 0.3], 0.2), rel=0.02)


@pytest.mark.parametrize(
    "call",
    [
        lambda: admissible_rate(capacity, 0, 0.1),
        lambda: admissible_rate(capacity, 10, 0),
        lambda: admissible_rate(capacity, 10, 1.5),
        lambda: of_independent([1.0], [1.0], -1),
        lambda: of_independent([math.nan], [1.0], 1),
        lambda: of_measured(np.ones(20), 0.1, 5),
        lambda: estimated_theta(0, 1),
        lambda: estimated_theta(0.5, 0),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueRefusedError):
        call()
