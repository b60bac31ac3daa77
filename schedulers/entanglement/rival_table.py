"""Which starts of two tasks exclude each other, for all pairs at once, in flat arrays (compiled)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qos.compiled import compiled
from schedulers.entanglement.packing import IntArray, PackedTasks

SmallIntArray = npt.NDArray[np.int32]

_SHIFT = 32
"""Bits of a sort key below the number of the other task; the lowest difference is in them."""
_HALF = 1 << 31


class RivalTable(NamedTuple):
    """For every task the tasks that share a qubit with it, and the differences of starts at which they meet.

    Attributes
    ----------
    ranges_of, other, low, high
        ``ranges_of[i] : ranges_of[i + 1]`` are the ranges of task ``i``, ordered by the other task: it and
        the other meet if ``start(other) - start(i)`` is in ``[low, high)``. The ranges of a pair are disjoint
        and do not touch.
    near_of, near
        ``near_of[i] : near_of[i + 1]`` are the other tasks, each once, in ascending order.
    """

    ranges_of: IntArray
    other: SmallIntArray
    low: SmallIntArray
    high: SmallIntArray
    near_of: IntArray
    near: IntArray


def stay_pairs(tasks: PackedTasks) -> int:
    """Count the pairs of stays on one qubit: what a table costs to make (some 10 million a second)."""
    stays = np.bincount(tasks.stay_qubit, minlength=1)
    return int((stays * stays).sum())


@compiled
def _longer(array: SmallIntArray) -> SmallIntArray:
    """Copy an array into one twice as long."""
    result = np.empty(2 * array.size, dtype=np.int32)
    for place in range(array.size):  # to assign slices takes seconds to compile
        result[place] = array[place]
    return result


@compiled
def _ranges(
    tasks: PackedTasks, stays_on: IntArray, stay: IntArray
) -> tuple[IntArray, SmallIntArray, SmallIntArray, SmallIntArray]:
    """Gather all ranges; ``stay[stays_on[q] : stays_on[q + 1]]`` are the stays on qubit ``q``."""
    count = tasks.period.size
    owner = np.empty(tasks.stay_qubit.size, dtype=np.int64)
    for task in range(count):
        for mine in range(tasks.stays_of[task], tasks.stays_of[task + 1]):
            owner[mine] = task
    ranges_of = np.zeros(count + 1, dtype=np.int64)
    other = np.empty(1024, dtype=np.int32)
    low, high = np.empty(1024, dtype=np.int32), np.empty(1024, dtype=np.int32)
    size = 0
    for task in range(count):
        most = 0
        for mine in range(tasks.stays_of[task], tasks.stays_of[task + 1]):
            most += stays_on[tasks.stay_qubit[mine] + 1] - stays_on[tasks.stay_qubit[mine]]
        keys, ends = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
        found = 0
        for mine in range(tasks.stays_of[task], tasks.stays_of[task + 1]):
            qubit = tasks.stay_qubit[mine]
            for place in range(stays_on[qubit], stays_on[qubit + 1]):
                theirs = stay[place]
                if owner[theirs] == task:
                    continue
                lowest = tasks.stay_begin[mine] - tasks.stay_end[theirs] + 1
                keys[found] = (owner[theirs] << _SHIFT) + lowest + _HALF
                ends[found] = tasks.stay_end[mine] - tasks.stay_begin[theirs]
                found += 1
        first = size
        for at in np.argsort(keys[:found]):
            rival = keys[at] >> _SHIFT
            lowest = (keys[at] & ((1 << _SHIFT) - 1)) - _HALF
            if size > first and other[size - 1] == rival and lowest <= high[size - 1]:
                high[size - 1] = max(high[size - 1], ends[at])
                continue
            if size == other.size:
                other, low, high = _longer(other), _longer(low), _longer(high)
            other[size], low[size], high[size] = rival, lowest, ends[at]
            size += 1
        ranges_of[task + 1] = size
    return ranges_of, other[:size].copy(), low[:size].copy(), high[:size].copy()


def rival_table(tasks: PackedTasks) -> RivalTable:
    """Make the table of a task set; `stay_pairs` says how much work that is."""
    stay = np.argsort(tasks.stay_qubit, kind="stable")
    stays_on = np.searchsorted(tasks.stay_qubit[stay], np.arange(tasks.qubit_count[0] + 1))
    ranges_of, other, low, high = _ranges(tasks, stays_on, stay)
    first = np.ones(other.size, dtype=bool)
    first[1:] = other[1:] != other[:-1]
    first[ranges_of[:-1][ranges_of[:-1] < other.size]] = True
    near_of = np.concatenate([[0], np.cumsum(first)])[ranges_of]
    return RivalTable(ranges_of, other, low, high, near_of, other[first].astype(np.int64))
