"""Traces of simulated Clarke channels, in the form of recorded ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.adaptation.trace import Trace
from qos.errors import ValueRefusedError

PATHS = 256


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """What to simulate.

    Attributes
    ----------
    doppler_hz, mean_snr_db
        Maximum Doppler shifts and mean SNRs; every pair becomes a class.
    users_per_class, slots
        Users of each class and length of the trace.
    slot_s, cqi_period_slots, cqi_delay_slots, cqi_noise_std_db, ack_delay_slots
        As in `Trace`.
    """

    doppler_hz: tuple[float, ...] = (1.0, 5.0, 10.0, 30.0, 100.0)
    mean_snr_db: tuple[float, ...] = (5.0, 10.0, 15.0, 20.0, 25.0)
    users_per_class: int = 4
    slots: int = 4000
    slot_s: float = 1e-3
    cqi_period_slots: int = 5
    cqi_delay_slots: int = 6
    cqi_noise_std_db: float = 1.0
    ack_delay_slots: int = 4


def clarke_gain(
    doppler_slots: NDArray[np.floating], slots: int, random: np.random.Generator
) -> NDArray[np.complex128]:
    """Draw complex gains of unit mean power and autocorrelation J0, shape ``(slots, users)``.

    A sum of `PATHS` plane waves with complex normal amplitudes from directions spread evenly around
    the receiver with a random turn, so that each user's gain is exactly Gaussian.

    Parameters
    ----------
    doppler_slots
        Doppler shift times slot length of each user, shape ``(users,)``, 0 to 0.5.
    slots
        Length.
    random
        Source of the draws.
    """
    users = doppler_slots.size
    turn = random.random(users) * 2 * np.pi
    angle = 2 * np.pi * np.arange(PATHS)[:, None] / PATHS + turn / PATHS
    turns_per_slot = doppler_slots * np.cos(angle)
    shape = (PATHS, users)
    amplitude = (random.standard_normal(shape) + 1j * random.standard_normal(shape)) / np.sqrt(2 * PATHS)
    time = np.arange(slots)[:, None]
    gain = np.zeros((slots, users), dtype=np.complex128)
    for path in range(PATHS):
        gain += amplitude[path] * np.exp(2j * np.pi * turns_per_slot[path] * time)
    return gain


def simulate_trace(plan: SimulationPlan, seed: int) -> Trace:
    """Simulate a trace; the same plan and seed give the same trace.

    Raises
    ------
    ValueRefusedError
        If a Doppler shift is negative or reaches half the slot rate.
    """
    if not all(0 <= fd * plan.slot_s < 0.5 for fd in plan.doppler_hz):
        raise ValueRefusedError(f"Doppler {max(plan.doppler_hz):g} Hz: must be 0 to below half the slot rate")
    random = np.random.default_rng(seed)
    pairs = [(fd, mean) for fd in plan.doppler_hz for mean in plan.mean_snr_db]
    fd_hz, mean_snr_db = (np.repeat(column, plan.users_per_class) for column in np.array(pairs).T)
    gain = clarke_gain(fd_hz * plan.slot_s, plan.slots, random)
    snr_db: Float = mean_snr_db + 20 * np.log10(np.maximum(np.abs(gain), 1e-12))
    slot = np.arange(plan.slots)
    period = plan.cqi_period_slots
    about = np.maximum((slot - plan.cqi_delay_slots) // period, 0)
    reports = snr_db[::period] + plan.cqi_noise_std_db * random.standard_normal(snr_db[::period].shape)
    return Trace(
        snr_db.astype(np.float32),
        reports[about].astype(np.float32),
        random.random(snr_db.shape, dtype=np.float32),
        fd_hz,
        mean_snr_db,
        plan.slot_s,
        period,
        plan.cqi_delay_slots,
        plan.cqi_noise_std_db,
        plan.ack_delay_slots,
        "simulated trace",
    )
