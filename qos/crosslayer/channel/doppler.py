"""Time-correlated fading with Clarke's spectrum, its level crossings and fade durations.

A trace is a sum of sinusoids with random angles and phases (Zheng and Xiao, IEEE Communications Letters
6(6), 2002): autocorrelation J0(2 pi fd t). Each column of a trace is a realisation of its own, so
averages over columns are averages over the ensemble.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from qos.crosslayer.channel.fading import NakagamiFading
from qos.crosslayer.guards import check_count, check_not_negative
from qos.errors import ValueRefusedError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

SINUSOIDS = 32
_EXACT_STEP_LIMIT = 4096
"""Slots after which the rotating phasors are set anew, so that rounding does not add up."""


def clarke_gains(doppler_slot: float, slots: int, users: int, rng: np.random.Generator) -> Complexes:
    """Draw complex channel gains of unit mean power with Clarke's autocorrelation.

    Parameters
    ----------
    doppler_slot
        Maximum Doppler shift times the slot duration, 0 to 0.5.
    slots, users
        Shape of the result.
    rng
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Complex, shape (slots, users); the columns are independent.

    Raises
    ------
    ValueRefusedError
        If the Doppler shift is negative or above half the slot rate.
    """
    check_count("slots", slots, 1)
    check_count("users", users, 1)
    if check_not_negative("Doppler per slot", doppler_slot) > 0.5:
        raise ValueRefusedError(
            "Doppler per slot must be at most 0.5 (the slots undersample the channel), not "
            f"{doppler_slot:g}; use independent block fading"
        )
    offset = rng.uniform(-np.pi, np.pi, users)
    angle = (2 * np.pi * np.arange(SINUSOIDS)[:, None] + offset) / SINUSOIDS
    phase = rng.uniform(-np.pi, np.pi, (SINUSOIDS, users))
    speed = 2 * np.pi * doppler_slot * np.cos(angle)
    turn = np.exp(1j * speed)
    gains = np.empty((slots, users), dtype=np.complex128)
    for first in range(0, slots, _EXACT_STEP_LIMIT):
        _turn_phasors(np.exp(1j * (phase + speed * first)), turn, gains[first : first + _EXACT_STEP_LIMIT])
    return gains / math.sqrt(SINUSOIDS)


def _turn_phasors(phasors: Complexes, turn: Complexes, out: Complexes) -> None:
    """Fill `out` with the sums of the turning phasors, doubling the block that is known.

    ``sum(p * w^(t + n)) = (p * w^n) w^t``: the phasors of a small block are turned in one matrix product.
    """
    block = 64
    powers = turn[None] ** np.arange(block)[:, None, None]
    for first in range(0, len(out), block):
        rows = min(block, len(out) - first)
        out[first : first + rows] = np.einsum("tsu,su->tu", powers[:rows], phasors)
        phasors = phasors * powers[-1] * turn


def clarke_snr(
    fading: NakagamiFading, doppler_slot: float, slots: int, users: int, seed: int | np.random.SeedSequence
) -> Floats:
    """Draw SNR traces (power ratios) of a Nakagami link with Clarke's spectrum.

    For ``2 m`` whole the power is the mean of ``2 m`` squared Gaussian processes, exactly Nakagami with the
    autocorrelation of its parts. For another `m` the ranks of the next lower such process are mapped onto
    the wanted distribution: the distribution is right, the autocorrelation near.

    Returns
    -------
    numpy.ndarray
        Shape (slots, users).
    """
    rng = np.random.default_rng(seed)
    halves = math.floor(2 * fading.m + 1e-9)
    if halves > 64:
        raise ValueRefusedError(
            f"Nakagami m {fading.m:g} is too large for a trace (32 at most); take the channel as constant"
        )
    power = np.zeros((slots, users))
    for _ in range(halves // 2):
        gains = clarke_gains(doppler_slot, slots, users, rng)
        power += gains.real**2 + gains.imag**2
    if halves % 2:
        power += clarke_gains(doppler_slot, slots, users, rng).real ** 2
    power *= 2 / halves
    if abs(2 * fading.m - halves) > 1e-9:
        ranks = np.clip(special.gammainc(halves / 2, halves / 2 * power), 1e-300, 1 - 1e-16)
        return fading.quantile(ranks)
    return np.asarray(power * fading.mean_snr)


def autocorrelation(doppler_slot: float, lag_slots: ArrayLike) -> Floats:
    """Autocorrelation of Clarke's complex gain at some lags: J0."""
    return np.asarray(special.j0(2 * np.pi * doppler_slot * np.asarray(lag_slots, dtype=float)))


def level_crossing_rate_hz(fading: NakagamiFading, snr: ArrayLike, doppler_hz: float) -> Floats:
    """Mean number of downward crossings of an SNR (power ratio) a second.

    Yacoub, Bautista, Guedes, IEEE TVT 48(3), 1999, equation (17), in powers.
    """
    check_not_negative("Doppler", doppler_hz)
    share = fading.m * np.asarray(snr, dtype=float) / fading.mean_snr
    log_rate = (fading.m - 0.5) * np.log(np.maximum(share, 1e-300)) - share - special.gammaln(fading.m)
    return np.asarray(math.sqrt(2 * math.pi) * doppler_hz * np.exp(log_rate))


def mean_fade_duration_s(fading: NakagamiFading, snr: ArrayLike, doppler_hz: float) -> Floats:
    """Mean time in seconds that the SNR stays below a level once it has crossed it."""
    return np.asarray(fading.cdf(snr) / level_crossing_rate_hz(fading, snr, doppler_hz))
