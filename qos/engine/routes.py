"""A demand on a path: its delay and loss budget split over the hops, and what it takes of the channels.

The delay bound of a path has three parts: what nothing changes (propagation, sending, packets already in
the devices), the waits in the queues (`qos.engine.waiting`), and the fades of radio hops. Where there are
radio hops, one of `WAIT_SHARES` of what is left after the first part goes to the waits and the rest to the
fades, split by `qos.crosslayer.multihop.routing.split_path` (effective capacity); without, all goes to the
waits. Where the wait of nearly all packets at the largest load that may be reserved fits, nothing else need
hold; where it does not, the rounds of the queues are bounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from qos.crosslayer.multihop.budget import Split
from qos.crosslayer.multihop.capability import HopCapability
from qos.crosslayer.multihop.routing import split_path
from qos.demands import FlowDemand
from qos.engine.network import FRAME_BYTES, Edge, Network, on_wire
from qos.engine.waiting import usual_wait_s
from qos.errors import InfeasibleError
from schedulers.admission.problem import Option

WAIT_SHARES = (0.1, 0.35)
"""The first leaves most to the fades, the second takes more flows beside."""

_GRID = 64
"""Radio budgets are whole parts of the delay bound, so that what is known of a hop serves many paths."""


@dataclass(frozen=True, eq=False)
class RadioSplit:
    """The radio hops of a path.

    Attributes
    ----------
    hops
        What each can do.
    split
        Their settings.
    admissible_bps
        Largest rate of each within the budget, were it alone on its channel.
    budget_s
        Delay that all of them may take together; infinite where nothing bounds it.
    """

    hops: tuple[HopCapability, ...]
    split: Split
    admissible_bps: tuple[float, ...]
    budget_s: float


@dataclass(frozen=True, eq=False)
class Route:
    """A demand on a path.

    Attributes
    ----------
    demand
        What is asked.
    edges
        The path.
    per_bps
        Share of each channel that a bit/s takes, by number.
    waits
        What its packets add to a round of each queue, seconds, by number.
    fixed_s
        Delay on wires that no other flow changes.
    room_s
        What the waits may add up to; infinite where nothing bounds them.
    usual_s
        Wait of nearly all packets at the largest load that may be reserved.
    loss
        Share of packets that the path loses.
    radio
        The radio hops, None without.
    """

    demand: FlowDemand
    edges: tuple[Edge, ...]
    per_bps: dict[int, float]
    waits: dict[int, float]
    fixed_s: float
    room_s: float
    usual_s: float
    loss: float
    radio: RadioSplit | None

    @property
    def nodes(self) -> tuple[str, ...]:
        """Ids of the nodes of the path."""
        return (self.edges[0].sender, *(edge.receiver for edge in self.edges))

    @property
    def slack_s(self) -> float:
        """What the rounds may add up to; infinite where the usual wait fits or nothing bounds it."""
        return math.inf if self.usual_s <= self.room_s else self.room_s

    @property
    def most_alone_bps(self) -> float:
        """Largest rate on empty channels."""
        return 1 / max(self.per_bps.values())

    def option(self, demand: int, weight: float) -> Option:
        """Make the option that this route is for the demand of a number, at its least rate."""
        rate_bps = least_bps(self.demand)
        use = {channel: share * rate_bps for channel, share in self.per_bps.items()}
        return Option(demand, weight, use, self.waits, self.slack_s)


def least_bps(demand: FlowDemand) -> float:
    """Least rate that is still useful to a demand."""
    return demand.rate_bps if demand.min_rate_bps is None else demand.min_rate_bps


def delay_room_s(demand: FlowDemand, steady_s: float) -> float:
    """Delay that a path may have: the bound, or what its steady part and the jitter bound leave.

    Parameters
    ----------
    demand
        What is asked.
    steady_s
        Delay of a packet that waits nowhere.
    """
    bound_s = math.inf if demand.delay_bound_s is None else demand.delay_bound_s
    return bound_s if demand.jitter_s is None else min(bound_s, steady_s + demand.jitter_s)


class RouteMaker:
    """Makes routes in one network and remembers what radio hops can do.

    Parameters
    ----------
    network
        Whose edges the paths use.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._radio: dict[tuple[object, ...], RadioSplit | str] = {}

    def routes(self, demand: FlowDemand, path: tuple[int, ...]) -> tuple[Route, ...]:
        """Split a demand's budget over a path in each way that meets it.

        Raises
        ------
        InfeasibleError
            If there is none; says what is wrong with the first.
        """
        radio = any(self._network.edges[number].is_radio for number in path)
        bounded = demand.delay_bound_s is not None or demand.jitter_s is not None
        shares = WAIT_SHARES if radio and bounded else WAIT_SHARES[:1]
        found, first = [], None
        for share in shares:
            try:
                found.append(self.route(demand, path, share))
            except InfeasibleError as error:
                first = first or error
        if not found:
            assert first is not None
            raise first
        return tuple(found)

    def route(self, demand: FlowDemand, path: tuple[int, ...], wait_share: float = WAIT_SHARES[0]) -> Route:
        """Split a demand's budget over a path.

        Parameters
        ----------
        demand
            What is asked.
        path
            Numbers of the edges.
        wait_share
            Part of what is left beside radio hops that goes to the rounds of the queues.

        Raises
        ------
        InfeasibleError
            If the path cannot meet the bounds even when empty; says by how much.
        """
        edges = tuple(self._network.edges[number] for number in path)
        wires = [edge for edge in edges if not edge.is_radio]
        fixed_s = sum(edge.fixed_s(demand.packet_bytes) for edge in wires)
        passed = math.prod(1 - edge.loss for edge in wires)
        if 1 - passed > demand.loss * (1 + 1e-9):
            raise InfeasibleError(
                f"the wires of {_names(edges)} lose {1 - passed:.3g} of the packets, {demand.loss:g} is borne"
            )
        radio_steady_s = sum(edge.delay_s for edge in edges if edge.is_radio)
        room_s = delay_room_s(demand, fixed_s + radio_steady_s) - fixed_s
        if room_s <= radio_steady_s:
            needed = fixed_s + radio_steady_s
            raise InfeasibleError(
                f"{_names(edges)} takes {needed * 1e3:.4g} ms without any waiting, the delay bound is "
                f"{_bound(demand) * 1e3:.4g} ms"
            )
        radio = None
        if len(wires) < len(edges):
            radio = self._split(demand, edges, (1 - wait_share) * room_s, 1 - (1 - demand.loss) / passed)
            if math.isfinite(room_s):
                room_s -= radio.budget_s
            passed *= 1 - radio.split.loss
        per_bps, waits = self._taken(demand, edges, radio, room_s)
        usual_s = self._usual_s(edges, wait_violation(demand, radio is not None))
        return Route(demand, edges, per_bps, waits, fixed_s, room_s, usual_s, 1 - passed, radio)

    def _usual_s(self, edges: tuple[Edge, ...], violation: float) -> float:
        base_s = sum(self._network.base_wait_s[queue] for queue in {edge.queue for edge in edges})
        loads = [self._network.options.usable] * len(edges)
        return usual_wait_s(edges, loads, base_s, violation)

    def _split(self, demand: FlowDemand, edges: tuple[Edge, ...], bound_s: float, loss: float) -> RadioSplit:
        budget_s: float | None = None
        if math.isfinite(bound_s):
            part_s = _bound(demand) / _GRID
            budget_s = math.floor(bound_s / part_s) * part_s if bound_s > part_s else bound_s
        # The loss is rounded down, so that paths with nearly the same wires share what is known.
        loss = float(f"{loss * 0.9995:.3g}") if loss < demand.loss * (1 - 1e-9) else demand.loss
        radios = tuple((edge.link_id, edge.sender) for edge in edges if edge.is_radio)
        key = (radios, demand.packet_bytes, budget_s, loss, demand.violation_probability)
        if key not in self._radio:
            late = demand.violation_probability - wait_violation(demand, True)
            asked = replace(
                demand,
                delay_bound_s=budget_s,
                jitter_s=None,
                loss=max(loss, 1e-15),
                violation_probability=late,
            )
            try:
                hops = tuple(self._network.known.of(link, asked, sender) for link, sender in radios)
                split, admissible = split_path(hops, asked)
                self._radio[key] = RadioSplit(hops, split, admissible, budget_s or math.inf)
            except InfeasibleError as error:
                self._radio[key] = str(error)
        found = self._radio[key]
        if isinstance(found, str):
            raise InfeasibleError(f"{_names(edges)}: {found}")
        return found

    def _taken(
        self, demand: FlowDemand, edges: tuple[Edge, ...], radio: RadioSplit | None, slack_s: float
    ) -> tuple[dict[int, float], dict[int, float]]:
        per_bps: dict[int, float] = {}
        waits: dict[int, float] = {}
        held = held_bytes(demand, slack_s)
        split = (
            () if radio is None else zip(radio.hops, radio.split.points, radio.admissible_bps, strict=True)
        )
        radios = iter(split)
        for edge in edges:
            rate_bps, most_bps = edge.service_bps, edge.rate_bps / on_wire(demand)
            if edge.is_radio:
                hop, point, most_bps = next(radios)
                rate_bps = hop.rate_bps(point)
            for channel in edge.channels:
                per_bps[channel] = per_bps.get(channel, 0.0) + 1 / most_bps
            waits[edge.queue] = waits.get(edge.queue, 0.0) + 8 * held / rate_bps
        return per_bps, waits


def wait_violation(demand: FlowDemand, radio: bool) -> float:
    """Share of packets that waiting may make late; beside radio hops a tenth of all that may be."""
    return demand.violation_probability * (0.1 if radio else 1.0)


def held_bytes(demand: FlowDemand, jitter_s: float) -> float:
    """Most that a queue serves of a flow while another flow's packet waits: what can be there, or a round.

    Packets come at most `jitter_s` closer than they were sent; a round serves at most a full packet's worth
    and one packet more (deficit round robin).
    """
    a_round = FRAME_BYTES + demand.packet_bytes
    if not math.isfinite(jitter_s):
        return a_round
    extra = math.ceil(demand.rate_bps * jitter_s / (8 * demand.packet_bytes))
    return min(a_round, demand.packet_bytes * (1 + extra))


def _bound(demand: FlowDemand) -> float:
    if demand.delay_bound_s is None:
        assert demand.jitter_s is not None
        return demand.jitter_s
    return demand.delay_bound_s


def _names(edges: tuple[Edge, ...]) -> str:
    return "the path " + " - ".join((edges[0].sender, *(edge.receiver for edge in edges)))
