"""Elastic flows move to where more is left: the admission places them by their least rates only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qos.engine.candidates import Candidates
from qos.engine.residual import Residual
from qos.engine.routes import Route
from schedulers.admission.problem import Option
from schedulers.admission.state import Loads

GROWTH = (8.0, 4.0, 2.0, 1.4)
"""A flow moves where it finds so many times what it has."""

PASSES = 2


def at_rate(number: int, route: Route, rate_bps: float) -> Option:
    """Make the option of a route at a granted rate."""
    use = {channel: share * rate_bps for channel, share in route.per_bps.items()}
    return Option(number, 1.0, use, route.waits, route.slack_s)


def spread(
    candidates: Candidates, loads: Loads, routes: dict[int, Route], rates_bps: Mapping[int, float]
) -> bool:
    """Move elastic flows, the one that lacks most first; tell whether any moved.

    Parameters
    ----------
    candidates
        For the search of paths.
    loads
        Of all admitted flows at their granted rates; is changed.
    routes
        Of the admitted flows, by number; is changed.
    rates_bps
        What each is granted at present.
    """
    rates = dict(rates_bps)
    residual = Residual(candidates, loads)
    moved = False
    for _ in range(PASSES):
        before = dict(routes)
        for number in sorted(routes, key=lambda n: (rates[n] / routes[n].demand.rate_bps, n)):
            demand = routes[number].demand
            if rates[number] * GROWTH[-1] > demand.rate_bps or candidates.wishes[number].bonus:
                continue
            loads.remove(number)
            for factor in GROWTH:
                rate_bps = min(rates[number] * factor, demand.rate_bps)
                found = residual.find(replace(demand, min_rate_bps=rate_bps))
                if found is not None:
                    routes[number] = replace(found, demand=demand)
                    rates[number] = rate_bps
                    break
            loads.add(at_rate(number, routes[number], rates[number]))
        if all(routes[n] is before[n] for n in routes):
            break
        moved = True
    return moved
