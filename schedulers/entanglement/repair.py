"""After a link, node or qubit fails: a schedule that moves as little as possible.

Tasks that do not touch the failure keep every start. A task that does is taken out; where a replacement is
given (the same demand on another path, or re-mapped to other qubits), each of its instances goes to the free
start nearest to its old one. Only where an instance finds none may others move: of all starts the one is
taken that moves the fewest instances, and of those the shortest way, and each moved instance stays in its
period and within its task's jitter. What does not fit all the same is dropped. Room that is left goes to
tasks that were rejected before, if asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from qos.errors import ValueRefusedError
from schedulers.entanglement.qubit_table import QubitTable, stays_from, stays_of_schedule
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet

Instance = tuple[int, int]
"""Task id and number."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What works no more.

    Attributes
    ----------
    nodes
        Names of nodes.
    links
        Pairs of nodes, in either order.
    qubits
        Single qubits.
    """

    nodes: frozenset[str] = frozenset()
    links: frozenset[tuple[str, str]] = frozenset()
    qubits: frozenset[str] = frozenset()

    def breaks(self, task: PeriodicTask) -> bool:
        """Say if a task cannot run any more.

        Links are known from operations only; a task without them is judged by its qubits.
        """
        if any(qubit in self.qubits or _node(qubit) in self.nodes for qubit in task.occupancy):
            return True
        broken = {frozenset(link) for link in self.links}
        used = (o for o in task.operations if o.kind == "link")
        return any(frozenset(_node(qubit) for qubit in operation.qubits) in broken for operation in used)


@dataclass(frozen=True, slots=True)
class Move:
    """One instance that starts elsewhere now."""

    task_id: int
    instance: int
    old_start: int
    new_start: int


@dataclass(frozen=True, slots=True)
class Repair:
    """A schedule after a failure.

    Attributes
    ----------
    task_set
        The tasks, replaced ones in their place; what `schedule` is valid for.
    schedule
        The new schedule.
    kept, restored, dropped, added
        Ids of tasks that the failure did not touch, of replaced ones that run again, of those lost, and of
        rejected ones that got in.
    moved
        The instances of kept tasks that start elsewhere.
    """

    task_set: TaskSet
    schedule: Schedule
    kept: tuple[int, ...]
    restored: tuple[int, ...]
    dropped: tuple[int, ...]
    added: tuple[int, ...] = ()
    moved: tuple[Move, ...] = field(default=())


def _node(qubit: str) -> str:
    """Name the node of a qubit: what stands before the last hyphen."""
    return qubit.rpartition("-")[0]


class _Bench:
    """A schedule being repaired."""

    def __init__(self, task_set: TaskSet, schedule: Schedule) -> None:
        self.tasks = {task.task_id: task for task in task_set.tasks}
        self.hyperperiod = schedule.hyperperiod_slots
        self.table = QubitTable()
        self.starts: dict[Instance, int] = {
            (task_id, k): start
            for task_id, starts in schedule.starts.items()
            for k, start in enumerate(starts)
        }
        self.fixed = set(schedule.segments)
        for instance, stays in stays_of_schedule(self.tasks, schedule):
            self.table.put(instance, stays)

    def count(self, task_id: int) -> int:
        """Count the instances of a task."""
        return self.hyperperiod // self.tasks[task_id].period_slots

    def take_out(self, task_id: int) -> list[int]:
        """Remove a task; say where its instances were."""
        instances = [(task_id, k) for k in range(self.count(task_id))]
        for instance in instances:
            self.table.remove(instance)
        self.fixed.discard(task_id)
        return [self.starts.pop(instance) for instance in instances]

    def _window(self, instance: Instance) -> tuple[int, int]:
        """Say from when to when an instance may start: in its period, and near the others of its task."""
        task_id, k = instance
        task = self.tasks[task_id]
        low, high = 0, task.period_slots - task.exec_slots
        if task.max_jitter_slots is not None:
            others = ((task_id, n) for n in range(self.count(task_id)) if n != k)
            offsets = [self.starts[o] - o[1] * task.period_slots for o in others if o in self.starts]
            if offsets:
                low = max(low, max(offsets) - task.max_jitter_slots)
                high = min(high, min(offsets) + task.max_jitter_slots)
        return k * task.period_slots + low, k * task.period_slots + high

    def _free(self, instance: Instance) -> list[int]:
        return self.table.free_starts(self.tasks[instance[0]].occupancy, *self._window(instance))

    def _put(self, instance: Instance, start: int) -> None:
        self.starts[instance] = start
        self.table.put(instance, stays_from(self.tasks[instance[0]].occupancy, start))

    def _lift(self, instance: Instance) -> None:
        del self.starts[instance]
        self.table.remove(instance)

    def _make_way(self, instance: Instance, start: int) -> dict[Instance, int] | None:
        """Put an instance at a start and those in its way elsewhere; their old starts, None if it fails."""
        stays = stays_from(self.tasks[instance[0]].occupancy, start)
        others = cast("list[Instance]", self.table.in_the_way(stays))
        if any(other[0] in self.fixed or other[0] == instance[0] for other in others):
            return None
        before = {other: self.starts[other] for other in others}
        for other in others:
            self._lift(other)
        self._put(instance, start)
        placed: list[Instance] = []
        for other in sorted(others):
            free = self._free(other)
            if not free:
                self._undo(instance, before, placed)
                return None
            self._put(other, min(free, key=lambda new: (abs(new - before[other]), new)))
            placed.append(other)
        return before

    def _undo(self, instance: Instance, before: Mapping[Instance, int], placed: Iterable[Instance]) -> None:
        for other in placed:
            self._lift(other)
        self._lift(instance)
        for other, start in before.items():
            self._put(other, start)

    def _cheapest_start(self, instance: Instance, wanted: int) -> int | None:
        """Find the start that moves the fewest others, then the least far, then is nearest to the wanted."""
        best: tuple[int, int, int, int] | None = None
        earliest, latest = self._window(instance)
        for start in range(earliest, latest + 1):
            before = self._make_way(instance, start)
            if before is None:
                continue
            way = sum(abs(self.starts[other] - old) for other, old in before.items())
            cost = (len(before), way, abs(start - wanted), start)
            best = cost if best is None else min(best, cost)
            self._undo(instance, before, before)
        return None if best is None else best[3]

    def insert(self, task_id: int, wanted: list[int], *, may_move: bool) -> bool:
        """Place every instance of a task near where it is wanted, or none at all.

        Where the task bounds its jitter, the first instance's place decides about all others: if the one
        nearest to the wish leads nowhere, the others are tried.
        """
        task = self.tasks[task_id]
        wishes = wanted or [k * task.period_slots for k in range(self.count(task_id))]
        if self._insert_near(task_id, wishes, may_move=False):
            return True
        if task.max_jitter_slots is not None:
            firsts = sorted(self._free((task_id, 0)), key=lambda start: abs(start - wishes[0]))
            shifts = range(0, self.hyperperiod, task.period_slots)
            for first in firsts:
                if self._insert_near(task_id, [first + shift for shift in shifts], may_move=False):
                    return True
        return may_move and self._insert_near(task_id, wishes, may_move=True)

    def _insert_near(self, task_id: int, wishes: list[int], *, may_move: bool) -> bool:
        done: list[tuple[Instance, dict[Instance, int]]] = []
        for k, wish in enumerate(wishes):
            instance = (task_id, k)
            free = self._free(instance)
            if free:
                self._put(instance, min(free, key=lambda start: (abs(start - wish), start)))
                done.append((instance, {}))
                continue
            start = self._cheapest_start(instance, wish) if may_move else None
            before = None if start is None else self._make_way(instance, start)
            if before is None:
                for placed, others in reversed(done):
                    self._undo(placed, others, others)
                return False
            done.append((instance, before))
        return True

    def schedule(self, order: Iterable[int], old: Schedule) -> Schedule:
        """Write the table down."""
        here = {task_id for task_id, _ in self.starts}
        starts = {
            task_id: tuple(self.starts[task_id, k] for k in range(self.count(task_id)))
            for task_id in order
            if task_id in here
        }
        segments = {task_id: old.segments[task_id] for task_id in starts if task_id in self.fixed}
        return Schedule(self.hyperperiod, starts, segments)


def _judge_replacements(task_set: TaskSet, failure: Failure, given: Mapping[int, PeriodicTask]) -> None:
    periods = {task.task_id: task.period_slots for task in task_set.tasks}
    for task_id, task in given.items():
        if task_id not in periods or task.task_id != task_id:
            raise ValueRefusedError(f"replacement {task_id}: its id must be that of the task it replaces")
        if task.period_slots != periods[task_id]:
            raise ValueRefusedError(
                f"replacement for task {task_id}: its period is {task.period_slots}; it must be "
                f"{periods[task_id]}, that of the task it replaces"
            )
        if failure.breaks(task):
            raise ValueRefusedError(f"replacement for task {task_id}: uses what has failed")


def repair(
    task_set: TaskSet,
    schedule: Schedule,
    failure: Failure,
    replacements: Mapping[int, PeriodicTask] | None = None,
    *,
    fill: bool = False,
) -> Repair:
    """Repair a schedule after a failure.

    Parameters
    ----------
    task_set, schedule
        The tasks and a valid schedule of some of them; interrupted instances are never moved.
    failure
        What works no more.
    replacements
        For tasks that it breaks, by their id, a task that does without; same id, same period.
    fill
        Offer the room that is left to tasks that were rejected before, in order of arrival.

    Raises
    ------
    ValueRefusedError
        If a replacement replaces nothing, has another period or uses what has failed.
    """
    given = dict(replacements or {})
    _judge_replacements(task_set, failure, given)
    bench = _Bench(task_set, schedule)
    broken = [i for i in schedule.starts if failure.breaks(bench.tasks[i])]
    old_starts = {task_id: bench.take_out(task_id) for task_id in broken}
    tasks = tuple(given.get(task.task_id, task) if failure.breaks(task) else task for task in task_set.tasks)
    bench.tasks = {task.task_id: task for task in tasks}
    restored = []
    for task_id in broken:
        if task_id in given and bench.insert(task_id, old_starts[task_id], may_move=True):
            restored.append(task_id)
    added = []
    for task in tasks if fill else ():
        idle = task.task_id not in schedule.starts and not failure.breaks(task)
        if idle and bench.insert(task.task_id, [], may_move=False):
            added.append(task.task_id)
    kept = tuple(task_id for task_id in schedule.starts if task_id not in old_starts)
    moves = (
        Move(task_id, k, old, bench.starts[task_id, k])
        for task_id in kept
        for k, old in enumerate(schedule.starts[task_id])
    )
    new_set = replace(task_set, tasks=tasks)
    return Repair(
        task_set=new_set,
        schedule=bench.schedule([task.task_id for task in tasks], schedule),
        kept=kept,
        restored=tuple(restored),
        dropped=tuple(task_id for task_id in broken if task_id not in restored),
        added=tuple(added),
        moved=tuple(move for move in moves if move.old_start != move.new_start),
    )
