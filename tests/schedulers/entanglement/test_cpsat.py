from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qos.errors import InfeasibleError, ValueRefusedError
from schedulers.entanglement.cpsat.bounds import (
    Question,
    folded_bound,
    knapsack_bound,
    tightened,
    window_for,
)
from schedulers.entanglement.cpsat.conflicts import Machine, forbidden_differences
from schedulers.entanglement.cpsat.derived import DerivedMachines, machines
from schedulers.entanglement.cpsat.model import Placement, PlacementModel
from schedulers.entanglement.cpsat.neighbourhood import improve
from schedulers.entanglement.cpsat.optimise import optimise, paper_schedules
from schedulers.entanglement.cpsat.outcome import Clock, Options
from schedulers.entanglement.cpsat.ruin import Changer
from schedulers.entanglement.cpsat.timetable import Timetable
from schedulers.entanglement.metrics import measure
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet
from schedulers.entanglement.taskset_files import load_task_set
from schedulers.entanglement.verify import violations

QUBITS = ("a", "b", "c")
FAST = {"time_limit_s": 5.0, "workers": 1}


def task(
    task_id: int, period: int, exec_slots: int, jitter: int | None = None, **stays: object
) -> PeriodicTask:
    occupancy = stays or {"a": ((0, exec_slots),)}
    ends = {"source": f"n{task_id % 3}", "destination": f"n{3 + task_id % 2}"}
    return PeriodicTask(
        task_id, f"t{task_id}", **ends, min_fidelity=0.8, period_slots=period, exec_slots=exec_slots,
        occupancy=occupancy, max_jitter_slots=jitter,
    )  # fmt: skip


@st.composite
def task_sets(draw: st.DrawFn, most: int = 4, periods: tuple[int, ...] = (3, 4, 6, 12)) -> TaskSet:
    tasks = []
    for task_id in range(draw(st.integers(1, most))):
        period = draw(st.sampled_from(periods))
        exec_slots = draw(st.integers(1, min(period, 5)))
        occupancy = {}
        for qubit in draw(st.sets(st.sampled_from(QUBITS), min_size=1)):
            begin = draw(st.integers(0, exec_slots - 1))
            end = draw(st.integers(begin + 1, exec_slots))
            later = [(end + 1, exec_slots)] if end + 1 < exec_slots and draw(st.booleans()) else []
            occupancy[qubit] = ((begin, end), *later)
        jitter = draw(st.sampled_from((None, None, 0, 1)))
        tasks.append(task(task_id, period, exec_slots, jitter, **occupancy))
    return TaskSet(0.01, tuple(tasks), "drawn")


def cells(one: PeriodicTask, start: int) -> set[tuple[str, int]]:
    stays = one.occupancy.items()
    return {(q, start + slot) for q, intervals in stays for b, e in intervals for slot in range(b, e)}


