"""An independent evaluator: two-qubit pairs as density matrices, operations as circuits on them."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from schedulers.entanglement.steps import Step

Matrix = NDArray[np.complex128]

I2 = np.eye(2, dtype=complex)
X = np.array([[0, 1], [1, 0]], dtype=complex)
Y = np.array([[0, -1j], [1j, 0]], dtype=complex)
Z = np.diag([1, -1]).astype(complex)
BELL = {
    "phi_plus": np.array([1, 0, 0, 1]) / np.sqrt(2),
    "phi_minus": np.array([1, 0, 0, -1]) / np.sqrt(2),
    "psi_plus": np.array([0, 1, 1, 0]) / np.sqrt(2),
    "psi_minus": np.array([0, 1, -1, 0]) / np.sqrt(2),
}


def kron(*factors: Matrix) -> Matrix:
    return reduce(np.kron, factors)


def projector(vector: Matrix) -> Matrix:
    return np.outer(vector, vector.conj())


def werner(fidelity: float) -> Matrix:
    wanted = projector(BELL["phi_plus"])
    return fidelity * wanted + (1 - fidelity) / 3 * (np.eye(4) - wanted)


def weights(rho: Matrix) -> dict[str, float]:
    return {name: float((vector.conj() @ rho @ vector).real) for name, vector in BELL.items()}


def bell_mixture(**shares: float) -> Matrix:
    return sum(share * projector(BELL[name]) for name, share in shares.items())


def partial_trace(rho: Matrix, keep: tuple[int, ...], qubits: int) -> Matrix:
    tensor = rho.reshape([2] * (2 * qubits))
    for qubit in sorted(set(range(qubits)) - set(keep), reverse=True):
        half = tensor.ndim // 2
        tensor = np.trace(tensor, axis1=qubit, axis2=qubit + half)
    size = 2 ** len(keep)
    return tensor.reshape(size, size)


def swap(first: Matrix, second: Matrix) -> Matrix:
    """Qubits a, b1, b2, c: measure b1 and b2 in the Bell basis, correct c."""
    whole = kron(first, second)
    corrections = {"phi_plus": I2, "phi_minus": Z, "psi_plus": X, "psi_minus": X @ Z}
    result = np.zeros((4, 4), dtype=complex)
    for name, vector in BELL.items():
        measured = kron(I2, projector(vector), I2)
        after = partial_trace(measured @ whole @ measured, (0, 3), 4)
        correct = kron(I2, corrections[name])
        result += correct @ after @ correct.conj().T
    return result


def cnot(control: int, target: int, qubits: int) -> Matrix:
    zero, one = np.diag([1, 0]).astype(complex), np.diag([0, 1]).astype(complex)
    idle = [I2] * qubits
    off = kron(*(zero if i == control else idle[i] for i in range(qubits)))
    on = kron(*(one if i == control else X if i == target else idle[i] for i in range(qubits)))
    return off + on


def dejmps(first: Matrix, second: Matrix) -> tuple[Matrix, float]:
    """Qubits a1, b1, a2, b2: rotate, CNOT from pair 1 to pair 2, keep where pair 2 agrees."""
    angle = np.pi / 4
    alice = np.cos(angle) * I2 - 1j * np.sin(angle) * X
    bob = np.cos(angle) * I2 + 1j * np.sin(angle) * X
    rotate = kron(alice, bob, alice, bob)
    circuit = cnot(1, 3, 4) @ cnot(0, 2, 4) @ rotate
    after = circuit @ kron(first, second) @ circuit.conj().T
    kept = np.zeros((4, 4), dtype=complex)
    for bit in (0, 1):
        outcome = np.zeros((2, 2), dtype=complex)
        outcome[bit, bit] = 1
        measured = kron(I2, I2, outcome, outcome)
        kept += partial_trace(measured @ after @ measured, (0, 1), 4)
    success = float(np.trace(kept).real)
    return kept / success, success


def fidelity_of(step: Step[str] | Step[int]) -> float:
    """Follow a protocol from its links up, each result twirled to a Werner state."""
    if step.kind == "link":
        return step.fidelity
    first, second = (werner(fidelity_of(before)) for before in step.inputs)
    rho = swap(first, second) if step.kind == "swap" else dejmps(first, second)[0]
    return weights(rho)["phi_plus"]
