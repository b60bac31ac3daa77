"""Time series: what flows and queues do in each interval of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qos.errors import ValueRefusedError
from qos.simulation.simulation import Simulation

MOST_POINTS = 10_000_000


@dataclass(frozen=True)
class Series:
    """Values at the end of each interval.

    Attributes
    ----------
    times_s
        Shape ``(n,)``.
    goodput_bps, cwnd_bytes, srtt_s
        Shape ``(n, flows)``; the goodput is that of the interval.
    backlog_packets, drops
        Shape ``(n, queues)``; the drops are those of the interval.
    """

    times_s: NDArray[np.float64]
    goodput_bps: NDArray[np.float64]
    cwnd_bytes: NDArray[np.int64]
    srtt_s: NDArray[np.float64]
    backlog_packets: NDArray[np.int64]
    drops: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """Give lists for a JSON document."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}


def record_series(
    simulation: Simulation, step_s: float, advance: Callable[[float], None] | None = None
) -> Series:
    """Run a simulation to the end of its scenario and look at it at each step.

    Parameters
    ----------
    simulation
        What is run.
    step_s
        Interval, more than 0.
    advance
        Runs until a time; `simulation.run_until` if None.

    Raises
    ------
    ValueRefusedError
        If there were no points, or too many.
    """
    end_s = simulation.scenario.duration_s
    advance = advance or simulation.run_until
    points = round((end_s - simulation.now_s) / step_s) if step_s > 0 else 0
    if not 1 <= points <= MOST_POINTS:
        raise ValueRefusedError(
            f"an interval of {step_s:g} s gives {points} points; 1 to {MOST_POINTS} are possible"
        )
    started_s = simulation.now_s
    times = np.linspace(started_s, end_s, points + 1)[1:]
    rows: list[tuple[NDArray[Any], ...]] = []
    for time_s in times:
        advance(float(time_s))
        state = simulation.state
        flows, queues = state.flows, state.queues
        rows.append(
            (
                flows["delivered_in_order_bytes"].copy(),
                flows["cwnd_bytes"].copy(),
                flows["srtt_ns"].copy(),
                queues["packets"].copy(),
                queues["dropped_packets"].copy(),
            )
        )
    columns = [np.array([row[place] for row in rows]) for place in range(5)]
    steps = np.diff(times, prepend=started_s)
    goodput = np.diff(columns[0], axis=0, prepend=0) * 8.0 / steps[:, None]
    drops = np.diff(columns[4], axis=0, prepend=0)
    return Series(times, goodput, columns[1], columns[2] * 1e-9, columns[3], drops)
