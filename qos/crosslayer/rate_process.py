"""The rate of a radio as time goes by, slot after slot, and what is to be expected of it from what it is now.

A slot is sent in the mode that the thresholds choose at its SNR (AMC) and fails with that mode's error rate;
then the same bits are sent again (ARQ), which is a slot without service. The expectation is that of the
first-order Markov chain of the modes, whose state the radio knows: it tells a scheduler how much the next
slots will carry, before they do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.amc_arq import AmcPerformance, evaluate
from qos.crosslayer.channel.doppler import clarke_snr
from qos.crosslayer.channel.markov import first_order_chain, region_of
from qos.crosslayer.guards import check_count
from qos.crosslayer.link_design import LinkModel, model_link
from qos.crosslayer.threshold_design import thresholds_at
from topologies.links import WirelessLink
from topologies.model import Node, Topology

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RateSeries:
    """What a radio carries in each slot.

    Attributes
    ----------
    slot_s
        Length of a slot.
    rates_bps
        Rate of each slot, 0 in silence and where the slot fails; shape (slots,).
    states
        Mode of each slot, 0 for silence; shape (slots,).
    """

    slot_s: float
    rates_bps: Floats
    states: Whole

    def changes(self) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Give the times at which the rate changes and the rates from then on, for a simulator's trace."""
        places = np.flatnonzero(np.diff(self.rates_bps, prepend=-1.0))
        times = tuple(float(place * self.slot_s) for place in places)
        return times, tuple(int(self.rates_bps[place]) for place in places)


def wifi_radio(snr_db: float, doppler_hz: float, error_rate: float) -> tuple[LinkModel, AmcPerformance]:
    """Make a Wi-Fi radio of 20 MHz at 5.18 GHz with Rayleigh fading that adapts its modes (AMC).

    Parameters
    ----------
    snr_db, doppler_hz
        Mean SNR; largest Doppler shift.
    error_rate
        The fastest mode is sent whose frames fail no more often, above 0, below 1.
    """
    air = WirelessLink("ap", "station", 20e6, 5.18e9, id="air", snr_db=snr_db, doppler_hz=doppler_hz)
    ends = [Node("ap", "access-point"), Node("station", "station")]
    model = model_link(Topology(ends, [air], name="radio"), air)
    return model, evaluate(model.table, model.fading, thresholds_at(model.table, error_rate), 0)


def rate_series(model: LinkModel, found: AmcPerformance, slots: int, seed: int) -> RateSeries:
    """Draw what a radio carries.

    Parameters
    ----------
    model
        The link; its Doppler shift must be more than 0.
    found
        Thresholds and modes.
    slots
        How many, at least 1.
    seed
        Of the fading and of the errors.
    """
    check_count("slots", slots, 1)
    fading, errors = np.random.SeedSequence(seed).spawn(2)
    snr = clarke_snr(model.fading, model.doppler_slot, slots, 1, fading)[:, 0]
    states = region_of(snr, found.thresholds)
    mode = np.maximum(states - 1, 0)
    sent = np.where(states > 0, model.table.rates[mode], 0.0) * model.symbols_per_s
    arrives = np.random.default_rng(errors).random(slots) >= model.table.error_rate(mode, snr)
    return RateSeries(model.slot_s, np.where(arrives, sent, 0.0), states)


class RateForecast:
    """Expects what a radio carries in the next slots, from the mode that it is in.

    Parameters
    ----------
    model, found
        As for `rate_series`.
    horizon_slots
        Over how many slots the mean is taken, at least 1.
    """

    def __init__(self, model: LinkModel, found: AmcPerformance, horizon_slots: int) -> None:
        check_count("horizon", horizon_slots, 1)
        chain = first_order_chain(model.fading, found.thresholds, model.doppler_slot)
        carried = model.table.rates * (1 - found.mode_error_rate) * model.symbols_per_s
        service = np.concatenate([[0.0], carried])[chain.region]
        total, ahead = np.zeros(len(service)), service
        for _ in range(horizon_slots):
            ahead = chain.transition @ ahead
            total += ahead
        # Several states of a chain may lie in one region; each counts as often as it is there.
        count = int(chain.region.max()) + 1
        weight = np.bincount(chain.region, chain.stationary, count)
        sums = np.bincount(chain.region, chain.stationary * total / horizon_slots, count)
        self._expected = np.divide(sums, weight, out=np.zeros(count), where=weight > 0)
        self.mean_bps = float(chain.stationary @ service)

    def expect(self, state: int) -> float:
        """Give the mean rate of the next slots in bit/s, from the mode now (0: silence)."""
        return float(self._expected[min(state, len(self._expected) - 1)])
