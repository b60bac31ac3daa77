"""The network as the engine sees it: directed edges, the channels that they take, the queues before them.

A direction of a wire is a channel of its own; radio links that hear each other share the air at each of their
ends (`qos.crosslayer.multihop.admission.channels_of`). Before each wire stands a fair queue, before all radio
links of one air one round of sending.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qos.crosslayer.multihop.admission import channels_of
from qos.crosslayer.multihop.routing import Capabilities
from qos.demands import FlowDemand
from qos.errors import QosError
from qos.planning import PlanOptions
from schedulers.admission.problem import Floats
from topologies.links import WiredLink, WirelessLink
from topologies.model import Topology

FRAME_BYTES = 1514
"""A full packet on the wire, and what a fair queue serves of a flow in a round."""

LINK_HEADER_BYTES = 14
"""What a wire carries beside each packet of a demand, whose rate counts packets alone (Ethernet)."""

RING_PACKETS = 2
"""Full packets that may be ahead of the queue: the one in transmission and one in the device's ring."""

SHAPED = 0.98
"""A fair queue sends a little slower than its wire, so that packets wait in it and not in the device."""

ACKNOWLEDGED_SHARE = 66 / (2 * 1514)
"""What the acknowledgements of a greedy TCP flow take the other way, as a share of its rate: 66 bytes on the
wire (timestamps, RFC 7323) for each two full packets (RFC 5681)."""

USUAL_WAITS = 2.5
"""What a queue on a path of some hops adds, in mean waits, where one packet in a hundred may be late."""

NO_FORWARDING = ("host",)
"""Kinds of node that pass nothing on."""


def on_wire(demand: FlowDemand) -> float:
    """Give the bits that a wire carries for each bit of a demand.

    Examples
    --------
    >>> round(on_wire(FlowDemand("a", "b", 64e3, packet_bytes=200)), 3)
    1.07
    """
    return 1 + LINK_HEADER_BYTES / demand.packet_bytes


@dataclass(frozen=True, slots=True)
class Edge:
    """One direction of a packet link.

    Attributes
    ----------
    index
        Its number.
    link_id, sender, receiver
        Link and ends.
    is_radio
        Whether it is wireless.
    rate_bps
        Of the wire; of the radio the largest mean rate of any setting for full packets.
    delay_s
        Propagation, and the slot of a radio.
    loss
        Share of packets that the wire loses; 0 for a radio, whose settings decide.
    channels
        Numbers of the channels that it takes.
    queue
        Number of the queue before it.
    """

    index: int
    link_id: str
    sender: str
    receiver: str
    is_radio: bool
    rate_bps: float
    delay_s: float
    loss: float
    channels: tuple[int, ...]
    queue: int

    @property
    def service_bps(self) -> float:
        """Rate at which the queue before it is served."""
        return self.rate_bps if self.is_radio else SHAPED * self.rate_bps

    def fixed_s(self, packet_bytes: int) -> float:
        """Delay of a packet that no setting and no other flow changes, seconds."""
        if self.is_radio:
            return self.delay_s
        return self.delay_s + 8 * (packet_bytes + RING_PACKETS * FRAME_BYTES) / self.service_bps


@dataclass(frozen=True, eq=False)
class Network:
    """Edges, channels and queues of a topology.

    Attributes
    ----------
    topology
        What exists.
    options
        What holds for the plan.
    edges
        Every direction that can carry packets.
    channel_names
        ``link from sender`` or ``air at node``.
    base_wait_s
        Round of each queue that is left to flows outside of the plan.
    dead
        Links that carry nothing, and why.
    known
        What the radio links can do.
    capacity
        Share of each channel that may be promised: the options' one, on the slow direction of an asymmetric
        wire less what the acknowledgements of traffic in the fast one need.
    """

    topology: Topology
    options: PlanOptions
    edges: tuple[Edge, ...]
    channel_names: tuple[str, ...]
    base_wait_s: tuple[float, ...]
    dead: dict[str, str]
    known: Capabilities
    capacity: tuple[float, ...]

    def most_bps(self, per_bps: Mapping[int, float]) -> float:
        """Give the largest rate that may be promised on empty channels, where a bit/s takes these shares."""
        return min(self.capacity[channel] / share for channel, share in per_bps.items())

    def delay_s(self, packet_bytes: int) -> Floats:
        """Give what every edge is expected to add to the delay of a path, shape (edges,).

        The fixed part, the round left to others, and `USUAL_WAITS` mean waits at the largest load.
        """
        mean = self.options.usable / (2 * (1 - min(self.options.usable, 0.99))) * 8 * FRAME_BYTES
        return np.array(
            [
                edge.fixed_s(packet_bytes)
                + self.base_wait_s[edge.queue]
                + USUAL_WAITS * mean / edge.service_bps
                for edge in self.edges
            ]
        )


