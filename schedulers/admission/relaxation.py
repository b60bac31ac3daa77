"""The linear relaxation of the admission: fractions of demands on fractions of paths, by HiGHS.

The delays are left out, so its value is a bound on that of any admission over the same options; its prices
say which other paths would help (column generation), and give a bound over all paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

from schedulers.admission.greedy import in_order, patient
from schedulers.admission.problem import Floats, Problem, Selection
from schedulers.admission.state import Loads

_WHOLE = 1 - 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Relaxation:
    """Solution of the relaxation.

    Attributes
    ----------
    value
        Its objective: a bound over the options given.
    fraction
        Of each option that is taken, 0 to 1.
    price
        Of each channel: what a unit more of it would be worth; at least 0.
    gain
        Of each demand: its weight less what its best path costs at these prices; at least 0.
    """

    value: float
    fraction: Floats
    price: Floats
    gain: Floats


def relax(problem: Problem) -> Relaxation:
    """Solve the relaxation.

    Raises
    ------
    RuntimeError
        If the solver fails, which a well-formed problem does not make it do.
    """
    count, channels = len(problem.options), len(problem.capacity)
    if not count:
        return Relaxation(0.0, np.zeros(0), np.zeros(channels), np.zeros(problem.demands))
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for number, option in enumerate(problem.options):
        rows.append(option.demand)
        columns.append(number)
        values.append(1.0)
        for channel, share in option.use.items():
            rows.append(problem.demands + channel)
            columns.append(number)
            values.append(share)
    matrix = sparse.csr_array((values, (rows, columns)), shape=(problem.demands + channels, count))
    limit = np.concatenate([np.ones(problem.demands), np.asarray(problem.capacity, dtype=np.float64)])
    weight = np.array([option.weight for option in problem.options])
    found = optimize.linprog(-weight, A_ub=matrix, b_ub=limit, bounds=(0, None), method="highs")
    if found.status != 0:
        raise RuntimeError(f"the relaxation of the admission was not solved: {found.message}")
    duals = np.maximum(-np.asarray(found.ineqlin.marginals), 0.0)
    gain, price = duals[: problem.demands], duals[problem.demands :]
    return Relaxation(float(-found.fun), np.clip(np.asarray(found.x), 0.0, 1.0), price, gain)


def priced(problem: Problem, price: Sequence[float] | Floats) -> Floats:
    """Give what each option costs at the prices of the channels."""
    return np.array([sum(price[c] * share for c, share in option.use.items()) for option in problem.options])


def round_down(problem: Problem, found: Relaxation, *, patient_first: bool = False) -> Selection:
    """Make an admission of the fractions: the nearly whole first, then by worth at the prices.

    Parameters
    ----------
    problem, found
        The admission and its relaxation.
    patient_first
        As for `schedulers.admission.greedy.greedy`.
    """
    cost = priced(problem, found.price)
    weight = np.array([option.weight for option in problem.options])
    gain = weight - cost
    best = [
        max(((found.fraction[n], gain[n]) for n in numbers), default=(0.0, 0.0))
        for numbers in problem.by_demand
    ]
    worth = [max((gain[n] / weight[n] for n in numbers), default=0.0) for numbers in problem.by_demand]
    order = sorted(
        (demand for demand in range(problem.demands) if problem.by_demand[demand]),
        key=lambda demand: (
            patient_first and not patient(problem, demand),
            best[demand][0] < _WHOLE,
            -worth[demand],
            -best[demand][0],
            demand,
        ),
    )

    def rank(_: Loads, number: int) -> float:
        return float(-found.fraction[number] - 1e-3 * gain[number] / weight[number])

    return in_order(problem, order, rank, "relaxation")
