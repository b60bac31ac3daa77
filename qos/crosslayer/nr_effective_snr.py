"""Effective SNR of a block over a channel that differs from symbol to symbol: EESM and MIESM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.nr_block_error import CURVE_DB, information_curves
from qos.errors import ValueRefusedError


def _checked(snr_db: NDArray[np.floating]) -> Float:
    values = np.asarray(snr_db, dtype=np.float64)
    if values.size == 0 or values.shape[-1] == 0:
        raise ValueRefusedError("effective SNR: no SNR given")
    if np.any(np.isnan(values)):
        raise ValueRefusedError("effective SNR: the SNR has NaN")
    return values


def exponential_effective_snr_db(snr_db: NDArray[np.floating], beta: float) -> Float:
    """Return ``-beta ln(mean exp(-snr / beta))`` in dB over the last axis (EESM).

    Parameters
    ----------
    snr_db
        SNR of each symbol in dB, shape ``(..., K)``.
    beta
        Scale of the mode, more than 0: small where the weakest symbols decide.

    Raises
    ------
    ValueRefusedError
        If `beta` is not positive, an SNR is NaN, or there is none.
    """
    if not 0 < beta < np.inf:
        raise ValueRefusedError(f"beta {beta:g}: must be more than 0")
    linear = 10 ** (_checked(snr_db) / 10)
    least = linear.min(axis=-1, keepdims=True)
    mean = np.exp(-(linear - least) / beta).mean(axis=-1)
    return np.asarray(10 * np.log10(np.maximum(least[..., 0] - beta * np.log(mean), 1e-30)))


def mutual_information_effective_snr_db(snr_db: NDArray[np.floating], bits_per_symbol: int) -> Float:
    """Return the SNR whose mutual information is the mean of the symbols', in dB over the last axis (MIESM).

    Parameters
    ----------
    snr_db
        SNR of each symbol in dB, shape ``(..., K)``.
    bits_per_symbol
        2, 4, 6 or 8.

    Raises
    ------
    ValueRefusedError
        If the constellation is not modelled, an SNR is NaN, or there is none.
    """
    information, _ = information_curves(bits_per_symbol)
    mean = np.interp(_checked(snr_db), CURVE_DB, information).mean(axis=-1)
    rising = np.concatenate([[True], np.diff(information) > 1e-12])
    return np.asarray(np.interp(mean, information[rising], CURVE_DB[rising]))


def matched_beta(bits_per_symbol: int, snr_db: NDArray[np.floating]) -> float:
    """Return the `beta` with which EESM comes closest to MIESM on sample channels, shape ``(N, K)``.

    Raises
    ------
    ValueRefusedError
        As the two functions.
    """
    from scipy.optimize import minimize_scalar

    wanted = mutual_information_effective_snr_db(snr_db, bits_per_symbol)

    def miss(log_beta: float) -> float:
        return float(np.mean((exponential_effective_snr_db(snr_db, np.exp(log_beta)) - wanted) ** 2))

    return float(np.exp(minimize_scalar(miss, bounds=(-2.0, 6.0), method="bounded").x))
