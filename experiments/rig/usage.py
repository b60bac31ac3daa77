"""How much of the host's CPU time a guest had.

The guest cannot say: its kernel counts CPU time by looking at each tick who runs, and a process that wakes at
ticks, as a control loop does, is always there then or never. The host's scheduler counts nanoseconds.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SAMPLE_S = 0.1
NANO = 1e9


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU time `ran_s` of all processes of the guest since its start, at `at_s` on the host's wall clock."""

    at_s: float
    ran_s: float


class Meter:
    """Adds up what the host's scheduler counts for a process and its children."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._last: dict[str, int] = {}
        self._ran_ns = 0
        self.samples = [Sample(time.time(), 0.0)]

    def sample(self) -> None:
        """Take a sample, if the last one is old enough."""
        at_s = time.time()
        if at_s - self.samples[-1].at_s < SAMPLE_S:
            return
        for name in self._processes():
            with suppress(OSError, ValueError):
                ran_ns = int(Path("/proc", name, "schedstat").read_text().split()[0])
                self._ran_ns += max(0, ran_ns - self._last.get(name, 0))
                self._last[name] = ran_ns
        self.samples.append(Sample(at_s, self._ran_ns / NANO))

    def _processes(self) -> list[str]:
        found = [str(self._pid)]
        with suppress(OSError):
            for thread in Path("/proc", str(self._pid), "task").iterdir():
                found += (thread / "children").read_text().split()
        return found
