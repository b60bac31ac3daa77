"""Unequal protection, packet FEC, and the rate of the source."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.crosslayer.source_rate import DelayGradient, choose_layers, tfrc_rate_bps
from qos.crosslayer.unequal_protection import (
    CodedClass,
    PacketClass,
    parity_for,
    protect,
    protect_with_parity,
    residual_loss,
)
from qos.errors import InfeasibleError, ValueRefusedError


@pytest.mark.parametrize("seed", range(30))
def test_the_protection_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    draws = [(rng.uniform(0.1, 10), rng.uniform(5, 30), 1e-3, rng.uniform(0.05, 0.4)) for _ in range(3)]
    classes = [PacketClass(*draw, 5) for draw in draws]
    budget = sum(each.air_time(0) for each in classes) * 1.2

    def lost(limits: tuple[int, ...]) -> float:
        return sum(each.weighted_loss(n) for each, n in zip(classes, limits, strict=True))

    def fits(limits: tuple[int, ...]) -> bool:
        return sum(each.air_time(n) for each, n in zip(classes, limits, strict=True)) <= budget

    best = min(lost(limits) for limits in itertools.product(range(6), repeat=3) if fits(limits))
    found = protect(classes, budget)
    assert fits(found)
    assert lost(found) == pytest.approx(best, rel=1e-9)


def test_important_packets_are_protected_first() -> None:
    rare, dear = PacketClass(1, 10, 1e-3, 0.2), PacketClass(9, 10, 1e-3, 0.2)
    limits = protect([rare, dear], rare.air_time(0) + dear.air_time(2))
    assert limits[1] > limits[0]


@given(st.integers(1, 20), st.integers(0, 6), st.floats(0, 0.6))
def test_more_parity_never_leaves_more_loss(source: int, parity: int, loss: float) -> None:
    fewer = residual_loss(source + parity, source, loss)
    assert residual_loss(source + parity + 1, source, loss) <= fewer + 1e-12
    assert fewer <= loss + 1e-12


@pytest.mark.parametrize("seed", range(10))
def test_the_parity_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = [
        CodedClass(
            rng.uniform(0.1, 10), rng.uniform(5, 30), int(rng.integers(1, 9)), 1e-3, rng.uniform(0, 0.4), 5
        )
        for _ in range(3)
    ]
    budget = sum(each.air_time(0) for each in classes) * 1.4
    fits = [
        picks
        for picks in itertools.product(range(6), repeat=3)
        if sum(each.air_time(n) for each, n in zip(classes, picks, strict=True)) <= budget
    ]
    best = min(sum(e.weighted_loss(n) for e, n in zip(classes, picks, strict=True)) for picks in fits)
    found = protect_with_parity(classes, budget)
    assert found in fits
    lost = sum(each.weighted_loss(n) for each, n in zip(classes, found, strict=True))
    assert lost == pytest.approx(best, rel=1e-9)
    with pytest.raises(InfeasibleError, match="without parity"):
        protect_with_parity(classes, budget / 2)


def test_fec_follows_simulation() -> None:
    rng = np.random.default_rng(3)
    lost = rng.random((200_000, 10)) < 0.1
    broken = lost.sum(axis=1) > 2
    assert residual_loss(10, 8, 0.1) == pytest.approx(float(lost[broken].sum() / lost.size), rel=0.03)
    parity = parity_for(8, 0.1, 1e-3)
    assert residual_loss(8 + parity, 8, 0.1) <= 1e-3 < residual_loss(8 + parity - 1, 8, 0.1)


def test_tfrc_falls_with_loss_and_round_trip() -> None:
    assert tfrc_rate_bps(1460, 0.1, 0.02) < tfrc_rate_bps(1460, 0.1, 0.01)
    assert tfrc_rate_bps(1460, 0.2, 0.01) == pytest.approx(tfrc_rate_bps(1460, 0.1, 0.01) / 2)


def test_the_delay_gradient_settles_below_a_bottleneck() -> None:
    """A bottleneck of 2 Mbit/s with a deep buffer: neither a standing queue nor an idle link."""
    state, backlog, before = DelayGradient(500e3), 0.0, 0.0
    rates, delays = [], []
    for _ in range(3000):
        backlog = max(backlog + (state.rate_bps - 2e6) * 0.1, 0.0)
        delay = backlog / 2e6
        received = 2e6 if backlog > 0 else state.rate_bps
        state = state.update((delay - before) / 0.1, received, 0.0, 0.1)
        before = delay
        rates.append(state.rate_bps)
        delays.append(delay)
    assert 1.5e6 < float(np.mean(rates[500:])) <= 2.05e6
    assert float(np.mean(delays[500:])) < 0.1
    assert state.update(0, 1e6, 0, 0.1, ceiling_bps=4e5).rate_bps == 4e5


def test_layers_need_those_below_them() -> None:
    assert [choose_layers([3, 6, 16], room) for room in (2, 3, 9, 24, 25)] == [0, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: protect([PacketClass(1, 2000, 1e-3, 0.1)], 1.0), InfeasibleError),
        (lambda: parity_for(100, 0.5, 1e-9, 4), InfeasibleError),
        (lambda: PacketClass(1, 10, 1e-3, 1.0), ValueRefusedError),
        (lambda: PacketClass(-1, 10, 1e-3, 0.1), ValueRefusedError),
        (lambda: residual_loss(3, 4, 0.1), ValueRefusedError),
        (lambda: residual_loss(3, 2, 1.1), ValueRefusedError),
        (lambda: tfrc_rate_bps(1460, 0.1, 0), ValueRefusedError),
        (lambda: tfrc_rate_bps(1460, -1, 0.1), ValueRefusedError),
        (lambda: choose_layers([0.0], 1), ValueRefusedError),
    ],
)
def test_bad_input_is_refused(call: object, error: type[Exception]) -> None:
    assert callable(call)
    with pytest.raises(error):
        call()
