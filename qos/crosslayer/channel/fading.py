"""Block fading: the distribution of the instantaneous signal-to-noise ratio.

Nakagami-m (m = 1 is Rayleigh, m to infinity is no fading), and Rician through its own sampler and the
Nakagami figure that has the same first two moments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from qos.crosslayer.guards import check_finite, check_not_negative, from_db
from qos.errors import ValueRefusedError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NakagamiFading:
    """SNR of a Nakagami-m fading link: a gamma distribution of shape `m`.

    Attributes
    ----------
    mean_snr_db
        Mean SNR in dB.
    m
        Fading figure, at least 0.5.

    Raises
    ------
    ValueRefusedError
        If the SNR is not finite or `m` is below 0.5.

    References
    ----------
    .. [1] Nakagami, "The m-distribution", Statistical Methods in Radio Wave Propagation, 1960.
    """

    mean_snr_db: float
    m: float = 1.0

    def __post_init__(self) -> None:
        check_finite("mean SNR", self.mean_snr_db)
        if check_finite("Nakagami m", self.m) < 0.5:
            raise ValueRefusedError(f"Nakagami m must be at least 0.5, not {self.m!r}")

    @property
    def mean_snr(self) -> float:
        """Mean SNR as a power ratio."""
        return from_db(self.mean_snr_db)

    def cdf(self, snr: ArrayLike) -> Floats:
        """Probability that the SNR (a power ratio) is at most `snr`."""
        return np.asarray(special.gammainc(self.m, self.m * np.asarray(snr, dtype=float) / self.mean_snr))

    def tail(self, snr: ArrayLike) -> Floats:
        """Probability that the SNR is more than `snr`, accurate where it is small."""
        return np.asarray(special.gammaincc(self.m, self.m * np.asarray(snr, dtype=float) / self.mean_snr))

    def quantile(self, probability: ArrayLike) -> Floats:
        """SNR that is not exceeded with the given probabilities."""
        share = special.gammaincinv(self.m, np.asarray(probability, dtype=float))
        return np.asarray(share * self.mean_snr / self.m)

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> Floats:
        """Draw independent SNRs (block fading)."""
        return rng.gamma(self.m, self.mean_snr / self.m, size)

    def probability_between(self, low: ArrayLike, high: ArrayLike) -> Floats:
        """Probability of an SNR between `low` and `high`, element by element."""
        return np.maximum(self.tail(low) - self.tail(high), 0.0)

    def exponential_mean(self, decay: ArrayLike, low: ArrayLike, high: ArrayLike) -> Floats:
        """Mean of ``exp(-decay * SNR)`` restricted to SNRs between `low` and `high`.

        The integral of equation (13) of Liu, Zhou, Giannakis 2004.
        """
        decay = np.asarray(decay, dtype=float)
        per_snr = self.m / self.mean_snr + decay
        scale = np.exp(-self.m * np.log1p(decay * self.mean_snr / self.m))
        upper = special.gammaincc(self.m, per_snr * np.asarray(low, dtype=float))
        lower = special.gammaincc(self.m, per_snr * np.asarray(high, dtype=float))
        return np.asarray(scale * np.maximum(upper - lower, 0.0))


def rician_sample(
    rng: np.random.Generator, mean_snr_db: float, k_factor: float, size: int | tuple[int, ...]
) -> Floats:
    """Draw independent SNRs of a Rician link.

    Parameters
    ----------
    rng
        Source of randomness.
    mean_snr_db
        Mean SNR in dB.
    k_factor
        Power of the steady path over that of the scattered ones, at least 0 (0 is Rayleigh).
    size
        Shape of the result.
    """
    check_not_negative("Rician K", k_factor)
    mean = from_db(check_finite("mean SNR", mean_snr_db))
    steady = math.sqrt(k_factor / (k_factor + 1))
    spread = math.sqrt(1 / (2 * (k_factor + 1)))
    real = steady + spread * rng.standard_normal(size)
    imaginary = spread * rng.standard_normal(size)
    return np.asarray(mean * (real**2 + imaginary**2))


def nakagami_of_rician(k_factor: float) -> float:
    """Give the Nakagami m with the same variance of power as a Rician K.

    Examples
    --------
    >>> nakagami_of_rician(0.0)
    1.0
    """
    check_not_negative("Rician K", k_factor)
    return (1 + k_factor) ** 2 / (1 + 2 * k_factor)
