"""Bell-diagonal states: swapping, distillation with its success probability, and decoherence.

A Bell-diagonal state is a mixture of the four Bell states; a Werner state is one with equal errors.
Waiting in memory makes errors unequal (mostly phase flips), which distillation can use. Formulas:
Deutsch et al., PRL 77, 2818 (1996) for DEJMPS; amplitude damping and dephasing are taken in their
Pauli-twirled form (Ghosh, Fowler & Geller, PRA 86, 062318 (2012)).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, isclose

from qos.errors import ValueRefusedError


@dataclass(frozen=True, slots=True)
class BellDiagonal:
    """Weights of the four Bell states; they are not negative and sum to 1.

    Attributes
    ----------
    phi_plus
        Weight of the wanted state: the fidelity.
    psi_plus, psi_minus, phi_minus
        Weights of the state after a bit flip, both flips, and a phase flip.

    Raises
    ------
    ValueRefusedError
        If the weights are no probabilities.
    """

    phi_plus: float
    psi_plus: float
    psi_minus: float
    phi_minus: float

    def __post_init__(self) -> None:
        weights = (self.phi_plus, self.psi_plus, self.psi_minus, self.phi_minus)
        if not all(-1e-9 <= weight <= 1 + 1e-9 for weight in weights) or not isclose(sum(weights), 1.0):
            raise ValueRefusedError(f"Bell weights {weights} must be probabilities that sum to 1")

    @property
    def fidelity(self) -> float:
        """Overlap with the wanted Bell state."""
        return self.phi_plus

    @property
    def correlations(self) -> tuple[float, float, float]:
        """Expectations of XX, YY and ZZ."""
        a, b, c, d = self.phi_plus, self.psi_plus, self.psi_minus, self.phi_minus
        return a + b - c - d, -a + b - c + d, a - b - c + d

    def twirled(self) -> BellDiagonal:
        """Give the Werner state of the same fidelity."""
        return werner(self.phi_plus)


def werner(fidelity: float) -> BellDiagonal:
    """Give the Werner state of a fidelity, 0 to 1.

    Examples
    --------
    >>> werner(0.7).psi_plus
    0.10000000000000002
    """
    error = (1 - fidelity) / 3
    return BellDiagonal(fidelity, error, error, error)


def from_correlations(xx: float, yy: float, zz: float) -> BellDiagonal:
    """Give the Bell-diagonal state with these expectations of XX, YY and ZZ."""
    return BellDiagonal(
        (1 + xx - yy + zz) / 4, (1 + xx + yy - zz) / 4, (1 - xx - yy - zz) / 4, (1 - xx + yy + zz) / 4
    )


def swap(first: BellDiagonal, second: BellDiagonal) -> BellDiagonal:
    """Give the pair after a perfect Bell measurement and the correction that it calls for.

    Examples
    --------
    >>> round(swap(werner(0.9), werner(0.9)).fidelity, 4)
    0.8133
    """
    (xx, yy, zz), (other_xx, other_yy, other_zz) = first.correlations, second.correlations
    return from_correlations(xx * other_xx, -yy * other_yy, zz * other_zz)


@dataclass(frozen=True, slots=True)
class Distilled:
    """What a distillation leaves.

    Attributes
    ----------
    state
        The kept pair, where the measurements agree.
    success_probability
        That they agree.
    """

    state: BellDiagonal
    success_probability: float


def dejmps(first: BellDiagonal, second: BellDiagonal) -> Distilled:
    """Distil two pairs with the rotations that help most.

    Local rotations of both pairs may exchange the three error states; of the three choices that matter
    (which error is paired with the wanted state) the one with the best fidelity is taken.

    Examples
    --------
    >>> done = dejmps(werner(0.8), werner(0.8))
    >>> round(done.state.fidelity, 4), round(done.success_probability, 4)
    (0.8382, 0.7689)
    """
    return max((_dejmps(first, second, partner) for partner in range(3)), key=lambda d: d.state.fidelity)


def _dejmps(first: BellDiagonal, second: BellDiagonal, partner: int) -> Distilled:
    one = (first.psi_plus, first.psi_minus, first.phi_minus)
    two = (second.psi_plus, second.psi_minus, second.phi_minus)
    rest = [i for i in range(3) if i != partner]
    a, b, c, d = first.phi_plus, one[partner], one[rest[0]], one[rest[1]]
    e, f, g, h = second.phi_plus, two[partner], two[rest[0]], two[rest[1]]
    success = (a + b) * (e + f) + (c + d) * (g + h)
    errors = [0.0, 0.0, 0.0]
    errors[partner] = (c * h + d * g) / success
    errors[rest[0]] = (c * g + d * h) / success
    errors[rest[1]] = (a * f + b * e) / success
    return Distilled(BellDiagonal((a * e + b * f) / success, *errors), success)


@dataclass(frozen=True, slots=True)
class Memory:
    """How a qubit forgets.

    Attributes
    ----------
    t1_s, t2_s
        Relaxation and coherence time in seconds, more than 0; infinite: it does not. T2 <= 2 T1.

    Raises
    ------
    ValueRefusedError
        If a time is not positive, or T2 > 2 T1.
    """

    t1_s: float = inf
    t2_s: float = inf

    def __post_init__(self) -> None:
        for name in ("t1_s", "t2_s"):
            if not getattr(self, name) > 0:
                raise ValueRefusedError(f"{name} {getattr(self, name)!r} must be more than 0 seconds")
        if self.t2_s > 2 * self.t1_s:
            raise ValueRefusedError(
                f"t2_s {self.t2_s:g} must be at most twice t1_s {self.t1_s:g} (no physical channel otherwise)"
            )

    @property
    def rates_per_s(self) -> tuple[float, float]:
        """The decay rates 1/T1 of ZZ and 1/T2 of XX and YY."""
        return 1 / self.t1_s, 1 / self.t2_s


def decayed(state: BellDiagonal, population: float, coherence: float) -> BellDiagonal:
    """Scale ZZ by `population` and XX, YY by `coherence`, both 0 to 1."""
    xx, yy, zz = state.correlations
    return from_correlations(xx * coherence, yy * coherence, zz * population)


def wait(state: BellDiagonal, memory: Memory, duration_s: float) -> BellDiagonal:
    """Give the pair after one of its qubits waited.

    Parameters
    ----------
    state
        The pair before.
    memory
        Of the qubit that waits.
    duration_s
        At least 0.

    Examples
    --------
    >>> round(wait(werner(1.0), Memory(t2_s=1.0), 1.0).phi_minus, 4)
    0.3161
    """
    relaxation, dephasing = memory.rates_per_s
    return decayed(state, exp(-duration_s * relaxation), exp(-duration_s * dephasing))
