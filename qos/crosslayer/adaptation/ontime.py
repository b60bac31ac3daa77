"""Packets with a deadline over the bits that a policy gets across."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.compiled import compiled
from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.adaptation.trace import Trace
from qos.errors import ValueRefusedError

PACKET_EVERY_SLOTS = 10


@dataclass(frozen=True, slots=True)
class TrafficCase:
    """A load and a deadline.

    Attributes
    ----------
    load
        Offered bits over what the genie gets across in the user's class, more than 0.
    deadline_slots
        Slots in which a packet must be through, that of its arrival included, at least 1.

    Raises
    ------
    ValueRefusedError
        If a value is out of range.
    """

    load: float
    deadline_slots: int

    def __post_init__(self) -> None:
        if not 0 < self.load < np.inf:
            raise ValueRefusedError(f"load {self.load:g}: must be more than 0 (1 is what the genie carries)")
        if self.deadline_slots < 1:
            raise ValueRefusedError(f"deadline {self.deadline_slots}: must be at least 1 slot")

    @property
    def key(self) -> str:
        """The case as it is written: ``0.5/30``."""
        return f"{self.load:g}/{self.deadline_slots}"


@compiled
def _delivered(bits: NDArray[np.int64], packet_bits: Float, every: int, deadline: int) -> NDArray[np.int64]:
    """Count each user's packets delivered on time; first in first out, the late are dropped."""
    slots, users = bits.shape
    done = np.zeros(users, dtype=np.int64)
    for user in range(users):
        size = packet_bits[user]
        oldest, left = 0, size
        for slot in range(slots):
            newest = slot // every
            room = float(bits[slot, user])
            while oldest <= newest and room > 0:
                if room < left:
                    left -= room
                    room = 0.0
                else:
                    room -= left
                    done[user] += 1
                    oldest += 1
                    left = size
            while oldest <= newest and slot >= oldest * every + deadline - 1:
                oldest += 1
                left = size
    return done


def on_time_ratio(
    bits: NDArray[np.int64], genie_bits: NDArray[np.int64], trace: Trace, case: TrafficCase
) -> float:
    """Return the mean over users of packets on time over packets that came.

    A packet of ``load x 10 x (mean genie bits a slot of the user's class)`` bits comes at every slot
    divisible by 10; service is fluid and first in first out; what is not through by slot
    ``t + deadline - 1`` is dropped and late. A user whose class carries nothing counts as 0.

    Parameters
    ----------
    bits, genie_bits
        Bits that arrived in each slot, the policy's and the genie's, shape ``(slots, users)``.
    trace
        Gives the classes.
    case
        Load and deadline.
    """
    classes = trace.classes()
    per_user = genie_bits.mean(axis=0)
    per_class = np.bincount(classes, per_user) / np.bincount(classes)
    size = case.load * PACKET_EVERY_SLOTS * per_class[classes]
    packets = -(-trace.slots // PACKET_EVERY_SLOTS)
    done = _delivered(np.ascontiguousarray(bits), size, PACKET_EVERY_SLOTS, case.deadline_slots)
    return float(np.mean(np.where(size > 0, done, 0) / packets))
