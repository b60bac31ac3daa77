"""Project scheduling as a constraint model (OR-Tools CP-SAT), started from the heuristics' schedule."""

from __future__ import annotations

import time

from ortools.sat.python import cp_model

from qos.errors import ValueRefusedError
from schedulers.rcpsp.evolution import compile_evolution, evolve, is_plain
from schedulers.rcpsp.problem import Problem, Result, Schedule, Status, longest_tails, lower_bound
from schedulers.rcpsp.sgs import first_schedule

WARM_SHARE = 0.05
"""Part of the time for the first schedule."""

EVOLUTION_SHARES = ((40, 0.05), (80, 0.3), (None, 0.6))
"""Part of the time for evolution, by tasks: the more, the less the solver adds to it."""

CHILDREN = 20
"""Schedules that evolution makes, times the square of the tasks."""

SEARCHES = ("no_lp", "objective_lb_search_no_lp")
"""Of the solver's searches those that do best where tasks have one mode: cumulative resources make weak
linear programmes."""


class _Model:
    def __init__(self, problem: Problem, upper: int, bound: int) -> None:
        self.problem = problem
        self.model = cp_model.CpModel()
        self.makespan = self.model.new_int_var(bound, upper, "makespan")
        self.starts: list[cp_model.IntVar] = []
        self.ends: list[cp_model.IntVar] = []
        self.chosen: list[dict[int, cp_model.IntVar]] = []
        self.parts: list[dict[int, cp_model.IntervalVar]] = []
        self._tails = longest_tails(
            problem, [min(mode.duration for mode in task.modes) for task in problem.tasks]
        )
        for index in range(len(problem.tasks)):
            self._add_task(index, upper)
        for k in problem.precedences:
            self.model.add(self.starts[k.after] >= self.ends[k.before] + k.min_lag)
            if k.max_lag is not None:
                self.model.add(self.starts[k.after] <= self.ends[k.before] + k.max_lag)
        for number, resource in enumerate(problem.resources):
            if resource.renewable:
                self._add_renewable(number, upper)
            else:
                self._add_used_up(number)
        self.model.minimize(self.makespan)

    def _add_task(self, index: int, upper: int) -> None:
        model, task = self.model, self.problem.tasks[index]
        usable = self.problem.usable_modes(index)
        latest = upper if task.deadline is None else min(upper, task.deadline)
        start = model.new_int_var(task.release, max(task.release, latest), f"start {index}")
        end = model.new_int_var(task.release, max(task.release, latest), f"end {index}")
        if len(usable) == 1:
            (mode,) = usable
            self.parts.append({mode: model.new_interval_var(start, task.modes[mode].duration, end, "")})
            self.chosen.append({mode: model.new_constant(1)})
        else:
            picks = {mode: model.new_bool_var(f"mode {index} {mode}") for mode in usable}
            model.add_exactly_one(picks.values())
            self.parts.append(
                {
                    mode: model.new_optional_interval_var(start, task.modes[mode].duration, end, pick, "")
                    for mode, pick in picks.items()
                }
            )
            self.chosen.append(picks)
        model.add(self.makespan >= start + self._tails[index])
        model.add(self.makespan >= end)
        self.starts.append(start)
        self.ends.append(end)

    def _add_renewable(self, number: int, upper: int) -> None:
        intervals: list[cp_model.IntervalVar] = []
        demands: list[int] = []
        for index, mode, units in self.problem.uses[number]:
            intervals.append(self.parts[index][mode])
            demands.append(units)
        for start, end, lost in self.problem.breaks_until(number, upper):
            if lost > 0:
                intervals.append(self.model.new_fixed_size_interval_var(start, end - start, ""))
                demands.append(lost)
        capacity = self.problem.resources[number].capacity
        if intervals and all(2 * units > capacity for units in demands):
            self.model.add_no_overlap(intervals)
        elif intervals:
            self.model.add_cumulative(intervals, demands, capacity)

    def _add_used_up(self, number: int) -> None:
        used = [units * self.chosen[index][mode] for index, mode, units in self.problem.uses[number]]
        self.model.add(sum(used) <= self.problem.resources[number].capacity)

    def hint(self, schedule: Schedule) -> None:
        for index, (start, mode) in enumerate(zip(schedule.starts, schedule.modes, strict=True)):
            self.model.add_hint(self.starts[index], start)
            self.model.add_hint(self.ends[index], start + self.problem.tasks[index].modes[mode].duration)
            if len(self.chosen[index]) > 1:
                for other, pick in self.chosen[index].items():
                    self.model.add_hint(pick, other == mode)
        self.model.add_hint(self.makespan, schedule.makespan(self.problem))

    def read(self, solver: cp_model.CpSolver) -> Schedule:
        modes = (next(m for m, pick in picks.items() if solver.value(pick)) for picks in self.chosen)
        return Schedule(tuple(solver.value(start) for start in self.starts), tuple(modes))


