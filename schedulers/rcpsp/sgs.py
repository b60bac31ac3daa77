"""Schedule generation: first schedules by serial and parallel schemes, shortened by justification.

The serial scheme places the tasks of a list one by one at the earliest time that precedence and resources
allow; the parallel scheme goes through time and starts what it can (Kolisch, EJOR 90, 1996). Justification
pushes all tasks to the right and back to the left, which shortens most schedules (Valls, Ballestin &
Quintanilla, EJOR 165, 2005). Orders are drawn at random around least latest finish times.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schedulers.rcpsp.problem import Problem, Schedule, longest_tails

IntArray = NDArray[np.int64]
_BIAS = 0.35


class _Loads:
    """What is left of the renewable resources over time."""

    def __init__(self, problem: Problem) -> None:
        self.numbers = [r for r, one in enumerate(problem.resources) if one.renewable]
        self.horizon = problem.horizon
        self.left: IntArray = np.zeros((len(self.numbers), self.horizon), dtype=np.int64)
        for row, r in enumerate(self.numbers):
            self.left[row] = problem.resources[r].capacity
            for start, end, lost in problem.breaks_until(r, self.horizon):
                capacity = problem.resources[r].capacity - lost
                self.left[row, start:end] = np.minimum(self.left[row, start:end], capacity)

    def earliest(self, begin: int, duration: int, needs: IntArray) -> int | None:
        """Find the first time from `begin` at which the needs are met throughout."""
        if duration == 0 or not needs.any():
            return begin
        start = begin
        rows = needs > 0
        wanted = needs[rows, None]
        while start + duration <= self.horizon:
            short = np.any(self.left[rows, start : start + duration] < wanted, axis=0)
            if not short.any():
                return start
            start += int(duration - np.argmax(short[::-1]))
        return None

    def take(self, start: int, duration: int, needs: IntArray) -> None:
        self.left[:, start : start + duration] -= needs[:, None]


class _Scheme:
    """A problem with a mode chosen for each task."""

    def __init__(self, problem: Problem, modes: Sequence[int]) -> None:
        self.problem = problem
        self.modes = tuple(modes)
        self.durations = [task.modes[m].duration for task, m in zip(problem.tasks, modes, strict=True)]
        self.fresh = _Loads(problem)
        self.needs = [
            np.array([problem.demand(i, m, r) for r in self.fresh.numbers], dtype=np.int64)
            for i, m in enumerate(modes)
        ]
        self.tails = longest_tails(problem, self.durations)
        self._rank = {index: place for place, index in enumerate(problem.order)}

    def loads(self) -> _Loads:
        copied = object.__new__(_Loads)
        copied.numbers, copied.horizon = self.fresh.numbers, self.fresh.horizon
        copied.left = self.fresh.left.copy()
        return copied

    def serial(self, order: Sequence[int]) -> list[int] | None:
        """Place the tasks of a list, each after those before it; None if one cannot be placed."""
        problem, loads = self.problem, self.loads()
        starts = [0] * len(order)
        for index in order:
            task = problem.tasks[index]
            links = problem.predecessors[index]
            ready = (starts[k.before] + self.durations[k.before] + k.min_lag for k in links)
            start = loads.earliest(max(task.release, *ready, 0), self.durations[index], self.needs[index])
            if start is None or (task.deadline is not None and start + self.durations[index] > task.deadline):
                return None
            for k in links:
                if k.max_lag is not None and start > starts[k.before] + self.durations[k.before] + k.max_lag:
                    return None
            loads.take(start, self.durations[index], self.needs[index])
            starts[index] = start
        return starts

    def parallel(self, priority: Sequence[float]) -> list[int] | None:
        """Go through time and start, by priority (least first), what is ready and fits."""
        problem, loads = self.problem, self.loads()
        starts: dict[int, int] = {}
        waiting = set(range(len(problem.tasks)))
        now = 0
        while waiting:
            later: list[int] = []
            for index in sorted(waiting, key=lambda i: (priority[i], i)):
                links = problem.predecessors[index]
                if any(k.before in waiting for k in links):
                    continue
                ready = max(
                    problem.tasks[index].release,
                    *(starts[k.before] + self.durations[k.before] + k.min_lag for k in links),
                    0,
                )
                start = loads.earliest(max(now, ready), self.durations[index], self.needs[index])
                if start is None:
                    return None
                if start > now:
                    later.append(start)
                    continue
                loads.take(start, self.durations[index], self.needs[index])
                starts[index] = start
                waiting.discard(index)
                later.append(now)
            if not later:
                return None
            now = min(later)
        found = [starts[index] for index in range(len(starts))]
        return found if self._keeps_limits(found) else None

    def _keeps_limits(self, starts: Sequence[int]) -> bool:
        ends = [s + d for s, d in zip(starts, self.durations, strict=True)]
        return all(
            task.deadline is None or end <= task.deadline
            for task, end in zip(self.problem.tasks, ends, strict=True)
        ) and all(
            k.max_lag is None or starts[k.after] <= ends[k.before] + k.max_lag
            for k in self.problem.precedences
        )

    def justify(self, starts: list[int]) -> list[int]:
        """Push all tasks right, then left again; a longer schedule is not taken."""
        if not self._can_justify():
            return starts
        end = max(s + d for s, d in zip(starts, self.durations, strict=True))
        loads = self.loads()
        right = list(starts)
        for index in sorted(
            range(len(starts)), key=lambda i: (-(starts[i] + self.durations[i]), -self._rank[i])
        ):
            links = self.problem.successors[index]
            latest = min([end, *(right[k.after] - k.min_lag for k in links)]) - self.durations[index]
            right[index] = self._latest(loads, latest, index)
            loads.take(right[index], self.durations[index], self.needs[index])
        order = sorted(range(len(starts)), key=lambda i: (right[i], self._rank[i]))
        left = self.serial(order)
        return left if left is not None and self.length(left) <= self.length(starts) else starts

    def _latest(self, loads: _Loads, latest: int, index: int) -> int:
        duration, needs = self.durations[index], self.needs[index]
        if duration == 0 or not needs.any():
            return latest
        start = latest
        while True:
            short = np.any(loads.left[:, start : start + duration] < needs[:, None], axis=0)
            if not short.any():
                return start
            start -= int(duration - np.argmax(short))

    def _can_justify(self) -> bool:
        plain = all(task.release == 0 and task.deadline is None for task in self.problem.tasks)
        links = all(k.max_lag is None and k.min_lag >= 0 for k in self.problem.precedences)
        return plain and links and not self.problem.has_calendars

    def length(self, starts: Sequence[int]) -> int:
        """Makespan."""
        return max((s + d for s, d in zip(starts, self.durations, strict=True)), default=0)

    def order_by(self, priority: Sequence[float]) -> list[int]:
        """Make a list in which no task stands before its predecessors, least priority value first."""
        problem = self.problem
        waiting = [len(links) for links in problem.predecessors]
        ready = {index for index, count in enumerate(waiting) if count == 0}
        order = []
        while ready:
            index = min(ready, key=lambda i: (priority[i], i))
            ready.discard(index)
            order.append(index)
            for k in problem.successors[index]:
                waiting[k.after] -= 1
                if waiting[k.after] == 0:
                    ready.add(k.after)
        return order


def _choose_modes(problem: Problem) -> list[int] | None:
    """Choose the shortest modes, then trade them for thriftier ones until what is used up suffices."""
    usable = [problem.usable_modes(i) for i in range(len(problem.tasks))]
    chosen = [
        min(modes, key=lambda m, i=i: (problem.tasks[i].modes[m].duration, m))  # type: ignore[misc]
        for i, modes in enumerate(usable)
    ]
    scarce = [r for r, one in enumerate(problem.resources) if not one.renewable]

    def excess(modes: Sequence[int]) -> int:
        used = ((r, sum(problem.demand(i, m, r) for i, m in enumerate(modes))) for r in scarce)
        return sum(max(0, total - problem.resources[r].capacity) for r, total in used)

    over = excess(chosen)
    while over > 0:
        trades = [
            (excess([*chosen[:i], m, *chosen[i + 1 :]]), problem.tasks[i].modes[m].duration, i, m)
            for i, modes in enumerate(usable)
            for m in modes
            if m != chosen[i]
        ]
        if not trades or min(trades)[0] >= over:
            return None
        over, _, index, mode = min(trades)
        chosen[index] = mode
    return chosen


def first_schedule(
    problem: Problem, time_limit_s: float = 0.5, seed: int = 0, rounds: int = 200
) -> Schedule | None:
    """Find a good schedule quickly.

    Parameters
    ----------
    problem
        What is to be done.
    time_limit_s
        Checked between rounds; the first round is always made.
    seed
        Of the random orders.
    rounds
        How many orders are tried at most.

    Returns
    -------
    Schedule or None
        None if deadlines, maximum lags or what is used up stood in the way; that proves nothing.
    """
    begun = time.monotonic()
    modes = _choose_modes(problem)
    if modes is None:
        return None
    if not problem.tasks:
        return Schedule((), ())
    scheme = _Scheme(problem, modes)
    random = np.random.default_rng(seed)
    longest = max(1, *scheme.tails)
    best: list[int] | None = None
    for number in range(rounds):
        noise = random.random(len(modes)) if number > 1 else np.zeros(len(modes))
        priority = [-tail / longest + _BIAS * x for tail, x in zip(scheme.tails, noise, strict=True)]
        found = scheme.parallel(priority) if number % 4 == 1 else scheme.serial(scheme.order_by(priority))
        if found is not None:
            found = scheme.justify(found)
            if best is None or scheme.length(found) < scheme.length(best):
                best = found
        if time.monotonic() - begun > time_limit_s:
            break
    return None if best is None else Schedule(tuple(best), tuple(modes))
