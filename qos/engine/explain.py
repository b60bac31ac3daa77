"""Why a flow is rejected, and the smallest change of one of its figures that admits it.

A change is found by trying it beside the admitted flows, none of which moves: what is said to fit does fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from qos.demands import FlowDemand
from qos.engine.admission import Admission
from qos.engine.residual import Residual
from qos.engine.routes import Route, least_bps
from qos.planning import DemandChange
from qos.units import format_rate

LARGEST_FACTOR = 1e9
"""How far a change may go: from a day to less than a packet's time, from a backbone to a few bit/s."""

NEAR_ENOUGH = 0.005
"""The least change is known when the (logarithmic) interval in which it lies is so short."""

LEAST_RATE_BPS = 1.0
LARGEST_LOSS = 0.5
TIMES = "delay_bound_s+jitter_s"
EVERY = "rate_bps+delay_bound_s+jitter_s+loss"
"""Fields of changes of several figures by one factor, which is then `asked` (1) and `enough`."""


def reason(admission: Admission, number: int) -> str:
    """Say why a demand is not admitted, with the figure.

    Parameters
    ----------
    admission
        What was decided.
    number
        Of a demand without a route.
    """
    found = admission.candidates.routes[number]
    if not found:
        return admission.candidates.reasons[number]
    loads, network = admission.loads, admission.candidates.network

    def lack(route: Route) -> float:
        option = route.option(-1, 1.0)
        return max((share - loads.room(c) for c, share in option.use.items()), default=0.0)

    best = min(found, key=lack)
    option = best.option(-1, 1.0)
    full = loads.overfull(option)
    if full is not None:
        share, room = option.use[full], loads.room(full)
        return (
            f"{network.channel_names[full]} has {room:.1%} left of the usable "
            f"{network.capacity[full]:.0%}, the demand needs {share:.1%} "
            f"({format_rate(math.ceil(least_bps(best.demand)))})"
        )
    wait_s = loads.wait_of(option)
    if wait_s > option.slack_s:
        return (
            f"the queues on the path {' - '.join(best.nodes)} may take {wait_s * 1e3:.4g} ms, "
            f"{option.slack_s * 1e3:.4g} ms are left of the delay bound"
        )
    other = loads.disturbed(option)
    if other is not None:
        name = admission.candidates.wishes[other].demand.name
        return f"its packets would take {name} past its delay bound on {' - '.join(best.nodes)}"
    return "the search for a better admission left it out"


def apply_change(demand: FlowDemand, change: DemandChange) -> FlowDemand:
    """Give the demand with a change made.

    Examples
    --------
    >>> slower = DemandChange("rate_bps", 2e6, 1e6, "a rate of 1mbit instead of 2mbit")
    >>> apply_change(FlowDemand("a", "b", 2e6), slower).rate_bps
    1000000.0
    """
    made: Callable[..., FlowDemand] = replace
    if change.field in (TIMES, EVERY):
        assert change.enough is not None
        return _scaled(demand, change.enough, change.field)
    if change.field == "rate_bps":
        # A rate below the least one takes that with it.
        return made(demand, rate_bps=change.enough, min_rate_bps=None)
    return made(demand, **{change.field: change.enough})


def _scaled(demand: FlowDemand, factor: float, field: str) -> FlowDemand:
    figures: dict[str, Any] = {}
    if demand.delay_bound_s is not None:
        figures["delay_bound_s"] = demand.delay_bound_s * factor
    if demand.jitter_s is not None:
        figures["jitter_s"] = demand.jitter_s * factor
    if field == EVERY:
        least = None if demand.min_rate_bps is None else demand.min_rate_bps / factor
        rate_bps = demand.rate_bps if least is not None else demand.rate_bps / factor
        loss = max(min(demand.loss * factor, LARGEST_LOSS), demand.loss)
        figures |= {"loss": loss, "rate_bps": rate_bps, "min_rate_bps": least}
    made: Callable[..., FlowDemand] = replace
    return made(demand, **figures)


def changes(residual: Residual, demand: FlowDemand) -> tuple[DemandChange, ...]:
    """List changes that admit a demand beside the admitted ones, the smallest first.

    Each is of one figure. Where none of those does, both bounds on time are changed by one factor, and where
    that is not enough every figure.

    Parameters
    ----------
    residual
        What is left.
    demand
        One for which `residual.find` finds nothing.
    """
    ranked = sorted(_found(residual, demand), key=lambda pair: pair[0])
    if not ranked:
        together = (_together(residual, demand, field) for field in (TIMES, EVERY))
        ranked = [found for found in together if found is not None][:1]
    return tuple(change for _, change in ranked)


def _found(residual: Residual, demand: FlowDemand) -> Iterator[tuple[float, DemandChange]]:
    for search in (_slower, _later, _rougher, _lossier):
        found = search(residual, demand)
        if found is not None:
            yield found


