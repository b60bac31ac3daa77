"""Demands stated as a secret-key rate or a quantum bit error rate.

A Werner pair of fidelity F gives errors with probability ``2 (1 - F) / 3`` in each basis. Of each pair
measured in the same basis at both ends an asymptotic key fraction is left:

* ``bb84`` (entanglement-based, BBM92): ``1 - 2 h(Q)`` (Shor & Preskill, PRL 85, 441 (2000));
* ``e91`` (device-independent, by the CHSH value): ``1 - h(Q) - h((1 + sqrt((S/2)^2 - 1)) / 2)`` with
  ``S = 2 sqrt(2) (1 - 2 Q)`` (Acin et al., PRL 98, 230501 (2007)).

``h`` is the binary entropy. Finite keys, error correction above the Shannon limit and authentication
cost more; they are not in these figures.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log2, sqrt
from typing import Literal

from qos.demands import EntanglementDemand
from qos.errors import InfeasibleError, ValueRefusedError

KeyProtocol = Literal["bb84", "e91"]
KEY_PROTOCOLS: tuple[KeyProtocol, ...] = ("bb84", "e91")

SIFTING: dict[KeyProtocol, float] = {"bb84": 1.0, "e91": 1.0}
"""Share of pairs measured in matching bases: 1 in the limit of a strongly biased choice of bases."""

FIDELITY_STEPS = 200


def entropy(probability: float) -> float:
    """Give the binary entropy in bits.

    Examples
    --------
    >>> entropy(0.5), entropy(0.0)
    (1.0, 0.0)
    """
    if probability in (0, 1):
        return 0.0
    return -probability * log2(probability) - (1 - probability) * log2(1 - probability)


def error_rate(fidelity: float) -> float:
    """Give the quantum bit error rate of a Werner pair.

    Examples
    --------
    >>> round(error_rate(0.85), 3)
    0.1
    """
    return 2 * (1 - fidelity) / 3


def fidelity_for_error_rate(error: float) -> float:
    """Give the fidelity of the Werner pair with a quantum bit error rate.

    Raises
    ------
    ValueRefusedError
        If the rate is not at least 0 and below 1/3 (no entanglement is left there).

    Examples
    --------
    >>> round(fidelity_for_error_rate(0.1), 6)
    0.85
    """
    if not 0 <= error < 1 / 3:
        raise ValueRefusedError(f"QBER {error!r} must be at least 0 and below 1/3")
    return 1 - 3 * error / 2


def key_fraction(protocol: KeyProtocol, fidelity: float) -> float:
    """Give the secret bits that a sifted pair leaves, 0 where none can be.

    Raises
    ------
    ValueRefusedError
        If the protocol is unknown.

    Examples
    --------
    >>> key_fraction("bb84", 1.0), round(key_fraction("bb84", 0.95), 3), key_fraction("bb84", 0.8)
    (1.0, 0.578, 0.0)
    """
    if protocol not in KEY_PROTOCOLS:
        raise ValueRefusedError(f"key protocol {protocol!r} is unknown; use {' or '.join(KEY_PROTOCOLS)}")
    error = error_rate(fidelity)
    if protocol == "bb84":
        return max(0.0, 1 - 2 * entropy(min(error, 0.5)))
    bell = 2 * sqrt(2) * (1 - 2 * error)
    if bell <= 2:
        return 0.0
    return max(0.0, 1 - entropy(error) - entropy((1 + sqrt((bell / 2) ** 2 - 1)) / 2))


def least_fidelity(protocol: KeyProtocol) -> float:
    """Find the fidelity from which on there is a key (to 1e-9).

    Examples
    --------
    >>> round(least_fidelity("bb84"), 4), round(least_fidelity("e91"), 4)
    (0.835, 0.8928)
    """
    low, high = 0.5, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if key_fraction(protocol, middle) > 0 else (middle, high)
    return high


def key_demand(
    source: str, destination: str, key_bit_per_s: float, protocol: KeyProtocol, fidelity: float
) -> EntanglementDemand:
    """State a secret-key rate as a demand for pairs of some fidelity.

    Parameters
    ----------
    source, destination
        Ids of two nodes.
    key_bit_per_s
        Secret bits per second, more than 0.
    protocol
        ``bb84`` or ``e91``.
    fidelity
        Of the pairs; it must leave a key.

    Raises
    ------
    ValueRefusedError
        If the rate is not positive, or the fidelity leaves no key.

    Examples
    --------
    >>> round(key_demand("a", "b", 1.0, "bb84", 0.95).rate_ebit_per_s, 2)
    1.73
    """
    if not 0 < key_bit_per_s < float("inf"):
        raise ValueRefusedError(f"key_bit_per_s {key_bit_per_s!r} must be more than 0")
    fraction = key_fraction(protocol, fidelity) * SIFTING[protocol]
    if fraction <= 0:
        least = least_fidelity(protocol)
        raise ValueRefusedError(
            f"pairs of fidelity {fidelity:g} leave no {protocol} key; it takes more than {least:.4f}"
        )
    return EntanglementDemand(source, destination, key_bit_per_s / fraction, fidelity)


def easiest_key_demand(
    source: str,
    destination: str,
    key_bit_per_s: float,
    protocol: KeyProtocol,
    highest_rate: Callable[[float], float],
) -> EntanglementDemand:
    """Choose the fidelity at which a secret-key rate takes the smallest share of what is possible.

    Better pairs leave more key but come at a lower rate; between the two there is a best fidelity.

    Parameters
    ----------
    source, destination, key_bit_per_s, protocol
        As in `key_demand`.
    highest_rate
        Highest rate in ebit/s at which the network gives pairs of a fidelity, 0 for never; see
        `schedulers.entanglement.compile.Compiler.highest_rate`.

    Raises
    ------
    InfeasibleError
        If no fidelity gives the key rate; the highest possible key rate is said.
    ValueRefusedError
        If the key rate is not positive.
    """
    least = least_fidelity(protocol)
    steps = [least + (1 - least) * (i + 1) / FIDELITY_STEPS for i in range(FIDELITY_STEPS)]
    most, fidelity = max(
        (highest_rate(step) * key_fraction(protocol, step) * SIFTING[protocol], step) for step in steps
    )
    if most < key_bit_per_s:
        raise InfeasibleError(
            f"{source!r} to {destination!r}: {key_bit_per_s:g} secret bit/s by {protocol} are more than any "
            f"schedule can give; at most {most:.4g} bit/s"
            + (f" with pairs of fidelity {fidelity:.3f}" if most else f" (no pair above {least:.3f})")
        )
    return key_demand(source, destination, key_bit_per_s, protocol, fidelity)
