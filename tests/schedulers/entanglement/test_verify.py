"""The judge finds each way in which a schedule can be wrong, and leaves good ones alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qos.errors import InputError
from schedulers.entanglement.tasks import Operation, PeriodicTask, Schedule, TaskSet
from schedulers.entanglement.verify import verify, violations

LINK = Operation("L", "link", 0, 2, ("a-C0", "b-C0"), ("b-C0",))
OTHER = Operation("M", "link", 2, 1, ("b-C0", "c-C0"), (), (0,))
CUTTABLE = PeriodicTask(
    task_id=0,
    name="cuttable",
    source="a",
    destination="c",
    min_fidelity=0.8,
    period_slots=8,
    exec_slots=3,
    occupancy={"a-C0": ((0, 2),), "b-C0": ((0, 3),), "c-C0": ((2, 3),)},
    preemption_budget_slots=2,
    operations=(LINK, OTHER),
)
SOLID = PeriodicTask(1, "solid", "a", "b", 0.8, 16, 2, {"a-C0": ((0, 2),)})
ON_B = PeriodicTask(2, "on b", "b", "d", 0.8, 16, 1, {"b-C0": ((0, 1),)})
SET = TaskSet(0.01, (CUTTABLE, SOLID, ON_B))


def test_a_good_schedule_passes() -> None:
    verify(SET, Schedule(16, {0: (0, 8), 1: (2,), 2: (3,)}))


def test_a_good_interruption_passes() -> None:
    verify(SET, Schedule(16, {0: (0, 8), 1: (2,)}, {0: (((0, 2), (4, 1)), ((8, 3),))}))


def test_parts_that_touch_are_no_interruption() -> None:
    verify(SET, Schedule(16, {0: (0, 8)}, {0: (((0, 1), (1, 2)), ((8, 3),))}))


@pytest.mark.parametrize(
    ("schedule", "complaint"),
    [
        (Schedule(8, {}), "table has 8"),
        (Schedule(16, {7: (0,)}), "not in the task set"),
        (Schedule(16, {0: (0,)}), "1 instances"),
        (Schedule(16, {0: (0, 7)}), "outside its period"),
        (Schedule(16, {0: (6, 8)}), "outside its period"),
        (Schedule(16, {1: (-1,)}), "outside its period"),
        (Schedule(16, {0: (0, 8), 1: (1,)}), "a-C0.*both hold it in slot 1"),
        (Schedule(16, {0: (0, 8), 2: (2,)}), "b-C0.*slot 2"),
        (Schedule(16, {0: (0, 8)}, {0: (((0, 3),),)}), "parts of 1 instances"),
        (Schedule(16, {0: (0, 8)}, {0: (((1, 3),), ((8, 3),))}), "does not start with its first part"),
        (Schedule(16, {0: (0, 8)}, {0: ((), ((8, 3),))}), "does not start with its first part"),
        (Schedule(16, {0: (0, 8)}, {0: (((0, 2),), ((8, 3),))}), "add up to 2"),
        (Schedule(16, {0: (0, 8)}, {0: (((0, 4), (6, -1)), ((8, 3),))}), "no length"),
        (Schedule(16, {0: (2, 8)}, {0: (((2, 2), (0, 1)), ((8, 3),))}), "overlap"),
        (Schedule(16, {0: (0, 8)}, {0: (((0, 1), (3, 2)), ((8, 3),))}), "cut at offset 1"),
        (Schedule(16, {0: (0, 8)}, {0: (((0, 2), (5, 1)), ((8, 3),))}), "interrupted for 3"),
        (Schedule(16, {1: (0,)}, {1: (((0, 1), (2, 1)),)}), "cut at offset 1"),
        (Schedule(16, {1: (0,)}, {0: (((0, 3),), ((8, 3),))}), "has parts, but is not admitted"),
        (
            Schedule(16, {0: (0, 8), 2: (2,)}, {0: (((0, 2), (3, 1)), ((8, 3),))}),
            "b-C0.*both hold it in slot 2",
        ),
    ],
)
def test_each_wrong_is_found(schedule: Schedule, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        verify(SET, schedule)


def test_an_unlocked_qubit_may_be_used_during_an_interruption() -> None:
    free = replace(CUTTABLE, operations=(replace(LINK, locked_qubits=()), OTHER))
    schedule = Schedule(16, {0: (0, 8), 2: (2,)}, {0: (((0, 2), (3, 1)), ((8, 3),))})
    assert violations(TaskSet(0.01, (free, SOLID, ON_B)), schedule) == []


def test_starts_may_move_no_further_than_the_task_allows() -> None:
    bound = TaskSet(0.01, (replace(CUTTABLE, max_jitter_slots=2), SOLID, ON_B))
    assert violations(bound, Schedule(16, {0: (0, 10)})) == []
    assert "moves by 3 slots" in violations(bound, Schedule(16, {0: (0, 11)}))[0]


def test_a_budget_for_all_replaces_the_tasks_own() -> None:
    schedule = Schedule(16, {0: (0, 8)}, {0: (((0, 2), (4, 1)), ((8, 3),))})
    assert violations(SET, schedule) == []
    assert len(violations(SET, schedule, budget_slots=1)) == 1
