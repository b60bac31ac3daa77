"""Paths for a demand over wired and wireless links, each with its budget split, the cheapest first.

The cost of a link is the mean time that a packet holds its channel at the setting the split chooses; loss and
delay of the path are side constraints (a constrained shortest path).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import networkx as nx
from scipy import optimize, special

from qos.crosslayer.guards import check_count, check_probability
from qos.crosslayer.multihop.budget import Split, WorkingPoint, split_budget
from qos.crosslayer.multihop.capability import HopCapability, link_capability
from qos.demands import FlowDemand
from qos.errors import InfeasibleError, ValueRefusedError
from topologies.links import WiredLink, WirelessLink
from topologies.model import Topology

MAX_PATHS = 32
"""Paths tried for a demand, by rising lower bound of their cost."""


@dataclass(frozen=True, eq=False)
class Route:
    """A path that meets a demand's loss and delay bounds.

    Attributes
    ----------
    nodes
        From the source to the destination.
    hops
        What each hop can do.
    split
        The setting of each hop and what they add up to.
    admissible_bps
        Largest constant rate of each hop within the delay bound of the path, were the hop the demand's alone.
    """

    nodes: tuple[str, ...]
    hops: tuple[HopCapability, ...]
    split: Split
    admissible_bps: tuple[float, ...]

    @property
    def rate_bps(self) -> float:
        """Largest rate of the path: that of its weakest hop."""
        return min(self.admissible_bps)

    @property
    def cost_s(self) -> float:
        """Mean time that a packet holds channels."""
        return self.split.channel_time_s

    def shares(self, rate_bps: float) -> tuple[float, ...]:
        """Share of each hop's channel to reserve for a rate: the rate over what the hop admits.

        A share s of a channel carries s times the rate with the same tail of the delay (the effective
        capacity of s S at theta / s is s times that of S at theta).
        """
        return tuple(rate_bps / most for most in self.admissible_bps)


@dataclass
class Capabilities:
    """What the links of a topology can do, worked out once for each link, sender and packet size."""

    topology: Topology
    _known: dict[tuple[str, str, int], HopCapability] = field(default_factory=dict)

    def of(self, link_id: str, demand: FlowDemand, sender: str) -> HopCapability:
        """Give the capability of a link for a demand."""
        key = (link_id, sender, demand.packet_bytes)
        if key not in self._known:
            self._known[key] = link_capability(self.topology, link_id, demand, sender)
        return self._known[key]


def hop_violation(violation: float, hops: int) -> float:
    """Violation probability of each hop over the whole delay bound with which the path keeps its own.

    The delay of each hop has an exponential tail of one common rate x, so that of the path is Erlang's:
    ``P(D > d) = Q(hops, x d)``; the answer is ``exp(-x d)``.

    Examples
    --------
    >>> hop_violation(0.01, 1), round(hop_violation(0.01, 2), 6)
    (0.01, 0.001309)
    """
    check_probability("violation probability", violation)
    if check_count("hops", hops, 1) == 1:
        return violation
    high = 10.0 + 2 * hops - 4 * math.log(violation)
    return math.exp(-optimize.brentq(lambda x: special.gammaincc(hops, x) - violation, 0.0, high, xtol=1e-12))


def split_path(hops: tuple[HopCapability, ...], demand: FlowDemand) -> tuple[Split, tuple[float, ...]]:
    """Split a demand's loss and delay budget over the hops of a path.

    Returns
    -------
    Split, tuple of float
        The settings, and the largest rate of each hop in bit/s within the path's delay bound.

    Raises
    ------
    InfeasibleError
        If the bounds cannot be met, even by a rate near 0; says by how much and which hop.
    """
    bound_s = demand.delay_bound_s
    try:
        split = split_budget([hop.points for hop in hops], demand.loss, 1e6 if bound_s is None else bound_s)
    except InfeasibleError as error:
        names = ", ".join(f"{place} is {hop.link_id}" for place, hop in enumerate(hops))
        raise InfeasibleError(f"{error} (hop {names})") from None
    pairs = list(zip(hops, split.points, strict=True))
    if bound_s is None:
        return split, tuple(hop.rate_bps(point) for hop, point in pairs)
    radios = sum(hop.is_radio for hop in hops)
    each = hop_violation(demand.violation_probability, max(radios, 1))
    # What no queue changes: propagation, sending on wires, and a slot at each radio hop.
    fixed = [hop.wait_s + hop.slot_s if hop.is_radio else point.delay_s for hop, point in pairs]
    rates = tuple(
        _admissible_bps(hop, point, bound_s - (sum(fixed) - own), each)
        for (hop, point), own in zip(pairs, fixed, strict=True)
    )
    for hop, rate in zip(hops, rates, strict=True):
        if rate <= 0:
            raise InfeasibleError(
                f"link {hop.link_id} admits no rate within the delay bound of {bound_s * 1e3:g} ms at a "
                f"violation probability of {demand.violation_probability:g}: its fades last longer"
            )
    return split, rates


def _admissible_bps(hop: HopCapability, point: WorkingPoint, left_s: float, violation: float) -> float:
    return hop.admissible_bps(point, left_s, violation) if left_s > 0 else 0.0


def routes(
    topology: Topology, demand: FlowDemand, count: int = 1, capabilities: Capabilities | None = None
) -> tuple[Route, ...]:
    """Find the cheapest paths that meet a demand's loss and delay bounds.

    Paths come by a rising lower bound of their cost (each hop at its cheapest setting), and the search ends
    when `count` found ones are cheaper than the next bound, so within `MAX_PATHS` paths the answer is exact.
    Of parallel links the cheapest one is used; hosts do not forward.

    Parameters
    ----------
    topology
        Wired and wireless links of it are used, in both directions.
    demand
        What is asked.
    count
        Number of paths wanted, at least 1.
    capabilities
        What is known of the links, to share work between calls.

    Raises
    ------
    ValueRefusedError
        If an end is no node of the topology.
    InfeasibleError
        If there is no path, or none meets the bounds; says by how much the cheapest one fails.
    """
    check_count("paths", count, 1)
    for end in (demand.source, demand.destination):
        if end not in topology.nodes:
            raise ValueRefusedError(f"{end!r} is no node of topology {topology.name}")
    known = capabilities or Capabilities(topology)
    graph, chosen = _cost_graph(topology, demand, known)
    found: list[Route] = []
    first: InfeasibleError | None = None
    try:
        paths = nx.shortest_simple_paths(graph, demand.source, demand.destination, weight="cost_s")
        for path in itertools.islice(paths, MAX_PATHS):
            hops = tuple(chosen[pair] for pair in itertools.pairwise(path))
            least = sum(hop.least_channel_time_s for hop in hops)
            if len(found) >= count and sorted(each.cost_s for each in found)[count - 1] <= least:
                break
            try:
                split, rates = split_path(hops, demand)
            except InfeasibleError as error:
                first = first or InfeasibleError(f"path {' - '.join(path)}: {error}")
                continue
            found.append(Route(tuple(path), hops, split, rates))
    except nx.NetworkXNoPath:
        raise InfeasibleError(f"there is no path from {demand.source} to {demand.destination}") from None
    if not found:
        assert first is not None
        raise first
    return tuple(sorted(found, key=lambda each: each.cost_s)[:count])


def _cost_graph(
    topology: Topology, demand: FlowDemand, known: Capabilities
) -> tuple[nx.DiGraph[str], Mapping[tuple[str, str], HopCapability]]:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(topology.nodes)
    chosen: dict[tuple[str, str], HopCapability] = {}
    for link_id, link in topology.links.items():
        if not isinstance(link, WiredLink | WirelessLink):
            continue
        for start, end in ((link.source, link.target), (link.target, link.source)):
            passes = topology.nodes[start].kind != "host" or start == demand.source
            if not passes or end == demand.source:
                continue
            hop = known.of(link_id, demand, start)
            best = chosen.get((start, end))
            if best is None or hop.least_channel_time_s < best.least_channel_time_s:
                chosen[start, end] = hop
                graph.add_edge(start, end, cost_s=hop.least_channel_time_s)
    return graph, chosen
