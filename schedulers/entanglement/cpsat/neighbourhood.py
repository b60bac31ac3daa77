"""Large neighbourhood search: free a few tasks that compete, place them anew at best, repeat.

Everything else stays where it is and is seen only as taken slots, so a step costs as much on a network of
a thousand demands as on a small one. The same step repairs a schedule when one more demand does not fit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schedulers.entanglement.cpsat.derived import machines
from schedulers.entanglement.cpsat.greedy import Starts
from schedulers.entanglement.cpsat.model import Answer, Placement, PlacementModel
from schedulers.entanglement.cpsat.outcome import Clock, Options
from schedulers.entanglement.cpsat.timetable import Timetable
from schedulers.entanglement.tasks import PeriodicTask

STEP_S = 1.0
MAX_STEP_STAYS = 20_000
"""Stays on qubits of the tasks that a step may free: more take longer to write down than to solve."""

FIRST_SIZE, LEAST_SIZE, MOST_SIZE = 12, 4, 60


@dataclass(frozen=True, slots=True)
class Step:
    """A few tasks to place anew.

    Attributes
    ----------
    free
        Indices of the tasks that may move, be admitted or be left out.
    kept
        Those of them that must be admitted.
    weights
        What admitting each is worth, in the order of `free`.
    """

    free: tuple[int, ...]
    kept: frozenset[int]
    weights: tuple[int, ...]


def place_anew(
    placement: Placement, step: Step, starts: Starts, timetable: Timetable, limits: tuple[float, int, int]
) -> Answer:
    """Place the free tasks of a step at best among the others, which stay.

    Parameters
    ----------
    placement
        The whole problem; its windows and machines are not used.
    step
        What may change.
    starts
        The present schedule.
    timetable
        The slots taken by the tasks that stay.
    limits
        Seconds, workers and seed for the solver.

    Returns
    -------
    Answer
        Its starts are indexed like `placement`, and hold the free tasks only.
    """
    tasks = [placement.tasks[index] for index in step.free]
    part = PlacementModel(
        Placement(
            tasks,
            machines(tasks),
            placement.hyperperiod_slots,
            frozenset(k for k, index in enumerate(step.free) if index in step.kept),
            frozenset(k for k, index in enumerate(step.free) if index in placement.same_offset),
            windows=[timetable.free_starts(task) for task in tasks],
        )
    )
    present = {k: starts[index] for k, index in enumerate(step.free) if index in starts}
    worth = sum(weight * x for weight, x in zip(step.weights, part.present, strict=True))
    if step.kept <= starts.keys():
        part.model.add(worth >= sum(step.weights[k] for k in present))
    part.hint(present)
    part.model.maximize(worth)
    answer = part.solve(*limits)
    found = None if answer.starts is None else {step.free[k]: s for k, s in answer.starts.items()}
    return Answer(found, answer.value, answer.bound, answer.proven, answer.stopped)


class Rivals:
    """Which tasks want the same qubits.

    Parameters
    ----------
    tasks
        All tasks.
    """

    def __init__(self, tasks: Sequence[PeriodicTask]) -> None:
        self._tasks = tasks
        self._users: defaultdict[str, list[int]] = defaultdict(list)
        for index, task in enumerate(tasks):
            for qubit in task.occupancy:
                self._users[qubit].append(index)

    def of(self, index: int) -> dict[int, int]:
        """Count the qubits that each other task shares with one."""
        shared: defaultdict[int, int] = defaultdict(int)
        for qubit in self._tasks[index].occupancy:
            for other in self._users[qubit]:
                if other != index:
                    shared[other] += 1
        return shared


def _choose(
    rivals: Rivals, centre: int, size: int, starts: Starts, random: np.random.Generator
) -> tuple[int, ...]:
    """Choose a task left out, and around it those that it competes with, nearest first by chance."""
    chosen = [centre]
    frontier = [centre]
    while frontier and len(chosen) < size:
        shared = rivals.of(frontier.pop(0))
        others = [index for index in shared if index not in chosen]
        score = {i: shared[i] * random.random() * (1.5 if i in starts else 1.0) for i in others}
        fresh = sorted(others, key=lambda i: -score[i])[: size - len(chosen)]
        chosen += fresh
        frontier += fresh[:3]
    return tuple(chosen)


def improve(
    placement: Placement, weights: Sequence[int], starts: Starts, bound: int, options: Options, clock: Clock
) -> Starts:
    """Improve a schedule piece by piece until the time is up or the bound is met.

    Parameters
    ----------
    placement
        The whole problem.
    weights
        What admitting each task is worth.
    starts
        The schedule to begin with.
    bound
        Total weight that nothing surpasses.
    options, clock
        Workers and seed; the time to use.

    Returns
    -------
    dict
        The best schedule found; at least as good as the first.
    """
    random = np.random.default_rng(options.seed)
    tasks = placement.tasks
    rivals = Rivals(tasks)
    timetable = Timetable(placement.hyperperiod_slots)
    for index, placed in starts.items():
        timetable.place(tasks[index], placed)
    best = dict(starts)
    size = FIRST_SIZE
    allowed = [index for index, task in enumerate(tasks) if placement.stays(index) <= MAX_STEP_STAYS]
    while clock.left_s > 0.05 and sum(weights[i] for i in best) < bound:
        left_out = [index for index in allowed if index not in best and weights[index] > 0]
        if not left_out:
            break
        clock.say("large neighbourhood search")
        free = _choose(rivals, int(random.choice(left_out)), size, best, random)
        total = 0
        free = tuple(i for i in free if (total := total + placement.stays(i)) <= MAX_STEP_STAYS)
        step = Step(free, placement.kept & set(free), tuple(weights[i] for i in free))
        for index in free:
            if index in best:
                timetable.remove(tasks[index], best[index])
        seconds = min(STEP_S, clock.left_s)
        answer = place_anew(
            placement, step, best, timetable, (seconds, options.workers, int(random.integers(2**31)))
        )
        if answer.starts is not None:
            best = {i: s for i, s in best.items() if i not in free} | answer.starts
        for index in free:
            if index in best:
                timetable.place(tasks[index], best[index])
        size = min(MOST_SIZE, size + 1) if answer.proven else max(LEAST_SIZE, size - 2)
        if answer.stopped:
            clock.stopped = True
    return best
