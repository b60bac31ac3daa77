from __future__ import annotations

import networkx as nx
import pytest

from qos.errors import InputError
from topologies import generators
from topologies.files import library_names, load
from topologies.link_tables import capabilities_of
from topologies.model import LinkCapability, QuantumLink, Topology


def shape(topology: Topology) -> tuple[object, object]:
    return dict(topology.nodes), dict(topology.links)


def test_the_library_has_what_the_documentation_names():
    assert library_names() == [
        "campus",
        "dumbbell",
        "h",
        "line",
        "star",
        "surfnet",
        "symmetric",
        "wireless-cell",
    ]


@pytest.mark.parametrize("name", library_names())
def test_every_library_topology_is_named_described_and_loads(name: str):
    topology = load(name)
    assert topology.name == name
    assert topology.description
    for link in topology.links.values():
        if isinstance(link, QuantumLink):
            assert capabilities_of(link)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("star", generators.star(3, generators.QUANTUM)),
        ("h", generators.h()),
        ("line", generators.line(6, generators.QUANTUM)),
        ("symmetric", generators.symmetric(4)),
        ("dumbbell", generators.dumbbell(4)),
    ],
)
def test_the_shapes_of_the_library_are_those_of_the_generators(name: str, made: Topology):
    assert shape(load(name)) == shape(made)


def test_the_star_has_its_repeater_as_node_3():
    star = load("star")
    assert star.neighbours("3") == ("0", "1", "2")
    assert [star.nodes[i].kind for i in "0123"] == ["quantum-end"] * 3 + ["quantum-repeater"]
    assert {(node.communication_qubits, node.storage_qubits) for node in star.nodes.values()} == {(1, 3)}


def test_surfnet_has_the_published_size_diameter_and_links():
    surfnet = load("surfnet")
    assert (len(surfnet.nodes), len(surfnet.links)) == (108, 118)
    assert nx.diameter(surfnet.graph) == 14
    for number in range(108):
        assert surfnet.nodes[str(number)].kind == ("quantum-end" if number % 2 else "quantum-repeater")
        if number % 2:
            assert surfnet.neighbours(str(number)) == (str(number - 1),)
    points = {link.capabilities for link in surfnet.links.values() if isinstance(link, QuantumLink)}
    assert points == {(LinkCapability(0.999, 1400.0),)}


def test_the_campus_has_all_three_kinds_of_link():
    campus = load("campus")
    assert {link.kind for link in campus.links.values()} == {"wired", "wireless", "quantum"}
    assert all(node.latitude is not None for node in campus.nodes.values())


@pytest.mark.parametrize(
    ("name", "hint"), [("surfnte", "did you mean surfnet"), ("zzzz", "there is campus, ")]
)
def test_an_unknown_name_is_answered_with_the_nearest_names(name: str, hint: str):
    with pytest.raises(InputError, match=hint):
        load(name)
