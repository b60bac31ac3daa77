"""A baseline after Minstrel: success rates per mode by trial, no reports at all."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Modes
from qos.crosslayer.adaptation.contract import ACKS, Feedback, LinkKnowledge

SAMPLE_EVERY_SLOTS = 10
EWMA_WEIGHT = 0.25
FULL_SURPRISE = 1.0


class Minstrel:
    """Sends the mode of most expected bits by its own statistics; every tenth slot tries another.

    After Linux's minstrel_ht (net/mac80211/rc80211_minstrel_ht.c): an exponentially weighted success
    rate per mode with weight 1/4 on the new value, and trial slots of three classes in the ratio
    3:2:1: the next higher mode, a random higher one, a random lower one. It updates at every
    acknowledgement, not every 50 ms, and retries are not modelled.

    Parameters
    ----------
    knowledge
        What the policy is told; only the modes' sizes count.
    seed
        Seed of the trials.
    """

    told: ClassVar[tuple[str, ...]] = (ACKS,)

    def __init__(self, knowledge: LinkKnowledge, seed: int = 0) -> None:
        order = np.argsort(knowledge.tb_size_bits, kind="stable")
        self._order = order[knowledge.usable[order]].astype(np.int8)
        self._bits = knowledge.tb_size_bits[self._order].astype(np.float64)
        self._rank = np.zeros(knowledge.tb_size_bits.size, dtype=np.intp)
        self._rank[self._order] = np.arange(self._order.size)
        self._users = np.arange(knowledge.users)
        self._success = np.full((knowledge.users, self._order.size), 0.5)
        self._seen = np.zeros((knowledge.users, self._order.size), dtype=bool)
        self._random = np.random.default_rng(seed)

    def decide(
        self,
        slot: int,
        report_db: NDArray[np.float32] | None,  # noqa: ARG002
        feedback: Feedback | None,
    ) -> Modes:
        """Learn from the feedback, then return the best mode, or a trial in a trial slot."""
        if feedback is not None:
            rank = self._rank[np.maximum(feedback.mode, 0)]
            old = self._success[self._users, rank]
            weight = np.where(self._seen[self._users, rank], EWMA_WEIGHT, FULL_SURPRISE)
            self._success[self._users, rank] = old + weight * (feedback.acknowledged - old)
            self._seen[self._users, rank] = True
        known = np.where(self._seen, self._success, 0.0)
        best = np.argmax(known * self._bits, axis=1)
        if slot % SAMPLE_EVERY_SLOTS == 0:
            best = self._trial(best, slot // SAMPLE_EVERY_SLOTS)
        modes: Modes = self._order[best]
        return modes

    def _trial(self, best: NDArray[np.intp], turn: int) -> NDArray[np.intp]:
        top = self._order.size - 1
        if turn % 6 < 3:
            return np.minimum(best + 1, top)
        share = self._random.random(best.size)
        if turn % 6 < 5:
            return np.minimum(best + 1 + (share * (top - best)).astype(np.intp), top)
        return (share * np.maximum(best, 1)).astype(np.intp)
