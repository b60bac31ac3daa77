"""Segments, and the schedulers that interrupt: small cases by hand and the recorded results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from made_task_sets import task_sets

from qos.errors import ValueRefusedError
from schedulers.entanglement.admission import admit
from schedulers.entanglement.preemption_points import cut_points, locked_qubits, pack_segments
from schedulers.entanglement.scheduler import get_scheduler
from schedulers.entanglement.tasks import Operation, PeriodicTask, TaskSet
from schedulers.entanglement.taskset_files import load_task_set
from schedulers.entanglement.verify import may_be_cut, verify

PREEMPTIVE = ("pts-pb", "rcpsp-pbs", "rcpsp-pb")

CHAIN = PeriodicTask(
    task_id=0,
    name="chain",
    source="a",
    destination="c",
    min_fidelity=0.8,
    period_slots=32,
    exec_slots=9,
    occupancy={"a-C0": ((0, 4),), "b-S0": ((0, 9),), "c-C0": ((4, 8),)},
    preemption_budget_slots=6,
    operations=(
        Operation("L0", "link", 0, 4, ("a-C0", "b-S0"), ("b-S0",)),
        Operation("L1", "link", 4, 4, ("c-C0",), (), (0,)),
        Operation("S", "swap", 8, 1, ("b-S0",), (), (0, 1)),
    ),
)


def urgent(task_id: int, qubit: str, period: int = 8, length: int = 2) -> PeriodicTask:
    return PeriodicTask(
        task_id, f"u{task_id}", "x", "y", 0.8, period, length, {qubit: ((0, length),)}, period
    )


def test_a_task_is_cut_only_between_operations_and_locks_what_they_leave_entangled() -> None:
    assert cut_points(CHAIN) == [0, 4, 8, 9]
    assert locked_qubits(CHAIN, 4) == ["b-S0"]
    assert locked_qubits(CHAIN, 9) == []
    assert cut_points(replace(CHAIN, operations=())) == [0, 9]


def test_blocked_segments_hold_what_is_still_needed_and_interleaved_ones_what_they_use() -> None:
    names = ["a-C0", "b-S0", "c-C0"]
    found = {
        whole: [
            {names[q] for q in segments.stay_qubit[segments.stays_of[i] : segments.stays_of[i + 1]]}
            for i in range(3)
        ]
        for whole in (True, False)
        for segments in [pack_segments(TaskSet(0.01, (CHAIN,)), whole=whole)]
    }
    assert found[True] == [{"a-C0", "b-S0", "c-C0"}, {"b-S0", "c-C0"}, {"b-S0"}]
    assert found[False] == [{"a-C0", "b-S0"}, {"b-S0", "c-C0"}, {"b-S0"}]


@settings(max_examples=60)
@given(task_set=task_sets(3))
def test_the_cuts_are_where_the_judge_allows_them(task_set: TaskSet) -> None:
    for task in task_set.tasks:
        allowed = [offset for offset in range(1, task.exec_slots) if may_be_cut(task, offset)]
        assert cut_points(task) == [0, *allowed, task.exec_slots]


def test_an_urgent_task_gets_in_between_where_the_budget_allows_it() -> None:
    task_set = TaskSet(0.01, (urgent(1, "c-C0", 8, 4), CHAIN))
    assert admit(task_set, get_scheduler("rcpsp-np-fpr")).admitted == (1,)
    schedule = admit(task_set, get_scheduler("pts-pb"))
    verify(task_set, schedule)
    assert schedule.admitted == (1, 0)
    assert len(schedule.segments[0][0]) > 1


def test_without_a_budget_nothing_is_interrupted() -> None:
    task_set = TaskSet(0.01, (urgent(1, "c-C0", 8, 4), CHAIN))
    for name in PREEMPTIVE:
        schedule = admit(task_set, get_scheduler(name, 0))
        verify(task_set, schedule, 0)
        assert all(len(parts) == 1 for found in schedule.segments.values() for parts in found)


def test_a_held_qubit_is_nobody_elses_during_an_interruption() -> None:
    # The chain holds b-S0 for nine slots at least; the other task needs one of every four.
    task_set = TaskSet(0.01, (urgent(1, "c-C0", 8, 4), CHAIN, urgent(2, "b-S0", 4, 1)))
    for name in PREEMPTIVE:
        schedule = admit(task_set, get_scheduler(name))
        verify(task_set, schedule)
        assert not {0, 2} <= set(schedule.admitted)


def test_a_negative_budget_is_refused() -> None:
    with pytest.raises(ValueRefusedError, match="-1"):
        get_scheduler("rcpsp-pb", -1)


RECORDED = {
    "PTS-PB-0.1s": ("pts-pb", 10),
    "PTS-PB-1s": ("pts-pb", 100),
    "RCPSP-PBS-0.1s": ("rcpsp-pbs", 10),
    "RCPSP-PBS-1s": ("rcpsp-pbs", 100),
    "RCPSP-PB-0.1s": ("rcpsp-pb", 10),
    "RCPSP-PB-1s": ("rcpsp-pb", 100),
}


@pytest.mark.parametrize(
    ("label", "share"),
    [
        ("PTS-PB-0.1s", 1.0),
        ("PTS-PB-1s", 0.75),
        ("RCPSP-PBS-0.1s", 1.0),
        ("RCPSP-PBS-1s", 1.0),
        ("RCPSP-PB-0.1s", 0.75),
        ("RCPSP-PB-1s", 0.75),
    ],
)
def test_the_recorded_demands_are_admitted_where_the_record_respects_held_qubits(
    shared_data: Path, label: str, share: float
) -> None:
    """The recorded tables of some schedulers use held qubits; those sets cannot be admitted again."""
    name, budget = RECORDED[label]
    same = []
    for file in sorted((shared_data / "entanglement" / "baseline").glob("*.json")):
        result = json.loads(file.read_text())["schedulers"].get(label)
        if result is None:
            continue
        task_set = load_task_set(file.parents[1] / "tasksets" / file.name)
        schedule = admit(task_set, get_scheduler(name, budget))
        verify(task_set, schedule, budget)
        same.append(list(schedule.admitted) == result["satisfied_ids"])
    assert sum(same) >= share * len(same) > 0
