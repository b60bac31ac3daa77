from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qos.errors import ValueRefusedError
from schedulers.entanglement.cpsat.online import OnlineScheduler
from schedulers.entanglement.tasks import PeriodicTask, TaskSet
from schedulers.entanglement.taskset_files import load_task_set
from schedulers.entanglement.verify import violations


def task(task_id: int, period: int, exec_slots: int, qubit: str = "a") -> PeriodicTask:
    return PeriodicTask(task_id, "t", "x", "y", 0.8, period, exec_slots, {qubit: ((0, exec_slots),)})


def judge(online: OnlineScheduler, *tasks: PeriodicTask) -> None:
    schedule = online.schedule
    table = TaskSet(0.01, tasks)
    assert schedule.hyperperiod_slots == table.hyperperiod_slots
    assert violations(table, schedule) == []


def test_a_demand_that_fits_moves_nobody() -> None:
    online = OnlineScheduler(8)
    first = task(0, 8, 3)
    assert online.offer(first).admitted
    before = online.schedule.starts[0]
    decision = online.offer(task(1, 8, 3))
    assert (decision.admitted, decision.moved) == (True, ())
    assert online.schedule.starts[0] == before
    judge(online, first, task(1, 8, 3))


def test_room_is_made_by_moving_others_that_stay_admitted() -> None:
    online = OnlineScheduler(16, repair_s=5.0)
    long = task(0, 16, 4)
    tight = task(1, 8, 6)
    assert online.offer(long).admitted
    online._timetable.remove(long, online._starts[0])
    online._put(long, (2,))  # in the way of the tight one wherever that runs in the first period
    decision = online.offer(tight)
    assert (decision.admitted, decision.moved) == (True, (0,))
    judge(online, long, tight)


def test_who_is_in_stays_in_when_others_are_refused() -> None:
    online = OnlineScheduler(4)
    assert online.offer(task(0, 4, 3)).admitted
    before = online.schedule
    assert not online.offer(task(1, 4, 2)).admitted
    assert online.schedule == before


def test_a_withdrawn_demand_leaves_its_slots() -> None:
    online = OnlineScheduler(4)
    assert online.offer(task(0, 4, 3)).admitted
    online.withdraw(0)
    assert online.offer(task(1, 4, 4)).admitted
    judge(online, task(1, 4, 4))


def test_a_new_period_lengthens_the_table() -> None:
    online = OnlineScheduler()
    for one in (task(0, 4, 1), task(1, 6, 1), task(2, 8, 1)):
        assert online.offer(one).admitted
    judge(online, task(0, 4, 1), task(1, 6, 1), task(2, 8, 1))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueRefusedError, match="hyperperiod 0"):
        OnlineScheduler(0)
    online = OnlineScheduler(4)
    online.offer(task(0, 4, 1))
    with pytest.raises(ValueRefusedError, match="admitted already"):
        online.offer(task(0, 4, 1))
    with pytest.raises(ValueRefusedError, match="not admitted"):
        online.withdraw(7)


def test_one_more_demand_on_surfnet_never_takes_another_out(shared_data: Path) -> None:
    tasks = load_task_set(shared_data / "entanglement" / "tasksets" / "surfnet_F0.98_L60.0_s1.json").tasks
    for last in tasks[:5]:
        online = OnlineScheduler(512)
        others = [one for one in tasks if one is not last]
        admitted = {one.task_id for one in others if online.offer(one).admitted}
        decision = online.offer(replace(last, task_id=1000))
        kept = set(online.schedule.starts)
        assert kept - {1000} == admitted
        assert decision.admitted == (1000 in kept)
