"""Which directed links a scenario uses, and each flow's way there and back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from qos.errors import InputError, ValueRefusedError
from qos.simulation.scenario import Flow, Scenario
from topologies.model import Topology, WiredLink

Direction = tuple[str, str]
"""A link's id and the id of the node that it leaves."""


@dataclass(frozen=True)
class Paths:
    """The directed links in use and the routes over them.

    Attributes
    ----------
    directions
        The directed links; the first is the one with the least rate for each of its flows.
    forward
        For each flow the numbers of the links of its way.
    backward
        For each flow the numbers of the links of the way back, where its acknowledgements wait in queues;
        empty where no link of the way back carries data.
    reverse_directions
        For each flow the directions of the way back.
    """

    directions: tuple[Direction, ...]
    forward: tuple[tuple[int, ...], ...]
    backward: tuple[tuple[int, ...], ...]
    reverse_directions: tuple[tuple[Direction, ...], ...]


def link_of(topology: Topology, direction: Direction) -> WiredLink:
    """Give the wired link of a direction.

    Raises
    ------
    InputError
        If the link is not wired: the simulator needs a rate.
    """
    link = topology.links[direction[0]]
    if not isinstance(link, WiredLink):
        raise InputError(
            f"link {link.id!r} is {link.kind}; the packet simulator needs wired links, which have a rate"
        )
    return link


def other_end(topology: Topology, direction: Direction) -> str:
    """Name the node at which a direction ends."""
    link = topology.links[direction[0]]
    return link.target if direction[1] == link.source else link.source


def rate_of(scenario: Scenario, direction: Direction) -> int:
    """Give the rate of a direction in bit/s, that at the beginning where it changes."""
    return link_of(scenario.topology, direction).rate_from(direction[1])


def find_paths(scenario: Scenario) -> Paths:
    """Route all flows.

    Raises
    ------
    ValueRefusedError
        If a flow has no route, or names links that make none.
    """
    ways = [_way(scenario.topology, flow, number) for number, flow in enumerate(scenario.flows)]
    back = [
        tuple((link, other_end(scenario.topology, (link, node))) for link, node in reversed(way))
        for way in ways
    ]
    used = {direction for way in ways for direction in way}
    waits = [any(direction in used for direction in way) for way in back]
    for way, is_waiting in zip(back, waits, strict=True):
        if is_waiting:
            used.update(way)
    share: dict[Direction, int] = {}
    for way in ways:
        for direction in way:
            share[direction] = share.get(direction, 0) + 1
    order = sorted(used, key=lambda d: (rate_of(scenario, d) / max(share.get(d, 0), 1e-9), d))
    number_of = {direction: number for number, direction in enumerate(order)}
    return Paths(
        tuple(order),
        tuple(tuple(number_of[direction] for direction in way) for way in ways),
        tuple(
            tuple(number_of[direction] for direction in way) if is_waiting else ()
            for way, is_waiting in zip(back, waits, strict=True)
        ),
        tuple(back),
    )


def _way(topology: Topology, flow: Flow, number: int) -> tuple[Direction, ...]:
    for node in (flow.source, flow.target):
        if node not in topology.nodes:
            raise ValueRefusedError(f"flow {number}: the topology has no node {node!r}")
    way = _named_way(topology, flow, number) if flow.via else _shortest_way(topology, flow, number)
    for direction in way:
        link_of(topology, direction)
    return way


def _named_way(topology: Topology, flow: Flow, number: int) -> tuple[Direction, ...]:
    node = flow.source
    way = []
    for link_id in flow.via:
        link = topology.links.get(link_id)
        if link is None or node not in (link.source, link.target):
            raise ValueRefusedError(f"flow {number}: link {link_id!r} of its path does not leave {node!r}")
        way.append((link_id, node))
        node = link.target if node == link.source else link.source
    if node != flow.target:
        raise ValueRefusedError(f"flow {number}: its path ends at {node!r}, not at {flow.target!r}")
    return tuple(way)


def _shortest_way(topology: Topology, flow: Flow, number: int) -> tuple[Direction, ...]:
    """Find the way of least delay, of fewest hops among those; the fastest of parallel links."""
    import networkx

    def hop_cost(_one: str, _other: str, links: dict[str, dict[str, object]]) -> float | None:
        delays = [data["link"].delay_s for data in links.values() if isinstance(data["link"], WiredLink)]
        return min(delays) + 1e-9 if delays else None

    try:
        nodes = networkx.dijkstra_path(topology.graph, flow.source, flow.target, weight=hop_cost)
    except networkx.NetworkXNoPath:
        raise ValueRefusedError(
            f"flow {number}: no wired path leads from {flow.source!r} to {flow.target!r}"
        ) from None
    way = []
    for one, other in pairwise(nodes):
        wired = [link for link in topology.links_between(one, other) if isinstance(link, WiredLink)]
        best = min(wired, key=lambda link: (link.delay_s, -link.rate_from(one)))
        way.append((best.id, one))
    return tuple(way)