def can_all_run(tasks: list[PeriodicTask], horizon: int, same: bool = False) -> bool:
    """Try every start of every instance: the plainest search there is."""
    jobs = [(one, k) for one in tasks for k in range(horizon // one.period_slots)]
    offsets: dict[int, list[int]] = {one.task_id: [] for one in tasks}

    def place(done: int, busy: set[tuple[str, int]]) -> bool:
        if done == len(jobs):
            return True
        one, k = jobs[done]
        before = offsets[one.task_id]
        width = 0 if same else one.max_jitter_slots
        for offset in range(one.period_slots - one.exec_slots + 1):
            if width is not None and any(abs(offset - other) > width for other in before):
                continue
            wanted = cells(one, k * one.period_slots + offset)
            if wanted & busy:
                continue
            before.append(offset)
            if place(done + 1, busy | wanted):
                return True
            before.pop()
        return False

    return place(0, set())


def best_by_force(task_set: TaskSet, same: bool = False) -> int:
    horizon = task_set.hyperperiod_slots
    found = 0
    for size in range(len(task_set.tasks) + 1):
        for chosen in itertools.combinations(task_set.tasks, size):
            worth = sum(horizon // one.period_slots for one in chosen)
            if worth > found and can_all_run(list(chosen), horizon, same):
                found = worth
    return found


def judge(task_set: TaskSet, schedule: Schedule) -> None:
    assert violations(task_set, schedule) == []
    for one in task_set.tasks:
        offsets = [start % one.period_slots for start in schedule.starts.get(one.task_id, ())]
        if offsets and one.max_jitter_slots is not None:
            assert max(offsets) - min(offsets) <= one.max_jitter_slots


@given(task_sets())
@settings(max_examples=40)
def test_throughput_is_what_trying_everything_finds(task_set: TaskSet) -> None:
    outcome = optimise(task_set, Options(**FAST))
    judge(task_set, outcome.schedule)
    best = best_by_force(task_set) / (task_set.hyperperiod_slots * task_set.slot_s)
    assert outcome.status == "optimal"
    assert outcome.value == pytest.approx(best)
    assert measure(task_set, outcome.schedule).throughput_ebit_per_s == pytest.approx(best)
    assert outcome.bound_ebit_per_s == pytest.approx(best)
    assert outcome.gap == 0


@given(task_sets(most=3))
@settings(max_examples=25)
def test_without_jitter_it_is_what_trying_everything_finds(task_set: TaskSet) -> None:
    outcome = optimise(task_set, Options(objective="zero-jitter", **FAST))
    judge(task_set, outcome.schedule)
    best = best_by_force(task_set, same=True) / (task_set.hyperperiod_slots * task_set.slot_s)
    assert outcome.value == pytest.approx(best)
    assert measure(task_set, outcome.schedule).peak_to_peak_jitter_s == 0


@given(task_sets(most=6))
@settings(max_examples=30)
def test_no_bound_is_below_the_optimum(task_set: TaskSet) -> None:
    horizon = task_set.hyperperiod_slots
    rates = [horizon // one.period_slots for one in task_set.tasks]
    question = Question(task_set.tasks, machines(task_set.tasks), rates, frozenset(), horizon)
    reached = best_by_force(TaskSet(0.01, task_set.tasks[:4]))
    scale = horizon // TaskSet(0.01, task_set.tasks[:4]).hyperperiod_slots
    assert knapsack_bound(question, 5) >= reached * scale
    bound, tight = tightened(question, DerivedMachines(task_set.tasks), 5)
    assert knapsack_bound(question, 5) >= bound >= reached * scale
    for window in {3, 4, 6, 12, window_for(question)}:
        if window is not None and horizon % window == 0:
            assert folded_bound(tight, window, 5) >= reached * scale


def test_a_machine_held_only_late_by_long_tasks_is_folded_into_a_short_window() -> None:
    tasks = (task(0, 4, 1), task(1, 128, 100), task(2, 128, 100))
    late = Machine("group 1", {1: ((2, 98),), 2: ((2, 98),)})
    question = Question(tasks, (late,), (32, 1, 1), frozenset(), 128)
    assert window_for(question) == 4
    assert folded_bound(question, 4, 5) == 33


@given(task_sets(most=2), st.integers(-6, 6))
def test_forbidden_differences_are_those_at_which_slots_meet(task_set: TaskSet, difference: int) -> None:
    first, second = task_set.tasks[0], task_set.tasks[-1]
    mask, low = forbidden_differences(first, second)
    meets = bool(cells(first, 20) & cells(second, 20 + difference))
    assert bool(mask >> (difference - low) & 1 if difference >= low else False) == meets


@given(task_sets(most=5), st.lists(st.floats(0, 1), min_size=5, max_size=5))
@settings(max_examples=50)
def test_whoever_meets_on_a_machine_meets_on_a_qubit(task_set: TaskSet, admitted: list[float]) -> None:
    choice = np.array(admitted[: len(task_set.tasks)])
    derived = DerivedMachines(task_set.tasks).overloaded(choice, task_set.hyperperiod_slots)
    for machine in (*machines(task_set.tasks), *derived):
        for i, j in itertools.combinations(machine.intervals, 2):
            for difference in range(-8, 9):
                on_machine = any(
                    a < d + difference and c + difference < b
                    for a, b in machine.intervals[i]
                    for c, d in machine.intervals[j]
                )
                on_qubit = cells(task_set.tasks[i], 20) & cells(task_set.tasks[j], 20 + difference)
                assert not on_machine or on_qubit


@given(task_sets(most=6))
@settings(max_examples=30)
def test_free_starts_are_those_whose_slots_are_free(task_set: TaskSet) -> None:
    horizon = task_set.hyperperiod_slots
    timetable, busy = Timetable(horizon), set()
    for one in task_set.tasks:
        for k, window in enumerate(timetable.free_starts(one)):
            for offset in range(one.period_slots - one.exec_slots + 1):
                assert bool(window >> offset & 1) == (not cells(one, k * one.period_slots + offset) & busy)
        starts = timetable.earliest_starts(one)
        if starts is not None:
            timetable.place(one, starts)
            busy |= set().union(*(cells(one, start) for start in starts))


def test_a_long_hyperperiod_is_searched_too() -> None:
    tasks = (task(0, 4, 2), task(1, 2**17, 3), task(2, 2**16, 2), task(3, 8, 3))
    for objective in ("throughput", "jitter", "fair", "makespan"):
        outcome = optimise(TaskSet(0.01, tasks), Options(objective=objective, time_limit_s=1, workers=1))
        assert outcome.schedule.starts
        assert outcome.status in ("optimal", "feasible", "heuristic")


def contended(count: int = 14) -> TaskSet:
    """More tasks than fit, of three shapes on two qubits."""
    shapes = ({"a": ((0, 3),)}, {"a": ((0, 2),), "b": ((1, 3),)}, {"b": ((0, 3),)})
    periods = (8, 16, 32)
    tasks = [task(i, periods[i % 3], 3, None, **shapes[i % 2 + i // 7 % 2]) for i in range(count)]
    return TaskSet(0.01, tuple(tasks), "contended")


@pytest.mark.parametrize("objective", ["throughput", "fair", "count", "jitter", "zero-jitter", "makespan"])
@pytest.mark.parametrize("mode", ["batch", "dominate", "online"])
def test_every_objective_and_mode_gives_a_valid_schedule(objective: str, mode: str) -> None:
    task_set = contended()
    outcome = optimise(task_set, Options(objective=objective, mode=mode, time_limit_s=3, workers=1))
    judge(task_set, outcome.schedule)
    metrics = measure(task_set, outcome.schedule)
    assert metrics.throughput_ebit_per_s <= outcome.bound_ebit_per_s + 1e-9
    assert outcome.bound_ebit_per_s <= task_set.offered_ebit_per_s + 1e-9
    assert outcome.status in ("optimal", "feasible", "heuristic")
    if mode == "dominate":
        assert set(paper_schedules(task_set)[0].starts) <= set(outcome.schedule.starts)
    if objective == "zero-jitter":
        assert metrics.peak_to_peak_jitter_s == 0


def test_dominate_is_at_least_the_papers_best() -> None:
    task_set = contended()
    best = measure(task_set, paper_schedules(task_set)[0]).throughput_ebit_per_s
    assert optimise(task_set, Options(mode="dominate", **FAST)).value >= best


def test_kept_tasks_are_admitted_and_impossible_ones_refused() -> None:
    task_set = TaskSet(0.01, (task(0, 4, 3), task(1, 4, 3), task(2, 8, 1)), "two big ones")
    kept = optimise(task_set, Options(kept=frozenset({1}), **FAST))
    assert set(kept.schedule.starts) == {1, 2}
    with pytest.raises(InfeasibleError, match="proven"):
        optimise(task_set, Options(kept=frozenset({0, 1}), **FAST))
    with pytest.raises(ValueRefusedError, match="no task 9"):
        optimise(task_set, Options(kept=frozenset({9}), **FAST))


@pytest.mark.parametrize("time_limit_s", [0.005, 0.02, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_bound_proven_in_no_time_is_no_lower_than_what_can_be_reached(
    time_limit_s: float, workers: int
) -> None:
    task_set = contended(40)
    reached = optimise(task_set, Options(time_limit_s=5)).value
    hasty = optimise(task_set, Options(time_limit_s=time_limit_s, workers=workers))
    judge(task_set, hasty.schedule)
    assert hasty.bound >= reached - 1e-9
    assert hasty.bound_ebit_per_s >= reached - 1e-9
    assert hasty.status != "optimal" or hasty.value == pytest.approx(reached)


def test_weights_turn_the_choice() -> None:
    task_set = TaskSet(0.01, (task(0, 4, 3), task(1, 8, 6)), "one or the other")
    assert set(optimise(task_set, Options(**FAST)).schedule.starts) == {0}
    weighted = optimise(task_set, Options(weights={1: 3.0}, **FAST))
    assert set(weighted.schedule.starts) == {1}
    assert weighted.value == pytest.approx(3 / (8 * 0.01))
    assert weighted.bound_ebit_per_s == pytest.approx(1 / (4 * 0.01))


def test_count_prefers_many_slow_demands_to_one_fast() -> None:
    tasks = (task(0, 4, 4), *(task(i, 16, 4) for i in range(1, 4)))
    assert set(optimise(TaskSet(0.01, tasks), Options(objective="count", **FAST)).schedule.starts) == {
        1,
        2,
        3,
    }
    assert set(optimise(TaskSet(0.01, tasks), Options(**FAST)).schedule.starts) == {0}


def test_fair_serves_two_parties_where_throughput_serves_one() -> None:
    fast = [task(i, 8, 4, None) for i in (0, 6)]
    slow = task(1, 32, 4)
    task_set = TaskSet(0.01, (*fast, slow), "one pair could take all")
    assert set(optimise(task_set, Options(**FAST)).schedule.starts) == {0, 6}
    fair = optimise(task_set, Options(objective="fair", **FAST))
    assert fair.status == "optimal"
    assert 1 in fair.schedule.starts
    assert len(fair.schedule.starts) == 2


def test_jitter_is_removed_where_it_can_be() -> None:
    tasks = (task(0, 4, 2), task(1, 8, 2), task(2, 16, 2))
    task_set = TaskSet(0.01, tasks, "harmonic")
    outcome = optimise(task_set, Options(objective="jitter", **FAST))
    assert set(outcome.schedule.starts) == {0, 1, 2}
    assert (outcome.status, outcome.value) == ("optimal", 0.0)
    assert measure(task_set, outcome.schedule).peak_to_peak_jitter_s == 0


def test_jitter_is_least_where_it_cannot_be_removed() -> None:
    task_set = TaskSet(0.01, (task(0, 3, 2), task(1, 12, 2)), "must move")
    outcome = optimise(task_set, Options(objective="jitter", kept=frozenset({0, 1}), **FAST))
    horizon = range(12)
    least = min(
        measure(task_set, schedule).jitter_s2
        for offsets in itertools.product(range(2), repeat=4)
        for other in horizon
        if not violations(
            task_set,
            schedule := Schedule(12, {0: tuple(3 * k + o for k, o in enumerate(offsets)), 1: (other,)}),
        )
    )
    assert least > 0
    assert outcome.value == pytest.approx(least)
    assert outcome.status == "optimal"


def test_makespan_is_the_earliest_end() -> None:
    task_set = TaskSet(0.01, (task(0, 8, 3), task(1, 8, 2)), "back to back")
    outcome = optimise(task_set, Options(objective="makespan", **FAST))
    assert (outcome.value, outcome.bound, outcome.status) == (0.05, 0.05, "optimal")


def test_a_step_of_the_neighbourhood_search_repairs_a_bad_start() -> None:
    task_set = contended(30)
    horizon = task_set.hyperperiod_slots
    rates = [horizon // one.period_slots for one in task_set.tasks]
    placement = Placement(task_set.tasks, (), horizon)
    worst = {29: Timetable(horizon).earliest_starts(task_set.tasks[29])}
    best = improve(placement, rates, worst, sum(rates), Options(workers=1), Clock(1.5))
    assert sum(rates[i] for i in best) > rates[29]
    judge(task_set, Schedule(horizon, {task_set.tasks[i].task_id: s for i, s in best.items()}))


def test_the_same_seed_gives_the_same_schedule() -> None:
    one, other = (optimise(contended(), Options(seed=5, **FAST)) for _ in range(2))
    assert one.schedule == other.schedule


def test_no_tasks_are_an_optimal_empty_schedule() -> None:
    outcome = optimise(TaskSet(0.01, ()))
    assert (outcome.status, outcome.value, dict(outcome.schedule.starts)) == ("optimal", 0.0, {})


def test_an_interrupt_returns_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    task_set = contended(40)
    monkeypatch.setattr(Changer, "improve", lambda _self, starts, *_: starts)
    monkeypatch.setattr(PlacementModel, "solve", interrupt)
    outcome = optimise(task_set, Options(**FAST))
    assert outcome.interrupted
    assert outcome.schedule.starts
    judge(task_set, outcome.schedule)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"objective": "speed"}, "objective 'speed'"),
        ({"mode": "guess"}, "mode 'guess'"),
        ({"time_limit_s": 0}, "time limit"),
        ({"time_limit_s": float("nan")}, "time limit"),
        ({"workers": 0}, "workers"),
        ({"seed": -1}, "seed"),
        ({"weights": {3: -1.0}}, "task 3"),
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueRefusedError, match=complaint):
        Options(**wrong)


@pytest.mark.parametrize("name", ["star_F0.65_L60.0_s1", "surfnet_F0.98_L60.0_s1", "line_F0.65_L20.0_s1"])
def test_shared_sets_are_proven_optimal(shared_data: Path, name: str) -> None:
    task_set = load_task_set(shared_data / "entanglement" / "tasksets" / f"{name}.json")
    outcome = optimise(task_set, Options(time_limit_s=300))  # it ends when it is proven, in seconds
    judge(task_set, outcome.schedule)
    assert outcome.status == "optimal"