class _Builder:
    def __init__(self, topology: Topology, options: PlanOptions) -> None:
        self.topology, self.options = topology, options
        self.known = Capabilities(topology)
        self.edges: list[Edge] = []
        self.channels: dict[str, int] = {}
        self.capacity: list[float] = []
        self.wait_s: list[float] = []
        self.air_queue: dict[str, int] = {}
        self.dead: dict[str, str] = {}
        self.air = channels_of(topology)
        self.sharers: dict[str, int] = {}
        for names in self.air.values():
            for name in names:
                self.sharers[name] = self.sharers.get(name, 0) + 1

    def channel(self, name: str, usable: float | None = None) -> int:
        if name not in self.channels:
            self.channels[name] = len(self.channels)
            self.capacity.append(self.options.usable if usable is None else usable)
        return self.channels[name]

    def beside_acknowledgements(self, rate_bps: float, reverse_bps: float) -> float:
        """Give the share of a wire that may be promised beside acknowledgements of the other direction.

        What is left to others has room for those of a direction as fast; at most half goes to the rest.
        """
        usable = self.options.usable
        if not self.options.background_flows:
            return usable
        more = ACKNOWLEDGED_SHARE * max(reverse_bps / rate_bps - 1, 0.0)
        return max(usable - more, usable / 2)

    def queue(self, rate_bps: float) -> int:
        background = 8 * 2 * FRAME_BYTES * self.options.background_flows
        self.wait_s.append(background / rate_bps)
        return len(self.wait_s) - 1

    def wire(self, link: WiredLink, sender: str, receiver: str) -> None:
        rate_bps = float(link.rate_from(sender))
        share = self.beside_acknowledgements(rate_bps, float(link.rate_from(receiver)))
        channels = (self.channel(f"{link.id} from {sender}", share),)
        fixed = (rate_bps, link.delay_s, link.loss_probability)
        queue = self.queue(SHAPED * rate_bps)
        self.edges.append(Edge(len(self.edges), link.id, sender, receiver, False, *fixed, channels, queue))

    def radio(self, link: WirelessLink, sender: str, receiver: str) -> None:
        full = FlowDemand(sender, receiver, 1.0, packet_bytes=1500)
        try:
            hop = self.known.of(link.id, full, sender)
        except QosError as error:
            self.dead[link.id] = str(error)
            return
        rate_bps = max(hop.rate_bps(point) for point in hop.points)
        names = self.air[link.id]
        # Of the two airs the one with more links decides how long a round is.
        busiest = max(names, key=lambda name: (self.sharers[name], name))
        if busiest not in self.air_queue:
            self.air_queue[busiest] = self.queue(rate_bps)
        queue = self.air_queue[busiest]
        slowest = 8 * 2 * FRAME_BYTES * self.options.background_flows / rate_bps
        self.wait_s[queue] = max(self.wait_s[queue], slowest)
        channels = tuple(self.channel(name) for name in names)
        delay_s = hop.wait_s + hop.slot_s
        self.edges.append(
            Edge(len(self.edges), link.id, sender, receiver, True, rate_bps, delay_s, 0.0, channels, queue)
        )


def network_of(topology: Topology, options: PlanOptions) -> Network:
    """Make the network of a topology's wired and wireless links."""
    builder = _Builder(topology, options)
    for link in topology.links.values():
        for sender, receiver in ((link.source, link.target), (link.target, link.source)):
            if isinstance(link, WiredLink):
                builder.wire(link, sender, receiver)
            elif isinstance(link, WirelessLink):
                builder.radio(link, sender, receiver)
    return Network(
        topology,
        options,
        tuple(builder.edges),
        tuple(builder.channels),
        tuple(builder.wait_s),
        builder.dead,
        builder.known,
        tuple(builder.capacity),
    )
