"""A limit policy that is polled, as on a Linux host, over a simulated fair queue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qos.errors import ValueRefusedError
from qos.simulation.build import configuration
from qos.simulation.simulation import QueueCounters, Simulation
from schedulers.packet.limits import (
    FlowCounters,
    LimitPolicy,
    QueueContext,
    first_limit_bytes,
    make_policy,
)

IDLE_S = 2.0
"""A flow that was quiet for so long starts afresh, as on a kernel (`linux_qdisc.controller`)."""
LARGEST_LIMIT_BYTES = 64 << 20
CLOCK_S = 1e-9
INITIAL_LIMIT_S = 0.1
LEAST_FRAMES = 1


class PolledLimits:
    """Polls the counters of a queue at a fixed interval and sets the limits that a policy wants.

    Parameters
    ----------
    simulation
        What is run; it may be a fork, a new policy then starts without history.
    policy
        A policy, or the name of one (`schedulers.packet.limits.policy_names`).
    interval_s
        Time between polls, more than 0.
    queue_id
        Number of the queue.

    Raises
    ------
    ValueRefusedError
        If the queue has only one part, or the interval or the policy's name cannot be used.
    """

    def __init__(
        self, simulation: Simulation, policy: LimitPolicy | str, interval_s: float = 0.01, queue_id: int = 0
    ) -> None:
        if not interval_s > 0:
            raise ValueRefusedError(f"the interval between polls must be more than 0, not {interval_s!r}")
        self._simulation = simulation
        self._queue_id = queue_id
        self._interval_s = interval_s
        self._last = simulation.queue_counters(queue_id)
        slots = len(self._last.sent_bytes)
        if slots == 1:
            raise ValueRefusedError("a limit policy needs a queue with a part for each flow, such as fq")
        self._context = _context(simulation, queue_id, slots, policy)
        self._policy = make_policy(policy, self._context) if isinstance(policy, str) else policy
        self._quiet_s = np.full(slots, IDLE_S)
        simulation.set_limits(queue_id, self._context.initial_limit_bytes)
        self._start_s = simulation.now_s
        self._last_s = simulation.now_s
        self._polls = 0

    @property
    def context(self) -> QueueContext:
        """What the policy is told of the queue."""
        return self._context

    @property
    def simulation(self) -> Simulation:
        """What is run."""
        return self._simulation

    @property
    def next_s(self) -> float:
        """When the next poll is due."""
        return self._start_s + (self._polls + 1) * self._interval_s

    def run_until(self, time_s: float) -> None:
        """Run the simulation, with a poll at each interval."""
        run_polled(self._simulation, [self], time_s)

    def poll(self) -> None:
        """Read the counters now and set the limits."""
        self._polls += 1
        now = self._simulation.queue_counters(self._queue_id)
        dt_s = self._simulation.now_s - self._last_s
        self._last_s = self._simulation.now_s
        before, self._last = self._last, now
        counters = self._counters(now, before, dt_s)
        low, high = self._context.min_limit_bytes, self._context.max_limit_bytes
        if counters is not None:
            wanted = np.clip(self._policy.limits(counters, dt_s), low, high)
            self._simulation.set_limits(self._queue_id, wanted, slots=counters.slot)
        first = self._policy.first_limit_bytes(0 if counters is None else len(counters.slot))
        unused = np.flatnonzero(self._quiet_s >= IDLE_S)
        if len(unused):
            self._simulation.set_limits(self._queue_id, min(max(first, low), high), slots=unused)

    def _counters(self, now: QueueCounters, before: QueueCounters, dt_s: float) -> FlowCounters | None:
        sent = now.sent_bytes - before.sent_bytes
        dropped = now.dropped_packets - before.dropped_packets
        busy = (sent != 0) | (now.backlog_bytes != 0) | (dropped != 0)
        was_idle = self._quiet_s >= IDLE_S
        before_s = self._quiet_s.copy()
        self._quiet_s += dt_s
        self._quiet_s[busy] = 0.0
        active = np.flatnonzero(busy)
        if not len(active):
            return None
        return FlowCounters(
            slot=active,
            is_new=was_idle[active],
            sent_bytes=sent[active],
            sent_packets=(now.sent_packets - before.sent_packets)[active],
            dropped_packets=dropped[active],
            backlog_bytes=now.backlog_bytes[active],
            backlog_packets=now.backlog_packets[active],
            limit_bytes=now.limit_bytes[active],
            quiet_s=before_s[active],
        )


def configured_policies(simulation: Simulation) -> list[PolledLimits]:
    """Make the policies that the queues of a scenario ask for (`QueueConfiguration.policy`)."""
    found = []
    for queue_id, direction in enumerate(simulation.paths.directions):
        chosen = configuration(simulation.scenario, direction)
        if chosen.policy:
            found.append(PolledLimits(simulation, chosen.policy, chosen.poll_s, queue_id))
    return found


def run_polled(simulation: Simulation, policies: Sequence[PolledLimits], time_s: float) -> None:
    """Run a simulation, with the polls of all policies at their times.

    Parameters
    ----------
    simulation
        What runs.
    policies
        From `configured_policies`; the same ones for all parts of a run.
    time_s
        Until when.
    """
    while policies:
        due_s = min(policy.next_s for policy in policies)
        if due_s > time_s + CLOCK_S:
            break
        simulation.run_until(due_s)
        for policy in policies:
            if policy.next_s <= due_s + CLOCK_S:
                policy.poll()
    simulation.run_until(max(time_s, simulation.now_s))


def _context(simulation: Simulation, queue_id: int, slots: int, policy: LimitPolicy | str) -> QueueContext:
    rate_bps = int(simulation.state.links["rate_bps"][queue_id])
    mtu_bytes = int(simulation.state.queues["mtu_bytes"][queue_id])
    least = LEAST_FRAMES * mtu_bytes
    first = first_limit_bytes(policy, rate_bps, mtu_bytes) if isinstance(policy, str) else None
    wanted = int(rate_bps * INITIAL_LIMIT_S / 8) if first is None else first
    initial = min(max(wanted, least), LARGEST_LIMIT_BYTES)
    return QueueContext(
        slots=slots,
        rate_bps=rate_bps,
        mtu_bytes=mtu_bytes,
        initial_limit_bytes=initial,
        min_limit_bytes=least,
        max_limit_bytes=LARGEST_LIMIT_BYTES,
    )
