"""What pairs a quantum link can make: from a table, from its own list, or from a physical model.

The physical models describe two nodes with a heralding station halfway. *Single click* (Cabrillo et
al. 1999; Bose et al. 1999; realised by Humphreys et al., Nature 558, 268 (2018)): each node emits a
photon from its bright state with probability alpha, one click heralds; fidelity near 1 - alpha, rate
in proportion to alpha and to the square root of the transmission of the whole fibre. *Double click*
(Barrett & Kok, PRA 71, 060310 (2005)): both photons must arrive, so that the rate goes with the
transmission itself but the fidelity does not depend on a bright state.

Both are evaluated exactly for detectors that do not count photons, with dark counts, imperfect
indistinguishability and a jitter of the optical phase; the state is then taken as a Werner state of
the same fidelity.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt
from typing import Literal

from qos.errors import ValueRefusedError
from topologies.link_tables import TABLES, capabilities_of
from topologies.links import LinkCapability, QuantumLink

LIGHT_IN_FIBRE_M_PER_S = 2.0e8

BRIGHT_STATES = tuple(0.1 + 0.4 * i / 9 for i in range(10))
"""Bright-state populations of the working points of a single-click link: those of the NV table."""

Scheme = Literal["single-click", "double-click"]
SCHEMES: tuple[Scheme, ...] = ("single-click", "double-click")


@dataclass(frozen=True, slots=True)
class LinkHardware:
    """What stands at the ends and in the middle of a link.

    Attributes
    ----------
    scheme
        ``single-click`` or ``double-click``.
    emission_efficiency
        Probability that an excited emitter puts a usable photon into the fibre, in (0, 1].
    detector_efficiency
        Probability that a detector fires for a photon, in (0, 1].
    dark_count_rate_per_s
        Of each of the two detectors, at least 0.
    detection_window_s
        For how long a click counts in an attempt, more than 0.
    visibility
        Two-photon interference visibility, 0 to 1.
    phase_jitter_rad
        Standard deviation of the optical phase between the two arms (single click only), at least 0.
    attempt_overhead_s
        What an attempt takes beside the photons' flight and the herald's way back, more than 0.
    bright_states
        Populations in (0, 1) that give the working points of a single-click link.

    Raises
    ------
    ValueRefusedError
        If a value is out of its range.

    Notes
    -----
    The defaults are of the order of published NV experiments with frequency conversion; they promise
    nothing about a particular device.
    """

    scheme: Scheme = "single-click"
    emission_efficiency: float = 0.1
    detector_efficiency: float = 0.8
    dark_count_rate_per_s: float = 10.0
    detection_window_s: float = 25e-9
    visibility: float = 0.9
    phase_jitter_rad: float = 0.2
    attempt_overhead_s: float = 5e-6
    bright_states: tuple[float, ...] = BRIGHT_STATES

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise ValueRefusedError(f"scheme {self.scheme!r} is unknown; use {' or '.join(SCHEMES)}")
        for name in ("emission_efficiency", "detector_efficiency"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueRefusedError(f"{name} {getattr(self, name)!r} must be in (0, 1]")
        if not 0 <= self.visibility <= 1:
            raise ValueRefusedError(f"visibility {self.visibility!r} must be in [0, 1]")
        for name in ("dark_count_rate_per_s", "phase_jitter_rad"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueRefusedError(f"{name} {getattr(self, name)!r} must be at least 0")
        for name in ("detection_window_s", "attempt_overhead_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueRefusedError(f"{name} {getattr(self, name)!r} must be more than 0")
        if not self.bright_states or not all(0 < alpha < 1 for alpha in self.bright_states):
            raise ValueRefusedError(f"bright_states {self.bright_states!r} must be numbers in (0, 1)")

    def detection_probability(self, link: QuantumLink) -> float:
        """Give the probability that an emitted photon fires a detector of the station halfway."""
        loss_db = link.attenuation_db_per_km * link.length_m / 2000
        return float(self.emission_efficiency * self.detector_efficiency * 10 ** (-loss_db / 10))

    def dark_probability(self) -> float:
        """Give the probability that one detector clicks in a window without a photon."""
        return 1 - exp(-self.dark_count_rate_per_s * self.detection_window_s)

    def attempt_s(self, link: QuantumLink) -> float:
        """Give the time of one attempt: overhead, photon to the station, herald back."""
        return self.attempt_overhead_s + link.length_m / LIGHT_IN_FIBRE_M_PER_S


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """What one attempt gives.

    Attributes
    ----------
    success_probability
        That the attempt is heralded.
    fidelity
        Of the heralded pair to the best Bell state.
    """

    success_probability: float
    fidelity: float


@dataclass(frozen=True, slots=True)
class _Clicks:
    """Probabilities that exactly one of two detectors clicks, by the number of photons that come."""

    none: float
    one: float
    two: float
    seen: float
    """One photon came, and the click was its own."""


def _clicks(arrival: float, dark: float, visibility: float) -> _Clicks:
    quiet = 1 - dark
    by_dark = 2 * dark * quiet
    bunched = (1 + visibility) / 2
    seen = arrival * quiet
    one = seen + (1 - arrival) * by_dark
    two = (2 * arrival * (1 - arrival) + arrival**2 * bunched) * quiet + (1 - arrival) ** 2 * by_dark
    return _Clicks(by_dark, one, two, seen)


def single_click(hardware: LinkHardware, link: QuantumLink, bright_state: float) -> AttemptOutcome:
    """Evaluate one single-click attempt.

    Parameters
    ----------
    hardware, link
        What is at the ends, and the fibre.
    bright_state
        Population of the bright state, in (0, 1).

    Examples
    --------
    >>> perfect = LinkHardware(visibility=1.0, phase_jitter_rad=0.0, dark_count_rate_per_s=0.0)
    >>> short = QuantumLink("a", "b", 0.0)
    >>> round(single_click(perfect, short, 0.1).fidelity, 2)
    0.9
    """
    clicks = _clicks(hardware.detection_probability(link), hardware.dark_probability(), hardware.visibility)
    coherence = sqrt(hardware.visibility) * exp(-(hardware.phase_jitter_rad**2) / 2)
    one, both, neither = 2 * bright_state * (1 - bright_state), bright_state**2, (1 - bright_state) ** 2
    success = one * clicks.one + both * clicks.two + neither * clicks.none
    good = one * (clicks.seen * (1 + coherence) / 2 + (clicks.one - clicks.seen) / 2)
    return AttemptOutcome(success, good / success)


def double_click(hardware: LinkHardware, link: QuantumLink) -> AttemptOutcome:
    """Evaluate one double-click attempt (two rounds, one click in each).

    Examples
    --------
    >>> perfect = LinkHardware("double-click", 1.0, 1.0, 0.0, visibility=1.0)
    >>> double_click(perfect, QuantumLink("a", "b", 0.0))
    AttemptOutcome(success_probability=0.5, fidelity=1.0)
    """
    clicks = _clicks(hardware.detection_probability(link), hardware.dark_probability(), hardware.visibility)
    apart, together = clicks.one**2 / 2, clicks.two * clicks.none / 2
    seen = clicks.seen**2 / 2
    good = seen * (1 + hardware.visibility) / 2 + (apart - seen) / 2
    return AttemptOutcome(apart + together, good / (apart + together))


def modelled_points(hardware: LinkHardware, link: QuantumLink) -> tuple[LinkCapability, ...]:
    """Give the working points of a link by a physical model: mean rate 1 / (attempt time / success).

    Examples
    --------
    >>> near, far = (QuantumLink("a", "b", length) for length in (5e3, 50e3))
    >>> hardware = LinkHardware()
    >>> modelled_points(hardware, near)[0].rate_per_s > modelled_points(hardware, far)[0].rate_per_s
    True
    """
    if hardware.scheme == "single-click":
        outcomes = [single_click(hardware, link, alpha) for alpha in hardware.bright_states]
    else:
        outcomes = [double_click(hardware, link)]
    attempt_s = hardware.attempt_s(link)
    if hardware.scheme == "double-click":
        attempt_s += hardware.attempt_overhead_s
    return tuple(
        LinkCapability(outcome.fidelity, outcome.success_probability / attempt_s) for outcome in outcomes
    )


def working_points(link: QuantumLink, hardware: LinkHardware | None = None) -> tuple[LinkCapability, ...]:
    """Give what a link can make: its own list or table, otherwise the model where hardware is given.

    Parameters
    ----------
    link
        The link.
    hardware
        For links that say nothing themselves, and those that are longer than their table goes.

    Returns
    -------
    tuple of LinkCapability
        Empty where nothing is known.

    Raises
    ------
    ValueRefusedError
        If the link's table is unknown, or shorter than the link and there is no hardware.
    """
    if hardware is None:
        return capabilities_of(link)
    try:
        own = capabilities_of(link)
    except ValueRefusedError:
        if link.table not in TABLES:
            raise
        own = ()
    return own or modelled_points(hardware, link)
