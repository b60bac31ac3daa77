"""Bell-diagonal states against density matrices and channels."""

from __future__ import annotations

import density
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.errors import ValueRefusedError
from schedulers.entanglement import fidelity as werner_formulas
from schedulers.entanglement.bell_diagonal import (
    BellDiagonal,
    Memory,
    dejmps,
    from_correlations,
    swap,
    wait,
    werner,
)


@st.composite
def states(draw: st.DrawFn) -> BellDiagonal:
    parts = [draw(st.floats(0.01, 1.0)) for _ in range(4)]
    return BellDiagonal(*(part / sum(parts) for part in parts))


def as_matrix(state: BellDiagonal) -> density.Matrix:
    return density.bell_mixture(
        phi_plus=state.phi_plus,
        psi_plus=state.psi_plus,
        psi_minus=state.psi_minus,
        phi_minus=state.phi_minus,
    )


def assert_same(state: BellDiagonal, rho: density.Matrix) -> None:
    found = density.weights(rho)
    assert {name: getattr(state, name) for name in found} == pytest.approx(found, abs=1e-9)


@given(states())
def test_correlations_are_expectations_and_come_back(state: BellDiagonal) -> None:
    rho = as_matrix(state)
    expected = [np.trace(rho @ density.kron(p, p)).real for p in (density.X, density.Y, density.Z)]
    assert state.correlations == pytest.approx(expected, abs=1e-12)
    assert_same(from_correlations(*state.correlations), rho)


@given(states(), states())
def test_swap_is_the_bell_measurement(first: BellDiagonal, second: BellDiagonal) -> None:
    assert_same(swap(first, second), density.swap(as_matrix(first), as_matrix(second)))


@given(states(), states())
def test_dejmps_is_at_least_as_good_as_its_textbook_circuit(
    first: BellDiagonal, second: BellDiagonal
) -> None:
    rho, _ = density.dejmps(as_matrix(first), as_matrix(second))
    done = dejmps(first, second)
    assert done.state.fidelity >= density.weights(rho)["phi_plus"] - 1e-12
    assert 0 < done.success_probability <= 1 + 1e-12


def test_dejmps_is_the_circuit_where_the_error_that_this_leaves_is_the_smallest() -> None:
    state = BellDiagonal(0.7, 0.2, 0.02, 0.08)
    rho, success = density.dejmps(as_matrix(state), as_matrix(state))
    done = dejmps(state, state)
    assert done.success_probability == pytest.approx(success)
    assert done.state.fidelity == pytest.approx(density.weights(rho)["phi_plus"])


@given(st.floats(0.3, 1.0), st.floats(0.3, 1.0))
def test_werner_states_follow_the_werner_formulas(first: float, second: float) -> None:
    done = dejmps(werner(first), werner(second))
    assert done.state.fidelity == pytest.approx(werner_formulas.distill(first, second))
    assert done.success_probability == pytest.approx(werner_formulas.distill_success(first, second))
    assert swap(werner(first), werner(second)).fidelity == pytest.approx(werner_formulas.swap(first, second))


@given(states(), st.floats(0.1, 10.0), st.floats(0.1, 2.0), st.floats(0.0, 5.0))
def test_waiting_is_twirled_amplitude_damping_with_dephasing(
    state: BellDiagonal, t1_s: float, ratio: float, duration_s: float
) -> None:
    t2_s = ratio * t1_s
    gamma = 1 - np.exp(-duration_s / t1_s)
    keep = np.exp(-duration_s / t2_s) / np.exp(-duration_s / (2 * t1_s))
    damping = [np.diag([1, np.sqrt(1 - gamma)]), np.array([[0, np.sqrt(gamma)], [0, 0]])]
    dephasing = [np.sqrt((1 + keep) / 2) * density.I2, np.sqrt(max(0, 1 - keep) / 2) * density.Z]
    rho, after = as_matrix(state), np.zeros((4, 4), dtype=complex)
    # Twirling over the Paulis, which leaves a Bell-diagonal state as it is, makes the channel a Pauli one.
    for pauli in (density.I2, density.X, density.Y, density.Z):
        for one in damping:
            for other in dephasing:
                kraus = density.kron(pauli @ other @ one @ pauli, density.I2)
                after += kraus @ rho @ kraus.conj().T / 4
    assert_same(wait(state, Memory(t1_s, t2_s), duration_s), after)


def test_a_perfect_memory_forgets_nothing() -> None:
    assert wait(werner(0.9), Memory(), 1e9).fidelity == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: BellDiagonal(0.5, 0.5, 0.5, 0.0), "sum to 1"),
        (lambda: BellDiagonal(1.5, -0.5, 0.0, 0.0), "probabilities"),
        (lambda: Memory(0.0, 1.0), "t1_s 0.0 must be more than 0"),
        (lambda: Memory(1.0, -1.0), "t2_s -1.0"),
        (lambda: Memory(1.0, 2.5), "at most twice t1_s"),
        (lambda: Memory(float("nan"), 1.0), "t1_s nan"),
    ],
)
def test_impossible_states_and_memories_are_refused(make: object, complaint: str) -> None:
    assert callable(make)
    with pytest.raises(ValueRefusedError, match=complaint):
        make()
