"""Who holds which qubit when, in a table that can be changed: for repair and for requests between tasks.

Slots are bits of Python integers, so that all starts of a task are judged at once: a start is free if for
every stay none of its slots is taken.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import pairwise

from schedulers.entanglement.preemption_points import locked_qubits
from schedulers.entanglement.tasks import Interval, PeriodicTask, Schedule, Segment

Stays = tuple[tuple[str, int, int], ...]
"""Qubit, begin and end of each stay."""


def _bits(begin: int, end: int) -> int:
    return (1 << end) - (1 << begin)


def _any_of_next(taken: int, length: int) -> int:
    """Mark each slot from which on one of `length` slots is taken."""
    found, covered = taken, 1
    while covered < length:
        step = min(covered, length - covered)
        found |= found >> step
        covered += step
    return found


def stays_from(occupancy: Mapping[str, Sequence[Interval]], start: int) -> Stays:
    """Shift an occupancy to a start."""
    return tuple((qubit, start + b, start + e) for qubit, spans in occupancy.items() for b, e in spans)


def interrupted_stays(task: PeriodicTask, parts: Sequence[Segment]) -> Stays:
    """Give the stays of an instance that runs in parts, with what it holds in between."""
    found: list[tuple[str, int, int]] = []
    done = 0
    for start, length in parts:
        for qubit, spans in task.occupancy.items():
            cut = [(max(b, done), min(e, done + length)) for b, e in spans]
            found += [(qubit, start + b - done, start + e - done) for b, e in cut if b < e]
        done += length
    done = 0
    for (start, length), (after, _) in pairwise(parts):
        done += length
        if after > start + length:
            found += [(qubit, start + length, after) for qubit in locked_qubits(task, done)]
    return tuple(found)


def stays_of_schedule(
    tasks: Mapping[int, PeriodicTask], schedule: Schedule
) -> Iterator[tuple[tuple[int, int], Stays]]:
    """Give the stays of every instance, named by task id and number."""
    for task_id, starts in schedule.starts.items():
        parts = schedule.segments.get(task_id)
        for instance, start in enumerate(starts):
            task = tasks[task_id]
            if parts is None:
                yield (task_id, instance), stays_from(task.occupancy, start)
            else:
                yield (task_id, instance), interrupted_stays(task, parts[instance])


class QubitTable:
    """Stays on qubits, each of a holder; a holder's stays come and go together."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._stays: dict[Hashable, Stays] = {}

    def put(self, holder: Hashable, stays: Stays) -> None:
        """Take stays that are free for a holder that has none."""
        self._stays[holder] = stays
        for qubit, begin, end in stays:
            self._taken[qubit] = self._taken.get(qubit, 0) | _bits(begin, end)

    def remove(self, holder: Hashable) -> Stays:
        """Give the stays of a holder back, and say what they were."""
        stays = self._stays.pop(holder)
        for qubit, begin, end in stays:
            self._taken[qubit] &= ~_bits(begin, end)
        return stays

    def begin(self, holder: Hashable) -> int:
        """Say when the first stay of a holder begins."""
        return min(begin for _, begin, _ in self._stays[holder])

    def in_the_way(self, stays: Stays) -> list[Hashable]:
        """List the holders of any slot of some stays."""
        wanted: dict[str, int] = {}
        for qubit, begin, end in stays:
            wanted[qubit] = wanted.get(qubit, 0) | _bits(begin, end)
        wanted = {qubit: bits for qubit, bits in wanted.items() if self._taken.get(qubit, 0) & bits}
        return [
            holder
            for holder, theirs in self._stays.items()
            if any(qubit in wanted and wanted[qubit] & _bits(begin, end) for qubit, begin, end in theirs)
        ]

    def free_starts(
        self, occupancy: Mapping[str, Sequence[Interval]], earliest: int, latest: int
    ) -> list[int]:
        """List the starts in ``[earliest, latest]`` at which all stays are free, ascending."""
        if latest < earliest:
            return []
        blocked = 0
        for qubit, spans in occupancy.items():
            taken = self._taken.get(qubit, 0)
            for begin, end in spans if taken else ():
                blocked |= _any_of_next(taken >> (earliest + begin), end - begin)
        return [earliest + i for i in range(latest - earliest + 1) if not blocked >> i & 1]
