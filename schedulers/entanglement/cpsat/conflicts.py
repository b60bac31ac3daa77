"""Which starts of two tasks exclude each other, and what the tasks compete for.

Two instances whose starts differ by ``d`` meet on a qubit exactly when ``d`` is in a fixed set of the
pair, whatever else is scheduled. `derived` makes machines of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from schedulers.entanglement.tasks import Interval, PeriodicTask

NO_CONFLICT = -(10**6)
"""What stands in a table of separations where a pair never meets."""


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
    result = np.full((len(tasks), len(tasks)), NO_CONFLICT, dtype=np.int64)
    np.fill_diagonal(result, [task.exec_slots for task in tasks])
    for i, j in competing_pairs(tasks):
        found = _range_around_zero(*forbidden_differences(tasks[i], tasks[j]))
        if found is not None:
            result[i, j] = found[1]
            result[j, i] = 1 - found[0]
    return result


def qubit_users(tasks: Sequence[PeriodicTask]) -> dict[str, dict[int, tuple[Interval, ...]]]:
    """Give for each qubit the tasks (indices) that hold it, and when."""
    users: dict[str, dict[int, tuple[Interval, ...]]] = {}
    for index, task in enumerate(tasks):
        for qubit, intervals in task.occupancy.items():
            if intervals:
                users.setdefault(qubit, {})[index] = intervals
    return users


def competing_pairs(tasks: Sequence[PeriodicTask]) -> list[tuple[int, int]]:
    """List the pairs of tasks that share a qubit, the smaller index first."""
    return sorted({pair for users in qubit_users(tasks).values() for pair in combinations(users, 2)})


def _covers(machine: Machine, other: Machine) -> bool:
    """Whether every task holds `machine` whenever it holds `other`."""
    return other.intervals.keys() <= machine.intervals.keys() and all(
        any(a <= begin and end <= b for a, b in machine.intervals[index])
        for index, intervals in other.intervals.items()
        for begin, end in intervals
    )


def uncovered(machines: Iterable[Machine]) -> tuple[Machine, ...]:
    """Leave out every machine that says nothing beyond one before it."""
    kept: list[Machine] = []
    for machine in machines:
        if not any(_covers(other, machine) for other in kept):
            kept.append(machine)
    return tuple(kept)


def qubit_machines(tasks: Sequence[PeriodicTask]) -> list[Machine]:
    """Give every qubit that two tasks can want."""
    users = sorted(qubit_users(tasks).items())
    return [Machine(qubit, held) for qubit, held in users if len(held) > 1]
