"""The admission from the cheap searches to the costly one, each starting from the best found before."""

from __future__ import annotations

from dataclasses import replace

from schedulers.admission.greedy import greedy
from schedulers.admission.problem import Problem, Selection
from schedulers.admission.relaxation import Relaxation, relax, round_down

ENOUGH = 1e-6
"""A gap that is not worth a search."""


def search(
    problem: Problem,
    *,
    time_limit_s: float = 10.0,
    seed: int = 0,
    relaxed: Relaxation | None = None,
    known: Selection | None = None,
) -> Selection:
    """Choose options: greedily, by rounding the relaxation, then by CP-SAT in the time given.

    Parameters
    ----------
    problem
        What is to be chosen.
    time_limit_s
        Of CP-SAT.
    seed
        Of CP-SAT.
    relaxed
        The relaxation, if it is known already.
    known
        A valid choice to begin with.
    """
    if not problem.options:
        return Selection((None,) * problem.demands, 0.0, 0.0, "greedy")
    relaxed = relaxed or relax(problem)
    tried = [] if known is None else [known]
    for patient_first in (False, True):
        tried.append(greedy(problem, patient_first=patient_first))
        tried.append(round_down(problem, relaxed, patient_first=patient_first))
    best = max(tried, key=lambda found: found.value)
    best = replace(best, bound=max(relaxed.value, best.value))
    if best.bound - best.value <= ENOUGH * best.bound:
        return best
    from schedulers.admission.cpsat import SearchLimits, improve

    return improve(problem, best, SearchLimits(time_limit_s, seed))
