"""First schedules: demands put one by one into the free slots, in several orders.

Unlike the paper's admission loop, which builds the whole schedule anew for each demand, nothing that is
placed moves, so that a demand costs microseconds; and the order is chosen, not given by arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from schedulers.entanglement.cpsat.timetable import Timetable
from schedulers.entanglement.tasks import PeriodicTask

Starts = dict[int, tuple[int, ...]]
"""For each admitted task (index in its task set) one start a period."""


def _load(task: PeriodicTask) -> int:
    return sum(end - begin for intervals in task.occupancy.values() for begin, end in intervals)


ORDERS: tuple[Callable[[PeriodicTask], tuple[float, ...]], ...] = (
    lambda task: (task.exec_slots, task.period_slots),
    lambda task: (_load(task), task.period_slots),
    lambda task: (task.period_slots, _load(task)),
    lambda task: (-task.period_slots, _load(task)),
    lambda task: (task.exec_slots / task.period_slots,),
    lambda task: (_load(task) / task.period_slots,),
)
"""Keys to sort tasks by; smallest first."""


def fill(
    tasks: Sequence[PeriodicTask], order: Iterable[int], timetable: Timetable, placed: Starts | None = None
) -> Starts:
    """Place, in the order given, every task that fits.

    Parameters
    ----------
    tasks
        All tasks.
    order
        Indices of the tasks to try.
    timetable
        Where they are placed; changed.
    placed
        What is in the timetable already; part of the result.
    """
    result = dict(placed or {})
    for index in order:
        if index in result:
            continue
        starts = timetable.earliest_starts(tasks[index])
        if starts is not None:
            timetable.place(tasks[index], starts)
            result[index] = starts
    return result


def extend(tasks: Sequence[PeriodicTask], placed: Starts, hyperperiod_slots: int) -> Starts:
    """Add to a schedule, which stays as it is, what else fits, the highest rates first."""
    timetable = Timetable(hyperperiod_slots)
    for index, starts in placed.items():
        timetable.place(tasks[index], starts)
    order = sorted(range(len(tasks)), key=lambda i: (tasks[i].period_slots, _load(tasks[i])))
    return fill(tasks, order, timetable, placed)


def best_of_orders(
    tasks: Sequence[PeriodicTask],
    weights: Mapping[int, float] | Sequence[float],
    hyperperiod_slots: int,
    enough: Callable[[], bool] = lambda: False,
) -> Starts:
    """Give the best of the orders of `ORDERS` and the order of arrival.

    Parameters
    ----------
    tasks
        All tasks.
    weights
        What admitting each task is worth.
    hyperperiod_slots
        Length of the schedule.
    enough
        Asked between orders whether to stop.
    """
    orders = [range(len(tasks))]
    orders += [sorted(range(len(tasks)), key=lambda i: (key(tasks[i]), i)) for key in ORDERS]  # type: ignore[misc]
    found: list[Starts] = []
    for order in orders:
        if not found or not enough():
            found.append(fill(tasks, order, Timetable(hyperperiod_slots)))
    return max(found, key=lambda starts: sum(weights[index] for index in starts))
