"""Generated demands: the gravity matrix and the mix of profiles."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.errors import ValueRefusedError
from qos.profiles import find_profile
from qos.random_flows import end_masses, gravity_flows, random_flows
from topologies.files import load
from topologies.model import Node, QuantumLink, Topology, WiredLink


def star(rates_bps: list[int]) -> Topology:
    nodes = [Node("hub", "switch"), *(Node(f"h{i}") for i in range(len(rates_bps)))]
    return Topology(nodes, [WiredLink("hub", f"h{i}", rate) for i, rate in enumerate(rates_bps)])


def test_gravity_is_proportional_to_the_products_of_link_rates() -> None:
    flows = gravity_flows(star([10, 20, 30]), 1.1e6, seed=1)
    rate = {(flow.source, flow.destination): flow.rate_bps for flow in flows}
    assert len(rate) == 6
    assert rate["h0", "h1"] == pytest.approx(1e5)  # 10*20 of 2*(200+300+600)
    assert rate["h1", "h2"] / rate["h0", "h1"] == pytest.approx(3.0)
    assert sum(rate.values()) == pytest.approx(1.1e6)


@given(
    st.lists(st.integers(1, 10**9), min_size=2, max_size=6),
    st.floats(0, 3),
    st.integers(0, 2**32),
    st.floats(1e3, 1e12),
)
def test_gravity_always_gives_away_the_whole_total(
    rates: list[int], spread: float, seed: int, total: float
) -> None:
    flows = gravity_flows(star(rates), total, seed=seed, spread=spread)
    assert sum(flow.rate_bps for flow in flows) == pytest.approx(total)
    assert flows == gravity_flows(star(rates), total, seed=seed, spread=spread)


def test_only_hosts_and_stations_send_where_there_are_any() -> None:
    campus = load("campus")
    ends = set(end_masses(campus))
    assert ends == {"server", "desk", "laptop", "tablet", "phone", "scooter"}
    routers = Topology([Node("a", "router"), Node("b", "router")], [WiredLink("a", "b", 5)])
    assert end_masses(routers) == {"a": 5.0, "b": 5.0}


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    campus = load("campus")
    short, long = (random_flows(campus, count, seed=3) for count in (20, 50))
    assert long[:20] == short
    assert random_flows(campus, 20, seed=4) != short


@given(st.integers(0, 2**32))
def test_drawn_rates_are_rates_of_the_profile(seed: int) -> None:
    for flow in random_flows(load("campus"), 5, seed=seed, rate_scale=2.0):
        profile = find_profile(flow.profile)
        rate = flow.rate_bps / 2
        assert profile.min_rate_bps <= rate <= profile.max_rate_bps
        assert not profile.rate_steps_bps or rate in profile.rate_steps_bps
        assert flow.min_rate_bps is not None
        assert flow.min_rate_bps <= flow.rate_bps


def test_the_mix_is_kept() -> None:
    flows = random_flows(star([1, 1, 8]), 4000, seed=9, mix={"voice": 3, "bulk": 1, "gaming": 0})
    counts = Counter(flow.profile for flow in flows)
    assert counts["gaming"] == 0
    assert counts["voice"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert Counter(flow.source for flow in flows)["h2"] / 4000 == pytest.approx(0.8, abs=0.03)


def test_what_cannot_be_drawn_is_refused() -> None:
    two = star([1, 1])
    with pytest.raises(ValueRefusedError, match="expected 1 to"):
        random_flows(two, 0, seed=1)
    with pytest.raises(ValueRefusedError, match="rate_scale"):
        random_flows(two, 1, seed=1, rate_scale=0)
    with pytest.raises(ValueRefusedError, match="mix must"):
        random_flows(two, 1, seed=1, mix={"voice": 0})
    with pytest.raises(ValueRefusedError, match="'opera' is unknown"):
        random_flows(two, 1, seed=1, mix={"opera": 1})
    for masses in ({"h0": 1.0}, {"h0": 1.0, "h9": 1.0}, {"h0": 1.0, "h1": 0.0}):
        with pytest.raises(ValueRefusedError, match="masses must"):
            random_flows(two, 1, seed=1, masses=masses)
    assert {f.source for f in random_flows(star([1, 1, 8]), 50, seed=1, masses={"h0": 1, "h1": 1})} == {
        "h0",
        "h1",
    }
    with pytest.raises(ValueRefusedError, match="total_bps"):
        gravity_flows(two, 0, seed=1)
    with pytest.raises(ValueRefusedError, match="spread"):
        gravity_flows(two, 1, seed=1, spread=-1)
    quantum = Topology([Node("a"), Node("b")], [QuantumLink("a", "b", 1.0)])
    with pytest.raises(ValueRefusedError, match="fewer than two nodes with packet links"):
        gravity_flows(quantum, 1, seed=1)
