"""Cumulative histograms of what each flow in use was seen to do at each poll, as Prometheus counts them."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

SIZES_BYTES = tuple(1500.0 * 2**power for power in range(14))
TIMES_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
DROPS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
POLLS_AT_ONCE = 64
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


@dataclass(frozen=True, slots=True)
class ObservedPoll:
    """What one poll saw of its active flows; arrays of int64 with shape ``(active,)``.

    Attributes
    ----------
    backlog_bytes, limit_bytes
        What waits in each, and what may.
    sent_bytes, dropped_packets
        Since the poll before.
    dt_s
        Time since the poll before in seconds, > 0.
    """

    backlog_bytes: NDArray[np.int64]
    limit_bytes: NDArray[np.int64]
    sent_bytes: NDArray[np.int64]
    dropped_packets: NDArray[np.int64]
    dt_s: float


class FlowHistograms:
    """One observation for each active flow at each poll; and the time of each poll itself.

    The control loop only puts polls down; they are counted many at once, or when somebody asks.
    Both may happen in different threads.
    """

    def __init__(self) -> None:
        self.backlog_bytes = Histogram(SIZES_BYTES)
        self.limit_bytes = Histogram(SIZES_BYTES)
        self.sojourn_s = Histogram(TIMES_S)
        self.drops = Histogram(DROPS)
        self.loop_s = Histogram(LOOP_S)
        self._polls: list[ObservedPoll] = []
        self._turns_s: list[float] = []
        self._lock = Lock()

    def observe(self, poll: ObservedPoll | None, link_bps: int, turn_s: float) -> None:
        """Put down one poll.

        Parameters
        ----------
        poll
            What it saw; None where no flow was active.
        link_bps
            Rate of the link in bit/s.
        turn_s
            Time that this turn of the control loop took.
        """
        with self._lock:
            if poll is not None:
                self._polls.append(poll)
            self._turns_s.append(turn_s)
        if len(self._turns_s) >= POLLS_AT_ONCE:
            self.count(link_bps)

    def count(self, link_bps: int) -> None:
        """Count the polls that were put down."""
        with self._lock:
            polls, self._polls = self._polls, []
            turns_s, self._turns_s = self._turns_s, []
            self.loop_s.add(np.array(turns_s))
            if not polls:
                return
            backlog = np.concatenate([poll.backlog_bytes for poll in polls])
            sent = np.concatenate([poll.sent_bytes for poll in polls])
            active = np.array([len(poll.backlog_bytes) for poll in polls])
            dt_s = np.array([poll.dt_s for poll in polls])
            rate = drain_rate(sent, np.repeat(dt_s, active), np.repeat(active, active), link_bps)
            self.backlog_bytes.add(backlog)
            self.limit_bytes.add(np.concatenate([poll.limit_bytes for poll in polls]))
            self.sojourn_s.add(backlog / rate)
            self.drops.add(np.concatenate([poll.dropped_packets for poll in polls]))


def drain_rate(
    sent_bytes: NDArray[np.int64],
    dt_s: NDArray[np.float64] | float,
    active: NDArray[np.int64] | int,
    link_bps: int,
) -> NDArray[np.float64]:
    """Return how fast each flow's queue is emptied, in bytes/s, if it goes on as in the latest poll.

    A flow that sent nothing is taken to get its share of the link next.

    Parameters
    ----------
    sent_bytes
        What each flow sent, shape ``(n,)``.
    dt_s
        In which time, seconds > 0; for all, or shape ``(n,)``.
    active
        How many flows shared the link then, >= 1; for all, or shape ``(n,)``.
    link_bps
        Rate of the link in bit/s.
    """
    share = link_bps / 8 / active
    return np.where(sent_bytes > 0, sent_bytes / dt_s, share)
