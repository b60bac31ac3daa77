from __future__ import annotations

from hypothesis import given, settings
from made_task_sets import task_sets

from schedulers.entanglement.cpsat.conflicts import forbidden_differences
from schedulers.entanglement.packing import pack
from schedulers.entanglement.rival_table import rival_table, stay_pairs
from schedulers.entanglement.tasks import PeriodicTask, TaskSet


def differences(task_set: TaskSet, one: int, other: int) -> set[int]:
    table = rival_table(pack(task_set))
    mine = range(table.ranges_of[one], table.ranges_of[one + 1])
    return {d for at in mine if table.other[at] == other for d in range(table.low[at], table.high[at])}


@settings(max_examples=60)
@given(task_set=task_sets())
def test_two_tasks_meet_at_the_same_differences_as_on_bit_masks(task_set: TaskSet) -> None:
    for one, first in enumerate(task_set.tasks):
        for other, second in enumerate(task_set.tasks):
            mask, low = forbidden_differences(first, second)
            meeting = {low + bit for bit in range(mask.bit_length()) if mask >> bit & 1}
            assert differences(task_set, one, other) == (meeting if one != other else set())


@settings(max_examples=60)
@given(task_set=task_sets())
def test_rivals_are_those_that_share_a_qubit(task_set: TaskSet) -> None:
    table = rival_table(pack(task_set))
    for one, first in enumerate(task_set.tasks):
        near = {
            other
            for other, second in enumerate(task_set.tasks)
            if other != one and first.occupancy.keys() & second.occupancy.keys()
        }
        assert list(table.near[table.near_of[one] : table.near_of[one + 1]]) == sorted(near)


def test_the_work_is_the_pairs_of_stays_on_each_qubit() -> None:
    stays = ({"a": ((0, 1), (2, 3))}, {"a": ((0, 1),), "b": ((1, 2),)})
    tasks = tuple(PeriodicTask(i, "", "x", "y", 0.8, 8, 3, held) for i, held in enumerate(stays))
    assert stay_pairs(pack(TaskSet(0.01, tasks))) == 3**2 + 1


def test_ranges_that_touch_are_one() -> None:
    held = ({"a": ((0, 2),), "b": ((2, 4),)}, {"a": ((0, 2),), "b": ((0, 2),)})
    tasks = tuple(PeriodicTask(i, "", "x", "y", 0.8, 8, 4, stays) for i, stays in enumerate(held))
    table = rival_table(pack(TaskSet(0.01, tasks)))
    assert list(zip(table.low, table.high, strict=True)) == [(-1, 4), (-3, 2)]
