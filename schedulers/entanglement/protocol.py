"""Search for a repeater protocol along a path: links, where to swap, where and how to distil.

After arXiv 2111.13124, section IV-A, and its published code: a path is split at a pivot, both halves
are searched for the fidelity that their swap needs, and swapped pairs may be pumped end to end.
Candidates are compared by the rate at which they run once they are mapped to qubits.

Three variants, all deterministic (nothing is drawn at random):

* ``paper`` follows the published code, also where it loses candidates: once the ends have no storage
  left for end-to-end pumping it forgets what it found without pumping.
* ``complete`` (the default) keeps what it found, compares candidates by their rate on qubits at every
  level, tries every pivot on short paths, pumps swapped pairs at most 4 times, and has the result of
  ``paper`` among its candidates, so that it is never slower than that.
* ``quick`` is ``complete`` with fewer pivots and pumps and without ``paper``: for networks with many
  long paths whose links all differ, where the other two take seconds a path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from schedulers.entanglement import fidelity as werner
from schedulers.entanglement.mapping import map_to_qubits
from schedulers.entanglement.operations_graph import operation_graph, slots_for
from schedulers.entanglement.steps import Step, join, link_step
from schedulers.entanglement.tasks import OperationKind
from topologies.links import LinkCapability

Variant = Literal["complete", "quick", "paper"]
VARIANTS: tuple[Variant, ...] = ("complete", "quick", "paper")

EXACT_CANDIDATES = 5
"""On paths of one repeater, so many of the best candidates get their rate from the mapping to qubits."""

ALL_PIVOTS_UP_TO: dict[Variant, int] = {"complete": 6, "quick": 4, "paper": 0}
"""Paths of at most so many nodes are split at every pivot, longer ones where the halves are balanced."""

MOST_PUMPS: dict[Variant, int] = {"complete": 4, "quick": 2, "paper": 1_000_000}
"""A swapped pair is pumped at most so often. More than 4 made no protocol faster in the networks tried (NV
links on lines of up to 6 nodes, SURFnet chains of up to 16) and took 20 times as long to search."""

MAX_LINK_PAIRS = 1024
"""Protocols with more pairs than this on one link are not considered."""

ROUNDING = 1e-9
"""Bounds on fidelities are raised by this (relative), so that rounding never cuts off a protocol."""

Sketch = Step[int]
"""A protocol whose nodes are positions on the path."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How protocols are searched and timed.

    Attributes
    ----------
    variant
        One of `VARIANTS`.
    slot_s
        Length of a slot in seconds, more than 0.
    swap_s, distill_s
        How long a swap and a distillation take in seconds, more than 0.
    """

    variant: Variant = "complete"
    slot_s: float = 0.01
    swap_s: float = 0.01
    distill_s: float = 0.01


@dataclass(frozen=True, slots=True)
class Chain:
    """A path as the search sees it; nodes are positions from 0.

    Attributes
    ----------
    capabilities
        Working points of each of its links, in order.
    communication_qubits, storage_qubits
        Of each of its nodes, one more than links.
    """

    capabilities: tuple[tuple[LinkCapability, ...], ...]
    communication_qubits: tuple[int, ...]
    storage_qubits: tuple[int, ...]

    def part(self, first: int, last: int) -> Chain:
        """Give the part from node `first` to node `last`, both in it."""
        return Chain(
            self.capabilities[first:last],
            self.communication_qubits[first : last + 1],
            self.storage_qubits[first : last + 1],
        )


class _Budget(tuple[tuple[int, int], ...]):
    """Qubits of each node that the search may still count on: of all kinds, and storage."""

    __slots__ = ()

    def less(self, *nodes: int) -> _Budget:
        return _Budget((t - 1, s - 1) if i in nodes else (t, s) for i, (t, s) in enumerate(self))

    def part(self, first: int, last: int) -> _Budget:
        return _Budget(self[first : last + 1])


class _Numbered:
    """A chain with a number that stands for it in keys; its halves are made once."""

    __slots__ = (
        "_halves",
        "_shortest_s",
        "capabilities",
        "communication_qubits",
        "links",
        "number",
        "storage_qubits",
    )

    def __init__(self, chain: Chain, numbers: dict[Chain, int]) -> None:
        self.number = numbers.setdefault(chain, len(numbers))
        self.capabilities = chain.capabilities
        self.communication_qubits = chain.communication_qubits
        self.storage_qubits = chain.storage_qubits
        self.links = len(chain.capabilities)
        self._halves: dict[int, tuple[_Numbered, _Numbered]] = {}
        self._shortest_s = 0.0

    def halves(self, pivot: int, numbers: dict[Chain, int]) -> tuple[_Numbered, _Numbered]:
        if pivot not in self._halves:
            whole = Chain(self.capabilities, self.communication_qubits, self.storage_qubits)
            parts = whole.part(0, pivot), whole.part(pivot, self.links)
            self._halves[pivot] = _Numbered(parts[0], numbers), _Numbered(parts[1], numbers)
        return self._halves[pivot]

    def shortest_link_s(self, slot_s: float) -> float:
        """Least time, in whole slots, that a pair takes on the first or the last link."""
        if not self._shortest_s:
            ends = (self.capabilities[0], self.capabilities[-1])
            fastest = min(max(point.rate_per_s for point in points) for points in ends if points)
            self._shortest_s = slots_for(1 / fastest, slot_s) * slot_s
        return self._shortest_s


class _Workshop:
    """Makes sketches, equal ones only once, so that one can stand for its whole tree in keys."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], Sketch] = {}
        self._shifted: dict[tuple[int, int], Sketch] = {}
        self._loads: dict[int, dict[int, int]] = {}

    def link(self, fidelity: float, rate_per_s: float) -> Sketch:
        key = ("link", fidelity, rate_per_s)
        if key not in self._made:
            self._made[key] = link_step((0, 1), fidelity, rate_per_s)
        return self._made[key]

    def swap(self, pivot: int, left: Sketch, right: Sketch, duration_s: float) -> Sketch:
        rate = min(left.rate_per_s, right.rate_per_s)
        quality = (werner.swap(left.fidelity, right.fidelity), rate)
        return self._join("swap", (pivot,), quality, duration_s, (left, right))

    def distill(
        self, ends: tuple[int, int], pair: Sketch, other: Sketch, rate_per_s: float, duration_s: float
    ) -> Sketch:
        quality = (werner.distill(pair.fidelity, other.fidelity), rate_per_s)
        return self._join("distill", ends, quality, duration_s, (pair, other))

    def _join(
        self,
        kind: OperationKind,
        nodes: tuple[int, ...],
        quality: tuple[float, float],
        duration_s: float,
        inputs: tuple[Sketch, Sketch],
    ) -> Sketch:
        key = (nodes, quality, id(inputs[0]), id(inputs[1]), kind)
        if key not in self._made:
            self._made[key] = join(kind, nodes, quality, duration_s, inputs)
        return self._made[key]

    def at_rate(self, step: Sketch, rate_per_s: float) -> Sketch:
        key = ("rate", id(step), rate_per_s)
        if key not in self._made:
            self._made[key] = step if step.rate_per_s == rate_per_s else step.at_rate(rate_per_s)
        return self._made[key]

    def link_slots(self, step: Sketch, slot_s: float) -> dict[int, int]:
        """Sum for each node the slots in which links of the tree use a communication qubit there."""
        if id(step) not in self._loads:
            loads: dict[int, int] = {}
            if step.kind == "link":
                loads = dict.fromkeys(step.nodes, slots_for(step.duration_s, slot_s))
            for before in step.inputs:
                for node, slots in self.link_slots(before, slot_s).items():
                    loads[node] = loads.get(node, 0) + slots
            self._loads[id(step)] = loads
        return self._loads[id(step)]

    def shifted(self, step: Sketch, by: int) -> Sketch:
        """Move a sketch along the path."""
        key = (id(step), by)
        if key not in self._shifted:
            inputs = tuple(self.shifted(before, by) for before in step.inputs)
            nodes = tuple(node + by for node in step.nodes)
            self._shifted[key] = replace(step, nodes=nodes, inputs=inputs)
        return self._shifted[key]


