"""Search for a repeater protocol along a path: links, where to swap, where and how to distil.

After arXiv 2111.13124, section IV-A, and its published code: a path is split at a pivot, both halves
are searched for the fidelity that their swap needs, and swapped pairs may be pumped end to end.
Candidates are compared by the rate at which they run once they are mapped to qubits.

Two variants. ``paper`` follows the published code, also where it loses candidates: once the ends have
no storage left for end-to-end pumping it forgets what it found without pumping, and it looks at
few pivots. ``complete`` (the default) keeps every candidate, tries every pivot on short paths and
never gives a slower protocol than ``paper``. Both are deterministic: nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from schedulers.entanglement import fidelity as werner
from schedulers.entanglement.mapping import map_to_qubits
from schedulers.entanglement.operations_graph import operation_graph
from schedulers.entanglement.steps import Step, join, link_step, relabel
from topologies.links import LinkCapability

Variant = Literal["complete", "paper"]
VARIANTS: tuple[Variant, ...] = ("complete", "paper")

EXACT_CANDIDATES = 5
"""On paths of one repeater, so many of the best candidates get their rate from the mapping to qubits."""

ALL_PIVOTS_UP_TO = 6
"""Paths of at most so many nodes are split at every pivot by the ``complete`` variant."""

Sketch = Step[int]
"""A protocol whose nodes are positions on the path."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How protocols are searched and timed.

    Attributes
    ----------
    variant
        ``complete`` or ``paper``.
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


