from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedulers.entanglement.cpsat.fairness import Fairness
from schedulers.entanglement.cpsat.optimise import optimise
from schedulers.entanglement.cpsat.outcome import Options
from schedulers.entanglement.tasks import PeriodicTask, TaskSet
from schedulers.entanglement.verify import verify

HORIZON = 12


@st.composite
def crowded(draw: st.DrawFn) -> TaskSet:
    """Draw demands of four pairs of end nodes that all want one qubit."""
    tasks = []
    for number in range(draw(st.integers(2, 6))):
        pair = draw(st.sampled_from((("a", "b"), ("b", "a"), ("a", "c"), ("b", "c"), ("c", "d"))))
        length = draw(st.integers(1, 4))
        period = draw(st.sampled_from([p for p in (4, 6, 12) if p >= length]))
        weight = draw(st.sampled_from((1.0, 1.0, 2.0, 0.5, 0.0)))
        stays = {"m-C0": ((0, length),)}
        tasks.append(PeriodicTask(number, "", *pair, 0.8, period, length, stays, weight=weight))
    return TaskSet(0.01, tuple(tasks))


def fits(tasks: tuple[PeriodicTask, ...]) -> bool:
    """Say whether jobs on one machine fit, by trying every order of placing them as early as they go."""
    jobs = [
        (k * task.period_slots, (k + 1) * task.period_slots, task.exec_slots)
        for task in tasks
        for k in range(HORIZON // task.period_slots)
    ]

    def run(now: int, left: tuple[tuple[int, int, int], ...]) -> bool:
        return not left or any(
            max(now, job[0]) + job[2] <= job[1] and run(max(now, job[0]) + job[2], left[:k] + left[k + 1 :])
            for k, job in enumerate(left)
            if job not in left[:k]
        )

    return sum(job[2] for job in jobs) <= HORIZON and run(0, tuple(jobs))


@settings(max_examples=25)
@given(task_set=crowded())
def test_nobody_could_be_fairer(task_set: TaskSet) -> None:
    tasks = task_set.tasks
    task_set = replace(task_set, tasks=(*tasks, PeriodicTask(99, "", "y", "z", 0.8, 12, 1, {"q": ((0, 1),)})))
    outcome = optimise(task_set, Options(objective="fair", time_limit_s=20, workers=1))
    verify(task_set, outcome.schedule)
    fairness = Fairness(task_set.tasks, HORIZON, {})
    place = {task.task_id: index for index, task in enumerate(task_set.tasks)}
    best = max(
        fairness.levels([*chosen, len(tasks)])
        for size in range(len(tasks) + 1)
        for chosen in itertools.combinations(range(len(tasks)), size)
        if fits(tuple(tasks[index] for index in chosen))
    )
    found = fairness.levels(place[task_id] for task_id in outcome.schedule.starts)
    assert outcome.status == "optimal"
    assert found == best
    assert outcome.value == outcome.bound == pytest.approx(float(best[0]))


def test_a_pair_of_twice_the_weight_gets_twice_the_share() -> None:
    """Six demands of equal length on one qubit that has room for three."""

    def task(number: int, ends: tuple[str, str], weight: float) -> PeriodicTask:
        return PeriodicTask(number, "", *ends, 0.8, 12, 4, {"m-C0": ((0, 4),)}, weight=weight)

    tasks = tuple(task(k, ("a", "b") if k < 3 else ("a", "c"), 2.0 if k < 3 else 1.0) for k in range(6))
    outcome = optimise(TaskSet(0.01, tasks), Options(objective="fair", time_limit_s=10, workers=1))
    assert [sum(k < 3 for k in outcome.schedule.starts), len(outcome.schedule.starts)] == [2, 3]
    turned = optimise(
        TaskSet(0.01, tasks),
        Options(objective="fair", time_limit_s=10, workers=1, weights=dict.fromkeys(range(3), 0.5)),
    )
    assert [sum(k < 3 for k in turned.schedule.starts), len(turned.schedule.starts)] == [1, 3]


def test_weights_of_the_tasks_turn_the_throughput() -> None:
    def task(number: int, period: int, length: int, weight: float) -> PeriodicTask:
        return PeriodicTask(number, "", "a", "b", 0.8, period, length, {"m": ((0, length),)}, weight=weight)

    plain = TaskSet(0.01, (task(0, 4, 3, 1.0), task(1, 8, 6, 1.0)))
    assert set(optimise(plain, Options(workers=1)).schedule.starts) == {0}
    weighted = TaskSet(0.01, (task(0, 4, 3, 1.0), task(1, 8, 6, 3.0)))
    outcome = optimise(weighted, Options(workers=1))
    assert set(outcome.schedule.starts) == {1}
    assert outcome.status == "optimal"
    assert outcome.value == pytest.approx(3 / (8 * 0.01))
