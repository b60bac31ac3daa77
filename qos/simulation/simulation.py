"""A running simulation: advance, look, set limits, snapshot, fork."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qos.errors import ValueRefusedError
from qos.simulation.build import build, check_memory, nanoseconds
from qos.simulation.layout import DONE, NEEDS_EVENTS, State
from qos.simulation.paths import Paths, find_paths
from qos.simulation.result import Distribution, Result, collect, delay_distribution, sojourn_distribution
from qos.simulation.scenario import RateFunction, Scenario, check_whole
from qos.simulation.state import bind, copied, grown, memory_bytes, overwrite, set_rate

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class QueueCounters:
    """What the sub-queues of one queue counted since the start; arrays of shape ``(n,)``, int64.

    The sub-queue of flow ``i`` is ``i % n`` where the queue's hash is ``perfect``.

    Attributes
    ----------
    sent_bytes, sent_packets, dropped_packets, marked_packets, arrived_packets
        Totals since the start of the simulation.
    backlog_bytes, backlog_packets
        What waits now.
    limit_bytes, limit_packets
        The limits in force.
    """

    sent_bytes: Int64
    sent_packets: Int64
    dropped_packets: Int64
    marked_packets: Int64
    arrived_packets: Int64
    backlog_bytes: Int64
    backlog_packets: Int64
    limit_bytes: Int64
    limit_packets: Int64


@cache
def _compiled_advance() -> object:
    """Load or compile the core, so that no simulation's time includes it."""
    from qos.simulation.freshness import discard_stale_code

    discard_stale_code()
    from qos.simulation.core import advance
    from schedulers.packet.layout import CONTROL_DTYPE

    advance(np.zeros(1, CONTROL_DTYPE), 0)  # no events: only compiled, or loaded
    return advance


