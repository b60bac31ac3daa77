"""How many instances can run at all on a few machines that are held together: an exact relaxation.

A knapsack adds up how long each machine is held, and so lets every machine be busy all the time. Where tasks
hold several machines at once that cannot be: what fits closely on one leaves gaps on another. Here instances
of some kinds of tasks are put one after another, each as early as its separations from all earlier ones
allow, without periods and with as many of each kind as one likes. The state of such a sequence is the
earliest start of each kind; of two sequences of equally many instances the one that is nowhere later is
enough (dynamic programming with dominance), and a sequence is dropped once the machines, at what their time
is worth, no longer hold enough for the number in question. A number that no sequence reaches bounds the
instances of all schedules together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schedulers.entanglement.cpsat.conflicts import NO_CONFLICT, Machine
from schedulers.entanglement.tasks import PeriodicTask

MOST_MACHINES = 4
MOST_SETS = 6
"""Sets of machines that are looked at, each around one of the scarcest machines."""

MOST_KINDS = 40
MOST_STATES, MOST_NEW_STATES = 3_000, 40_000
"""States of one length, without and with those that others beat, above which a number is left undecided."""

LOOK_EVERY = 500
"""States between two looks at the clock."""

MOST_INSTANCES = 400
ALIKE = 0.7
"""Machines of which more of the users are common say nearly the same; only one of them is taken."""

_TOLERANCE = 1e-6

Enough = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class InstanceLimit:
    """At most so many instances of some tasks run in a hyperperiod, whoever is admitted.

    Attributes
    ----------
    tasks
        Indices of the tasks, which count together.
    most
        The number of their instances that nothing surpasses.
    """

    tasks: frozenset[int]
    most: int


@dataclass(frozen=True, slots=True)
class Scarcity:
    """What the linear relaxation of a problem says.

    Attributes
    ----------
    loads
        For each task the instances in a hyperperiod that it would like to run.
    shares
        For each machine how much of the bound rests on it.
    """

    loads: NDArray[np.float64]
    shares: NDArray[np.float64]


@dataclass(frozen=True)
class _Kinds:
    """Kinds of tasks: how far apart they start, their last starts, and how they hold machines.

    ``apart[i, j]`` is how much later than one of kind ``i`` one of kind ``j`` starts at least; `lengths` and
    `ends` have a row for each kind and a column for each machine, 0 and very little where it is not held.
    """

    apart: NDArray[np.int64]
    last_start: NDArray[np.int64]
    lengths: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        members: Sequence[Sequence[int]],
        separation: NDArray[np.int64],
        machines: Sequence[Machine],
        last_starts: NDArray[np.int64],
    ) -> _Kinds:
        """Make kinds of tasks; of several tasks a kind takes what is easiest."""
        count = len(members)
        # Only where a separation is positive both ways do instances run in the order of their starts.
        ordered = np.where((separation > 0) & (separation.T > 0), separation, NO_CONFLICT)
        apart = np.empty((count, count), dtype=np.int64)
        for row, some in enumerate(members):
            for column, others in enumerate(members):
                apart[row, column] = ordered[np.ix_(some, others)].min()
        lengths = np.zeros((count, len(machines)), dtype=np.int64)
        ends = np.full((count, len(machines)), NO_CONFLICT, dtype=np.int64)
        for column, machine in enumerate(machines):
            for row, some in enumerate(members):
                if not all(index in machine.intervals for index in some):
                    continue
                begin = max(machine.intervals[index][0][0] for index in some)
                end = min(machine.intervals[index][0][1] for index in some)
                if begin < end:
                    lengths[row, column], ends[row, column] = end - begin, end
        return cls(apart, np.array([last_starts[list(some)].max() for some in members]), lengths, ends)


def _undominated(states: NDArray[np.int64], width: int, enough: Enough) -> NDArray[np.int64] | None:
    """Leave out every state nowhere earlier than another in its first columns; None if too many stay."""
    states = np.unique(states, axis=0)
    states = states[np.argsort(states[:, :width].sum(axis=1), kind="stable")]
    kept = np.empty((len(states), width), dtype=np.int64)
    numbers: list[int] = []
    for number, state in enumerate(states[:, :width]):
        if len(numbers) > MOST_STATES or (number % LOOK_EVERY == 0 and enough()):
            return None
        if not (kept[: len(numbers)] <= state).all(axis=1).any():
            kept[len(numbers)] = state
            numbers.append(number)
    return states[numbers]


class _Sequences:
    """Sequences of instances of some kinds.

    Parameters
    ----------
    kinds
        The kinds.
    begins, closes
        For each machine the first slot in which it can be held, and the one after the last.
    """

    def __init__(self, kinds: _Kinds, begins: NDArray[np.int64], closes: NDArray[np.int64]) -> None:
        from scipy.optimize import linprog

        self._kinds = kinds
        answer = linprog(
            closes - begins, A_ub=-kinds.lengths, b_ub=-np.ones(len(kinds.apart)), method="highs"
        )
        self.priced = answer.x is not None  # else some kind holds none of the machines
        price = answer.x if answer.x is not None else np.zeros(len(begins))
        dear = price > _TOLERANCE
        self._price, self._begins, self._closes = price[dear], begins[dear], closes[dear]
        self._ends = kinds.ends[:, dear]

    def _longer(self, states: NDArray[np.int64]) -> Iterable[NDArray[np.int64]]:
        """Put one more instance at the end of each sequence, of every kind."""
        kinds = self._kinds
        width = len(kinds.apart)
        for kind in range(width):
            fits = states[:, kind] <= kinds.last_start[kind]
            after = states[fits]
            start = after[:, kind, None].copy()
            after[:, :width] = np.maximum(after[:, :width], start)
            after[:, :width] = np.maximum(after[:, :width], start + kinds.apart[kind])
            after[:, width:] = np.maximum(after[:, width:], start + self._ends[kind])
            yield after

    def reach(self, count: int, enough: Enough) -> bool:
        """Whether so many instances can run one after another; True also where that was left undecided."""
        width = len(self._kinds.apart)
        states = np.concatenate([np.zeros(width, dtype=np.int64), self._begins])[None, :]
        for done in range(1, count + 1):
            states = np.concatenate(list(self._longer(states)))
            left = (self._closes - states[:, width:]) @ self._price
            states = states[left >= count - done - _TOLERANCE]
            if len(states) == 0:
                return False
            if len(states) > MOST_NEW_STATES:
                return True
            kept = _undominated(states, width, enough)
            if kept is None:
                return True
            states = kept
        return True


def _machine_sets(machines: Sequence[Machine], shares: NDArray[np.float64]) -> list[tuple[Machine, ...]]:
    """Choose small sets of machines that are scarce and held together."""

    def alike(one: Machine, other: Machine) -> bool:
        both = len(one.intervals.keys() & other.intervals.keys())
        return both > ALIKE * len(one.intervals.keys() | other.intervals.keys())

    scarcest: list[Machine] = []
    totals: list[float] = []  # of each and those alike
    for number in np.argsort(-shares, kind="stable"):
        if shares[number] <= _TOLERANCE:
            break
        same = [k for k, other in enumerate(scarcest) if alike(machines[number], other)]
        if same:
            totals[same[0]] += shares[number]
        else:
            scarcest.append(machines[number])
            totals.append(float(shares[number]))
    order = sorted(range(len(scarcest)), key=lambda k: -totals[k])
    found: dict[frozenset[int], tuple[Machine, ...]] = {}
    for seed in order[:MOST_SETS]:
        chosen = [seed]
        users = set(scarcest[seed].intervals)
        while len(chosen) < MOST_MACHINES:
            joined = [k for k in order if k not in chosen and users & scarcest[k].intervals.keys()]
            if not joined:
                break
            chosen.append(joined[0])
            users |= scarcest[joined[0]].intervals.keys()
        found[frozenset(chosen)] = tuple(scarcest[k] for k in chosen)
    return [chosen for chosen in found.values() if len(chosen) > 1]


def _finer(tasks: Sequence[PeriodicTask], members: Sequence[int]) -> list[list[list[int]]]:
    """Sort tasks into kinds: by their end nodes and length, then every task for itself, if they are few."""
    coarse: dict[tuple[str, str, int], list[int]] = {}
    for index in members:
        task = tasks[index]
        coarse.setdefault((task.source, task.destination, task.exec_slots), []).append(index)
    ways = [list(coarse.values()), [[index] for index in members]]
    return [kinds for kinds in ways if len(kinds) <= MOST_KINDS]


def _in_order_of_starts(machine: Machine, separation: NDArray[np.int64]) -> bool:
    """Whether the separations alone make the users of a machine hold it one after another as they start."""
    if any(len(stays) > 1 for stays in machine.intervals.values()):
        return False
    users = list(machine.intervals)
    begin = np.array([machine.intervals[index][0][0] for index in users])
    end = np.array([machine.intervals[index][0][1] for index in users])
    apart = separation[np.ix_(users, users)]
    return bool((apart > 0).all() and (end[:, None] - begin[None, :] <= apart).all())


class SequenceBounds:
    """Limits on how many instances of some tasks can run.

    Parameters
    ----------
    tasks
        The tasks.
    separation
        How far apart they start (`conflicts.separations`).
    machines
        What they compete for (indices refer to `tasks`).
    hyperperiod_slots
        A multiple of every period.
    """

    def __init__(
        self,
        tasks: Sequence[PeriodicTask],
        separation: NDArray[np.int64],
        machines: Sequence[Machine],
        hyperperiod_slots: int,
    ) -> None:
        self._tasks, self._separation, self._machines = tasks, separation, machines
        self._ordered = [one for one in machines if _in_order_of_starts(one, separation)]
        self._last_starts = np.array([hyperperiod_slots - task.exec_slots for task in tasks])

    def limits(self, scarcity: Scarcity, enough: Enough = lambda: False) -> list[InstanceLimit]:
        """Find limits that the solution of the linear relaxation breaks.

        Parameters
        ----------
        scarcity
            What that relaxation says.
        enough
            Asked now and then whether to stop.
        """
        found: dict[frozenset[int], int] = {}
        for chosen in _machine_sets(self._machines, scarcity.shares):
            everyone = sorted(set().union(*(machine.intervals for machine in chosen)))
            for least in sorted({self._tasks[index].exec_slots for index in everyone})[:MOST_MACHINES]:
                members = [index for index in everyone if self._tasks[index].exec_slots >= least]
                wished = int(np.ceil(scarcity.loads[members].sum() - _TOLERANCE))
                most = self._most(members, wished, enough)
                if most < wished:
                    found[frozenset(members)] = most
        return [InstanceLimit(members, most) for members, most in found.items()]

    def _most(self, members: Sequence[int], wished: int, enough: Enough) -> int:
        """Give the least number below what is wished, or that, of which no more is known to run."""
        most = wished
        machines = [machine for machine in self._ordered if machine.intervals.keys() & set(members)]
        if wished > MOST_INSTANCES or not machines:
            return wished
        begins = np.array([min(stays[0][0] for stays in one.intervals.values()) for one in machines])
        closes = np.array(
            [
                max(int(self._last_starts[i]) + stays[-1][1] for i, stays in one.intervals.items())
                for one in machines
            ]
        )
        for kinds in _finer(self._tasks, members):
            table = _Kinds.of(kinds, self._separation, machines, self._last_starts)
            sequences = _Sequences(table, begins, closes)
            while sequences.priced and most > 0 and not enough() and not sequences.reach(most, enough):
                most -= 1
        return most
