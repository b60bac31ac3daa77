"""PTS-PB: the whole network as one processor, with interruptions up to a budget ("EDF-LBF").

The current instance runs segment by segment. At each of its cuts the ready instance with the earliest
deadline is looked at: it takes over if every interrupted instance can bear its full length within budget
and deadline; otherwise it may run as far as one of its own cuts that all of them can bear. It may not
touch a qubit that an interrupted instance holds. Otherwise the current instance goes on, or the interrupted
one whose budget is smallest; one whose budget is used up goes first (arXiv 2111.13124, section V).

Where the paper's code looks only at the qubits that an instance needs from its last segment on, this looks
at all that it needs; a table in which a held qubit is used all the same is not handed out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qos.compiled import compiled
from schedulers.entanglement.bitsets import Words, next_taken, take
from schedulers.entanglement.list_scheduling import NEVER
from schedulers.entanglement.packing import IntArray, PackedTasks
from schedulers.entanglement.preemption_points import PackedSegments

UPCOMING, INTERRUPTED, CURRENT, THROUGH = 0, 1, 2, 3


class ProcessorState(NamedTuple):
    """One pending instance of each member, and the clock; every array has shape (members,) but for `clock`.

    Attributes
    ----------
    phase
        Not begun (`UPCOMING`), begun and waiting, running, or no instance left.
    release, due, left, budget, since
        Of the pending instance: its window, the slots it still needs, the slots it may still stand
        interrupted, and since when it does.
    full_budget
        The budget that every instance begins with.
    instance
        Which instance is pending.
    clock
        The present slot and the number of parts so far, shape (2,).
    """

    phase: IntArray
    release: IntArray
    due: IntArray
    left: IntArray
    budget: IntArray
    since: IntArray
    full_budget: IntArray
    instance: IntArray
    clock: IntArray


@compiled
def _before(state: ProcessorState, rank: IntArray, one: int, other: int) -> bool:
    """Order interrupted instances by what is left of their budget, then since when, then by name."""
    if state.budget[one] != state.budget[other]:
        return bool(state.budget[one] < state.budget[other])
    if state.since[one] != state.since[other]:
        return bool(state.since[one] < state.since[other])
    return bool(rank[one] < rank[other])


@compiled
def _interrupted(state: ProcessorState, rank: IntArray, with_current: bool) -> IntArray:
    """List the members that stand interrupted, and on demand the current one, in order."""
    found = np.empty(state.phase.size, dtype=np.int64)
    size = 0
    for member in range(state.phase.size):
        phase = state.phase[member]
        if phase == INTERRUPTED or (with_current and phase == CURRENT):
            at = size
            while at > 0 and _before(state, rank, member, found[at - 1]):
                found[at] = found[at - 1]
                at -= 1
            found[at] = member
            size += 1
    return found[:size]


@compiled
def _current(state: ProcessorState) -> int:
    """Find the current member, or -1."""
    for member in range(state.phase.size):
        if state.phase[member] == CURRENT:
            return member
    return -1


@compiled
def _interrupt(state: ProcessorState) -> None:
    """Let the current instance, if there is one, stand interrupted from now on."""
    current = _current(state)
    if current >= 0:
        state.phase[current] = INTERRUPTED
        state.since[current] = state.clock[0]


@compiled
def _segment_at(segments: PackedSegments, task: int, offset: int) -> int:
    """Find the segment of a task that begins at an offset, or -1."""
    for segment in range(segments.segments_of[task], segments.segments_of[task + 1]):
        if segments.begin[segment] == offset:
            return segment
    return -1


@compiled
def _piece(
    tasks: PackedTasks,
    segments: PackedSegments,
    state: ProcessorState,
    task: int,
    member: int,
    rank: IntArray,
) -> int:
    """Say how long an instance runs up to its next cut; 0 if that would use up somebody's budget."""
    segment = _segment_at(segments, task, tasks.exec_time[task] - state.left[member])
    length = segments.length[segment]
    waiting = _interrupted(state, rank, False)
    if waiting.size and state.budget[member] > 0 and state.budget[waiting[0]] < length:
        return 0
    return int(length)


@compiled
def _run(
    tasks: PackedTasks, state: ProcessorState, members: IntArray, member: int, length: int, last: IntArray
) -> None:
    """Run an instance for some slots; the others that have begun pay with their budget."""
    task = members[member]
    state.clock[0] += length
    for other in range(members.size):
        if state.phase[other] == INTERRUPTED and other != member:
            state.budget[other] -= length
    state.phase[member] = CURRENT
    state.left[member] -= length
    if state.left[member] == 0:
        state.instance[member] += 1
        state.phase[member] = UPCOMING if state.instance[member] <= last[member] else THROUGH
        state.release[member] += tasks.period[task]
        state.due[member] += tasks.period[task]
        state.left[member] = tasks.exec_time[task]
        state.budget[member] = state.full_budget[member]


