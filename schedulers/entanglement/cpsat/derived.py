"""Machines that no single qubit shows: groups of tasks of which every pair excludes each other.

Where the forbidden differences of the starts of every pair of a group contain a suitable range, the group
behaves like jobs on one machine: three storage qubits of which every task needs two, for instance. Task
``i`` may be said to hold such a machine over ``[a_i, b_i)``, counted from its start, if
``b_i - a_j <= w[i, j]`` for every ordered pair, with ``w`` of `conflicts.separations`. Which intervals are
best depends on who is to be served: `DerivedMachines.contended` makes some machines for the rates that the
demands ask for, `DerivedMachines.overloaded` those that a given choice of demands overloads, so that a
bound can be tightened round by round (a separation routine in the sense of cutting planes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from schedulers.entanglement.cpsat.conflicts import (
    NO_CONFLICT,
    Machine,
    qubit_machines,
    qubit_users,
    separations,
    uncovered,
)
from schedulers.entanglement.tasks import PeriodicTask

MAX_PAIRS = 60_000
"""Pairs that are compared where nothing else is said; many more take seconds."""

MAX_CLIQUE = 100
MAX_GROUPS = 16
"""Machines made at once, the most contended ones: in the solver each is one more constraint over all
instances of its tasks."""

MAX_TRIED = 48
"""Groups for which intervals are computed, each by a linear programme."""

_LOAD_TOLERANCE = 1e-6

Never = Callable[[], bool]


def _widest_intervals(
    separation: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose for each task of a group the interval that it holds, so that the weighted lengths are greatest.

    A linear programme with a totally unimodular matrix, so its corners are whole numbers.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    n = len(separation)
    i, j = (index.ravel() for index in np.indices((n, n)))
    row = np.arange(n * n)
    upper = coo_array((np.ones(n * n), (row, n + i)), shape=(n * n + n, 2 * n))
    upper += coo_array((-np.ones(n * n), (row, j)), shape=(n * n + n, 2 * n))
    own = np.arange(n)
    upper += coo_array((np.ones(n), (n * n + own, own)), shape=(n * n + n, 2 * n))
    upper += coo_array((-np.ones(n), (n * n + own, n + own)), shape=(n * n + n, 2 * n))
    limits = [(0.0, 0.0), *[(None, None)] * (2 * n - 1)]
    answer = linprog(
        np.concatenate([weights, -weights]),
        A_ub=upper.tocsr(),
        b_ub=np.concatenate([separation.ravel(), np.zeros(n)]),
        bounds=limits,
        method="highs",
    )
    if answer.x is None:  # some task would need a negative length: let it, and leave it out later
        answer = linprog(
            np.concatenate([weights, -weights]),
            A_ub=upper.tocsr()[: n * n],
            b_ub=separation.ravel(),
            bounds=limits,
            method="highs",
        )
    corners = np.rint(answer.x).astype(np.int64)
    return corners[:n], corners[n:]


class DerivedMachines:
    """The machines that can be derived from the conflicts of a set of tasks.

    Parameters
    ----------
    tasks
        The tasks; machines refer to them by index.
    most_pairs
        Pairs that share a qubit, counted once a qubit, above which nothing is derived.

    Attributes
    ----------
    separation
        How far apart the tasks start (`conflicts.separations`), None where there are too many.
    """

    def __init__(self, tasks: Sequence[PeriodicTask], most_pairs: int = MAX_PAIRS) -> None:
        self._tasks = tasks
        pairs = sum(len(users) ** 2 for users in qubit_users(tasks).values()) // 2
        self.separation: NDArray[np.int64] | None = None
        if pairs > most_pairs:
            return
        self._separation = self.separation = separations(tasks)
        self._conflict = self._separation > NO_CONFLICT
        total = self._separation + self._separation.T
        self._strength = np.where(self._conflict, total, NO_CONFLICT).astype(np.float64)
        self._rates = np.array([1 / task.period_slots for task in tasks])

    def contended(self) -> list[Machine]:
        """Make the machines that matter most if everybody were served."""
        if self.separation is None:
            return []
        groups = self._busiest(self._rates)
        made = [machine for group in groups if (machine := self._machine(group, self._rates)) is not None]
        return sorted(made, key=lambda machine: -self._load(machine, self._rates))[:MAX_GROUPS]

    def overloaded(
        self, admitted: NDArray[np.float64], hyperperiod_slots: int, enough: Never = lambda: False
    ) -> list[Machine]:
        """Find machines on which a choice of tasks needs more than all the time there is.

        Parameters
        ----------
        admitted
            How much of each task is admitted, in [0, 1].
        hyperperiod_slots
            A multiple of every period.
        enough
            Asked between machines whether to stop.

        Returns
        -------
        list of Machine
            The most overloaded ones, the worst first; empty where the choice overloads none that is found.
        """
        if self.separation is None:
            return []
        loads = np.clip(admitted, 0, 1) * self._rates * hyperperiod_slots
        found: list[tuple[float, Machine]] = []
        for group in self._busiest(loads):
            if enough():
                break
            machine = self._machine(group, loads)
            if machine is None:
                continue
            over = self._load(machine, loads) - machine.span_slots(self._tasks, hyperperiod_slots)
            if over > _LOAD_TOLERANCE:
                found.append((over, self._lifted(machine)))
        found.sort(key=lambda one: -one[0])
        return [machine for _, machine in found[:MAX_GROUPS]]

    @staticmethod
    def _load(machine: Machine, loads: NDArray[np.float64]) -> float:
        return float(sum(machine.busy_slots(index) * loads[index] for index in machine.intervals))

    def _busiest(self, loads: NDArray[np.float64]) -> list[list[int]]:
        """Give the groups that are probably the busiest, busiest first."""
        lengths = np.diagonal(self._separation)
        groups = sorted(self._groups(loads), key=lambda group: -float(loads[group] @ lengths[group]))
        return groups[:MAX_TRIED]

    def _groups(self, loads: NDArray[np.float64]) -> list[list[int]]:
        """Find groups of loaded tasks in which every pair conflicts, grown greedily from each task."""
        loaded = loads > _LOAD_TOLERANCE
        found: dict[tuple[int, ...], None] = {}
        for seed in np.flatnonzero(loaded):
            group = [int(seed)]
            allowed = self._conflict[seed] & loaded
            for other in np.argsort(-self._strength[seed] * loads, kind="stable"):
                if other != seed and allowed[other] and len(group) < MAX_CLIQUE:
                    group.append(int(other))
                    allowed &= self._conflict[other]
            if len(group) > 1:
                found[tuple(sorted(group))] = None
        return [list(group) for group in found]

    def _machine(self, group: list[int], loads: NDArray[np.float64]) -> Machine | None:
        weights = loads[group] / loads[group].max()
        begin, end = _widest_intervals(self._separation[np.ix_(group, group)], weights)
        held = {index: ((int(a), int(b)),) for index, a, b in zip(group, begin, end, strict=True) if a < b}
        return Machine(f"group {group[0]}", held) if len(held) > 1 else None

    def _lifted(self, machine: Machine) -> Machine:
        """Let all further tasks hold a machine that may, each for as long as leaves its span as it is."""
        held = {index: intervals[0] for index, intervals in machine.intervals.items()}
        lengths = np.diagonal(self._separation)
        first = min(begin for begin, _ in held.values())
        over = max(end - int(lengths[index]) for index, (_, end) in held.items())
        for index in np.argsort(-self._rates, kind="stable"):
            new = int(index)
            if new in held or not all(self._conflict[new, other] for other in held):
                continue
            begin = max(int(end - self._separation[other, new]) for other, (_, end) in held.items())
            begin = max(begin, first)
            end = min(int(self._separation[new, other]) + start for other, (start, _) in held.items())
            end = min(end, begin + int(lengths[new]), over + int(lengths[new]))
            if begin < end:
                held[new] = (begin, end)
        return Machine(machine.name, {index: (held[index],) for index in sorted(held)})


def machines(tasks: Sequence[PeriodicTask]) -> tuple[Machine, ...]:
    """Give every qubit that two tasks can want, and the most contended derived machines.

    Parameters
    ----------
    tasks
        The tasks; machines refer to them by index. Machines that say nothing beyond others are left out.
    """
    return uncovered(DerivedMachines(tasks).contended() + qubit_machines(tasks))
