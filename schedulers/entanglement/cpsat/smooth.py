"""The least jitter for a given set of demands.

First the question whether all tasks can keep one offset in every period, which is proven or refuted in a
model with one variable a task; then the same for the tasks of three and more instances only, since the
paper's jitter (arXiv 2111.13124, section VI) is 0 for the others; then the narrowest band of offsets; and
at last the jitter itself, the greatest variance of the steps between starts, as a quadratic objective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ortools.sat.python import cp_model

from schedulers.entanglement.cpsat.conflicts import Machine
from schedulers.entanglement.cpsat.derived import machines
from schedulers.entanglement.cpsat.greedy import Starts
from schedulers.entanglement.cpsat.model import Answer, Placement, PlacementModel
from schedulers.entanglement.cpsat.outcome import Clock, Options
from schedulers.entanglement.tasks import PeriodicTask

UNIT = 36
"""Jitter is minimised in units of 1/UNIT of a squared slot."""

SAME_SHARE, BAND_SHARE = 0.4, 0.4


@dataclass(frozen=True, slots=True)
class Smooth:
    """A schedule with little jitter.

    Attributes
    ----------
    starts
        Of all tasks.
    jitter_bound_slots2
        No schedule of these tasks has less jitter, in squared slots.
    proven
        Nor has this one more.
    same_offset
        Whether every task can keep one offset: True and False are proven, None is open.
    """

    starts: Starts
    jitter_bound_slots2: float
    proven: bool
    same_offset: bool | None


def step_variance(task: PeriodicTask, starts: Sequence[int]) -> float:
    """Compute the paper's jitter of one task, in squared slots."""
    steps = [b - a - task.period_slots for a, b in pairwise(starts)]
    count = len(steps)
    return (count * sum(d * d for d in steps) - sum(steps) ** 2) / count**2 if count > 1 else 0.0


def _worst(tasks: Sequence[PeriodicTask], starts: Starts) -> float:
    return max((step_variance(tasks[index], s) for index, s in starts.items()), default=0.0)


def _square(cp: cp_model.CpModel, difference: cp_model.LinearExprT, room: int) -> cp_model.IntVar:
    """Make a variable that is the square of an expression in ``[-room, room]``."""
    value = cp.new_int_var(-room, room, "")
    cp.add(value == difference)
    square = cp.new_int_var(0, room * room, "")
    cp.add_multiplication_equality(square, [value, value])
    return square


class _Smoother:
    def __init__(
        self,
        tasks: Sequence[PeriodicTask],
        starts: Starts,
        hyperperiod_slots: int,
        options: Options,
        clock: Clock,
    ) -> None:
        self.tasks, self.best, self.options, self.clock = tasks, starts, options, clock
        self.horizon = hyperperiod_slots
        self.machines: tuple[Machine, ...] = machines(tasks)

    def _model(self, same_offset: frozenset[int]) -> PlacementModel:
        everyone = frozenset(range(len(self.tasks)))
        return PlacementModel(Placement(self.tasks, self.machines, self.horizon, everyone, same_offset))

    def _run(self, model: PlacementModel, seconds: float) -> Answer:
        model.hint(self.best)
        answer = model.solve(min(seconds, self.clock.left_s), self.options.workers, self.options.seed)
        if answer.stopped:
            self.clock.stopped = True
        if answer.starts is not None and _worst(self.tasks, answer.starts) <= _worst(self.tasks, self.best):
            self.best = answer.starts
        return answer

    def fixed(self, same_offset: frozenset[int], seconds: float) -> bool | None:
        """Look for a schedule in which these tasks keep one offset; None if undecided in time."""
        self.clock.say("no jitter at all")
        answer = self._run(self._model(same_offset), seconds)
        return answer.starts is not None if answer.proven else None

    def band(self, seconds: float) -> None:
        """Narrow the band of offsets that each task uses."""
        self.clock.say("narrow band")
        model = self._model(frozenset())
        widest = model.model.new_int_var(0, max(t.period_slots - t.exec_slots for t in self.tasks), "widest")
        for index, task in enumerate(self.tasks):
            if len(model.offsets[index]) > 2:
                base = model.model.new_int_var(0, task.period_slots - task.exec_slots, "")
                for offset in model.offsets[index]:
                    model.model.add(offset >= base)
                    model.model.add(offset <= base + widest)
        model.model.minimize(widest)
        self._run(model, seconds)

    def variance(self, seconds: float) -> Answer:
        """Minimise the jitter itself."""
        self.clock.say("jitter")
        model = self._model(frozenset())
        cp = model.model
        most = int(_worst(self.tasks, self.best) * UNIT) + 1
        jitter = cp.new_int_var(0, most, "jitter")
        for index, task in enumerate(self.tasks):
            offsets = model.offsets[index]
            count = len(offsets) - 1
            if count < 2:
                continue
            room = task.period_slots - task.exec_slots

            squares = [_square(cp, b - a, room) for a, b in pairwise(offsets)]
            ends = _square(cp, offsets[-1] - offsets[0], room)
            cp.add(UNIT * (count * sum(squares) - ends) <= count * count * jitter)
        cp.minimize(jitter)
        return self._run(model, seconds)


def smooth(
    tasks: Sequence[PeriodicTask], starts: Starts, hyperperiod_slots: int, options: Options, clock: Clock
) -> Smooth:
    """Schedule all of some tasks with as little jitter as possible.

    Parameters
    ----------
    tasks
        The tasks; every one is scheduled.
    starts
        A schedule of all of them, to start from.
    hyperperiod_slots
        Length of the schedule.
    options, clock
        Workers and seed; the time to use.
    """
    smoother = _Smoother(tasks, starts, hyperperiod_slots, options, clock)
    everyone = frozenset(range(len(tasks)))
    judged = frozenset(i for i in everyone if hyperperiod_slots // tasks[i].period_slots > 2)
    same: bool | None = None
    bound, proven = 0.0, False
    try:
        same = smoother.fixed(everyone, SAME_SHARE * clock.left_s)
        if same is not True and clock.left_s > 0 and judged < everyone:
            smoother.fixed(judged, SAME_SHARE * clock.left_s)
        if _worst(tasks, smoother.best) > 0 and clock.left_s > 0:
            smoother.band(BAND_SHARE * clock.left_s)
        if _worst(tasks, smoother.best) > 0 and clock.left_s > 0:
            answer = smoother.variance(clock.left_s)
            bound = max(0.0, ((answer.bound or 0) - 1) / UNIT)
            proven = answer.proven
    except KeyboardInterrupt:
        clock.stopped = True
    worst = _worst(tasks, smoother.best)
    return Smooth(smoother.best, min(bound, worst), proven or worst == 0, same)
