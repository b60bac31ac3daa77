"""How much any schedule can deliver at most: relaxations that leave out where exactly things run.

`knapsack_bound`: every machine is busy for no longer than the hyperperiod, demands whole. `tightened` solves
it again and again, each time with the derived machines that the last solution overloads, and with limits on
the instances that `sequences` finds.

`folded_bound`: time is taken modulo a window of ``W`` slots. The average of any schedule over its
windows is a fractional choice of starts in one cyclic window that (1) starts a task of period ``p <= W``,
``p`` dividing ``W``, once in each of the window's periods, inside the period, (2) starts a task of any
other period ``W / p`` times, (3) holds every machine at most once at a time. With demands whole and the
fractions free this is a small mixed-integer programme whose optimum bounds every schedule, since the
average of a schedule is one of its points. It knows what the knapsack does not: that a task with a short
period has little room to move, and what therefore cannot run beside it.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array

from schedulers.entanglement.cpsat.conflicts import Machine
from schedulers.entanglement.cpsat.derived import DerivedMachines
from schedulers.entanglement.cpsat.sequences import InstanceLimit, Scarcity, SequenceBounds
from schedulers.entanglement.tasks import PeriodicTask

MAX_NONZEROS = 400_000
"""Of a folded relaxation; it is not interrupted while it solves its first linear programme."""

MAX_ROUNDS = 60
"""How often a knapsack is tightened."""

_TOLERANCE = 1e-6
_OPTIMAL, _TIME_OUT = 0, 1


@dataclass(frozen=True, slots=True)
class Question:
    """Which total weight of admitted tasks can be reached at most.

    Attributes
    ----------
    tasks, machines
        The tasks, and what they compete for.
    weights
        What admitting each is worth: whole numbers >= 0.
    kept
        Indices of tasks that must be admitted.
    hyperperiod_slots
        A multiple of every period.
    groups
        Groups of tasks of which at most one may be admitted.
    limits
        How many instances of some tasks there can be, whoever is admitted.
    """

    tasks: Sequence[PeriodicTask]
    machines: Sequence[Machine]
    weights: Sequence[int]
    kept: frozenset[int]
    hyperperiod_slots: int
    groups: Sequence[Sequence[int]] = ()
    limits: Sequence[InstanceLimit] = ()

    def instances(self, index: int) -> int:
        """How many instances of a task there are in a hyperperiod."""
        return self.hyperperiod_slots // self.tasks[index].period_slots


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """Keep what the MIP solver writes to the process's stdout, whatever its options say, off the user's.

    The solver writes through C's stdio, which holds the text back where stdout is a pipe: it is flushed
    while it still leads nowhere.
    """
    libc = ctypes.CDLL(None)
    sys.stdout.flush()
    libc.fflush(None)
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        libc.fflush(None)
        os.dup2(kept, 1)
        os.close(nowhere)
        os.close(kept)


class _Rows:
    """A sparse matrix with limits, written row by row."""

    def __init__(self) -> None:
        self.row: list[int] = []
        self.column: list[int] = []
        self.value: list[float] = []
        self.low: list[float] = []
        self.high: list[float] = []

    def add(self, terms: Mapping[int, float], low: float, high: float) -> None:
        self.row += [len(self.low)] * len(terms)
        self.column += terms.keys()
        self.value += terms.values()
        self.low.append(low)
        self.high.append(high)

    def solve(
        self, question: Question, columns: int, time_limit_s: float, *, relaxed: bool = False
    ) -> _Relaxation | None:
        """Maximise the weights of the first columns, which are whole unless `relaxed`; bound and solution."""
        for group in question.groups:
            self.add(dict.fromkeys(group, 1.0), -np.inf, 1.0)
        for limit in question.limits:
            self.add({index: float(question.instances(index)) for index in limit.tasks}, -np.inf, limit.most)
        count = len(question.tasks)
        cost = np.zeros(columns)
        cost[:count] = [-weight for weight in question.weights]
        lower = np.zeros(columns)
        lower[list(question.kept)] = 1
        upper = np.full(columns, np.inf)
        upper[:count] = 1
        whole = np.zeros(columns)
        whole[:count] = 0 if relaxed else 1
        matrix = csr_array((self.value, (self.row, self.column)), shape=(len(self.low), columns))
        with _silent_stdout():
            answer = milp(
                cost,
                constraints=LinearConstraint(matrix, self.low, self.high),
                integrality=whole,
                bounds=Bounds(lower, upper),
                options={"time_limit": time_limit_s, "mip_rel_gap": 0.0},
            )
        dual = answer.fun if relaxed and answer.status == _OPTIMAL else answer.mip_dual_bound
        if answer.status not in (_OPTIMAL, _TIME_OUT) or dual is None or not np.isfinite(dual):
            return None
        if answer.status == _TIME_OUT and (answer.fun is None or dual > answer.fun + _TOLERANCE):
            return None  # stopped before there was a bound
        bound = int(np.floor(-dual + _TOLERANCE * max(1.0, abs(dual))))
        return _Relaxation(bound, None if answer.x is None else answer.x[:count])


@dataclass(frozen=True, slots=True)
class _Relaxation:
    """The bound of a relaxation, and how much of each task its solution admits, where it has one."""

    bound: int
    admitted: NDArray[np.float64] | None


def knapsack_bound(question: Question, time_limit_s: float) -> int:
    """Bound the total weight by how long each machine is held; see the module.

    Parameters
    ----------
    question
        What is asked.
    time_limit_s
        After which the bound proven so far is returned.
    """
    everything = sum(question.weights)
    found = _knapsack(question, time_limit_s) if question.tasks and question.machines else None
    return everything if found is None else min(found.bound, everything)


def _knapsack(question: Question, time_limit_s: float, *, relaxed: bool = False) -> _Relaxation | None:
    rows = _Rows()
    for machine in question.machines:
        terms = {
            index: float(machine.busy_slots(index) * question.instances(index)) for index in machine.intervals
        }
        rows.add(terms, -np.inf, machine.span_slots(question.tasks, question.hyperperiod_slots))
    return rows.solve(question, len(question.tasks), time_limit_s, relaxed=relaxed)


def tightened(question: Question, derived: DerivedMachines, time_limit_s: float) -> tuple[int, Question]:
    """Bound the total weight by the machines of a question and by further ones that cut its solutions off.

    First with fractions of demands admitted, which is quick, then with whole ones.

    Parameters
    ----------
    question
        What is asked.
    derived
        The machines that its tasks allow.
    time_limit_s
        After which the bound proven so far is returned.

    Returns
    -------
    tuple of int, Question
        The bound, and the question with the machines that it rests on.
    """
    begun = time.monotonic()
    bound = sum(question.weights)
    relaxed = True

    def late() -> bool:
        return time.monotonic() - begun > time_limit_s

    for _ in range(MAX_ROUNDS):
        left = time_limit_s - (time.monotonic() - begun)
        found = _knapsack(question, left, relaxed=relaxed) if left > 0 and question.machines else None
        if found is None:
            break
        bound = min(bound, found.bound)
        cuts: list[Machine] = []
        if found.admitted is not None:
            cuts = derived.overloaded(found.admitted, question.hyperperiod_slots, late)
        if not cuts and not relaxed:
            break
        if relaxed and not cuts:
            relaxed = False
            question = replace(question, limits=_instance_limits(question, derived, late))
        question = replace(question, machines=(*question.machines, *cuts))
    return bound, question


def _instance_limits(
    question: Question, derived: DerivedMachines, enough: Callable[[], bool]
) -> tuple[InstanceLimit, ...]:
    """Limit the instances on the machines on which the linear relaxation rests."""
    scarcity = _scarcity(question) if derived.separation is not None else None
    if scarcity is None or derived.separation is None:
        return ()
    bounds = SequenceBounds(question.tasks, derived.separation, question.machines, question.hyperperiod_slots)
    return tuple(bounds.limits(scarcity, enough))


def _scarcity(question: Question) -> Scarcity | None:
    """Solve the linear relaxation of the knapsack for the prices of its machines."""
    instances = np.array([question.instances(index) for index in range(len(question.tasks))])
    held = np.zeros((len(question.machines), len(question.tasks)))
    for row, machine in enumerate(question.machines):
        for index in machine.intervals:
            held[row, index] = machine.busy_slots(index) * instances[index]
    spans = np.array(
        [one.span_slots(question.tasks, question.hyperperiod_slots) for one in question.machines]
    )
    least = [float(index in question.kept) for index in range(len(question.tasks))]
    answer = linprog(
        -np.array(question.weights, dtype=float),
        A_ub=held,
        b_ub=spans,
        bounds=[(low, 1.0) for low in least],
        method="highs",
    )
    if answer.x is None:
        return None
    return Scarcity(answer.x * instances, -answer.ineqlin.marginals * spans)


def _nonzeros(machine: Machine, window_slots: int) -> int:
    return window_slots * sum(map(machine.busy_slots, machine.intervals))


def _affordable(question: Question, window_slots: int) -> tuple[Machine, ...]:
    """Choose the machines that are asked for most, as many as the solver can take."""

    def asked(machine: Machine) -> float:
        span = machine.span_slots(question.tasks, question.hyperperiod_slots)
        return sum(machine.busy_slots(i) / question.tasks[i].period_slots for i in machine.intervals) / span

    chosen: list[Machine] = []
    total = 0
    for machine in sorted(question.machines, key=asked, reverse=True):
        total += _nonzeros(machine, window_slots)
        if total > MAX_NONZEROS:
            break
        chosen.append(machine)
    return tuple(chosen)


def window_for(question: Question) -> int | None:
    """Choose the window: the longest period, at most 64 slots or the shortest period."""
    periods = sorted({task.period_slots for task in question.tasks})
    cap = max(64, periods[0]) if periods else 0
    fitting = [p for p in periods if p <= cap and question.hyperperiod_slots % p == 0]
    fitting = [p for p in fitting if _affordable(question, p)]
    return fitting[-1] if fitting else None


def _start_columns(question: Question, window_slots: int) -> dict[tuple[int, int], int]:
    """Give a column to each task and slot of the window where it can start."""
    columns: dict[tuple[int, int], int] = {}
    for index, task in enumerate(question.tasks):
        period = task.period_slots
        fixed = window_slots % period == 0
        for slot in range(window_slots):
            if not fixed or slot % period <= period - task.exec_slots:
                columns[index, slot] = len(question.tasks) + len(columns)
    return columns


def _start_rows(
    rows: _Rows, question: Question, window_slots: int, columns: Mapping[tuple[int, int], int]
) -> None:
    for index, task in enumerate(question.tasks):
        period = task.period_slots
        length = period if window_slots % period == 0 else window_slots
        for begin in range(0, window_slots, length):
            terms = {
                columns[index, slot]: 1.0 for slot in range(begin, begin + length) if (index, slot) in columns
            }
            terms[index] = -length / period
            rows.add(terms, 0.0, 0.0)


def _machine_rows(
    rows: _Rows, machine: Machine, window_slots: int, columns: Mapping[tuple[int, int], int]
) -> None:
    for slot in range(window_slots):
        terms: dict[int, float] = {}
        for index, intervals in machine.intervals.items():
            for begin, end in intervals:
                for offset in range(begin, end):
                    column = columns.get((index, (slot - offset) % window_slots))
                    if column is not None:
                        terms[column] = terms.get(column, 0.0) + 1.0
        rows.add(terms, -np.inf, 1.0)


def folded_bound(question: Question, window_slots: int, time_limit_s: float) -> int:
    """Bound the total weight by the averages of schedules over windows; see the module.

    Parameters
    ----------
    question
        What is asked.
    window_slots
        Divides the hyperperiod.
    time_limit_s
        After which the bound proven so far is returned.
    """
    begun = time.monotonic()
    columns = _start_columns(question, window_slots)
    rows = _Rows()
    _start_rows(rows, question, window_slots, columns)
    for machine in _affordable(question, window_slots):
        _machine_rows(rows, machine, window_slots, columns)
        if time.monotonic() - begun > time_limit_s:
            return sum(question.weights)
    left = max(0.1, time_limit_s - (time.monotonic() - begun))
    found = rows.solve(question, len(question.tasks) + len(columns), left)
    return sum(question.weights) if found is None else min(found.bound, sum(question.weights))
