"""A table policy: the best mode for each (report, age), by the posterior of the SNR given one report."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Float, Modes
from qos.crosslayer.adaptation.contract import (
    BLER_TABLE,
    DOPPLER,
    MEAN_SNR,
    REPORT_AGE,
    REPORT_NOISE,
    REPORTS,
    Feedback,
    LinkKnowledge,
)
from qos.crosslayer.adaptation.modetable import ModeTable

STEP_DB = 0.25
LEVELS_DB = np.arange(-35.0, 11.0, STEP_DB)
"""SNR over its mean at which the posterior is held (below is 3e-4 of Rayleigh fading)."""
REPORTS_DB = np.arange(-30.0, 60.0, 0.5)
LEAST_NOISE_DB = 0.25
"""A report without error would fall between the levels."""


def power_law(levels_db: Float) -> Float:
    """Return the share of time that Rayleigh fading spends near each level over its mean; sums to 1."""
    power = 10 ** (levels_db / 10)
    share = power * np.exp(-power)
    return np.asarray(share / share.sum())


def later_power(levels_db: Float, amplitude_correlation: float) -> Float:
    """Return the law of the power after a while, a row for each power now; shape ``(L, L)``.

    The power of a Rayleigh channel whose gain has correlation `r` is non-central chi-square with two
    degrees of freedom: ``p(y | x) = exp(-(y + r^2 x)/(1-r^2)) I0(2 r sqrt(x y)/(1-r^2)) / (1-r^2)``
    (Proakis, Digital Communications, section 2.1.4).
    """
    from scipy.special import ive

    now = 10 ** (levels_db / 10)[:, None]
    then = 10 ** (levels_db / 10)[None, :]
    square = min(amplitude_correlation**2, 1 - 1e-4)  # narrower than a level is that level
    root = np.sqrt(square)
    distance = (np.sqrt(then) - root * np.sqrt(now)) ** 2 / (1 - square)
    density = np.exp(-distance) * ive(0, 2 * root * np.sqrt(now * then) / (1 - square)) * then
    return np.asarray(density / density.sum(axis=1, keepdims=True))


def best_modes(
    table: ModeTable, mean_snr_db: float, doppler_slots: float, ages: NDArray[np.integer], noise_db: float
) -> Modes:
    """Return the mode of most expected bits, shape ``(ages, reports)``.

    Parameters
    ----------
    table
        The modes.
    mean_snr_db, doppler_slots
        Mean SNR in dB and Doppler shift times slot length: the prior.
    ages
        Ages of the report in slots.
    noise_db
        Standard deviation of the report's error in dB.
    """
    from scipy.special import j0

    prior = power_law(LEVELS_DB)
    off = REPORTS_DB[:, None] - mean_snr_db - LEVELS_DB
    sharp = -0.5 * (off / max(noise_db, LEAST_NOISE_DB)) ** 2
    posterior = prior * np.exp(sharp - sharp.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    bits = table.expected_bits()[:, table.grid_index(mean_snr_db + LEVELS_DB)]
    out = np.empty((ages.size, REPORTS_DB.size), dtype=np.int8)
    for row, age in enumerate(ages):
        then = posterior @ later_power(LEVELS_DB, float(j0(2 * np.pi * doppler_slots * age)))
        out[row] = np.argmax(bits @ then.T, axis=0)
    return out


class PosteriorTable:
    """Reads the mode from a table by (report, age), one table a link, made from the topology's facts.

    Parameters
    ----------
    knowledge
        What the policy is told; needs all of it but acknowledgements.
    """

    told: ClassVar[tuple[str, ...]] = (REPORTS, MEAN_SNR, DOPPLER, REPORT_AGE, REPORT_NOISE, BLER_TABLE)

    def __init__(self, knowledge: LinkKnowledge) -> None:
        assert knowledge.table is not None
        assert knowledge.mean_snr_db is not None
        assert knowledge.doppler_slots is not None
        assert knowledge.report_age_slots is not None
        assert knowledge.report_period_slots is not None
        assert knowledge.report_noise_db is not None
        self._age, self._period = knowledge.report_age_slots, knowledge.report_period_slots
        self._users = np.arange(knowledge.users)
        ages = self._age + np.arange(self._period)
        links = np.stack([knowledge.mean_snr_db, knowledge.doppler_slots], axis=1)
        kinds, self._kind = np.unique(links, axis=0, return_inverse=True)
        self._kind = self._kind.ravel()
        self._modes = np.stack(
            [
                best_modes(knowledge.table, mean, doppler, ages, knowledge.report_noise_db)
                for mean, doppler in kinds
            ]
        )

    def decide(
        self,
        slot: int,
        report_db: NDArray[np.float32] | None,
        feedback: Feedback | None,  # noqa: ARG002
    ) -> Modes:
        """Return each user's mode for its report and the report's age."""
        assert report_db is not None
        age = max(slot - self._age, 0) % self._period
        place = np.rint((report_db - REPORTS_DB[0]) / (REPORTS_DB[1] - REPORTS_DB[0])).astype(np.intp)
        modes: Modes = self._modes[self._kind, age, np.clip(place, 0, REPORTS_DB.size - 1)]
        return modes
