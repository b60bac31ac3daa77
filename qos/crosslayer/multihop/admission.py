"""Which of several demands a network carries at once: joint admission over shared channels.

Each demand may take one of its cheapest routes. A route reserves on every channel the demand's rate over
what the channel admits within the demand's delay bound. Of all choices that overfill no channel the one
is taken that admits most demands of priority 0, then of priority 1 and so on, then with least reserved
in all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from qos.crosslayer.guards import check_positive
from qos.crosslayer.multihop.routing import Capabilities, Route, routes
from qos.demands import FlowDemand
from qos.errors import InfeasibleError, ValueRefusedError
from qos.units import format_rate
from topologies.links import WirelessLink
from topologies.model import Topology

ROUTES_A_DEMAND = 4
SEARCH_STEPS = 200_000
"""Partial choices that the search may look at; past that the best found so far is given."""

_SLACK = 1e-9
_LARGEST_RELAXATION = 1000.0


@dataclass(frozen=True)
class Change:
    """One change of a demand that would let it in beside the admitted ones.

    Attributes
    ----------
    field
        Field of the demand: ``rate_bps``, ``delay_bound_s`` or ``loss``.
    wanted, enough
        What was asked, and the value nearest to it that fits.
    """

    field: str
    wanted: float
    enough: float

    @property
    def factor(self) -> float:
        """How far the two lie apart, at least 1."""
        return max(self.wanted / self.enough, self.enough / self.wanted)

    def __str__(self) -> str:
        if self.field == "rate_bps":
            return f"a rate of {format_rate(int(self.enough))} instead of {format_rate(int(self.wanted))}"
        if self.field == "delay_bound_s":
            return f"a delay bound of {self.enough * 1e3:.4g} ms instead of {self.wanted * 1e3:.4g} ms"
        return f"a loss of {self.enough:.3g} instead of {self.wanted:.3g}"


@dataclass(frozen=True, eq=False)
class Admission:
    """What was decided about one demand.

    Attributes
    ----------
    demand
        What was asked.
    route
        Its path and settings, None if refused.
    rate_bps
        Rate granted, between the least and the wanted one; 0 if refused.
    reason
        Why it was refused, empty if admitted.
    changes
        For a refusal: each change that alone would let it in, the smallest first.
    """

    demand: FlowDemand
    route: Route | None
    rate_bps: float
    reason: str = ""
    changes: tuple[Change, ...] = ()

    @property
    def admitted(self) -> bool:
        """Whether the demand is carried."""
        return self.route is not None


@dataclass(frozen=True, eq=False)
class AdmissionPlan:
    """What was decided about all demands, in the order given.

    Attributes
    ----------
    admissions
        One for each demand.
    reserved
        Share of each channel in use, 0 to 1, by name: ``link from node`` or ``air at node``.
    exact
        Whether the search saw every choice.
    """

    admissions: tuple[Admission, ...]
    reserved: dict[str, float]
    exact: bool


def channels_of(topology: Topology) -> dict[str, tuple[str, ...]]:
    """Names of the channels that each wireless link occupies: the air at both its ends.

    Links at one node whose bands overlap share that node's air: it sends to or hears one at a time.
    Interference between links without a common node is not seen here (see `interferers`).
    """
    at: dict[str, list[str]] = {
        key: [] for key, link in topology.links.items() if isinstance(link, WirelessLink)
    }
    for node in topology.nodes:
        near = [each for key in at if node in ((each := topology.links[key]).source, each.target)]
        radios = [each for each in near if isinstance(each, WirelessLink)]
        graph: nx.Graph[str] = nx.Graph()
        graph.add_nodes_from(each.id for each in radios)
        pairs = ((a, b) for a in radios for b in radios if a.id < b.id)
        graph.add_edges_from((a.id, b.id) for a, b in pairs if _overlap(a, b))
        groups = [sorted(group) for group in nx.connected_components(graph)]
        for number, group in enumerate(sorted(groups), 1):
            name = f"air at {node}" + (f" (channel {number})" if len(groups) > 1 else "")
            for key in group:
                at[key].append(name)
    return {key: tuple(names) for key, names in at.items()}


def _overlap(one: WirelessLink, other: WirelessLink) -> bool:
    return abs(one.frequency_hz - other.frequency_hz) < (one.bandwidth_hz + other.bandwidth_hz) / 2


def admit(
    topology: Topology,
    demands: Sequence[FlowDemand],
    *,
    usable: float = 0.9,
    capabilities: Capabilities | None = None,
) -> AdmissionPlan:
    """Decide which demands are carried together, on which routes and at which rates.

    Parameters
    ----------
    topology
        Wired and wireless links of it are used.
    demands
        What is asked. Elastic ones (`min_rate_bps`) are admitted at their least rate; what is left is then
        given to them in equal steps of their range.
    usable
        Share of a channel that may be reserved, more than 0, at most 1.
    capabilities
        What is known of the links, to share work between calls.

    Raises
    ------
    ValueRefusedError
        If an end of a demand is no node, or `usable` is out of range.
    """
    if check_positive("usable share", usable) > 1:
        raise ValueRefusedError(f"usable share must be at most 1, not {usable!r}")
    known = capabilities or Capabilities(topology)
    names = channels_of(topology)
    options: list[list[_Option]] = []
    reasons: dict[int, str] = {}
    for place, demand in enumerate(demands):
        try:
            found = routes(topology, demand, ROUTES_A_DEMAND, known)
        except InfeasibleError as error:
            found, reasons[place] = (), str(error)
        options.append([_Option.of(route, names) for route in found])
    search = _Search(demands, options, usable)
    search.run()
    rates = _fill(demands, search.chosen, usable)
    load = _load(zip(search.chosen, rates, strict=True))
    admissions = []
    for place, (demand, option, rate) in enumerate(zip(demands, search.chosen, rates, strict=True)):
        if option is not None:
            admissions.append(Admission(demand, option.route, rate))
            continue
        floor = _load((each, _least(d)) for each, d in zip(search.chosen, demands, strict=True))
        judge = _Refusal(topology, demand, known, names, floor, usable)
        reason = reasons.get(place) or judge.reason(options[place])
        admissions.append(Admission(demand, None, 0.0, reason, judge.changes()))
    return AdmissionPlan(tuple(admissions), load, search.exact)


def _least(demand: FlowDemand) -> float:
    return demand.rate_bps if demand.min_rate_bps is None else demand.min_rate_bps


@dataclass(frozen=True, eq=False)
class _Option:
    """A route and the share of each channel that a bit/s on it takes."""

    route: Route
    per_bps: dict[str, float]

    @classmethod
    def of(cls, route: Route, names: dict[str, tuple[str, ...]]) -> _Option:
        per_bps: dict[str, float] = {}
        for hop, most in zip(route.hops, route.admissible_bps, strict=True):
            for name in names.get(hop.link_id, (f"{hop.link_id} from {hop.sender}",)):
                per_bps[name] = per_bps.get(name, 0.0) + 1 / most
        return cls(route, per_bps)

    def most_bps(self, load: dict[str, float], usable: float) -> float:
        """Largest rate that fits beside a load."""
        return max(min((usable - load.get(key, 0.0)) / each for key, each in self.per_bps.items()), 0.0)


def _load(chosen: Iterable[tuple[_Option | None, float]]) -> dict[str, float]:
    load: dict[str, float] = {}
    for option, rate in chosen:
        for key, each in (option.per_bps if option else {}).items():
            load[key] = load.get(key, 0.0) + each * rate
    return load


class _Search:
    """Branch and bound over route choices, demands by falling importance; the first descent is greedy."""

    def __init__(
        self, demands: Sequence[FlowDemand], options: Sequence[Sequence[_Option]], usable: float
    ) -> None:
        self._least = [_least(demand) for demand in demands]
        self._order = sorted(range(len(demands)), key=lambda place: (demands[place].priority, place))
        self._priority = [demands[place].priority for place in range(len(demands))]
        self._options = options
        channels = sorted({key for each in options for option in each for key in option.per_bps})
        self._use = [
            [np.array([option.per_bps.get(key, 0.0) for key in channels]) * least for option in each]
            for each, least in zip(options, self._least, strict=True)
        ]
        self._usable = np.full(len(channels), usable + _SLACK)
        self._picks: list[int | None] = [None] * len(demands)
        self._best: tuple[tuple[int, ...], float] | None = None
        self._steps = 0
        self.chosen: list[_Option | None] = [None] * len(demands)

    @property
    def exact(self) -> bool:
        """Whether every choice was seen."""
        return self._steps < SEARCH_STEPS

    def run(self) -> None:
        """Find the best choice."""
        self._visit(0, np.zeros(len(self._usable)), (0,) * 8)

    def _visit(self, depth: int, load: NDArray[np.float64], admitted: tuple[int, ...]) -> None:
        self._steps += 1
        if self._steps >= SEARCH_STEPS or not self._may_improve(depth, float(load.sum()), admitted):
            return
        if depth == len(self._order):
            self._best = (admitted, float(load.sum()))
            self.chosen = [
                None if pick is None else self._options[place][pick] for place, pick in enumerate(self._picks)
            ]
            return
        place = self._order[depth]
        level = self._priority[place]
        more = (*admitted[:level], admitted[level] + 1, *admitted[level + 1 :])
        for pick, use in enumerate(self._use[place]):
            if (load + use <= self._usable).all():
                self._picks[place] = pick
                self._visit(depth + 1, load + use, more)
        self._picks[place] = None
        self._visit(depth + 1, load, admitted)

    def _may_improve(self, depth: int, reserved: float, admitted: tuple[int, ...]) -> bool:
        """Whether admitting all that is left would beat the best choice."""
        if self._best is None:
            return True
        most = list(admitted)
        least_use = reserved
        for place in self._order[depth:]:
            if self._use[place]:
                most[self._priority[place]] += 1
                least_use += min(float(use.sum()) for use in self._use[place])
        return tuple(most) > self._best[0] or (
            tuple(most) == self._best[0] and least_use < self._best[1] * (1 - 1e-12) - 1e-15
        )


def _fill(demands: Sequence[FlowDemand], chosen: Sequence[_Option | None], usable: float) -> list[float]:
    """Raise the rates from the least towards the wanted ones, all by one share of their range until stuck."""
    low = [_least(demand) if option else 0.0 for demand, option in zip(demands, chosen, strict=True)]
    span = [
        demand.rate_bps - least if option else 0.0
        for demand, option, least in zip(demands, chosen, low, strict=True)
    ]
    share = [0.0] * len(low)
    open_ones = {place for place, each in enumerate(span) if each > 0}
    while open_ones:
        rates = [least + part * each for least, part, each in zip(low, share, span, strict=True)]
        load = _load(zip(chosen, rates, strict=True))
        growing = _load((chosen[place], span[place]) for place in open_ones)
        room = {key: (usable - load[key]) / grows for key, grows in growing.items()}
        step = max(min([*room.values(), *(1 - share[place] for place in open_ones)]), 0.0)
        for place in open_ones:
            share[place] += step
        full = {key for key, left in room.items() if left <= step * (1 + _SLACK)}
        stuck = {place for place in open_ones if (option := chosen[place]) and full & option.per_bps.keys()}
        open_ones -= stuck | {place for place in open_ones if share[place] >= 1 - _SLACK}
    return [least + min(part, 1.0) * each for least, part, each in zip(low, share, span, strict=True)]


def _three_digits(value: float, towards: Callable[[float], int]) -> float:
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{towards(value / step) * step:.6g}")


@dataclass(frozen=True)
class _Refusal:
    """Why a demand does not fit beside a load, and what would."""

    topology: Topology
    demand: FlowDemand
    known: Capabilities
    names: dict[str, tuple[str, ...]]
    load: dict[str, float]
    usable: float

    def reason(self, options: Sequence[_Option]) -> str:
        """Name the channel that is too full on the route that comes nearest."""
        best = max(options, key=lambda option: option.most_bps(self.load, self.usable))
        least = _least(self.demand)
        left = {key: self.usable - self.load.get(key, 0.0) for key in best.per_bps}
        worst = max(best.per_bps, key=lambda key: best.per_bps[key] * least - left[key])
        return (
            f"{worst}: the demand needs {best.per_bps[worst] * least:.1%} of it, "
            f"{max(left[worst], 0):.1%} of the usable {self.usable:.0%} is left"
        )

    def changes(self) -> tuple[Change, ...]:
        """Each change that alone lets the demand in, the smallest first."""
        found = [self._rate(), self._relaxed("delay_bound_s"), self._relaxed("loss")]
        return tuple(sorted((each for each in found if each), key=lambda each: each.factor))

    def _most_bps(self, demand: FlowDemand) -> float:
        try:
            found = routes(self.topology, demand, ROUTES_A_DEMAND, self.known)
        except InfeasibleError:
            return 0.0
        options = (_Option.of(route, self.names) for route in found)
        return max(option.most_bps(self.load, self.usable) for option in options)

    def _rate(self) -> Change | None:
        most = self._most_bps(self.demand)
        return Change("rate_bps", _least(self.demand), _three_digits(most, math.floor)) if most >= 1 else None

    def _relaxed(self, field: str) -> Change | None:
        wanted = getattr(self.demand, field)
        if wanted is None:
            return None
        top = 0.5 / wanted if field == "loss" else _LARGEST_RELAXATION
        if top <= 1:
            return None

        def fits(factor: float) -> bool:
            changed: Callable[..., FlowDemand] = replace
            return self._most_bps(changed(self.demand, **{field: wanted * factor})) >= _least(self.demand)

        if not fits(top):
            return None
        low, high = 1.0, top
        while high / low > 1.01:
            middle = (low * high) ** 0.5
            low, high = (low, middle) if fits(middle) else (middle, high)
        return Change(field, wanted, _three_digits(wanted * high, math.ceil))
