"""A block error rate held at a target: the price of a failed block, moved by what came of the blocks.

Most bits subject to a mean error rate is, by Lagrange, most of ``bits - price (error rate - target)`` a block
sent, silence counting 0. Each user's price rises with a failed block and falls with one that arrives, by
steps in the ratio of an outer loop, so that it settles where the target is met (stochastic approximation with
steps that shrink, Robbins and Monro, Annals of Mathematical Statistics 22(3), 1951; ours stop shrinking at
`STEP`, so that the price follows the channel). Where a user fails less than the target at most bits the price
is negative, down to `BONUS`: it sends faster, as an outer loop does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.adaptation.arrays import Float
from qos.crosslayer.adaptation.contract import Feedback
from qos.crosslayer.adaptation.modetable import ModeTable

STEP = 0.05
"""Change of the price's logarithm at a failed block, once many have failed."""
FIRST_STEP = 1.0
"""Over the number of failures: the change at the first ones, so that the way there costs few blocks."""
LEAST, MOST = 1e-3, 100.0
"""Bounds of price and bonus together, in units of what the user's best fixed mode carries in a slot."""
BONUS = 2.0
"""The most that a failed block may earn, in that unit."""
LEVELS = 200


class ErrorPrice:
    """The price of a failed block of each user.

    Parameters
    ----------
    table
        The modes.
    users
        Number of users.
    target
        Block error rate wanted, more than 0 and less than 1; None: failures cost nothing.
    """

    def __init__(self, table: ModeTable, users: int, target: float | None) -> None:
        self.target = 0.0 if target is None else target
        self._held = target is not None
        self._table = table
        self._log_price = np.full(users, np.log(BONUS))
        self._failures = np.zeros(users)

    def learn(self, feedback: Feedback | None) -> None:
        """Take in what came of one slot."""
        if feedback is None or not self._held:
            return
        sent = feedback.mode >= 0
        self._failures += sent & ~feedback.acknowledged
        step = np.maximum(STEP, FIRST_STEP / np.maximum(self._failures, 1))
        moved = self._log_price + step * np.where(
            feedback.acknowledged, -self.target / (1 - self.target), 1.0
        )
        bounded = np.clip(moved, np.log(LEAST), np.log(MOST))
        self._log_price = np.where(sent, bounded, self._log_price)

    def in_bits(self, mean_snr_db: Float) -> Float:
        """Price of each user in bits; 0 where no target is held."""
        if not self._held:
            return np.zeros_like(self._log_price)
        return np.asarray((np.exp(self._log_price) - BONUS) * best_fixed_bits(self._table, mean_snr_db))


def best_fixed_bits(table: ModeTable, mean_snr_db: NDArray[np.floating]) -> Float:
    """Bits a slot that the best single mode carries over Rayleigh fading, shape as `mean_snr_db`."""
    levels_db = 10 * np.log10(-np.log1p(-(np.arange(LEVELS) + 0.5) / LEVELS))
    at = table.grid_index(np.asarray(mean_snr_db)[..., None] + levels_db)
    return np.asarray(table.expected_bits()[:, at].mean(axis=-1).max(axis=0))
