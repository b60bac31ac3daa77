"""The whole network as one processor: PTS-NP-EDF and PTS-CEDF.

PTS-NP-EDF runs the ready instance with the earliest deadline, ties by name, and never idles while one is
ready (arXiv 2111.13124, section V). PTS-CEDF also looks at instances yet to come: where the one with the
earliest deadline would end after the latest start of another that can still make it, it waits for that one
(clairvoyant EDF; Ekelin, "Clairvoyant Non-Preemptive EDF Scheduling", ECRTS 2006).
"""

from __future__ import annotations

import numpy as np

from qos.compiled import compiled
from schedulers.entanglement.list_scheduling import NEVER
from schedulers.entanglement.packing import IntArray, PackedTasks


@compiled
def _earliest_deadline(time: int, ready_from: IntArray, due: IntArray, rank: IntArray) -> int:
    """Find the ready task with the earliest deadline, or -1; `due` is `NEVER` for tasks that are through."""
    best = -1
    for task in range(due.size):
        if due[task] == NEVER or ready_from[task] > time:
            continue
        if best < 0 or due[task] < due[best] or (due[task] == due[best] and rank[task] < rank[best]):
            best = task
    return best


@compiled
def _must_wait_until(task: int, time: int, release: IntArray, due: IntArray, exec_time: IntArray) -> int:
    """Say until when a task has to leave the processor to one with an earlier latest start; 0 for no wait."""
    critical, latest = -1, NEVER
    for other in range(due.size):
        if other != task and due[other] != NEVER and due[other] - exec_time[other] < latest:
            critical, latest = other, due[other] - exec_time[other]
    if critical < 0:
        return 0
    begin = max(time, release[critical])
    if time + exec_time[task] <= latest or begin > latest or latest >= due[task] - exec_time[task]:
        return 0
    return int(begin + exec_time[critical])


@compiled
def place_single(tasks: PackedTasks, members: IntArray, hyperperiod: int, clairvoyant: bool) -> IntArray:
    """Place every instance of some tasks, one at a time.

    Parameters
    ----------
    tasks, members
        All tasks, and the indices of those to place.
    hyperperiod
        Length of the table in slots, a multiple of each member's period.
    clairvoyant
        Whether to idle for an instance that could otherwise not make it.

    Returns
    -------
    array
        The starts, member by member, instance by instance; empty if one would miss its deadline.
    """
    period, rank, exec_time = tasks.period[members], tasks.rank[members], tasks.exec_time[members]
    count = hyperperiod // period
    starts = np.empty(count.sum(), dtype=np.int64)
    offset = np.cumsum(count) - count
    placed = np.zeros(members.size, dtype=np.int64)
    release, due = np.zeros(members.size, dtype=np.int64), period.copy()
    ready_from = release.copy()
    time, left = 0, starts.size
    while left:
        task = _earliest_deadline(time, ready_from, due, rank)
        if task < 0:
            time = NEVER
            for other in range(members.size):
                if due[other] != NEVER:
                    time = min(time, ready_from[other])
            continue
        if time + exec_time[task] > due[task]:
            return np.empty(0, dtype=np.int64)
        wait = _must_wait_until(task, time, release, due, exec_time) if clairvoyant else 0
        if wait > time:
            ready_from[task] = wait
            continue
        starts[offset[task] + placed[task]] = time
        time += exec_time[task]
        placed[task] += 1
        left -= 1
        release[task] += period[task]
        ready_from[task] = release[task]
        due[task] = due[task] + period[task] if placed[task] < count[task] else NEVER
    return starts
