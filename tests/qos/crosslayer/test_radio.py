"""Link budget, interference, antennas and rain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qos.crosslayer.radio.antenna import dish_gain_dbi, sector_gain_dbi
from qos.crosslayer.radio.link_budget import (
    RadioFigures,
    interferers,
    link_budget,
    node_distance_m,
    total_interference_dbm,
)
from qos.crosslayer.radio.rain import (
    rain_availability,
    rain_coefficients,
    rain_fade_db,
    specific_attenuation_db_per_km,
)
from qos.errors import ValueRefusedError
from topologies.files import load
from topologies.links import WirelessLink
from topologies.model import Topology
from topologies.nodes import Node


@pytest.mark.parametrize(
    ("frequency_ghz", "tilt", "k", "alpha"),
    [
        # ITU-R P.838-3, table 5 (frequency-dependent coefficients).
        (10, 0, 0.01217, 1.2571),
        (10, 90, 0.01129, 1.2156),
        (30, 0, 0.2403, 0.9485),
        (30, 90, 0.2291, 0.9129),
        (80, 0, 1.1704, 0.7115),
    ],
)
def test_rain_coefficients_are_those_of_the_recommendation(
    frequency_ghz: float, tilt: float, k: float, alpha: float
) -> None:
    found = rain_coefficients(frequency_ghz * 1e9, tilt)
    assert found[0] == pytest.approx(k, rel=2e-3)
    assert found[1] == pytest.approx(alpha, rel=1e-3)


@given(st.floats(500, 40_000), st.floats(10, 100), st.floats(1e-5, 4e-3))
def test_a_rarer_event_is_a_deeper_fade(distance_m: float, frequency_ghz: float, share: float) -> None:
    deep, shallow = (rain_fade_db(distance_m, frequency_ghz * 1e9, 30, s) for s in (share, 2 * share))
    assert deep > shallow > 0


def test_availability_is_the_inverse_of_the_fade() -> None:
    margin = rain_fade_db(5000, 38e9, 40, 3e-4)
    assert 1 - rain_availability(margin, 5000, 38e9, 40) == pytest.approx(3e-4, rel=1e-6)
    assert rain_availability(100.0, 500, 10e9, 20) == 1 - 1e-5
    assert rain_fade_db(5000, 38e9, 0.0) == 0
    assert specific_attenuation_db_per_km(20e9, 0) == 0


def test_antenna_gains() -> None:
    # 0.6 m at 38 GHz, efficiency 0.55: 44.9 dBi.
    assert dish_gain_dbi(0.6, 38e9) == pytest.approx(44.96, abs=0.05)
    assert sector_gain_dbi(190, 10, 65, 30) == sector_gain_dbi(-170, 10, 65, 30) == -20


def pair(distance_m: float, **figures: float) -> Topology:
    nodes = [
        Node("ap", "access-point", latitude=52.0, longitude=4.0),
        Node("laptop", "station", latitude=52.0001, longitude=4.0),
        Node("other", "access-point", latitude=52.001, longitude=4.0),
        Node("phone", "station", latitude=52.0011, longitude=4.0),
    ]
    links = [
        WirelessLink("ap", "laptop", 20e6, 5.18e9, distance_m=distance_m, **figures),  # type: ignore[arg-type]
        WirelessLink("other", "phone", 20e6, 5.18e9, distance_m=10),
        WirelessLink("other", "laptop", 20e6, 5.50e9, distance_m=100),
    ]
    return Topology(nodes, links)


def test_the_items_of_a_budget_add_up() -> None:
    topology = pair(10)
    link = topology.links["ap--laptop"]
    assert isinstance(link, WirelessLink)
    budget = link_budget(topology, link, RadioFigures(tx_gain_dbi=3, shadowing_db=4))
    assert budget.source == "indoor"
    assert [name for name, _ in budget.items][2:4] == ["path loss (indoor)", "shadowing margin"]
    assert budget.noise_dbm == pytest.approx(-93.99, abs=0.01)
    assert budget.snr_db == pytest.approx(budget.received_dbm - budget.noise_dbm)


def test_a_given_snr_is_taken_as_measured() -> None:
    topology = load("campus")
    link = topology.links["cell--scooter"]
    assert isinstance(link, WirelessLink)
    budget = link_budget(topology, link)
    assert budget.source == "measured"
    assert budget.snr_db == pytest.approx(12)


def test_only_co_channel_links_of_other_nodes_interfere() -> None:
    topology = pair(10)
    link = topology.links["ap--laptop"]
    assert isinstance(link, WirelessLink)
    found = interferers(topology, link)
    assert [each.link for each in found] == ["other--phone"]
    noisy = link_budget(topology, link, interference_dbm=total_interference_dbm(found))
    assert noisy.snr_db < link_budget(topology, link).snr_db
    assert node_distance_m(topology, "ap", "laptop") == pytest.approx(11.1, abs=0.1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: rain_coefficients(0.5e9),
        lambda: rain_fade_db(-1, 10e9, 30),
        lambda: rain_fade_db(70_000, 10e9, 30),
        lambda: rain_fade_db(1000, 10e9, 30, 0.5),
        lambda: rain_fade_db(1000, 10e9, float("nan")),
        lambda: RadioFigures(path_loss="magic"),
        lambda: RadioFigures(noise_figure_db=-1),
        lambda: dish_gain_dbi(-1, 1e9),
    ],
)
def test_bad_input_is_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueRefusedError):
        call()
