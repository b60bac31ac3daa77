"""The figures of a schedule, on tables small enough to do by hand."""

from __future__ import annotations

import pytest

from schedulers.entanglement.metrics import jain_index, measure
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet


def task(task_id: int, period: int, exec_slots: int, qubit: str = "a-C0") -> PeriodicTask:
    return PeriodicTask(
        task_id, f"t{task_id}", "a", "b", 0.8, period, exec_slots, {qubit: ((0, exec_slots),)}
    )


SET = TaskSet(0.01, (task(0, 10, 2), task(1, 40, 5, "b-C0"), task(2, 20, 4)))


def test_throughput_counts_one_pair_a_period_of_the_admitted_tasks() -> None:
    found = measure(SET, Schedule(40, {0: (0, 10, 20, 30), 1: (3,)}))
    assert found.throughput_ebit_per_s == pytest.approx(10 + 2.5)
    assert found.offered_ebit_per_s == pytest.approx(10 + 2.5 + 5)
    assert (found.admitted, found.demands) == (2, 3)


def test_the_same_offset_in_every_period_is_zero_jitter_exactly() -> None:
    found = measure(SET, Schedule(40, {0: (7, 17, 27, 37)}))
    assert found.jitter_s2 == 0
    assert found.wrapped_jitter_s2 == 0
    assert found.peak_to_peak_jitter_s == 0


def test_jitter_is_the_variance_of_the_steps_in_square_seconds() -> None:
    # Offsets 0, 2, 0, 2: steps +2, -2, +2, whose variance is 4 - (2/3)^2; the wrapped step is -2.
    found = measure(SET, Schedule(40, {0: (0, 12, 20, 32)}))
    assert found.jitter_s2 == pytest.approx((4 - 4 / 9) * 1e-4)
    assert found.wrapped_jitter_s2 == pytest.approx(4e-4)
    assert found.peak_to_peak_jitter_s == pytest.approx(0.02)


def test_two_instances_that_move_show_in_the_peak_to_peak_offset_only() -> None:
    found = measure(SET, Schedule(40, {2: (0, 29)}))
    assert found.jitter_s2 == 0
    assert found.peak_to_peak_jitter_s == pytest.approx(0.09)
    assert found.wrapped_jitter_s2 == pytest.approx(81e-4)


def test_response_runs_from_release_to_the_end_of_the_last_part() -> None:
    assert measure(SET, Schedule(40, {2: (3, 20)})).response_s == pytest.approx(0.07)
    cut = Schedule(40, {2: (3, 20)}, {2: (((3, 1), (10, 3)), ((20, 4),))})
    assert measure(SET, cut).response_s == pytest.approx(0.13)


def test_jain_is_one_for_equal_shares_and_one_nth_for_a_single_winner() -> None:
    assert jain_index([2.0, 2.0, 2.0]) == pytest.approx(1)
    assert jain_index([5.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain_index([0.0, 0.0]) == 0
    assert jain_index([]) == 0


def test_an_empty_schedule_has_zero_everywhere() -> None:
    found = measure(SET, Schedule(40, {}))
    assert (found.throughput_ebit_per_s, found.response_s, found.jain, found.admitted) == (0, 0, 0, 0)
