"""Energy of a delivered bit, with the power of the circuits.

Power is in units of the radiated power of the reference sender; a slot sends, or stays silent and asleep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from qos.crosslayer.guards import check_not_negative, check_positive
from qos.crosslayer.modes import ModeTable

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class PowerModel:
    """What sending costs.

    Attributes
    ----------
    circuit
        Power of the circuits while sending, in units of the reference's radiated power.
    amplifier
        Efficiency of the amplifier, more than 0, at most 1.
    levels_db
        Powers that the sender can choose, dB over the reference.
    """

    circuit: float
    amplifier: float = 1.0
    levels_db: tuple[float, ...] = tuple(float(level) for level in range(-15, 7))

    def __post_init__(self) -> None:
        check_not_negative("circuit power", self.circuit)
        check_positive("amplifier efficiency", self.amplifier)

    def energy(self, level_db: Floats) -> Floats:
        """Energy of a slot of sending at some powers."""
        return np.asarray(10 ** (np.asarray(level_db) / 10) / self.amplifier + self.circuit)


@dataclass(frozen=True)
class BestPoint:
    """The least energy a bit in one mode on a steady channel: SNR, error rate there, and energy."""

    snr_db: float
    error_rate: float
    energy_per_bit: float


def best_point(table: ModeTable, mode: int, circuit: float) -> BestPoint:
    """Least energy a delivered bit of a mode with persistent retransmission, unit symbol energy at 0 dB.

    ``(SNR + circuit) / (R (1 - PER(SNR)))`` over the SNR.
    """
    check_not_negative("circuit power", circuit)

    def cost(log_snr: float) -> float:
        snr = math.exp(log_snr)
        arrive = 1 - float(table.error_rate(mode, snr))
        return math.log(snr + circuit) - math.log(max(arrive, 1e-300))

    cutoff = math.log(float(table.cutoffs[mode]))
    found = optimize.minimize_scalar(cost, bounds=(cutoff + 1e-6, cutoff + 4), method="bounded")
    snr = math.exp(float(found.x))
    energy = math.exp(float(found.fun)) / float(table.rates[mode])
    return BestPoint(10 * math.log10(snr), float(table.error_rate(mode, snr)), energy)


@dataclass(frozen=True, eq=False)
class SlotChoices:
    """What a slot can do at each SNR of a grid, undominated choices only.

    Attributes
    ----------
    snr
        Grid at reference power (power ratios), shape (states,).
    packets, energy, arrive
        For each state and choice: packets sent together, energy of the slot, probability that they arrive;
        choice 0 is silence. Shape (states, choices).
    """

    snr: Floats
    packets: Whole
    energy: Floats
    arrive: Floats


def slot_choices(table: ModeTable, snr: Floats, packets: Whole, power: PowerModel) -> SlotChoices:
    """Pick for each SNR and mode the power of least energy an arriving packet.

    The power that is best for one mode does not depend on what else may be chosen, so that one choice a mode
    (and silence) is enough.
    """
    levels = np.asarray(power.levels_db)
    modes = len(table.modes)
    gains = 10 ** (levels / 10)
    error = table.error_rate(np.arange(modes)[None, :, None], snr[:, None, None] * gains[None, None])
    arrive = 1 - error
    cost = power.energy(levels)[None, None] / np.maximum(arrive, 1e-12)
    pick = np.argmin(cost, axis=2)
    energy = power.energy(levels)[pick]
    chosen = np.take_along_axis(arrive, pick[..., None], axis=2)[..., 0]
    silence = np.zeros((len(snr), 1))
    return SlotChoices(
        snr,
        np.concatenate([silence.astype(np.int64), np.broadcast_to(packets, chosen.shape)], axis=1),
        np.concatenate([silence, energy], axis=1),
        np.concatenate([silence + 1, chosen], axis=1),
    )
