"""Short schedules by evolution: activity lists, crossover, every child justified both ways (compiled).

The genetic algorithm of Hartmann (Naval Research Logistics 45, 1998) with the double justification of Valls,
Ballestin & Quintanilla (EJOR 165, 2005) after every serial schedule generation, steady state: a child
takes the place of the worst if it is no worse and its schedule is new. For problems without deadlines,
releases, maximum lags and calendars.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qos.compiled import compiled
from schedulers.rcpsp.problem import Problem, Schedule, longest_tails

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
POPULATION = 80
CHUNK = 500
"""Children between two looks at the clock."""

PATIENCE = 6
"""Chunks without any better list after which the population is drawn anew."""

SWAP_CHANCE = 0.05
FIXED_DRAWS = 6
"""Draws for a child's parents and places of crossover, before those for swaps."""
GREEDY_PART, MILD, WILD = 0.7, 0.35, 10.0
"""Of the first lists, those drawn around longest tails; and the noise of those and of the others."""


class _Work(NamedTuple):
    """A problem in arrays; arcs by first and last place of each task's neighbours."""

    duration: IntArray
    needs: IntArray
    capacity: IntArray
    before_at: IntArray
    before: IntArray
    before_lag: IntArray
    after_at: IntArray
    after: IntArray
    after_lag: IntArray
    rank: IntArray
    tail: IntArray
    horizon: int


def is_plain(problem: Problem) -> bool:
    """Say whether a problem has precedence with lags >= 0 and resources only."""
    return (
        all(task.release == 0 and task.deadline is None for task in problem.tasks)
        and all(link.max_lag is None and link.min_lag >= 0 for link in problem.precedences)
        and not problem.has_calendars
    )


def _work(problem: Problem, modes: Sequence[int]) -> _Work:
    renewable = [r for r, one in enumerate(problem.resources) if one.renewable]
    duration = [task.modes[m].duration for task, m in zip(problem.tasks, modes, strict=True)]
    needs = [[problem.demand(i, m, r) for r in renewable] for i, m in enumerate(modes)]
    before = [[(k.before, k.min_lag) for k in links] for links in problem.predecessors]
    after = [[(k.after, k.min_lag) for k in links] for links in problem.successors]

    def flat(lists: list[list[tuple[int, int]]]) -> tuple[IntArray, IntArray, IntArray]:
        place = np.cumsum([0, *map(len, lists)]).astype(np.int64)
        pairs = np.array([pair for one in lists for pair in one], dtype=np.int64).reshape(-1, 2)
        return place, pairs[:, 0].copy(), pairs[:, 1].copy()

    rank = np.empty(len(duration), dtype=np.int64)
    rank[list(problem.order)] = np.arange(len(duration))
    lags = sum(link.min_lag for link in problem.precedences)
    return _Work(
        np.array(duration, dtype=np.int64),
        np.array(needs, dtype=np.int64).reshape(len(duration), len(renewable)),
        np.array([problem.resources[r].capacity for r in renewable], dtype=np.int64),
        *flat(before),
        *flat(after),
        rank,
        np.array(longest_tails(problem, duration), dtype=np.int64),
        sum(duration) + lags + 1,
    )


@compiled
def _fits(work: _Work, used: IntArray, task: int, start: int) -> int:
    """Say -1 if a task fits at a start, else the first time at which it does not."""
    for now in range(start, start + work.duration[task]):
        for r in range(work.capacity.size):
            if used[now, r] + work.needs[task, r] > work.capacity[r]:
                return now
    return -1


@compiled
def _take(work: _Work, used: IntArray, task: int, start: int) -> None:
    for now in range(start, start + work.duration[task]):
        for r in range(work.capacity.size):
            used[now, r] += work.needs[task, r]


