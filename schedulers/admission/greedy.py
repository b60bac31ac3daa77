"""Admission one demand after the other: in order of arrival, by worth, or as a relaxation says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from schedulers.admission.problem import Option, Problem, Selection
from schedulers.admission.state import Loads


def _selection(problem: Problem, chosen: dict[int, int], method: str) -> Selection:
    value = sum(problem.options[number].weight for number in chosen.values())
    found = tuple(chosen.get(demand) for demand in range(problem.demands))
    return Selection(found, value, float("inf"), method)


def in_order(
    problem: Problem,
    order: Iterable[int],
    rank: Callable[[Loads, int], float],
    method: str = "greedy",
    given: Sequence[int | None] = (),
) -> Selection:
    """Admit demands one after the other, each on the option of the least rank that fits.

    Parameters
    ----------
    problem
        What is to be chosen.
    order
        Demands by number.
    rank
        Of an option by its number, beside the present loads.
    method
        Name for the result.
    given
        Options that are taken before, by demand.
    """
    loads = Loads(problem)
    chosen: dict[int, int] = {}
    for demand, number in enumerate(given):
        if number is not None:
            loads.add(problem.options[number])
            chosen[demand] = number
    for demand in order:
        if demand in chosen:
            continue
        # Equal ranks keep the order of the options.
        for number in sorted(problem.by_demand[demand], key=lambda each: rank(loads, each)):
            if loads.fits(problem.options[number]):
                loads.add(problem.options[number])
                chosen[demand] = number
                break
    return _selection(problem, chosen, method)


def first_come(problem: Problem) -> Selection:
    """Admit in order of arrival, each demand on its first option or not at all.

    With one option a demand, the shortest path, this is what a network without an engine does.
    """
    first = {numbers[0] for numbers in problem.by_demand if numbers}
    return in_order(
        problem,
        range(problem.demands),
        lambda _, number: 0.0 if number in first else float("inf"),
        "first come",
        (),
    )


def patient(problem: Problem, demand: int) -> bool:
    """Whether a demand has an option that bounds nobody's waits: its packets may wait as all others do."""
    return any(problem.options[number].slack_s == float("inf") for number in problem.by_demand[demand])


def greedy(problem: Problem, *, patient_first: bool = False) -> Selection:
    """Admit by worth: most weight for the least share of what is scarce, each on the emptiest path.

    Parameters
    ----------
    problem
        What is to be chosen.
    patient_first
        Leave for last the demands whose bounds close the queues on their way to others.
    """

    def size(option: Option) -> float:
        return sum(share / problem.capacity[channel] for channel, share in option.use.items())

    def worth(demand: int) -> float:
        return max(
            problem.options[number].weight / max(size(problem.options[number]), 1e-12)
            for number in problem.by_demand[demand]
        )

    def fullness(loads: Loads, number: int) -> float:
        option = problem.options[number]
        after = [(loads.load[c] + share) / loads.capacity[c] for c, share in option.use.items()]
        return max(after, default=0.0) + 0.1 * size(option)

    asked = [demand for demand in range(problem.demands) if problem.by_demand[demand]]
    asked.sort(key=lambda demand: (patient_first and not patient(problem, demand), -worth(demand)))
    return in_order(problem, asked, fullness)
