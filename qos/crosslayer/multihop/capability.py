"""What one hop of a path can do for a demand: rate, loss by retransmission limit, delay distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from qos.crosslayer.amc_arq import AmcPerformance, evaluate, loss_on_a_constant_channel
from qos.crosslayer.guards import check_positive
from qos.crosslayer.link_design import MAX_RETRANSMISSIONS, LinkModel, admissible_rate_bps, model_link
from qos.crosslayer.multihop.budget import WorkingPoint
from qos.crosslayer.threshold_design import thresholds_at
from qos.demands import FlowDemand
from qos.errors import ValueRefusedError
from topologies.links import WiredLink, WirelessLink
from topologies.model import Topology

ERROR_TARGETS = tuple(float(10**exponent) for exponent in np.linspace(-4, -0.3, 12))
"""Packet error rates at the thresholds: the settings of a radio hop that a split may choose among."""

_LEAST_VIOLATION = 1e-12


@dataclass(frozen=True, eq=False)
class HopCapability:
    """A hop as seen by one demand.

    Attributes
    ----------
    link_id
        Link of the topology.
    sender
        Node that sends.
    demand
        What is to be carried; its packet size sets the error rates.
    points
        Settings to choose from: one for each error target and retransmission limit, one for a wired link.
    thresholds
        Mode thresholds of each point and what they achieve; None for a wired link.
    model
        The radio link; None for a wired one.
    """

    link_id: str
    sender: str
    demand: FlowDemand
    points: tuple[WorkingPoint, ...]
    thresholds: tuple[AmcPerformance | None, ...]
    model: LinkModel | None

    @property
    def is_radio(self) -> bool:
        """Whether the hop is wireless."""
        return self.model is not None

    @property
    def slot_s(self) -> float:
        """Time over which the channel is constant; 0 for a wired link."""
        return self.model.slot_s if self.model else 0.0

    @property
    def wait_s(self) -> float:
        """Delay that no setting changes: propagation."""
        return self.points[0].wait_s

    @property
    def least_channel_time_s(self) -> float:
        """Least mean time that a packet holds the channel, whatever its loss: a lower bound for routing."""
        return min(point.channel_time_s for point in self.points)

    def rate_bps(self, point: WorkingPoint) -> float:
        """Mean rate of what arrives with a setting if the demand has the channel alone."""
        return self.demand.packet_bytes * 8 * (1 - point.loss) / point.channel_time_s

    def loss_by_retries(self) -> tuple[float, ...]:
        """Least loss of any setting for each retransmission limit, from 0 on; never rises."""
        limits = range(max(point.retransmissions for point in self.points) + 1)
        return tuple(min(p.loss for p in self.points if p.retransmissions <= limit) for limit in limits)

    def admissible_bps(self, point: WorkingPoint, delay_s: float, violation: float) -> float:
        """Largest constant rate whose delay on this hop passes a bound with at most a probability.

        By the effective capacity; 0 where no rate keeps the bound. A wired hop carries its rate.
        """
        check_positive("delay", delay_s)
        if self.model is None:
            return self.rate_bps(point) if delay_s >= point.delay_s else 0.0
        found = self.thresholds[self.points.index(point)]
        if found is None:
            raise ValueRefusedError("a radio hop needs the thresholds of each of its points")
        asked = replace(self.demand, delay_bound_s=delay_s, violation_probability=violation, jitter_s=None)
        return admissible_rate_bps(self.model, asked, found)

    def late(self, point: WorkingPoint, rate_bps: float, delay_s: float) -> float:
        """Probability that a bit of a source of constant rate takes longer than `delay_s` on this hop.

        The inverse of `admissible_bps` in the probability: the distribution of the delay. 1 where the hop
        cannot carry the rate at all.
        """
        low, high = math.log(_LEAST_VIOLATION), math.log(1 - 1e-9)
        if self.admissible_bps(point, delay_s, math.exp(high)) < rate_bps:
            return 1.0
        if self.admissible_bps(point, delay_s, math.exp(low)) >= rate_bps:
            return 0.0 if self.model is None else _LEAST_VIOLATION
        for _ in range(30):
            middle = (low + high) / 2
            enough = self.admissible_bps(point, delay_s, math.exp(middle)) >= rate_bps
            low, high = (low, middle) if enough else (middle, high)
        return math.exp(high)


def link_capability(topology: Topology, link_id: str, demand: FlowDemand, sender: str = "") -> HopCapability:
    """Tell what a link of a topology can do for a demand.

    Parameters
    ----------
    topology, link_id
        A wired or wireless link.
    demand
        Its packet size counts, and its delay bound where it has one.
    sender
        The end that sends; empty: the link's source.

    Raises
    ------
    ValueRefusedError
        If there is no such link, it is a quantum link, or `sender` is no end of it.
    """
    link = topology.links.get(link_id)
    if not isinstance(link, WiredLink | WirelessLink):
        raise ValueRefusedError(f"{link_id!r} is no wired or wireless link of the topology")
    start = sender or link.source
    if start not in (link.source, link.target):
        raise ValueRefusedError(f"{start!r} is no end of link {link_id}")
    if isinstance(link, WiredLink):
        attempt_s = demand.packet_bytes * 8 / link.rate_from(start)
        point = WorkingPoint(link.loss_probability, attempt_s, 0, link.delay_s)
        return HopCapability(link_id, start, demand, (point,), (None,), None)
    model = model_link(topology, link)
    points, thresholds = _radio_points(model, demand)
    if not points:
        raise ValueRefusedError(f"link {link_id}: no mode delivers anything at {model.budget.snr_db:.1f} dB")
    return HopCapability(link_id, start, demand, points, thresholds, model)


def _radio_points(
    model: LinkModel, demand: FlowDemand
) -> tuple[tuple[WorkingPoint, ...], tuple[AmcPerformance, ...]]:
    """Every error target with every retransmission limit.

    The time of an attempt is the mean over the fading, silence included (a proxy, not a worst case). The loss
    is the larger of that of independent attempts and that of a channel which stays the same between them.
    """
    table = model.table.for_packet_bits(demand.packet_bytes * 8)
    points, thresholds = [], []
    for target in ERROR_TARGETS:
        levels = thresholds_at(table, target)
        found = evaluate(table, model.fading, levels, 0)
        if found.bits_per_symbol <= 0 or found.error_rate >= 1:
            continue
        attempt_s = demand.packet_bytes * 8 / (model.symbols_per_s * found.bits_per_symbol)
        for retries in range(MAX_RETRANSMISSIONS + 1):
            slow = loss_on_a_constant_channel(table, model.fading, levels, retries)
            points.append(
                WorkingPoint(found.error_rate, attempt_s, retries, model.link.delay_s, min(slow, 1 - 1e-12))
            )
            thresholds.append(found)
    return tuple(points), tuple(thresholds)
