"""How much of the host's CPU time a guest had, and how long it waited for it.

The guest cannot say: its kernel counts CPU time by looking at each tick who runs, and a process that wakes at
ticks, as a control loop does, is always there then or never. The host's scheduler counts nanoseconds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SAMPLE_S = 0.2
NANO = 1e9


@dataclass(frozen=True, slots=True)
class Sample:
    """Sums over all processes of the guest since it was started.

    Attributes
    ----------
    at_s
        Time since the start, on the host's clock.
    ran_s
        CPU time.
    waited_s
        Time in which a process of the guest could have run and the host had no CPU for it.
    """

    at_s: float
    ran_s: float
    waited_s: float


class Meter:
    """Adds up what the host's scheduler counts for a process and its children."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._start_s = time.monotonic()
        self._last: dict[str, tuple[int, int]] = {}
        self._ran_ns = self._waited_ns = 0
        self.samples = [Sample(0.0, 0.0, 0.0)]

    def sample(self) -> None:
        """Take a sample, if the last one is old enough."""
        at_s = time.monotonic() - self._start_s
        if at_s - self.samples[-1].at_s < SAMPLE_S:
            return
        for name in self._processes():
            with suppress(OSError, ValueError):
                ran_ns, waited_ns, _ = map(int, Path("/proc", name, "schedstat").read_text().split())
                before = self._last.get(name, (0, 0))
                self._ran_ns += max(0, ran_ns - before[0])
                self._waited_ns += max(0, waited_ns - before[1])
                self._last[name] = ran_ns, waited_ns
        self.samples.append(Sample(at_s, self._ran_ns / NANO, self._waited_ns / NANO))

    def _processes(self) -> list[str]:
        found = [str(self._pid)]
        with suppress(OSError):
            for thread in Path("/proc", str(self._pid), "task").iterdir():
                found += (thread / "children").read_text().split()
        return found


def shares(samples: Sequence[Sample], start_s: float, end_s: float) -> tuple[float, float]:
    """Return the shares of a time span in which the guest ran, and in which it waited for a CPU.

    Parameters
    ----------
    samples
        Of a `Meter`.
    start_s, end_s
        Time since the start, on the host's clock.
    """
    at_s = [sample.at_s for sample in samples]
    spans = []
    for values in ([sample.ran_s for sample in samples], [sample.waited_s for sample in samples]):
        first, last = np.interp([start_s, end_s], at_s, values)
        spans.append(float(last - first) / (end_s - start_s))
    return spans[0], spans[1]
