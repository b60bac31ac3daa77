"""What a transmitter knows of the channel: pilots, prediction, and reports that are late and noisy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from scipy.linalg import solve, toeplitz

from qos.crosslayer.channel.doppler import autocorrelation
from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.guards import check_count, check_not_negative, check_positive, from_db

Floats = NDArray[np.float64]

USELESS_NMSE = 0.95
"""Normalised error from which a prediction says no more than the statistics do."""


def pilot_error(pilots: int, pilot_snr_db: float) -> float:
    """Error variance of the MMSE estimate of a unit-variance gain from some pilots: ``1 / (1 + n snr)``."""
    return 1 / (1 + check_count("pilots", pilots, 1) * from_db(pilot_snr_db))


@dataclass(frozen=True)
class WienerPredictor:
    """The linear predictor of Clarke's gain with the least mean-square error.

    Attributes
    ----------
    weights
        Weight of each past pilot, the newest first.
    nmse
        Mean-square error over the variance of the gain, 0 to 1.
    hold_nmse
        The same if the newest pilot is used as it is.
    """

    weights: Floats
    nmse: float
    hold_nmse: float

    @property
    def is_useless(self) -> bool:
        """Whether to fall back on the channel's statistics."""
        return self.nmse > USELESS_NMSE


def wiener_predictor(
    doppler_slot: float, pilot_snr_db: float, order: int, delay_slots: int
) -> WienerPredictor:
    """Design the predictor of the gain `delay_slots` ahead from `order` noisy pilots, one a slot.

    Kay, *Fundamentals of Statistical Signal Processing: Estimation Theory*, section 12.7.
    """
    check_not_negative("Doppler per slot", doppler_slot)
    check_count("order", order, 1)
    check_count("delay", delay_slots)
    noise = 1 / from_db(pilot_snr_db)
    past = autocorrelation(doppler_slot, np.arange(order))
    ahead = autocorrelation(doppler_slot, np.arange(order) + delay_slots)
    weights = solve(toeplitz(past) + noise * np.eye(order), ahead, assume_a="pos")
    hold = 2 - 2 * float(ahead[0]) + noise
    return WienerPredictor(weights, float(np.clip(1 - ahead @ weights, 0, 1)), hold)


@dataclass(frozen=True)
class ReportChannel:
    """How channel quality reports reach the transmitter.

    Attributes
    ----------
    period_slots
        A report every so many slots, at least 1.
    delay_slots
        Age of a report when it arrives, at least 0.
    noise_db
        Standard deviation of the report in dB, at least 0.
    """

    period_slots: int = 1
    delay_slots: int = 0
    noise_db: float = 0.0

    def __post_init__(self) -> None:
        check_count("report period", self.period_slots, 1)
        check_count("report delay", self.delay_slots)
        check_not_negative("report noise", self.noise_db)

    def age_slots(self, slots: int) -> NDArray[np.int64]:
        """Age of the newest report at each slot; before the first one, the age since the first slot."""
        now = np.arange(slots)
        taken = (now - self.delay_slots) // self.period_slots * self.period_slots
        return np.asarray(now - np.maximum(taken, 0))

    def reports_db(self, snr: Floats, seed: int | np.random.SeedSequence) -> Floats:
        """Give what the transmitter knows at each slot (dB), for SNR traces of shape (slots, users)."""
        slots = snr.shape[0]
        noise = np.random.default_rng(seed).standard_normal(snr.shape) * self.noise_db
        taken = np.arange(slots) - self.age_slots(slots)
        return np.asarray(10 * np.log10(np.maximum(snr[taken], 1e-30)) + noise[taken])


def posterior_snr(
    fading: NakagamiFading, doppler_slot: float, reports: ReportChannel, report_db: float, age_slots: int
) -> tuple[Floats, Floats]:
    """Distribution of the present SNR given one late, noisy report of its power.

    The prior times the likelihood of the report, pushed through the bivariate gamma kernel of the lag.

    Returns
    -------
    tuple
        Quantile levels' SNRs (power ratios) and their probabilities, which sum to one.
    """
    levels = (np.arange(200) + 0.5) / 200
    grid = fading.quantile(levels)
    spread = max(reports.noise_db, 0.25)
    score = (report_db - 10 * np.log10(grid)) / spread
    then = np.exp(-0.5 * (score - score[np.argmin(np.abs(score))]) ** 2)
    then /= then.sum()
    correlation = min(float(special.j0(2 * math.pi * doppler_slot * age_slots)) ** 2, 1 - 1e-9)
    edges = np.concatenate([[0.0], fading.quantile(np.arange(1, 200) / 200), [np.inf]])
    scale = fading.mean_snr * (1 - correlation) / (2 * fading.m)
    shift = correlation * grid / scale
    cdf = stats.ncx2.cdf(edges[None] / scale, 2 * fading.m, shift[:, None])
    now = then @ np.diff(cdf, axis=1)
    return grid, now / now.sum()


def doppler_for_coherence(coherence_s: float) -> float:
    """Maximum Doppler shift whose autocorrelation falls to one half after a time."""
    return 1.5211 / (2 * math.pi * check_positive("coherence time", coherence_s))
