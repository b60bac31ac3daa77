from __future__ import annotations

import copy
import math
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import networkx as nx
import pytest

from qos.errors import ValueRefusedError
from topologies.link_tables import capabilities_of
from topologies.model import FieldError, LinkCapability, Node, QuantumLink, Topology, WiredLink, WirelessLink

AB = (Node("a"), Node("b"))


def test_links_without_an_id_are_named_after_their_ends_and_never_take_a_given_name():
    links = [WiredLink("a", "b", 1), WiredLink("a", "b", 2), WiredLink("b", "a", 3, id="a--b")]
    assert list(Topology(AB, links).links) == ["a--b#2", "a--b#3", "a--b"]


def test_a_topology_equals_another_with_the_same_content_and_is_hashable():
    one, other = (Topology(AB, [WiredLink("a", "b", 7)], name="n") for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Topology(AB, [WiredLink("a", "b", 8)], name="n")
    assert one != "n"


def test_a_topology_cannot_be_changed_from_outside():
    topology = Topology(AB, [WiredLink("a", "b", 7)])
    with pytest.raises(AttributeError, match="does not change"):
        topology.name = "other"
    with pytest.raises(AttributeError, match="does not change"):
        del topology.name
    with pytest.raises(TypeError):
        topology.nodes["c"] = Node("c")  # type: ignore[index]
    with pytest.raises(nx.NetworkXError, match="[Ff]rozen"):  # noqa: RUF043
        topology.graph.add_node("c")
    with pytest.raises(FrozenInstanceError):
        topology.nodes["a"].kind = "router"  # type: ignore[misc]


def test_a_topology_survives_pickle_and_deepcopy():
    topology = Topology(AB, [WiredLink("a", "b", 7)], name="n", description="d")
    assert pickle.loads(pickle.dumps(topology)) == topology
    assert copy.deepcopy(topology) == topology


def test_the_graph_holds_nodes_and_parallel_links():
    topology = Topology(AB, [WiredLink("a", "b", 7), QuantumLink("b", "a", 10)])
    assert topology.graph.number_of_edges("a", "b") == 2
    assert topology.graph.edges["a", "b", "b--a"]["link"].length_m == 10
    assert topology.graph.nodes["a"]["node"] == Node("a")
    assert topology.graph is topology.graph


def test_neighbours_and_links_between_know_both_directions():
    topology = Topology((*AB, Node("c")), [WiredLink("a", "b", 7), WiredLink("c", "a", 8)])
    assert topology.neighbours("a") == ("b", "c")
    assert topology.neighbours("b") == ("a",)
    assert [link.id for link in topology.links_between("a", "c")] == ["c--a"]
    assert topology.links_between("b", "c") == ()
    with pytest.raises(ValueRefusedError, match="no node 'x'"):
        topology.neighbours("x")


def test_of_kind_keeps_links_of_that_kind_and_their_ends():
    topology = Topology((*AB, Node("c")), [WiredLink("a", "b", 7), QuantumLink("b", "c", 10)])
    quantum = topology.of_kind("quantum")
    assert list(quantum.nodes) == ["b", "c"]
    assert list(quantum.links) == ["b--c"]
    with pytest.raises(ValueRefusedError, match="wired, wireless, quantum"):
        topology.of_kind("magic")


def test_the_rate_of_a_wired_link_depends_on_the_direction():
    link = WiredLink("a", "b", 100, reverse_rate_bps=10)
    assert (link.rate_from("a"), link.rate_from("b")) == (100, 10)
    assert WiredLink("a", "b", 100).rate_from("b") == 100
    with pytest.raises(ValueRefusedError, match="not an end"):
        link.rate_from("c")


@pytest.mark.parametrize(
    ("nodes", "links", "message"),
    [
        ([Node("a"), Node("a")], [], "'a' occurs twice"),
        (AB, [WiredLink("a", "c", 1)], "'c', which does not exist"),
        (AB, [WiredLink("a", "b", 1, id="x"), WiredLink("a", "b", 1, id="x")], "'x' occurs twice"),
    ],
)
def test_contradictions_between_nodes_and_links_are_refused(nodes: Any, links: Any, message: str):
    with pytest.raises(ValueRefusedError, match=message):
        Topology(nodes, links)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Node(""), "id"),
        (lambda: Node(7), "id"),
        (lambda: Node(" a"), "id"),
        (lambda: Node("a\nb"), "id"),
        (lambda: Node("a" * 2000), "id"),
        (lambda: Node("a", "toaster"), "kind"),
        (lambda: Node("a", latitude=91.0, longitude=0.0), "latitude"),
        (lambda: Node("a", latitude=math.nan, longitude=0.0), "latitude"),
        (lambda: Node("a", latitude=1.0), "longitude"),
        (lambda: Node("a", communication_qubits=-1), "communication_qubits"),
        (lambda: Node("a", storage_qubits=1.5), "storage_qubits"),
        (lambda: Node("a", interfaces=("eth 0",)), "interfaces"),
        (lambda: WiredLink("a", "a", 1), "target"),
        (lambda: WiredLink("a", "b", 0), "rate_bps"),
        (lambda: WiredLink("a", "b", True), "rate_bps"),
        (lambda: WiredLink("a", "b", 10**16), "rate_bps"),
        (lambda: WiredLink("a", "b", 1, reverse_rate_bps=-1), "reverse_rate_bps"),
        (lambda: WiredLink("a", "b", 1, delay_s=-0.1), "delay_s"),
        (lambda: WiredLink("a", "b", 1, delay_s=math.inf), "delay_s"),
        (lambda: WiredLink("a", "b", 1, delay_s=10**400), "delay_s"),
        (lambda: WiredLink("a", "b", 1, delay_s="1"), "delay_s"),
        (lambda: WiredLink("a", "b", 1, loss_probability=1.1), "loss_probability"),
        (lambda: WirelessLink("a", "b", 0, 1e9, snr_db=1), "bandwidth_hz"),
        (lambda: WirelessLink("a", "b", 1e6, -1, snr_db=1), "frequency_hz"),
        (lambda: WirelessLink("a", "b", 1e6, 1e9), "snr_db"),
        (lambda: WirelessLink("a", "b", 1e6, 1e9, snr_db=math.nan), "snr_db"),
        (lambda: WirelessLink("a", "b", 1e6, 1e9, snr_db=1, doppler_hz=-1), "doppler_hz"),
        (lambda: WirelessLink("a", "b", 1e6, 1e9, snr_db=1, nakagami_m=0.4), "nakagami_m"),
        (lambda: QuantumLink("a", "b", -1), "length_m"),
        (lambda: QuantumLink("a", "b", 1, capabilities=((0.9, 1),)), "capabilities"),
        (lambda: LinkCapability(0.0, 1), "fidelity"),
        (lambda: LinkCapability(1.1, 1), "fidelity"),
        (lambda: LinkCapability(0.9, 0), "rate_per_s"),
    ],
)
def test_values_out_of_range_are_refused_by_name(make: Any, field: str):
    with pytest.raises(FieldError) as refused:
        make()
    assert refused.value.field == field
    assert field in str(refused.value)


def test_a_quantum_link_takes_the_next_longer_column_of_its_table():
    points = capabilities_of(QuantumLink("a", "b", 5000, table="nv-delft-2019"))
    assert len(points) == 10
    assert points[0] == LinkCapability(0.8770831028, 14.158333)
    longer = capabilities_of(QuantumLink("a", "b", 5001, table="nv-delft-2019"))
    assert longer[0].rate_per_s == 7.787097
    own = LinkCapability(0.9, 1)
    assert capabilities_of(QuantumLink("a", "b", 1, capabilities=(own,), table="nv-delft-2019")) == (own,)


@pytest.mark.parametrize(("length_m", "table"), [(50_001, "nv-delft-2019"), (1, "nowhere")])
def test_a_length_or_table_that_is_not_tabulated_is_refused(length_m: float, table: str):
    with pytest.raises(ValueRefusedError, match="table"):
        capabilities_of(QuantumLink("a", "b", length_m, table=table))
