"""Adaptive modulation and coding with a limited number of retransmissions, in closed form.

Liu, Zhou, Giannakis, "Cross-layer combining of adaptive modulation and coding with truncated ARQ over
wireless links", IEEE Transactions on Wireless Communications 3(5), 2004. Block fading, the transmitter knows
the SNR, feedback comes at once and without error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.guards import check_count
from qos.crosslayer.modes import ModeTable
from qos.errors import ValueRefusedError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AmcPerformance:
    """What a set of thresholds achieves.

    Attributes
    ----------
    thresholds
        SNR (power ratio) from which each mode is used.
    mode_probability
        Share of the time that each mode is used.
    mode_error_rate
        Mean packet error rate within each mode (0 for a mode that is never used).
    outage_probability
        Share of the time without transmission.
    error_rate
        Mean packet error rate, averaged over packets.
    mean_transmissions
        Mean number of transmissions a packet.
    bits_per_symbol
        Mean rate while counting silence, before retransmissions.
    spectral_efficiency
        Mean rate over the transmissions a packet needs, bits a symbol (equation (29) of the paper).
    loss
        Probability that a packet is lost after its last retransmission.
    """

    thresholds: Floats
    mode_probability: Floats
    mode_error_rate: Floats
    outage_probability: float
    error_rate: float
    mean_transmissions: float
    bits_per_symbol: float
    spectral_efficiency: float
    loss: float

    @property
    def thresholds_db(self) -> Floats:
        """Thresholds in dB."""
        return np.asarray(10 * np.log10(self.thresholds))

    @property
    def delivered_bits_per_symbol(self) -> float:
        """Mean rate of what arrives: bits a symbol times the share of transmissions that succeed."""
        return self.bits_per_symbol * (1 - self.error_rate)


def check_thresholds(table: ModeTable, thresholds: Floats) -> Floats:
    """Give thresholds as an array, refusing those that fall or do not fit the table.

    Raises
    ------
    ValueRefusedError
        If there is not one positive number a mode, or they fall.
    """
    levels = np.asarray(thresholds, dtype=float)
    if levels.shape != (len(table.modes),) or np.isnan(levels).any() or (levels <= 0).any():
        raise ValueRefusedError(f"thresholds must be {len(table.modes)} SNRs above 0, one for each mode")
    if (np.diff(levels) < 0).any():
        raise ValueRefusedError("thresholds must not fall from one mode to the next")
    return levels


def evaluate(
    table: ModeTable, fading: NakagamiFading, thresholds: Floats, retransmissions: int
) -> AmcPerformance:
    """Evaluate thresholds in closed form.

    Parameters
    ----------
    table
        Modes.
    fading
        Distribution of the SNR.
    thresholds
        SNR (power ratio) from which each mode is used, not falling, shape (modes,).
    retransmissions
        Largest number of retransmissions a packet, at least 0.

    Raises
    ------
    ValueRefusedError
        If the thresholds do not fit, or the number is negative.
    """
    levels = check_thresholds(table, thresholds)
    check_count("retransmissions", retransmissions)
    low, high = levels, np.append(levels[1:], np.inf)
    probability = fading.probability_between(low, high)
    # Below the cut-off of a mode every packet is lost; above it the error rate is exponential.
    cutoffs = np.clip(table.cutoffs, low, high)
    lost = fading.probability_between(low, cutoffs)
    lost = lost + table.a * fading.exponential_mean(table.g, cutoffs, high)
    rate = float(table.rates @ probability)
    error = float(table.rates @ lost) / rate if rate > 0 else 1.0
    return AmcPerformance(
        thresholds=levels,
        mode_probability=probability,
        mode_error_rate=np.divide(lost, probability, out=np.zeros_like(lost), where=probability > 0),
        outage_probability=float(fading.cdf(levels[0])),
        error_rate=error,
        mean_transmissions=mean_transmissions(error, retransmissions),
        bits_per_symbol=rate,
        spectral_efficiency=rate / mean_transmissions(error, retransmissions),
        loss=error ** (retransmissions + 1),
    )


def mean_transmissions(error_rate: float, retransmissions: int) -> float:
    """Mean transmissions a packet with independent errors: ``(1 - p^(N+1)) / (1 - p)``.

    Examples
    --------
    >>> mean_transmissions(0.5, 1), mean_transmissions(1.0, 3)
    (1.5, 4.0)
    """
    return float(sum(error_rate**attempt for attempt in range(retransmissions + 1)))


def loss_on_a_constant_channel(
    table: ModeTable, fading: NakagamiFading, thresholds: Floats, retransmissions: int
) -> float:
    """Loss if the SNR does not change between the attempts of a packet: the mean of ``PER^(N+1)``.

    The larger of two means: over packets of a sender that always has some (fast modes carry more of them),
    and over time while sending (a slow source sends as much in each slot).
    The closed form takes attempts as independent; on a channel that is slow against the time between attempts
    the loss is nearer to this figure. With the thresholds of the published design it is within the bound too,
    because no attempt is ever made at more than ``loss^(1/(N+1))``.
    """
    levels = check_thresholds(table, thresholds)
    power = check_count("retransmissions", retransmissions) + 1
    low, high = levels, np.append(levels[1:], np.inf)
    cutoffs = np.clip(table.cutoffs, low, high)
    certain = fading.probability_between(low, cutoffs)
    lost = certain + table.a**power * fading.exponential_mean(power * table.g, cutoffs, high)
    share = fading.probability_between(low, high)
    weights = (table.rates, np.ones(len(levels)))
    return max(float(w @ lost) / float(w @ share) if float(w @ share) > 0 else 1.0 for w in weights)


@dataclass(frozen=True)
class MonteCarloCheck:
    """Figures of `simulate`, to hold against those of `evaluate`."""

    error_rate: float
    mean_transmissions: float
    spectral_efficiency: float
    loss: float


def simulate(
    table: ModeTable,
    fading: NakagamiFading,
    performance: AmcPerformance,
    retransmissions: int,
    *,
    slots: int = 1_000_000,
    seed: int = 1,
) -> MonteCarloCheck:
    """Send packets over drawn channel states: the judge of the closed form.

    Each slot has its own SNR (stratified over its distribution, in random order) and carries four packets a
    bit per symbol, each with an error of its own; packets are sent until they arrive or the limit is reached.
    """
    rng = np.random.default_rng(seed)
    levels = (rng.permutation(slots) + rng.random(slots)) / slots
    snr = fading.quantile(levels)
    mode = np.searchsorted(performance.thresholds, snr, side="right") - 1
    packets = np.where(mode >= 0, np.rint(4 * table.rates[np.maximum(mode, 0)]), 0).astype(np.int64)
    error = np.repeat(table.error_rate(np.maximum(mode, 0), snr), packets)
    failed = rng.random(len(error)) < error
    failed = failed[rng.permutation(len(failed))]
    arrived = np.flatnonzero(~failed)
    runs = np.diff(np.concatenate([[-1], arrived])) - 1
    lost = int((runs // (retransmissions + 1)).sum())
    sent = int(arrived[-1]) + 1 if len(arrived) else 0
    count = len(arrived) + lost
    mean = sent / count if count else float(retransmissions + 1)
    return MonteCarloCheck(
        error_rate=float(failed.mean()) if len(failed) else 1.0,
        mean_transmissions=mean,
        spectral_efficiency=float(packets.mean() / 4 / mean),
        loss=lost / count if count else 1.0,
    )
