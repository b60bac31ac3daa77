"""The trained weights of `lfq-2020`: ours, made by `python -m experiments.lfq_training`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qos.array_files import stored_arrays
from qos.errors import InputError, ValueRefusedError
from schedulers.packet.lfq_2020.memory import PARAMETERS

WEIGHTS = ("offline-0.01", "offline-10", "online-10")
"""Variants by how they were trained and the alpha of their reward, 1/s."""
DEFAULT_WEIGHTS = "offline-0.01"
_FOLDER = Path(__file__).parent / "weights"


def weights_path(name: str) -> Path:
    """Say where a variant's weights lie.

    Raises
    ------
    ValueRefusedError
        If there is no such variant.
    """
    if name not in WEIGHTS:
        raise ValueRefusedError(f"unknown weights {name!r} of lfq-2020; known: {', '.join(WEIGHTS)}")
    return _FOLDER / f"{name}.npz"


@cache
def load_weights(name: str) -> NDArray[np.float64]:
    """Read the weights of a variant, `PARAMETERS` numbers, not to be written.

    Raises
    ------
    ValueRefusedError
        If there is no such variant.
    InputError
        If its file cannot be used.
    """
    path = weights_path(name)
    with stored_arrays(path, "experiments.lfq_training") as stored:
        weights: NDArray[np.float64] = stored["weights"].astype(np.float64)
    if weights.shape != (PARAMETERS,) or not np.isfinite(weights).all():
        raise InputError(f"{path}: {PARAMETERS} finite numbers are needed")
    weights.setflags(write=False)
    return weights


def packed(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pack a network in single precision into half as many places, to be evaluated twice as fast.

    A simulation that is given such a vector evaluates the network in single precision; training does so.
    """
    single = np.zeros(PARAMETERS + PARAMETERS % 2, np.float32)
    single[:PARAMETERS] = weights
    return single.view(np.float64)


def save_weights(path: Path, weights: NDArray[np.float64]) -> None:
    """Write weights in single precision."""
    np.savez_compressed(path, weights=weights.astype(np.float32))