@compiled
def _serial(work: _Work, order: IntArray, used: IntArray, starts: IntArray) -> int:
    """Place the tasks of a list as early as they fit; give the makespan."""
    used[:] = 0
    length = 0
    for task in order:
        start = 0
        for k in range(work.before_at[task], work.before_at[task + 1]):
            first = work.before[k]
            start = max(start, starts[first] + work.duration[first] + work.before_lag[k])
        clash = _fits(work, used, task, start)
        while clash >= 0:
            start = clash + 1
            clash = _fits(work, used, task, start)
        _take(work, used, task, start)
        starts[task] = start
        length = max(length, start + work.duration[task])
    return length


@compiled
def _push_right(work: _Work, starts: IntArray, length: int, used: IntArray, right: IntArray) -> None:
    """Push every task as late as it can end by the makespan."""
    used[:] = 0
    key = -((starts + work.duration) * (starts.size + 1) + work.rank)
    for task in np.argsort(key):
        end = length
        for k in range(work.after_at[task], work.after_at[task + 1]):
            end = min(end, right[work.after[k]] - work.after_lag[k])
        start = end - work.duration[task]
        while _fits(work, used, task, start) >= 0:
            start -= 1
        _take(work, used, task, start)
        right[task] = start


@compiled
def _justified(work: _Work, order: IntArray, used: IntArray, starts: IntArray, right: IntArray) -> int:
    """Schedule a list, push right and left again; the list becomes that of the schedule."""
    length = _serial(work, order, used, starts)
    for _ in range(2):
        _push_right(work, starts, length, used, right)
        order[:] = np.argsort(right * (right.size + 1) + work.rank)
        shorter = _serial(work, order, used, starts)
        if shorter >= length:
            break
        length = shorter
    order[:] = np.argsort(starts * (starts.size + 1) + work.rank)
    return _serial(work, order, used, starts)


@compiled
def _draw_list(work: _Work, noise: FloatArray, order: IntArray) -> None:
    """Draw a list in which no task stands before its predecessors, long tails first but for noise."""
    count = order.size
    waiting = work.before_at[1:] - work.before_at[:-1]
    longest = max(1, work.tail.max())
    value = work.tail / longest + noise
    for place in range(count):
        best = -1
        for task in range(count):
            if waiting[task] == 0 and (best < 0 or value[task] > value[best]):
                best = task
        order[place] = best
        waiting[best] = -1
        for k in range(work.after_at[best], work.after_at[best + 1]):
            waiting[work.after[k]] -= 1


@compiled
def _cross(mother: IntArray, father: IntArray, draws: FloatArray, child: IntArray) -> None:
    """Take the ends of one list and, in between, what the other has first."""
    count = mother.size
    one, two = int(draws[0] * (count + 1)), int(draws[1] * (count + 1))
    low, high = min(one, two), max(one, two)
    used = np.zeros(count, dtype=np.bool_)
    for place in range(low):
        child[place] = mother[place]
        used[mother[place]] = True
    place = low
    for task in father:
        if place == high:
            break
        if not used[task]:
            child[place] = task
            used[task] = True
            place += 1
    for task in mother:
        if not used[task]:
            child[place] = task
            place += 1


@compiled
def _mutate(work: _Work, order: IntArray, chance: float, draws: FloatArray) -> None:
    """Swap neighbours of a list by chance, where one need not come first."""
    for place in range(order.size - 1):
        if draws[place] < chance:
            first, second = order[place], order[place + 1]
            linked = False
            for k in range(work.after_at[first], work.after_at[first + 1]):
                linked = linked or work.after[k] == second
            if not linked:
                order[place], order[place + 1] = second, first


