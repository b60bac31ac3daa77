"""Which slots of every qubit are taken, as bit masks, and where in them a task still fits.

A mask of one hyperperiod is one Python integer, so that "every start at which this interval is free" is
a few shifts however long the interval is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from schedulers.entanglement.tasks import PeriodicTask


class Timetable:
    """The qubits of a network over one hyperperiod.

    Parameters
    ----------
    hyperperiod_slots
        Length of the table, a multiple of the period of every task placed in it.
    """

    def __init__(self, hyperperiod_slots: int) -> None:
        self.hyperperiod_slots = hyperperiod_slots
        self._busy: defaultdict[str, int] = defaultdict(int)

    def copy(self) -> Timetable:
        """Make an independent copy."""
        other = Timetable(self.hyperperiod_slots)
        other._busy.update(self._busy)
        return other

    def blocked_starts(self, task: PeriodicTask) -> int:
        """Compute the mask of the start slots at which the task would meet what is placed."""
        blocked = 0
        for qubit, intervals in task.occupancy.items():
            busy = self._busy.get(qubit, 0)
            if busy:
                for begin, end in intervals:
                    blocked |= _spread(busy, end - begin) >> (end - 1)
        return blocked

    def free_starts(self, task: PeriodicTask) -> list[int]:
        """Compute for each period the mask of its free starts; bit 0 is the period's first slot."""
        period = task.period_slots
        window = (1 << (period - task.exec_slots + 1)) - 1
        free = ~self.blocked_starts(task)
        return [part & window for part in _split(free, self.hyperperiod_slots // period, period)]

    def earliest_starts(self, task: PeriodicTask) -> tuple[int, ...] | None:
        """Choose the earliest free start in every period, the same offset in each where there is one.

        The offsets of a task with `max_jitter_slots` lie no further apart than that.

        Returns
        -------
        tuple of int, or None
            One start a period; None if some period has none free.
        """
        return self.choose_starts(task, lowest)

    def choose_starts(
        self, task: PeriodicTask, pick: Callable[[int], int], *, steady: bool = True
    ) -> tuple[int, ...] | None:
        """Choose a free start in every period, by a rule.

        Parameters
        ----------
        task
            Whose starts.
        pick
            Picks one of the set bits of a mask.
        steady
            Take the same offset in every period where there is one.

        Returns
        -------
        tuple of int, or None
            One start a period, within the jitter that the task allows; None if there are none.
        """
        windows = self.free_starts(task)
        if not all(windows):
            return None
        common = _everywhere(windows) if steady else 0
        if common:
            windows = [common]
        elif task.max_jitter_slots is not None:
            bases = _everywhere([_spread_down(window, task.max_jitter_slots + 1) for window in windows])
            if not bases:
                return None
            band = ((1 << (task.max_jitter_slots + 1)) - 1) << pick(bases)
            windows = [window & band for window in windows]
        offsets = [pick(window) for window in windows]
        if common:
            offsets *= self.hyperperiod_slots // task.period_slots
        return tuple(index * task.period_slots + offset for index, offset in enumerate(offsets))

    def place(self, task: PeriodicTask, starts: tuple[int, ...]) -> None:
        """Take the task's slots; the caller has seen to it that they are free."""
        for qubit, mask in self._masks(task, starts).items():
            self._busy[qubit] |= mask

    def remove(self, task: PeriodicTask, starts: tuple[int, ...]) -> None:
        """Give a placed task's slots back."""
        for qubit, mask in self._masks(task, starts).items():
            self._busy[qubit] &= ~mask

    @staticmethod
    def _masks(task: PeriodicTask, starts: tuple[int, ...]) -> dict[str, int]:
        begun = _bits(starts)
        masks = {}
        for qubit, intervals in task.occupancy.items():
            mask = 0
            for begin, end in intervals:
                mask |= _spread(begun << begin, end - begin)
            masks[qubit] = mask
        return masks


def _bits(places: tuple[int, ...]) -> int:
    """Make the mask that has the bits at some ascending places."""
    octets = bytearray(places[-1] // 8 + 1)
    for place in places:
        octets[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(octets, "little")


def _split(mask: int, count: int, length: int) -> list[int]:
    """Cut a mask into parts of equal length; by halves, so that a long one costs little more than a short."""
    if count == 1:
        return [mask & ((1 << length) - 1)]
    half = count // 2
    low = mask & ((1 << half * length) - 1)
    return _split(low, half, length) + _split(mask >> half * length, count - half, length)


def _spread(mask: int, length: int) -> int:
    """Set, with every bit, the ``length - 1`` bits above it."""
    done = 1
    while done < length:
        step = min(done, length - done)
        mask |= mask << step
        done += step
    return mask


def _spread_down(mask: int, length: int) -> int:
    """Set, with every bit, the ``length - 1`` bits below it, as far as there are any."""
    done = 1
    while done < length:
        step = min(done, length - done)
        mask |= mask >> step
        done += step
    return mask


def _everywhere(masks: list[int]) -> int:
    common = -1
    for mask in masks:
        common &= mask
    return common


def lowest(mask: int) -> int:
    """Give the place of the lowest bit of a mask that is not 0."""
    return (mask & -mask).bit_length() - 1
