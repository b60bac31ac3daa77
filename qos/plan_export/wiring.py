"""Names, interfaces and addresses of a plan's hosts, where the topology leaves them open.

Each link is a subnet of two addresses (RFC 3021) in 10.0.0.0/9, each node has one of its own in
10.240.0.0/12. Flows go to a node's own address, so their routes are host routes along the planned paths; all
other nodes are reached by the fewest hops.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from qos.errors import ValueRefusedError
from qos.planning import LinkSetting, Plan

_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
_LINKS = int(ipaddress.IPv4Address("10.0.0.0"))
_NODES = int(ipaddress.IPv4Address("10.240.0.0"))
MOST_NODES = 2**20
FIRST_TABLE = 1000


@dataclass(frozen=True, slots=True)
class Port:
    """One end of a link at one node.

    Attributes
    ----------
    setting
        What the plan says of the direction that leaves here.
    interface
        Name of the interface.
    made_up
        Whether the topology does not say it.
    address, peer
        Of this end and of the other.
    """

    setting: LinkSetting
    interface: str
    made_up: bool
    address: str
    peer: str


@dataclass(frozen=True, slots=True)
class Route:
    """How a node reaches another.

    Attributes
    ----------
    to
        Own address of the destination.
    via
        Address of the next hop.
    source
        Own address of the node whose packets go this way; empty for everybody's.
    table
        Number of the routing table for them; 0 is the main one.
    """

    to: str
    via: str
    source: str = ""
    table: int = 0


@dataclass(frozen=True)
class Wiring:
    """What every exporter needs.

    Attributes
    ----------
    names
        A name of each Linux node that is good for files and host names.
    own
        Own address of each.
    ports
        Ends of links by node, in the order of the plan's links.
    routes
        By node.
    """

    names: dict[str, str]
    own: dict[str, str]
    ports: dict[str, tuple[Port, ...]]
    routes: dict[str, tuple[Route, ...]]


def wiring(plan: Plan, *, first: int = 0, named: bool = True) -> Wiring:
    """Wire the hosts of a plan.

    Parameters
    ----------
    plan
        The plan.
    first
        Number of the first interface that is made up (``eth0``).
    named
        Take the names that the topology has; else all are made up, each link on one of its own.

    Raises
    ------
    ValueRefusedError
        If there are too many nodes, or the plan sets no link.
    """
    nodes = [name for name in plan.scenario.topology.nodes if any(one.sender == name for one in plan.links)]
    if not nodes:
        raise ValueRefusedError("the plan sets no packet link, so there is no host to export")
    if len(nodes) > MOST_NODES:
        raise ValueRefusedError(f"{len(nodes)} hosts are more than {MOST_NODES}")
    own = {node: str(ipaddress.IPv4Address(_NODES + place)) for place, node in enumerate(nodes, 1)}
    ports: dict[str, list[Port]] = {node: [] for node in nodes}
    places: dict[str, int] = {}
    for setting in plan.links:
        place = places.setdefault(setting.link, len(places))
        link = plan.scenario.topology.links[setting.link]
        ends = [str(ipaddress.IPv4Address(_LINKS + 2 * place + end)) for end in (0, 1)]
        if setting.sender != link.source:
            ends.reverse()
        given = setting.interface if named and _INTERFACE.fullmatch(setting.interface) else ""
        name = given or _made_up(ports[setting.sender], first)
        ports[setting.sender].append(Port(setting, name, not given, *ends))
    fixed = {node: tuple(found) for node, found in ports.items()}
    return Wiring(_file_names(nodes), own, fixed, _routes(plan, own, fixed))


def _made_up(there: list[Port], first: int) -> str:
    taken = {port.interface for port in there}
    number = first
    while f"eth{number}" in taken:
        number += 1
    return f"eth{number}"


def _file_names(nodes: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    taken: set[str] = set()
    for node in nodes:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", node).strip("-") or "node"
        name, number = stem, 2
        while name.lower() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.lower())
        found[node] = name
    return found


def _routes(
    plan: Plan, own: dict[str, str], ports: dict[str, tuple[Port, ...]]
) -> dict[str, tuple[Route, ...]]:
    """Give the routes along the planned paths, and by fewest hops to everybody else."""
    peer = {(p.setting.link, p.setting.sender): p.peer for each in ports.values() for p in each}
    by_hop = {(p.setting.sender, p.setting.receiver): p.peer for each in ports.values() for p in each}
    planned: dict[str, dict[str, dict[str, str]]] = {node: {} for node in own}
    for flow in plan.flows.values():
        for (node, _), hop in zip(pairwise(flow.path), flow.hops, strict=True):
            if node in own and flow.source in own and flow.destination in own:
                via = peer[hop.link, node]
                planned[node].setdefault(flow.destination, {}).setdefault(flow.source, via)
    found: dict[str, tuple[Route, ...]] = {}
    nearest = _by_fewest_hops(plan, own)
    for node in own:
        routes: list[Route] = []
        tables: dict[str, int] = {}
        for destination, address in own.items():
            if destination == node:
                continue
            ways = planned[node].get(destination, {})
            common = next(iter(ways.values()), None)
            if common is None:
                step = nearest.get((node, destination))
                common = None if step is None else by_hop[node, step]
            if common is not None:
                routes.append(Route(address, common))
            for source, via in ways.items():
                if via != common:
                    table = tables.setdefault(source, FIRST_TABLE + len(tables))
                    routes.append(Route(address, via, own[source], table))
        found[node] = tuple(routes)
    return found


def _by_fewest_hops(plan: Plan, own: dict[str, str]) -> dict[tuple[str, str], str]:
    """Give the next hop of each node towards each other."""
    import networkx as nx

    graph: nx.Graph[str] = nx.Graph()
    graph.add_edges_from((one.sender, one.receiver) for one in plan.links)
    found = {}
    for node in own:
        for destination, path in nx.single_source_shortest_path(graph, node).items():
            if len(path) > 1:
                found[node, destination] = path[1]
    return found
