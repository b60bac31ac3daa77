"""Mean SNR, Doppler shift and report noise of a link, learned from its reports around a prior.

In decibels the power of a Rayleigh channel has the autocovariance ``c^2 Li2(J0(2 pi fd tau)^2)`` with
``c = 10 / ln 10``: the covariance of the logarithms of two correlated exponentials, with
``c^2 Li2(1) = 31.0 dB^2``. A bank of one-step linear predictors, one for each Doppler shift and noise,
scores how well it foresaw each report; the scores, tempered because log-power is not Gaussian, move
a log-normal prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Float

ORDER = 16
"""Earlier reports that a predictor uses."""
TEMPER = 0.3
"""Weight of a report's score: the predictors' errors are neither Gaussian nor independent."""
DB_PER_NEPER = 10 / np.log(10)
MEAN_LOG_POWER_DB = -DB_PER_NEPER * np.euler_gamma
"""Mean of Rayleigh power in dB over the mean power in dB: -2.51."""
INDEPENDENT_PER_CYCLE = 1.5
"""Independent samples of the power in a Doppler cycle, cautiously."""
HOLD_TOLD, HOLD_BLIND = (3.0, 20.0), (1.0, 6.0)
"""By how much another Doppler shift must score better, up and down, to be believed: told, not told.

Too slow a model costs more than too fast a one, so going down takes more.
"""
FORGET_REPORTS = 4000
"""The scores look back over about this many reports."""


@dataclass(frozen=True, slots=True)
class LinkPrior:
    """What is believed before the first report.

    Attributes
    ----------
    mean_snr_db, doppler_slots
        Centre for each user, shape ``(U,)``; Doppler shift times slot length.
    mean_deviation_db, doppler_deviation
        How far off they may be: dB, and natural logarithm of a factor.
    noise_db
        Standard deviations of the report error to choose from, shape ``(K,)``; one where it is known.
    hold
        Lead in score that a higher and a lower Doppler shift needs.
    """

    mean_snr_db: Float
    doppler_slots: Float
    mean_deviation_db: float
    doppler_deviation: float
    noise_db: Float
    hold: tuple[float, float] = HOLD_TOLD


def log_power_covariance(doppler_slots: Float, lag_slots: NDArray[np.integer]) -> Float:
    """Return the autocovariance of Clarke log-power in dB^2, shape ``(dopplers, *lags)``."""
    from scipy.special import j0, spence

    turn = 2 * np.pi * np.multiply.outer(doppler_slots, np.abs(lag_slots).astype(np.float64))
    square = j0(turn) ** 2
    return np.asarray(DB_PER_NEPER**2 * spence(1 - square))  # Li2(z) = spence(1 - z)


class LinkEstimate:
    """Learns each user's mean SNR, Doppler shift and report noise from its reports.

    Parameters
    ----------
    prior
        What is believed at first.
    grid
        Doppler shifts (times slot length) to choose from, shape ``(B,)``, rising.
    period_slots
        Slots between reports.

    Attributes
    ----------
    mean_snr_db, noise_db
        The present belief, shape ``(U,)``.
    doppler_index
        Place of the present belief in `grid`, shape ``(U,)``.
    """

    def __init__(self, prior: LinkPrior, grid: Float, period_slots: int) -> None:
        self._prior, self._grid, self._period = prior, grid, period_slots
        users = prior.mean_snr_db.size
        lags = period_slots * np.arange(ORDER + 1)
        gaps = np.abs(lags[:, None] - lags[None, :])
        covariance = log_power_covariance(grid, gaps)[:, None] + (
            prior.noise_db[None, :, None, None] ** 2 * np.eye(ORDER + 1)
        )
        inside, across = covariance[..., 1:, 1:], covariance[..., 1:, 0]
        self._predict = np.linalg.solve(inside, across[..., None])[..., 0]  # (B, K, ORDER)
        self._variance = covariance[..., 0, 0] - (self._predict * across).sum(-1)
        off = np.log(grid[None, :] / prior.doppler_slots[:, None]) / prior.doppler_deviation
        self._log_prior = np.repeat(-0.5 * off[:, :, None] ** 2, prior.noise_db.size, axis=2)
        self._score = np.zeros((users, grid.size, prior.noise_db.size))
        self._recent = np.zeros((users, ORDER))
        self._heard = 0
        self._power_sum = np.zeros(users)
        self._scale_db = prior.mean_snr_db.copy()
        self.mean_snr_db = prior.mean_snr_db.copy()
        self.doppler_index = np.abs(np.log(grid[None, :] / prior.doppler_slots[:, None])).argmin(axis=1)
        self.noise_db = np.full(users, float(np.median(prior.noise_db)))

    def update(self, report_db: NDArray[np.floating]) -> None:
        """Take in one report of each user, shape ``(U,)``."""
        report = report_db.astype(np.float64)
        centred = report - self.mean_snr_db - MEAN_LOG_POWER_DB
        if self._heard >= ORDER:
            foreseen = np.einsum("bkl,ul->ubk", self._predict, self._recent)
            error = centred[:, None, None] - foreseen
            gain = -0.5 * (error**2 / self._variance + np.log(self._variance))
            self._score = self._score * (1 - 1 / FORGET_REPORTS) + TEMPER * gain
        self._recent[:, 1:] = self._recent[:, :-1].copy()
        self._recent[:, 0] = centred
        self._heard += 1
        self._power_sum += 10 ** ((report - self._scale_db) / 10)
        self._believe()

    def _believe(self) -> None:
        posterior = self._log_prior + self._score
        flat = posterior.reshape(posterior.shape[0], -1).argmax(axis=1)
        noises = self._prior.noise_db.size
        best, noise = flat // noises, flat % noises
        users = np.arange(best.size)
        # A neighbour must be clearly better before the model is changed: a change costs what was tracked.
        held = posterior[users, self.doppler_index].max(axis=1)
        margin = np.where(best > self.doppler_index, *self._prior.hold)
        clearly = posterior[users, best].max(axis=1) > held + margin
        self.doppler_index = np.where(clearly, best, self.doppler_index)
        self.noise_db = self._prior.noise_db[noise]
        cycles = self._heard * self._period * self._grid[self.doppler_index]
        samples = np.maximum(cycles * INDEPENDENT_PER_CYCLE, 1e-9)
        bias_db = self.noise_db**2 / (2 * DB_PER_NEPER)
        measured_db = self._scale_db + 10 * np.log10(self._power_sum / self._heard) - bias_db
        precision = samples / DB_PER_NEPER**2
        prior_precision = self._prior.mean_deviation_db**-2
        total = precision * measured_db + prior_precision * self._prior.mean_snr_db
        self.mean_snr_db = total / (precision + prior_precision)
