"""Scenarios: what is read, and that every problem of a file is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from qos.demands import EntanglementDemand, FlowDemand
from qos.errors import InputError, ValueRefusedError
from qos.planning import Scenario, topology_digest
from qos.scenarios import ScenarioError, load, scenario
from topologies import generators
from topologies.files import load as load_topology
from topologies.model import Topology

NETWORK = """
schema: 1
name: pair
nodes: [{id: a}, {id: b}, {id: c, kind: router}]
links:
- {kind: wired, ends: [a, c], rate: 10mbit, delay: 1ms}
- {kind: wired, ends: [c, b], rate: 10mbit, delay: 1ms}
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_campus_asks_for_packets_and_for_pairs() -> None:
    campus = load("campus")
    assert "alice-call" in {flow.name for flow in campus.flows}
    assert {one.demand.source for one in campus.entanglement} <= {"q-alice", "q-bob", "q-carol"}
    assert campus.topology.quantum is not None
    assert campus.topology.quantum.guard_time_s == pytest.approx(0.002)


def test_a_second_file_takes_the_place_of_the_section(tmp_path: Path) -> None:
    network = written(tmp_path / "net.yaml", NETWORK + "demands: [{profile: voice, ends: [a, b]}]\n")
    other = written(tmp_path / "d.yaml", "- {ends: [b, a], rate: 1mbit, delay: 20ms}\n")
    (flow,) = load(network, other).flows
    assert (flow.source, flow.rate_bps, flow.delay_bound_s, flow.name) == ("b", 1_000_000, 0.02, "b-a")


def test_every_problem_is_told_at_once_with_file_and_key(tmp_path: Path) -> None:
    network = written(
        tmp_path / "net.yaml",
        NETWORK.replace("rate: 10mbit", "rate: fast", 1)
        + "demands:\n- {profile: voise, ends: [a, b]}\n- {ends: [a, b]}\n- {ends: [a, b], min_fidelity: 2}\n",
    )
    with pytest.raises(ScenarioError) as caught:
        load(network)
    text = str(caught.value)
    for part in (
        "links[0].rate",
        "demands[0].profile: profile 'voise'",
        "demands[1]: rate is missing",
        "demands[2]",
    ):
        assert part in text
    assert text.count("net.yaml") >= 4


@pytest.mark.parametrize(
    ("demands", "problem"),
    [
        ("demands: 3", "demands: expected a list"),
        ("demands: [3]", "demands[0]: expected an object"),
        ("demands: [{kind: fluid, ends: [a, b]}]", "demands[0].kind: expected flow or entanglement"),
        ("demands: [{profile: voice, ends: [a, z]}]", "demands[0].destination: there is no node 'z'"),
        ("demands: [{profile: voice, ends: [a, a]}]", "demands[0]: destination must be another node"),
        ("demands: [{profile: voice, ends: [a, b], rat: 1}]", "demands[0].rat: unknown key 'rat'"),
        ("demands: [{name: x, profile: voice, ends: [a, b]}, {name: x, profile: voice, ends: [a, b]}]",
         "demands[1].name: 'x' is there already as demands[0]"),
        ("quantum: {guard_time: 0s, controller: a}", "quantum.guard_time: expected a finite number more"),
        ("quantum: {guard_time: 1ms, controller: z}", "quantum.controller: expected the id of a node"),
        ("quantum: {guard: 1ms}", "quantum.guard: unknown key"),
    ],
)  # fmt: skip
def test_a_wrong_section_is_refused(tmp_path: Path, demands: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        load(written(tmp_path / "net.yaml", NETWORK + demands + "\n"))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("demand: []", "demand: unknown key"),
        ("schema: 1", "demands: this key is required"),
        ("7", "expected a list of demands"),
        ("[", "expected YAML"),
    ],
)
def test_a_wrong_second_file_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    network = written(tmp_path / "net.yaml", NETWORK)
    with pytest.raises(InputError) as caught:
        load(network, written(tmp_path / "d.yaml", text))
    assert "d.yaml" in str(caught.value)
    assert problem in str(caught.value)


def test_a_demand_for_pairs_is_judged_number_by_number(tmp_path: Path) -> None:
    asked = "demands: [{ends: [a, b], rate_ebit_per_s: -1, min_fidelity: 2, probability: 3, pairs: 0}]\n"
    with pytest.raises(ScenarioError) as caught:
        load(written(tmp_path / "net.yaml", NETWORK + asked))
    for key in ("rate_ebit_per_s", "min_fidelity", "probability", "pairs"):
        assert f"demands[0].{key}: " in str(caught.value)


def test_pairs_are_wanted_with_a_probability_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    asked = "- {ends: [a, b], rate_ebit_per_s: 1, min_fidelity: 0.7}\n"
    certain = asked.replace("}", ", probability: null}")
    network = written(tmp_path / "net.yaml", NETWORK)
    made = load(network, written(tmp_path / "d.yaml", asked + certain))
    assert [one.demand.probability for one in made.entanglement] == [0.9, None]


def test_demands_are_drawn_by_a_seed() -> None:
    first, again, other = (load("campus", "random:12", seed=seed).flows for seed in (3, 3, 4))
    assert len(first) == 12
    assert first == again
    assert first != other
    assert sum(flow.rate_bps for flow in load("campus", "gravity:1gbit").flows) == pytest.approx(1e9)


@pytest.mark.parametrize(
    "text", ["random:many", "random:0", "random:" + 5000 * "9", "random:-1", "gravity:much"]
)
def test_a_generator_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        load("campus", text)


def test_nameless_demands_get_names_and_double_names_are_refused() -> None:
    network = generators.line(3)
    made = scenario(network, [FlowDemand("0", "2", 1e6), FlowDemand("0", "2", 2e6)])
    assert [flow.name for flow in made.flows] == ["0-2", "0-2#2"]
    named = scenario(load_topology("star"), [EntanglementDemand("0", "1", 1.0, 0.7)])
    assert named.entanglement[0].name == "0-1"
    with pytest.raises(ValueRefusedError, match="given to two demands"):
        scenario(network, [FlowDemand("0", "2", 1e6, name="x"), FlowDemand("2", "0", 1e6, name="x")])
    with pytest.raises(ValueRefusedError, match="needs a name"):
        Scenario(network, (FlowDemand("0", "2", 1e6),))


def test_the_digest_tells_topologies_apart_and_not_their_files() -> None:
    one = generators.line(3)
    reordered = Topology(reversed(one.nodes.values()), reversed(one.links.values()), name=one.name)
    assert topology_digest(one) == topology_digest(reordered)
    assert topology_digest(one) != topology_digest(generators.line(4))
