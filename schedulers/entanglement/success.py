"""Slots and repetitions sized so that each period's pairs are delivered with the demanded probability.

Link attempts are geometric: the mean time of a link is enough for it in 63 % of cases only, so a
schedule whose links last one mean time delivers almost nothing over long paths. Here every link gets
as many slots as the demanded probability needs (slots are added where they raise it most, which is
best as the success of a link is log-concave in its time), and the protocol is run several times in a
period where that takes less time. Several pairs in one coherence window (a *packet*, Beauchamp et al.,
arXiv 2503.12582) are the same with more than one success asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb, log

from schedulers.entanglement import fidelity as werner
from schedulers.entanglement.delivery import Delivery, Physics, deliver
from schedulers.entanglement.mapping import MappedProtocol, QubitCounts, map_to_qubits
from schedulers.entanglement.operations_graph import PlannedOperation
from schedulers.entanglement.tasks import Interval, Operation

MOST_RUNS = 64
"""A period holds at most so many runs of a protocol."""

FIDELITY_ROUNDING = 1e-12
"""A fidelity short of the demanded one by this little is enough: it is rounding."""

_ROUNDS = 8
"""How often sizes are corrected for distillations that decoherence made less likely to succeed."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A protocol with the slots that it gets, and how often it runs in a period.

    Attributes
    ----------
    mapped
        One run.
    runs
        How many, one after the other.
    delivery
        What one run gives.
    probability
        That the runs together deliver all pairs asked for; 1 where links are taken as deterministic.
    """

    mapped: MappedProtocol
    runs: int
    delivery: Delivery
    probability: float

    @property
    def exec_slots(self) -> int:
        """Length of all runs together."""
        return self.runs * self.mapped.exec_slots


def at_least(successes: int, runs: int, probability: float) -> float:
    """Give the probability of at least so many successes in independent runs.

    Examples
    --------
    >>> at_least(1, 2, 0.5), at_least(2, 2, 0.5), at_least(0, 3, 0.1)
    (0.75, 0.25, 1.0)
    """
    if successes <= 0:
        return 1.0
    fewer = sum(comb(runs, i) * probability**i * (1 - probability) ** (runs - i) for i in range(successes))
    return max(0.0, 1 - fewer)


def needed_per_run(successes: int, runs: int, probability: float) -> float:
    """Give the success probability of one run at which `at_least` reaches `probability`.

    Examples
    --------
    >>> round(needed_per_run(1, 2, 0.75), 6)
    0.5
    """
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if at_least(successes, runs, middle) < probability:
            low = middle
        else:
            high = middle
    return high


class Sizer:
    """Sizes one protocol on one path.

    Parameters
    ----------
    planned
        Its operations, with the mean rates of links and the Werner fidelities.
    counts
        Communication and storage qubits of its nodes.
    slot_s
        Length of a slot in seconds.
    physics
        Success probabilities and memories.
    """

    def __init__(
        self, planned: Sequence[PlannedOperation], counts: QubitCounts, slot_s: float, physics: Physics
    ) -> None:
        self._planned = tuple(planned)
        self._counts = counts
        self._slot_s = slot_s
        self._physics = physics
        self._links = [i for i, operation in enumerate(planned) if operation.kind == "link"]
        self._rates = tuple(operation.rate_per_s for operation in planned)

    def deterministic(self, pairs: int = 1) -> Sized | None:
        """Give every link its mean time, as the paper does; None where the qubits do not suffice."""
        mapped = map_to_qubits(self._planned, self._counts)
        if mapped is None:
            return None
        delivery = deliver(mapped, self._rates, self._slot_s, self._physics, by_chance=False)
        return Sized(mapped, pairs, delivery, 1.0)

    def for_probability(
        self, probability: float, most_slots: int, pairs: int = 1, min_fidelity: float = 0.0
    ) -> Sized | None:
        """Find the shortest choice of runs and slots that delivers with a probability.

        More and shorter runs keep pairs waiting less: a longer choice with a better fidelity is taken
        where the shortest one falls below `min_fidelity`.

        Parameters
        ----------
        probability
            That all `pairs` are delivered, in (0, 1).
        most_slots
            All runs together must not be longer.
        pairs
            How many, at least 1.
        min_fidelity
            Of a delivered pair; the best choice is given where none reaches it.

        Returns
        -------
        Sized or None
            None where no choice fits.
        """
        good: Sized | None = None
        nearest: Sized | None = None
        shortest = map_to_qubits(self._with_slots([1] * len(self._links)), self._counts)
        if shortest is None:
            return None
        for runs in range(pairs, MOST_RUNS + 1):
            limit = most_slots if good is None else min(most_slots, good.exec_slots - 1)
            if runs * shortest.exec_slots > limit:
                break
            sized = self._for_runs(runs, probability, limit, pairs)
            if sized is None:
                continue
            if sized.delivery.fidelity >= min_fidelity - FIDELITY_ROUNDING:
                good = sized
            elif nearest is None or sized.delivery.fidelity > nearest.delivery.fidelity:
                nearest = sized
        return good or nearest

    def _for_runs(self, runs: int, probability: float, limit: int, pairs: int) -> Sized | None:
        needed = needed_per_run(pairs, runs, probability)
        others = self._others()
        for _ in range(_ROUNDS):
            slots = self._slots_for(needed / others, limit // runs)
            mapped = None if slots is None else map_to_qubits(self._with_slots(slots), self._counts)
            if mapped is None or runs * mapped.exec_slots > limit:
                return None
            delivery = deliver(mapped, self._rates, self._slot_s, self._physics, by_chance=True)
            reached = at_least(pairs, runs, delivery.probability)
            if reached >= probability:
                return Sized(mapped, runs, delivery, reached)
            # Decoherence lowered the success of distillations below what was reckoned with.
            others *= min(delivery.probability / needed, 1 - 1e-6)
        return None

    def _others(self) -> float:
        """Probability that all swaps and distillations of one run succeed, fresh pairs assumed."""
        product = 1.0
        for operation in self._planned:
            if operation.kind == "swap":
                product *= self._physics.swap_success
            elif operation.kind == "distill":
                first, second = (self._planned[parent].fidelity for parent in operation.parents)
                product *= werner.distill_success(first, second)
        return product

    def _with_slots(self, slots: Sequence[int]) -> list[PlannedOperation]:
        planned = list(self._planned)
        for index, count in zip(self._links, slots, strict=True):
            planned[index] = replace(planned[index], duration_slots=count)
        return planned

    def _success(self, index: int, slots: int) -> float:
        return self._physics.link_success(self._rates[index], slots * self._slot_s)

    def _slots_for(self, wanted: float, limit: int) -> list[int] | None:
        """Share out slots one by one, each to the link whose success it raises most."""
        if wanted >= 1:
            return None
        slots = [self._first_slots(index, limit) for index in self._links]
        if any(count > limit for count in slots):
            return None
        level = sum(log(self._success(index, count)) for index, count in zip(self._links, slots, strict=True))
        gains = [(-self._gain(index, slots[i]), i) for i, index in enumerate(self._links)]
        heapq.heapify(gains)
        while level < log(wanted):
            gain, i = heapq.heappop(gains)
            level -= gain
            slots[i] += 1
            if slots[i] > limit or gain >= 0:
                return None
            heapq.heappush(gains, (-self._gain(self._links[i], slots[i]), i))
        return slots

    def _first_slots(self, index: int, limit: int) -> int:
        """Fewest slots that hold at least one attempt."""
        count = 1
        while count <= limit and self._success(index, count) <= 0:
            count += 1
        return count

    def _gain(self, index: int, slots: int) -> float:
        return log(self._success(index, slots + 1)) - log(self._success(index, slots))


def repeated(mapped: MappedProtocol, runs: int) -> MappedProtocol:
    """Put several runs of a protocol one after the other.

    Names of operations get the number of their run (``L;0;a;b#1``) where there is more than one.
    """
    if runs == 1:
        return mapped
    length, count = mapped.exec_slots, len(mapped.operations)
    operations: list[Operation] = []
    occupancy: dict[str, list[Interval]] = {qubit: [] for qubit in mapped.occupancy}
    for run in range(runs):
        for operation in mapped.operations:
            operations.append(
                replace(
                    operation,
                    name=f"{operation.name}#{run}",
                    offset_slots=operation.offset_slots + run * length,
                    parents=tuple(parent + run * count for parent in operation.parents),
                    children=tuple(child + run * count for child in operation.children),
                )
            )
        for qubit, intervals in mapped.occupancy.items():
            for begin, end in intervals:
                _append(occupancy[qubit], (begin + run * length, end + run * length))
    joined = {qubit: tuple(intervals) for qubit, intervals in occupancy.items()}
    return MappedProtocol(
        tuple(operations), runs * length, joined, runs * mapped.idle_slots, runs * mapped.fidelities
    )


def _append(intervals: list[Interval], new: Interval) -> None:
    if intervals and intervals[-1][1] == new[0]:
        intervals[-1] = (intervals[-1][0], new[1])
    else:
        intervals.append(new)
