"""Where a task may be interrupted, and what each part between two such points takes.

A task may be cut at the offsets that no operation runs across. The segment before a cut locks the qubits
whose last operation left an entangled state on them: nobody else may have them until the task goes on.
A task whose operations are not known is one segment.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schedulers.entanglement.bitsets import word_count
from schedulers.entanglement.packing import IntArray, qubit_indices
from schedulers.entanglement.tasks import PeriodicTask, TaskSet


class PackedSegments(NamedTuple):
    """The segments of all tasks in flat arrays; times in slots.

    Attributes
    ----------
    segments_of, begin, length
        Where the segments of task ``i`` lie, shape (tasks + 1,), and for each where it begins in task time
        and how long it takes.
    stays_of, stay_qubit, stay_begin, stay_end
        Where the stays of a segment lie, shape (segments + 1,), and for each the qubit and ``[begin, end)``
        counted from the start of the segment.
    locks_of, lock_qubit
        Where the qubits lie that a segment leaves locked, shape (segments + 1,), and which they are.
    needed, locked
        For each segment the qubits that the task needs from there on, and those that it leaves locked, as
        bits, shape (segments, words).
    qubit_count
        How many qubits there are, as an array of shape (1,).
    """

    segments_of: IntArray
    begin: IntArray
    length: IntArray
    stays_of: IntArray
    stay_qubit: IntArray
    stay_begin: IntArray
    stay_end: IntArray
    locks_of: IntArray
    lock_qubit: IntArray
    needed: npt.NDArray[np.uint64]
    locked: npt.NDArray[np.uint64]
    qubit_count: IntArray


def cut_points(task: PeriodicTask) -> list[int]:
    """List where the segments of a task begin and end: 0, every offset at which it may be cut, its length."""
    if not task.operations:
        return [0, task.exec_slots]
    inside = {
        offset
        for operation in task.operations
        for offset in range(operation.offset_slots + 1, operation.offset_slots + operation.duration_slots)
    }
    return [0, *(offset for offset in range(1, task.exec_slots) if offset not in inside), task.exec_slots]


def locked_qubits(task: PeriodicTask, cut_slots: int) -> list[str]:
    """Name the qubits that hold a state of the task at a cut, sorted; none at its end."""
    if cut_slots >= task.exec_slots:
        return []
    state: dict[str, bool] = {}
    for operation in sorted(task.operations, key=lambda operation: operation.offset_slots):
        if operation.offset_slots + operation.duration_slots <= cut_slots:
            state |= {qubit: qubit in operation.locked_qubits for qubit in operation.qubits}
    return sorted(qubit for qubit, locked in state.items() if locked)


def _mask(qubits: list[int], words: int) -> npt.NDArray[np.uint64]:
    row = np.zeros(words, dtype=np.uint64)
    for qubit in qubits:
        row[qubit >> 6] |= np.uint64(1 << (qubit & 63))
    return row


class _Builder:
    """Gathers the arrays of `PackedSegments`, segment by segment."""

    def __init__(self, task_set: TaskSet, *, whole: bool) -> None:
        self.index_of = qubit_indices(task_set)
        self.words = max(1, word_count(len(self.index_of)))
        self.whole = whole
        self.spans: list[tuple[int, int]] = []
        self.stays: list[tuple[int, int, int]] = []
        self.locks: list[int] = []
        self.stays_of, self.locks_of = [0], [0]
        self.needed: list[npt.NDArray[np.uint64]] = []
        self.locked: list[npt.NDArray[np.uint64]] = []

    def add(self, task: PeriodicTask, begin: int, end: int) -> None:
        """Add one segment of a task."""
        needed = [self.index_of[q] for q, stays in task.occupancy.items() if stays and stays[-1][1] > begin]
        locks = [self.index_of[qubit] for qubit in locked_qubits(task, end) if qubit in self.index_of]
        if self.whole:
            self.stays += [(qubit, 0, end - begin) for qubit in needed]
        else:
            self.stays += [
                (self.index_of[qubit], max(first, begin) - begin, min(last, end) - begin)
                for qubit, stays in task.occupancy.items()
                for first, last in stays
                if max(first, begin) < min(last, end)
            ]
        self.spans.append((begin, end - begin))
        self.locks += locks
        self.stays_of.append(len(self.stays))
        self.locks_of.append(len(self.locks))
        self.needed.append(_mask(needed, self.words))
        self.locked.append(_mask(locks, self.words))


def pack_segments(task_set: TaskSet, *, whole: bool = False) -> PackedSegments:
    """Lay the segments of a task set out in arrays.

    Parameters
    ----------
    task_set
        The tasks; their order is kept.
    whole
        Let a segment hold, from its start to its end, every qubit that the task still needs.
    """
    builder = _Builder(task_set, whole=whole)
    segments_of = [0]
    for task in task_set.tasks:
        for begin, end in pairwise(cut_points(task)):
            builder.add(task, begin, end)
        segments_of.append(len(builder.spans))
    spans = np.array(builder.spans, dtype=np.int64).reshape(-1, 2).T
    stays = np.array(builder.stays, dtype=np.int64).reshape(-1, 3).T
    words = builder.words
    return PackedSegments(
        segments_of=np.array(segments_of, dtype=np.int64),
        begin=np.ascontiguousarray(spans[0]),
        length=np.ascontiguousarray(spans[1]),
        stays_of=np.array(builder.stays_of, dtype=np.int64),
        stay_qubit=np.ascontiguousarray(stays[0]),
        stay_begin=np.ascontiguousarray(stays[1]),
        stay_end=np.ascontiguousarray(stays[2]),
        locks_of=np.array(builder.locks_of, dtype=np.int64),
        lock_qubit=np.array(builder.locks, dtype=np.int64),
        needed=np.array(builder.needed, dtype=np.uint64).reshape(-1, words),
        locked=np.array(builder.locked, dtype=np.uint64).reshape(-1, words),
        qubit_count=np.array([len(builder.index_of)], dtype=np.int64),
    )
