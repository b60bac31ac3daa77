"""How much rate each queue in use is guaranteed, so that a sparse flow does not wait.

A leaf that sends less than its guarantee is served before any leaf that borrows, and HTB asks nobody
whether the link is free: all queues that hold a guarantee may send one packet each at once. So a bulk
flow, whose queue does not run empty, is guaranteed next to nothing and borrows; 16 bulk flows with a
twentieth of 10 Mbit/s each put a queue of 9 ms into the device behind the shaper, 64 put 35 ms.

HTB does not hold the sum of the guarantees to the link's rate either, so it is done here: with `A`
sparse queues in use each is guaranteed ``GUARANTEED_FRACTION * R / S``, where `S` is `A` rounded up to
a power of two and at least `MIN_SHARES`. Powers of two, and a delay before a guarantee grows again,
keep the messages few.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linux_qdisc.tree import ENTRY_SHARES, GUARANTEED_FRACTION

MIN_SHARES = 4
GROW_AFTER_S = 2.0
BULK_AFTER_S = 0.1
"""A queue that holds packets at every poll for so long is a bulk flow's."""
SPARSE_AFTER_S = 0.5
"""A bulk flow's queue that is found empty for so long is a sparse flow's."""
BULK_PARTS = 16
"""Each bulk queue's guarantee is at most this part of what it would be as a sparse one."""
DEBT_S = 2.0
"""A guarantee pays for a full packet in so long: a queue that goes to another flow is not in debt."""


def power_of_two(count: int) -> int:
    """Return the smallest power of two that is at least `count`, and at least 1."""
    return 1 << max(count - 1, 0).bit_length()


class Shares:
    """Among how many queues the guaranteed part of the link is divided.

    Parameters
    ----------
    least
        The fewest shares, a power of two.
    """

    def __init__(self, least: int = MIN_SHARES) -> None:
        self.shares = max(ENTRY_SHARES, least)
        self._least = least
        self._calm_s = 0.0

    def update(self, active: int, dt_s: float) -> int:
        """Follow the number of active queues: down at once, up after two calm seconds.

        Parameters
        ----------
        active
            Queues in use now, >= 0.
        dt_s
            Time since the previous call in seconds.

        Returns
        -------
        int
            A power of two, at least `least`, at least `active`.
        """
        needed = max(self._least, power_of_two(active))
        if needed >= self.shares:
            self.shares, self._calm_s = needed, 0.0
            return self.shares
        self._calm_s += dt_s
        if self._calm_s >= GROW_AFTER_S:
            self.shares, self._calm_s = needed, 0.0
        return self.shares


class Guarantees:
    """What each queue in use is guaranteed, as the number of shares that the link is divided into.

    Parameters
    ----------
    flows
        Number of queues.
    rate_bps
        Rate of the link in bit/s.
    frame_bytes
        Largest frame.
    """

    def __init__(self, flows: int, rate_bps: int, frame_bytes: int) -> None:
        self._full_s = np.zeros(flows)
        self._empty_s = np.zeros(flows)
        self._is_bulk = np.zeros(flows, np.bool_)
        frames_in_debt_time = int(rate_bps * GUARANTEED_FRACTION * DEBT_S / (8 * frame_bytes))
        self._sparse = Shares()
        self._bulk = Shares(max(MIN_SHARES, power_of_two(frames_in_debt_time)))

    def update(
        self, in_use: NDArray[np.bool_], backlog_bytes: NDArray[np.int64], dt_s: float
    ) -> list[tuple[NDArray[np.int64], int]]:
        """Follow a poll.

        Parameters
        ----------
        in_use
            Queues that have a flow, shape ``(flows,)``.
        backlog_bytes
            What waits in each, shape ``(flows,)``.
        dt_s
            Time since the previous poll in seconds.

        Returns
        -------
        list
            Queues, and the shares that each of them is one of.
        """
        waits = backlog_bytes > 0
        self._full_s = np.where(waits, self._full_s + dt_s, 0.0)
        self._empty_s = np.where(waits, 0.0, self._empty_s + dt_s)
        self._is_bulk |= self._full_s >= BULK_AFTER_S
        self._is_bulk &= in_use & (self._empty_s < SPARSE_AFTER_S)
        bulk, sparse = np.flatnonzero(self._is_bulk), np.flatnonzero(in_use & ~self._is_bulk)
        result = []
        if len(bulk):
            result.append((bulk, self._bulk.update(BULK_PARTS * len(bulk), dt_s)))
        if len(sparse):
            result.append((sparse, self._sparse.update(len(sparse), dt_s)))
        return result
