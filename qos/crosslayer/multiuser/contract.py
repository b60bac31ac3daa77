"""The contract of a multi-user scheduling rule: what is known of every user in, a priority out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Float
from qos.errors import ValueRefusedError


@dataclass(frozen=True, slots=True)
class SlotView:
    """What a rule sees of `U` users in a slot, in `R` runs side by side; arrays have shape ``(R, U)``.

    Attributes
    ----------
    rate_bits
        Bits that the slot would carry for each user.
    served_bits
        Exponentially weighted mean of the bits each user was served a slot, more than 0.
    mean_rate_bits
        Mean of `rate_bits` over time, as the topology's mean SNR gives it, more than 0.
    head_age_slots
        Slots that each user's oldest packet has waited, that of its arrival counted; 0 if none waits.
    head_bits, queue_bits
        What is left of the oldest packet, and all that waits.
    deadline_slots
        Slots in which a packet must be through.
    tolerated_loss
        Share of packets that may be late, in (0, 1).
    """

    rate_bits: Float
    served_bits: Float
    mean_rate_bits: Float
    head_age_slots: NDArray[np.int64]
    head_bits: Float
    queue_bits: Float
    deadline_slots: int
    tolerated_loss: float

    @property
    def urgency(self) -> Float:
        """``a_i W_i`` with ``a_i = -ln(delta_i) / T_i`` (Andrews et al., 2004); shape ``(R, U)``."""
        return np.asarray(-np.log(self.tolerated_loss) / self.deadline_slots * self.head_age_slots)


class MultiUserRule(Protocol):
    """Ranks users; the one of highest priority among those with a packet gets the slot."""

    def __call__(self, view: SlotView) -> Float:
        """Return a priority for each user, shape ``(R, U)``."""
        ...


def check_probability(name: str, value: float) -> float:
    """Return a probability, refused where it is not strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueRefusedError(f"{name} {value:g}: must be more than 0 and less than 1")
    return value
