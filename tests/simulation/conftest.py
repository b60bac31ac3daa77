"""What the tests of the simulator share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qos.simulation import Flow, Scenario, Transport, dumbbell
from schedulers.packet.registry import queue


@pytest.fixture(scope="session")
def small() -> Callable[..., Scenario]:
    """Make a dumbbell: flows as names or `Flow`s, the queue by name; 10 Mbit/s, 20 ms, 2 s."""

    def make(
        *flows: str | Flow, discipline: str = "fifo", transport: dict[str, Any] | None = None, **rest: Any
    ) -> Scenario:
        made = tuple(
            Flow(flow, "left", "right", transport=Transport(**(transport or {})))
            if isinstance(flow, str)
            else flow
            for flow in flows
        )
        frame: dict[str, Any] = {"rate_bps": 10_000_000, "rtt_s": 0.02, "duration_s": 2.0, "seed": 0}
        frame |= {name: rest.pop(name) for name in list(rest) if name in frame}
        return dumbbell(made, queue=queue(discipline, **rest), **frame)

    return make
