"""Fidelities of Werner states under swapping and distillation, and the inverse questions.

A Werner state of fidelity F is a mixture of one Bell state and white noise; twirling brings any
two-qubit state there without changing its fidelity. Swapping and the (DEJMPS or BBPSSW) distillation
of Werner states then depend on the two fidelities alone. Formulas: Briegel et al., PRL 81, 5932 (1998);
Dür & Briegel, Rep. Prog. Phys. 70, 1381 (2007); the counts as used with arXiv 2111.13124, section IV.

Two pumping schemes occur. *Pumping* raises one pair with fresh pairs, all alike, one after the other;
*nested* distillation pairs up equals, as in a balanced binary tree.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from math import isclose, sqrt

BISECTION_TOLERANCE = 1e-5
"""How close the bounds of `fidelity_for_pumps` come before the search gives up (the paper's value)."""

USELESS_FIDELITY = 0.5
"""A Werner state of this fidelity or less is separable; distillation cannot raise it."""


def swap(first: float, second: float) -> float:
    """Give the fidelity after a perfect Bell measurement joins two Werner pairs.

    Parameters
    ----------
    first, second
        Fidelities, 0 to 1.

    Examples
    --------
    >>> round(swap(1.0, 0.8), 12), round(swap(0.9, 0.9), 4)
    (0.8, 0.8133)
    """
    # Terms in the order of the published code: its search breaks ties between mirror images by the last bit.
    return (4 / 3) * first * second - (1 / 3) * first - (1 / 3) * second + (1 / 3)


def unswap(target: float) -> float:
    """Give the fidelity that two equal pairs need so that their swap reaches `target` (0.25 to 1).

    Examples
    --------
    >>> round(swap(unswap(0.8), unswap(0.8)), 12)
    0.8
    """
    return (1 + sqrt(max(0.0, 12 * target - 3))) / 4


def distill_success(first: float, second: float) -> float:
    """Give the probability that the two measurements of a distillation agree, so that the pair is kept.

    Examples
    --------
    >>> distill_success(1.0, 1.0), round(distill_success(0.25, 0.25), 12)
    (1.0, 0.5)
    """
    noise, other = (1 - first) / 3, (1 - second) / 3
    return first * second + first * other + second * noise + 5 * noise * other


def distill(first: float, second: float) -> float:
    """Give the fidelity of the pair that is left when two Werner pairs are distilled with success.

    Examples
    --------
    >>> round(distill(0.5, 0.5), 12), round(distill(0.8, 0.8), 4)
    (0.5, 0.8382)
    """
    noise, other = (1 - first) / 3, (1 - second) / 3
    return (first * second + noise * other) / distill_success(first, second)


def undistill_equal(target: float) -> float:
    """Give the fidelity that two equal pairs need so that their distillation reaches `target` (0.5 to 1).

    Examples
    --------
    >>> round(distill(undistill_equal(0.9), undistill_equal(0.9)), 12)
    0.9
    """
    return (3 * sqrt(max(0.0, -4 * target**2 + 6 * target - 1)) - 2 * target + 1) / (10 - 8 * target)


def undistill(target: float, second: float) -> float:
    """Give the fidelity that a pair needs so that distilling it with one of `second` reaches `target`.

    The result lies outside [0, 1] where no such pair exists.

    Examples
    --------
    >>> round(distill(undistill(0.9, 0.85), 0.85), 12)
    0.9
    """
    top = 2 * target * second - second - 5 * target + 1
    return top / (8 * target * second - 10 * second - 2 * target + 1)


@lru_cache(maxsize=65536)
def _pumped_levels(fresh: float) -> tuple[float, ...]:
    """Fidelities after 0, 1, 2 ... pumping rounds, as long as they rise."""
    levels = [fresh]
    if fresh > USELESS_FIDELITY:
        better = distill(fresh, fresh)
        while better > levels[-1]:
            levels.append(better)
            better = distill(better, fresh)
    return tuple(levels)


def pump_count(fresh: float, target: float) -> int | None:
    """Count the pumping rounds with pairs of fidelity `fresh` until `target` is reached.

    Returns
    -------
    int or None
        0 where `fresh` suffices; None where pumping stops short of the target, or `fresh` is useless.

    Examples
    --------
    >>> pump_count(0.9, 0.85), pump_count(0.8, 0.85), pump_count(0.8, 0.99)
    (0, 2, None)
    """
    if fresh <= USELESS_FIDELITY:
        return None
    levels = _pumped_levels(fresh)
    rounds = bisect_left(levels, target)
    return rounds if rounds < len(levels) else None


def pumped_limit(fresh: float) -> float:
    """Give the fidelity that pumping with pairs of fidelity `fresh` comes close to but does not pass.

    Examples
    --------
    >>> pumped_limit(0.5), round(pumped_limit(0.8), 4)
    (0.5, 0.8704)
    """
    return _pumped_levels(fresh)[-1]


@lru_cache(maxsize=65536)
def fidelity_for_pumps(rounds: int, target: float) -> float | None:
    """Find a fidelity from which exactly `rounds` pumping rounds reach `target`.

    Returns
    -------
    float or None
        None where the bisection (to `BISECTION_TOLERANCE`) finds none: more rounds bring nothing.

    Examples
    --------
    >>> pump_count(fidelity_for_pumps(2, 0.9), 0.9), fidelity_for_pumps(0, 0.9), fidelity_for_pumps(1, 1.0)
    (2, 0.9, None)
    """
    if rounds == 0:
        return target
    low, high = undistill(target, target), target
    while not isclose(low, high, abs_tol=BISECTION_TOLERANCE):
        middle = (low + high) / 2
        needed = pump_count(middle, target)
        if needed == rounds:
            return middle
        if needed is None or needed > rounds:
            low = middle
        else:
            high = middle
    return None


@lru_cache(maxsize=65536)
def nested_count(fresh: float, target: float) -> int | None:
    """Count the pairs of fidelity `fresh` (a power of two) that nested distillation to `target` takes.

    Returns
    -------
    int or None
        1 where `fresh` suffices; None where no number is enough.

    Examples
    --------
    >>> nested_count(0.9, 0.85), nested_count(0.8, 0.85), nested_count(0.8, 1.0)
    (1, 4, None)
    """
    if fresh <= USELESS_FIDELITY:
        return None if target > fresh else 1
    pairs = 1
    while target > fresh:
        below = undistill_equal(target)
        if below >= target:
            return None
        pairs, target = 2 * pairs, below
    return pairs


def generation_rounds(pairs: int, communication_qubits: int, storage_qubits: int) -> int | None:
    """Count the rounds of link generation in which a node collects `pairs` for nested distillation.

    Finished pairs are merged as a binary counter carries, so that as many qubits are busy before a
    round as the number of pairs so far has ones; each free communication qubit makes one pair a round.

    Returns
    -------
    int or None
        None where the node runs full before all pairs are there.

    Examples
    --------
    >>> generation_rounds(4, 1, 3), generation_rounds(4, 2, 2), generation_rounds(4, 1, 1)
    (4, 2, None)
    """
    rounds = made = 0
    while made < pairs:
        free = communication_qubits + storage_qubits - made.bit_count()
        step = min(communication_qubits, free)
        if step <= 0:
            return None
        rounds, made = rounds + 1, made + step
    return rounds
