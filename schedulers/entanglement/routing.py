"""Candidate paths of a demand: the shortest ones by fibre length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from qos.errors import InfeasibleError, ValueRefusedError
from schedulers.entanglement.links import LinkHardware, working_points
from schedulers.entanglement.protocol import Chain
from topologies.links import LinkCapability, QuantumLink
from topologies.model import Topology

if TYPE_CHECKING:
    import networkx as nx

Edge = tuple[float, tuple[LinkCapability, ...]]
"""Length in metres and working points between two neighbours."""


@dataclass(frozen=True)
class Route:
    """A path and what the protocol search needs to know of it.

    Attributes
    ----------
    nodes
        Node ids from source to destination.
    length_m
        Sum of the fibre lengths.
    chain
        Working points of the links and qubits of the nodes.
    """

    nodes: tuple[str, ...]
    length_m: float
    chain: Chain


class QuantumNetwork:
    """The quantum part of a topology, ready for routing.

    Between two neighbours with parallel links the working points of all are offered, at the length
    of the shortest.

    Parameters
    ----------
    topology
        Other links than quantum ones are ignored.
    hardware
        For quantum links without working points of their own.

    Raises
    ------
    ValueRefusedError
        If a link's table cannot be used.
    """

    def __init__(self, topology: Topology, hardware: LinkHardware | None = None) -> None:
        self.topology = topology
        self.qubits = {
            node.id: (node.communication_qubits, node.storage_qubits) for node in topology.nodes.values()
        }
        self._edges: dict[tuple[str, str], Edge] = {}
        for link in topology.links.values():
            if isinstance(link, QuantumLink):
                self._add(link, working_points(link, hardware))
        self._graph: nx.Graph[str] | None = None

    @property
    def end_nodes(self) -> tuple[str, ...]:
        """Ids of the nodes of kind ``quantum-end``, in order."""
        return tuple(node.id for node in self.topology.nodes.values() if node.kind == "quantum-end")

    def _add(self, link: QuantumLink, points: tuple[LinkCapability, ...]) -> None:
        for ends in ((link.source, link.target), (link.target, link.source)):
            length_m, known = self._edges.get(ends, (link.length_m, ()))
            self._edges[ends] = (min(length_m, link.length_m), known + points)

    def _as_graph(self) -> nx.Graph[str]:
        if self._graph is None:
            import networkx

            self._graph = networkx.Graph()
            for (one, other), (length_m, points) in self._edges.items():
                if points:
                    self._graph.add_edge(one, other, length_m=length_m)
        return self._graph

    def check_ends(self, source: str, destination: str) -> None:
        """Refuse unknown nodes and a demand of a node with itself.

        Raises
        ------
        ValueRefusedError
            With the node's id.
        """
        for role, node in (("source", source), ("destination", destination)):
            if node not in self.topology.nodes:
                known = ", ".join(list(self.topology.nodes)[:8])
                more = ", ..." if len(self.topology.nodes) > 8 else ""
                raise ValueRefusedError(
                    f"{role} {node!r}: topology {self.topology.name!r} has no such node; it has {known}{more}"
                )
        if source == destination:
            raise ValueRefusedError(f"source and destination are both {source!r}; name two different nodes")

    def routes(self, source: str, destination: str, most: int = 1) -> tuple[Route, ...]:
        """Give the shortest loopless paths, shortest first; equal lengths in order of hops, then of ids.

        Parameters
        ----------
        source, destination
            Two different nodes.
        most
            How many paths at most, at least 1.

        Raises
        ------
        ValueRefusedError
            As `check_ends`.
        InfeasibleError
            If quantum links do not join the two.
        """
        self.check_ends(source, destination)
        found = list(islice(self._paths(source, destination), most))
        if not found:
            raise InfeasibleError(
                f"no path of quantum links with working points joins {source!r} and {destination!r} "
                f"in topology {self.topology.name!r}; `qos topology show` lists its links"
            )
        return tuple(self._route(path) for path in found)

    def _paths(self, source: str, destination: str) -> Iterator[list[str]]:
        import networkx

        graph = self._as_graph()
        if source not in graph or destination not in graph:
            return
        if not networkx.has_path(graph, source, destination):
            return
        yield from networkx.shortest_simple_paths(graph, source, destination, weight="length_m")

    def _route(self, path: list[str]) -> Route:
        edges = [self._edges[pair] for pair in pairwise(path)]
        chain = Chain(
            tuple(points for _, points in edges),
            tuple(self.qubits[node][0] for node in path),
            tuple(self.qubits[node][1] for node in path),
        )
        return Route(tuple(path), sum(length for length, _ in edges), chain)