@compiled
def _resume(
    tasks: PackedTasks, segments: PackedSegments, state: ProcessorState, members: IntArray, rank: IntArray
) -> tuple[int, int]:
    """Let the current instance go on, or the interrupted one that can bear least; who, and for how long.

    An interrupted instance goes first where it has no budget left, or too little for the next segment of
    the current one. (-1, 0) if nobody has begun.
    """
    current = _current(state)
    waiting = _interrupted(state, rank, False)
    if current >= 0:
        due_now = waiting.size and state.budget[waiting[0]] <= 0 and state.budget[current] > 0
        length = _piece(tasks, segments, state, members[current], current, rank)
        if not due_now and length > 0:
            return current, length
        _interrupt(state)
        waiting = _interrupted(state, rank, False)
    if waiting.size == 0:
        return -1, 0
    chosen = int(waiting[0])
    state.phase[chosen] = CURRENT
    return chosen, _piece(tasks, segments, state, members[chosen], chosen, rank)


@compiled
def _clash(one: Words, other: Words) -> bool:
    """Say if two sets of qubits have one in common."""
    return bool((one & other).any())


@compiled
def _locks_clash(
    tasks: PackedTasks,
    segments: PackedSegments,
    state: ProcessorState,
    members: IntArray,
    begun: IntArray,
    new_task: int,
    cut: int,
) -> bool:
    """Say if a new instance would touch a held qubit, or at its cut hold one that another still needs.

    Parameters
    ----------
    begun
        The members that stand interrupted or would.
    new_task, cut
        The new instance's task and how far it runs; its full length leaves nothing locked.
    """
    wanted = segments.needed[segments.segments_of[new_task]]
    for member in begun:
        task = members[member]
        done = tasks.exec_time[task] - state.left[member]
        after = _segment_at(segments, task, done)
        if after == segments.segments_of[task]:
            return True
        if _clash(segments.locked[after - 1], wanted):
            return True
        if cut < tasks.exec_time[new_task]:
            kept = segments.locked[_segment_at(segments, new_task, cut) - 1]
            if _clash(kept, segments.needed[after]):
                return True
    return False


@compiled
def _bearable(state: ProcessorState, begun: IntArray, length: int) -> int:
    """Count from the end how far the order of those who have begun can bear a length; the first who can."""
    work = 0
    first = begun.size
    room = np.empty(begun.size, dtype=np.int64)
    for index in range(begun.size):
        member = begun[index]
        slack = state.due[member] - state.clock[0] - state.left[member] - work
        room[index] = min(state.budget[member] - work, slack)
        work += state.left[member]
    while first > 0 and room[first - 1] >= length:
        first -= 1
    return first


@compiled
def _cut_to_run_to(
    segments: PackedSegments, state: ProcessorState, task: int, begun: IntArray, new: int
) -> int:
    """Find how far a new instance may run where those who have begun cannot bear its full length; or 0."""
    size = begun.size
    ahead = np.zeros(size + 1, dtype=np.int64)
    for index in range(size):
        ahead[index + 1] = ahead[index] + state.left[begun[index]]
    place = _bearable(state, begun, state.left[new])
    while place < size and ahead[place] > state.budget[new]:
        place += 1
    if ahead[place] > state.budget[new]:
        return 0
    shortest = max(1, state.budget[begun[place - 1]] - state.budget[new])
    longest = NEVER
    for index in range(size):
        longest = min(longest, state.budget[begun[index]])
    for index in range(place):
        member = begun[index]
        slack = state.due[member] - state.clock[0] - state.left[member] - ahead[index]
        room = min(state.budget[member] - ahead[index], slack)
        if room < shortest:
            return 0
        longest = min(longest, room)
    for segment in range(segments.segments_of[task], segments.segments_of[task + 1]):
        if shortest <= segments.begin[segment] <= longest:
            return int(segments.begin[segment])
    return 0


@compiled
def _next_ready(state: ProcessorState, rank: IntArray) -> int:
    """Find the released, not begun instance with the earliest deadline, ties by name; or -1."""
    best = -1
    for member in range(state.phase.size):
        if state.phase[member] != UPCOMING or state.release[member] > state.clock[0]:
            continue
        later = state.due[member] - state.due[best]
        if best < 0 or later < 0 or (later == 0 and rank[member] < rank[best]):
            best = member
    return best


@compiled
def _next_release(state: ProcessorState) -> int:
    """Say when the next instance is released that is not yet; `NEVER` if there is none."""
    soonest = NEVER
    for member in range(state.phase.size):
        if state.phase[member] == UPCOMING and state.release[member] > state.clock[0]:
            soonest = min(soonest, state.release[member])
    return int(soonest)


