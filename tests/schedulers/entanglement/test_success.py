"""Sizing for a success probability, judged by SciPy's binomial, brute force and a Monte Carlo replay."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from schedulers.entanglement.bell_diagonal import Memory
from schedulers.entanglement.delivery import Physics
from schedulers.entanglement.fidelity import distill_success
from schedulers.entanglement.mapping import map_to_qubits
from schedulers.entanglement.operations_graph import PlannedOperation, operation_graph
from schedulers.entanglement.steps import Step, join, link_step
from schedulers.entanglement.success import Sized, Sizer, at_least, needed_per_run, repeated

SLOT_S = 0.01
COUNTS = {"a": (1, 3), "b": (1, 3), "c": (1, 3)}


def protocol() -> Step[str]:
    pair, other = link_step(("a", "b"), 0.8, 28.0), link_step(("b", "c"), 0.85, 20.0)
    better = join("distill", ("a", "b"), (0.84, 10.0), 0.01, (pair, pair))
    return join("swap", ("b",), (0.73, 10.0), 0.01, (better, other))


PLANNED = operation_graph(protocol(), SLOT_S)


@given(st.integers(1, 5), st.integers(0, 8), st.floats(0.01, 0.99))
def test_at_least_is_the_binomial_tail(successes: int, more: int, probability: float) -> None:
    runs = successes + more
    assert at_least(successes, runs, probability) == pytest.approx(binom.sf(successes - 1, runs, probability))


@given(st.integers(1, 5), st.integers(0, 8), st.floats(0.01, 0.99))
def test_needed_per_run_is_just_enough(successes: int, more: int, probability: float) -> None:
    runs = successes + more
    each = needed_per_run(successes, runs, probability)
    assert at_least(successes, runs, each) >= probability - 1e-12
    assert at_least(successes, runs, each - 1e-6) < probability


def sized(probability: float, physics: Physics | None = None, pairs: int = 1, most: int = 5000) -> Sized:
    found = Sizer(PLANNED, COUNTS, SLOT_S, physics or Physics()).for_probability(probability, most, pairs)
    assert found is not None
    return found


def replay(
    chosen: Sized, planned: tuple[PlannedOperation, ...], swap_success: float, trials: int
) -> list[int]:
    """Pairs delivered in each of many periods, drawn operation by operation."""
    random = np.random.default_rng(7)
    delivered = np.zeros(trials, dtype=int)
    for _ in range(chosen.runs):
        alive = np.ones(trials, dtype=bool)
        for operation, plan in zip(chosen.mapped.operations, planned, strict=True):
            if operation.kind == "link":
                alive &= random.exponential(1 / plan.rate_per_s, trials) <= operation.duration_slots * SLOT_S
            elif operation.kind == "swap":
                alive &= random.random(trials) < swap_success
            else:
                inputs = [planned[parent].fidelity for parent in operation.parents]
                alive &= random.random(trials) < distill_success(*inputs)
        delivered += alive
    return delivered.tolist()


@pytest.mark.parametrize(("probability", "pairs"), [(0.5, 1), (0.9, 1), (0.99, 1), (0.9, 3)])
@pytest.mark.parametrize("swap_success", [1.0, 0.6])
def test_a_replay_delivers_with_the_demanded_probability(
    probability: float, pairs: int, swap_success: float
) -> None:
    chosen = sized(probability, Physics(swap_success=swap_success), pairs)
    trials = 20_000
    delivered = np.mean(np.array(replay(chosen, PLANNED, swap_success, trials)) >= pairs)
    error = 4 * np.sqrt(probability * (1 - probability) / trials)
    assert chosen.probability >= probability
    assert delivered == pytest.approx(chosen.probability, abs=error)


def test_one_mean_time_a_link_delivers_rarely() -> None:
    """The paper's schedule, were its links to come by chance: the reason for this module."""
    fixed = Sizer(PLANNED, COUNTS, SLOT_S, Physics()).deterministic()
    assert fixed is not None
    assert np.mean(np.array(replay(fixed, PLANNED, 1.0, 20_000)) >= 1) < 0.3


def test_slots_are_shared_out_best_for_one_run() -> None:
    """Brute force over all allocations finds no smaller sum of link slots for the same probability."""
    chosen = Sizer(PLANNED, COUNTS, SLOT_S, Physics())._for_runs(1, 0.4, 1000, 1)
    assert chosen is not None
    links = [i for i, operation in enumerate(PLANNED) if operation.kind == "link"]
    total = sum(chosen.mapped.operations[i].duration_slots for i in links)
    others = distill_success(0.8, 0.8)
    best = min(
        sum(slots)
        for slots in product(range(1, 16), repeat=len(links))
        if others
        * np.prod([-np.expm1(-PLANNED[i].rate_per_s * n * SLOT_S) for i, n in zip(links, slots, strict=True)])
        >= 0.4
    )
    assert total == best


def test_more_probability_takes_more_time_and_a_short_period_is_refused() -> None:
    lengths = [sized(probability).exec_slots for probability in (0.3, 0.6, 0.9, 0.99, 0.999)]
    assert lengths == sorted(lengths)
    sizer = Sizer(PLANNED, COUNTS, SLOT_S, Physics())
    assert sizer.for_probability(0.99, lengths[3] - 1) is None
    assert sizer.for_probability(0.99, lengths[3]) is not None


def test_short_memories_lead_to_more_and_shorter_runs() -> None:
    physics = Physics(memory=Memory(t1_s=5.0, t2_s=1.0))
    sizer = Sizer(PLANNED, COUNTS, SLOT_S, physics)
    plain = sizer.for_probability(0.9, 5000)
    kept = sizer.for_probability(0.9, 5000, min_fidelity=0.62)
    assert plain is not None
    assert kept is not None
    assert plain.delivery.fidelity < 0.62 <= kept.delivery.fidelity
    assert kept.runs > plain.runs


def test_runs_stand_one_after_the_other() -> None:
    mapped = map_to_qubits(PLANNED, COUNTS)
    assert mapped is not None
    three = repeated(mapped, 3)
    assert three.exec_slots == 3 * mapped.exec_slots
    assert len(three.operations) == 3 * len(mapped.operations)
    assert len({operation.name for operation in three.operations}) == len(three.operations)
    for qubit, intervals in three.occupancy.items():
        held = sum(end - begin for begin, end in mapped.occupancy[qubit])
        assert sum(end - begin for begin, end in intervals) == 3 * held
        assert all(one[1] < other[0] for one, other in pairwise(intervals))
    last = three.operations[-1]
    assert all(three.operations[parent].name.endswith("#2") for parent in last.parents)
    assert repeated(mapped, 1) is mapped
