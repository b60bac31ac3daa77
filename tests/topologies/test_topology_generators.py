from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import pytest

from qos.errors import ValueRefusedError
from topologies import generators
from topologies.generators import QUANTUM
from topologies.model import Topology, WiredLink


@pytest.mark.parametrize(
    ("topology", "nodes", "links"),
    [
        (generators.star(5), 6, 5),
        (generators.line(7), 7, 6),
        (generators.ring(7), 7, 7),
        (generators.grid(3, 4), 12, 17),
        (generators.h(), 6, 5),
        (generators.symmetric(4), 8, 10),
        (generators.dumbbell(3), 8, 7),
        (generators.fat_tree(4), 36, 48),
        (generators.fat_tree(2), 7, 6),
    ],
)
def test_each_shape_is_connected_and_has_the_expected_size(topology: Topology, nodes: int, links: int):
    assert (len(topology.nodes), len(topology.links)) == (nodes, links)
    assert nx.is_connected(topology.graph)


def test_the_fat_tree_gives_every_switch_its_number_of_ports():
    topology = generators.fat_tree(6)
    assert {len(topology.neighbours(n.id)) for n in topology.nodes.values() if n.kind == "switch"} == {6}
    assert sum(node.kind == "host" for node in topology.nodes.values()) == 6**3 // 4


def test_the_dumbbell_has_one_bottleneck():
    topology = generators.dumbbell(2, bottleneck_bps=5_000_000, bottleneck_delay_s=0.01)
    slow = [
        link for link in topology.links.values() if isinstance(link, WiredLink) and link.rate_bps == 5_000_000
    ]
    assert [(link.id, link.delay_s) for link in slow] == [("left--right", 0.01)]


def test_parts_decide_what_is_repeated():
    topology = generators.ring(4, QUANTUM)
    assert {node.kind for node in topology.nodes.values()} == {"quantum-repeater"}
    assert {link.kind for link in topology.links.values()} == {"quantum"}


@pytest.mark.parametrize("seed", range(5))
def test_waxman_is_connected_and_the_same_for_the_same_seed(seed: int):
    one = generators.waxman(40, seed, alpha=0.2, beta=0.1)
    assert one == generators.waxman(40, seed, alpha=0.2, beta=0.1)
    assert nx.is_connected(one.graph)
    assert one != generators.waxman(40, seed + 1, alpha=0.2, beta=0.1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: generators.star(0),
        lambda: generators.line(1),
        lambda: generators.ring(2),
        lambda: generators.grid(0, 3),
        lambda: generators.symmetric(1),
        lambda: generators.dumbbell(0),
        lambda: generators.fat_tree(3),
        lambda: generators.fat_tree(64),
        lambda: generators.waxman(1, 0),
        lambda: generators.waxman(5, -1),
        lambda: generators.waxman(5, 0, alpha=float("nan")),
        lambda: generators.waxman(5, 0, beta=0.0),
        lambda: generators.line(True),
    ],
)
def test_sizes_that_make_no_network_are_refused(make: Callable[[], Topology]):
    with pytest.raises(ValueRefusedError, match="must be"):
        make()
