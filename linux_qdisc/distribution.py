"""Cumulative histograms of what each flow in use was seen to do at each poll, as Prometheus counts them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SIZES_BYTES = tuple(1500.0 * 2**power for power in range(14))
TIMES_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
DROPS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
LOOP_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


@dataclass(slots=True)
class Histogram:
    """Counts of values up to each bound, and their sum.

    Attributes
    ----------
    bounds
        Upper bounds in rising order, a value on a bound belongs below it.
    counts
        Values in each bucket (not cumulated); the last one is above every bound.
    total
        Sum of the values.
    """

    bounds: tuple[float, ...]
    counts: NDArray[np.int64] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.bounds) + 1, np.int64)

    def add(self, values: NDArray[np.float64] | NDArray[np.int64]) -> None:
        """Count values, shape ``(n,)``."""
        places = np.searchsorted(self.bounds, values)
        self.counts += np.bincount(places, minlength=len(self.counts))
        self.total += float(values.sum())

    def cumulated(self) -> list[tuple[str, float]]:
        """Return bound and number of values up to it, ``+Inf`` last."""
        bounds = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        return list(zip(bounds, np.cumsum(self.counts).astype(float).tolist(), strict=True))


class FlowHistograms:
    """One observation for each active flow at each poll; and the time of the poll itself."""

    def __init__(self) -> None:
        self.backlog_bytes = Histogram(SIZES_BYTES)
        self.limit_bytes = Histogram(SIZES_BYTES)
        self.sojourn_s = Histogram(TIMES_S)
        self.drops = Histogram(DROPS)
        self.loop_s = Histogram(LOOP_S)

    def observe(
        self,
        backlog_bytes: NDArray[np.int64],
        limit_bytes: NDArray[np.int64],
        sojourn_s: NDArray[np.float64],
        drops: NDArray[np.int64],
    ) -> None:
        """Count the active flows of one poll, each array of shape ``(active,)``."""
        self.backlog_bytes.add(backlog_bytes)
        self.limit_bytes.add(limit_bytes)
        self.sojourn_s.add(sojourn_s)
        self.drops.add(drops)


def sojourn_estimate_s(
    backlog_bytes: NDArray[np.int64], sent_bytes: NDArray[np.int64], dt_s: float, link_bps: int
) -> NDArray[np.float64]:
    """Return how long what waits will wait, if each flow goes on at the rate of the latest poll.

    A flow that sent nothing is taken to get its share of the link next.

    Parameters
    ----------
    backlog_bytes, sent_bytes
        Of each active flow, shape ``(active,)``.
    dt_s
        Time between the polls in seconds, > 0.
    link_bps
        Rate of the link in bit/s.
    """
    share = link_bps / 8 * dt_s / max(len(backlog_bytes), 1)
    rate = np.where(sent_bytes > 0, sent_bytes, share) / dt_s
    return np.asarray(backlog_bytes / rate, np.float64)
