"""The settings of a link of a topology, and the simulation that checks them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linux_qdisc.wifi_stations import WifiStation
from qos.cli.adapt_topology import TopologyRequest, adapt_topology
from qos.cli.common import CommandSettings
from qos.crosslayer.amc_arq import loss_on_a_constant_channel
from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.harq import Combining
from qos.crosslayer.link_design import design_class, model_link, retransmission_limit
from qos.crosslayer.link_simulation import simulate_link
from qos.crosslayer.modes import HIPERLAN2
from qos.crosslayer.threshold_design import thresholds_at
from qos.demands import FlowDemand
from qos.errors import InputError, QosError, ValueRefusedError
from topologies.files import save
from topologies.links import WirelessLink
from topologies.model import Topology
from topologies.nodes import Node


def one_link(**figures: Any) -> tuple[Topology, WirelessLink]:
    given = {"bandwidth_hz": 20e6, "frequency_hz": 3.5e9, "snr_db": 15.0, "doppler_hz": 50.0} | figures
    topology = Topology([Node("a"), Node("b")], [WirelessLink("a", "b", **given)], name="pair")
    link = topology.links["a--b"]
    assert isinstance(link, WirelessLink)
    return topology, link


@pytest.mark.parametrize("profile", ["voice", "gaming", "streaming-video"])
@pytest.mark.parametrize("doppler_hz", [20.0, 100.0])
def test_the_bounds_hold_in_the_simulation(profile: str, doppler_hz: float) -> None:
    model = model_link(*one_link(doppler_hz=doppler_hz))
    demand = FlowDemand.from_profile(profile, "a", "b")
    found = design_class(model, demand)
    (check,) = simulate_link(model, (found,), seed=3)
    assert check.rate_bps == pytest.approx(found.admissible_bps)
    assert check.loss <= demand.loss
    assert check.late <= demand.violation_probability


def test_a_tighter_deadline_admits_less_and_allows_fewer_attempts() -> None:
    model = model_link(*one_link())
    rates = []
    for delay_s in (0.004, 0.02, 0.1):
        demand = FlowDemand("a", "b", 1e6, min_rate_bps=1.0, delay_bound_s=delay_s)
        rates.append(design_class(model, demand).admissible_bps)
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]
    assert [retransmission_limit(d, 1e-3) for d in (None, 0.1, 0.003, 0.001, 0.0001)] == [7, 7, 2, 0, None]


@pytest.mark.parametrize("harq", ["type-1", "chase", "incremental"])
@pytest.mark.parametrize("doppler_hz", [10.0, 80.0])
def test_the_bounds_hold_with_harq_too(harq: Combining, doppler_hz: float) -> None:
    model = model_link(*one_link(doppler_hz=doppler_hz))
    demand = FlowDemand("a", "b", 1e5, delay_bound_s=0.1, loss=0.01)
    found = design_class(model, demand, harq)
    (check,) = simulate_link(model, (found,), seed=3)
    assert found.harq is not None
    assert found.loss == found.harq.loss <= demand.loss
    assert check.loss <= demand.loss
    assert check.late <= demand.violation_probability


def test_combining_saves_power() -> None:
    model = model_link(*one_link(snr_db=20.0, tx_power_dbm=20.0))
    demand = FlowDemand("a", "b", 1e6, delay_bound_s=0.1, loss=0.01)
    plain, combined = (design_class(model, demand, kind) for kind in ("type-1", "chase"))
    assert combined.power_dbm < plain.power_dbm


def test_less_power_is_used_where_less_is_asked() -> None:
    model = model_link(*one_link(snr_db=25.0, tx_power_dbm=20.0))
    low, high = (design_class(model, FlowDemand("a", "b", r, delay_bound_s=0.1)) for r in (1e5, 2e7))
    assert low.power_dbm < high.power_dbm <= 20


@pytest.mark.parametrize("doppler_hz", [0.0, 900.0])
def test_a_still_and_a_very_fast_link_are_designed_too(doppler_hz: float) -> None:
    model = model_link(*one_link(doppler_hz=doppler_hz, snr_db=30.0))
    demand = FlowDemand("a", "b", 1e6, delay_bound_s=0.05, violation_probability=0.02)
    found = design_class(model, demand)
    assert found.admissible_bps > 0
    (check,) = simulate_link(model, (found,))
    assert check.late <= 0.1


def test_the_published_thresholds_keep_the_loss_on_a_constant_channel() -> None:
    for limit in range(4):
        levels = thresholds_at(HIPERLAN2, 0.01 ** (1 / (limit + 1)))
        assert loss_on_a_constant_channel(HIPERLAN2, NakagamiFading(12), levels, limit) <= 0.01


def run(capsys: pytest.CaptureFixture[str], *demands: str, link: str | None = None) -> dict[str, Any]:
    adapt_topology(CommandSettings(as_json=True), TopologyRequest("campus", link, demands, None))
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_json_has_the_settings_the_prediction_and_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    document = run(capsys, "voice", "rate=2mbit,delay=30ms,loss=0.01", link="cell:scooter")
    assert document["schema"] == 1
    (link,) = document["links"]
    voice, other = link["classes"]
    assert voice["class"] == "voice"
    assert voice["source_bps"] == 100_000
    assert np.all(np.diff(voice["thresholds_db"]) >= 0)
    assert {"loss", "late", "loss_slow_channel"} == set(voice["predicted"])
    assert other["simulated"]["late"] <= 0.01
    assert document == run(capsys, "voice", "rate=2mbit,delay=30ms,loss=0.01", link="scooter:cell")


def test_the_table_names_every_class(capsys: pytest.CaptureFixture[str]) -> None:
    adapt_topology(CommandSettings(), TopologyRequest("campus", "cell--scooter", ("cloud-gaming",), None))
    text = capsys.readouterr().out
    assert "cell--scooter: mean SNR 12.0 dB" in text
    assert "cloud-gaming is not carried" in text


@pytest.mark.parametrize("as_json", [False, True])
def test_a_device_is_shown_with_what_it_carries(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    station = WifiStation("02:00:00:00:00:01", -60, tx_bitrate_bps=100_000_000, tx_packets=9, tx_retries=1)
    monkeypatch.setattr("linux_qdisc.wifi_stations.read_stations", lambda _: (station,))
    request = TopologyRequest(None, None, ("voice", "cloud-gaming"), "wlan9")
    adapt_topology(CommandSettings(as_json=as_json), request)
    text = capsys.readouterr().out
    assert "only 9 packets were sent so far" in text
    assert ("02:00:00:00:00:01, signal -60 dBm: carries about 63mbit" in text) is not as_json
    if as_json:
        assert [each["carried"] for each in json.loads(text)["stations"][0]["classes"]] == [True, False]


def test_radio_figures_and_rain_change_the_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [Node("a", latitude=52.0, longitude=4.0), Node("b", latitude=52.03, longitude=4.0)]
    link = WirelessLink("a", "b", 28e6, 23e9, distance_m=3500.0, doppler_hz=1.0)
    path = str(tmp_path / "fixed.yaml")
    save(Topology(nodes, [link], name="fixed"), path)

    def budget(radio: str | None) -> dict[str, Any]:
        request = TopologyRequest(path, None, ("voice",), None, radio=radio)
        adapt_topology(CommandSettings(as_json=True), request)
        (found,) = json.loads(capsys.readouterr().out)["links"]
        return dict(found)

    dishes = "path_loss=free-space,tx_gain_dbi=40,rx_gain_dbi=40,noise_figure_db=5"
    clear, wet = budget(dishes), budget(dishes + ",rain_mm_per_h=40,unavailable=1e-4")
    assert clear["budget"]["items_db"]["transmit antenna"] == 40
    assert wet["budget"]["items_db"]["rain"] < -10
    assert wet["budget"]["snr_db"] == pytest.approx(
        clear["budget"]["snr_db"] + wet["budget"]["items_db"]["rain"]
    )
    assert clear["notes"] == []
    assert "of the year (ITU-R P.530" in wet["notes"][0]


def test_interference_is_counted_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    budgets = []
    for counted in (False, True):
        request = TopologyRequest("campus", "ap-hall:phone", ("voice",), None, interference=counted)
        adapt_topology(CommandSettings(as_json=True), request)
        (found,) = json.loads(capsys.readouterr().out)["links"]
        budgets.append(found["budget"])
    assert budgets[0]["interference_dbm"] is None
    assert (budgets[1]["interference_dbm"] is None) == (budgets[0]["snr_db"] == budgets[1]["snr_db"])
    assert budgets[1]["snr_db"] <= budgets[0]["snr_db"]


def test_retry_limits_are_set_by_access_category(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    station = WifiStation("02:00:00:00:00:01", tx_bitrate_bps=100_000_000, tx_packets=9000, tx_retries=1000)
    monkeypatch.setattr("linux_qdisc.wifi_stations.read_stations", lambda _: (station,))
    told: list[Any] = []
    monkeypatch.setattr("linux_qdisc.wifi_retries.set_retries", lambda *call: told.append(call))
    classes = ("voice", "gaming", "streaming-video,rate=2mbit", "rate=1mbit,loss=0.5")
    for asked in (False, True):
        request = TopologyRequest(None, None, classes, "wlan9", set_retries=asked)
        adapt_topology(CommandSettings(as_json=True), request)
        (entry,) = json.loads(capsys.readouterr().out)["stations"]
        # Loss 1e-2, 1e-6 and 0.5 at an error rate of 10 % take 1, 5 and no retries.
        assert entry["retries_by_category"] == {"VO": 1, "VI": 5, "BE": 0}
        assert len(told) == int(asked)
    dev, limits, address = told[0]
    assert (dev, address) == ("wlan9", "02:00:00:00:00:01")
    assert {limit.tids: limit.retries for limit in limits} == {(6, 7): 1, (4, 5): 5, (0, 3): 1}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((None, None, (), None), ValueRefusedError, "name a TOPOLOGY"),
        (("campus", "x:y", (), None), ValueRefusedError, "no such wireless link"),
        (("star", None, (), None), InputError, "no wireless link"),
        (
            ("campus", None, ("nothing",), None),
            ValueRefusedError,
            r"--demand nothing.*profile .nothing. is unknown",
        ),
        (("campus", None, ("voice,voice",), None), ValueRefusedError, "given twice"),
        (("campus", None, ("rate=1mbit,delay=5",), None), ValueRefusedError, "has no unit"),
        (("campus", None, ("rate=1mbit,loss=high",), None), ValueRefusedError, "loss must be"),
        (("no-such", None, (), None), QosError, "no-such"),
        (("campus", None, (), "wlan0"), ValueRefusedError, "--dev takes no TOPOLOGY"),
        ((None, None, (), "wlan0", "chase"), ValueRefusedError, "no --harq"),
    ],
)
def test_bad_input_is_refused(arguments: Any, error: type[QosError], words: str) -> None:
    with pytest.raises(error, match=words):
        adapt_topology(CommandSettings(), TopologyRequest(*arguments))