@compiled
def _decide(
    tasks: PackedTasks, segments: PackedSegments, state: ProcessorState, members: IntArray, rank: IntArray
) -> tuple[int, int, bool]:
    """Choose who runs next, for how long, and whether it is interrupted then.

    The member is -1 for nobody, -2 if a deadline cannot be met any more.
    """
    ready = _next_ready(state, rank)
    waiting = _interrupted(state, rank, False)
    if ready >= 0 and not (waiting.size and state.budget[waiting[0]] <= 0):
        task = members[ready]
        if state.clock[0] > state.due[ready] - state.left[ready]:
            return -2, 0, False
        begun = _interrupted(state, rank, True)
        length = tasks.exec_time[task]
        fits = _bearable(state, begun, length) == 0
        cut = length if fits else _cut_to_run_to(segments, state, task, begun, ready)
        if cut > 0 and not _locks_clash(tasks, segments, state, members, begun, task, cut):
            _interrupt(state)
            if not fits:
                return ready, cut, True
            return ready, _piece(tasks, segments, state, task, ready, rank), False
    chosen, length = _resume(tasks, segments, state, members, rank)
    return chosen, length, False


@compiled
def _locks_hold(segments: PackedSegments, members: IntArray, parts: IntArray, hyperperiod: int) -> bool:
    """Say if no qubit that an interrupted instance holds is used by another meanwhile.

    `parts` has rows of member, instance, start, length, offset in the task.
    """
    taken = np.zeros((segments.qubit_count[0], (hyperperiod + 63) // 64), dtype=np.uint64)
    for part in parts:
        task, start, offset = members[part[0]], part[2], part[4]
        for segment in range(segments.segments_of[task], segments.segments_of[task + 1]):
            shift = segments.begin[segment] - offset
            if not 0 <= shift < part[3]:
                continue
            for stay in range(segments.stays_of[segment], segments.stays_of[segment + 1]):
                row = taken[segments.stay_qubit[stay]]
                begin = start + shift + segments.stay_begin[stay]
                end = start + shift + segments.stay_end[stay]
                if next_taken(row, begin, end) < end:
                    return False
                take(row, begin, end)
    last_end = np.full((members.size, 2), -1, dtype=np.int64)
    for part in parts:
        member, instance, start, length, offset = part[0], part[1], part[2], part[3], part[4]
        if last_end[member, 0] == instance and last_end[member, 1] < start:
            before = _segment_at(segments, members[member], offset) - 1
            for lock in range(segments.locks_of[before], segments.locks_of[before + 1]):
                row = taken[segments.lock_qubit[lock]]
                if next_taken(row, last_end[member, 1], start) < start:
                    return False
                take(row, last_end[member, 1], start)
        last_end[member, 0] = instance
        last_end[member, 1] = start + length
    return True


@compiled
def place_preemptive(
    tasks: PackedTasks, segments: PackedSegments, members: IntArray, hyperperiod: int, budgets: IntArray
) -> IntArray:
    """Run every instance of some tasks on one processor.

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
        Rows of member, instance, start, length and offset in the task, ascending by start; empty if a
        deadline or a budget would be missed.
    """
    none = np.empty((0, 5), dtype=np.int64)
    size = members.size
    period, rank = tasks.period[members], tasks.rank[members]
    last = hyperperiod // period - 1
    state = ProcessorState(
        np.zeros(size, dtype=np.int64),
        np.zeros(size, dtype=np.int64),
        period.copy(),
        tasks.exec_time[members],
        budgets[members],
        np.zeros(size, dtype=np.int64),
        budgets[members],
        np.zeros(size, dtype=np.int64),
        np.zeros(2, dtype=np.int64),
    )
    widths = segments.segments_of[members + 1] - segments.segments_of[members]
    parts = np.empty((((last + 1) * widths).sum(), 5), dtype=np.int64)
    while (state.phase != THROUGH).any():
        member, length, cut_short = _decide(tasks, segments, state, members, rank)
        if member == -1:
            state.clock[0] = _next_release(state)
            continue
        if member == -2 or length == 0:
            return none
        due = state.due[member]
        row = parts[state.clock[1]]
        row[0], row[1], row[2], row[3] = member, state.instance[member], state.clock[0], length
        row[4] = tasks.exec_time[members[member]] - state.left[member]
        state.clock[1] += 1
        _run(tasks, state, members, member, length, last)
        if cut_short:
            _interrupt(state)
        if state.clock[0] > due or (state.budget[state.phase == INTERRUPTED] < 0).any():
            return none
    found = parts[: state.clock[1]]
    return found if _locks_hold(segments, members, found, hyperperiod) else none