def _preference(step: Sketch) -> tuple[float, float]:
    return step.rate_per_s, step.fidelity


def _best(steps: Iterable[Sketch]) -> Sketch | None:
    """Give the fastest, then the best; of equals the last, as a stable sort would."""
    ordered = sorted(steps, key=_preference)
    return ordered[-1] if ordered else None


class ProtocolSearch:
    """Finds protocols and remembers what it found, also for equal parts of other paths.

    Parameters
    ----------
    options
        How protocols are searched and timed; what is remembered is valid for these only.
    """

    def __init__(self, options: SearchOptions | None = None) -> None:
        self.options = options or SearchOptions()
        self._keeps = self.options.variant != "paper"
        self._known: dict[tuple[int, _Budget, float], Sketch | None] = {}
        self._chains: dict[Chain, int] = {}
        self._bounds: dict[tuple[int, _Budget], float] = {}
        self._make = _Workshop()
        self._rates: dict[tuple[object, ...], float | None] = {}
        self._paper: ProtocolSearch | None = None
        if self.options.variant == "complete":
            settings = self.options
            self._paper = ProtocolSearch(
                SearchOptions("paper", settings.slot_s, settings.swap_s, settings.distill_s)
            )

    def find(self, chain: Chain, min_fidelity: float) -> Sketch | None:
        """Find a protocol that delivers at least `min_fidelity` between the ends of a path.

        Parameters
        ----------
        chain
            The path, at least one link.
        min_fidelity
            In (0.5, 1].

        Returns
        -------
        Step or None
            Nodes are positions on the path; the rate is what the mapping to qubits achieves. None
            where the search finds nothing.
        """
        totals = (c + s for c, s in zip(chain.communication_qubits, chain.storage_qubits, strict=True))
        budget = _Budget(zip(totals, chain.storage_qubits, strict=True))
        numbered = _Numbered(chain, self._chains)
        candidates = [self._solve(numbered, budget, min_fidelity)]
        if self._paper is not None:
            candidates.append(self._paper.find(chain, min_fidelity))
        timed = (self._timed(numbered, step) for step in candidates if step is not None)
        return _best(step for step in timed if step is not None)

    def fidelity_bound(self, chain: Chain) -> float:
        """Bound the fidelity that `find` can deliver on a path, at whatever rate; 0 for none."""
        totals = (c + s for c, s in zip(chain.communication_qubits, chain.storage_qubits, strict=True))
        budget = _Budget(zip(totals, chain.storage_qubits, strict=True))
        return min(1.0, self._reachable(_Numbered(chain, self._chains), budget))

    # One level of the search.

    def _solve(self, chain: _Numbered, budget: _Budget, target: float) -> Sketch | None:
        key = (chain.number, budget, target)
        if key not in self._known and target > self._reachable(chain, budget):
            self._known[key] = None
        if key not in self._known:
            self._known[key] = (
                self._link(chain, budget, target) if chain.links == 1 else self._split(chain, budget, target)
            )
        return self._known[key]

    def _reachable(self, chain: _Numbered, budget: _Budget) -> float:
        """Bound the fidelity that the search can find, however slow the protocol may be."""
        key = (chain.number, budget)
        if key not in self._bounds:
            self._bounds[key] = (
                self._link_bound(chain, budget) if chain.links == 1 else self._split_bound(chain, budget)
            ) * (1 + ROUNDING)
        return self._bounds[key]

    def _link_bound(self, chain: _Numbered, budget: _Budget) -> float:
        points = [point.fidelity for point in chain.capabilities[0]]
        room = min(total for total, _ in budget)
        if room < 1 or min(chain.communication_qubits) < 1 or not points:
            return 0.0
        best = max(points)
        if room < 2:
            return best
        nested = best
        for _ in range(min(room - 1, MAX_LINK_PAIRS.bit_length() - 1) if room > 2 else 0):
            nested = max(nested, werner.distill(nested, nested))
        return max(werner.pumped_limit(best), nested)

    def _split_bound(self, chain: _Numbered, budget: _Budget) -> float:
        last, best = chain.links, 0.0
        for pivot in range(1, last):
            left_chain, right_chain = chain.halves(pivot, self._chains)
            rest = budget.less(pivot)
            for pumped in (False, True):
                left_over = rest.less(0, last) if pumped else rest
                if min(left_over[0][1], left_over[last][1]) < 0:
                    continue
                left = self._reachable(left_chain, left_over.part(0, pivot))
                right = self._reachable(right_chain, left_over.part(pivot, last))
                if left and right:
                    swapped = werner.swap(left, right)
                    best = max(best, werner.pumped_limit(swapped) if pumped else swapped)
        return best

    def _split(self, chain: _Numbered, budget: _Budget, target: float) -> Sketch | None:
        found: list[Sketch] = []
        if chain.links < ALL_PIVOTS_UP_TO[self.options.variant]:
            for pivot in range(1, chain.links):
                candidate, _, _ = self._at_pivot(chain, budget, target, pivot)
                found += [candidate] if candidate is not None else []
        else:
            low, high = 1, chain.links
            while low < high:
                pivot = (high + low + 1) // 2 - 1
                candidate, left_rate, right_rate = self._at_pivot(chain, budget, target, pivot)
                found += [candidate] if candidate is not None else []
                if left_rate == right_rate:
                    break
                low, high = (low, high - 1) if left_rate < right_rate else (low + 1, high)
        best = _best(step for step in found if step.fidelity >= target)
        return None if best is None else self._timed(chain, best)

    def _at_pivot(
        self, chain: _Numbered, budget: _Budget, target: float, pivot: int
    ) -> tuple[Sketch | None, float, float]:
        """Swap at one node, pump the result 0, 1, 2 ... times; also say both halves' rates."""
        last = chain.links
        budget = budget.less(pivot)
        left_chain, right_chain = chain.halves(pivot, self._chains)
        found: list[tuple[Sketch, float, float]] = []
        pumps = 0
        while (needed := werner.fidelity_for_pumps(pumps, target)) is not None:
            left_over = budget.less(0, last) if pumps else budget
            if left_over[0][1] < 0 or left_over[last][1] < 0:
                if not self._keeps:
                    return None, 0.0, 0.0
                break
            if self._keeps and (
                pumps > MOST_PUMPS[self.options.variant] or self._is_hopeless(chain, pumps, found)
            ):
                break
            half_target = werner.unswap(needed)
            left = self._solve(left_chain, left_over.part(0, pivot), half_target)
            right = left and self._solve(right_chain, left_over.part(pivot, last), half_target)
            if left is not None and right is not None:
                pumped = self._swap_and_pump(left, right, pivot, last, pumps)
                timed = self._timed_if_faster(chain, pumped, found) if self._keeps else pumped
                if timed is not None:
                    found.append((timed, left.rate_per_s, right.rate_per_s))
            pumps += 1
        if last == 2 and not self._keeps:
            found = self._exact(chain, found)
        if not found:
            return None, 0.0, 0.0
        return sorted(found, key=lambda candidate: _preference(candidate[0]))[-1]

    def _is_hopeless(
        self, chain: _Numbered, pumps: int, found: Sequence[tuple[Sketch, float, float]]
    ) -> bool:
        """Say whether so many pumps must be slower than what was found.

        An end makes one pair a pump and one more, one after the other on each communication qubit; a
        swap and a distillation follow the last pair.
        """
        if pumps == 0 or not found:
            return False
        communication = max(1, min(chain.communication_qubits[0], chain.communication_qubits[-1]))
        generations = -(-(pumps + 1) // communication)
        shortest_s = generations * chain.shortest_link_s(self.options.slot_s) + 2 * self.options.slot_s
        return max(candidate.rate_per_s for candidate, _, _ in found) * shortest_s > 1

    def _timed_if_faster(
        self, chain: _Numbered, step: Sketch, found: Sequence[tuple[Sketch, float, float]]
    ) -> Sketch | None:
        """Map a candidate, unless its links alone keep some node's qubits busy for too long."""
        best = max((candidate.rate_per_s for candidate, _, _ in found), default=0.0)
        return self._timed(chain, step) if best * self._least_s(chain, step) <= 1 else None

    def _least_s(self, chain: _Numbered, step: Sketch) -> float:
        loads = self._make.link_slots(step, self.options.slot_s)
        slots = max(-(-load // max(1, chain.communication_qubits[node])) for node, load in loads.items())
        return (slots + (step.kind != "link")) * self.options.slot_s

    def _exact(
        self, chain: _Numbered, found: Sequence[tuple[Sketch, float, float]]
    ) -> list[tuple[Sketch, float, float]]:
        best = sorted(found, key=lambda candidate: _preference(candidate[0]))[-EXACT_CANDIDATES:]
        timed = [(self._timed(chain, step), left, right) for step, left, right in best]
        return [(step, left, right) for step, left, right in timed if step is not None]

    def _swap_and_pump(self, left: Sketch, right: Sketch, pivot: int, last: int, pumps: int) -> Sketch:
        make, options = self._make, self.options
        swapped = make.swap(pivot, left, make.shifted(right, pivot), options.swap_s)
        pumped = swapped
        for i in range(pumps):
            rate = swapped.rate_per_s / (i + 2)
            pumped = make.distill((0, last), pumped, swapped, rate, options.distill_s)
        return pumped

    # A single link.

    def _link(self, chain: _Numbered, budget: _Budget, target: float) -> Sketch | None:
        points = chain.capabilities[0]
        room = min(total for total, _ in budget)
        if room < 1 or min(chain.communication_qubits) < 1:
            return None
        plain = _best(
            self._make.link(point.fidelity, point.rate_per_s) for point in points if point.fidelity >= target
        )
        if plain is not None:
            return plain
        if room < 2:
            return None
        pumped = self._choose(chain, target, (self._pumped(chain, point, target) for point in points))
        if room == 2:
            return pumped
        nested = self._choose(chain, target, (self._nested(chain, point, target, room) for point in points))
        if nested is None or (pumped is not None and nested.rate_per_s <= pumped.rate_per_s):
            return pumped
        return nested

    def _choose(self, chain: _Numbered, target: float, steps: Iterable[Sketch | None]) -> Sketch | None:
        reach = [step for step in steps if step is not None and self._is_enough(step.fidelity, target)]
        if self._keeps:
            return self._fastest(chain, reach)
        best = _best(reach)
        return None if best is None else self._timed(chain, best)

    def _fastest(self, chain: _Numbered, steps: Iterable[Sketch]) -> Sketch | None:
        """Map candidates, those first that can be fastest, until none of the rest can be faster."""
        timed: list[Sketch] = []
        for least_s, _, step in sorted((self._least_s(chain, step), i, step) for i, step in enumerate(steps)):
            if timed and max(done.rate_per_s for done in timed) * least_s > 1:
                break
            done = self._timed(chain, step)
            timed += [done] if done is not None else []
        return _best(timed)

    def _is_enough(self, fidelity: float, target: float) -> bool:
        return fidelity > target or (self._keeps and fidelity == target)

    def _pumped(self, chain: _Numbered, point: LinkCapability, target: float) -> Sketch | None:
        rounds = werner.pump_count(point.fidelity, target)
        if rounds is None or rounds > MAX_LINK_PAIRS:
            return None
        generations = -(-rounds // min(chain.communication_qubits))
        rate = 1 / (generations / point.rate_per_s + rounds * self.options.distill_s)
        pumped = fresh = self._make.link(point.fidelity, point.rate_per_s)
        for _ in range(rounds):
            pumped = self._make.distill((0, 1), pumped, fresh, rate, self.options.distill_s)
        return pumped

    def _nested(self, chain: _Numbered, point: LinkCapability, target: float, room: int) -> Sketch | None:
        pairs = werner.nested_count(point.fidelity, target)
        if pairs is None or pairs > min(2 ** (room - 1), MAX_LINK_PAIRS):
            return None
        communication = min(chain.communication_qubits)
        rounds = werner.generation_rounds(pairs, communication, room - communication)
        if rounds is None:
            return None
        level = self._make.link(point.fidelity, point.rate_per_s)
        while pairs > 1:
            level = self._make.distill((0, 1), level, level, point.rate_per_s, self.options.distill_s)
            pairs //= 2
        return self._make.at_rate(level, point.rate_per_s / rounds)

    # What a candidate is worth on qubits.

    def _timed(self, chain: _Numbered, step: Sketch) -> Sketch | None:
        """Give the step with the rate that its mapping to the chain's qubits achieves."""
        if step.kind == "link":
            return step
        key = (chain.number, step.nodes, *map(id, step.inputs))
        if key not in self._rates:
            counts = dict(enumerate(zip(chain.communication_qubits, chain.storage_qubits, strict=True)))
            mapped = map_to_qubits(operation_graph(step, self.options.slot_s), counts)
            self._rates[key] = None if mapped is None else 1 / (mapped.exec_slots * self.options.slot_s)
        rate = self._rates[key]
        return None if rate is None else self._make.at_rate(step, rate)
