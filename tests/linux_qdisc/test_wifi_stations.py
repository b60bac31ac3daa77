"""Decoding of station statistics from messages built by hand, and what is said without a radio."""

from __future__ import annotations

import struct

import pytest
from pyroute2.netlink.nl80211 import nl80211cmd

from linux_qdisc.wifi_stations import WifiStation, decode_station, read_stations
from qos.crosslayer.station_fit import attempt_error_rate, fit_station
from qos.demands import FlowDemand
from qos.errors import InputError

# include/uapi/linux/nl80211.h
CMD_NEW_STATION = 19
ATTR_IFINDEX, ATTR_MAC, ATTR_STA_INFO = 3, 6, 21
SIGNAL, TX_BITRATE, TX_PACKETS, TX_RETRIES, TX_FAILED = 7, 8, 10, 11, 12
SIGNAL_AVG, EXPECTED_THROUGHPUT, TX_DURATION = 13, 27, 39
BITRATE, BITRATE32 = 1, 5


def attribute(kind: int, payload: bytes) -> bytes:
    body = struct.pack("=HH", 4 + len(payload), kind) + payload
    return body + b"\0" * (-len(body) % 4)


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def message(*figures: bytes) -> nl80211cmd:
    attributes = u32(ATTR_IFINDEX, 3) + attribute(ATTR_MAC, bytes.fromhex("020000000001"))
    attributes += attribute(ATTR_STA_INFO, b"".join(figures))
    body = struct.pack("=BBH", CMD_NEW_STATION, 1, 0) + attributes
    header = struct.pack("=IHHII", 16 + len(body), 28, 2, 1, 0)
    decoded = nl80211cmd(header + body)
    decoded.decode()
    return decoded


def test_a_message_of_the_kernel_is_decoded() -> None:
    rate = attribute(BITRATE, struct.pack("=H", 65535)) + u32(BITRATE32, 12_010)
    station = decode_station(
        message(
            attribute(SIGNAL, struct.pack("=b", -61)),
            attribute(SIGNAL_AVG, struct.pack("=b", -58)),
            attribute(TX_BITRATE, rate),
            u32(TX_PACKETS, 9000),
            u32(TX_RETRIES, 1000),
            u32(TX_FAILED, 3),
            u32(EXPECTED_THROUGHPUT, 250_000),
            attribute(TX_DURATION, struct.pack("=Q", 123_456)),
        )
    )
    assert station == WifiStation(
        "02:00:00:00:00:01",
        signal_dbm=-58,
        tx_bitrate_bps=1_201_000_000,
        expected_throughput_bps=250_000_000,
        tx_packets=9000,
        tx_retries=1000,
        tx_failed=3,
        tx_duration_us=123_456,
    )
    assert attempt_error_rate(station) == (0.1, "")


def test_what_the_driver_does_not_tell_is_none() -> None:
    station = decode_station(message(attribute(SIGNAL, struct.pack("=b", -70))))
    assert station == WifiStation("02:00:00:00:00:01", signal_dbm=-70)
    fit = fit_station(station, [FlowDemand.from_profile("voice", "a", "b")])
    assert not fit.classes[0].carried
    assert len(fit.notes) == 2


@pytest.mark.parametrize(
    ("station", "why"),
    [
        (WifiStation("x", tx_packets=10, tx_retries=1), "only 10 packets"),
        (WifiStation("x", tx_packets=1000, tx_retries=50_000), "cannot be"),
        # Seen with mt76: retries 46785, failed 46792.
        (WifiStation("x", tx_packets=90_000, tx_retries=46_785, tx_failed=46_792), "each retry as a failed"),
    ],
)
def test_implausible_counters_are_not_used(station: WifiStation, why: str) -> None:
    rate, reason = attempt_error_rate(station)
    assert rate is None
    assert why in reason


def test_a_station_carries_what_its_rate_and_errors_allow() -> None:
    good = WifiStation("x", tx_bitrate_bps=100_000_000, tx_packets=9000, tx_retries=1000)
    demands = [FlowDemand.from_profile(name, "a", "b") for name in ("voice", "cloud-gaming")]
    fit = fit_station(good, demands)
    assert fit.goodput_bps == pytest.approx(63e6)
    assert (fit.classes[0].carried, fit.classes[0].retransmissions) == (True, 1)
    # Loss 1e-6 takes five retries at 10 %; a bound of 10 ms leaves four.
    assert fit.classes[1].reason == "loss 1e-06 needs 5 retries, the deadline leaves 4"


def test_without_a_radio_it_says_so() -> None:
    with pytest.raises(InputError, match="no radio here"):
        read_stations("lo")
    with pytest.raises(InputError, match="no such interface"):
        read_stations("no-such-dev0")
