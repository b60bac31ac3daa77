"""The learned policy over a simulated fair queue, compiled: `PolledLimits`, fast enough to learn in."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qos.compiled import compiled
from qos.simulation.core import advance
from qos.simulation.layout import DONE
from qos.simulation.polling import IDLE_S
from qos.simulation.simulation import Simulation
from schedulers.packet.layout import Records
from schedulers.packet.limits.lfq import company as among_others
from schedulers.packet.limits.lfq import fair_room, step
from schedulers.packet.limits.lfq import memory as remembered
from schedulers.packet.limits.lfq.company import Beginning
from schedulers.packet.limits.lfq.fair_room import RoomBounds
from schedulers.packet.limits.lfq.memory import LINK_MEMORY, MEMORY, RTT_S, Float64, Poll
from schedulers.packet.limits.lfq.step import Network

Int64 = NDArray[np.int64]

_measure = compiled(remembered.measure)
_remember = compiled(remembered.remember)
_sharing = compiled(among_others.sharing)
_listen = compiled(remembered.listen)
_count_timeouts = compiled(remembered.count_timeouts)
_welcome = compiled(among_others.welcome)
_company = compiled(among_others.company)
_features = compiled(step.features)
_evaluate = compiled(step.evaluate)
_apply = compiled(step.apply)
_remember_served = compiled(fair_room.remember_served)
_widen = compiled(fair_room.widen)


NS = 1_000_000_000
FRAME_BYTES = 1500.0
MOST_BYTES = float(64 << 20)


class Bounds(NamedTuple):
    """What stays the same in a rollout: see `schedulers.packet.limits.contract.QueueContext`."""

    interval_ns: int
    idle_s: float
    alpha: float
    frame_bytes: float
    link_bytes_s: float
    start_bytes: float
    beginning: Beginning
    least_bytes: float
    most_bytes: float
    room: RoomBounds


def bounds_of(network: Network, rate_bps: float, interval_s: float, alpha: float) -> Bounds:
    """Give the bounds of a policy on a link of a rate, as the deployed policy has them."""
    beginning = among_others.beginning_of(network.start, rate_bps, alpha, FRAME_BYTES)
    start = among_others.start_limit_bytes(network.start, rate_bps, alpha, FRAME_BYTES)
    least = among_others.LEAST_FRAMES * FRAME_BYTES
    start = float(int(min(start, MOST_BYTES)))
    room = fair_room.room_bounds(alpha, MOST_BYTES, FRAME_BYTES)
    return Bounds(
        round(interval_s * NS),
        IDLE_S,
        alpha,
        FRAME_BYTES,
        rate_bps / 8,
        start,
        beginning,
        least,
        MOST_BYTES,
        room,
    )


class Progress(NamedTuple):
    """What changes: memory of the policy, and of the loop."""

    memory: Float64
    link: Float64
    seen: Int64  # (3, n): totals at the previous poll
    quiet_s: Float64
    clock_ns: Int64  # next poll, previous poll
    first: Float64  # limit of queues that nobody uses, and for how long more would have been right
    room: Float64  # of flows that get less than their share


def fresh_progress(count: int, now_ns: int, interval_ns: int) -> Progress:
    """Begin with no flow known."""
    return Progress(
        np.zeros((MEMORY, count)),
        np.zeros(LINK_MEMORY),
        np.zeros((3, count), np.int64),
        np.full(count, IDLE_S),
        np.array([now_ns + interval_ns, now_ns], np.int64),
        np.zeros(2),
        fair_room.fresh_room(count),
    )


def copy_of(progress: Progress) -> Progress:
    """Copy a progress, for a fork."""
    return Progress(
        progress.memory.copy(),
        progress.link.copy(),
        progress.seen.copy(),
        progress.quiet_s.copy(),
        progress.clock_ns.copy(),
        progress.first.copy(),
        progress.room.copy(),
    )


@compiled
def gather(table: Records, bounds: Bounds, progress: Progress, dt_s: float) -> tuple[Int64, Float64, Float64]:
    """Read the counters: the active flows, their figures and memories.

    Returns the places of the active flows, shape ``(n,)``, the rows of a `Poll`, shape ``(7, n)``, and the
    memory, shape ``(MEMORY, n)``.
    """
    count = len(table)
    seen, quiet = progress.seen, progress.quiet_s
    active = np.empty(count, np.int64)
    figures = np.empty((7, count))
    memory = np.empty((MEMORY, count))
    n = 0
    for i in range(count):
        part = table[i]
        was_idle = quiet[i] >= bounds.idle_s
        if part.bytes == 0 and part.sent_packets == seen[1, i] and part.dropped_packets == seen[2, i]:
            quiet[i] += dt_s
            continue
        active[n] = i
        figures[0, n] = part.sent_bytes - seen[0, i]
        figures[1, n] = part.sent_packets - seen[1, i]
        figures[2, n] = part.dropped_packets - seen[2, i]
        figures[3, n] = part.bytes
        figures[4, n] = part.limit_bytes
        figures[5, n] = 1.0 if was_idle else 0.0
        figures[6, n] = quiet[i]
        quiet[i] = 0.0
        seen[0, i] = part.sent_bytes
        seen[1, i] = part.sent_packets
        seen[2, i] = part.dropped_packets
        memory[:, n] = progress.memory[:, i]
        n += 1
    return active[:n], figures[:, :n].copy(), memory[:, :n].copy()


@compiled
def _welcome_all(table: Records, bounds: Bounds, progress: Progress) -> None:
    """Give the queues that nobody uses their limit."""
    for i in range(len(table)):
        if progress.quiet_s[i] >= bounds.idle_s:
            table[i].limit_bytes = int(progress.first[0])


@compiled
def _poll(table: Records, network: Network, bounds: Bounds, progress: Progress, dt_s: float) -> None:
    active, figures, memory = gather(table, bounds, progress, dt_s)
    if len(active) == 0 or progress.first[0] == 0.0:
        progress.first[0], progress.first[1] = bounds.start_bytes, 0.0
    if len(active) == 0:
        _welcome_all(table, bounds, progress)
        return
    poll = Poll(figures[0], figures[1], figures[2], figures[3], figures[4], figures[5], figures[6])
    _measure(memory, progress.link, poll, dt_s, bounds.frame_bytes)
    _count_timeouts(memory, poll, dt_s)
    _remember(memory, poll, dt_s)
    shared = _sharing(memory, bounds.link_bytes_s)
    _listen(memory, poll, dt_s, shared.share_bytes_s, bounds.frame_bytes)
    x = _features(memory, progress.link, poll, dt_s, bounds.alpha, bounds.frame_bytes, shared)
    among = _company(network.start, memory, shared, bounds.beginning, bounds.least_bytes, bounds.frame_bytes)
    _welcome(progress.first, among.next_bytes, dt_s)
    _welcome_all(table, bounds, progress)
    wanted = _apply(
        network, memory, poll, _evaluate(network, x), among, bounds.most_bytes, bounds.frame_bytes
    )
    _remember_served(progress.room, active, poll, dt_s)
    limits = _widen(progress.room, active, poll, wanted, memory[RTT_S], dt_s, bounds.room)
    for k in range(len(active)):
        table[active[k]].limit_bytes = int(limits[k])
        progress.memory[:, active[k]] = memory[:, k]


@compiled
def _roll(
    control: Records, table: Records, network: Network, bounds: Bounds, progress: Progress, until_ns: int
) -> int:
    clock = progress.clock_ns
    while clock[0] <= until_ns:
        need = advance(control, clock[0])
        if need != DONE:
            return need
        _poll(table, network, bounds, progress, (clock[0] - clock[1]) * 1e-9)
        clock[1] = clock[0]
        clock[0] += bounds.interval_ns
    return advance(control, until_ns)


def table_of(simulation: Simulation, queue_id: int, count: int) -> Records:
    """View the first sub-queues of a queue."""
    first = int(simulation.state.queues["first"][queue_id])
    return simulation.state.subqueues[first : first + count]


def roll(
    simulation: Simulation, queue_id: int, network: Network, bounds: Bounds, progress: Progress, until_ns: int
) -> None:
    """Run a simulation with the policy setting the limits of one queue.

    Parameters
    ----------
    simulation
        What runs; it must not be past `until_ns`.
    queue_id
        The queue.
    network, bounds, progress
        The policy; `progress` is changed.
    until_ns
        Until when.
    """
    table = table_of(simulation, queue_id, progress.seen.shape[1])
    while (need := _roll(simulation.state.control, table, network, bounds, progress, until_ns)) != DONE:
        simulation.make_room(int(need))
