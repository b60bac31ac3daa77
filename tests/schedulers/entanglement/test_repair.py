"""Repairs keep what can be kept, move as little as they can, and give valid schedules."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_task_sets import QUBITS, task_sets

from qos.errors import ValueRefusedError
from schedulers.entanglement.admission import admit
from schedulers.entanglement.qubit_table import QubitTable, stays_from
from schedulers.entanglement.repair import Failure, Move, repair
from schedulers.entanglement.scheduler import get_scheduler
from schedulers.entanglement.tasks import Operation, PeriodicTask, Schedule, TaskSet
from schedulers.entanglement.verify import verify


def task(task_id: int, qubits: tuple[str, ...], period: int = 8, length: int = 2) -> PeriodicTask:
    occupancy = dict.fromkeys(qubits, ((0, length),))
    return PeriodicTask(task_id, f"t{task_id}", "a", "b", 0.8, period, length, occupancy)


def test_what_the_failure_does_not_touch_keeps_every_start() -> None:
    task_set = TaskSet(0.01, (task(0, ("a-C0",)), task(1, ("b-C0",)), task(2, ("a-C0", "b-C0"), 16)))
    schedule = Schedule(16, {0: (0, 8), 1: (3, 8), 2: (5,)})
    found = repair(task_set, schedule, Failure(nodes=frozenset({"a"})))
    assert found.schedule.starts == {1: (3, 8)}
    assert (found.kept, found.dropped, found.restored, found.moved) == ((1,), (0, 2), (), ())


def test_a_replacement_goes_to_the_free_start_nearest_to_the_old_one() -> None:
    task_set = TaskSet(0.01, (task(0, ("a-C0",)), task(1, ("c-C0",))))
    schedule = Schedule(8, {0: (3,), 1: (3,)})
    found = repair(task_set, schedule, Failure(qubits=frozenset({"a-C0"})), {0: task(0, ("c-C0",))})
    assert found.schedule.starts == {0: (1,), 1: (3,)}
    assert found.restored == (0,)
    verify(found.task_set, found.schedule)


def test_others_move_only_where_nothing_else_helps_and_then_as_little_as_possible() -> None:
    # Six slots in one piece: neither [0, 3) nor [5, 8) holds them, so the short task has to give way.
    long = task(0, ("a-C0",), 8, 6)
    task_set = TaskSet(0.01, (long, task(1, ("c-C0",))))
    schedule = Schedule(8, {0: (0,), 1: (3,)})
    found = repair(task_set, schedule, Failure(nodes=frozenset({"a"})), {0: task(0, ("c-C0",), 8, 6)})
    verify(found.task_set, found.schedule)
    assert found.moved == (Move(1, 0, 3, 6),)
    assert found.schedule.starts == {0: (0,), 1: (6,)}


def test_a_bound_on_jitter_holds_in_repairs() -> None:
    # Free on c are [1, 7) and [9, 13): two slots at the same offset in both periods begin at 1, 2 or 3.
    ends = [task(1, ("c-C0",), 8, 1), task(2, ("c-C0",), 16, 1), task(3, ("c-C0",), 8, 1)]
    task_set = TaskSet(0.01, (task(0, ("a-C0",)), *ends))
    schedule = Schedule(16, {0: (5, 13), 1: (0, 8), 2: (13,), 3: (7, 15)})
    strict = replace(task(0, ("c-C0",)), max_jitter_slots=0)
    found = repair(task_set, schedule, Failure(nodes=frozenset({"a"})), {0: strict})
    verify(found.task_set, found.schedule)
    assert found.schedule.starts[0] == (3, 11)
    assert found.moved == ()


def test_a_replacement_that_cannot_fit_is_dropped_and_leaves_no_trace() -> None:
    task_set = TaskSet(0.01, (task(0, ("a-C0",), 8, 7), task(1, ("c-C0",))))
    schedule = Schedule(8, {0: (0,), 1: (3,)})
    found = repair(task_set, schedule, Failure(nodes=frozenset({"a"})), {0: task(0, ("c-C0",), 8, 7)})
    assert found.schedule.starts == {1: (3,)}
    assert (found.dropped, found.moved) == ((0,), ())


def test_room_that_is_left_goes_to_the_rejected_on_demand() -> None:
    task_set = TaskSet(0.01, (task(0, ("a-C0", "c-C0"), 8, 7), task(1, ("c-C0",), 8, 4)))
    schedule = Schedule(8, {0: (0,)})
    down = Failure(nodes=frozenset({"a"}))
    assert repair(task_set, schedule, down).schedule.starts == {}
    found = repair(task_set, schedule, down, fill=True)
    assert found.schedule.starts == {1: (0,)}
    assert found.added == (1,)


def test_a_failed_link_breaks_the_tasks_that_make_pairs_over_it() -> None:
    link = Operation("L", "link", 0, 2, ("a-C0", "b-C0"))
    over = replace(task(0, ("a-C0", "b-C0")), operations=(link,))
    failure = Failure(links=frozenset({("b", "a")}))
    assert failure.breaks(over)
    assert not failure.breaks(task(1, ("a-C0",)))
    assert not Failure(links=frozenset({("b", "c")})).breaks(over)


@pytest.mark.parametrize(
    ("replacement", "complaint"),
    [
        ({9: task(9, ("c-C0",))}, "replacement 9"),
        ({0: task(1, ("c-C0",))}, "replacement 0"),
        ({0: task(0, ("c-C0",), 16)}, "period is 16"),
        ({0: task(0, ("a-C0",))}, "uses what has failed"),
    ],
)
def test_replacements_that_cannot_be_are_refused(
    replacement: dict[int, PeriodicTask], complaint: str
) -> None:
    task_set = TaskSet(0.01, (task(0, ("a-C0",)),))
    with pytest.raises(ValueRefusedError, match=complaint):
        repair(task_set, Schedule(8, {0: (0,)}), Failure(nodes=frozenset({"a"})), replacement)


@pytest.mark.parametrize("name", ["rcpsp-np-edf", "rcpsp-pb"])
@settings(max_examples=60)
@given(task_set=task_sets(), node=st.sampled_from("abcd"), other=st.sampled_from("abcd"), fill=st.booleans())
def test_every_repair_is_valid_and_uses_nothing_that_failed(
    name: str, task_set: TaskSet, node: str, other: str, fill: bool
) -> None:
    schedule = admit(task_set, get_scheduler(name))
    failure = Failure(nodes=frozenset({node}))
    swap = {qubit: qubit.replace(f"{node}-", f"{other}{other}-") for qubit in QUBITS}
    given_tasks = {
        t.task_id: replace(t, occupancy={swap[q]: spans for q, spans in t.occupancy.items()}, operations=())
        for t in task_set.tasks
        if failure.breaks(t)
    }
    found = repair(task_set, schedule, failure, given_tasks, fill=fill)
    verify(found.task_set, found.schedule)
    tasks = {t.task_id: t for t in found.task_set.tasks}
    assert not any(failure.breaks(tasks[task_id]) for task_id in found.schedule.starts)
    assert set(found.kept) | set(found.restored) | set(found.added) == set(found.schedule.starts)
    moved = {(move.task_id, move.instance) for move in found.moved}
    for task_id in found.kept:
        for k, start in enumerate(schedule.starts[task_id]):
            assert (found.schedule.starts[task_id][k] == start) == ((task_id, k) not in moved)


@settings(max_examples=60)
@given(data=st.data())
def test_free_starts_are_those_that_a_search_slot_by_slot_finds(data: st.DataObject) -> None:
    table = QubitTable()
    taken = data.draw(st.sets(st.integers(0, 30)))
    for slot in taken:
        table.put(slot, (("q", slot, slot + 1),))
    spans = data.draw(st.sampled_from([((0, 1),), ((0, 5),), ((1, 3), (6, 7)), ((2, 9),)]))
    low, high = data.draw(st.integers(0, 20)), data.draw(st.integers(0, 30))
    wanted = [
        start
        for start in range(low, high + 1)
        if not any(slot in taken for b, e in spans for slot in range(start + b, start + e))
    ]
    assert table.free_starts({"q": spans}, low, high) == wanted
    for start in wanted:
        assert table.in_the_way(stays_from({"q": spans}, start)) == []