@dataclass(frozen=True, slots=True)
class _Budget:
    """Qubits of each node that the search may still count on: all kinds together, and storage."""

    total: tuple[int, ...]
    storage: tuple[int, ...]

    def less(self, *nodes: int) -> _Budget:
        total, storage = list(self.total), list(self.storage)
        for node in nodes:
            total[node] -= 1
            storage[node] -= 1
        return _Budget(tuple(total), tuple(storage))

    def part(self, first: int, last: int) -> _Budget:
        return _Budget(self.total[first : last + 1], self.storage[first : last + 1])


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
        self._known: dict[tuple[int, _Budget, float], Sketch | None] = {}
        self._chains: dict[Chain, int] = {}
        self._rates: dict[tuple[int, Sketch], float | None] = {}
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
        found = self._solve(chain, _Budget(tuple(totals), chain.storage_qubits), min_fidelity)
        candidates = [found]
        if self._paper is not None:
            candidates.append(self._paper.find(chain, min_fidelity))
        timed = (self._timed(chain, step) for step in candidates if step is not None)
        return _best(step for step in timed if step is not None)

    # One level of the search.

    def _solve(self, chain: Chain, budget: _Budget, target: float) -> Sketch | None:
        key = (self._number(chain), budget, target)
        if key not in self._known:
            self._known[key] = (
                self._link(chain, budget, target)
                if len(chain.capabilities) == 1
                else self._split(chain, budget, target)
            )
        return self._known[key]

    def _number(self, chain: Chain) -> int:
        return self._chains.setdefault(chain, len(self._chains))

    def _split(self, chain: Chain, budget: _Budget, target: float) -> Sketch | None:
        nodes = len(chain.communication_qubits)
        found: list[Sketch] = []
        if self.options.variant == "complete" and nodes <= ALL_PIVOTS_UP_TO:
            for pivot in range(1, nodes - 1):
                candidate, _, _ = self._at_pivot(chain, budget, target, pivot)
                found += [candidate] if candidate is not None else []
        else:
            low, high = 1, nodes - 1
            while low < high:
                pivot = (high + low + 1) // 2 - 1
                candidate, left_rate, right_rate = self._at_pivot(chain, budget, target, pivot)
                if candidate is not None and candidate.fidelity >= target:
                    found.append(candidate)
                if left_rate == right_rate:
                    break
                low, high = (low, high - 1) if left_rate < right_rate else (low + 1, high)
        best = _best(step for step in found if step.fidelity >= target)
        return None if best is None else self._timed(chain, best)

    def _at_pivot(
        self, chain: Chain, budget: _Budget, target: float, pivot: int
    ) -> tuple[Sketch | None, float, float]:
        """Swap at one node, pump the result 0, 1, 2 ... times; also say both halves' rates."""
        last = len(chain.communication_qubits) - 1
        budget = budget.less(pivot)
        found: list[tuple[Sketch, float, float]] = []
        pumps = 0
        while (needed := werner.fidelity_for_pumps(pumps, target)) is not None:
            left_over = budget.less(0, last) if pumps else budget
            if left_over.storage[0] < 0 or left_over.storage[last] < 0:
                if self.options.variant == "paper":
                    return None, 0.0, 0.0
                break
            half_target = werner.unswap(needed)
            left = self._solve(chain.part(0, pivot), left_over.part(0, pivot), half_target)
            right = self._solve(chain.part(pivot, last), left_over.part(pivot, last), half_target)
            if left is not None and right is not None:
                right = relabel(right, {i: i + pivot for i in range(last - pivot + 1)})
                pumped = self._swap_and_pump(left, right, pivot, last, pumps)
                found.append((pumped, left.rate_per_s, right.rate_per_s))
            pumps += 1
        if last == 2:
            found = self._exact(chain, found)
        if not found:
            return None, 0.0, 0.0
        return sorted(found, key=lambda candidate: _preference(candidate[0]))[-1]

    def _exact(
        self, chain: Chain, found: Sequence[tuple[Sketch, float, float]]
    ) -> list[tuple[Sketch, float, float]]:
        best = sorted(found, key=lambda candidate: _preference(candidate[0]))[-EXACT_CANDIDATES:]
        timed = [(self._timed(chain, step), left, right) for step, left, right in best]
        return [(step, left, right) for step, left, right in timed if step is not None]

    def _swap_and_pump(self, left: Sketch, right: Sketch, pivot: int, last: int, pumps: int) -> Sketch:
        fidelity = werner.swap(left.fidelity, right.fidelity)
        rate = min(left.rate_per_s, right.rate_per_s)
        swapped = join("swap", (pivot,), (fidelity, rate), self.options.swap_s, (left, right))
        pumped = swapped
        for i in range(pumps):
            better = werner.distill(pumped.fidelity, fidelity)
            quality = (better, rate / (i + 2))
            pumped = join("distill", (0, last), quality, self.options.distill_s, (pumped, swapped))
        return pumped

    # A single link.

    def _link(self, chain: Chain, budget: _Budget, target: float) -> Sketch | None:
        points = chain.capabilities[0]
        room = min(budget.total)
        if room < 1 or min(chain.communication_qubits) < 1:
            return None
        plain = _best(
            link_step((0, 1), point.fidelity, point.rate_per_s)
            for point in points
            if point.fidelity >= target
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

    def _choose(self, chain: Chain, target: float, steps: Iterable[Sketch | None]) -> Sketch | None:
        reach = [step for step in steps if step is not None and self._is_enough(step.fidelity, target)]
        if self.options.variant == "complete":
            return _best(timed for step in reach if (timed := self._timed(chain, step)) is not None)
        best = _best(reach)
        return None if best is None else self._timed(chain, best)

    def _is_enough(self, fidelity: float, target: float) -> bool:
        return fidelity > target or (self.options.variant == "complete" and fidelity == target)

    def _pumped(self, chain: Chain, point: LinkCapability, target: float) -> Sketch | None:
        rounds = werner.pump_count(point.fidelity, target)
        if rounds is None or rounds > MAX_LINK_PAIRS:
            return None
        generations = -(-rounds // min(chain.communication_qubits))
        rate = 1 / (generations / point.rate_per_s + rounds * self.options.distill_s)
        fresh = link_step((0, 1), point.fidelity, point.rate_per_s)
        pumped = fresh
        for _ in range(rounds):
            quality = (werner.distill(pumped.fidelity, point.fidelity), rate)
            pumped = join("distill", (0, 1), quality, self.options.distill_s, (pumped, fresh))
        return pumped

    def _nested(self, chain: Chain, point: LinkCapability, target: float, room: int) -> Sketch | None:
        pairs = werner.nested_count(point.fidelity, target)
        if pairs is None or pairs > min(2 ** (room - 1), MAX_LINK_PAIRS):
            return None
        communication = min(chain.communication_qubits)
        rounds = werner.generation_rounds(pairs, communication, room - communication)
        if rounds is None:
            return None
        level = [link_step((0, 1), point.fidelity, point.rate_per_s)] * pairs
        while len(level) > 1:
            level = [
                join(
                    "distill",
                    (0, 1),
                    (werner.distill(one.fidelity, other.fidelity), point.rate_per_s),
                    self.options.distill_s,
                    (one, other),
                )
                for one, other in zip(level[::2], level[1::2], strict=True)
            ]
        return level[0].at_rate(point.rate_per_s / rounds)

    # What a candidate is worth on qubits.

    def _timed(self, chain: Chain, step: Sketch) -> Sketch | None:
        """Give the step with the rate that its mapping to the chain's qubits achieves."""
        if step.kind == "link" and len(chain.capabilities) == 1:
            return step
        key = (self._number(chain), step)
        if key not in self._rates:
            counts = dict(enumerate(zip(chain.communication_qubits, chain.storage_qubits, strict=True)))
            mapped = map_to_qubits(operation_graph(step, self.options.slot_s), counts)
            self._rates[key] = None if mapped is None else 1 / (mapped.exec_slots * self.options.slot_s)
        rate = self._rates[key]
        return None if rate is None else step.at_rate(rate)


MAX_LINK_PAIRS = 1024
"""Protocols with more pairs than this on one link are not considered."""
