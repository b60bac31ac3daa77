"""Demands one by one: each is admitted or refused on arrival, and who is in stays in.

A new demand first looks for room beside what is placed: no instance of anybody else moves. Only if there
is none are those moved that stand in its way, as few as the solver finds a place for in the time allowed;
all of them stay admitted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import lcm

from qos.errors import ValueRefusedError
from schedulers.entanglement.cpsat.greedy import Starts
from schedulers.entanglement.cpsat.model import Placement
from schedulers.entanglement.cpsat.neighbourhood import Rivals, Step, place_anew
from schedulers.entanglement.cpsat.timetable import Timetable
from schedulers.entanglement.tasks import PeriodicTask, Schedule

REPAIR_S = 0.08
"""Seconds that the solver may take to make room for one demand."""

MAX_MOVED = 8
MAX_REPAIR_STAYS = 5_000
"""More cannot be written down for the solver in the time."""

LEAST_REPAIR_S = 0.005


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one demand.

    Attributes
    ----------
    admitted
        Whether it is in.
    moved
        Ids of the tasks that got other starts to make room.
    seconds
        How long the decision took.
    """

    admitted: bool
    moved: tuple[int, ...]
    seconds: float


class OnlineScheduler:
    """A schedule that grows and shrinks while the network runs.

    Parameters
    ----------
    hyperperiod_slots
        Length of the table to begin with; it grows where a new period does not divide it.
    repair_s
        Seconds for making room for one demand; 0 moves nobody, ever.
    same_offset
        Give every task the same offset in every period.
    seed
        Of the solver.
    """

    def __init__(
        self,
        hyperperiod_slots: int = 1,
        repair_s: float = REPAIR_S,
        *,
        same_offset: bool = False,
        seed: int = 0,
    ) -> None:
        if hyperperiod_slots < 1:
            raise ValueRefusedError(f"hyperperiod {hyperperiod_slots}: expected 1 slot or more")
        self.hyperperiod_slots = hyperperiod_slots
        self._repair_s = repair_s
        self._same_offset = same_offset
        self._seed = seed
        self._tasks: dict[int, PeriodicTask] = {}
        self._starts: dict[int, tuple[int, ...]] = {}
        self._timetable = Timetable(hyperperiod_slots)

    @property
    def schedule(self) -> Schedule:
        """The present schedule."""
        return Schedule(self.hyperperiod_slots, dict(self._starts))

    def offer(self, task: PeriodicTask) -> Decision:
        """Admit a task if there is room for it or room can be made.

        Parameters
        ----------
        task
            The new task.

        Raises
        ------
        ValueRefusedError
            If a task of the same id is admitted already.
        """
        begun = time.perf_counter()
        if task.task_id in self._tasks:
            raise ValueRefusedError(f"task {task.task_id} is admitted already; withdraw it first")
        self._lengthen(lcm(self.hyperperiod_slots, task.period_slots))
        starts = self._timetable.earliest_starts(task)
        if starts is not None and self._same_offset and len({s % task.period_slots for s in starts}) > 1:
            starts = None
        moved: tuple[int, ...] | None = ()
        if starts is not None:
            self._put(task, starts)
        else:
            moved = self._make_room(task) if self._could_fit(task) else None
        return Decision(moved is not None, moved or (), time.perf_counter() - begun)

    def withdraw(self, task_id: int) -> None:
        """Take a task out; the others stay where they are.

        Raises
        ------
        ValueRefusedError
            If no such task is admitted.
        """
        if task_id not in self._tasks:
            raise ValueRefusedError(f"task {task_id} is not admitted")
        self._timetable.remove(self._tasks.pop(task_id), self._starts.pop(task_id))

    def _put(self, task: PeriodicTask, starts: tuple[int, ...]) -> None:
        self._timetable.place(task, starts)
        self._tasks[task.task_id] = task
        self._starts[task.task_id] = starts

    def _lengthen(self, hyperperiod_slots: int) -> None:
        """Repeat the table until the new length is full."""
        if hyperperiod_slots == self.hyperperiod_slots:
            return
        old, self.hyperperiod_slots = self.hyperperiod_slots, hyperperiod_slots
        self._timetable = Timetable(hyperperiod_slots)
        for task_id, starts in self._starts.items():
            repeated = tuple(s + shift for shift in range(0, hyperperiod_slots, old) for s in starts)
            self._starts[task_id] = repeated
            self._timetable.place(self._tasks[task_id], repeated)

    def _could_fit(self, task: PeriodicTask) -> bool:
        """Say whether every qubit has slots enough for everybody, wherever they lie."""
        for qubit, intervals in task.occupancy.items():
            load = sum(end - begin for begin, end in intervals) / task.period_slots
            for other in self._tasks.values():
                held = sum(end - begin for begin, end in other.occupancy.get(qubit, ()))
                load += held / other.period_slots
            if load > 1:
                return False
        return True

    def _make_room(self, task: PeriodicTask) -> tuple[int, ...] | None:
        """Move the nearest rivals of a task so that it fits, first few, then more."""
        begun = time.perf_counter()
        tasks = [*self._tasks.values(), task]
        new = len(tasks) - 1
        ids = list(self._tasks)
        shared = Rivals(tasks).of(new)
        nearest = sorted(shared, key=lambda i: (-shared[i], tasks[i].period_slots))
        placed: Starts = {i: self._starts[task_id] for i, task_id in enumerate(ids)}
        whole = Placement(
            tasks,
            (),
            self.hyperperiod_slots,
            frozenset(range(len(tasks))),
            frozenset(range(len(tasks))) if self._same_offset else frozenset(),
        )
        for count in sorted({min(len(nearest), 3), min(len(nearest), MAX_MOVED)}):
            left = self._repair_s - (time.perf_counter() - begun)
            if left < LEAST_REPAIR_S or count == 0:
                return None
            free = (*nearest[:count], new)
            if sum(map(whole.stays, free)) > MAX_REPAIR_STAYS:
                return None
            for index in free[:-1]:
                self._timetable.remove(tasks[index], placed[index])
            step = Step(free, frozenset(free), (1,) * len(free))
            answer = place_anew(whole, step, placed, self._timetable, (left, 1, self._seed))
            found = answer.starts
            for index in free[:-1]:
                self._timetable.place(tasks[index], (found or placed)[index])
            if found is not None:
                for index in free[:-1]:
                    self._starts[ids[index]] = found[index]
                self._put(task, found[new])
                return tuple(ids[i] for i in free[:-1] if found[i] != placed[i])
        return None
