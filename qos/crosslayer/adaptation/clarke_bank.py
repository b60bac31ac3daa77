"""Autoregressive models of Clarke fading, one for each Doppler shift of a logarithmic grid.

The complex gain of Clarke's model is Gaussian with autocorrelation ``J0(2 pi fd tau)`` (Clarke 1968;
Jakes 1974). A model keeps the gain at `ORDER` instants that lie `step` slots apart, so that it looks
back over about the same part of a fade at every Doppler shift, and gives the gain at any slot near
them by linear regression.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Float

ORDER = 16
CYCLES_PER_STEP = 0.05
"""A step is this part of a Doppler cycle, where slots are short enough."""
FLOOR_SLOW, FLOOR_FAST = 5e-4, 1e-2
"""White part added to the gain's power: keeps the equations well posed, and the model humble."""
FAST_DOPPLER_SLOTS = 0.06
"""From here on particles that must follow every slot profit from the larger part."""
LOWEST_DOPPLER_SLOTS = 2e-4
HIGHEST_DOPPLER_SLOTS = 0.45
GRID_RATIO = 1.25


class ClarkeBank(NamedTuple):
    """`B` models; arrays as the compiled filter reads them.

    Attributes
    ----------
    doppler_slots
        Doppler shift times slot length of each model, shape ``(B,)``, rising.
    step_slots
        Slots between the instants of each model, shape ``(B,)``.
    coefficients, innovation
        The next instant is ``coefficients @ (newest ... oldest)`` plus a complex normal whose real and
        imaginary parts have deviation `innovation`; shapes ``(B, ORDER)`` and ``(B,)``.
    weights, spread
        The gain `o` slots after the newest instant is ``weights[b, o - first_offset[b]] @ (newest ...
        oldest)`` plus a normal whose parts have deviation ``spread[b, o - first_offset[b]]``.
    cross
        Correlation of the gain at each offset with the instants, same shape as `weights`.
    first_offset
        Offset of the first row of `weights`, shape ``(B,)``, at most 0.
    factor
        Lower triangular: ``factor[b] @`` unit normals is a window from the stationary law.
    """

    doppler_slots: Float
    step_slots: NDArray[np.int64]
    coefficients: NDArray[np.float32]
    innovation: NDArray[np.float32]
    weights: NDArray[np.float32]
    spread: NDArray[np.float32]
    cross: NDArray[np.float32]
    first_offset: NDArray[np.int64]
    factor: NDArray[np.float32]


def doppler_grid() -> Float:
    """Return the Doppler shifts (times slot length) of a bank."""
    count = int(np.ceil(np.log(HIGHEST_DOPPLER_SLOTS / LOWEST_DOPPLER_SLOTS) / np.log(GRID_RATIO)))
    grid: Float = np.geomspace(LOWEST_DOPPLER_SLOTS, HIGHEST_DOPPLER_SLOTS, count + 1)
    return grid


def make_bank(doppler_slots: Float, lead_slots: int, look_back_slots: int) -> ClarkeBank:
    """Make a model for each Doppler shift (times slot length), shape ``(B,)``.

    Parameters
    ----------
    doppler_slots
        More than 0 and below 0.5 (beyond, a slot misses whole fades).
    lead_slots
        The newest instant is never more than this before the slot that is predicted.
    look_back_slots
        Observations are at most this older than the newest slot that an instant must cover.
    """
    from scipy.special import j0

    steps = np.maximum(1, np.floor(CYCLES_PER_STEP / doppler_slots)).astype(np.int64)
    steps = np.minimum(steps, 200)
    first = -(steps - 1 + look_back_slots)
    rows = int(lead_slots - first.min() + 1)
    models = doppler_slots.size
    bank = ClarkeBank(
        doppler_slots,
        steps,
        np.zeros((models, ORDER), np.float32),
        np.zeros(models, np.float32),
        np.zeros((models, rows, ORDER), np.float32),
        np.zeros((models, rows), np.float32),
        np.zeros((models, rows, ORDER), np.float32),
        first,
        np.zeros((models, ORDER, ORDER), np.float32),
    )
    lags = np.arange(ORDER)
    for model, (doppler, step) in enumerate(zip(doppler_slots, steps, strict=True)):
        turn = 2 * np.pi * doppler
        floor = FLOOR_SLOW if doppler < FAST_DOPPLER_SLOTS else FLOOR_FAST
        covariance = j0(turn * step * np.abs(lags[:, None] - lags)) + floor * np.eye(ORDER)
        ahead = j0(turn * step * (lags + 1))
        bank.coefficients[model] = np.linalg.solve(covariance, ahead)
        left = 1 + floor - ahead @ bank.coefficients[model]
        bank.innovation[model] = np.sqrt(left / 2)
        bank.factor[model] = np.linalg.cholesky(covariance / 2)
        offsets = np.arange(first[model], first[model] + rows)
        cross = j0(turn * np.abs(offsets[:, None] + step * lags))
        weights = np.linalg.solve(covariance, cross.T).T
        bank.weights[model] = weights
        bank.cross[model] = cross
        bank.spread[model] = np.sqrt(np.maximum(1 - (weights * cross).sum(axis=1), 0.0) / 2)
    return bank


def regrid(bank: ClarkeBank, old: int, new: int) -> tuple[Float, Float]:
    """Give how a window of one model becomes a window of another with the same newest instant.

    Returns `weights` and `factor`, both ``(ORDER, ORDER)``: the new window is ``weights @`` old window
    plus ``factor @`` unit normals, real and imaginary parts alike, by the law of the new model.
    """
    from scipy.special import j0

    turn = 2 * np.pi * bank.doppler_slots[new]
    lags = np.arange(ORDER)
    here, there = lags * bank.step_slots[old], lags * bank.step_slots[new]
    inside = j0(turn * np.abs(here[:, None] - here)) + FLOOR_SLOW * np.eye(ORDER)
    across = j0(turn * np.abs(there[:, None] - here))
    wanted = j0(turn * np.abs(there[:, None] - there)) + FLOOR_SLOW * np.eye(ORDER)
    weights = np.linalg.solve(inside, across.T).T
    left = (wanted - weights @ across.T) / 2
    values, vectors = np.linalg.eigh((left + left.T) / 2)
    return weights, vectors * np.sqrt(np.maximum(values, 0.0))
