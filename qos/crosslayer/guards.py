"""Checks of the figures that the radio models are given."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qos.errors import ValueRefusedError


def check_finite(name: str, value: float) -> float:
    """Refuse what is no finite number.

    Raises
    ------
    ValueRefusedError
        If the value is NaN, infinite or no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise ValueRefusedError(f"{name} must be a finite number, not {value!r}")
    if not math.isfinite(value):
        raise ValueRefusedError(f"{name} must be a finite number, not {value!r}")
    return float(value)


def check_positive(name: str, value: float) -> float:
    """Refuse what is not a finite number above zero.

    Raises
    ------
    ValueRefusedError
        If the value is not.
    """
    if check_finite(name, value) <= 0:
        raise ValueRefusedError(f"{name} must be more than 0, not {value!r}")
    return float(value)


def check_not_negative(name: str, value: float) -> float:
    """Refuse what is not a finite number of at least zero.

    Raises
    ------
    ValueRefusedError
        If the value is not.
    """
    if check_finite(name, value) < 0:
        raise ValueRefusedError(f"{name} must be at least 0, not {value!r}")
    return float(value)


def check_probability(name: str, value: float) -> float:
    """Refuse what is not strictly between zero and one.

    Raises
    ------
    ValueRefusedError
        If the value is not.
    """
    if not 0 < check_finite(name, value) < 1:
        raise ValueRefusedError(f"{name} must be more than 0 and less than 1, not {value!r}")
    return float(value)


def check_count(name: str, value: int, low: int = 0) -> int:
    """Refuse what is not a whole number of at least `low`.

    Raises
    ------
    ValueRefusedError
        If the value is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise ValueRefusedError(f"{name} must be a whole number of at least {low}, not {value!r}")
    return int(value)


def finite_array(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Give an array of finite numbers.

    Raises
    ------
    ValueRefusedError
        If an element is NaN or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueRefusedError(f"{name} must hold finite numbers only")
    return array


def to_db(ratio: float) -> float:
    """Express a power ratio in decibels; zero is minus infinity."""
    return 10 * math.log10(ratio) if ratio > 0 else -math.inf


def from_db(decibels: float) -> float:
    """Give the power ratio of a value in decibels."""
    return float(10 ** (decibels / 10))
