"""The paper's non-preemptive list schedulers on qubits: RCPSP-NP-EDF and RCPSP-NP-FPR, on bit sets.

Ready instances wait by (absolute deadline, name). The first of them is placed at the earliest start from
its release on at which no qubit that it needs is taken. Placing it releases at most one instance of every
task that shares a qubit with it and whose next release is not after the end of the stay on that qubit;
only when nothing waits do the tasks with the earliest next release come in. An instance that would end
after its deadline makes the whole set infeasible (arXiv 2111.13124, section V; the paper's code jumps over
whole stays when it looks for the start and so lands on the same slot as a search slot by slot).

RCPSP-NP-EDF takes the stays of a task as they are, so that instances interleave; RCPSP-NP-FPR lets a task
hold each of its qubits from its start to its end (`pack` with ``whole``).
"""

from __future__ import annotations

import numpy as np

from qos.compiled import compiled
from schedulers.entanglement.bitsets import Words, next_free, next_taken, take
from schedulers.entanglement.packing import IntArray, PackedTasks

NEVER = np.iinfo(np.int64).max


@compiled
def first_fit(tasks: PackedTasks, task: int, taken: Words, earliest: int, latest: int) -> int:
    """Find the earliest start in ``[earliest, latest]`` with every stay free, or -1.

    Every start before the end of a stay that is in the way is in the way as well, so the search jumps.
    """
    start = earliest
    first, last = tasks.stays_of[task], tasks.stays_of[task + 1]
    clean = 0
    stay = first
    while clean < last - first:
        row = taken[tasks.stay_qubit[stay]]
        begin, end = start + tasks.stay_begin[stay], start + tasks.stay_end[stay]
        blocked = next_taken(row, begin, end)
        if blocked < end:
            start += next_free(row, blocked) - begin
            if start > latest:
                return -1
            clean = 0  # and look at this stay again: it may be in the way of another one now
            continue
        clean += 1
        stay = stay + 1 if stay + 1 < last else first
    return start if start <= latest else -1


@compiled
def occupy(tasks: PackedTasks, task: int, taken: Words, start: int) -> None:
    """Take the stays of a task that starts at `start`."""
    for stay in range(tasks.stays_of[task], tasks.stays_of[task + 1]):
        row = taken[tasks.stay_qubit[stay]]
        take(row, start + tasks.stay_begin[stay], start + tasks.stay_end[stay])


@compiled
def shared_ends(tasks: PackedTasks) -> IntArray:
    """Compute for each pair of tasks when the first last leaves a qubit that the second uses too.

    Returns
    -------
    array
        Shape (tasks, tasks), in slots of the first task's time; -1 where they share no qubit.
    """
    count = tasks.period.size
    ends = np.full((count, count), -1, dtype=np.int64)
    last = np.full(tasks.qubit_count[0], -1, dtype=np.int64)
    for one in range(count):
        for use in range(tasks.qubits_of[one], tasks.qubits_of[one + 1]):
            last[tasks.qubit[use]] = tasks.last_end[use]
        for other in range(count):
            for use in range(tasks.qubits_of[other], tasks.qubits_of[other + 1]):
                ends[one, other] = max(ends[one, other], last[tasks.qubit[use]])
        for use in range(tasks.qubits_of[one], tasks.qubits_of[one + 1]):
            last[tasks.qubit[use]] = -1
    return ends


@compiled
def release_next(released: IntArray, count: IntArray, period: IntArray) -> int:
    """Release one instance of every task with the earliest next release; say how many."""
    earliest = NEVER
    for task in range(period.size):
        if released[task] < count[task]:
            earliest = min(earliest, released[task] * period[task])
    found = 0
    for task in range(period.size):
        if released[task] < count[task] and released[task] * period[task] == earliest:
            released[task] += 1
            found += 1
    return found


@compiled
def most_urgent(released: IntArray, placed: IntArray, period: IntArray, rank: IntArray) -> int:
    """Find the task whose oldest waiting instance has the earliest deadline, ties by rank; or -1."""
    best, best_due = -1, NEVER
    for task in range(period.size):
        if placed[task] < released[task]:
            due = (placed[task] + 1) * period[task]
            if due < best_due or (due == best_due and rank[task] < rank[best]):
                best, best_due = task, due
    return best


@compiled
def release_sharing(ends: IntArray, released: IntArray, count: IntArray, period: IntArray) -> int:
    """Release one instance of each task that shares a qubit which is left at or after its next release.

    Parameters
    ----------
    ends
        For each task the slot in which the placed instance last leaves a shared qubit, -1 for none.
    """
    found = 0
    for task in range(period.size):
        if released[task] < count[task] and ends[task] >= 0 and released[task] * period[task] <= ends[task]:
            released[task] += 1
            found += 1
    return found


@compiled
def place_list(tasks: PackedTasks, members: IntArray, hyperperiod: int, ends: IntArray) -> IntArray:
    """Place every instance of some tasks in a table that starts empty.

    Parameters
    ----------
    tasks, members
        All tasks, and the indices of those to place.
    hyperperiod
        Length of the table in slots, a multiple of each member's period.
    ends
        `shared_ends` of all tasks.

    Returns
    -------
    array
        The starts, member by member, instance by instance; empty if one would miss its deadline.
    """
    size = members.size
    period, rank = tasks.period[members], tasks.rank[members]
    count = hyperperiod // period
    starts = np.empty(count.sum(), dtype=np.int64)
    offset = np.cumsum(count) - count
    taken = np.zeros((tasks.qubit_count[0], (hyperperiod + 63) // 64), dtype=np.uint64)
    released, placed = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    reach = np.empty(size, dtype=np.int64)
    waiting = 0
    for _ in range(starts.size):
        if waiting == 0:
            waiting = release_next(released, count, period)
        chosen = most_urgent(released, placed, period, rank)
        task = members[chosen]
        release = placed[chosen] * period[chosen]
        latest = release + period[chosen] - tasks.exec_time[task]
        start = first_fit(tasks, task, taken, release, latest)
        if start < 0:
            return np.empty(0, dtype=np.int64)
        occupy(tasks, task, taken, start)
        starts[offset[chosen] + placed[chosen]] = start
        placed[chosen] += 1
        for other in range(size):
            end = ends[task, members[other]]
            reach[other] = start + end if end >= 0 else -1
        waiting += release_sharing(reach, released, count, period) - 1
    return starts
