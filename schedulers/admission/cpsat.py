"""The joint admission by CP-SAT: one literal an option, shares and rounds as integers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ortools.sat.python import cp_model

from schedulers.admission.problem import Problem, Selection
from schedulers.admission.state import violations

SHARE_UNITS = 10**9
"""A channel of capacity 1 has so many units; uses are rounded up."""
_SECOND_UNITS = 10**9
_WEIGHT_UNITS = 1000
_WORK_PER_SECOND = 0.3
"""Deterministic time that the search gets for each second of the limit."""


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """How long to search.

    Attributes
    ----------
    time_limit_s
        Wall-clock limit. The search ends earlier by its own measure of work, so that the same input gives the
        same answer; only where the machine is much slower than that measure does the clock decide.
    seed
        Of the search.
    workers
        Searches that take turns; they run interleaved, so that the result does not depend on threads.
    """

    time_limit_s: float = 10.0
    seed: int = 0
    workers: int = 4


def _variables(model: cp_model.CpModel, problem: Problem) -> list[cp_model.IntVar]:
    taken = [model.new_bool_var(f"o{number}") for number in range(len(problem.options))]
    for numbers in problem.by_demand:
        if len(numbers) > 1:
            model.add_at_most_one(taken[number] for number in numbers)
    return taken


def _hold_capacities(model: cp_model.CpModel, problem: Problem, taken: list[cp_model.IntVar]) -> None:
    on_channel: list[list[tuple[int, int]]] = [[] for _ in problem.capacity]
    for number, option in enumerate(problem.options):
        for channel, share in option.use.items():
            # Sums of rounded-up shares must not overfill what exactly fits.
            units = max(math.ceil(share * SHARE_UNITS - 1e-6), 1)
            on_channel[channel].append((number, units))
    for channel, entries in enumerate(on_channel):
        limit = math.floor(problem.capacity[channel] * SHARE_UNITS + 1e-6)
        worst = {problem.options[number].demand: 0 for number, _ in entries}
        for number, units in entries:
            demand = problem.options[number].demand
            worst[demand] = max(worst[demand], units)
        if sum(worst.values()) > limit:
            model.add(sum(units * taken[number] for number, units in entries) <= limit)


def _hold_delays(model: cp_model.CpModel, problem: Problem, taken: list[cp_model.IntVar]) -> None:
    """Bound the rounds on the way of each option that could exceed its slack."""
    most: list[dict[int, int]] = [{} for _ in problem.base_wait_s]
    terms: list[list[tuple[int, int]]] = [[] for _ in problem.base_wait_s]
    for number, option in enumerate(problem.options):
        for queue, wait in option.waits.items():
            units = math.ceil(wait * _SECOND_UNITS)
            terms[queue].append((number, units))
            most[queue][option.demand] = max(most[queue].get(option.demand, 0), units)
    base = [math.ceil(wait * _SECOND_UNITS) for wait in problem.base_wait_s]
    longest = [base[queue] + sum(found.values()) for queue, found in enumerate(most)]
    rounds: dict[int, cp_model.IntVar] = {}

    def round_of(queue: int) -> cp_model.IntVar:
        if queue not in rounds:
            rounds[queue] = model.new_int_var(base[queue], longest[queue], f"q{queue}")
            model.add(rounds[queue] >= base[queue] + sum(u * taken[number] for number, u in terms[queue]))
        return rounds[queue]

    for number, option in enumerate(problem.options):
        if not math.isfinite(option.slack_s):
            continue
        slack = math.floor(option.slack_s * _SECOND_UNITS + 1e-3)
        if sum(longest[queue] for queue in option.waits) > slack:
            total = sum(round_of(queue) for queue in option.waits)
            model.add(total <= slack).only_enforce_if(taken[number])


def improve(problem: Problem, start: Selection, limits: SearchLimits | None = None) -> Selection:
    """Search for a better admission than one that is known.

    Parameters
    ----------
    problem
        What is to be chosen.
    start
        A valid choice, given as a hint and returned if nothing better is found.
    limits
        How long to search.

    Returns
    -------
    Selection
        The best choice, with the bound that was proven over these options.
    """
    limits = limits or SearchLimits()
    model = cp_model.CpModel()
    taken = _variables(model, problem)
    _hold_capacities(model, problem, taken)
    _hold_delays(model, problem, taken)
    weights = [round(option.weight * _WEIGHT_UNITS) for option in problem.options]
    model.maximize(sum(weight * each for weight, each in zip(weights, taken, strict=True)))
    chosen = {number for number in start.chosen if number is not None}
    for number, each in enumerate(taken):
        model.add_hint(each, number in chosen)
    solver = cp_model.CpSolver()
    solver.parameters.random_seed = limits.seed % 2**31
    solver.parameters.max_time_in_seconds = limits.time_limit_s
    solver.parameters.max_deterministic_time = limits.time_limit_s * _WORK_PER_SECOND
    solver.parameters.num_workers = limits.workers
    solver.parameters.interleave_search = True
    status = solver.solve(model)
    if status == cp_model.MODEL_INVALID:
        raise RuntimeError(f"the admission model is invalid: {model.validate()}")
    bound = min(start.bound, solver.best_objective_bound / _WEIGHT_UNITS)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Selection(start.chosen, start.value, max(bound, start.value), start.method)
    found: list[int | None] = [None] * problem.demands
    for number, option in enumerate(problem.options):
        if solver.boolean_value(taken[number]):
            found[option.demand] = number
    value = sum(problem.options[number].weight for number in found if number is not None)
    better = value > start.value + 1e-9 and not violations(problem, found)
    best = Selection(tuple(found), value, bound, "cpsat") if better else start
    if status == cp_model.OPTIMAL:
        bound = best.value
    return Selection(best.chosen, best.value, max(bound, best.value), best.method)
