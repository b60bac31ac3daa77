"""Nodes, links and the topology that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from qos.errors import ValueRefusedError
from topologies.checks import FieldError, check_text
from topologies.links import LINK_TYPES, Link, LinkCapability, QuantumLink, WiredLink, WirelessLink
from topologies.nodes import NODE_KINDS, Node
from topologies.quantum_control import QuantumControl

if TYPE_CHECKING:
    import networkx as nx


class Topology:
    """An immutable network: nodes by id, links by id, in the order given.

    Links are undirected and parallel links are allowed. A link without an id gets one from its
    ends: ``a--b``, then ``a--b#2``.

    Parameters
    ----------
    nodes
        The nodes; ids must be unique.
    links
        The links; their ends must be among the nodes, their ids unique.
    name, description
        Words for people.
    quantum
        How the quantum part is told what to do, or None where nothing is known of it.

    Raises
    ------
    ValueRefusedError
        If an id occurs twice, or a link ends or the controller is at an unknown node.
    """

    __slots__ = ("_adjacent", "_graph", "_links", "_nodes", "description", "name", "quantum")

    name: str
    description: str
    quantum: QuantumControl | None

    def __init__(
        self,
        nodes: Iterable[Node],
        links: Iterable[Link] = (),
        *,
        name: str = "",
        description: str = "",
        quantum: QuantumControl | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "name", name)
        put(self, "description", description)
        put(self, "quantum", quantum)
        check_text(self, "name")
        check_text(self, "description", limit=10_000)
        by_id: dict[str, Node] = {}
        for node in nodes:
            if node.id in by_id:
                raise ValueRefusedError(f"node id {node.id!r} occurs twice")
            by_id[node.id] = node
        if quantum is not None and quantum.controller not in by_id:
            raise ValueRefusedError(f"quantum: the controller {quantum.controller!r} is no node")
        put(self, "_nodes", by_id)
        put(self, "_links", _index_links(links, by_id))
        adjacent: dict[str, dict[str, list[Link]]] = {node_id: {} for node_id in by_id}
        for link in self._links.values():
            adjacent[link.source].setdefault(link.target, []).append(link)
            adjacent[link.target].setdefault(link.source, []).append(link)
        put(self, "_adjacent", adjacent)
        put(self, "_graph", None)

    # The types of the slots that `object.__setattr__` fills.
    if TYPE_CHECKING:
        _nodes: dict[str, Node]
        _links: dict[str, Link]
        _adjacent: dict[str, dict[str, list[Link]]]
        _graph: nx.MultiGraph[str] | None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Topology does not change; make a new one instead of setting {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Topology does not change; {name!r} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by content."""
        items = (tuple(self._nodes.values()), tuple(self._links.values()))
        return _remake, (*items, self.name, self.description, self.quantum)

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes by id, in order; read-only."""
        return MappingProxyType(self._nodes)

    @property
    def links(self) -> Mapping[str, Link]:
        """The links by id, in order; read-only."""
        return MappingProxyType(self._links)

    @property
    def graph(self) -> nx.MultiGraph[str]:
        """A frozen networkx MultiGraph: nodes carry ``node``, edges (keyed by link id) ``link``."""
        if self._graph is None:
            import networkx

            graph: nx.MultiGraph[str] = networkx.MultiGraph(name=self.name)
            for node in self._nodes.values():
                graph.add_node(node.id, node=node)
            for link in self._links.values():
                graph.add_edge(link.source, link.target, key=link.id, link=link)
            object.__setattr__(self, "_graph", networkx.freeze(graph))
        assert self._graph is not None
        return self._graph

    def neighbours(self, node_id: str) -> tuple[str, ...]:
        """Name the nodes that a link joins to `node_id`, in the order of the links.

        Raises
        ------
        ValueRefusedError
            If there is no such node.
        """
        return tuple(self._around(node_id))

    def links_between(self, one: str, other: str) -> tuple[Link, ...]:
        """Give the (possibly parallel) links between two nodes.

        Raises
        ------
        ValueRefusedError
            If there is no node `one`.
        """
        return tuple(self._around(one).get(other, ()))

    def _around(self, node_id: str) -> dict[str, list[Link]]:
        if node_id not in self._adjacent:
            raise ValueRefusedError(f"the topology {self.name!r} has no node {node_id!r}")
        return self._adjacent[node_id]

    def of_kind(self, *kinds: str) -> Topology:
        """Keep the links of some kinds, and the nodes at their ends.

        Parameters
        ----------
        kinds
            Among ``wired``, ``wireless`` and ``quantum``.

        Raises
        ------
        ValueRefusedError
            If a kind is unknown.
        """
        for kind in kinds:
            if kind not in LINK_TYPES:
                raise ValueRefusedError(f"link kind {kind!r} is unknown; use {', '.join(LINK_TYPES)}")
        links = [link for link in self._links.values() if link.kind in kinds]
        kept = {link.source for link in links} | {link.target for link in links}
        nodes = [node for node in self._nodes.values() if node.id in kept]
        control = self.quantum if self.quantum is not None and self.quantum.controller in kept else None
        return Topology(nodes, links, name=self.name, description=self.description, quantum=control)

    def __eq__(self, other: object) -> bool:
        """Equal: the same name, description, control, and the same nodes and links in any order."""
        if not isinstance(other, Topology):
            return NotImplemented
        mine = (self.name, self.description, self.quantum, self._nodes, self._links)
        return mine == (other.name, other.description, other.quantum, other._nodes, other._links)

    def __hash__(self) -> int:
        return hash((self.name, frozenset(self._nodes), frozenset(self._links)))

    def __repr__(self) -> str:
        return f"Topology({self.name!r}, {len(self._nodes)} nodes, {len(self._links)} links)"


def _remake(
    nodes: tuple[Node, ...],
    links: tuple[Link, ...],
    name: str,
    description: str,
    quantum: QuantumControl | None,
) -> Topology:
    return Topology(nodes, links, name=name, description=description, quantum=quantum)


def _index_links(links: Iterable[Link], nodes: Mapping[str, Node]) -> dict[str, Link]:
    """Index by id; the nameless are named last, so that they never take a name that was given."""
    ordered = list(links)
    taken: set[str] = set()
    for link in ordered:
        for end in (link.source, link.target):
            if end not in nodes:
                raise ValueRefusedError(
                    f"link {link.id or f'{link.source}--{link.target}'!r} ends at "
                    f"node {end!r}, which does not exist"
                )
        if link.id and link.id in taken:
            raise ValueRefusedError(f"link id {link.id!r} occurs twice")
        taken.add(link.id)
    counts: dict[str, int] = {}
    named: dict[str, Link] = {}
    for link in ordered:
        kept = link if link.id else replace(link, id=_fresh_id(link, taken, counts))
        named[kept.id] = kept
    return named


def _fresh_id(link: Link, taken: set[str], counts: dict[str, int]) -> str:
    stem = f"{link.source}--{link.target}"
    while True:
        counts[stem] = counts.get(stem, 0) + 1
        name = stem if counts[stem] == 1 else f"{stem}#{counts[stem]}"
        if name not in taken:
            taken.add(name)
            return name


__all__ = [
    "NODE_KINDS",
    "FieldError",
    "Link",
    "LinkCapability",
    "Node",
    "QuantumControl",
    "QuantumLink",
    "Topology",
    "WiredLink",
    "WirelessLink",
]
