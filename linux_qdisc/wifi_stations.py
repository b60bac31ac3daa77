"""Statistics of the Wi-Fi stations of an interface, through nl80211 (`iw dev X station dump`)."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qos.errors import InputError, KernelError

_ENOENT, _ENODEV, _EOPNOTSUPP = 2, 19, 95


@dataclass(frozen=True, slots=True)
class WifiStation:
    """Counters of one station; a figure that the driver does not tell is None.

    Attributes
    ----------
    address
        Hardware address.
    signal_dbm, ack_signal_dbm
        Signal of its frames (the running mean where there is one) and of its acknowledgements.
    tx_bitrate_bps, rx_bitrate_bps
        Physical rate of the last frame.
    expected_throughput_bps
        The kernel's estimate of the goodput.
    tx_packets, tx_retries, tx_failed
        Frames sent, retransmissions, frames given up.
    tx_duration_us, rx_duration_us
        Air time used in microseconds.
    airtime_weight
        Share of the air time fairness.
    """

    address: str
    signal_dbm: int | None = None
    ack_signal_dbm: int | None = None
    tx_bitrate_bps: int | None = None
    rx_bitrate_bps: int | None = None
    expected_throughput_bps: int | None = None
    tx_packets: int | None = None
    tx_retries: int | None = None
    tx_failed: int | None = None
    tx_duration_us: int | None = None
    rx_duration_us: int | None = None
    airtime_weight: int | None = None


def has_radio(interface: str) -> bool:
    """Say whether an interface belongs to a radio.

    Raises
    ------
    InputError
        If there is no such interface.
    """
    try:
        socket.if_nametoindex(interface)
    except OSError:
        raise InputError(f"{interface}: no such interface; 'ip link' lists them") from None
    return Path("/sys/class/net", interface, "phy80211").exists()


def read_stations(interface: str) -> tuple[WifiStation, ...]:
    """Read the stations of a Wi-Fi interface.

    Raises
    ------
    InputError
        If there is no such interface, it is no radio, or no station is associated.
    KernelError
        If the kernel refuses the dump.
    """
    radio = has_radio(interface)
    stations = tuple(decode_station(message) for message in _dump(interface, radio=radio))
    if not stations:
        raise InputError(f"{interface}: no station is associated; connect first, then ask again")
    return stations


def _dump(interface: str, *, radio: bool) -> list[Any]:
    from pyroute2 import IW
    from pyroute2.netlink.exceptions import NetlinkError

    no_radio = f"{interface}: no radio here (the kernel has no nl80211 device by that name); use a TOPOLOGY"
    # Asked first, because a socket for a family that the kernel lacks fails half made.
    if not radio:
        raise InputError(no_radio)
    kernel = IW()
    try:
        return list(kernel.get_stations(socket.if_nametoindex(interface)))
    except NetlinkError as error:
        if error.code in (_ENOENT, _ENODEV, _EOPNOTSUPP):
            raise InputError(no_radio) from error
        raise KernelError(f"iw dev {interface} station dump", error.code) from error
    finally:
        kernel.close()


def decode_station(message: Any) -> WifiStation:
    """Take the figures of one decoded nl80211 message of NL80211_CMD_NEW_STATION."""
    info = message.get_attr("NL80211_ATTR_STA_INFO")
    figures: Mapping[str, Any] = dict(info["attrs"]) if info is not None else {}

    def figure(name: str) -> int | None:
        value = figures.get(f"NL80211_STA_INFO_{name}")
        return None if value is None else int(value)

    signal = figure("SIGNAL_AVG")
    acknowledged = figure("ACK_SIGNAL_AVG")
    throughput_kbps = figure("EXPECTED_THROUGHPUT")
    return WifiStation(
        address=str(message.get_attr("NL80211_ATTR_MAC")),
        signal_dbm=figure("SIGNAL") if signal is None else signal,
        ack_signal_dbm=figure("ACK_SIGNAL") if acknowledged is None else acknowledged,
        tx_bitrate_bps=_bitrate_bps(figures.get("NL80211_STA_INFO_TX_BITRATE")),
        rx_bitrate_bps=_bitrate_bps(figures.get("NL80211_STA_INFO_RX_BITRATE")),
        expected_throughput_bps=None if throughput_kbps is None else throughput_kbps * 1000,
        tx_packets=figure("TX_PACKETS"),
        tx_retries=figure("TX_RETRIES"),
        tx_failed=figure("TX_FAILED"),
        tx_duration_us=figure("TX_DURATION"),
        rx_duration_us=figure("RX_DURATION"),
        airtime_weight=figure("AIRTIME_WEIGHT"),
    )


def _bitrate_bps(rate: Any) -> int | None:
    """Read a nested rate; the kernel counts in 100 kbit/s, the wide field where the narrow one overflows."""
    if rate is None:
        return None
    figures = dict(rate["attrs"])
    for name in ("BITRATE32", "BITRATE"):
        value = figures.get(f"NL80211_RATE_INFO_{name}")
        if value:
            return int(value) * 100_000
    return None
