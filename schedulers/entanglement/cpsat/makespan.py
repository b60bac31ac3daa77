"""The shortest schedule of a given set of demands: the last operation of the table ends earliest."""

from __future__ import annotations

from collections.abc import Sequence

from schedulers.entanglement.cpsat.conflicts import machines
from schedulers.entanglement.cpsat.greedy import Starts
from schedulers.entanglement.cpsat.model import Answer, Placement, PlacementModel
from schedulers.entanglement.cpsat.outcome import Clock, Options
from schedulers.entanglement.tasks import PeriodicTask


def last_end(tasks: Sequence[PeriodicTask], starts: Starts) -> int:
    """Say when the last operation of a schedule ends, in slots."""
    return max((s[-1] + tasks[index].exec_slots for index, s in starts.items()), default=0)


def shorten(
    tasks: Sequence[PeriodicTask], starts: Starts, hyperperiod_slots: int, options: Options, clock: Clock
) -> Answer:
    """Schedule all of some tasks so that the last one ends as early as possible.

    Parameters
    ----------
    tasks, starts, hyperperiod_slots
        The tasks, a schedule of all of them, and its length.
    options, clock
        Workers and seed; the time to use.
    """
    everyone = frozenset(range(len(tasks)))
    model = PlacementModel(Placement(tasks, machines(tasks), hyperperiod_slots, everyone))
    end = model.model.new_int_var(0, hyperperiod_slots, "end")
    for index, task in enumerate(tasks):
        release = hyperperiod_slots - task.period_slots
        model.model.add(model.offsets[index][-1] + (release + task.exec_slots) <= end)
    model.hint(starts)
    model.model.minimize(end)
    clock.say("makespan")
    answer = model.solve(clock.left_s, options.workers, options.seed)
    clock.stopped |= answer.stopped
    return answer
