"""What is to be scheduled, and what comes out (the objects of PSPLIB, Kolisch & Sprecher 1996).

Time is counted in whole units from 0; what a unit is, the user knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import le
from typing import Literal

from qos.errors import ValueRefusedError

Status = Literal["optimal", "feasible", "heuristic", "infeasible", "unknown"]
MAX_HORIZON = 10_000_000


@dataclass(frozen=True, slots=True)
class Break:
    """A time in which a resource has less capacity.

    Attributes
    ----------
    start, end
        ``[start, end)``, ``0 <= start < end``.
    capacity
        What is left of the capacity, >= 0.
    every
        The break comes again after this many units (``>= end - start``); None: once.
    """

    start: int
    end: int
    capacity: int = 0
    every: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueRefusedError(f"break [{self.start}, {self.end}): expected 0 <= start < end")
        if self.capacity < 0:
            raise ValueRefusedError(f"break at {self.start}: capacity {self.capacity} is below 0")
        if self.every is not None and self.every < self.end - self.start:
            raise ValueRefusedError(f"break at {self.start}: it comes again before it ends")


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that tasks need.

    Attributes
    ----------
    capacity
        Units there are, >= 0: at any time of a renewable resource, for all time of another.
    renewable
        Whether a task gives its units back at its end.
    breaks
        The calendar of a renewable resource. Tasks are not interrupted: one that needs more than is left
        in a break runs before or after it.
    name
        For people.
    """

    capacity: int
    renewable: bool = True
    breaks: tuple[Break, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        if self.capacity < 0:
            raise ValueRefusedError(f"resource {self.name!r}: capacity {self.capacity} is below 0")
        if self.breaks and not self.renewable:
            raise ValueRefusedError(f"resource {self.name!r}: what is used up has no calendar")


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to do a task.

    Attributes
    ----------
    duration
        >= 0.
    demands
        Units of each resource, in the order of the problem's resources; missing ones are 0.
    """

    duration: int
    demands: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.duration < 0 or any(demand < 0 for demand in self.demands):
            raise ValueRefusedError("mode: duration and demands must not be below 0")


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do once.

    Attributes
    ----------
    modes
        The ways to do it, at least one.
    release, deadline
        It starts no earlier and ends no later; None: any time.
    name
        For people.
    """

    modes: tuple[Mode, ...]
    release: int = 0
    deadline: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not self.modes:
            raise ValueRefusedError(f"task {self.name!r}: has no mode")
        if self.release < 0:
            raise ValueRefusedError(f"task {self.name!r}: release {self.release} is below 0")


@dataclass(frozen=True, slots=True)
class Precedence:
    """One task after another.

    Attributes
    ----------
    before, after
        Indices of tasks.
    min_lag, max_lag
        ``end(before) + min_lag <= start(after) <= end(before) + max_lag``; lags may be negative, and
        ``max_lag`` None is no limit.
    """

    before: int
    after: int
    min_lag: int = 0
    max_lag: int | None = None

    def __post_init__(self) -> None:
        if self.before == self.after:
            raise ValueRefusedError(f"precedence: task {self.before} comes before itself")
        if self.max_lag is not None and self.max_lag < self.min_lag:
            raise ValueRefusedError(f"precedence {self.before} -> {self.after}: max_lag is below min_lag")


@dataclass(frozen=True)
class Problem:
    """Tasks, resources and precedence; the objective is the least makespan.

    Attributes
    ----------
    tasks, resources, precedences
        See there; indices are positions in these tuples.
    name
        For reports.

    Raises
    ------
    ValueRefusedError
        If an index or number of demands is wrong, a task fits in none of its modes, or the precedences
        with minimum lags >= 0 run in a circle.
    """

    tasks: tuple[Task, ...]
    resources: tuple[Resource, ...] = ()
    precedences: tuple[Precedence, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        count = len(self.tasks)
        for index, task in enumerate(self.tasks):
            if any(len(mode.demands) > len(self.resources) for mode in task.modes):
                raise ValueRefusedError(f"task {index}: demands more resources than the problem has")
            if not self.usable_modes(index):
                raise ValueRefusedError(f"task {index}: each of its modes needs more than there is")
        for link in self.precedences:
            if not (0 <= link.before < count and 0 <= link.after < count):
                raise ValueRefusedError(f"precedence {link.before} -> {link.after}: no such task")
        if len(self.order) < count:
            raise ValueRefusedError("precedences run in a circle")
        if self.horizon > MAX_HORIZON:
            raise ValueRefusedError(
                f"horizon {self.horizon} is above {MAX_HORIZON}; use a longer unit of time"
            )

    def demand(self, index: int, mode: int, resource: int) -> int:
        """Units of a resource that a task needs in a mode."""
        demands = self.tasks[index].modes[mode].demands
        return demands[resource] if resource < len(demands) else 0

    def usable_modes(self, index: int) -> tuple[int, ...]:
        """Say which modes ask for no more than there is of any resource."""
        return self._usable[index]

    @cached_property
    def _usable(self) -> tuple[tuple[int, ...], ...]:
        capacities = [one.capacity for one in self.resources]
        return tuple(
            tuple(m for m, mode in enumerate(task.modes) if all(map(le, mode.demands, capacities)))
            for task in self.tasks
        )

    @cached_property
    def uses(self) -> tuple[tuple[tuple[int, int, int], ...], ...]:
        """For each resource who needs it: task, usable mode and units, without those that need none."""
        found: list[list[tuple[int, int, int]]] = [[] for _ in self.resources]
        for index, task in enumerate(self.tasks):
            for m in self._usable[index]:
                for r, units in enumerate(task.modes[m].demands):
                    if units:
                        found[r].append((index, m, units))
        return tuple(map(tuple, found))

    @cached_property
    def successors(self) -> tuple[tuple[Precedence, ...], ...]:
        """For each task the precedences that it comes first in."""
        found: list[list[Precedence]] = [[] for _ in self.tasks]
        for link in self.precedences:
            found[link.before].append(link)
        return tuple(map(tuple, found))

    @cached_property
    def predecessors(self) -> tuple[tuple[Precedence, ...], ...]:
        """For each task the precedences that it comes second in."""
        found: list[list[Precedence]] = [[] for _ in self.tasks]
        for link in self.precedences:
            found[link.after].append(link)
        return tuple(map(tuple, found))

    @cached_property
    def order(self) -> tuple[int, ...]:
        """All tasks, each after those before it; shorter if the precedences run in a circle."""
        waiting = [len(links) for links in self.predecessors]
        ready = [index for index, count in enumerate(waiting) if count == 0]
        for index in ready:
            for link in self.successors[index]:
                waiting[link.after] -= 1
                if waiting[link.after] == 0:
                    ready.append(link.after)
        return tuple(ready)

    @cached_property
    def horizon(self) -> int:
        """A time by which everything can be done if it can be done at all without deadlines and max lags."""
        longest = sum(max(mode.duration for mode in task.modes) for task in self.tasks)
        lags = sum(max(0, link.min_lag) for link in self.precedences)
        plain = longest + lags + max((task.release for task in self.tasks), default=0)
        stretched = plain
        for resource in self.resources:
            for pause in resource.breaks:
                length = pause.end - pause.start
                if pause.every is None:
                    stretched += pause.end
                else:
                    rest = max(1, pause.every - length)
                    stretched += pause.end + length * (plain // rest + len(self.tasks) + 1)
        return stretched

    @property
    def has_calendars(self) -> bool:
        """Whether any resource has breaks."""
        return any(resource.breaks for resource in self.resources)

    def breaks_until(self, resource: int, horizon: int) -> list[tuple[int, int, int]]:
        """List start, end and lost capacity of a resource's breaks up to a horizon, each repetition."""
        one = self.resources[resource]
        found = []
        for pause in one.breaks:
            start, length = pause.start, pause.end - pause.start
            while start < horizon:
                found.append((start, start + length, max(0, one.capacity - pause.capacity)))
                if pause.every is None:
                    break
                start += pause.every
        return sorted(found)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When and how every task is done.

    Attributes
    ----------
    starts, modes
        Start and number of the mode of each task.
    """

    starts: tuple[int, ...]
    modes: tuple[int, ...]

    def makespan(self, problem: Problem) -> int:
        """When the last task ends."""
        ends = (
            s + problem.tasks[i].modes[m].duration
            for i, (s, m) in enumerate(zip(self.starts, self.modes, strict=True))
        )
        return max(ends, default=0)


@dataclass(frozen=True, slots=True)
class Result:
    """What a solver found.

    Attributes
    ----------
    objective
        Makespan of the schedule; None without one.
    bound
        No schedule is shorter.
    status
        ``optimal``, ``feasible`` (found by search), ``heuristic``, ``infeasible`` (proven) or ``unknown``.
    runtime_s
        Wall-clock seconds.
    schedule
        The best found.
    """

    objective: int | None
    bound: int
    status: Status
    runtime_s: float
    schedule: Schedule | None

    @property
    def gap(self) -> float:
        """How far the objective is above the bound, as a part of the bound; infinite without a schedule."""
        if self.objective is None:
            return float("inf")
        return (self.objective - self.bound) / max(1, self.bound)


def longest_tails(problem: Problem, durations: Sequence[int]) -> list[int]:
    """Compute for each task the longest path of durations and minimum lags from its start to the end."""
    tails = [0] * len(problem.tasks)
    for index in reversed(problem.order):
        after = (link.min_lag + tails[link.after] for link in problem.successors[index])
        tails[index] = durations[index] + max(0, max(after, default=0))
    return tails


def lower_bound(problem: Problem) -> int:
    """Bound the makespan by the critical path and by the energy that each renewable resource must give."""
    shortest = [
        min(problem.tasks[i].modes[m].duration for m in problem.usable_modes(i))
        for i in range(len(problem.tasks))
    ]
    tails = longest_tails(problem, shortest)
    path = max((task.release + tail for task, tail in zip(problem.tasks, tails, strict=True)), default=0)
    for uses, one in zip(problem.uses, problem.resources, strict=True):
        if one.renewable and one.capacity > 0:
            least: dict[int, dict[int, int]] = {}
            for index, mode, units in uses:
                least.setdefault(index, {})[mode] = units * problem.tasks[index].modes[mode].duration
            energy = sum(
                min(modes.values())
                for index, modes in least.items()
                if len(modes) == len(problem.usable_modes(index))  # a mode without any need takes nothing
            )
            path = max(path, -(-energy // one.capacity))
    return path
