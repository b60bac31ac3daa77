"""Werner formulas against density matrices, inverses against the formulas."""

from __future__ import annotations

import density
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedulers.entanglement import fidelity as werner

fidelities = st.floats(0.26, 1.0)
useful = st.floats(0.51, 0.9999)


@given(fidelities, fidelities)
def test_a_swap_is_what_the_bell_measurement_gives(first: float, second: float) -> None:
    rho = density.swap(density.werner(first), density.werner(second))
    assert werner.swap(first, second) == pytest.approx(density.weights(rho)["phi_plus"])


@given(fidelities, fidelities)
def test_a_distillation_is_what_the_circuit_gives(first: float, second: float) -> None:
    rho, success = density.dejmps(density.werner(first), density.werner(second))
    assert werner.distill(first, second) == pytest.approx(density.weights(rho)["phi_plus"])
    assert werner.distill_success(first, second) == pytest.approx(success)


@given(st.floats(0.25, 1.0))
def test_unswap_undoes_swap(target: float) -> None:
    needed = werner.unswap(target)
    assert werner.swap(needed, needed) == pytest.approx(target)


@given(st.floats(0.5, 1.0))
def test_undistill_equal_undoes_distill(target: float) -> None:
    needed = werner.undistill_equal(target)
    assert werner.distill(needed, needed) == pytest.approx(target)


@given(useful, useful)
def test_undistill_undoes_distill(first: float, second: float) -> None:
    assert werner.undistill(werner.distill(first, second), second) == pytest.approx(first)


@given(useful, useful)
def test_pump_count_is_the_first_round_that_reaches_the_target(fresh: float, target: float) -> None:
    rounds = werner.pump_count(fresh, target)
    levels = [fresh]
    for _ in range(60 if rounds is None else rounds):
        levels.append(werner.distill(levels[-1], fresh))
    if rounds is None:
        assert max(levels) < target
        assert target >= werner.pumped_limit(fresh)
    else:
        assert levels[-1] >= target
        assert all(level < target for level in levels[:-1])


@given(st.integers(1, 6), st.floats(0.55, 0.98))
def test_a_fidelity_for_so_many_pumps_needs_just_so_many(rounds: int, target: float) -> None:
    needed = werner.fidelity_for_pumps(rounds, target)
    assert needed is None or werner.pump_count(needed, target) == rounds


@given(useful, st.floats(0.51, 0.99))
def test_nested_distillation_of_so_many_pairs_reaches_the_target(fresh: float, target: float) -> None:
    pairs = werner.nested_count(fresh, target)
    assert pairs is not None
    level, count = fresh, 1
    while count < pairs:
        assert level < target
        level, count = werner.distill(level, level), 2 * count
    assert level >= target - 1e-9


@pytest.mark.parametrize(("fresh", "target"), [(0.5, 0.7), (0.4, 0.6), (0.25, 0.51)])
def test_a_separable_pair_is_never_enough(fresh: float, target: float) -> None:
    assert werner.pump_count(fresh, target) is None
    assert werner.nested_count(fresh, target) is None
    assert werner.pumped_limit(fresh) == fresh


def test_a_perfect_pair_cannot_be_distilled_from_imperfect_ones() -> None:
    assert werner.pump_count(0.99, 1.0) is None
    assert werner.nested_count(0.99, 1.0) is None
    assert [werner.fidelity_for_pumps(k, 1.0) for k in (0, 1, 2)] == [1.0, None, None]


@pytest.mark.parametrize(
    ("pairs", "communication", "storage", "rounds"),
    [(1, 1, 3, 1), (8, 1, 3, 8), (16, 1, 3, None), (4, 2, 2, 2), (8, 2, 2, 4), (2, 1, 0, None), (2, 1, 1, 2)],
)
def test_rounds_of_generation_follow_a_binary_counter(
    pairs: int, communication: int, storage: int, rounds: int | None
) -> None:
    assert werner.generation_rounds(pairs, communication, storage) == rounds
