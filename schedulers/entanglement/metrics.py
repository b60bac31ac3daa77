"""What a schedule is worth: throughput, jitter, response time, fairness (arXiv 2111.13124, section VI).

The paper's jitter is a variance inside one table: it reads 0 for a task with one or two instances even when
they move, and does not see the step from the last instance to the first of the next table. The
peak-to-peak start offset is therefore reported beside it: 0 exactly when the start has the same offset in
every period.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet

ZERO_JITTER_S2 = 1e-9
"""A jitter below this counts as zero."""


@dataclass(frozen=True, slots=True)
class TaskMetrics:
    """What one admitted task gets.

    Attributes
    ----------
    task_id
        Which task.
    rate_ebit_per_s
        One pair a period.
    jitter_s2
        Variance of ``start[k+1] - start[k] - period`` over the table, without wrap-around.
    wrapped_jitter_s2
        The same with the step from the last instance to the first of the next table.
    peak_to_peak_jitter_s
        Largest less smallest start offset within the period, over all instances.
    response_s
        Largest time from the release of an instance to its end.
    """

    task_id: int
    rate_ebit_per_s: float
    jitter_s2: float
    wrapped_jitter_s2: float
    peak_to_peak_jitter_s: float
    response_s: float


@dataclass(frozen=True, slots=True)
class ScheduleMetrics:
    """What a schedule is worth as a whole; each worst case is over the admitted tasks, 0 for none.

    Attributes
    ----------
    throughput_ebit_per_s, offered_ebit_per_s
        What the admitted tasks deliver, and what all tasks together asked for.
    admitted, demands
        How many tasks the schedule serves, and how many there are.
    jitter_s2, wrapped_jitter_s2, peak_to_peak_jitter_s, response_s
        The worst over the admitted tasks; see `TaskMetrics`.
    jain
        Jain's index of the rates that all tasks get (0 for one left out), in (0, 1]; 0 where nobody gets
        anything.
    tasks
        The admitted tasks one by one, in order of arrival.
    """

    throughput_ebit_per_s: float
    offered_ebit_per_s: float
    admitted: int
    demands: int
    jitter_s2: float
    wrapped_jitter_s2: float
    peak_to_peak_jitter_s: float
    response_s: float
    jain: float
    tasks: tuple[TaskMetrics, ...]


def jain_index(shares: Sequence[float]) -> float:
    """Compute Jain's fairness index, ``(sum x)^2 / (n sum x^2)``: 1 for equal shares, 1/n for one winner.

    Parameters
    ----------
    shares
        What each gets, >= 0; an index of nothing at all is 0.
    """
    square_sum = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * square_sum) if square_sum > 0 else 0.0


def _variance(values: Sequence[int]) -> float:
    """Compute the population variance of whole numbers: exactly 0 where they are all equal."""
    if len(values) < 2:
        return 0.0
    count, total = len(values), sum(values)
    return (count * sum(value * value for value in values) - total * total) / (count * count)


def instance_ends(task: PeriodicTask, schedule: Schedule) -> list[int]:
    """Say when each instance of an admitted task ends, in slots."""
    if task.task_id in schedule.segments:
        return [sum(parts[-1]) for parts in schedule.segments[task.task_id]]
    return [start + task.exec_slots for start in schedule.starts[task.task_id]]


def _measure_task(task: PeriodicTask, schedule: Schedule, slot_s: float) -> TaskMetrics:
    period = task.period_slots
    offsets = [start - k * period for k, start in enumerate(schedule.starts[task.task_id])]
    steps = [after - before for before, after in pairwise(offsets)]
    wrapped = [*steps, offsets[0] - offsets[-1]] if steps else steps
    responses = (end - k * period for k, end in enumerate(instance_ends(task, schedule)))
    return TaskMetrics(
        task_id=task.task_id,
        rate_ebit_per_s=1 / (period * slot_s),
        jitter_s2=_variance(steps) * slot_s**2,
        wrapped_jitter_s2=_variance(wrapped) * slot_s**2,
        peak_to_peak_jitter_s=(max(offsets) - min(offsets)) * slot_s,
        response_s=max(responses) * slot_s,
    )


def measure(task_set: TaskSet, schedule: Schedule) -> ScheduleMetrics:
    """Measure a schedule.

    Parameters
    ----------
    task_set
        The tasks that were offered.
    schedule
        A valid schedule of some of them; preemptive ones count an instance as started with its first part.

    Returns
    -------
    ScheduleMetrics
        Times in seconds, rates in ebit/s.
    """
    served = [task for task in task_set.tasks if task.task_id in schedule.starts]
    tasks = tuple(_measure_task(task, schedule, task_set.slot_s) for task in served)
    rates = [task.rate_ebit_per_s for task in tasks]
    return ScheduleMetrics(
        throughput_ebit_per_s=sum(rates),
        offered_ebit_per_s=task_set.offered_ebit_per_s,
        admitted=len(tasks),
        demands=len(task_set.tasks),
        jitter_s2=max((task.jitter_s2 for task in tasks), default=0.0),
        wrapped_jitter_s2=max((task.wrapped_jitter_s2 for task in tasks), default=0.0),
        peak_to_peak_jitter_s=max((task.peak_to_peak_jitter_s for task in tasks), default=0.0),
        response_s=max((task.response_s for task in tasks), default=0.0),
        jain=jain_index([*rates, *[0.0] * (len(task_set.tasks) - len(tasks))]),
        tasks=tasks,
    )
