"""The rate of a radio as its queue should see it: from the counters of its stations, followed in time.

A packet to a station takes the air for its size divided by the goodput that the kernel expects there
(`NL80211_STA_INFO_EXPECTED_THROUGHPUT`; where the driver does not tell it, `PHYSICAL_SHARE` of the physical
rate, less what is sent again). What the radio carries is therefore the mean of the stations' goodputs by the
air time each has used since the last look, or, without air times, their harmonic mean by packets.

The shaper takes `RADIO_SHARE` of it, so that packets wait in our queue and not in the driver's. A fall is
followed at once, since every moment at too high a rate fills the driver; a rise is followed slowly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from linux_qdisc.settings import MAX_RATE_BPS, MIN_RATE_BPS, QueueSettings
from linux_qdisc.wifi_stations import WifiStation, has_radio, read_stations
from qos.errors import MissingPieceError, QosError

log = logging.getLogger(__name__)
RADIO_SHARE = 0.9
"""Share of the radio's rate that the queue sends at [ours]."""
PHYSICAL_SHARE = 0.6
"""Goodput of a frame exchange as a share of the physical rate, with preambles and acknowledgements [ours]."""
LOOK_S = 0.5
"""Time between two looks at the stations."""
RISE = 0.25
"""Share of a rise that is followed at each look."""
STEP = 0.05
"""A change of the rate by less than this share is not worth a change of the tree."""
Reader = Callable[[str], Sequence[WifiStation]]


def station_goodput_bps(station: WifiStation) -> float | None:
    """Give what a station alone would carry in bit/s; None where its driver tells nothing of it."""
    if station.expected_throughput_bps:
        return float(station.expected_throughput_bps)
    if not station.tx_bitrate_bps:
        return None
    goodput = PHYSICAL_SHARE * station.tx_bitrate_bps
    if station.tx_packets and station.tx_retries is not None and station.tx_retries >= 0:
        goodput *= station.tx_packets / (station.tx_packets + station.tx_retries)
    return goodput


def radio_goodput_bps(now: Sequence[WifiStation], before: Sequence[WifiStation] = ()) -> float | None:
    """Give what the radio carries with the mix of stations that was served between two looks.

    Parameters
    ----------
    now, before
        The stations at the two looks. Where nothing was sent between, all stations count alike.

    Returns
    -------
    float or None
        bit/s; None where no station tells its rate.
    """
    goodputs = {station.address: station_goodput_bps(station) for station in now}
    told = [(station, rate) for station in now if (rate := goodputs[station.address])]
    if not told:
        return None
    earlier = {station.address: station for station in before}
    pairs = [(station, earlier.get(station.address)) for station, _ in told]
    air = [_grown(one.tx_duration_us, then.tx_duration_us if then else None) for one, then in pairs]
    packets = [_grown(one.tx_packets, then.tx_packets if then else None) for one, then in pairs]
    rates = [rate for _, rate in told]
    used = [time_us for time_us in air if time_us is not None]
    total_us: int = sum(used)
    if len(used) == len(air) and total_us:
        return sum(time_us * rate for time_us, rate in zip(used, rates, strict=True)) / total_us
    weights = [count or 0 for count in packets]
    if not sum(weights):
        weights = [1] * len(rates)
    return sum(weights) / sum(weight / rate for weight, rate in zip(weights, rates, strict=True))


def _grown(now: int | None, then: int | None) -> int | None:
    """How much a counter grew; None where it is not told, 0 for one that is new or began again."""
    if now is None:
        return None
    return max(now - then, 0) if then is not None else 0


def shaped_rate_bps(goodput_bps: float) -> int:
    """Give the rate for the queue in front of a radio, inside the range of `QueueSettings`."""
    return min(max(round(RADIO_SHARE * goodput_bps), MIN_RATE_BPS), MAX_RATE_BPS)


class RadioRate:
    """Follows the rate of one radio.

    Parameters
    ----------
    interface
        The Wi-Fi interface.
    rate_bps
        What the queue is shaped to now.
    read
        Gives the stations of an interface; the kernel's unless a test says otherwise.

    Notes
    -----
    The smoothed figure starts at the present rate, so a loop that goes on after a restart does not jump.
    """

    def __init__(self, interface: str, rate_bps: int, read: Reader = read_stations) -> None:
        self._interface = interface
        self._read = read
        self._before: Sequence[WifiStation] = ()
        self._goodput_bps = rate_bps / RADIO_SHARE
        self._rate_bps = rate_bps
        self._next_look_s = float("-inf")
        self._complained = False

    def look(self, now_s: float) -> int | None:
        """Look at the stations if it is time; give a new rate in bit/s, or None where none is needed.

        Parameters
        ----------
        now_s
            A clock that only goes forward, in seconds.
        """
        if now_s < self._next_look_s:
            return None
        self._next_look_s = now_s + LOOK_S
        try:
            stations = self._read(self._interface)
        except QosError as error:
            if not self._complained:
                log.warning("the rate stays as it is: %s", error)
            self._complained = True
            return None
        self._complained = False
        found = radio_goodput_bps(stations, self._before)
        self._before = stations
        if found is None:
            return None
        share = RISE if found > self._goodput_bps else 1.0
        self._goodput_bps += share * (found - self._goodput_bps)
        wanted = shaped_rate_bps(self._goodput_bps)
        if abs(wanted - self._rate_bps) < STEP * self._rate_bps:
            return None
        self._rate_bps = wanted
        return wanted


def first_rate_bps(interface: str, read: Reader = read_stations) -> int:
    """Give the rate to begin with.

    Raises
    ------
    MissingPieceError
        If the interface is no radio, or its driver does not tell the rate of any station.
    InputError
        If there is no such interface, or no station is associated.
    """
    if not has_radio(interface):
        raise MissingPieceError(
            f"{interface}: --rate auto follows a radio, and the kernel has none by that name; "
            "give the rate of the link, such as --rate 20mbit"
        )
    found = radio_goodput_bps(read(interface))
    if found is None:
        raise MissingPieceError(
            f"{interface}: the driver tells neither the expected throughput nor the rate of a station; "
            "give the rate, such as --rate 20mbit"
        )
    return shaped_rate_bps(found)


def follow(settings: QueueSettings, now_s: float, radio: RadioRate) -> QueueSettings | None:
    """Give the settings for the radio's present rate; None where those that stand are good."""
    rate_bps = radio.look(now_s)
    return None if rate_bps is None else replace(settings, rate_bps=rate_bps)
