"""Effective capacity: the constant rate that a fading link carries under a delay bound.

Wu and Negi, "Effective capacity: a wireless link model for support of quality of service", IEEE Transactions
on Wireless Communications 2(4), 2003. ``EC(theta) = -lim ln E exp(-theta S(t)) / (theta t)``, and for a
constant rate ``mu = EC(theta)`` the delay exceeds `d` slots with probability near ``exp(-theta mu d)``.

Service and rate are in any one unit a slot (packets, bits), `theta` in one over that unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from qos.crosslayer.guards import (
    check_count,
    check_not_negative,
    check_positive,
    check_probability,
    finite_array,
)
from qos.errors import ValueRefusedError

Floats = NDArray[np.float64]


def of_independent(service: ArrayLike, probability: ArrayLike, theta: float) -> float:
    """Effective capacity of independent slots: ``-ln E exp(-theta r) / theta``."""
    rates, shares = finite_array("service", service), finite_array("probability", probability)
    if check_not_negative("theta", theta) == 0:
        return float(rates @ shares)
    least = float(rates.min())
    return least - math.log(float(shares @ np.exp(-theta * (rates - least)))) / theta


def of_markov(transition: Floats, stationary: Floats, service: Floats, theta: float) -> float:
    """Effective capacity of a Markov channel: ``-ln(spectral radius of P diag(exp(-theta r))) / theta``."""
    if check_not_negative("theta", theta) == 0:
        return float(stationary @ service)
    least = float(service.min())
    tilted = transition * np.exp(-theta * (service - least))
    radius = float(np.max(np.abs(np.linalg.eigvals(tilted))))
    return least - math.log(radius) / theta if radius > 0 else least


def of_measured(service: Floats, theta: float, block_slots: int) -> float:
    """Effective capacity of a measured service process, from sums over blocks.

    Parameters
    ----------
    service
        Served in each slot, shape (slots,) or (slots, links); links are taken as one ensemble.
    theta
        Exponent, at least 0.
    block_slots
        Length of the blocks in slots; several times the channel's memory, and many of them in the record.

    Raises
    ------
    ValueRefusedError
        If the record has fewer than ten blocks.
    """
    record = finite_array("service", service)
    record = record[:, None] if record.ndim == 1 else record
    blocks = record.shape[0] // check_count("block", block_slots, 1)
    if blocks * record.shape[1] < 10:
        raise ValueRefusedError(
            f"the record has fewer than ten blocks of {block_slots} slots; measure longer"
        )
    sums = record[: blocks * block_slots].reshape(blocks, block_slots, -1).sum(axis=1).ravel()
    return of_independent(sums, np.full(sums.size, 1 / sums.size), theta) / block_slots


def admissible_rate(
    capacity: Callable[[float], float], delay_slots: float, violation: float, busy: float = 1.0
) -> float:
    """Largest constant rate whose delay exceeds the bound with at most a probability.

    Parameters
    ----------
    capacity
        Effective capacity as a function of theta.
    delay_slots
        Delay bound in slots, more than 0.
    violation
        Probability that the bound may be missed, more than 0 and less than 1.
    busy
        Probability that the queue is not empty; 1 is on the safe side.

    Returns
    -------
    float
        Rate per slot; 0 where no rate keeps the bound.
    """
    check_positive("delay bound", delay_slots)
    check_probability("violation probability", violation)
    wanted = math.log(max(busy / violation, 1.0)) / delay_slots
    if wanted == 0:
        return capacity(0.0)

    def excess(log_theta: float) -> float:
        theta = math.exp(log_theta)
        return theta * capacity(theta) - wanted

    scale = max(capacity(0.0), 1e-300)
    low, high = math.log(1e-6 * wanted / scale), math.log(1e4 / scale + 1e3 * wanted / scale)
    if excess(high) < 0:
        return 0.0
    return max(capacity(math.exp(optimize.brentq(excess, low, high, xtol=1e-9))), 0.0)


def estimated_theta(busy_share: float, mean_backlog: float) -> float:
    """Exponent of the backlog from a running link: its busy share over its mean backlog.

    The tail ``P(Q > q) = busy exp(-theta q)`` has the mean ``busy / theta``.
    """
    if not 0 < busy_share <= 1:
        raise ValueRefusedError(f"busy share must be more than 0 and at most 1, not {busy_share!r}")
    return busy_share / check_positive("mean backlog", mean_backlog)


@dataclass
class RunningEstimate:
    """The delay tail of a link that is in use, from looks at its queue (Wu and Negi 2003, section V).

    Needs no model of the channel: the share of looks that find a backlog, and its mean, give the exponent.
    Looks are weighed with ``exp(-age / memory)``, so that a link that changes is followed.

    Attributes
    ----------
    memory_looks
        Looks over which the estimate remembers, more than 0; many times the memory of the channel.

    Examples
    --------
    >>> link = RunningEstimate()
    >>> for backlog in (0.0, 3.0, 1.0, 0.0):
    ...     link.look(backlog, rate=2.0)
    >>> round(link.busy_share, 2), round(link.theta, 2), round(link.violation(delay_slots=4.0), 3)
    (0.5, 0.5, 0.009)
    """

    memory_looks: float = 1e5
    _weight: float = 0.0
    _busy: float = 0.0
    _backlog: float = 0.0
    _rate: float = 0.0

    def __post_init__(self) -> None:
        check_positive("memory", self.memory_looks)

    def look(self, backlog: float, rate: float) -> None:
        """Take in the backlog, and the rate that came in per slot since the last look, in one unit.

        Raises
        ------
        ValueRefusedError
            If either is negative or not finite.
        """
        check_not_negative("backlog", backlog)
        check_not_negative("rate", rate)
        kept = math.exp(-1 / self.memory_looks)
        self._weight = kept * self._weight + 1
        self._busy = kept * self._busy + (backlog > 0)
        self._backlog = kept * self._backlog + backlog
        self._rate = kept * self._rate + rate

    @property
    def busy_share(self) -> float:
        """Share of the looks that found a backlog; 0 before the first one."""
        return self._busy / self._weight if self._weight else 0.0

    @property
    def theta(self) -> float:
        """Exponent of the backlog; infinite where none was ever seen."""
        if self._busy == 0:
            return math.inf
        return estimated_theta(min(self.busy_share, 1.0), self._backlog / self._weight)

    def violation(self, delay_slots: float) -> float:
        """Probability that the delay exceeds a bound at the rate that the link carries now."""
        check_positive("delay bound", delay_slots)
        if self._busy == 0:
            return 0.0
        return predicted_violation(self.theta, self._rate / self._weight, delay_slots, self.busy_share)

    def keeps(self, delay_slots: float, violation: float) -> bool:
        """Say whether the link as it runs keeps a delay bound with a violation probability."""
        return self.violation(delay_slots) <= check_probability("violation probability", violation)


def predicted_violation(theta: float, rate: float, delay_slots: float, busy: float = 1.0) -> float:
    """Probability that the delay exceeds a bound: ``busy exp(-theta rate delay)``."""
    return busy * math.exp(-theta * rate * delay_slots)
