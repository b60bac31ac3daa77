"""RCPSP-CEDF: earliest deadline first on whole tasks, waiting for instances that are about to be too late.

Every task has one pending instance. The one with the earliest deadline is about to be placed at the
earliest start at which all its qubits are free. If it would run beyond the latest start of a pending
instance that shares a qubit with it, has less slack than it and can still start in time, it gives way: it
may start only after that one (clairvoyant EDF of Ekelin, ECRTS 2006, with a latest start for each qubit
instead of one for the processor; arXiv 2111.13124 plots it as RCPSP-CEDF).
"""

from __future__ import annotations

import numpy as np

from qos.compiled import compiled
from schedulers.entanglement.bitsets import Words
from schedulers.entanglement.list_scheduling import NEVER, first_fit, occupy
from schedulers.entanglement.packing import IntArray, PackedTasks


@compiled
def _gives_way_until(
    tasks: PackedTasks, members: IntArray, chosen: int, start: int, earliest: IntArray, due: IntArray
) -> int:
    """Say from when on the chosen instance may start so that a more critical one can run first, or 0.

    `due` of a member that does not compete for a qubit with the chosen one is `NEVER`.
    """
    task = members[chosen]
    critical, latest = -1, due[chosen] - tasks.exec_time[task]
    for other in range(members.size):
        slack_end = due[other] - tasks.exec_time[members[other]]
        if other != chosen and due[other] != NEVER and slack_end < latest:
            critical, latest = other, slack_end
    if critical < 0 or start + tasks.exec_time[task] <= latest or earliest[critical] > latest:
        return 0
    return int(earliest[critical] + tasks.exec_time[members[critical]])


@compiled
def _most_urgent(due: IntArray, earliest: IntArray, rank: IntArray) -> int:
    """Find the pending instance that comes first by deadline, then by permitted start, then by name."""
    best = 0
    for other in range(1, due.size):
        if due[other] != due[best]:
            better = due[other] < due[best]
        elif earliest[other] != earliest[best]:
            better = earliest[other] < earliest[best]
        else:
            better = rank[other] < rank[best]
        if better:
            best = other
    return best


@compiled
def _rivals(
    tasks: PackedTasks, members: IntArray, chosen: int, due: IntArray, earliest: IntArray, taken: Words
) -> tuple[IntArray, IntArray]:
    """Give deadline and first possible start of every pending instance that shares a free-able qubit."""
    rival_due = np.full(members.size, NEVER, dtype=np.int64)
    rival_start = np.zeros(members.size, dtype=np.int64)
    rival_due[chosen] = due[chosen]
    for other in range(members.size):
        if other != chosen and due[other] != NEVER:
            latest = due[other] - tasks.exec_time[members[other]]
            found = first_fit(tasks, members[other], taken, earliest[other], latest)
            if found >= 0:
                rival_due[other] = due[other]
                rival_start[other] = found
    return rival_due, rival_start


@compiled
def place_critical(tasks: PackedTasks, members: IntArray, hyperperiod: int, ends: IntArray) -> IntArray:
    """Place every instance of some tasks in a table that starts empty.

    Parameters
    ----------
    tasks, members
        All tasks, each holding its qubits as a whole (`pack` with ``whole``), and the indices to place.
    hyperperiod
        Length of the table in slots, a multiple of each member's period.
    ends
        `shared_ends` of all tasks: -1 where two share no qubit.

    Returns
    -------
    array
        The starts, member by member, instance by instance; empty if one would miss its deadline.
    """
    period, rank, exec_time = tasks.period[members], tasks.rank[members], tasks.exec_time[members]
    count = hyperperiod // period
    starts = np.empty(count.sum(), dtype=np.int64)
    offset = np.cumsum(count) - count
    taken = np.zeros((tasks.qubit_count[0], (hyperperiod + 63) // 64), dtype=np.uint64)
    placed, earliest = np.zeros(members.size, dtype=np.int64), np.zeros(members.size, dtype=np.int64)
    due = period.copy()
    left = starts.size
    competing = np.empty(members.size, dtype=np.int64)
    while left:
        chosen = _most_urgent(due, earliest, rank)
        task = members[chosen]
        start = first_fit(tasks, task, taken, earliest[chosen], due[chosen] - exec_time[chosen])
        if start < 0:
            return np.empty(0, dtype=np.int64)
        for other in range(members.size):
            competing[other] = due[other] if ends[task, members[other]] >= 0 else NEVER
        rival_due, rival_start = _rivals(tasks, members, chosen, competing, earliest, taken)
        wait = _gives_way_until(tasks, members, chosen, start, rival_start, rival_due)
        if wait > earliest[chosen]:
            earliest[chosen] = wait
            continue
        occupy(tasks, task, taken, start)
        starts[offset[chosen] + placed[chosen]] = start
        placed[chosen] += 1
        left -= 1
        earliest[chosen] = placed[chosen] * period[chosen]
        due[chosen] = due[chosen] + period[chosen] if placed[chosen] < count[chosen] else NEVER
    return starts
