"""Candidate paths."""

from __future__ import annotations

import networkx as nx
import pytest

from qos.errors import InfeasibleError, ValueRefusedError
from schedulers.entanglement.routing import QuantumNetwork
from topologies.files import library_names, load
from topologies.links import LinkCapability, QuantumLink, WiredLink
from topologies.model import Topology
from topologies.nodes import Node

POINT = (LinkCapability(0.9, 10.0),)


def ring() -> Topology:
    nodes = [Node(name, "quantum-end", communication_qubits=1, storage_qubits=2) for name in "abcd"]
    lengths = {"ab": 1000.0, "bc": 1000.0, "cd": 5000.0, "da": 1000.0}
    links = [QuantumLink(*ends, length, capabilities=POINT) for ends, length in lengths.items()]
    return Topology(nodes, [*links, WiredLink("a", "c", 1000)], name="ring")


def test_paths_come_by_length_and_wires_do_not_count() -> None:
    routes = QuantumNetwork(ring()).routes("a", "c", most=5)
    assert [(route.nodes, route.length_m) for route in routes] == [
        (("a", "b", "c"), 2000.0),
        (("a", "d", "c"), 6000.0),
    ]
    assert routes[0].chain.capabilities == (POINT, POINT)
    assert routes[0].chain.storage_qubits == (2, 2, 2)


@pytest.mark.parametrize("name", ["star", "h", "line", "symmetric", "surfnet"])
def test_the_first_path_is_a_shortest_one(name: str) -> None:
    topology = load(name)
    network = QuantumNetwork(topology)
    source, *others = network.end_nodes
    for other in others:
        (route,) = network.routes(source, other)
        expected = nx.dijkstra_path_length(nx.Graph(topology.graph), source, other, weight=lambda *_: 5000.0)
        assert route.length_m == pytest.approx(expected)


def test_parallel_links_offer_all_their_working_points() -> None:
    nodes = [Node(name, communication_qubits=1) for name in "ab"]
    other = (LinkCapability(0.8, 20.0),)
    links = [QuantumLink("a", "b", 2e3, capabilities=POINT), QuantumLink("b", "a", 1e3, capabilities=other)]
    (route,) = QuantumNetwork(Topology(nodes, links)).routes("b", "a")
    assert route.chain.capabilities == (POINT + other,)
    assert route.length_m == 1e3


@pytest.mark.parametrize(
    ("ends", "kind", "complaint"),
    [
        (("a", "z"), ValueRefusedError, "destination 'z'.*no such node"),
        (("a", "a"), ValueRefusedError, "both 'a'"),
    ],
)
def test_wrong_ends_are_refused(ends: tuple[str, str], kind: type[Exception], complaint: str) -> None:
    with pytest.raises(kind, match=complaint):
        QuantumNetwork(ring()).routes(*ends)


def test_a_classical_network_has_no_quantum_paths() -> None:
    assert "dumbbell" in library_names()
    topology = load("dumbbell")
    one, other, *_ = topology.nodes
    with pytest.raises(InfeasibleError, match="no path of quantum links"):
        QuantumNetwork(topology).routes(one, other)
