"""A block error model of our own for 5G NR: finite-length information theory plus a coding loss.

How it is made
--------------
A code block of `k` bits on `n` symbols fails with about ``Q((n I - k + log2(n)/2) / sqrt(n V))``, the
normal approximation of Polyanskiy, Poor & Verdu (IEEE Trans. IT 56(5), 2010, eq. 296), where I and V are
the mean and variance of the information density of the constellation (not of Gaussian symbols) on the
Gaussian channel, by Gauss-Hermite quadrature. The decoder is taken to lose `CODING_LOSS_DB` to that: belief
propagation on the NR LDPC codes. A transport block fails if one of its code blocks does. No measured or
simulated curve of anybody enters.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.adaptation.modetable import ModeTable, make_mode_table
from qos.crosslayer.nr_tables import Scheme, code_blocks, schemes, transport_block_bits
from qos.errors import ValueRefusedError

CODING_LOSS_DB = 0.7
NODES = 48
"""Points of the quadrature over the noise."""
CURVE_DB = np.arange(-25.0, 50.0, 0.1)
LEAST_VARIANCE = 1e-12


def pulse_amplitudes(levels: int) -> Float:
    """Return the amplitudes of a real dimension of square QAM with mean power 1/2, shape ``(levels,)``."""
    points = 2.0 * np.arange(levels) - levels + 1
    return np.asarray(points / np.sqrt(2 * np.mean(points**2)))


@cache
def information_curves(bits_per_symbol: int) -> tuple[Float, Float]:
    """Return mean and variance of the information density per symbol over `CURVE_DB`, in bits and bits^2.

    Parameters
    ----------
    bits_per_symbol
        2, 4, 6 or 8: square QAM, its two dimensions alike.

    Raises
    ------
    ValueRefusedError
        For another number.
    """
    if bits_per_symbol not in (2, 4, 6, 8):
        raise ValueRefusedError(f"{bits_per_symbol} bits a symbol: 2, 4, 6 or 8 are modelled")
    levels = 2 ** (bits_per_symbol // 2)
    points = pulse_amplitudes(levels)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    deviation = np.sqrt(0.5 * 10 ** (-CURVE_DB / 10))[:, None, None, None]
    apart = (points[:, None] - points[None, :])[None, :, None, :] / deviation
    noise = nodes[None, None, :, None]
    exponent = -0.5 * ((apart + noise) ** 2 - noise**2)
    top = exponent.max(axis=-1, keepdims=True)
    total = top[..., 0] + np.log(np.exp(exponent - top).sum(axis=-1))
    density = np.log2(levels) - total / np.log(2)
    mean = (density * weights).sum(axis=-1).mean(axis=-1)
    square = (density**2 * weights).sum(axis=-1).mean(axis=-1)
    return np.maximum.accumulate(2 * mean), np.maximum(2 * (square - mean**2), LEAST_VARIANCE)


def code_block_error_rate(scheme: Scheme, block_bits: int, snr_db: NDArray[np.floating]) -> Float:
    """Return the error rate of a code block at each SNR; same shape as `snr_db`."""
    from scipy.special import ndtr

    mean, variance = information_curves(scheme.bits_per_symbol)
    behind = np.asarray(snr_db, dtype=np.float64) - CODING_LOSS_DB
    information = np.interp(behind, CURVE_DB, mean)
    dispersion = np.interp(behind, CURVE_DB, variance)
    symbols = block_bits / (scheme.code_rate * scheme.bits_per_symbol)
    margin = symbols * information - block_bits + 0.5 * np.log2(symbols)
    return np.asarray(ndtr(-margin / np.sqrt(symbols * dispersion)))


def nr_mode_table(name: str = "64qam", num_re: int = 1680, snr_db: Float | None = None) -> ModeTable:
    """Return the modes of an NR MCS table with block error rates by our own model.

    Parameters
    ----------
    name
        ``64qam``, ``256qam`` or ``64qam-low-se``.
    num_re
        Resource elements of a transport block on one layer.
    snr_db
        SNR points, rising; None: -15 to 35 dB in steps of 0.1.

    Raises
    ------
    ValueRefusedError
        If the table is unknown or `num_re` is less than 1.
    """
    grid = np.arange(-15.0, 35.05, 0.1) if snr_db is None else snr_db
    sizes, rates = [], []
    for scheme in schemes(name):
        bits = transport_block_bits(scheme, num_re)
        blocks, block_bits = code_blocks(bits, scheme.code_rate)
        alone = code_block_error_rate(scheme, block_bits, grid)
        # Where nearly all fails the approximation bends back; an error rate never rises with SNR.
        rates.append(np.minimum.accumulate(1 - (1 - alone) ** blocks))
        sizes.append(bits)
    return make_mode_table(grid, np.array(rates), np.array(sizes), num_re, f"NR table {name}")
