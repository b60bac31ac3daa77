"""Which paths each demand may take: the fastest, then those that relieve what is scarce (column generation).

Every round solves the linear relaxation over the paths known so far. Its prices say what a share of each
channel is worth; a path that costs a demand less than what it pays now is added. The prices also bound what
any admission on any paths can reach.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qos.demands import FlowDemand
from qos.engine.network import Network, on_wire
from qos.engine.paths import PathFinder, Trees
from qos.engine.routes import Route, RouteMaker, least_bps
from qos.errors import InfeasibleError
from schedulers.admission.problem import Floats, Option, Problem
from schedulers.admission.relaxation import Relaxation, relax

DELAY_WEIGHTS = (0.0, 0.3, 3.0)
"""How much delay counts beside price in the three searches of a round."""

_GAIN = 1e-6


@dataclass(frozen=True, eq=False)
class Wish:
    """A demand and how much it counts.

    Attributes
    ----------
    demand
        What is asked.
    weight
        Value if it is admitted.
    kept
        Path that it had before, as numbers of edges; it is worth `bonus` more.
    bonus
        Value of staying on that path.
    """

    demand: FlowDemand
    weight: float
    kept: tuple[int, ...] = ()
    bonus: float = 0.0


@dataclass
class Candidates:
    """Routes of each demand, and why some have none.

    Attributes
    ----------
    network, wishes
        What they are for.
    routes
        Of each demand, the fastest first.
    reasons
        Of each demand without a route, by number.
    bound
        On the value of any admission over all paths.
    relaxed
        The last relaxation, of the routes as they are; None before the first.
    """

    network: Network
    wishes: Sequence[Wish]
    routes: list[list[Route]] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)
    bound: float = math.inf
    relaxed: Relaxation | None = None
    _tried: list[set[tuple[int, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.finder = PathFinder(self.network)
        self.maker = RouteMaker(self.network)
        self._tried = [set() for _ in self.wishes]
        self.routes = [[] for _ in self.wishes]

    def offer(self, number: int, path: tuple[int, ...] | None) -> bool:
        """Make a route of a path for a demand; False if it has it already or the path cannot serve it."""
        if not path or path in self._tried[number]:
            return False
        self._tried[number].add(path)
        try:
            self.routes[number] += self.maker.routes(self.wishes[number].demand, path)
        except InfeasibleError as error:
            self.reasons.setdefault(number, str(error))
            return False
        self.reasons.pop(number, None)
        return True

    def begin(self) -> None:
        """Offer each demand its kept path, the fastest one, and where that loses too much the cleanest."""
        for number, wish in enumerate(self.wishes):
            self.offer(number, wish.kept)
        sizes = sorted({wish.demand.packet_bytes for wish in self.wishes})
        for size in sizes:
            group = [n for n, wish in enumerate(self.wishes) if wish.demand.packet_bytes == size]
            self._offer_shortest(group, self.network.delay_s(size))
        lossy = [n for n in range(len(self.wishes)) if not self.routes[n] and n in self.reasons]
        if lossy:
            # A radio may lose anything; a wire loses what it loses.
            edges = self.network.edges
            loss = np.array(
                [1.0 if edge.is_radio else -math.log1p(-min(edge.loss, 0.999999)) for edge in edges]
            )
            self._offer_shortest(lossy, loss + 1e-6 * self.network.delay_s(1500))
        for number, wish in enumerate(self.wishes):
            if not self.routes[number] and number not in self.reasons:
                self.reasons[number] = self._no_path(wish.demand)

    def _offer_shortest(self, numbers: Sequence[int], weights: Floats) -> Trees | None:
        if not numbers or not self.network.edges:
            return None
        trees = self.finder.trees(weights, (self.wishes[n].demand.source for n in numbers))
        for number in numbers:
            demand = self.wishes[number].demand
            self.offer(number, self.finder.path(trees, demand.source, demand.destination))
        return trees

    def _no_path(self, demand: FlowDemand) -> str:
        text = f"there is no path for packets from {demand.source} to {demand.destination}"
        first = list(self.network.dead.items())[:2]
        dead = "; ".join(f"{link} carries nothing: {why}" for link, why in first)
        return f"{text} ({dead})" if dead else text

    def options(self) -> tuple[list[Option], list[Route]]:
        """Give the options of all routes, and the routes in the same order."""
        options, routes = [], []
        for number, (wish, found) in enumerate(zip(self.wishes, self.routes, strict=True)):
            for route in found:
                if self.network.most_bps(route.per_bps) < least_bps(wish.demand) * (1 - 1e-9):
                    continue
                same = bool(wish.kept) and tuple(edge.index for edge in route.edges) == wish.kept
                options.append(route.option(number, wish.weight + (wish.bonus if same else 0.0)))
                routes.append(route)
        return options, routes

    def problem(self) -> Problem:
        """Give the admission over the routes known."""
        return Problem(len(self.wishes), self.options()[0], self.network.capacity, self.network.base_wait_s)

    def grow(self, rounds: int) -> None:
        """Add paths until none would help, or so many rounds are over."""
        asked = [n for n, found in enumerate(self.routes) if found and self._finds_room(n)]
        if not asked:
            self.bound = 0.0
            return
        delay_s = self.network.delay_s(1500)
        rates = np.array([edge.rate_bps for edge in self.network.edges])
        for last in [False] * (rounds - 1) + [True]:
            self.relaxed = relax(self.problem())
            price = self.relaxed.price
            per_bps = np.array([sum(price[c] for c in edge.channels) for edge in self.network.edges]) / rates
            added = self._price_out(asked, per_bps, delay_s, offer=not last)
            if not added:
                break

    def _finds_room(self, number: int) -> bool:
        """Whether some path could carry a demand if it were empty; a wider one is offered where needed."""
        rate_bps, capacity = least_bps(self.wishes[number].demand), self.network.capacity
        if any(self.network.most_bps(route.per_bps) >= rate_bps for route in self.routes[number]):
            return True
        ends = (self.wishes[number].demand.source, self.wishes[number].demand.destination)
        wide = np.array(
            [
                edge.rate_bps * min(capacity[channel] for channel in edge.channels) >= rate_bps
                for edge in self.network.edges
            ]
        )
        trees = self.finder.trees(self.network.delay_s(1500), ends[:1], wide)
        self.offer(number, self.finder.path(trees, *ends))
        return any(self.network.most_bps(route.per_bps) >= rate_bps for route in self.routes[number])

    def _price_out(self, asked: Sequence[int], per_bps: Floats, delay_s: Floats, *, offer: bool) -> int:
        assert self.relaxed is not None
        sources = [self.wishes[n].demand.source for n in asked]
        scale = float(per_bps[per_bps > 0].mean()) if (per_bps > 0).any() else 0.0
        delay = delay_s / max(float(delay_s.mean()), 1e-12)
        # With no price at all the number of hops decides.
        weights = [per_bps + (share * scale + 1e-9 * max(scale, 1.0)) * delay for share in DELAY_WEIGHTS]
        trees = [self.finder.trees(weight, sources) for weight in weights]
        exact = self.finder.trees(per_bps, sources)
        capacity = np.asarray(self.network.capacity)
        wires_only = not any(edge.is_radio for edge in self.network.edges)
        bound = float(capacity @ self.relaxed.price)
        added = 0
        for number in asked:
            wish = self.wishes[number]
            ends = (wish.demand.source, wish.demand.destination)
            rate_bps = least_bps(wish.demand)
            # Radios carry no headers of wires; without the factor the bound is higher and still one.
            per_bit = on_wire(wish.demand) if wires_only else 1.0
            least = self.finder.length(exact, *ends) * rate_bps * per_bit
            most = wish.weight + wish.bonus
            bound += max(0.0, most - least)
            if not offer or most - least <= self.relaxed.gain[number] + _GAIN:
                continue
            for tree in trees:
                if self.offer(number, self.finder.path(tree, *ends)):
                    added += 1
                    break
        self.bound = min(self.bound, bound)
        return added
