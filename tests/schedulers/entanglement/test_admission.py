"""The admission loop and the list schedulers: against the recorded results, and against slow twins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from math import lcm
from pathlib import Path

import pytest
from hypothesis import given, settings
from made_task_sets import task_sets

from qos.errors import ValueRefusedError
from schedulers.entanglement.admission import admit, place_all
from schedulers.entanglement.metrics import measure
from schedulers.entanglement.scheduler import get_scheduler
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet
from schedulers.entanglement.taskset_files import load_task_set
from schedulers.entanglement.verify import verify

DEFAULTS = ("pts-np-edf", "rcpsp-np-fpr", "rcpsp-np-edf")


def recorded(shared_data: Path, name: str) -> Iterator[tuple[TaskSet, dict[str, object]]]:
    files = sorted((shared_data / "entanglement" / "baseline").glob("*.json"))
    assert files
    for file in files:
        results = json.loads(file.read_text())["schedulers"]
        yield load_task_set(file.parents[1] / "tasksets" / file.name), results[name.upper()]


@pytest.mark.parametrize("name", DEFAULTS)
def test_exactly_the_recorded_demands_are_admitted(shared_data: Path, name: str) -> None:
    for task_set, result in recorded(shared_data, name):
        schedule = admit(task_set, get_scheduler(name))
        verify(task_set, schedule)
        assert list(schedule.admitted) == result["satisfied_ids"], task_set.name


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_recorded_jitter_and_response_come_out(shared_data: Path, name: str) -> None:
    for task_set, result in recorded(shared_data, name):
        found = measure(task_set, admit(task_set, get_scheduler(name)))
        assert found.throughput_ebit_per_s == pytest.approx(result["throughput"]), task_set.name
        assert found.jitter_s2 == pytest.approx(result["jitter_var_s2"], abs=1e-9), task_set.name
        assert found.response_s == pytest.approx(result["wcrt_s"]), task_set.name


def key(task: PeriodicTask, instance: int) -> tuple[int, str]:
    return (instance + 1) * task.period_slots, f"{task.name}|{instance}"


def slow_list(tasks: list[PeriodicTask], whole: bool) -> dict[int, list[int]] | None:
    """The rule of section 10 of the paper's system, on sets of (qubit, slot), slot by slot."""
    hyper = lcm(*(task.period_slots for task in tasks))
    taken: set[tuple[str, int]] = set()
    released = dict.fromkeys(range(len(tasks)), 0)
    ready: list[tuple[tuple[int, str], int, int]] = []
    starts: dict[int, list[int]] = {task.task_id: [] for task in tasks}

    def stays(task: PeriodicTask, start: int) -> set[tuple[str, int]]:
        spans = {q: ((0, task.exec_slots),) if whole else task.occupancy[q] for q in task.occupancy}
        return {(q, start + slot) for q, span in spans.items() for b, e in span for slot in range(b, e)}

    def release(index: int) -> None:
        ready.append((key(tasks[index], released[index]), index, released[index]))
        released[index] += 1

    def open_releases() -> dict[int, int]:
        left = {i: n for i, n in released.items() if n < hyper // tasks[i].period_slots}
        return {i: n * tasks[i].period_slots for i, n in left.items()}

    while ready or open_releases():
        if not ready:
            times = open_releases()
            for index in [i for i, time in times.items() if time == min(times.values())]:
                release(index)
        ready.sort()
        (_, index, instance), task = ready.pop(0), tasks[0]
        task = tasks[index]
        begin = instance * task.period_slots
        fits = [
            start
            for start in range(begin, begin + task.period_slots - task.exec_slots + 1)
            if not stays(task, start) & taken
        ]
        if not fits:
            return None
        mine = stays(task, fits[0])
        taken |= mine
        starts[task.task_id].append(fits[0])
        for other, time in open_releases().items():
            shared = set(tasks[other].occupancy) & set(task.occupancy)
            if any(slot + 1 >= time for q, slot in mine if q in shared):
                release(other)
    for task in tasks:
        offsets = [start - k * task.period_slots for k, start in enumerate(starts[task.task_id])]
        if task.max_jitter_slots is not None and max(offsets) - min(offsets) > task.max_jitter_slots:
            return None
    return starts


def slow_admission(task_set: TaskSet, whole: bool) -> Schedule:
    """The admission loop with a full rebuild for every candidate, component by component."""
    running: list[PeriodicTask] = []
    best: dict[int, tuple[int, ...]] = {}
    for task in task_set.tasks:
        trial = [*running, task]
        loads: dict[str, float] = {}
        for one in trial:
            for qubit, spans in one.occupancy.items():
                loads[qubit] = loads.get(qubit, 0) + sum(e - b for b, e in spans) / one.period_slots
        if max(loads.values()) > 1:
            continue
        groups: list[list[PeriodicTask]] = []
        for one in trial:
            touching = [g for g in groups if any(set(one.occupancy) & set(o.occupancy) for o in g)]
            groups = [g for g in groups if g not in touching]
            groups.append([o for g in touching for o in g] + [one])
        tables = [(group, slow_list(group, whole)) for group in groups]
        if all(table is not None for _, table in tables):
            running = trial
            best = {}
            for group, table in tables:
                hyper = lcm(*(one.period_slots for one in group))
                for task_id, starts in (table or {}).items():
                    rounds = range(0, task_set.hyperperiod_slots, hyper)
                    best[task_id] = tuple(shift + s for shift in rounds for s in starts)
    return Schedule(task_set.hyperperiod_slots, {task.task_id: best[task.task_id] for task in running})


@pytest.mark.parametrize(("name", "whole"), [("rcpsp-np-edf", False), ("rcpsp-np-fpr", True)])
@settings(max_examples=60)
@given(task_set=task_sets())
def test_bit_sets_and_kept_groups_do_what_a_full_rebuild_slot_by_slot_does(
    name: str, whole: bool, task_set: TaskSet
) -> None:
    assert admit(task_set, get_scheduler(name)) == slow_admission(task_set, whole)


def plain(task_id: int, period: int, exec_slots: int, qubit: str = "a-C0", name: str = "") -> PeriodicTask:
    occupancy = {qubit: ((0, exec_slots),)}
    return PeriodicTask(task_id, name or f"t{task_id}", "a", "b", 0.8, period, exec_slots, occupancy)


def test_equal_deadlines_go_by_the_name_of_the_instance() -> None:
    # "ID=3|0" comes after "ID=32|0": the bar follows the digits in the alphabet.
    task_set = TaskSet(0.01, (plain(0, 8, 2, name="ID=3"), plain(1, 8, 2, name="ID=32")))
    for name in DEFAULTS:
        assert admit(task_set, get_scheduler(name)).starts == {0: (2,), 1: (0,)}


def test_a_demand_beyond_the_utilisation_is_skipped_and_later_ones_still_enter() -> None:
    task_set = TaskSet(0.01, (plain(0, 8, 5), plain(1, 8, 4), plain(2, 16, 4)))
    for name in DEFAULTS:
        assert admit(task_set, get_scheduler(name)).admitted == (0, 2)


@pytest.mark.parametrize(("hasty", "patient"), [("pts-np-edf", "pts-cedf"), ("rcpsp-np-fpr", "rcpsp-cedf")])
def test_waiting_for_an_urgent_instance_admits_what_working_on_loses(hasty: str, patient: str) -> None:
    # Run at once, the long task ends at 20, after the latest start (18) of the short one's second instance.
    task_set = TaskSet(0.01, (plain(0, 10, 2), plain(1, 40, 4), plain(2, 40, 14)))
    assert admit(task_set, get_scheduler(hasty)).admitted == (0, 1)
    assert admit(task_set, get_scheduler(patient)).admitted == (0, 1, 2)


def test_tasks_on_other_qubits_run_at_the_same_time_except_on_one_processor() -> None:
    task_set = TaskSet(0.01, (plain(0, 4, 3), plain(1, 4, 3, "b-C0")))
    assert admit(task_set, get_scheduler("rcpsp-np-fpr")).starts == {0: (0,), 1: (0,)}
    assert admit(task_set, get_scheduler("pts-np-edf")).admitted == (0,)


def test_a_demand_that_would_move_a_start_too_far_is_rejected() -> None:
    # The long task pushes the second instance of the short one off its place.
    task_set = TaskSet(0.01, (plain(0, 4, 1), plain(1, 8, 4)))
    assert admit(task_set, get_scheduler("pts-np-edf")).starts == {0: (0, 5), 1: (1,)}
    strict = TaskSet(0.01, (replace(task_set.tasks[0], max_jitter_slots=0), task_set.tasks[1]))
    for name in DEFAULTS:
        assert admit(strict, get_scheduler(name)).admitted == (0,)
    assert place_all(strict, get_scheduler("pts-np-edf")) is None


def test_no_tasks_make_an_empty_schedule() -> None:
    for name in DEFAULTS:
        assert admit(TaskSet(0.01, ()), get_scheduler(name)) == Schedule(1, {})
        assert place_all(TaskSet(0.01, ()), get_scheduler(name)) == Schedule(1, {})


@pytest.mark.parametrize(
    ("name", "budget", "complaint"),
    [
        ("rcpsp-np-edt", None, "did you mean rcpsp-np-edf"),
        ("nothing like it", None, "use one of"),
        ("pts-np-edf", 5, "takes no preemption budget"),
    ],
)
def test_a_scheduler_that_cannot_be_is_refused(name: str, budget: int | None, complaint: str) -> None:
    with pytest.raises(ValueRefusedError, match=complaint):
        get_scheduler(name, budget)
