"""A simulation of a designed link on Clarke fading: the judge of its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.channel.doppler import clarke_snr
from qos.crosslayer.harq import Combining
from qos.crosslayer.link_design import ClassDesign, LinkModel
from qos.crosslayer.modes import ModeTable

Floats = NDArray[np.float64]

LINKS = 120
SLOTS = 4000
_WARM_UP = 1000


@dataclass(frozen=True)
class LinkCheck:
    """What a class met in the simulation.

    Attributes
    ----------
    rate_bps
        Offered constant rate: the admissible one, or nine tenths of the mean for a class without a bound.
    loss
        Share of the bits lost after the last retransmission.
    late
        Share of the delivered bits that came after the delay bound.
    mean_delay_s
        Mean delay of the delivered bits, transmission included.
    """

    rate_bps: float
    loss: float
    late: float
    mean_delay_s: float


def simulate_link(model: LinkModel, designs: Sequence[ClassDesign], seed: int = 1) -> tuple[LinkCheck, ...]:
    """Run each class alone at its admissible rate over an ensemble of fading links.

    Each slot the bits at the head are sent in the mode of the slot's SNR as one block; it fails with the
    mode's error rate at that SNR and is sent again, until it arrives or the retransmission limit is reached.
    With HARQ a block keeps its mode and its bits, and is decoded at the SNR of all its attempts together.

    Parameters
    ----------
    model
        The link.
    designs
        Its classes.
    seed
        Seed of the fading and of the errors.
    """
    fading_seed, error_seed = np.random.SeedSequence(seed).spawn(2)
    snr = _trace(model, fading_seed)
    rng = np.random.default_rng(error_seed)
    return tuple(_run(model, each, snr, rng) for each in designs)


def _trace(model: LinkModel, seed: np.random.SeedSequence) -> Floats:
    if model.fading.m > 32:
        return np.full((SLOTS, LINKS), model.fading.mean_snr)
    if model.doppler_slot > 0.5:
        return model.fading.sample(np.random.default_rng(seed), (SLOTS, LINKS))
    return clarke_snr(model.fading, model.doppler_slot, SLOTS, LINKS, seed)


class _SoftBlocks:
    """The block in flight of each link: its mode, its bits, and what its attempts add up to.

    A block of combined attempts has one draw, made at its first attempt: it is decoded as soon as its error
    rate at the combined SNR has fallen to it. Attempts of `type-1` each have their own.
    """

    def __init__(self, combining: Combining, table: ModeTable, links: int) -> None:
        self._combining, self._table = combining, table
        self._mode = np.zeros(links, dtype=np.int64)
        self._bits, self._sum, self._draw = np.zeros(links), np.zeros(links), np.zeros(links)

    def attempt(
        self,
        attempts: NDArray[np.int64],
        block: Floats,
        mode: NDArray[np.int64],
        snr: Floats,
        draw: Floats,
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Send once more, or a fresh block where none is in flight; return the bits, and what has failed."""
        fresh = attempts == 0
        self._mode[fresh], self._bits[fresh] = mode[fresh], block[fresh]
        self._sum[fresh] = 0.0
        once = fresh if self._combining != "type-1" else np.ones_like(fresh)
        self._draw[once] = draw[once]
        if self._combining == "incremental":
            self._sum += np.log1p(snr)
            combined = np.expm1(self._sum)
        else:
            self._sum = self._sum + snr if self._combining == "chase" else snr
            combined = self._sum
        error = self._table.error_rate(np.maximum(self._mode, 0), combined)
        return self._bits, self._draw < error


def _run(model: LinkModel, each: ClassDesign, snr: Floats, rng: np.random.Generator) -> LinkCheck:
    bounded = each.demand.delay_bound_s is not None
    rate = each.admissible_bps if bounded else 0.9 * each.admissible_bps
    if rate <= 0:
        return LinkCheck(0.0, 0.0, 0.0, 0.0)
    table = model.table.for_packet_bits(each.demand.packet_bytes * 8)
    mode = np.searchsorted(each.performance.thresholds, snr, side="right") - 1
    error = np.where(mode >= 0, table.error_rate(np.maximum(mode, 0), snr), 1.0)
    draw = rng.random(snr.shape)
    failed = draw < error
    sent_bits = np.where(mode >= 0, table.rates[np.maximum(mode, 0)], 0) * model.symbols_per_s * model.slot_s
    arrival = rate * model.slot_s
    bound = (each.demand.delay_bound_s or np.inf) - model.link.delay_s
    backlog, attempts = np.zeros(snr.shape[1]), np.zeros(snr.shape[1], dtype=np.int64)
    soft = None if each.harq is None else _SoftBlocks(each.harq.combining, table, snr.shape[1])
    delivered = lost = late = delay_sum = 0.0
    for slot in range(snr.shape[0]):
        backlog += arrival
        block = np.minimum(backlog, sent_bits[slot])
        lost_now = failed[slot]
        if soft is not None:
            block, lost_now = soft.attempt(attempts, block, mode[slot], snr[slot], draw[slot])
        sending = block > 0
        attempts += sending
        given_up = sending & lost_now & (attempts > each.retransmissions)
        arrived = sending & ~lost_now
        # With a constant rate the age of the head is the backlog over the rate.
        age = backlog / arrival * model.slot_s
        gone = given_up | arrived
        attempts[gone] = 0
        backlog -= np.where(gone, block, 0.0)
        if slot >= _WARM_UP:
            bits = np.where(arrived, block, 0.0)
            delivered += float(bits.sum())
            delay_sum += float((bits * age).sum())
            late += float(bits[age > bound].sum())
            lost += float(block[given_up].sum())
    if delivered == 0:
        return LinkCheck(rate, 1.0, 1.0, float("inf"))
    mean_delay = delay_sum / delivered + model.link.delay_s
    return LinkCheck(rate, lost / (lost + delivered), late / delivered, mean_delay)
