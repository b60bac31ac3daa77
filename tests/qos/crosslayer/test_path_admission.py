"""Hops, routes and joint admission on small networks."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from qos.crosslayer.multihop.admission import AdmissionPlan, admit, channels_of
from qos.crosslayer.multihop.capability import link_capability
from qos.crosslayer.multihop.routing import Capabilities, hop_violation, routes
from qos.demands import FlowDemand
from qos.errors import InfeasibleError, ValueRefusedError
from topologies.files import load
from topologies.links import Link, WiredLink, WirelessLink
from topologies.model import Topology
from topologies.nodes import Node


def radio(one: str, other: str, snr_db: float, channel: int = 0, doppler_hz: float = 60.0) -> WirelessLink:
    return WirelessLink(one, other, 20e6, 5.2e9 + channel * 40e6, snr_db=snr_db, doppler_hz=doppler_hz)


def network(*links: Link) -> Topology:
    names = sorted({end for link in links for end in (link.source, link.target)})
    return Topology([Node(name, "router") for name in names], links, name="test")


def stream(rate_bps: float, source: str = "a", destination: str = "b", **figures: float) -> FlowDemand:
    return replace(FlowDemand(source, destination, rate_bps), **figures)  # type: ignore[arg-type]


DIAMOND = network(
    radio("a", "m", 12, 0),
    radio("m", "b", 20, 1),
    radio("a", "n", 25, 2),
    radio("n", "b", 8, 3),
    radio("a", "b", 3, 4),
)


def test_more_retries_and_more_time_never_hurt_a_hop() -> None:
    hop = link_capability(DIAMOND, "a--m", stream(1e6))
    losses = hop.loss_by_retries()
    assert len(losses) == 8
    assert all(later <= earlier for earlier, later in itertools.pairwise(losses))
    point = hop.points[40]
    late = [hop.late(point, 5e6, delay) for delay in (0.01, 0.03, 0.1, 0.3)]
    assert late == sorted(late, reverse=True)
    assert late[0] > 2 * late[2]
    # The two views of the delay are one another's inverse.
    assert hop.admissible_bps(point, 0.1, late[2]) == pytest.approx(5e6, rel=1e-3)
    assert hop.late(point, 1e12, 0.1) == 1.0


def test_a_wired_hop_carries_its_rate_and_loses_what_the_topology_says() -> None:
    wired = WiredLink("a", "b", 10_000_000, reverse_rate_bps=1_000_000, delay_s=0.002, loss_probability=1e-3)
    hop = link_capability(network(wired), "a--b", stream(1e6), sender="b")
    (point,) = hop.points
    assert not hop.is_radio
    assert hop.loss_by_retries() == (pytest.approx(1e-3),)
    assert point.delay_s == pytest.approx(0.002 + 12_000 / 1e6)
    assert hop.admissible_bps(point, 0.1, 0.01) == pytest.approx(1e6 * (1 - 1e-3))
    assert hop.admissible_bps(point, 0.01, 0.01) == 0


@pytest.mark.parametrize("hops", [2, 3, 6])
def test_the_delay_tail_of_a_path_is_that_of_a_sum_of_exponentials(hops: int) -> None:
    rng = np.random.default_rng(hops)
    rate = -math.log(hop_violation(0.05, hops))
    total = rng.exponential(1 / rate, (400_000, hops)).sum(axis=1)
    assert np.mean(total > 1) == pytest.approx(0.05, rel=0.03)


def test_a_route_is_the_cheapest_of_all_simple_paths() -> None:
    demand = stream(1e6, delay_bound_s=0.3, loss=1e-3)
    found = routes(DIAMOND, demand, 3)
    assert [route.nodes for route in found] == sorted(
        (route.nodes for route in found), key=lambda nodes: next(r.cost_s for r in found if r.nodes == nodes)
    )
    assert {route.nodes for route in found} == {("a", "b"), ("a", "m", "b"), ("a", "n", "b")}
    alone = {}
    for middle in ("m", "n"):
        links = [link for link in DIAMOND.links.values() if middle in (link.source, link.target)]
        alone[middle] = routes(network(*links), demand)[0].cost_s
    best = routes(DIAMOND, demand)[0]
    assert best.nodes == ("a", min(alone, key=lambda middle: alone[middle]), "b")
    assert best.cost_s == pytest.approx(min(alone.values()))
    assert best.split.loss <= 1e-3
    assert best.split.delay_s <= 0.3


def test_hosts_do_not_forward() -> None:
    links = (WiredLink("a", "h", 10**9), WiredLink("h", "b", 10**9))
    nodes = [Node("a", "host"), Node("h", "host"), Node("b", "host")]
    with pytest.raises(InfeasibleError, match="no path from a to b"):
        routes(Topology(nodes, links, name="t"), stream(1e6))


def test_an_infeasible_path_names_its_links() -> None:
    with pytest.raises(InfeasibleError, match=r"path a - b: .*0\.001 ms.*hop 0 is a--b"):
        routes(network(radio("a", "b", 10)), stream(1e6, delay_bound_s=1e-6))
    with pytest.raises(InfeasibleError, match="link a--b admits no rate within the delay bound of 5 ms"):
        routes(network(radio("a", "b", 10, doppler_hz=1.0)), stream(1e6, delay_bound_s=5e-3))


def test_links_at_one_node_share_its_air_where_their_bands_overlap() -> None:
    net = network(radio("ap", "x", 20), radio("ap", "y", 20), radio("ap", "z", 20, 3))
    names = channels_of(net)
    assert names["ap--x"][0] == names["ap--y"][0] != names["ap--z"][0]


def most_admitted(topology: Topology, demands: list[FlowDemand], usable: float) -> int:
    """Number of demands that fit together, by trying every choice of routes."""
    known = Capabilities(topology)
    names = channels_of(topology)
    choices = [(None, *routes(topology, demand, 4, known)) for demand in demands]
    best = 0
    for choice in itertools.product(*choices):
        load: dict[str, float] = {}
        for demand, route in zip(demands, choice, strict=True):
            if route is not None:
                for hop, share in zip(route.hops, route.shares(demand.rate_bps), strict=True):
                    for name in names[hop.link_id]:
                        load[name] = load.get(name, 0) + share
        if all(each <= usable + 1e-9 for each in load.values()):
            best = max(best, sum(route is not None for route in choice))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_as_many_are_admitted_as_every_choice_of_routes_allows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    demands = [stream(float(rng.uniform(5e6, 30e6)), loss=1e-3) for _ in range(4)]
    plan = admit(DIAMOND, demands, usable=0.8)
    assert plan.exact
    assert sum(each.admitted for each in plan.admissions) == most_admitted(DIAMOND, demands, 0.8)
    assert max(plan.reserved.values()) <= 0.8 + 1e-6


def test_importance_goes_before_number() -> None:
    net = network(radio("a", "b", 20))
    whole = routes(net, stream(1e6))[0].rate_bps
    large = replace(stream(0.85 * whole), priority=0)
    small = [replace(stream(0.3 * whole), priority=5) for _ in range(3)]
    plan = admit(net, [*small, large])
    assert [each.admitted for each in plan.admissions] == [False, False, False, True]
    assert (
        "air at a: the demand needs 30.0% of it, 5.0% of the usable 90% is left" in plan.admissions[0].reason
    )


def refused_then_changed(topology: Topology, demands: list[FlowDemand]) -> tuple[AdmissionPlan, int]:
    plan = admit(topology, demands)
    place = next(i for i, each in enumerate(plan.admissions) if not each.admitted)
    return plan, place


@pytest.mark.parametrize("bounds", [{}, {"delay_bound_s": 0.1}])
def test_each_change_that_is_told_lets_the_demand_in(bounds: dict[str, float]) -> None:
    net = network(radio("a", "b", 20))
    whole = routes(net, stream(1e6, **bounds))[0].rate_bps
    demands = [stream(0.6 * whole, **bounds), stream(0.4 * whole, **bounds)]
    plan, place = refused_then_changed(net, demands)
    changes = plan.admissions[place].changes
    assert changes
    assert [each.factor for each in changes] == sorted(each.factor for each in changes)
    for change in changes:
        tried = list(demands)
        tried[place] = replace(tried[place], **{change.field: change.enough})  # type: ignore[arg-type]
        assert all(each.admitted for each in admit(net, tried).admissions), str(change)


def test_what_is_left_goes_to_elastic_demands_in_equal_parts() -> None:
    net = network(radio("a", "b", 20))
    whole = routes(net, stream(1e6))[0].rate_bps
    elastic = [replace(stream(whole), min_rate_bps=0.1 * whole) for _ in range(2)]
    plan = admit(
        net, [stream(0.3 * whole), *elastic, replace(stream(0.12 * whole), min_rate_bps=0.1 * whole)]
    )
    rates = [each.rate_bps / whole for each in plan.admissions]
    assert rates[0] == pytest.approx(0.3)
    assert rates[1] == rates[2]
    assert sum(rates) == pytest.approx(0.9)
    assert all(rate >= 0.1 for rate in rates)


def test_a_demand_without_bounds_on_the_campus_goes_through() -> None:
    campus = load("campus")
    plan = admit(campus, [FlowDemand.from_profile("voice", "server", "laptop")])
    (voice,) = plan.admissions
    assert voice.route is not None
    assert voice.route.nodes == ("server", "core", "library", "ap-library", "laptop")
    assert voice.rate_bps == pytest.approx(voice.demand.rate_bps)


@pytest.mark.parametrize(
    "call",
    [
        lambda: link_capability(DIAMOND, "nowhere", stream(1e6)),
        lambda: link_capability(DIAMOND, "a--m", stream(1e6), sender="b"),
        lambda: link_capability(load("campus"), "q-alice--q-hub", stream(1e6)),
        lambda: routes(DIAMOND, stream(1e6, "a", "elsewhere")),
        lambda: routes(DIAMOND, stream(1e6), 0),
        lambda: admit(DIAMOND, [stream(1e6)], usable=1.5),
        lambda: admit(DIAMOND, [stream(1e6)], usable=float("nan")),
        lambda: hop_violation(0.0, 2),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueRefusedError):
        call()
