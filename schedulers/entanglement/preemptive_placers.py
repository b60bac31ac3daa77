"""The preemptive schedulers, prepared for a task set: what the registry's names stand for."""

from __future__ import annotations

import numpy as np

from schedulers.entanglement.packing import IntArray, pack
from schedulers.entanglement.preemption_points import pack_segments
from schedulers.entanglement.preemptive_processor import place_preemptive
from schedulers.entanglement.scheduler import Placement, Placer
from schedulers.entanglement.segment_scheduling import place_segments
from schedulers.entanglement.tasks import TaskSet


def _budgets(task_set: TaskSet, budget_slots: int | None) -> IntArray:
    own = [task.preemption_budget_slots for task in task_set.tasks]
    return np.array(own if budget_slots is None else [budget_slots] * len(own), dtype=np.int64)


def _joined(rows: IntArray) -> IntArray:
    """Join rows of instance, start, length that follow each other without an interruption."""
    joins = np.zeros(len(rows), dtype=bool)
    joins[1:] = (rows[1:, 0] == rows[:-1, 0]) & (rows[1:, 1] == rows[:-1, 1] + rows[:-1, 2])
    begins = np.flatnonzero(~joins)
    found = rows[begins].copy()
    found[:, 2] = np.add.reduceat(rows[:, 2], begins)
    return found


def _placement(members: tuple[int, ...], hyperperiod_slots: int, rows: IntArray) -> Placement:
    """Make a placement of rows of instance, start, length, ordered by instance and start."""
    parts = _joined(rows)
    firsts = np.flatnonzero(np.diff(parts[:, 0], prepend=-1))
    return Placement(members, hyperperiod_slots, parts[firsts, 1], parts)


def _segment_placer(task_set: TaskSet, budget_slots: int | None, *, whole: bool) -> Placer:
    tasks, segments = pack(task_set), pack_segments(task_set, whole=whole)
    budgets = _budgets(task_set, budget_slots)

    def place(members: tuple[int, ...], hyperperiod_slots: int) -> Placement | None:
        chosen = np.array(members, dtype=np.int64)
        starts = place_segments(tasks, segments, chosen, hyperperiod_slots, budgets)
        if not starts.size:
            return None
        counts = hyperperiod_slots // tasks.period[chosen]
        widths = segments.segments_of[chosen + 1] - segments.segments_of[chosen]
        lengths = [
            np.tile(segments.length[segments.segments_of[m] : segments.segments_of[m + 1]], count)
            for m, count in zip(members, counts, strict=True)
        ]
        instances = np.repeat(np.arange(counts.sum()), np.repeat(widths, counts))
        rows = np.column_stack([instances, starts, np.concatenate(lengths)])
        return _placement(members, hyperperiod_slots, rows)

    return place


def segments_blocked(task_set: TaskSet, budget_slots: int | None = None) -> Placer:
    """Prepare RCPSP-PBS."""
    return _segment_placer(task_set, budget_slots, whole=True)


def segments_interleaved(task_set: TaskSet, budget_slots: int | None = None) -> Placer:
    """Prepare RCPSP-PB."""
    return _segment_placer(task_set, budget_slots, whole=False)


def single_preemptive(task_set: TaskSet, budget_slots: int | None = None) -> Placer:
    """Prepare PTS-PB."""
    tasks, segments = pack(task_set), pack_segments(task_set)
    budgets = _budgets(task_set, budget_slots)

    def place(members: tuple[int, ...], hyperperiod_slots: int) -> Placement | None:
        chosen = np.array(members, dtype=np.int64)
        parts = place_preemptive(tasks, segments, chosen, hyperperiod_slots, budgets)
        if not parts.size:
            return None
        counts = hyperperiod_slots // tasks.period[chosen]
        first_instance = np.cumsum(counts) - counts
        rows = np.column_stack([first_instance[parts[:, 0]] + parts[:, 1], parts[:, 2], parts[:, 3]])
        return _placement(members, hyperperiod_slots, rows[np.lexsort((rows[:, 1], rows[:, 0]))])

    return place
