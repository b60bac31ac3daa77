from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from made_task_sets import task_sets

from schedulers.entanglement.cpsat import ruin
from schedulers.entanglement.cpsat.greedy import Starts, best_of_orders
from schedulers.entanglement.cpsat.model import Placement
from schedulers.entanglement.cpsat.outcome import Clock
from schedulers.entanglement.cpsat.ruin import Changer
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet
from schedulers.entanglement.verify import violations


def rates(task_set: TaskSet) -> list[int]:
    return [task_set.hyperperiod_slots // task.period_slots for task in task_set.tasks]


def greedy(task_set: TaskSet) -> Starts:
    return best_of_orders(task_set.tasks, rates(task_set), task_set.hyperperiod_slots)


def changed(task_set: TaskSet, first: Starts, rounds: int, kept: frozenset[int] = frozenset()) -> Starts:
    placement = Placement(task_set.tasks, (), task_set.hyperperiod_slots, kept)
    weights = rates(task_set)
    return Changer(placement, weights).improve(first, sum(weights), rounds, (3,), Clock(60))


def judge(task_set: TaskSet, starts: Starts) -> None:
    named = {task_set.tasks[index].task_id: placed for index, placed in sorted(starts.items())}
    assert violations(task_set, Schedule(task_set.hyperperiod_slots, named)) == []


def value(task_set: TaskSet, starts: Starts) -> int:
    return sum(rates(task_set)[index] for index in starts)


@settings(max_examples=40)
@given(task_set=task_sets())
def test_it_is_valid_and_never_worse_than_before(task_set: TaskSet) -> None:
    first = greedy(task_set)
    found = changed(task_set, first, 40)
    judge(task_set, found)
    assert value(task_set, found) >= value(task_set, first)


@settings(max_examples=20)
@given(task_set=task_sets())
def test_who_is_to_be_kept_is_kept(task_set: TaskSet) -> None:
    first = greedy(task_set)
    kept = frozenset(list(first)[:2])
    assert kept <= changed(task_set, first, 40, kept).keys()


def test_one_bad_task_gives_way_to_two_good_ones() -> None:
    def task(task_id: int, length: int) -> PeriodicTask:
        return PeriodicTask(task_id, "", "x", "y", 0.8, 8, length, {"a": ((0, length),)})

    task_set = TaskSet(0.01, (task(0, 7), task(1, 4), task(2, 4)))
    assert set(changed(task_set, {0: (0,)}, 50)) == {1, 2}


def test_the_same_seed_gives_the_same_schedule() -> None:
    shapes = ({"a": ((0, 3),)}, {"a": ((0, 2),), "b": ((1, 3),)}, {"b": ((0, 3),)})
    tasks = tuple(
        PeriodicTask(i, "", "x", "y", 0.8, (8, 16, 32)[i % 3], 3, shapes[i % 2 + i // 7 % 2])
        for i in range(14)
    )
    task_set = TaskSet(0.01, tasks)
    one, other = (changed(task_set, greedy(task_set), 300) for _ in range(2))
    assert one == other


@settings(max_examples=20)
@given(task_set=task_sets())
def test_tasks_that_may_not_move_do_not(task_set: TaskSet) -> None:
    everyone = frozenset(range(len(task_set.tasks)))
    placement = Placement(task_set.tasks, (), task_set.hyperperiod_slots, same_offset=everyone)
    weights = rates(task_set)
    found = Changer(placement, weights).improve({}, sum(weights), 40, (3,), Clock(60))
    judge(task_set, found)
    for index, starts in found.items():
        assert len({start % task_set.tasks[index].period_slots for start in starts}) == 1


def test_several_seeds_give_the_best_of_them() -> None:
    lengths = [3, 5, 2, 7, 4, 6, 3, 2, 5, 4, 6, 2]
    tasks = tuple(
        PeriodicTask(i, "", "x", "y", 0.8, (16, 32)[i % 2], n, {"a": ((0, n),)})
        for i, n in enumerate(lengths)
    )
    task_set = TaskSet(0.01, tasks)
    weights = rates(task_set)
    changer = Changer(Placement(tasks, (), 32), weights)
    alone = [changer.improve({}, sum(weights), 200, (seed,), Clock(60)) for seed in (1, 2)]
    both = changer.improve({}, sum(weights), 200, (1, 2), Clock(60))
    assert value(task_set, both) == max(value(task_set, one) for one in alone)


def test_sliding_apart_makes_room_for_one_more() -> None:
    def task(task_id: int, length: int) -> PeriodicTask:
        return PeriodicTask(task_id, "", "x", "y", 0.8, 12, length, {"a": ((0, length),)})

    task_set = TaskSet(0.01, (task(0, 4), task(1, 4), task(2, 4)))
    assert set(changed(task_set, {0: (1,), 1: (6,)}, 50)) == {0, 1, 2}


def test_an_interrupt_keeps_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    task = PeriodicTask(0, "", "x", "y", 0.8, 8, 4, {"a": ((0, 4),)})
    other = replace(task, task_id=1)
    changer = Changer(Placement((task, other), (), 8), (1, 1))
    monkeypatch.setattr(ruin, "try_changes", interrupt)
    clock = Clock(60)
    assert changer.improve({0: (0,)}, 2, 100, (1, 2), clock) == {0: (0,)}
    assert clock.stopped
