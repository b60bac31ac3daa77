"""The settings of one wireless link for each packet class, with the figures they are predicted to reach.

Link of a topology -> budget -> mean SNR -> for each class: retransmission limit from its deadline, mode
thresholds for its loss, the source rate that the effective capacity admits, the least power that carries it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.amc_arq import AmcPerformance, evaluate, loss_on_a_constant_channel
from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.channel.markov import ChannelChain, first_order_chain, region_of
from qos.crosslayer.effective_capacity import admissible_rate, of_independent, of_markov
from qos.crosslayer.guards import check_positive
from qos.crosslayer.harq import Combining, HarqLink, HarqPerformance, best_retransmissions
from qos.crosslayer.modes import HIPERLAN2, WIFI6, WIFI6_DATA_TONES, ModeTable, wifi6_rate_bps
from qos.crosslayer.radio.link_budget import DEFAULT_POWER_DBM, LinkBudget, RadioFigures, link_budget
from qos.crosslayer.threshold_design import design, paper
from qos.demands import FlowDemand
from qos.errors import InfeasibleError
from qos.profiles import find_profile
from qos.units import format_rate
from topologies.links import WirelessLink
from topologies.model import Topology

Floats = NDArray[np.float64]

SLOT_S = 1e-3
MAX_RETRANSMISSIONS = 7
"""The short retry limit of IEEE 802.11."""

PAYLOAD_SHARE = 0.7
"""Share of the air time that is payload: the rest is contention, preambles and acknowledgements (ours)."""

HARQ_LOSS_SHARE = 0.7
"""Part of the loss bound that a design with HARQ may use: losses come in fades, where blocks start more often
than the model has it (up to a third more loss was seen on Clarke fading)."""

MAX_POWER_CUT_DB = 30
_WIFI_BANDS_HZ = ((2.4e9, 2.5e9), (5.15e9, 7.125e9))


@dataclass(frozen=True)
class LinkModel:
    """A link as the designs see it.

    Attributes
    ----------
    link
        The link of the topology.
    budget
        Its budget; gives the mean SNR.
    fading
        Distribution of the SNR.
    table
        Modes.
    symbols_per_s
        Payload symbols a second: the rate of a mode with one bit a symbol.
    slot_s
        Time over which the channel is taken as constant, and of one attempt.
    """

    link: WirelessLink
    budget: LinkBudget
    fading: NakagamiFading
    table: ModeTable
    symbols_per_s: float
    slot_s: float = SLOT_S

    @property
    def doppler_slot(self) -> float:
        """Maximum Doppler shift times the slot."""
        return self.link.doppler_hz * self.slot_s

    @property
    def power_dbm(self) -> float:
        """Transmit power that the budget was made with."""
        return DEFAULT_POWER_DBM if self.link.tx_power_dbm is None else self.link.tx_power_dbm


@dataclass(frozen=True, eq=False)
class ClassDesign:
    """Settings and predictions of one class on one link.

    Attributes
    ----------
    demand
        What the class asks.
    retransmissions
        Largest number of retransmissions.
    performance
        Thresholds and what they achieve.
    service_bits
        Bits that arrive in a slot, silence first, then by mode.
    admissible_bps
        Largest source rate whose delay bound holds, 0 where none.
    source_bps
        Rate that the application may use: a step of its profile, at most what it asked; None where none fits.
    power_dbm
        Least transmit power (whole dB steps down) that admits the source rate.
    slow_loss
        Predicted loss if the channel does not change between attempts; the real one lies between the two.
        With HARQ the same as `loss`, which already counts how the channel changes.
    late
        Predicted share of late packets at the admissible rate.
    refused
        Why the class cannot be carried, empty where it can.
    harq
        What retransmissions in the mode of the first attempt achieve; None: each attempt picks its own mode.
    """

    demand: FlowDemand
    retransmissions: int
    performance: AmcPerformance
    service_bits: Floats
    admissible_bps: float
    source_bps: float | None
    power_dbm: float
    slow_loss: float
    late: float
    refused: str
    harq: HarqPerformance | None = None

    @property
    def loss(self) -> float:
        """Predicted loss after the last retransmission, attempts independent."""
        return self.performance.loss if self.harq is None else self.harq.loss

    @property
    def spectral_efficiency(self) -> float:
        """Mean rate in bits a symbol, retransmissions counted."""
        found = self.performance if self.harq is None else self.harq
        return found.spectral_efficiency


def model_link(
    topology: Topology,
    link: WirelessLink,
    figures: RadioFigures | None = None,
    interference_dbm: float | None = None,
) -> LinkModel:
    """Make the model of a link: Wi-Fi 6 modes in the Wi-Fi bands, HIPERLAN/2 modes elsewhere."""
    budget = link_budget(topology, link, figures, interference_dbm)
    fading = NakagamiFading(budget.snr_db, link.nakagami_m)
    if any(low <= link.frequency_hz <= high for low, high in _WIFI_BANDS_HZ) and link.bandwidth_hz >= 20e6:
        width = max(each for each in WIFI6_DATA_TONES if each * 1e6 <= link.bandwidth_hz)
        return LinkModel(link, budget, fading, WIFI6, PAYLOAD_SHARE * wifi6_rate_bps(1.0, width))
    return LinkModel(link, budget, fading, HIPERLAN2, PAYLOAD_SHARE * link.bandwidth_hz)


def retransmission_limit(delay_s: float | None, attempt_s: float, wait_s: float = 0.0) -> int | None:
    """Retransmissions that fit into what is left of a packet's deadline; None if not even one attempt does.

    ``floor((delay - wait) / attempt) - 1``, at most `MAX_RETRANSMISSIONS`.

    Examples
    --------
    >>> retransmission_limit(0.005, 0.001), retransmission_limit(0.0005, 0.001)
    (4, None)
    """
    check_positive("attempt time", attempt_s)
    if delay_s is None:
        return MAX_RETRANSMISSIONS
    attempts = math.floor((delay_s - wait_s) / attempt_s + 1e-9)
    return min(attempts - 1, MAX_RETRANSMISSIONS) if attempts >= 1 else None


def design_class(model: LinkModel, demand: FlowDemand, harq: Combining | None = None) -> ClassDesign:
    """Choose the settings of a class on a link and predict what they reach.

    Parameters
    ----------
    model, demand
        The link and what it shall carry.
    harq
        What the receiver does with failed attempts where a block keeps its mode until it arrives; None:
        every attempt is made in the mode of its own SNR and decoded alone, as in 802.11.
    """
    table = model.table.for_packet_bits(demand.packet_bytes * 8)
    limit = retransmission_limit(demand.delay_bound_s, model.slot_s, model.link.delay_s)
    allowed = range((limit or 0) + 1)
    chosen = (
        _without_memory(model, table, demand, allowed)
        if harq is None
        else _with_harq(model, table, demand, allowed, harq)
    )
    service = chosen.service_bits(model, table)
    admissible = 0.0 if limit is None else _admissible_bps(model, demand, chosen.performance, service)
    source = _source_rate(demand, admissible)
    refused = ""
    if limit is None:
        refused = f"one attempt takes longer than the delay bound of {demand.delay_bound_s} s"
    elif source is None:
        refused = f"the delay bound admits {_rate(admissible)}, the class needs {_rate(_least_rate(demand))}"
    power = model.power_dbm if source is None else _least_power(model, demand, chosen, source)
    bounded = demand.delay_bound_s is not None
    return ClassDesign(
        demand=demand,
        retransmissions=chosen.retransmissions,
        performance=chosen.performance,
        service_bits=service,
        admissible_bps=admissible,
        source_bps=source,
        power_dbm=power,
        slow_loss=chosen.slow_loss,
        late=demand.violation_probability if admissible > 0 and bounded else 0.0,
        refused=refused,
        harq=chosen.harq,
    )


@dataclass(frozen=True, eq=False)
class _Choice:
    """Thresholds and retransmission limit; with HARQ, what they achieve on a channel that changes."""

    retransmissions: int
    performance: AmcPerformance
    slow_loss: float
    harq: HarqPerformance | None = None

    def service_bits(self, model: LinkModel, table: ModeTable) -> Floats:
        if self.harq is None:
            return _service_bits(model, table, self.performance)
        arriving = table.rates * (1 - self.harq.mode_failure) / self.harq.mode_attempts
        return np.concatenate([[0.0], arriving * model.symbols_per_s * model.slot_s])


def _without_memory(model: LinkModel, table: ModeTable, demand: FlowDemand, allowed: range) -> _Choice:
    efficiency = [paper(table, model.fading, demand.loss, n).spectral_efficiency for n in allowed]
    retransmissions = int(np.argmax(efficiency))
    found = design("lagrangian", table, model.fading, demand.loss, retransmissions)
    slow = loss_on_a_constant_channel(table, model.fading, found.thresholds, retransmissions)
    if slow > demand.loss:
        # The published thresholds keep the loss whatever the memory of the channel.
        found = paper(table, model.fading, demand.loss, retransmissions)
        slow = loss_on_a_constant_channel(table, model.fading, found.thresholds, retransmissions)
    return _Choice(retransmissions, found, slow)


def _with_harq(
    model: LinkModel, table: ModeTable, demand: FlowDemand, allowed: range, harq: Combining
) -> _Choice:
    link = HarqLink(table, model.fading, harq, model.doppler_slot, allowed[-1])
    limit, found = best_retransmissions(link, HARQ_LOSS_SHARE * demand.loss, allowed)
    return _Choice(limit, evaluate(table, model.fading, found.thresholds, limit), found.loss, found)


def admissible_rate_bps(model: LinkModel, demand: FlowDemand, found: AmcPerformance) -> float:
    """Largest constant rate that given thresholds carry within the demand's delay bound; 0 where none.

    The bound may be missed with `demand.violation_probability`; the link is the demand's alone.
    """
    table = model.table.for_packet_bits(demand.packet_bytes * 8)
    return _admissible_bps(model, demand, found, _service_bits(model, table, found))


def design_link(
    model: LinkModel, demands: Sequence[FlowDemand], harq: Combining | None = None
) -> tuple[ClassDesign, ...]:
    """Design every class of a link, each as if alone on it; see `design_class`."""
    return tuple(design_class(model, demand, harq) for demand in demands)


def _service_bits(model: LinkModel, table: ModeTable, found: AmcPerformance) -> Floats:
    delivered = table.rates * (1 - found.mode_error_rate)
    return np.concatenate([[0.0], delivered * model.symbols_per_s * model.slot_s])


def _chain(model: LinkModel, found: AmcPerformance) -> ChannelChain:
    return _known_chain(model.fading, tuple(map(float, found.thresholds)), model.doppler_slot)


@lru_cache(maxsize=1024)
def _known_chain(fading: NakagamiFading, thresholds: tuple[float, ...], doppler_slot: float) -> ChannelChain:
    # A plan asks for the same few settings of a link again and again, and a chain takes 10 ms.
    return first_order_chain(fading, np.array(thresholds), doppler_slot)


def _admissible_bps(model: LinkModel, demand: FlowDemand, found: AmcPerformance, service: Floats) -> float:
    """Largest rate that keeps the delay bound.

    A link without motion keeps its state: the rate of the state that is missed with the violation
    probability. Above half the slot rate the slots are independent.
    """
    shares = np.concatenate([[found.outage_probability], found.mode_probability])
    if demand.delay_bound_s is None:
        return float(shares @ service) / model.slot_s
    if model.doppler_slot == 0:
        worst = model.fading.quantile(demand.violation_probability)
        return float(service[int(region_of(worst, found.thresholds))]) / model.slot_s
    # The last slot that is in time is the one before the bound.
    slots = (demand.delay_bound_s - model.link.delay_s) / model.slot_s - 1
    if slots <= 0:
        return 0.0
    if model.doppler_slot > 0.5:

        def capacity(theta: float) -> float:
            return of_independent(service, shares / shares.sum(), theta)
    else:
        chain = _chain(model, found)

        def capacity(theta: float) -> float:
            return of_markov(chain.transition, chain.stationary, service, theta)

    return admissible_rate(capacity, slots, demand.violation_probability) / model.slot_s


def _rate(rate_bps: float) -> str:
    return format_rate(int(float(f"{rate_bps:.3g}")))


def _least_rate(demand: FlowDemand) -> float:
    return demand.rate_bps if demand.min_rate_bps is None else demand.min_rate_bps


def _source_rate(demand: FlowDemand, admissible_bps: float) -> float | None:
    rate = min(demand.rate_bps, admissible_bps)
    if rate < _least_rate(demand):
        return None
    if demand.profile:
        step = find_profile(demand.profile).rate_for(rate)
        # A rate that the demand gives itself need not be one of the profile's steps.
        return float(step) if step is not None and step >= _least_rate(demand) else rate
    return rate


def _least_power(model: LinkModel, demand: FlowDemand, chosen: _Choice, source_bps: float) -> float:
    """Search the largest whole cut of the power that still admits the source rate within the loss.

    Without HARQ with the published thresholds, with it designed anew for each power.
    """
    table = model.table.for_packet_bits(demand.packet_bytes * 8)

    def carries(cut_db: int) -> bool:
        weaker = NakagamiFading(model.fading.mean_snr_db - cut_db, model.fading.m)
        trial = LinkModel(model.link, model.budget, weaker, table, model.symbols_per_s, model.slot_s)
        limit = chosen.retransmissions
        try:
            found = (
                _Choice(limit, paper(table, weaker, demand.loss, limit), 0.0)
                if chosen.harq is None
                else _with_harq(trial, table, demand, range(limit, limit + 1), chosen.harq.combining)
            )
        except InfeasibleError:
            return False
        service = found.service_bits(trial, table)
        return _admissible_bps(trial, demand, found.performance, service) >= source_bps

    low, high = 0, MAX_POWER_CUT_DB + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if carries(middle) else (low, middle)
    return model.power_dbm - low
