"""Which flows are admitted together, on which routes and at which rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qos.demands import FlowDemand
from qos.engine.candidates import Candidates, Wish
from qos.engine.network import Network
from qos.engine.residual import Residual
from qos.engine.routes import Route, least_bps
from qos.engine.spread import at_rate, spread
from qos.profiles import find_profile
from schedulers.admission.fill import fill
from schedulers.admission.problem import Problem, Selection
from schedulers.admission.search import search
from schedulers.admission.state import Loads, loads_of


@dataclass(frozen=True, eq=False)
class Admission:
    """What was decided about some demands.

    Attributes
    ----------
    candidates
        Routes that were looked at, and why some demands have none.
    routes
        Route of each admitted demand, by its number.
    rates_bps
        Rate granted to each.
    loads
        What the admitted demands take at their least rates, and the rounds of the queues.
    selection
        How the search ended, with the bound over all paths.
    """

    candidates: Candidates
    routes: dict[int, Route]
    rates_bps: dict[int, float]
    loads: Loads
    selection: Selection

    @property
    def residual(self) -> Residual:
        """What is left."""
        return Residual(self.candidates, self.loads)


def admit(network: Network, wishes: Sequence[Wish], seed: int) -> Admission:
    """Admit demands together.

    Parameters
    ----------
    network
        With the options of the plan.
    wishes
        Demands and what they count.
    seed
        Of the search.
    """
    candidates = Candidates(network, wishes)
    candidates.begin()
    candidates.grow(network.options.routes)
    _, routes = candidates.options()
    problem = candidates.problem()
    found = search(
        problem, time_limit_s=network.options.search_s(len(wishes)), seed=seed, relaxed=candidates.relaxed
    )
    loads = loads_of(problem, found.chosen)
    taken = {number: routes[pick] for number, pick in enumerate(found.chosen) if pick is not None}
    late = _admit_leftovers(candidates, loads, taken)
    rates = _grant(network, taken, wishes)
    if spread(candidates, loads_at(network, taken, rates), taken, rates):
        loads = Loads(problem)
        for number, route in sorted(taken.items()):
            loads.add(route.option(number, wishes[number].weight))
        late += _admit_leftovers(candidates, loads, taken)
        rates = _grant(network, taken, wishes)
    value = found.value + sum(wishes[number].weight for number in late)
    selection = Selection(found.chosen, value, max(_whole(wishes, candidates.bound), value), found.method)
    return Admission(candidates, taken, rates, loads, selection)


def _whole(wishes: Sequence[Wish], bound: float) -> float:
    """Round a bound down where every value is a whole number."""
    whole = all(wish.weight == round(wish.weight) and not wish.bonus for wish in wishes)
    return float(np.floor(bound + 1e-6)) if whole and np.isfinite(bound) else bound


def _admit_leftovers(candidates: Candidates, loads: Loads, taken: dict[int, Route]) -> list[int]:
    """Admit what still fits on some other path beside the chosen ones, the heaviest first."""
    rest = [n for n, found in enumerate(candidates.routes) if found and n not in taken]
    rest.sort(key=lambda n: (-candidates.wishes[n].weight, least_bps(candidates.wishes[n].demand), n))
    residual = Residual(candidates, loads)
    late = []
    for number in rest:
        weight = candidates.wishes[number].weight
        known = (each for each in candidates.routes[number] if loads.fits(each.option(number, weight)))
        route = next(known, None) or residual.find(candidates.wishes[number].demand)
        if route is not None:
            loads.add(route.option(number, weight))
            taken[number] = route
            late.append(number)
    return late


def _grant(network: Network, taken: dict[int, Route], wishes: Sequence[Wish]) -> dict[int, float]:
    """Raise the admitted rates towards the wanted ones, max-min fair; codecs step down.

    What a codec leaves below its next rate goes to those that can take any rate.
    """
    numbers = sorted(taken)
    demands = [wishes[number].demand for number in numbers]
    shares = [taken[number].per_bps for number in numbers]
    least = [least_bps(demand) for demand in demands]
    most = [min(demand.rate_bps, taken[n].most_alone_bps) for n, demand in zip(numbers, demands, strict=True)]
    rates = fill(least, most, shares, network.capacity)
    stepped = [_step(demand, float(rate)) for demand, rate in zip(demands, rates, strict=True)]
    if any(low < rate * (1 - 1e-9) for low, rate in zip(stepped, rates, strict=True)):
        most = [
            now if demand.profile and find_profile(demand.profile).rate_steps_bps else top
            for now, demand, top in zip(stepped, demands, most, strict=True)
        ]
        rates = fill(
            stepped, [max(pair) for pair in zip(stepped, most, strict=True)], shares, network.capacity
        )
        stepped = [_step(demand, float(rate)) for demand, rate in zip(demands, rates, strict=True)]
    return dict(zip(numbers, stepped, strict=True))


def _step(demand: FlowDemand, rate_bps: float) -> float:
    rate_bps = max(rate_bps, least_bps(demand))
    if not demand.profile or rate_bps >= demand.rate_bps * (1 - 1e-9):
        return rate_bps if rate_bps < demand.rate_bps * (1 - 1e-9) else demand.rate_bps
    steps = find_profile(demand.profile).rate_steps_bps
    fitting = [step for step in steps if least_bps(demand) <= step <= rate_bps]
    return float(max(fitting)) if fitting else rate_bps


def loads_at(network: Network, routes: dict[int, Route], rates_bps: dict[int, float]) -> Loads:
    """Give the loads of routes at granted rates."""
    loads = Loads(Problem(0, (), network.capacity, network.base_wait_s))
    for number, route in routes.items():
        loads.add(at_rate(number, route, rates_bps[number]))
    return loads
