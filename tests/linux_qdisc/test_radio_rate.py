"""`--rate auto`: what a radio carries by the counters of its stations, followed with a clock of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from test_session_kernel import inside, pytestmark  # noqa: F401

from linux_qdisc import radio_rate
from linux_qdisc.radio_rate import (
    LOOK_S,
    PHYSICAL_SHARE,
    RADIO_SHARE,
    RadioRate,
    first_rate_bps,
    radio_goodput_bps,
    shaped_rate_bps,
    station_goodput_bps,
)
from linux_qdisc.session import Session
from linux_qdisc.settings import MAX_RATE_BPS, MIN_RATE_BPS, QueueSettings
from linux_qdisc.wifi_stations import WifiStation
from qos.cli.attach import command
from qos.errors import InputError, MissingPieceError

NEAR = WifiStation("02:00:00:00:00:01", expected_throughput_bps=200_000_000, tx_packets=0, tx_duration_us=0)
FAR = WifiStation("02:00:00:00:00:02", expected_throughput_bps=10_000_000, tx_packets=0, tx_duration_us=0)
COUNTS = st.none() | st.integers(0, 10**6)


class Radio:
    """Stations that a test changes."""

    def __init__(self, *stations: WifiStation) -> None:
        self.stations: Sequence[WifiStation] = stations
        self.looks = 0

    def read(self, interface: str) -> Sequence[WifiStation]:
        self.looks += 1
        if not self.stations:
            raise InputError(f"{interface}: no station is associated")
        return self.stations


def test_without_the_kernels_estimate_the_physical_rate_and_retries_count() -> None:
    told = WifiStation("x", tx_bitrate_bps=100_000_000, tx_packets=900, tx_retries=100)
    assert station_goodput_bps(told) == pytest.approx(100e6 * PHYSICAL_SHARE * 0.9)
    assert station_goodput_bps(WifiStation("x")) is None
    assert station_goodput_bps(replace(told, expected_throughput_bps=7_000_000)) == 7e6


def test_the_air_that_each_station_used_weighs_its_rate() -> None:
    now = [replace(NEAR, tx_duration_us=1_000), replace(FAR, tx_duration_us=3_000)]
    # A quarter of the air at 200 Mbit/s and three quarters at 10: that is what went through.
    assert radio_goodput_bps(now, [NEAR, FAR]) == pytest.approx(0.25 * 200e6 + 0.75 * 10e6)


def test_without_air_times_packets_weigh_the_time_they_take() -> None:
    near, far = replace(NEAR, tx_duration_us=None), replace(FAR, tx_duration_us=None)
    now = [replace(near, tx_packets=30), replace(far, tx_packets=10)]
    assert radio_goodput_bps(now, [near, far]) == pytest.approx(40 / (30 / 200e6 + 10 / 10e6))
    assert radio_goodput_bps([near, far], [near, far]) == pytest.approx(2 / (1 / 200e6 + 1 / 10e6))


def test_a_silent_radio_and_one_without_figures() -> None:
    assert radio_goodput_bps([WifiStation("x")]) is None
    assert radio_goodput_bps([WifiStation("x"), NEAR]) == pytest.approx(200e6)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 10**10), st.none() | st.integers(0, 10**6), st.none() | st.integers(0, 10**6)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_the_radios_rate_is_between_its_stations(rows: list[tuple[int, int | None, int | None]]) -> None:
    stations = [
        WifiStation(str(n), expected_throughput_bps=rate, tx_packets=packets, tx_duration_us=air)
        for n, (rate, packets, air) in enumerate(rows)
    ]
    before = [replace(station, tx_packets=0, tx_duration_us=0) for station in stations]
    found = radio_goodput_bps(stations, before)
    assert found is not None
    rates = [rate for rate, _, _ in rows]
    assert min(rates) * (1 - 1e-9) <= found <= max(rates) * (1 + 1e-9)
    assert MIN_RATE_BPS <= shaped_rate_bps(found) <= MAX_RATE_BPS


def test_a_fall_is_followed_at_once_and_a_rise_slowly() -> None:
    radio = Radio(NEAR)
    follower = RadioRate("wlan0", shaped_rate_bps(200e6), radio.read)
    assert follower.look(0.0) is None
    radio.stations = [FAR]
    assert follower.look(LOOK_S / 2) is None
    assert radio.looks == 1
    assert follower.look(LOOK_S) == round(RADIO_SHARE * 10e6)
    radio.stations = [NEAR]
    rates = [follower.look((2 + n) * LOOK_S) for n in range(40)]
    risen = [rate for rate in rates if rate is not None]
    assert risen == sorted(risen)
    assert 10e6 < risen[0] < 0.4 * 200e6
    assert risen[-1] == pytest.approx(RADIO_SHARE * 200e6, rel=0.06)


def test_small_changes_and_an_empty_cell_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    radio = Radio(replace(NEAR, expected_throughput_bps=204_000_000))
    follower = RadioRate("wlan0", shaped_rate_bps(200e6), radio.read)
    assert follower.look(0.0) is None
    radio.stations = []
    assert [follower.look(n * LOOK_S) for n in range(1, 4)] == [None] * 3
    assert caplog.text.count("no station is associated") == 1
    radio.stations = [FAR]
    assert follower.look(9.0) is not None


def test_an_interface_that_is_no_radio_ends_with_code_5() -> None:
    with pytest.raises(MissingPieceError, match="lo: --rate auto follows a radio") as caught:
        first_rate_bps("lo")
    assert caught.value.exit_code == 5
    with pytest.raises(InputError, match="no such interface"):
        first_rate_bps("wlan99")
    done = CliRunner().invoke(command, ["lo", "--rate", "auto", "--dry-run"])
    assert isinstance(done.exception, MissingPieceError)
    done = CliRunner().invoke(command, ["lo", "--rate", "fast", "--dry-run"])
    assert done.exit_code == 2


def test_a_driver_that_tells_no_rate_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radio_rate, "has_radio", lambda _: True)
    with pytest.raises(MissingPieceError, match="neither the expected throughput nor the rate"):
        first_rate_bps("wlan0", lambda _: [WifiStation("x")])
    assert first_rate_bps("wlan0", lambda _: [NEAR]) == 180_000_000


@pytest.mark.netns
def test_the_queue_of_the_kernel_follows(inside: None) -> None:  # noqa: F811
    radio = Radio(NEAR)
    start = QueueSettings("v0", shaped_rate_bps(200e6), flows=4, follow_radio=True)
    with closing(Session(start, force=False)) as session:
        session._radio = RadioRate("v0", start.rate_bps, radio.read)
        session._follow_radio(0.0)
        assert session.settings.rate_bps == 180_000_000
        radio.stations = [FAR]
        session._follow_radio(LOOK_S)
        assert session.settings.rate_bps == 9_000_000
        assert session._tree.egress.link.rate_bps <= 9_000_000
        session.reload(QueueSettings("v0", 30_000_000, flows=4))
        session._follow_radio(9.0)
        assert session.settings.rate_bps == 30_000_000
