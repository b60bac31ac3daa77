"""Which starts of two tasks exclude each other, and the machines that follow from it.

Two instances whose starts differ by ``d`` meet on a qubit exactly when ``d`` is in a fixed set of the
pair, whatever else is scheduled. Where the differences of every pair of a group of tasks contain a
suitable range, the group behaves like jobs on one machine although no single qubit says so: three
storage qubits of which every task needs two, for instance. Such derived machines cut off what the
qubits one by one allow, in the solver and in the bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schedulers.entanglement.tasks import Interval, PeriodicTask

MAX_PAIRED_TASKS = 260
"""Above, pairs are not compared: the derived machines would cost more than they bring."""

MAX_CLIQUE = 160
MAX_GROUPS = 16
"""Derived machines, the most contended ones: each is one more constraint over all instances of its tasks."""

_NO_CONFLICT = -(10**6)


@dataclass(frozen=True, slots=True)
class Machine:
    """Something that serves one task at a time: a qubit, or a group of tasks that exclude each other.

    Attributes
    ----------
    name
        The qubit, or ``group K``.
    intervals
        For each task (index in its task set) the intervals, counted from the task's start, in which it
        holds the machine. Those of groups may reach outside ``[0, exec_slots)``.
    """

    name: str
    intervals: Mapping[int, tuple[Interval, ...]]

    def busy_slots(self, index: int) -> int:
        """Slots that one instance of a task takes."""
        return sum(end - begin for begin, end in self.intervals.get(index, ()))

    def span_slots(self, tasks: Sequence[PeriodicTask], hyperperiod_slots: int) -> int:
        """Slots of one hyperperiod in which the machine can be held at all."""
        first = min(intervals[0][0] for intervals in self.intervals.values())
        over = max(intervals[-1][1] - tasks[index].exec_slots for index, intervals in self.intervals.items())
        return hyperperiod_slots - first + over


def forbidden_differences(first: PeriodicTask, second: PeriodicTask) -> tuple[int, int]:
    """Find the differences ``start(second) - start(first)`` at which the two meet on a qubit.

    Returns
    -------
    tuple of int, int
        A bit mask and the difference that its bit 0 stands for.
    """
    low = 1 - second.exec_slots
    mask = 0
    for qubit, intervals in first.occupancy.items():
        for begin, end in second.occupancy.get(qubit, ()):
            for own_begin, own_end in intervals:
                lowest = own_begin - end + 1
                mask |= ((1 << (own_end - begin - lowest)) - 1) << (lowest - low)
    return mask, low


def _range_around_zero(mask: int, low: int) -> Interval | None:
    """Give ``[lowest, above highest)`` of the run of forbidden differences that holds 0, else the longest."""
    best: Interval | None = None
    while mask:
        skip = (mask & -mask).bit_length() - 1
        mask >>= skip
        low += skip
        length = (~mask & (mask + 1)).bit_length() - 1
        if low <= 0 < low + length:
            return low, low + length
        if best is None or length > best[1] - best[0]:
            best = (low, low + length)
        mask >>= length
        low += length
    return best


def separations(tasks: Sequence[PeriodicTask]) -> NDArray[np.int64]:
    """Compute how far apart two tasks start that meet in the pair's main range of conflict.

    Either ``start(j) >= start(i) + w[i, j]`` or ``start(i) >= start(j) + w[j, i]``.

    Returns
    -------
    array of int64, shape (tasks, tasks), slots
        Very negative where a pair never conflicts; the execution time on the diagonal, since two
        instances of one task lie in different periods.
    """
    result = np.full((len(tasks), len(tasks)), _NO_CONFLICT, dtype=np.int64)
    for i, first in enumerate(tasks):
        result[i, i] = first.exec_slots
        for j in range(i):
            found = _range_around_zero(*forbidden_differences(first, tasks[j]))
            if found is not None:
                result[i, j] = found[1]
                result[j, i] = 1 - found[0]
    return result


def _widest_intervals(
    separation: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose for each task of a group the interval that it holds, so that the weighted lengths are greatest.

    Intervals ``[a_i, b_i)`` may stand for the pairs' conflicts if ``b_i - a_j <= w[i, j]`` for every
    pair; a linear programme with a totally unimodular matrix, so its corners are whole numbers.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    n = len(separation)
    i, j = (index.ravel() for index in np.indices((n, n)))
    row = np.arange(n * n)
    upper = coo_array((np.ones(n * n), (row, n + i)), shape=(n * n + n, 2 * n))
    upper += coo_array((-np.ones(n * n), (row, j)), shape=(n * n + n, 2 * n))
    own = np.arange(n)
    upper += coo_array((np.ones(n), (n * n + own, own)), shape=(n * n + n, 2 * n))
    upper += coo_array((-np.ones(n), (n * n + own, n + own)), shape=(n * n + n, 2 * n))
    limits = [(0.0, 0.0), *[(None, None)] * (2 * n - 1)]
    answer = linprog(
        np.concatenate([weights, -weights]),
        A_ub=upper.tocsr(),
        b_ub=np.concatenate([separation.ravel(), np.zeros(n)]),
        bounds=limits,
        method="highs",
    )
    if answer.x is None:  # some task would need a negative length: let it, and leave it out later
        answer = linprog(
            np.concatenate([weights, -weights]),
            A_ub=upper.tocsr()[: n * n],
            b_ub=separation.ravel(),
            bounds=limits,
            method="highs",
        )
    corners = np.rint(answer.x).astype(np.int64)
    return corners[:n], corners[n:]


def _groups(separation: NDArray[np.int64]) -> list[list[int]]:
    """Find groups of tasks in which every pair conflicts, grown greedily from each task."""
    conflict = separation > _NO_CONFLICT
    strength = np.where(conflict, separation + separation.T, _NO_CONFLICT)
    found: dict[tuple[int, ...], None] = {}
    for seed in range(len(separation)):
        group = [seed]
        allowed = conflict[seed].copy()
        for other in np.argsort(-strength[seed], kind="stable"):
            if other != seed and allowed[other] and len(group) < MAX_CLIQUE:
                group.append(int(other))
                allowed &= conflict[other]
        if len(group) > 1:
            found[tuple(sorted(group))] = None
    return [list(group) for group in found]


def _group_machines(tasks: Sequence[PeriodicTask]) -> list[Machine]:
    separation = separations(tasks)
    rates = np.array([1 / task.period_slots for task in tasks])
    machines = []
    for number, group in enumerate(_groups(separation)):
        begin, end = _widest_intervals(separation[np.ix_(group, group)], rates[group] / rates[group].max())
        held = {index: ((int(a), int(b)),) for index, a, b in zip(group, begin, end, strict=True) if a < b}
        if len(held) > 1:
            machines.append(Machine(f"group {number}", held))
    contended = sorted(
        machines, key=lambda machine: -sum(machine.busy_slots(i) * rates[i] for i in machine.intervals)
    )
    return contended[:MAX_GROUPS]


def _covers(machine: Machine, other: Machine) -> bool:
    """Whether every task holds `machine` whenever it holds `other`."""
    return other.intervals.keys() <= machine.intervals.keys() and all(
        any(a <= begin and end <= b for a, b in machine.intervals[index])
        for index, intervals in other.intervals.items()
        for begin, end in intervals
    )


def machines(tasks: Sequence[PeriodicTask]) -> tuple[Machine, ...]:
    """Give every qubit that two tasks can want, and the derived machines; covered ones are left out.

    Parameters
    ----------
    tasks
        The tasks; machines refer to them by index.
    """
    qubits: dict[str, dict[int, tuple[Interval, ...]]] = {}
    for index, task in enumerate(tasks):
        for qubit, intervals in task.occupancy.items():
            if intervals:
                qubits.setdefault(qubit, {})[index] = intervals
    found = [Machine(qubit, users) for qubit, users in sorted(qubits.items()) if len(users) > 1]
    if len(tasks) <= MAX_PAIRED_TASKS:
        found = _group_machines(tasks) + found
    kept: list[Machine] = []
    for machine in found:
        if not any(_covers(other, machine) for other in kept):
            kept.append(machine)
    return tuple(kept)
