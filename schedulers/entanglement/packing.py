"""Task sets as flat arrays, the form that compiled schedulers work on.

Qubits and tasks become indices; ``x_of[i] : x_of[i + 1]`` is the part of a flat array that belongs to task
``i``. The tie between equal deadlines is broken by name, as the paper's code does: it compares the names of
instances, ``name|number``, as text.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schedulers.entanglement.tasks import TaskSet

IntArray = npt.NDArray[np.int64]


class PackedTasks(NamedTuple):
    """A task set in arrays; times in slots.

    Attributes
    ----------
    period, exec_time, rank
        For each task, shape (tasks,); the lower rank goes first where deadlines are equal.
    stays_of, stay_qubit, stay_begin, stay_end
        Where the intervals of task ``i`` lie, shape (tasks + 1,), and for each interval the qubit and
        ``[begin, end)`` in task time.
    qubits_of, qubit, last_end
        Where the qubits of task ``i`` lie, shape (tasks + 1,), and for each the index of the qubit and the
        end of its last interval.
    qubit_count
        How many qubits there are, as an array of shape (1,).
    """

    period: IntArray
    exec_time: IntArray
    rank: IntArray
    stays_of: IntArray
    stay_qubit: IntArray
    stay_begin: IntArray
    stay_end: IntArray
    qubits_of: IntArray
    qubit: IntArray
    last_end: IntArray
    qubit_count: IntArray


def name_ranks(names: list[str]) -> IntArray:
    """Rank names as the paper's code compares the names of instances, ties by order of arrival."""
    order = sorted(range(len(names)), key=lambda index: (names[index] + "|", index))
    ranks = np.empty(len(names), dtype=np.int64)
    ranks[order] = np.arange(len(names))
    return ranks


def qubit_indices(task_set: TaskSet) -> dict[str, int]:
    """Give each qubit that the tasks use a number, in the order of the names."""
    names = {qubit for task in task_set.tasks for qubit, stays in task.occupancy.items() if stays}
    return {name: index for index, name in enumerate(sorted(names))}


def pack(task_set: TaskSet, *, whole: bool = False) -> PackedTasks:
    """Lay a task set out in arrays.

    Parameters
    ----------
    task_set
        The tasks; their order is kept.
    whole
        Let a task hold each of its qubits from its start to its end.
    """
    index_of = qubit_indices(task_set)
    stays: list[tuple[int, int, int]] = []
    qubits: list[tuple[int, int]] = []
    stays_of, qubits_of = [0], [0]
    for task in task_set.tasks:
        length = task.exec_slots
        for name, intervals in task.occupancy.items():
            if not intervals:
                continue
            index = index_of[name]
            used = ((0, length),) if whole else intervals
            stays.extend([(index, begin, end) for begin, end in used])
            qubits.append((index, used[-1][1]))
        stays_of.append(len(stays))
        qubits_of.append(len(qubits))
    stay_table = np.array(stays, dtype=np.int64).reshape(-1, 3).T
    qubit_table = np.array(qubits, dtype=np.int64).reshape(-1, 2).T
    return PackedTasks(
        period=np.array([task.period_slots for task in task_set.tasks], dtype=np.int64),
        exec_time=np.array([task.exec_slots for task in task_set.tasks], dtype=np.int64),
        rank=name_ranks([task.name for task in task_set.tasks]),
        stays_of=np.array(stays_of, dtype=np.int64),
        stay_qubit=np.ascontiguousarray(stay_table[0]),
        stay_begin=np.ascontiguousarray(stay_table[1]),
        stay_end=np.ascontiguousarray(stay_table[2]),
        qubits_of=np.array(qubits_of, dtype=np.int64),
        qubit=np.ascontiguousarray(qubit_table[0]),
        last_end=np.ascontiguousarray(qubit_table[1]),
        qubit_count=np.array([len(index_of)], dtype=np.int64),
    )