@compiled
def _breed(
    work: _Work,
    lists: IntArray,
    lengths: IntArray,
    marks: IntArray,
    aim: int,
    draws: FloatArray,
) -> None:
    """Make one child for each row of draws, until one meets the aim."""
    count = lists.shape[1]
    used = np.zeros((work.horizon + 1, work.capacity.size), dtype=np.int64)
    starts, right = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    child = np.zeros(count, dtype=np.int64)
    weight = np.arange(1, count + 1) * 7919 % 10007
    for row in draws:
        parents = np.empty(2, dtype=np.int64)
        for which in range(2):
            one = int(row[2 * which] * lengths.size)
            other = int(row[2 * which + 1] * lengths.size)
            parents[which] = other if lengths[other] < lengths[one] else one
        _cross(lists[parents[0]], lists[parents[1]], row[4:6], child)
        _mutate(work, child, SWAP_CHANCE, row[FIXED_DRAWS:])
        length = _justified(work, child, used, starts, right)
        mark = (starts * weight).sum()
        worst = int(np.argmax(lengths))
        if length <= lengths[worst] and not np.any((marks == mark) & (lengths == length)):
            lists[worst], lengths[worst], marks[worst] = child, length, mark
            if length <= aim:
                return


@compiled
def _first(work: _Work, lists: IntArray, lengths: IntArray, marks: IntArray, noise: FloatArray) -> None:
    """Draw the first lists and schedule them."""
    count = lists.shape[1]
    used = np.zeros((work.horizon + 1, work.capacity.size), dtype=np.int64)
    starts, right = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    weight = np.arange(1, count + 1) * 7919 % 10007
    for i in range(lengths.size):
        _draw_list(work, noise[i], lists[i])
        lengths[i] = _justified(work, lists[i], used, starts, right)
        marks[i] = (starts * weight).sum()


def evolve(
    problem: Problem,
    first: Schedule,
    aim: int,
    children: int,
    time_limit_s: float,
    seed: int = 0,
) -> Schedule:
    """Breed a short schedule.

    Parameters
    ----------
    problem
        A plain one (`is_plain`) with at least one task.
    first
        A schedule of it; its modes stay, and what comes out is no longer.
    aim
        A makespan that is short enough to stop.
    children
        How many schedules are made at most beyond the first ones, at least 1.
    time_limit_s
        Looked at between chunks, > 0.
    seed
        Of all draws.
    """
    begun = time.monotonic()
    work, rng = _work(problem, first.modes), np.random.default_rng(seed)
    count = len(problem.tasks)
    used = np.zeros((work.horizon + 1, work.capacity.size), dtype=np.int64)
    starts, right = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    best = np.argsort(np.array(first.starts, dtype=np.int64) * (count + 1) + work.rank)
    shortest, made = _justified(work, best, used, starts, right), 0
    lists = np.zeros((POPULATION, count), dtype=np.int64)
    lengths, marks = np.zeros(POPULATION, dtype=np.int64), np.zeros(POPULATION, dtype=np.int64)
    stale = PATIENCE
    while made < children and shortest > aim and time.monotonic() - begun < time_limit_s:
        if stale >= PATIENCE:
            amounts = np.full(POPULATION, WILD)
            amounts[: round(GREEDY_PART * POPULATION)] = MILD
            amounts[0] = 0
            _first(work, lists, lengths, marks, amounts[:, None] * rng.random((POPULATION, count)))
            stale = 0
        before = int(lengths.sum())
        _breed(work, lists, lengths, marks, aim, rng.random((CHUNK, FIXED_DRAWS + count)))
        made += CHUNK
        stale = stale + 1 if int(lengths.sum()) == before else 0
        if lengths.min() < shortest:
            shortest, best = int(lengths.min()), lists[int(np.argmin(lengths))].copy()
    _serial(work, best, used, starts)
    return Schedule(tuple(int(start) for start in starts), first.modes)


@cache
def compile_evolution() -> None:
    """Compile everything here, or load it from the disk, once in a process."""
    from schedulers.rcpsp.problem import Mode, Precedence, Resource, Task

    tasks = tuple(Task((Mode(1, (1,)),)) for _ in range(3))
    evolve(Problem(tasks, (Resource(1),), (Precedence(0, 1),)), Schedule((0, 1, 2), (0, 0, 0)), 0, 1, 1.0)