def _warm_start(problem: Problem, bound: int, time_limit_s: float, seed: int) -> Schedule | None:
    """Find a first schedule, and breed a shorter one where the problem is plain."""
    plain = is_plain(problem) and len(problem.tasks) > 1
    best = first_schedule(problem, WARM_SHARE * time_limit_s, seed, rounds=4 if plain else 200)
    if best is None or not plain or best.makespan(problem) <= bound:
        return best
    count = len(problem.tasks)
    share = next(part for most, part in EVOLUTION_SHARES if most is None or count <= most)
    return evolve(problem, best, bound, CHILDREN * count**2, share * time_limit_s, seed)


def _solver(problem: Problem, time_limit_s: float, workers: int, seed: int) -> cp_model.CpSolver:
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = max(0.01, time_limit_s)
    solver.parameters.num_workers = workers
    solver.parameters.random_seed = seed
    if all(len(problem.usable_modes(index)) == 1 for index in range(len(problem.tasks))):
        solver.parameters.linearization_level = 0
        if workers == len(SEARCHES):
            solver.parameters.subsolvers.extend(SEARCHES)
    return solver


def solve(
    problem: Problem,
    time_limit_s: float = 10.0,
    workers: int = 2,
    seed: int = 0,
    first: Schedule | None = None,
) -> Result:
    """Find a shortest schedule.

    Parameters
    ----------
    problem
        What is to be done.
    time_limit_s
        Wall-clock seconds, > 0; the best found by then is returned.
    workers
        Threads, >= 1.
    seed
        Of all random choices.
    first
        A valid schedule to start from, in place of the heuristics'.

    Returns
    -------
    Result
        With a schedule wherever the heuristics or the search found one, and always a bound.

    Raises
    ------
    ValueRefusedError
        For a time limit or a number of workers out of range.
    """
    if not 0 < time_limit_s <= 86400 or workers < 1:
        raise ValueRefusedError(f"time limit {time_limit_s}, workers {workers}: expected more than 0 of each")
    if first is None and is_plain(problem):
        compile_evolution()  # which is not counted
    begun = time.monotonic()
    bound = lower_bound(problem)
    best = first if first is not None else _warm_start(problem, bound, time_limit_s, seed)
    length = None if best is None else best.makespan(problem)
    status: Status = "heuristic" if best is not None else "unknown"
    if length is not None and length <= bound:
        return Result(length, bound, "optimal", time.monotonic() - begun, best)
    whole = _Model(problem, problem.horizon if length is None else length, bound)
    if best is not None:
        whole.hint(best)
    solver = _solver(problem, time_limit_s - (time.monotonic() - begun), workers, seed)
    answer = solver.solve(whole.model)
    if answer == cp_model.MODEL_INVALID:
        raise RuntimeError(f"the constraint model is not valid: {whole.model.validate()}")
    if answer == cp_model.INFEASIBLE:
        return Result(None, bound, "infeasible", time.monotonic() - begun, None)
    bound = max(bound, round(solver.best_objective_bound))
    if answer in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        best, status = whole.read(solver), "optimal" if answer == cp_model.OPTIMAL else "feasible"
        length = best.makespan(problem)
    return Result(length, bound, status, time.monotonic() - begun, best)
