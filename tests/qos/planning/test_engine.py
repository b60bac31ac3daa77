"""The engine: what is admitted, what is promised, and that the plan keeps it by an independent account."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

import qos
from qos.demands import EntanglementDemand, FlowDemand
from qos.engine import plan, replan
from qos.engine.explain import apply_change
from qos.plan_changes import diff
from qos.plan_check import violations
from qos.plan_files import plan_from_json
from qos.plan_simulation import PlayOptions, simulate_plan
from qos.planning import Plan, PlanOptions, Scenario
from qos.scenarios import load, scenario
from topologies.files import load as load_topology
from topologies.links import WiredLink
from topologies.model import Node, Topology


@pytest.fixture(scope="module")
def campus() -> Plan:
    return plan(load("campus"))


def diamond(rate_bps: int = 10_000_000, slow_s: float = 0.005) -> Topology:
    """Two ways from a to b: a fast one over c, a slow one over d."""
    nodes = [Node("a"), Node("b"), Node("c", "router"), Node("d", "router")]
    links = [
        WiredLink(end, middle, rate_bps, delay_s=delay_s)
        for middle, delay_s in (("c", 0.001), ("d", slow_s))
        for end in "ab"
    ]
    return Topology(nodes, links, name="diamond")


def test_the_campus_is_planned_as_its_documentation_says(campus: Plan) -> None:
    assert campus.flows["alice-call"].path[0] == "laptop"
    assert campus.flows["alice-call"].delay_predicted_s < 0.1
    assert {one.name for one in campus.rejected} == {"seminar", "goggles", "state-alice-carol"}
    assert set(campus.entanglement) == {"key-alice-bob", "key-bob-carol"}
    assert all(one.smallest_change is not None for one in campus.rejected)
    assert plan_from_json(campus.to_json()) == campus


def test_the_package_offers_the_engine_by_its_names(campus: Plan) -> None:
    assert qos.plan is plan
    assert qos.load("campus").digest == campus.scenario.digest
    assert {"plan", "load", "replan"} <= set(dir(qos))
    with pytest.raises(AttributeError, match="no attribute 'plans'"):
        _ = qos.plans


def test_the_same_seed_gives_the_same_plan(campus: Plan) -> None:
    assert plan(load("campus")) == campus


def test_two_streams_that_do_not_fit_one_path_take_two() -> None:
    wanted = [FlowDemand("a", "b", 6e6, delay_bound_s=0.1, name=name) for name in ("x", "y")]
    found = plan(scenario(diamond(), wanted))
    assert {found.flows[name].path[1] for name in "xy"} == {"c", "d"}
    assert found.search.status == "optimal"


def test_a_tight_delay_bound_gets_the_fast_path_and_the_patient_one_moves() -> None:
    tight = FlowDemand("a", "b", 6e6, delay_bound_s=0.03, name="tight")
    patient = FlowDemand("a", "b", 6e6, name="patient")
    found = plan(scenario(diamond(slow_s=0.02), [patient, tight]))
    assert found.flows["tight"].path == ("a", "c", "b")
    assert found.flows["patient"].path == ("a", "d", "b")
    assert "moved off its fastest path" in found.flows["patient"].reason


def test_hosts_do_not_forward() -> None:
    nodes = [Node("a"), Node("h"), Node("b")]
    links = [WiredLink("a", "h", 10**7), WiredLink("h", "b", 10**7)]
    found = plan(scenario(Topology(nodes, links), [FlowDemand("a", "b", 1e6)]))
    (rejected,) = found.rejected
    assert "there is no path" in rejected.reason
    assert rejected.smallest_change is None


def test_an_elastic_demand_gets_its_fair_part_of_what_is_left() -> None:
    fixed = FlowDemand("a", "b", 4e6, name="fixed")
    greedy = [FlowDemand("a", "b", 1e9, min_rate_bps=1e5, name=name) for name in ("g1", "g2", "g3")]
    found = plan(scenario(diamond(), [fixed, *greedy]))
    assert found.flows["fixed"].rate_bps == 4e6
    total = sum(flow.rate_bps for flow in found.flows.values())
    assert total * 1514 / 1500 == pytest.approx(0.9 * 2e7, rel=1e-6)


def test_headers_of_small_packets_count_on_wires() -> None:
    small = FlowDemand("a", "b", 1e9, min_rate_bps=1e5, packet_bytes=70, name="small")
    found = plan(scenario(diamond(), [small]))
    assert found.flows["small"].rate_bps * 84 / 70 == pytest.approx(0.9 * 1e7, rel=1e-6)


def test_a_slow_direction_keeps_room_for_the_acknowledgements_of_the_fast_one() -> None:
    nodes = [Node("a"), Node("b")]
    shares = []
    for reverse_bps in (10_000_000, 100_000_000, 1_000_000_000):
        wire = WiredLink("a", "b", 10_000_000, reverse_rate_bps=reverse_bps)
        bulk = FlowDemand("a", "b", 1e9, min_rate_bps=1e5, name="bulk")
        link = plan(scenario(Topology(nodes, [wire]), [bulk])).links[0]
        shares.append(link.usable_bps / link.rate_bps)
    assert shares == pytest.approx([0.9, 0.9 - 9 * 66 / 3028, 0.45])


def test_a_profile_gets_one_of_its_rates() -> None:
    film = FlowDemand.from_profile("streaming-video", "a", "b", name="film")
    found = plan(scenario(diamond(), [film]))
    assert found.flows["film"].rate_bps == 8e6


@pytest.mark.parametrize(
    ("demand", "reason", "field"),
    [
        (FlowDemand("a", "b", 2e7, name="x"), "left of the usable 90%", "rate_bps"),
        (FlowDemand("a", "b", 1e6, delay_bound_s=0.002, name="x"), "without any waiting", "delay_bound_s"),
        (FlowDemand("a", "b", 1e6, jitter_s=1e-5, name="x"), "the queues on the path", "jitter_s"),
    ],
)
def test_a_refusal_has_its_figure_and_a_change_that_admits(
    demand: FlowDemand, reason: str, field: str
) -> None:
    asked = scenario(diamond(), [demand])
    found = plan(asked)
    (rejected,) = found.rejected
    assert reason in rejected.reason
    assert rejected.smallest_change is not None
    assert rejected.smallest_change.field == field
    changed = replace(asked, flows=(apply_change(demand, rejected.smallest_change),))
    assert set(plan(changed).flows) == {"x"}


def test_priorities_count_and_can_be_left_out() -> None:
    urgent = FlowDemand("a", "c", 8e6, priority=0, name="urgent")
    small = [FlowDemand("a", "c", 4e6, priority=7, name=name) for name in ("s1", "s2")]
    network = Topology([Node("a"), Node("c")], [WiredLink("a", "c", 10**7)])
    assert set(plan(scenario(network, [urgent, *small])).flows) == {"urgent"}
    counted = plan(scenario(network, [urgent, *small]), PlanOptions(weight="count"))
    assert set(counted.flows) == {"s1", "s2"}


def test_budgets_of_the_hops_stay_within_what_was_asked(campus: Plan) -> None:
    for flow in campus.flows.values():
        if flow.delay_bound_s is not None:
            assert sum(hop.delay_s for hop in flow.hops) <= flow.delay_bound_s * (1 + 1e-9)
        passed = math.prod(1 - hop.loss for hop in flow.hops)
        assert 1 - passed <= flow.loss_bound * (1 + 1e-6)


def test_a_guard_time_that_the_network_cannot_meet_refuses_the_schedule_with_the_figure() -> None:
    asked = load("campus")
    assert asked.topology.quantum is not None
    short = replace(asked.topology.quantum, guard_time_s=1e-4)
    network = asked.topology
    tight = Topology(network.nodes.values(), network.links.values(), name=network.name, quantum=short)
    found = plan(replace(asked, topology=tight))
    assert found.entanglement == {}
    refused = {one.name: one for one in found.rejected}["key-alice-bob"]
    assert "guard time of 0.1 ms" in refused.reason
    assert refused.smallest_change is not None
    assert refused.smallest_change.field == "guard_time_s"
    enough = replace(short, guard_time_s=refused.smallest_change.enough)
    wider = Topology(network.nodes.values(), network.links.values(), name=network.name, quantum=enough)
    assert "key-alice-bob" in plan(replace(asked, topology=wider)).entanglement
    assert not any(name.startswith("control/") for name in found.flows)


def test_without_control_in_the_topology_pairs_are_scheduled_alone() -> None:
    from topologies.files import load as load_topology

    found = plan(scenario(load_topology("star"), [EntanglementDemand("0", "1", 6.25, 0.65, name="k")]))
    assert found.entanglement["k"].control_delay_s is None
    assert found.flows == {}
    assert found.schedule is not None
    assert found.schedule.tasks[0].name == "k"


def test_pairs_of_any_rates_are_planned_and_none_fails_the_plan() -> None:
    star = load_topology("star")
    asked = [
        EntanglementDemand(one, other, rate, 0.65, probability=0.9)
        for one, other, rate in (("0", "1", 0.37), ("1", "2", 0.9), ("0", "2", 0.11), ("0", "1", 1e-9))
    ]
    found = plan(scenario(star, [*asked, EntanglementDemand("0", "1", 1e9, 0.65)]))
    assert found.schedule is not None
    assert found.schedule.hyperperiod_slots <= 1 << 16
    assert [one.name for one in found.rejected] == ["0-1#3"]
    for one, wanted in zip(found.entanglement.values(), asked, strict=True):
        assert one.rate_ebit_per_s >= wanted.rate_ebit_per_s
    assert not violations(found)
    assert simulate_plan(found, PlayOptions(runs=1)).demands


def test_nothing_asked_gives_an_empty_plan() -> None:
    found = plan(Scenario(diamond()))
    assert (found.flows, found.rejected, found.schedule) == ({}, (), None)
    assert len(found.links) == 8


def test_a_failed_link_moves_who_was_on_it_and_nobody_else() -> None:
    wanted = [FlowDemand("a", "b", 3e6, name="x"), FlowDemand("a", "c", 3e6, name="y")]
    network = diamond()
    old = plan(scenario(network, wanted))
    assert old.flows["x"].path == ("a", "c", "b")
    links = [link for link in network.links.values() if link.id != "b--c"]
    later = scenario(Topology(network.nodes.values(), links, name="diamond"), wanted)
    new = replan(old, later)
    assert new.flows["x"].path == ("a", "d", "b")
    assert diff(old, new).moved == ("x",)


def test_replanning_keeps_the_admitted_before_the_new() -> None:
    network = Topology([Node("a"), Node("c")], [WiredLink("a", "c", 10**7)])
    old = plan(scenario(network, [FlowDemand("a", "c", 8e6, priority=7, name="old")]))
    later = scenario(
        network,
        [
            FlowDemand("a", "c", 8e6, priority=7, name="old"),
            FlowDemand("a", "c", 8e6, priority=0, name="new"),
        ],
    )
    assert set(plan(later).flows) == {"new"}
    assert set(replan(old, later).flows) == {"old"}
