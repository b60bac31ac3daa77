"""The rate that an application may use: what the link admits, what the transport allows, which layers fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qos.crosslayer.guards import check_finite, check_not_negative, check_positive, check_probability

OVERUSE_FACTOR = 0.85
MIN_RATE_BPS = 10_000.0


def tfrc_rate_bps(packet_bytes: int, round_trip_s: float, loss_event_rate: float) -> float:
    """Rate of a TCP-friendly flow: RFC 5348, section 3.1, with ``b = 1`` and ``t_RTO = 4 R``.

    Parameters
    ----------
    packet_bytes
        Packet size, more than 0.
    round_trip_s
        Round-trip time in seconds, more than 0.
    loss_event_rate
        Loss events over packets, more than 0 and less than 1. Losses on the air that are no sign of
        congestion do not belong in it.

    Examples
    --------
    >>> round(tfrc_rate_bps(1460, 0.1, 0.01) / 1e6, 2)
    1.31
    """
    check_positive("packet size", packet_bytes)
    p, r = check_probability("loss event rate", loss_event_rate), check_positive("round trip", round_trip_s)
    timeout = 4 * r * 3 * math.sqrt(3 * p / 8) * p * (1 + 32 * p * p)
    return 8 * packet_bytes / (r * math.sqrt(2 * p / 3) + timeout)


@dataclass(frozen=True)
class DelayGradient:
    """A sender that follows the trend of the delay (as in Google congestion control).

    Falling to 0.85 of the received rate on a rising delay, growing by 5 % a second otherwise; a loss above
    10 % cuts, one below 2 % does not hinder (draft-ietf-rmcat-gcc-02, sections 5.5 and 6).

    Attributes
    ----------
    rate_bps
        Present rate.
    smoothed_gradient
        Smoothed change of the one-way delay, seconds a second.
    threshold
        Gradient that counts as overuse.
    """

    rate_bps: float
    smoothed_gradient: float = 0.0
    threshold: float = 0.01

    def __post_init__(self) -> None:
        check_positive("rate", self.rate_bps)
        check_finite("gradient", self.smoothed_gradient)
        check_positive("threshold", self.threshold)

    def update(
        self,
        gradient: float,
        received_bps: float,
        loss: float,
        interval_s: float,
        ceiling_bps: float = math.inf,
    ) -> DelayGradient:
        """Take one report and give the next state.

        Parameters
        ----------
        gradient
            Change of the one-way delay over the interval, seconds a second.
        received_bps
            Rate at which data arrived.
        loss
            Share of packets lost, 0 to 1.
        interval_s
            Time since the last report.
        ceiling_bps
            What the effective capacity of the link admits.
        """
        smoothed = 0.7 * self.smoothed_gradient + 0.3 * check_finite("gradient", gradient)
        rate = self.rate_bps
        if smoothed > self.threshold:
            rate = OVERUSE_FACTOR * check_not_negative("received rate", received_bps)
        elif smoothed > -self.threshold:
            rate *= 1.05 ** check_positive("interval", interval_s)
        if check_not_negative("loss", loss) > 0.1:
            rate = min(rate, self.rate_bps * (1 - 0.5 * loss))
        return DelayGradient(max(min(rate, ceiling_bps), MIN_RATE_BPS), smoothed, self.threshold)


def choose_layers(layer_rates_bps: Sequence[float], capacity_bps: float) -> int:
    """Count the layers of a video, base first, whose sum fits a capacity; each needs all below it.

    Examples
    --------
    >>> choose_layers([300e3, 600e3, 1.6e6], 1e6)
    2
    """
    check_not_negative("capacity", capacity_bps)
    total = 0.0
    for count, rate in enumerate(layer_rates_bps):
        total += check_positive(f"rate of layer {count}", rate)
        if total > capacity_bps:
            return count
    return len(layer_rates_bps)
