"""The non-preemptive schedulers, prepared for a task set: what the registry's names stand for."""

from __future__ import annotations

import numpy as np

from schedulers.entanglement.critical_time import place_critical
from schedulers.entanglement.list_scheduling import place_list, shared_ends
from schedulers.entanglement.packing import IntArray, pack
from schedulers.entanglement.scheduler import Placement, Placer
from schedulers.entanglement.single_processor import place_single
from schedulers.entanglement.tasks import TaskSet


def _placement(members: tuple[int, ...], hyperperiod_slots: int, starts: IntArray) -> Placement | None:
    return Placement(members, hyperperiod_slots, starts) if starts.size else None


def _list_placer(task_set: TaskSet, *, whole: bool) -> Placer:
    tasks = pack(task_set, whole=whole)
    ends = shared_ends(tasks)

    def place(members: tuple[int, ...], hyperperiod_slots: int) -> Placement | None:
        starts = place_list(tasks, np.array(members, dtype=np.int64), hyperperiod_slots, ends)
        return _placement(members, hyperperiod_slots, starts)

    return place


def _single_placer(task_set: TaskSet, *, clairvoyant: bool) -> Placer:
    tasks = pack(task_set, whole=True)

    def place(members: tuple[int, ...], hyperperiod_slots: int) -> Placement | None:
        starts = place_single(tasks, np.array(members, dtype=np.int64), hyperperiod_slots, clairvoyant)
        return _placement(members, hyperperiod_slots, starts)

    return place


def list_interleaved(task_set: TaskSet, _budget_slots: int | None = None) -> Placer:
    """Prepare RCPSP-NP-EDF."""
    return _list_placer(task_set, whole=False)


def list_whole(task_set: TaskSet, _budget_slots: int | None = None) -> Placer:
    """Prepare RCPSP-NP-FPR."""
    return _list_placer(task_set, whole=True)


def single_edf(task_set: TaskSet, _budget_slots: int | None = None) -> Placer:
    """Prepare PTS-NP-EDF."""
    return _single_placer(task_set, clairvoyant=False)


def single_clairvoyant(task_set: TaskSet, _budget_slots: int | None = None) -> Placer:
    """Prepare PTS-CEDF."""
    return _single_placer(task_set, clairvoyant=True)


def list_clairvoyant(task_set: TaskSet, _budget_slots: int | None = None) -> Placer:
    """Prepare RCPSP-CEDF."""
    tasks = pack(task_set, whole=True)
    ends = shared_ends(tasks)

    def place(members: tuple[int, ...], hyperperiod_slots: int) -> Placement | None:
        starts = place_critical(tasks, np.array(members, dtype=np.int64), hyperperiod_slots, ends)
        return _placement(members, hyperperiod_slots, starts)

    return place
