"""Shortest paths over directed edges with any weights, from many sources at once.

Hosts pass nothing on: a host has two places in the graph, one where paths end and one where they begin.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_array

from qos.engine.network import NO_FORWARDING, Network
from schedulers.admission.problem import Floats

_LEAST_WEIGHT = 1e-15


@dataclass(frozen=True, eq=False)
class Trees:
    """Shortest paths from some sources.

    Attributes
    ----------
    row
        Row of each source, by node id.
    distance, before
        Length of the path to each place, and the place before it.
    edge_of
        The edge that was used between two places.
    """

    row: dict[str, int]
    distance: Floats
    before: NDArray[np.int32]
    edge_of: dict[tuple[int, int], int]


class PathFinder:
    """Finds paths in one network.

    Parameters
    ----------
    network
        Whose edges are used.
    """

    def __init__(self, network: Network) -> None:
        self._place = {node: number for number, node in enumerate(network.topology.nodes)}
        self._start = dict(self._place)
        places = len(self._place)
        for node in network.topology.nodes.values():
            if node.kind in NO_FORWARDING:
                self._start[node.id] = places
                places += 1
        self._places = places
        self._tail = np.array([self._start[edge.sender] for edge in network.edges], dtype=np.int64)
        self._head = np.array([self._place[edge.receiver] for edge in network.edges], dtype=np.int64)

    def trees(
        self, weights: Floats, sources: Iterable[str], usable: NDArray[np.bool_] | None = None
    ) -> Trees:
        """Find the shortest paths from sources to everywhere.

        Parameters
        ----------
        weights
            Of each edge, at least 0, shape (edges,).
        sources
            Ids of nodes.
        usable
            Which edges may be used; None: all.
        """
        kept = np.arange(len(self._tail)) if usable is None else np.flatnonzero(usable)
        cost = np.maximum(weights[kept], _LEAST_WEIGHT)
        # Of parallel edges the shortest; equal ones by number, so that the answer is always the same.
        order = np.lexsort((kept, cost, self._head[kept], self._tail[kept]))
        kept, cost = kept[order], cost[order]
        tail, head = self._tail[kept], self._head[kept]
        first = np.ones(len(kept), dtype=bool)
        first[1:] = (tail[1:] != tail[:-1]) | (head[1:] != head[:-1])
        kept, cost, tail, head = kept[first], cost[first], tail[first], head[first]
        graph = csr_array((cost, (tail, head)), shape=(self._places, self._places))
        names = list(dict.fromkeys(sources))
        starts = [self._start[name] for name in names]
        distance, before = csgraph.dijkstra(graph, indices=starts, return_predecessors=True)
        edge_of = dict(zip(zip(tail.tolist(), head.tolist(), strict=True), kept.tolist(), strict=True))
        row = {name: number for number, name in enumerate(names)}
        return Trees(row, np.atleast_2d(distance), np.atleast_2d(before), edge_of)

    def path(self, trees: Trees, source: str, destination: str) -> tuple[int, ...] | None:
        """Give the edges of a shortest path, None if there is none."""
        row, place = trees.row[source], self._place[destination]
        if not np.isfinite(trees.distance[row, place]):
            return None
        edges: list[int] = []
        while place != self._start[source]:
            before = int(trees.before[row, place])
            edges.append(trees.edge_of[before, place])
            place = before
        return tuple(reversed(edges))

    def length(self, trees: Trees, source: str, destination: str) -> float:
        """Length of a shortest path, infinite if there is none."""
        return float(trees.distance[trees.row[source], self._place[destination]])
