"""A shared slotted downlink with packets that expire: what each rule loses.

Scenario
--------
One user is served in each slot, with what the slot carries for it (no errors). Each user's packets
come as a Poisson process, all of one size; a packet that comes in slot t must be through by slot
``t + deadline - 1`` and is dropped otherwise, what it got so far being lost. Service is fluid and first
in first out within a user. Load 1 offers the bits that the max-rate rule would carry with full queues,
``E[max_i r_i]``, split evenly over the users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.multiuser.contract import MultiUserRule, SlotView, check_probability
from qos.errors import ValueRefusedError


@dataclass(frozen=True, slots=True)
class Traffic:
    """Packets offered to the users.

    Attributes
    ----------
    loads
        Loads to try side by side, each more than 0.
    packet_bits
        Size of a packet.
    deadline_slots
        Slots in which a packet must be through, its own included, at least 1.
    tolerated_loss
        The share of late packets that rules aim at, in (0, 1).
    served_slots
        Time constant of the served mean, in slots.

    Raises
    ------
    ValueRefusedError
        If a value is out of range.
    """

    loads: tuple[float, ...]
    packet_bits: float = 4000.0
    deadline_slots: int = 40
    tolerated_loss: float = 0.01
    served_slots: float = 100.0

    def __post_init__(self) -> None:
        check_probability("tolerated loss", self.tolerated_loss)
        for load in self.loads:
            if not 0 < load < np.inf:
                raise ValueRefusedError(f"load {load:g}: must be more than 0")
        if not self.packet_bits > 0:
            raise ValueRefusedError(f"packet of {self.packet_bits:g} bits: must be more than 0")
        if self.deadline_slots < 1:
            raise ValueRefusedError(f"deadline {self.deadline_slots}: must be at least 1 slot")
        if not self.served_slots >= 1:
            raise ValueRefusedError(f"served_slots {self.served_slots:g}: must be at least 1")


class _Queues:
    """What waits, by load, user and age; a ring over the slots of arrival."""

    def __init__(self, traffic: Traffic, users: int) -> None:
        self._size = traffic.packet_bits
        self._deadline = traffic.deadline_slots
        self.left = np.zeros((len(traffic.loads), users, traffic.deadline_slots))

    def arrive(self, slot: int, packets: NDArray[np.integer]) -> None:
        self.left[:, :, slot % self._deadline] = packets * self._size

    def by_age(self, slot: int) -> Float:
        """Return what waits, oldest first; shape ``(loads, users, deadline)``."""
        turn = (slot + 1) % self._deadline
        return np.concatenate([self.left[:, :, turn:], self.left[:, :, :turn]], axis=2)

    def serve(self, slot: int, load: NDArray[np.intp], user: NDArray[np.intp], bits: Float) -> Float:
        """Give `bits` to one user of each load; return what was taken."""
        order = (slot + 1 + np.arange(self._deadline)) % self._deadline
        waiting = self.left[load, user][:, order]
        before = np.cumsum(waiting, axis=1) - waiting
        taken = np.clip(bits[:, None] - before, 0, waiting)
        self.left[load[:, None], user[:, None], order[None, :]] = waiting - taken
        return np.asarray(taken.sum(axis=1))

    def expire(self, slot: int) -> NDArray[np.int64]:
        """Drop what had its last slot; return the packets lost a load."""
        oldest = self.left[:, :, (slot + 1) % self._deadline]
        late = np.ceil(oldest / self._size - 1e-9).sum(axis=1)
        oldest[:] = 0
        return np.asarray(late, dtype=np.int64)


def packet_loss(rate_bits: Float, rule: MultiUserRule, traffic: Traffic, seed: int) -> Float:
    """Return the share of packets that a rule loses at each load, shape ``(loads,)``.

    Parameters
    ----------
    rate_bits
        Bits that a slot carries for each user, shape ``(slots, users)``.
    rule
        Who is served.
    traffic
        What is offered; the same arrivals for every rule with the same seed.
    seed
        Seed of the arrivals.
    """
    slots, users = rate_bits.shape
    loads = len(traffic.loads)
    capacity = float(rate_bits.max(axis=1).mean())
    packets_per_slot = np.array(traffic.loads) * capacity / (users * traffic.packet_bits)
    random = np.random.default_rng(seed)
    queues = _Queues(traffic, users)
    mean_rate = np.maximum(rate_bits.mean(axis=0), 1e-9)
    served = np.tile(mean_rate / users, (loads, 1))
    came, lost = np.zeros(loads, np.int64), np.zeros(loads, np.int64)
    every = np.arange(loads)
    for slot in range(slots):
        packets = random.poisson(packets_per_slot[:, None], (loads, users))
        queues.arrive(slot, packets)
        came += packets.sum(axis=1)
        view = _view(queues.by_age(slot), rate_bits[slot], served, mean_rate, traffic)
        priority = np.where(view.queue_bits > 0, rule(view), -np.inf)
        chosen = priority.argmax(axis=1)
        bits = np.where(np.isfinite(priority[every, chosen]), rate_bits[slot, chosen], 0.0)
        got = np.zeros((loads, users))
        got[every, chosen] = queues.serve(slot, every, chosen, bits)
        served = np.maximum(served + (got - served) / traffic.served_slots, 1e-6)
        lost += queues.expire(slot)
    return lost / np.maximum(came, 1)


def _view(by_age: Float, rate_bits: Float, served: Float, mean_rate: Float, traffic: Traffic) -> SlotView:
    waits = by_age > 0
    first = waits.argmax(axis=2)
    head = np.take_along_axis(by_age, first[..., None], axis=2)[..., 0]
    some = waits.any(axis=2)
    part = np.where(head > 0, head - traffic.packet_bits * (np.ceil(head / traffic.packet_bits) - 1), 0.0)
    shape = served.shape
    return SlotView(
        rate_bits=np.broadcast_to(rate_bits, shape),
        served_bits=served,
        mean_rate_bits=np.broadcast_to(mean_rate, shape),
        head_age_slots=np.where(some, traffic.deadline_slots - first, 0),
        head_bits=part,
        queue_bits=by_age.sum(axis=2),
        deadline_slots=traffic.deadline_slots,
        tolerated_loss=traffic.tolerated_loss,
    )
