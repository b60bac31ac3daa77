"""The joint admission: each search is valid, CP-SAT finds the best, the relaxation bounds them all."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedulers.admission.cpsat import SearchLimits, improve
from schedulers.admission.fill import fill
from schedulers.admission.greedy import first_come, greedy
from schedulers.admission.problem import Option, Problem
from schedulers.admission.relaxation import relax, round_down
from schedulers.admission.search import search
from schedulers.admission.state import Loads, loads_of, violations


def random_problem(seed: int, demands: int = 6) -> Problem:
    """A few demands with up to three options each, on four channels whose queues bound waits."""
    random = np.random.default_rng(seed)
    options = []
    for demand in range(demands):
        weight = float(random.integers(1, 8))
        for _ in range(int(random.integers(1, 4))):
            channels = random.choice(4, int(random.integers(1, 4)), replace=False)
            share = float(random.uniform(0.1, 0.6))
            slack = math.inf if random.random() < 0.5 else float(random.uniform(0.004, 0.02))
            use = {int(channel): share for channel in channels}
            options.append(Option(demand, weight, use, {int(c): 1e-3 for c in channels}, slack))
    return Problem(demands, tuple(options), (0.9,) * 4, (1e-3,) * 4)


def best_of_all(problem: Problem) -> float:
    """Try every choice."""
    values = [0.0]
    for chosen in itertools.product(*((None, *numbers) for numbers in problem.by_demand)):
        if not violations(problem, chosen):
            values.append(sum(problem.options[n].weight for n in chosen if n is not None))
    return max(values)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_every_search_is_valid_cpsat_is_best_and_the_relaxation_bounds_it(seed: int) -> None:
    problem = random_problem(seed)
    relaxed = relax(problem)
    best = best_of_all(problem)
    for found in (
        greedy(problem),
        greedy(problem, patient_first=True),
        round_down(problem, relaxed),
        first_come(problem),
    ):
        assert violations(problem, found.chosen) == []
        assert found.value <= best + 1e-9
    exact = improve(problem, greedy(problem), SearchLimits(5.0))
    assert violations(problem, exact.chosen) == []
    assert exact.value == pytest.approx(best)
    assert exact.optimal
    assert relaxed.value >= best - 1e-6
    assert search(problem, time_limit_s=5.0).value == pytest.approx(best)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_loads_come_and_go_without_a_trace(seed: int) -> None:
    problem = random_problem(seed)
    loads = loads_of(problem, greedy(problem).chosen)
    before = (loads.load.copy(), loads.wait_s.copy())
    for demand in list(loads.admitted):
        option = loads.remove(demand)
        assert loads.fits(option)
        loads.add(option)
    assert np.allclose(loads.load, before[0], atol=1e-12)
    assert np.allclose(loads.wait_s, before[1], atol=1e-15)


def test_what_does_not_fit_is_named() -> None:
    tight = Option(0, 1.0, {0: 0.5}, {0: 1e-3}, 2.5e-3)
    other = Option(1, 1.0, {0: 0.3}, {0: 1e-3}, math.inf)
    large = Option(2, 1.0, {0: 0.6}, {}, math.inf)
    problem = Problem(3, (tight, other, large), (0.9,), (1e-3,))
    loads = Loads(problem)
    loads.add(tight)
    assert loads.disturbed(other) == 0
    assert loads.overfull(large) == 0
    assert not loads.fits(other)
    assert violations(problem, (0, 1, None)) == ["demand 0: waits 0.003 s of 0.0025 s"]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_filled_rates_are_max_min_fair(seed: int) -> None:
    random = np.random.default_rng(seed)
    flows, channels = 6, 4
    per_bps = [
        {int(c): 1e-6 for c in random.choice(channels, int(random.integers(1, 4)), replace=False)}
        for _ in range(flows)
    ]
    least = random.uniform(1e3, 5e4, flows)
    most = least * random.uniform(1, 30, flows)
    rates = fill(list(least), list(most), per_bps, [0.9] * channels)
    load = np.zeros(channels)
    for rate, shares in zip(rates, per_bps, strict=True):
        for channel, share in shares.items():
            load[channel] += share * rate
    assert (load <= 0.9 * (1 + 1e-9)).all()
    assert (rates >= least * (1 - 1e-9)).all()
    assert (rates <= most * (1 + 1e-9)).all()
    for flow, rate in enumerate(rates):
        if rate >= most[flow] * (1 - 1e-6):
            continue
        # Some full channel carries the flow, and nobody who grew there has more.
        assert any(
            load[channel] >= 0.9 * (1 - 1e-6)
            and all(
                rates[other] <= max(rate, least[other]) * (1 + 1e-6)
                for other in range(flows)
                if channel in per_bps[other]
            )
            for channel in per_bps[flow]
        )


def test_an_empty_problem_has_an_empty_answer() -> None:
    problem = Problem(2, (), (0.9,), (0.0,))
    assert search(problem).chosen == (None, None)
    assert relax(problem).value == 0.0
    assert fill([], [], [], [0.9]).tolist() == []
