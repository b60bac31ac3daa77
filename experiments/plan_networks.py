"""Networks and demands for the studies of the planner: regional networks, a mix of six classes.

The networks are Waxman graphs over a square of 300 km with about four links a node; each link has one of
three rates, drawn by the seed. Demands join two nodes drawn uniformly. The mix, by number of demands:

=====================  =====  ================  ==========  ==============================================
class                  share  wanted            least       bounds
=====================  =====  ================  ==========  ==============================================
voice trunk            20 %   2 Mbit/s          2 Mbit/s    voice (100 ms, jitter 50 ms), 20 calls
conversational video   25 %   4 Mbit/s          1.2 Mbit/s  conversational-video (150 ms, jitter 50 ms)
streaming video        25 %   8 Mbit/s          4 Mbit/s    streaming-video (300 ms)
gaming                 10 %   1 Mbit/s          1 Mbit/s    gaming (50 ms, jitter 20 ms)
cloud gaming           5 %    20 Mbit/s         10 Mbit/s   cloud-gaming with 50 ms and jitter 20 ms
backup                 15 %   50 Mbit/s         10 Mbit/s   bulk (none)
=====================  =====  ================  ==========  ==============================================
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np

from qos.demands import FlowDemand
from qos.errors import InputError
from topologies.files import load
from topologies.generators import waxman
from topologies.links import WiredLink
from topologies.model import Node, Topology

SIDE_M = 300_000.0
LINKS_A_NODE = 4.0
CLASSES: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("voice", 0.20, {"rate_bps": 2e6, "min_rate_bps": None, "packet_bytes": 200}),
    ("conversational-video", 0.25, {"rate_bps": 4e6, "min_rate_bps": 1.2e6}),
    ("streaming-video", 0.25, {"rate_bps": 8e6, "min_rate_bps": 4e6}),
    ("gaming", 0.10, {"rate_bps": 1e6, "min_rate_bps": None}),
    ("cloud-gaming", 0.05, {"rate_bps": 2e7, "min_rate_bps": 1e7, "delay_bound_s": 0.05, "jitter_s": 0.02}),
    ("bulk", 0.15, {"rate_bps": 5e7, "min_rate_bps": 1e7}),
)
ONE_SIZE: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("streaming-video", 1.0, {"rate_bps": 8e6, "min_rate_bps": None}),
)
"""A mix of one class: what is gained here is gained by paths alone."""


def network(nodes: int, seed: int, rates_bps: tuple[int, ...]) -> Topology:
    """Make a connected regional network.

    Parameters
    ----------
    nodes
        Number of nodes, all of them routers where demands begin and end.
    seed
        Of the places, the links and their rates.
    rates_bps
        Rates to draw from, all alike likely.
    """
    low, high = 0.005, 1.0
    for _ in range(12):
        reach = (low * high) ** 0.5
        links = len(waxman(nodes, seed, beta=reach, side_m=SIDE_M).links)
        low, high = (reach, high) if 2 * links < LINKS_A_NODE * nodes else (low, reach)
    made = waxman(nodes, seed, beta=high, side_m=SIDE_M)
    random = np.random.default_rng([seed, 1])
    wires = [link for link in made.links.values() if isinstance(link, WiredLink)]
    links = [replace(link, rate_bps=int(random.choice(rates_bps))) for link in wires]
    return Topology(made.nodes.values(), links, name=f"regional-{nodes}-{seed}")


def from_file(path: str, seed: int, rates_bps: tuple[int, ...]) -> Topology:
    """Make a regional network of a topology file, such as one of the Topology Zoo.

    Parameters
    ----------
    path
        The file; its largest connected part of wired links is used. Nodes are numbered anew.
    seed
        Of the rates, which such files seldom give.
    rates_bps
        Rates to draw from, all alike likely.
    """
    found = load(path)
    wires = [link for link in found.links.values() if isinstance(link, WiredLink)]
    graph = nx.Graph([(link.source, link.target) for link in wires])
    if graph.number_of_nodes() < 3:
        raise InputError(f"{path}: a network of wires between three or more nodes is needed")
    part = max(nx.connected_components(graph), key=lambda nodes: (len(nodes), min(nodes)))
    number = {node: str(place) for place, node in enumerate(id for id in found.nodes if id in part)}
    random = np.random.default_rng([seed, 1])
    links = [
        WiredLink(
            number[link.source],
            number[link.target],
            int(random.choice(rates_bps)),
            delay_s=link.delay_s,
        )
        for link in wires
        if link.source in part
    ]
    return Topology([Node(each, "router") for each in number.values()], links, name=found.name)


def demands(
    nodes: int, count: int, seed: int, classes: tuple[tuple[str, float, dict[str, Any]], ...] = CLASSES
) -> tuple[FlowDemand, ...]:
    """Draw demands in order of arrival; the first ones do not depend on how many are drawn."""
    random = np.random.default_rng([seed, 2])
    shares = np.cumsum([share for _, share, _ in classes])
    found = []
    for number in range(count):
        source = int(random.integers(nodes))
        destination = int((source + 1 + random.integers(nodes - 1)) % nodes)
        kind = int(np.searchsorted(shares, random.uniform(0, shares[-1])))
        profile, _, figures = classes[min(kind, len(classes) - 1)]
        ends = (str(source), str(destination))
        found.append(FlowDemand.from_profile(profile, *ends, name=f"d{number}", **figures))
    return tuple(found)