def _bisect(fits: Callable[[float], bool], wanted: float, furthest: float, *, down: bool) -> float | None:
    """Find the value nearest to `wanted` that fits, in three digits; None if even the furthest does not."""
    if not fits(furthest):
        return None
    near, far = math.log(wanted), math.log(furthest)
    best = furthest
    while abs(far - near) > NEAR_ENOUGH:
        middle = (near + far) / 2
        value = _three_digits(math.exp(middle), down=down)
        if fits(value):
            far, best = middle, value
        else:
            near = middle
    return best


def _three_digits(value: float, *, down: bool) -> float:
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    rounded = math.floor(value / step) if down else math.ceil(value / step)
    return float(f"{rounded * step:.6g}")


def _slower(residual: Residual, demand: FlowDemand) -> tuple[float, DemandChange] | None:
    wanted = least_bps(demand)
    elastic = demand.min_rate_bps is not None and demand.min_rate_bps < demand.rate_bps
    field = "min_rate_bps" if elastic else "rate_bps"

    def fits(rate_bps: float) -> bool:
        figures: dict[str, Any] = {field: rate_bps}
        if field == "rate_bps" and demand.min_rate_bps is not None:
            figures["min_rate_bps"] = None
        return residual.find(replace(demand, **figures)) is not None

    if field == "rate_bps" and demand.min_rate_bps is not None:
        demand = replace(demand, min_rate_bps=None)
    furthest = max(_three_digits(wanted / LARGEST_FACTOR, down=True), LEAST_RATE_BPS)
    enough = _bisect(fits, wanted, furthest, down=True) if wanted > furthest else None
    if enough is None or enough >= wanted:
        return None
    what = "a least rate" if elastic else "a rate"
    text = f"{what} of {format_rate(int(enough))} instead of {format_rate(int(wanted))}"
    return wanted / enough, DemandChange(field, wanted, enough, text)


def _relaxed(
    residual: Residual, demand: FlowDemand, field: str, furthest: float
) -> tuple[float, float, float] | None:
    """Factor, what was asked, what is enough of a figure that may grow."""
    wanted = getattr(demand, field)
    if wanted is None or wanted >= furthest:
        return None
    made: Callable[..., FlowDemand] = replace

    def fits(value: float) -> bool:
        return residual.find(made(demand, **{field: value})) is not None

    enough = _bisect(fits, wanted, furthest, down=False)
    return None if enough is None else (enough / wanted, wanted, enough)


def _later(residual: Residual, demand: FlowDemand) -> tuple[float, DemandChange] | None:
    if demand.delay_bound_s is None:
        return None
    found = _relaxed(residual, demand, "delay_bound_s", demand.delay_bound_s * LARGEST_FACTOR)
    if found is None:
        return None
    factor, wanted, enough = found
    text = f"a delay bound of {enough * 1e3:.4g} ms instead of {wanted * 1e3:.4g} ms"
    return factor, DemandChange("delay_bound_s", wanted, enough, text)


def _rougher(residual: Residual, demand: FlowDemand) -> tuple[float, DemandChange] | None:
    if demand.jitter_s is None:
        return None
    found = _relaxed(residual, demand, "jitter_s", demand.jitter_s * LARGEST_FACTOR)
    if found is None:
        return None
    factor, wanted, enough = found
    text = f"a jitter of {enough * 1e3:.4g} ms instead of {wanted * 1e3:.4g} ms"
    return factor, DemandChange("jitter_s", wanted, enough, text)


def _together(residual: Residual, demand: FlowDemand, field: str) -> tuple[float, DemandChange] | None:
    if field == TIMES and (demand.delay_bound_s is None or demand.jitter_s is None):
        return None

    def fits(factor: float) -> bool:
        return residual.find(_scaled(demand, factor, field)) is not None

    factor = _bisect(fits, 1.0, LARGEST_FACTOR, down=False)
    if factor is None:
        return None
    eased = _scaled(demand, factor, field)
    parts = []
    if field == EVERY:
        parts.append(f"a rate of {format_rate(int(least_bps(eased)))}")
    if eased.delay_bound_s is not None:
        parts.append(f"a delay bound of {eased.delay_bound_s * 1e3:.4g} ms")
    if eased.jitter_s is not None:
        parts.append(f"a jitter of {eased.jitter_s * 1e3:.4g} ms")
    if field == EVERY:
        parts.append(f"a loss of {eased.loss:.3g}")
    return factor, DemandChange(field, 1.0, factor, " and ".join((", ".join(parts[:-1]), parts[-1])))


def _lossier(residual: Residual, demand: FlowDemand) -> tuple[float, DemandChange] | None:
    found = _relaxed(residual, demand, "loss", LARGEST_LOSS)
    if found is None:
        return None
    factor, wanted, enough = found
    text = f"a loss of {enough:.3g} instead of {wanted:.3g}"
    return factor, DemandChange("loss", wanted, enough, text)
