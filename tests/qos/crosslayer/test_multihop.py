"""Splitting a path's budget over its hops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.crosslayer.multihop.budget import WorkingPoint, split_budget, working_points
from qos.crosslayer.multihop.pareto import undominated
from qos.crosslayer.multihop.retry_split import path_loss_probability, split_retries, split_uniformly
from qos.errors import InfeasibleError, ValueRefusedError


@pytest.mark.parametrize("seed", range(60))
def test_the_greedy_split_of_retries_is_the_best_of_all_splits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hops, total = int(rng.integers(1, 6)), int(rng.integers(0, 9))
    rates = (10 ** rng.uniform(-2, -0.2, hops)).tolist()
    every = (split for split in itertools.product(range(total + 1), repeat=hops) if sum(split) == total)
    best = min(path_loss_probability(rates, split) for split in every)
    assert path_loss_probability(rates, split_retries(rates, total)) == pytest.approx(best, rel=1e-9)


def test_the_greedy_split_halves_the_drops_of_a_uniform_one() -> None:
    ratios = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        hops = int(rng.integers(3, 9))
        rates = (10 ** rng.uniform(-2, -0.3, hops)).tolist()
        total = 2 * hops
        good = path_loss_probability(rates, split_retries(rates, total))
        ratios.append(path_loss_probability(rates, split_uniformly(hops, total)) / good)
    assert min(ratios) >= 1 - 1e-9
    assert float(np.median(ratios)) >= 2


@given(st.lists(st.floats(0, 0.95), min_size=1, max_size=8), st.integers(0, 20))
def test_a_split_gives_all_and_one_more_never_hurts(rates: list[float], total: int) -> None:
    split = split_retries(rates, total)
    assert sum(split) == total
    more = split_retries(rates, total + 1)
    assert path_loss_probability(rates, more) <= path_loss_probability(rates, split) + 1e-15


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), max_size=40))
def test_the_points_kept_are_those_that_no_other_beats(points: list[tuple[int, int, int]]) -> None:
    def beats(one: int, other: int) -> bool:
        pairs = list(zip(points[one], points[other], strict=True))
        return all(a <= b for a, b in pairs) and (one < other or any(a < b for a, b in pairs))

    figures = np.array(points, dtype=float).reshape(-1, 3)
    every = range(len(points))
    expected = {this for this in every if not any(beats(that, this) for that in every if that != this)}
    assert set(undominated(figures[:, 0], figures[:, 1], figures[:, 2]).tolist()) == expected


def random_hops(rng: np.random.Generator, hops: int) -> list[tuple[WorkingPoint, ...]]:
    path = []
    for _ in range(hops):
        robust = working_points(10 ** rng.uniform(-3, -1), rng.uniform(1e-3, 3e-3), 2, rng.uniform(0, 1e-3))
        fast = working_points(10 ** rng.uniform(-1.2, -0.3), rng.uniform(3e-4, 1e-3), 3, rng.uniform(0, 1e-3))
        path.append(robust + fast)
    return path


@pytest.mark.parametrize("seed", range(60))
def test_the_split_of_loss_and_delay_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hops = random_hops(rng, int(rng.integers(1, 5)))
    loss, delay_s = 10 ** rng.uniform(-4, -1), rng.uniform(1e-3, 4e-3) * len(hops)
    best = math.inf
    for choice in itertools.product(*hops):
        lost = -math.expm1(sum(math.log1p(-point.loss) for point in choice))
        if lost <= loss and sum(point.delay_s for point in choice) <= delay_s:
            best = min(best, sum(point.channel_time_s for point in choice))
    if math.isinf(best):
        with pytest.raises(InfeasibleError, match="hop"):
            split_budget(hops, loss, delay_s)
        return
    found = split_budget(hops, loss, delay_s)
    assert found.channel_time_s == pytest.approx(best, rel=1e-9)
    assert found.loss <= loss * (1 + 1e-9)
    assert found.delay_s <= delay_s * (1 + 1e-9)


@pytest.mark.parametrize(
    ("hops", "loss", "delay_s", "words"),
    [
        ([working_points(0.1, 1e-3, 2)] * 3, 1e-2, 2e-3, "delay bound 2 ms cannot be met.* 3 ms .*hop 0"),
        ([working_points(0.1, 1e-3, 1)] * 3, 1e-4, 1.0, "loss bound 0.0001 cannot be met.* loses 0.0297"),
        ([working_points(0.1, 1e-3, 5)] * 3, 1e-4, 5e-3, "takes at least 15 ms of delay, 3.00 times"),
    ],
)
def test_an_infeasible_budget_says_by_how_much_and_where(
    hops: list[tuple[WorkingPoint, ...]], loss: float, delay_s: float, words: str
) -> None:
    with pytest.raises(InfeasibleError, match=words):
        split_budget(hops, loss, delay_s)


@pytest.mark.parametrize(
    "call",
    [
        lambda: split_retries([], 1),
        lambda: split_retries([1.0], 1),
        lambda: split_retries([float("nan")], 1),
        lambda: split_retries([0.1], -1),
        lambda: split_budget([], 0.1, 1.0),
        lambda: split_budget([()], 0.1, 1.0),
        lambda: split_budget([working_points(0.1, 1e-3, 1)], 0.0, 1.0),
        lambda: split_budget([working_points(0.1, 1e-3, 1)], 0.1, -1.0),
        lambda: WorkingPoint(1.0, 1e-3, 1),
        lambda: WorkingPoint(0.1, 0.0, 1),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueRefusedError):
        call()
