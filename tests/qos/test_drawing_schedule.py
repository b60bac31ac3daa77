"""Gantt charts: written whole, in every format, the same bytes for the same schedule; refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qos.drawing_schedule import SUFFIXES, draw_schedule
from qos.errors import InputError, ValueRefusedError
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet

TASKS = tuple(
    PeriodicTask(
        i, f"t{i}", "a$", "b", 0.8, 16, 3, {f"{i % 3}-C0": ((0, 3),), f"1{i % 3}-S{i % 2}": ((1, 2),)}
    )
    for i in range(4)
)
SET = TaskSet(0.01, TASKS, "two $ signs")
SCHEDULE = Schedule(16, {0: (0,), 1: (4,), 3: (8,)}, {1: (((4, 1), (6, 2)),)})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_chart_is_written_and_the_same_every_time(suffix: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    draw_schedule(SET, SCHEDULE, first)
    draw_schedule(SET, SCHEDULE, second)
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.name, second.name])


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueRefusedError, match="suffixes"):
        draw_schedule(SET, SCHEDULE, tmp_path / "a.bmp")
    with pytest.raises(ValueRefusedError, match="nothing to draw"):
        draw_schedule(SET, Schedule(16, {}), tmp_path / "a.png")
    with pytest.raises(InputError, match="cannot be written"):
        draw_schedule(SET, SCHEDULE, tmp_path / "none" / "a.png")
    wide = replace(TASKS[0], occupancy={f"{i}-C0": ((0, 1),) for i in range(700)})
    with pytest.raises(ValueRefusedError, match="too many"):
        draw_schedule(TaskSet(0.01, (wide,)), Schedule(16, {0: (0,)}), tmp_path / "a.png")
