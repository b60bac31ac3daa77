"""The shortest schedule of a given set of demands: a project, one table long."""

from __future__ import annotations

from collections.abc import Sequence

from schedulers.entanglement.cpsat.greedy import Starts
from schedulers.entanglement.cpsat.model import Answer
from schedulers.entanglement.cpsat.outcome import Clock, Options
from schedulers.entanglement.project import project_of
from schedulers.entanglement.tasks import PeriodicTask
from schedulers.rcpsp.cpsat import solve


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
        The tasks, a valid schedule of all of them, and its length.
    options, clock
        Workers and seed; the time to use.
    """
    clock.say("makespan")
    project = project_of(tasks, hyperperiod_slots)
    result = solve(
        project.problem, max(0.01, clock.left_s), options.workers, options.seed, project.schedule(starts)
    )
    found = starts if result.schedule is None else project.starts(result.schedule)
    return Answer(found, last_end(tasks, found), result.bound, result.status == "optimal", stopped=False)
