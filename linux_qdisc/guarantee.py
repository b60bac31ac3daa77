"""How much rate each active queue is guaranteed, so that a sparse flow does not wait.

A leaf that sends less than its guarantee is served before any leaf that borrows. HTB does not hold
the sum of the guarantees to the link's rate, so it is done here: with `A` active queues each is
guaranteed ``GUARANTEED_FRACTION * R / S``, where `S` is `A` rounded up to a power of two and at
least `MIN_SHARES`. Powers of two, and a delay before a guarantee grows again, keep the messages few.
"""

from __future__ import annotations

from linux_qdisc.tree import ENTRY_SHARES

MIN_SHARES = 4
GROW_AFTER_S = 2.0


class Shares:
    """Among how many queues the guaranteed part of the link is divided."""

    def __init__(self) -> None:
        self.shares = ENTRY_SHARES
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
            A power of two, at least `MIN_SHARES`, at least `active`.
        """
        needed = max(MIN_SHARES, 1 << max(active - 1, 0).bit_length())
        if needed >= self.shares:
            self.shares, self._calm_s = needed, 0.0
            return self.shares
        self._calm_s += dt_s
        if self._calm_s >= GROW_AFTER_S:
            self.shares, self._calm_s = needed, 0.0
        return self.shares
