"""What a real Wi-Fi station can carry, from the kernel's counters of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qos.crosslayer.link_design import MAX_RETRANSMISSIONS, PAYLOAD_SHARE, retransmission_limit
from qos.demands import FlowDemand
from qos.profiles import find_profile

ATTEMPT_S = 2e-3
"""Time of an attempt with contention and acknowledgement, an upper figure for a loaded cell (ours)."""


class StationCounters(Protocol):
    """What is needed of a station; None where the driver does not say."""

    @property
    def address(self) -> str:
        """Hardware address."""

    @property
    def signal_dbm(self) -> int | None:
        """Signal, averaged where the driver does."""

    @property
    def tx_bitrate_bps(self) -> int | None:
        """Rate of the physical layer of the last transmission."""

    @property
    def expected_throughput_bps(self) -> int | None:
        """The kernel's own estimate of the goodput."""

    @property
    def tx_packets(self) -> int | None:
        """Packets sent."""

    @property
    def tx_retries(self) -> int | None:
        """Retransmissions."""

    @property
    def tx_failed(self) -> int | None:
        """Packets given up."""


@dataclass(frozen=True)
class ClassFit:
    """One class on a station."""

    name: str
    carried: bool
    source_bps: float | None
    retransmissions: int | None
    reason: str


@dataclass(frozen=True)
class StationFit:
    """What a station can carry.

    Attributes
    ----------
    address
        Hardware address.
    signal_dbm
        Signal, None where unknown.
    error_rate
        Share of attempts that fail, None where the counters do not say or are not plausible.
    goodput_bps
        Rate for payload.
    classes
        Each class as if alone.
    notes
        What was left out and why.
    """

    address: str
    signal_dbm: int | None
    error_rate: float | None
    goodput_bps: float
    classes: tuple[ClassFit, ...]
    notes: tuple[str, ...]


def attempt_error_rate(station: StationCounters) -> tuple[float | None, str]:
    """Share of attempts that failed, or None and why.

    ``retries / (packets + retries)``. Some drivers count the retries of given-up packets only, or all as
    failed: counters that cannot be are not used.
    """
    packets, retries, failed = station.tx_packets, station.tx_retries, station.tx_failed
    if packets is None or retries is None:
        return None, "the driver does not count packets and retries"
    if packets < 100:
        return None, f"only {packets} packets were sent so far"
    if retries > packets * MAX_RETRANSMISSIONS:
        return None, f"{retries} retries for {packets} packets cannot be"
    if failed is not None and retries > 1000 and abs(failed - retries) < 0.01 * retries:
        return None, "the driver counts each retry as a failed packet"
    return retries / (packets + retries), ""


def fit_station(station: StationCounters, demands: Sequence[FlowDemand]) -> StationFit:
    """Tell what a station can carry of each class, each as if alone."""
    error, why = attempt_error_rate(station)
    notes = [f"error rate unknown: {why}; taken as 10 %"] if why else []
    assumed = 0.1 if error is None else error
    if station.expected_throughput_bps:
        goodput = float(station.expected_throughput_bps)
    elif station.tx_bitrate_bps:
        goodput = PAYLOAD_SHARE * station.tx_bitrate_bps * (1 - assumed)
    else:
        goodput = 0.0
        notes.append("the driver tells no bit rate: nothing was sent yet?")
    classes = tuple(_fit_class(demand, goodput, assumed) for demand in demands)
    return StationFit(station.address, station.signal_dbm, error, goodput, classes, tuple(notes))


def _fit_class(demand: FlowDemand, goodput_bps: float, error_rate: float) -> ClassFit:
    name = demand.profile or demand.name or "demand"
    limit = retransmission_limit(demand.delay_bound_s, ATTEMPT_S)
    if limit is None:
        bound_ms = (demand.delay_bound_s or 0) * 1e3
        return ClassFit(name, False, None, None, f"an attempt takes longer than the bound of {bound_ms:g} ms")
    borne = demand.loss * (1 + 1e-9)
    if error_rate ** (limit + 1) > borne:
        needed = (
            math.ceil(math.log(demand.loss) / math.log(error_rate) - 1e-9) - 1 if error_rate < 1 else math.inf
        )
        reason = f"loss {demand.loss:g} needs {needed} retries, the deadline leaves {limit}"
        return ClassFit(name, False, None, limit, reason)
    needed = 0
    while error_rate ** (needed + 1) > borne:
        needed += 1
    least = demand.rate_bps if demand.min_rate_bps is None else demand.min_rate_bps
    rate: float | None = min(demand.rate_bps, goodput_bps)
    if demand.profile and rate is not None:
        step = find_profile(demand.profile).rate_for(rate)
        rate = float(step) if step is not None and step >= least else (rate if rate >= least else None)
    if rate is None or rate < least:
        return ClassFit(name, False, None, needed, f"needs {least / 1e3:g} kbit/s")
    return ClassFit(name, True, rate, needed, "")
