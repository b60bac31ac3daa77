"""Every scheduler of the registry on made task sets, judged by the independent `verify`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from made_task_sets import task_sets

from schedulers.entanglement.admission import admit, place_all
from schedulers.entanglement.metrics import measure
from schedulers.entanglement.scheduler import SCHEDULERS, get_scheduler
from schedulers.entanglement.tasks import TaskSet
from schedulers.entanglement.verify import verify

every_scheduler = pytest.mark.parametrize("name", SCHEDULERS)


@every_scheduler
@settings(max_examples=80)
@given(task_set=task_sets())
def test_what_it_admits_is_a_valid_schedule(name: str, task_set: TaskSet) -> None:
    schedule = admit(task_set, get_scheduler(name))
    verify(task_set, schedule)
    assert list(schedule.starts) == [t.task_id for t in task_set.tasks if t.task_id in schedule.starts]
    assert measure(task_set, schedule).throughput_ebit_per_s <= task_set.offered_ebit_per_s + 1e-9


@every_scheduler
@settings(max_examples=30)
@given(task_set=task_sets(4))
def test_all_at_once_agrees_with_admitting_all(name: str, task_set: TaskSet) -> None:
    everything = place_all(task_set, get_scheduler(name))
    admitted = admit(task_set, get_scheduler(name))
    if everything is not None:
        verify(task_set, everything)
    if len(admitted.starts) == len(task_set.tasks):
        assert everything == admitted


@every_scheduler
@settings(max_examples=20)
@given(task_set=task_sets())
def test_the_same_task_set_gives_the_same_schedule(name: str, task_set: TaskSet) -> None:
    assert admit(task_set, get_scheduler(name)) == admit(task_set, get_scheduler(name))


@pytest.mark.parametrize("name", [s.name for s in SCHEDULERS.values() if s.preemptive])
@pytest.mark.parametrize("budget", [0, 2, 20])
@settings(max_examples=40)
@given(task_set=task_sets())
def test_a_budget_for_all_is_kept(name: str, budget: int, task_set: TaskSet) -> None:
    verify(task_set, admit(task_set, get_scheduler(name, budget)), budget)
