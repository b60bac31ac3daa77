"""A planned radio link as time goes by: the rate that it serves and the packets that it gives up.

The channel fades (Clarke's spectrum); each slot is sent in the mode that the plan's thresholds choose at its
SNR, and fails with that mode's error rate: then the same bits are sent again, which here is a slot without
service. A packet is given up when all its attempts fail; how often that happens is computed exactly for the
SNRs that were drawn, as the mean over slots of the product of the error rates of that many attempts in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.channel.doppler import clarke_snr
from qos.crosslayer.guards import from_db
from qos.crosslayer.link_design import LinkModel, model_link
from qos.planning import LinkSetting, Plan
from qos.simulation.scenario import RateTrace
from topologies.links import WirelessLink

Floats = NDArray[np.float64]
STEADY_M = 32
"""From this fading figure on the channel is taken as constant."""


@dataclass(frozen=True, eq=False)
class RadioRun:
    """One direction of a radio link for the length of a run.

    Attributes
    ----------
    rates
        What it serves.
    given_up
        Probability that a packet of each planned flow is given up, by the flow's name.
    """

    rates: RateTrace
    given_up: Mapping[str, float]


def snr_trace(model: LinkModel, duration_s: float, seed: np.random.SeedSequence) -> Floats:
    """Draw the SNR (power ratio) in each slot, shape (slots,)."""
    slots = int(np.ceil(duration_s / model.slot_s)) + 1
    if model.fading.m > STEADY_M:
        return np.full(slots, model.fading.mean_snr)
    if model.doppler_slot == 0:
        return np.full(slots, float(model.fading.sample(np.random.default_rng(seed), 1)[0]))
    if model.doppler_slot > 0.5:
        return model.fading.sample(np.random.default_rng(seed), slots)
    return clarke_snr(model.fading, model.doppler_slot, slots, 1, seed)[:, 0]


def run_radio(plan: Plan, setting: LinkSetting, duration_s: float, seed: np.random.SeedSequence) -> RadioRun:
    """Let a channel fade and its radio follow it.

    The classes take turns by what is reserved for them, a slot each.

    Parameters
    ----------
    plan
        Holds the link and its flows.
    setting
        What the plan says of the direction; it carries at least one class.
    duration_s
        Length of the run.
    seed
        Of the fading, the attempts and the turns.
    """
    link = plan.scenario.topology.links[setting.link]
    assert isinstance(link, WirelessLink)
    model = model_link(plan.scenario.topology, link)
    fading, attempts = seed.spawn(2)
    snr = snr_trace(model, duration_s, fading)
    random = np.random.default_rng(attempts)
    weights = np.array([sum(plan.flows[name].rate_bps for name in each.flows) for each in setting.classes])
    turns = random.choice(len(weights), len(snr), p=weights / weights.sum())
    draws = random.random(len(snr))
    share = air_share(setting, plan.links)
    given_up: dict[str, float] = {}
    rates = np.zeros(len(snr))
    for turn, each in enumerate(setting.classes):
        mode = np.searchsorted(_ratios(each.thresholds_db), snr, side="right") - 1
        sent = np.where(mode >= 0, model.table.rates[np.maximum(mode, 0)], 0.0) * model.symbols_per_s
        error = np.ones(len(snr))
        for name in each.flows:
            table = model.table.for_packet_bits(plan.flows[name].packet_bytes * 8)
            error = np.where(mode >= 0, table.error_rate(np.maximum(mode, 0), snr), 1.0)
            given_up[name] = give_up_probability(error[mode >= 0], each.retransmissions)
        rates = np.where((turns == turn) & (draws >= error), share * sent, rates)
    times = np.arange(len(rates)) * model.slot_s
    changes = np.flatnonzero(np.diff(rates, prepend=-1.0))
    trace = RateTrace(
        tuple(float(time) for time in times[changes]), tuple(int(rate) for rate in rates[changes])
    )
    return RadioRun(trace, given_up)


def _ratios(levels_db: tuple[float, ...]) -> Floats:
    return np.array([from_db(level) for level in levels_db])


def give_up_probability(error: Floats, retransmissions: int) -> float:
    """Mean probability that an attempt and `retransmissions` more in a row all fail.

    Parameters
    ----------
    error
        Error rate of each slot in which something is sent, in order, shape (slots,).
    retransmissions
        Largest number of retransmissions, at least 0.
    """
    if not len(error):
        return 1.0
    attempts = min(retransmissions + 1, len(error))
    product = np.ones(len(error) - attempts + 1)
    for shift in range(attempts):
        product *= error[shift : shift + len(product)]
    return float(product.mean())


def air_share(setting: LinkSetting, every: tuple[LinkSetting, ...]) -> float:
    """Part of the air that the planned flows of the other directions on the same channels leave.

    Each takes the time that its flows need at its mean rate; at least what this direction's own need stays.
    """
    mine = set(setting.channel)
    others: dict[str, float] = dict.fromkeys(mine, 0.0)
    for each in every:
        if (each.link, each.sender) != (setting.link, setting.sender):
            for channel in mine & set(each.channel):
                others[channel] += each.reserved_bps / each.rate_bps
    busiest = max(others.values(), default=0.0)
    return max(1.0 - busiest, min(setting.reserved_bps / setting.rate_bps, 1.0), 1e-3)
