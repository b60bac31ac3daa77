"""A recorded (or simulated) channel of many users: true SNR, delayed reports, error draws."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Float, load_arrays, require

ARRAYS = ("snr_db", "cqi_db", "ack_uniform")
USER_ARRAYS = ("fd_hz", "mean_snr_db")
SCALARS = ("slot_s", "cqi_period_slots", "cqi_delay_slots", "cqi_noise_std_db", "ack_delay_slots")


@dataclass(frozen=True, slots=True)
class Trace:
    """`S` slots of `U` users.

    Attributes
    ----------
    snr_db
        True SNR in dB, shape ``(S, U)``.
    cqi_db
        The report known at each slot, in dB, shape ``(S, U)``; already `cqi_delay_slots` old when it
        comes, older until the next one comes.
    ack_uniform
        The draw in [0, 1) that decides each slot, shape ``(S, U)``: a block is acknowledged where it
        is at least the block error rate.
    fd_hz, mean_snr_db
        Maximum Doppler shift and mean SNR of each user, shape ``(U,)``.
    slot_s
        Length of a slot in seconds.
    cqi_period_slots, cqi_delay_slots
        Slots between reports, and age of a report when it is first known.
    cqi_noise_std_db
        Standard deviation of a report's error in dB.
    ack_delay_slots
        The acknowledgement of slot t is known to the policy from slot t + `ack_delay_slots` on.

    Raises
    ------
    InputError
        If shapes disagree or a value is out of its range.
    """

    snr_db: NDArray[np.float32]
    cqi_db: NDArray[np.float32]
    ack_uniform: NDArray[np.float32]
    fd_hz: Float
    mean_snr_db: Float
    slot_s: float = 1e-3
    cqi_period_slots: int = 5
    cqi_delay_slots: int = 6
    cqi_noise_std_db: float = 1.0
    ack_delay_slots: int = 4
    source: str = field(default="trace", compare=False)

    def __post_init__(self) -> None:
        where, shape = self.source, self.snr_db.shape
        require(
            len(shape) == 2 and min(shape) >= 1, where, "snr_db", f"has shape {shape}, not (slots, users)"
        )
        for name in ARRAYS:
            array = getattr(self, name)
            require(array.shape == shape, where, name, f"has shape {array.shape}, snr_db {shape}")
            require(bool(np.all(np.isfinite(array))), where, name, "has values that are not finite")
        for name in USER_ARRAYS:
            array = getattr(self, name)
            require(array.shape == shape[1:], where, name, f"has shape {array.shape}; it needs {shape[1:]}")
            require(bool(np.all(np.isfinite(array))), where, name, "has values that are not finite")
        uniform = self.ack_uniform
        require(bool(uniform.min() >= 0 and uniform.max() <= 1), where, "ack_uniform", "must lie in 0..1")
        require(bool(np.all(self.fd_hz >= 0)), where, "fd_hz", "must not be negative")
        require(0 < self.slot_s < np.inf, where, "slot_s", "must be more than 0 seconds")
        require(0 <= self.cqi_noise_std_db < np.inf, where, "cqi_noise_std_db", "must be at least 0 dB")
        require(self.cqi_period_slots >= 1, where, "cqi_period_slots", "must be at least 1")
        require(self.cqi_delay_slots >= 0, where, "cqi_delay_slots", "must be at least 0")
        require(self.ack_delay_slots >= 1, where, "ack_delay_slots", "must be at least 1")

    @property
    def slots(self) -> int:
        """Number of slots."""
        return int(self.snr_db.shape[0])

    @property
    def users(self) -> int:
        """Number of users."""
        return int(self.snr_db.shape[1])

    def classes(self) -> NDArray[np.intp]:
        """Return the class of each user, shape ``(U,)``: same Doppler and mean SNR, same class."""
        pairs = np.stack([self.fd_hz, self.mean_snr_db], axis=1)
        return np.unique(pairs, axis=0, return_inverse=True)[1].ravel()


def load_trace(path: str | Path) -> Trace:
    """Read a trace from an ``.npz`` with the arrays of `Trace` by name.

    Raises
    ------
    InputError
        If the file cannot be read, an array is missing, or the arrays are no trace.
    """
    arrays = load_arrays(path, ARRAYS + USER_ARRAYS + SCALARS)
    where = str(path)
    for name in SCALARS:
        require(arrays[name].size == 1, where, name, "must be one number")
    numbers = {name: arrays[name].item() for name in SCALARS}
    for name in SCALARS:
        if name.endswith("_slots"):
            require(float(numbers[name]).is_integer(), where, name, "must be a whole number of slots")
            numbers[name] = int(numbers[name])
    values: dict[str, Any] = dict(numbers)
    values |= {name: np.ascontiguousarray(arrays[name], dtype=np.float32) for name in ARRAYS}
    values |= {name: np.asarray(arrays[name], dtype=np.float64) for name in USER_ARRAYS}
    return Trace(**values, source=where)
