"""Limited preemption on qubits: RCPSP-PBS and RCPSP-PB, on bit sets.

Instances wait and are released as in `list_scheduling`. The segments of an instance follow each other, each
at the earliest start at which its qubits are free; where an interruption grows beyond the budget, the
whole instance starts later, by as much as is missing. RCPSP-PBS lets a segment hold every qubit that the
task still needs, RCPSP-PB only while it needs it (arXiv 2111.13124, section V).

Two things differ from the paper's code, which lets schedules through that no quantum network could run: a
qubit that holds a state across an interruption is taken for that time, also from instances placed later,
and so is one that holds the delivered pair to the end of its task.
"""

from __future__ import annotations

import numpy as np

from qos.compiled import compiled
from schedulers.entanglement.bitsets import Words, next_free, next_taken, take
from schedulers.entanglement.list_scheduling import most_urgent, release_next, release_sharing
from schedulers.entanglement.packing import IntArray, PackedTasks
from schedulers.entanglement.preemption_points import PackedSegments


@compiled
def _segment_start(segments: PackedSegments, segment: int, taken: Words, earliest: int, latest: int) -> int:
    """Find the earliest start of a segment from `earliest` on; beyond `latest` the search ends."""
    start = earliest
    first, last = segments.stays_of[segment], segments.stays_of[segment + 1]
    clean, stay = 0, first
    while clean < last - first and start <= latest:
        row = taken[segments.stay_qubit[stay]]
        begin, end = start + segments.stay_begin[stay], start + segments.stay_end[stay]
        blocked = next_taken(row, begin, end)
        if blocked < end:
            start += next_free(row, blocked) - begin
            clean = 0
            continue
        clean += 1
        stay = stay + 1 if stay + 1 < last else first
    return start


@compiled
def _lock_is_broken(segments: PackedSegments, segment: int, taken: Words, begin: int, end: int) -> bool:
    """Say if somebody holds a qubit in ``[begin, end)`` that a segment leaves locked."""
    for lock in range(segments.locks_of[segment], segments.locks_of[segment + 1]):
        if next_taken(taken[segments.lock_qubit[lock]], begin, end) < end:
            return True
    return False


@compiled
def _segment_starts(
    segments: PackedSegments, task: int, taken: Words, window: tuple[int, int], budget: int, found: IntArray
) -> bool:
    """Find the starts of all segments of an instance inside its window; say if there are any.

    Parameters
    ----------
    window
        Release and deadline of the instance.
    found
        Where the starts go, shape (segments of the task,).
    """
    release, due = window
    first, last = segments.segments_of[task], segments.segments_of[task + 1]
    length = segments.begin[last - 1] + segments.length[last - 1]
    begin = release
    while begin + length <= due:
        ready = begin
        moved = begin
        for segment in range(first, last):
            start = _segment_start(segments, segment, taken, ready, due)
            done = segments.begin[segment]
            if segment == first:
                if start != begin:
                    moved = start
                    break
            elif start - begin > done + budget:
                moved = start - done - budget
                break
            elif start > ready and _lock_is_broken(segments, segment - 1, taken, ready, start):
                moved = start - done
                break
            found[segment - first] = start
            ready = start + segments.length[segment]
        if moved == begin:
            return bool(ready <= due)
        begin = moved
    return False


@compiled
def _occupy(segments: PackedSegments, task: int, taken: Words, starts: IntArray, leave: IntArray) -> None:
    """Take the stays of all segments and what they hold in between; note when each qubit is left."""
    first, last = segments.segments_of[task], segments.segments_of[task + 1]
    for segment in range(first, last):
        start = starts[segment - first]
        for stay in range(segments.stays_of[segment], segments.stays_of[segment + 1]):
            qubit, end = segments.stay_qubit[stay], start + segments.stay_end[stay]
            take(taken[qubit], start + segments.stay_begin[stay], end)
            leave[qubit] = max(leave[qubit], end)
        end = start + segments.length[segment]
        if segment + 1 < last and starts[segment + 1 - first] > end:
            for lock in range(segments.locks_of[segment], segments.locks_of[segment + 1]):
                take(taken[segments.lock_qubit[lock]], end, starts[segment + 1 - first])


@compiled
def _latest_shared(tasks: PackedTasks, task: int, leave: IntArray) -> int:
    """Say when the last of a task's qubits is left, -1 if none was in use."""
    latest = -1
    for use in range(tasks.qubits_of[task], tasks.qubits_of[task + 1]):
        latest = max(latest, leave[tasks.qubit[use]])
    return latest


@compiled
def place_segments(
    tasks: PackedTasks, segments: PackedSegments, members: IntArray, hyperperiod: int, budgets: IntArray
) -> IntArray:
    """Place every instance of some tasks, segment by segment, in a table that starts empty.

    Parameters
    ----------
    tasks, segments
        All tasks and their segments.
    members
        The indices of the tasks to place.
    hyperperiod
        Length of the table in slots, a multiple of each member's period.
    budgets
        For each task, for how many slots an instance may stand interrupted.

    Returns
    -------
    array
        The starts of the segments, member by member, instance by instance; empty if one would end after
        its deadline.
    """
    period, rank = tasks.period[members], tasks.rank[members]
    count = hyperperiod // period
    width = segments.segments_of[members + 1] - segments.segments_of[members]
    offset = np.cumsum(count * width) - count * width
    starts = np.empty((count * width).sum(), dtype=np.int64)
    taken = np.zeros((tasks.qubit_count[0], (hyperperiod + 63) // 64), dtype=np.uint64)
    released, placed = np.zeros(members.size, dtype=np.int64), np.zeros(members.size, dtype=np.int64)
    reach = np.empty(members.size, dtype=np.int64)
    waiting = 0
    for _ in range(count.sum()):
        if waiting == 0:
            waiting = release_next(released, count, period)
        chosen = most_urgent(released, placed, period, rank)
        task = members[chosen]
        release = placed[chosen] * period[chosen]
        at = offset[chosen] + placed[chosen] * width[chosen]
        found = starts[at : at + width[chosen]]
        window = (release, release + period[chosen])
        if not _segment_starts(segments, task, taken, window, budgets[task], found):
            return np.empty(0, dtype=np.int64)
        leave = np.full(tasks.qubit_count[0], -1, dtype=np.int64)
        _occupy(segments, task, taken, found, leave)
        placed[chosen] += 1
        for other in range(members.size):
            reach[other] = _latest_shared(tasks, members[other], leave)
        waiting += release_sharing(reach, released, count, period) - 1
    return starts
