"""A table as a project: both judges agree on what is valid, and the shortest one is found."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings

from schedulers.entanglement import verify as entanglement_judge
from schedulers.entanglement.admission import admit
from schedulers.entanglement.cpsat.makespan import last_end, shorten
from schedulers.entanglement.cpsat.outcome import Clock, Options
from schedulers.entanglement.project import project_of
from schedulers.entanglement.scheduler import get_scheduler
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet
from schedulers.rcpsp import verify as project_judge
from tests.made_task_sets import task_sets


def one(task_id: int, period: int, jitter: int | None = None, **stays: tuple[int, int]) -> PeriodicTask:
    occupancy = {f"{qubit}-C0": (interval,) for qubit, interval in stays.items()}
    exec_slots = max(end for _, end in stays.values())
    return PeriodicTask(task_id, "", "a", "b", 0.8, period, exec_slots, occupancy, max_jitter_slots=jitter)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(task_sets(max_tasks=4))
def test_a_shortened_table_is_valid_and_no_longer(task_set: TaskSet) -> None:
    schedule = admit(task_set, get_scheduler("rcpsp-np-edf"))
    tasks = [task for task in task_set.tasks if task.task_id in schedule.starts]
    starts = {index: schedule.starts[task.task_id] for index, task in enumerate(tasks)}
    horizon = task_set.hyperperiod_slots
    project = project_of(tasks, horizon)
    assert project.starts(project.schedule(starts)) == starts
    assert project_judge.violations(project.problem, project.schedule(starts)) == []
    answer = shorten(tasks, starts, horizon, Options(workers=1), Clock(10))
    assert answer.starts is not None
    assert last_end(tasks, answer.starts) <= last_end(tasks, starts)
    shortened = Schedule(horizon, {tasks[index].task_id: s for index, s in answer.starts.items()})
    assert entanglement_judge.violations(task_set, shortened) == []
    if answer.proven:
        assert answer.bound == last_end(tasks, answer.starts)


@pytest.mark.parametrize("jitter", [None, 0, 1])
def test_the_shortest_table_is_what_trying_everything_finds(jitter: int | None) -> None:
    tasks = (one(0, 4, jitter, p=(0, 2)), one(1, 8, None, p=(0, 1), q=(1, 3)), one(2, 8, None, q=(0, 2)))
    task_set = TaskSet(0.01, tasks)
    valid = []
    for offsets in product(range(3), range(4, 7), range(6), range(7)):
        first, second, third, fourth = offsets
        starts = {0: (first, second), 1: (third,), 2: (fourth,)}
        if entanglement_judge.violations(task_set, Schedule(8, starts)) == []:
            valid.append(starts)
    longest = max(valid, key=lambda starts: last_end(tasks, starts))
    answer = shorten(tasks, longest, 8, Options(workers=1), Clock(10))
    assert answer.proven
    assert answer.value == min(last_end(tasks, starts) for starts in valid)


def test_the_two_judges_agree_on_a_clash() -> None:
    tasks = (one(0, 4, p=(0, 2)), one(1, 4, p=(0, 2)))
    project = project_of(tasks, 4)
    for starts in ({0: (0,), 1: (2,)}, {0: (0,), 1: (1,)}):
        ours = entanglement_judge.violations(TaskSet(0.01, tasks), Schedule(4, starts))
        theirs = project_judge.violations(project.problem, project.schedule(starts))
        assert bool(ours) == bool(theirs)
