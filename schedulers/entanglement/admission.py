"""Who gets in: demands in order of arrival, each with the full schedule of all admitted so far.

The paper's loop (arXiv 2111.13124, section V): skip a demand if a qubit would be asked for more than all
its slots; otherwise schedule all admitted tasks and the new one from an empty table and admit it iff every
instance meets its deadline. A rejected demand is never tried again. Where tasks bound how far their start
may move within the period, which the paper does not know, a table that moves one further does not count.

Tasks that share no qubit, directly or through others, do not see each other in the RCPSP schedulers, so
only the part of the network that the new task joins is scheduled again: the admitted sets are those of the
full rebuild.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm

import numpy as np

from schedulers.entanglement.packing import IntArray
from schedulers.entanglement.scheduler import Placement, Placer, Scheduler
from schedulers.entanglement.tasks import PeriodicTask, Schedule, Segment, TaskSet


class _Loads:
    """How much of each qubit the admitted tasks ask for."""

    def __init__(self, task_set: TaskSet) -> None:
        names = {qubit for task in task_set.tasks for qubit in task.occupancy}
        index_of = {name: index for index, name in enumerate(sorted(names))}
        self.load = np.zeros(len(names))
        self.qubits = [
            np.array([index_of[qubit] for qubit, stays in task.occupancy.items() if stays], dtype=np.int64)
            for task in task_set.tasks
        ]
        self.shares = [np.array(list(_shares(task))) for task in task_set.tasks]

    def fits(self, task: int) -> bool:
        """Say if no qubit is asked for more than all its slots with this task added."""
        return bool((self.load[self.qubits[task]] + self.shares[task] <= 1).all())

    def add(self, task: int) -> None:
        """Count an admitted task."""
        self.load[self.qubits[task]] += self.shares[task]


def _shares(task: PeriodicTask) -> Iterator[float]:
    for stays in task.occupancy.values():
        if stays:
            yield sum(end - begin for begin, end in stays) / task.period_slots


class _Components:
    """The admitted tasks, parted into groups that share no qubit, and the placement of each group."""

    def __init__(self, qubit_count: int) -> None:
        self._group_of = np.full(qubit_count, -1, dtype=np.int64)
        self._placements: dict[int, Placement] = {}

    def joined_by(self, task: int, qubits: IntArray | None) -> tuple[int, ...]:
        """Name the tasks of every group that a task touches, and the task; all groups for None."""
        touched = self._placements if qubits is None else self._groups(qubits)
        members = [task]
        for group in touched:
            members.extend(self._placements[group].members)
        return tuple(sorted(members))

    def _groups(self, qubits: IntArray) -> list[int]:
        return [int(group) for group in np.unique(self._group_of[qubits]) if group >= 0]

    def replace(self, task: int, placement: Placement, qubits: list[IntArray]) -> None:
        """Put the groups that a placement joins in its place."""
        for member in placement.members:
            for group in self._groups(qubits[member]):
                self._placements.pop(group, None)
            self._group_of[qubits[member]] = task
        self._placements[task] = placement

    def placements(self) -> list[Placement]:
        """List the placement of every group."""
        return list(self._placements.values())


def _parts_by_instance(placement: Placement) -> list[tuple[Segment, ...]]:
    found: list[list[Segment]] = [[] for _ in placement.starts]
    for instance, start, length in placement.parts.tolist() if placement.parts is not None else []:
        found[instance].append((start, length))
    return [tuple(parts) for parts in found]


def _repeat(task_set: TaskSet, placements: list[Placement]) -> Schedule:
    """Lay placements out over the hyperperiod of the whole task set, in order of arrival."""
    hyperperiod = task_set.hyperperiod_slots
    starts: dict[int, tuple[int, ...]] = {}
    segments: dict[int, tuple[tuple[Segment, ...], ...]] = {}
    for placement in placements:
        rounds = range(0, hyperperiod, placement.hyperperiod_slots)
        parts = _parts_by_instance(placement) if placement.parts is not None else []
        table = placement.starts.tolist()
        begin = 0
        for member in placement.members:
            end = begin + placement.hyperperiod_slots // task_set.tasks[member].period_slots
            starts[member] = tuple(shift + start for shift in rounds for start in table[begin:end])
            if placement.parts is not None:
                segments[member] = tuple(
                    tuple((shift + start, length) for start, length in instance)
                    for shift in rounds
                    for instance in parts[begin:end]
                )
            begin = end
    ids = [task.task_id for task in task_set.tasks]
    return Schedule(
        hyperperiod,
        {ids[member]: starts[member] for member in sorted(starts)},
        {ids[member]: segments[member] for member in sorted(segments)},
    )


def _starts_stay_near(task_set: TaskSet, placement: Placement) -> bool:
    """Say if no start moves within its period by more than its task allows."""
    begin = 0
    for member in placement.members:
        task = task_set.tasks[member]
        end = begin + placement.hyperperiod_slots // task.period_slots
        if task.max_jitter_slots is not None:
            offsets = placement.starts[begin:end] - np.arange(end - begin) * task.period_slots
            if np.ptp(offsets) > task.max_jitter_slots:
                return False
        begin = end
    return True


def _place(task_set: TaskSet, placer: Placer, members: tuple[int, ...]) -> Placement | None:
    found = placer(members, lcm(*(task_set.tasks[member].period_slots for member in members)))
    return found if found is not None and _starts_stay_near(task_set, found) else None


def admit(task_set: TaskSet, scheduler: Scheduler) -> Schedule:
    """Admit demands in order of arrival, each only if it fits beside all admitted before it.

    Parameters
    ----------
    task_set
        The tasks in order of arrival.
    scheduler
        Who places them.

    Returns
    -------
    Schedule
        Of the admitted tasks, over the hyperperiod of the whole task set.
    """
    placer = scheduler.prepare(task_set)
    loads = _Loads(task_set)
    components = _Components(loads.load.size)
    for task in range(len(task_set.tasks)):
        if not loads.fits(task):
            continue
        qubits = loads.qubits[task] if scheduler.by_component else None
        placement = _place(task_set, placer, components.joined_by(task, qubits))
        if placement is not None:
            loads.add(task)
            components.replace(task, placement, loads.qubits)
    return _repeat(task_set, components.placements())


def place_all(task_set: TaskSet, scheduler: Scheduler) -> Schedule | None:
    """Schedule all tasks of a set at once, or say None if one would miss a deadline or move too far.

    Parameters
    ----------
    task_set, scheduler
        As for `admit`; tasks that share no qubit are placed together, which changes nothing but time.
    """
    if not task_set.tasks:
        return Schedule(1, {})
    placement = _place(task_set, scheduler.prepare(task_set), tuple(range(len(task_set.tasks))))
    return None if placement is None else _repeat(task_set, [placement])