def _next_multiple(now_ns: int, every_s: float) -> int:
    """Give the first multiple of an interval after now."""
    every_ns = nanoseconds(every_s)
    return (now_ns // every_ns + 1) * every_ns


def prepare() -> None:
    """Compile the core now, or load it; about half a minute of one core the first time, then a second."""
    _compiled_advance()


class Simulation:
    """One run of a scenario.

    Parameters
    ----------
    scenario
        What to simulate.
    snapshot
        Where to continue; None: at the beginning.

    Raises
    ------
    ValueRefusedError
        If a flow has no route, or the scenario needs more memory than there is.
    """

    def __init__(self, scenario: Scenario, snapshot: Snapshot | None = None) -> None:
        self._scenario = scenario
        self._cpu_s = 0.0
        if snapshot is not None:
            self._paths = snapshot.paths
            self._state = copied(snapshot.state)
        else:
            self._paths = find_paths(scenario)
            check_memory(scenario, self._paths)
            self._state = build(scenario, self._paths)
        self._functions = {
            number: rate
            for number, direction in enumerate(self._paths.directions)
            if isinstance(rate := scenario.rates.get(direction), RateFunction)
        }

    @property
    def scenario(self) -> Scenario:
        """What is simulated."""
        return self._scenario

    @property
    def paths(self) -> Paths:
        """The directed links in use, by number, and the routes."""
        return self._paths

    @property
    def now_s(self) -> float:
        """The simulated time in seconds."""
        return int(self._state.control["now_ns"][0]) * 1e-9

    @property
    def cpu_s(self) -> float:
        """CPU time that the events of this run took, without compilation."""
        return self._cpu_s

    @property
    def memory_bytes(self) -> int:
        """Bytes of all arrays now."""
        return memory_bytes(self._state)

    @property
    def state(self) -> State:
        """The arrays themselves; they are replaced when they grow."""
        return self._state

    def run_until(self, time_s: float) -> None:
        """Run all events until a simulated time, that time included.

        Raises
        ------
        ValueRefusedError
            If the time is past.
        """
        until_ns = nanoseconds(time_s)
        if until_ns < self._state.control["now_ns"][0]:
            raise ValueRefusedError(f"the simulation is at {self.now_s} s already, not before {time_s} s")
        if self._functions:
            self._follow_functions(until_ns)
        self._advance(until_ns)

    def _follow_functions(self, until_ns: int) -> None:
        """Run until the last call of a rate function that is due, with all calls."""
        while True:
            now_ns = int(self._state.control["now_ns"][0])
            due = {link: _next_multiple(now_ns, each.every_s) for link, each in self._functions.items()}
            first_ns = min(due.values())
            if first_ns > until_ns:
                return
            self._advance(first_ns)
            for link, time_ns in due.items():
                if time_ns == first_ns:
                    self.set_rate(link, self._functions[link].at(first_ns * 1e-9))

    def _advance(self, until_ns: int) -> None:
        advance = _compiled_advance()
        assert callable(advance)
        started = time.process_time()
        while (need := advance(self._state.control, until_ns)) != DONE:
            self._state = grown(self._state, int(need))
        self._cpu_s += time.process_time() - started

    def make_room(self, need: int) -> None:
        """Give the arrays more of what the compiled core came back for."""
        self._state = grown(self._state, need)

    def rewind(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this simulation, in the same memory where it still fits."""
        same = zip(self._state, snapshot.state, strict=True)
        if all(array.shape == start.shape for array, start in same):
            overwrite(self._state, snapshot.state)
            self._state = self._state._replace(parameters=snapshot.state.parameters)
            bind(self._state)
        else:
            self._state = copied(snapshot.state)

    def run(self) -> Result:
        """Run to the end of the scenario and collect what was measured."""
        self.run_until(self._scenario.duration_s)
        return self.result()

    def result(self) -> Result:
        """Collect what was measured so far."""
        return collect(self._scenario, self._paths, self._state, self._cpu_s)

    def rtt_distribution(self, flow: int) -> Distribution:
        """Give the distribution of a flow's round-trip times so far; of a udp flow's one-way delays.

        Raises
        ------
        ValueRefusedError
            If there is no flow of this number.
        """
        if not 0 <= flow < len(self._state.flows):
            raise ValueRefusedError(f"flow {flow}: there are only {len(self._state.flows)} flows")
        return delay_distribution(self._state, flow)

    def sojourn_distribution(self, queue_id: int = 0) -> Distribution:
        """Give the distribution of the times that packets waited in a queue so far.

        Raises
        ------
        ValueRefusedError
            If there is no queue of this number.
        """
        self._block(queue_id)
        return sojourn_distribution(self._state, queue_id)

    def _block(self, queue_id: int) -> slice:
        if not 0 <= queue_id < len(self._state.queues):
            raise ValueRefusedError(f"queue {queue_id}: there are only {len(self._state.queues)} queues")
        first = int(self._state.queues["first"][queue_id])
        return slice(first, first + int(self._state.queues["subqueues"][queue_id]))

    def queue_counters(self, queue_id: int = 0, count: int | None = None) -> QueueCounters:
        """Read the counters of a queue's sub-queues; the arrays are copies.

        Parameters
        ----------
        queue_id
            Number of the queue in `paths.directions`; 0 is the bottleneck.
        count
            Only the first `count` sub-queues; None: all.
        """
        block = self._block(queue_id)
        table = self._state.subqueues[block][:count]
        return QueueCounters(
            table["sent_bytes"].copy(),
            table["sent_packets"].copy(),
            table["dropped_packets"].copy(),
            table["marked_packets"].copy(),
            table["arrived_packets"].copy(),
            table["bytes"].copy(),
            table["packets"].copy(),
            table["limit_bytes"].copy(),
            table["limit_packets"].copy(),
        )

    def set_limits(
        self, queue_id: int, limit_bytes: Int64 | int, *, slots: Int64 | None = None, packets: bool = False
    ) -> None:
        """Set the limits of a queue's sub-queues; packets that wait already stay.

        Parameters
        ----------
        queue_id
            Number of the queue.
        limit_bytes
            One limit, or one a sub-queue, at least 0.
        slots
            The sub-queues; None: the first ones, as many as limits are given, or all for one limit.
        packets
            The limits count packets, not bytes.
        """
        column = self._state.subqueues["limit_packets" if packets else "limit_bytes"][self._block(queue_id)]
        if slots is not None:
            column[slots] = limit_bytes
        elif np.ndim(limit_bytes):
            column[: len(np.asarray(limit_bytes))] = limit_bytes
        else:
            column[:] = limit_bytes

    def set_rate(self, queue_id: int, rate_bps: int) -> None:
        """Change the rate of the link behind a queue, now.

        A packet in transmission keeps the rate that it began with.

        Parameters
        ----------
        queue_id
            Number of the queue, and of its link.
        rate_bps
            0 to 10^12; at 0 no packet begins to be sent.

        Raises
        ------
        ValueRefusedError
            If there is no such link, it follows a trace, or the rate is out of range.
        """
        self._block(queue_id)
        check_whole("rate_bps", rate_bps, 0, 10**12)
        if self._state.links["trace_length"][queue_id]:
            raise ValueRefusedError(f"queue {queue_id}: the rate of its link follows a trace")
        if self._state.control["events_pending"][0] >= len(self._state.events):
            self._state = grown(self._state, NEEDS_EVENTS)
        set_rate(self._state, queue_id, rate_bps)

    def set_policy_parameters(self, parameters: NDArray[np.float64]) -> None:
        """Give the per-packet limit policy what it was trained to.

        A read-only float64 vector is used where it lies, so that a million of them cost nothing.
        """
        ready = parameters.dtype == np.float64 and parameters.ndim == 1 and parameters.flags.c_contiguous
        if not ready or parameters.flags.writeable:
            parameters = np.array(parameters, np.float64).ravel()
        self._state = self._state._replace(parameters=parameters)
        bind(self._state)

    def snapshot(self) -> Snapshot:
        """Keep the present state; any number of forks continue from it."""
        return Snapshot(self._scenario, self._paths, copied(self._state))


@dataclass(frozen=True)
class Snapshot:
    """The state of a simulation at one moment; it never changes."""

    scenario: Scenario
    paths: Paths
    state: State

    def fork(self) -> Simulation:
        """Make a simulation that continues from here, bit for bit as the original would."""
        return Simulation(self.scenario, self)
