"""A protocol on the qubits of its nodes: which operation runs when, where, and what it keeps busy.

Three passes (arXiv 2111.13124, section IV, and the published code): as soon as possible; as late as
possible, so that fresh pairs wait little; and swaps and distillations back to early, so that qubits
are freed early. Links are made on communication qubits; where a storage qubit is free at the node,
it is held during the generation and the pair ends up in it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from schedulers.entanglement.operations_graph import PlannedOperation
from schedulers.entanglement.tasks import Interval, Operation

QubitCounts = Mapping[str, tuple[int, int]] | Mapping[int, tuple[int, int]]
"""For each node, how many communication and how many storage qubits it has."""

_NEVER_USED = -1


@dataclass(frozen=True, slots=True)
class MappedProtocol:
    """A protocol with times and qubits, counted from its own start.

    Attributes
    ----------
    operations
        In post-order; the last one delivers the pair.
    exec_slots
        From the first start to the last end.
    occupancy
        For each qubit, the intervals in which it is busy or holds a pair.
    idle_slots
        Slots in which qubits hold a pair that nothing is done with, summed over the qubits.
    fidelities
        Of the pair that each operation leaves.
    """

    operations: tuple[Operation, ...]
    exec_slots: int
    occupancy: Mapping[str, tuple[Interval, ...]]
    idle_slots: int
    fidelities: tuple[float, ...]


@dataclass(slots=True)
class _Placed:
    """An operation while it is being placed; qubits sorted by node and name, kept those that stay locked."""

    planned: PlannedOperation
    index: int
    parents: tuple[int, ...]
    children: tuple[int, ...]
    qubits: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    start: int = 0

    @property
    def duration(self) -> int:
        return self.planned.duration_slots

    @property
    def end(self) -> int:
        return self.start + self.planned.duration_slots

    def shares(self, other: _Placed) -> bool:
        return any(qubit in other.qubits for qubit in self.qubits)


def communication_qubit(node: str | int, number: int) -> str:
    """Name a communication qubit, as ``a-C0``."""
    return f"{node}-C{number}"


def storage_qubit(node: str | int, number: int) -> str:
    """Name a storage qubit, as ``a-S0``."""
    return f"{node}-S{number}"


def node_of(qubit: str) -> str:
    """Give the node of a qubit; node ids may contain dashes.

    Examples
    --------
    >>> node_of("a-b-S0")
    'a-b'
    """
    return qubit.rpartition("-")[0]


def kind_of(qubit: str) -> str:
    """Give ``C`` for a communication qubit, ``S`` for a storage qubit.

    Examples
    --------
    >>> kind_of("a-b-S0")
    'S'
    """
    return qubit.rpartition("-")[2][0]


class _Register:
    """The qubits of the path's nodes while operations are placed one after the other.

    For each qubit that was used: its last busy slot, and whether the last operation left a pair in it.
    """

    def __init__(self, counts: QubitCounts) -> None:
        self.communication: dict[str | int, tuple[str, ...]] = {}
        self.storage: dict[str | int, tuple[str, ...]] = {}
        for node, (communication, storage) in counts.items():
            self.communication[node] = tuple(communication_qubit(node, i) for i in range(communication))
            self.storage[node] = tuple(storage_qubit(node, i) for i in range(storage))
        self._last: dict[str, tuple[int, bool]] = {}

    def last_slot(self, qubit: str) -> int:
        return self._last[qubit][0] if qubit in self._last else _NEVER_USED

    def is_locked(self, qubit: str) -> bool:
        return qubit in self._last and self._last[qubit][1]

    def use(self, placed: _Placed) -> None:
        for qubit in placed.qubits:
            self._last[qubit] = (placed.end - 1, qubit in placed.kept)

    def free_storage(self, node: str | int) -> tuple[int, str] | None:
        """Choose where a fresh pair moves: an unused storage qubit, or one that has long been free.

        The published code changes its choice only for a qubit that is free two slots earlier.
        """
        best: tuple[int, str] | None = None
        for qubit in self.storage[node]:
            last = self.last_slot(qubit)
            if self.is_locked(qubit):
                continue
            margin = 1 if last != _NEVER_USED else 0
            if best is None or last + margin < best[0]:
                best = (last, qubit)
        return best


def _place_link(link: _Placed, register: _Register) -> bool:
    """Start a link on the first communication qubits that allow the earliest start."""
    best: tuple[int, tuple[str, ...]] | None = None
    for choice in product(*(register.communication[node] for node in link.planned.nodes)):
        if any(register.is_locked(qubit) for qubit in choice):
            continue
        lasts = [last for qubit in choice if (last := register.last_slot(qubit)) != _NEVER_USED]
        if lasts:
            places = (register.free_storage(node) for node in link.planned.nodes)
            start = max(lasts + [place[0] for place in places if place is not None]) + 1
        else:
            start = 0
        if best is None or start < best[0]:
            best = (start, choice)
        if start == 0:
            break
    if best is None:
        return False
    link.start, choice = best
    used, kept = [], []
    for node, qubit in zip(link.planned.nodes, choice, strict=True):
        place = register.free_storage(node)
        if place is not None and place[0] < link.start:
            used += [qubit, place[1]]
            kept.append(place[1])
        else:
            used.append(qubit)
            kept.append(qubit)
    link.qubits, link.kept = tuple(sorted(used)), tuple(sorted(kept))
    return True


def _pairs_in(placed: Sequence[_Placed], operation: _Placed) -> tuple[str, ...] | None:
    """Find the qubits at the operation's nodes that hold the pairs of its parents.

    A swap keeps no pair of its own: what it joined still lies where its parents left it.
    """
    names = {str(node) for node in operation.planned.nodes}
    found: list[str] = []
    open_ends = [placed[i] for i in operation.parents]
    while open_ends:
        before = open_ends.pop()
        if before.planned.kind == "swap":
            open_ends += [placed[i] for i in before.parents]
        else:
            found += [qubit for qubit in before.kept if node_of(qubit) in names]
    per_node = 2
    complete = len(set(found)) == len(found) == per_node * len(names)
    return tuple(sorted(found, key=_by_node)) if complete else None


def _by_node(qubit: str) -> tuple[str, str]:
    return node_of(qubit), qubit


def _place_joint(operation: _Placed, placed: Sequence[_Placed], register: _Register) -> bool:
    """Start a swap or distillation as soon as the qubits with its pairs are free."""
    qubits = _pairs_in(placed, operation)
    if qubits is None:
        return False
    operation.qubits = qubits
    operation.start = 1 + max(register.last_slot(qubit) for qubit in qubits)
    # The second of the two at each node keeps the distilled pair.
    operation.kept = qubits[1::2] if operation.planned.kind == "distill" else ()
    return True


def _visit(placed: Sequence[_Placed]) -> list[_Placed]:
    """Order for placing: depth first from the last operation, the deeper parent before the other."""
    order: list[_Placed] = []
    stack = [(placed[-1], False)]
    while stack:
        operation, ready = stack.pop()
        if ready or not operation.parents:
            order.append(operation)
            continue
        stack.append((operation, True))
        parents = sorted(
            (placed[i] for i in operation.parents), key=lambda p: (p.planned.depth_s, p.planned.name)
        )
        stack += [(parent, False) for parent in parents]
    return order


def _as_soon_as_possible(placed: Sequence[_Placed], counts: QubitCounts) -> bool:
    register = _Register(counts)
    for operation in _visit(placed):
        if operation.planned.kind == "link":
            done = _place_link(operation, register)
        else:
            done = _place_joint(operation, placed, register)
        if not done:
            return False
        register.use(operation)
    return True


def _as_late_as_possible(placed: Sequence[_Placed]) -> None:
    first, *others = sorted(placed, key=lambda operation: -operation.start)
    free_until = dict.fromkeys(first.qubits, first.start)
    for operation in others:
        bounds = [
            child.start - operation.duration
            for child in (placed[i] for i in operation.children)
            if operation.shares(child)
        ]
        start = max(operation.start, min(bounds, default=operation.start))
        later = [free_until[qubit] - operation.duration for qubit in operation.qubits if qubit in free_until]
        operation.start = min([start, *later])
        free_until.update(dict.fromkeys(operation.qubits, operation.start))
    earliest = min(operation.start for operation in placed)
    for operation in placed:
        operation.start -= earliest


def _shift_joints_early(placed: Sequence[_Placed]) -> None:
    busy: dict[str, list[Interval]] = {}

    def occupy(operation: _Placed) -> None:
        for qubit in operation.qubits:
            insort(busy.setdefault(qubit, []), (operation.start, operation.end))

    for operation in placed:
        if operation.planned.kind == "link":
            occupy(operation)
    for operation in sorted(placed, key=lambda operation: operation.start):
        if operation.planned.kind == "link":
            continue
        parents = (placed[i] for i in operation.parents)
        ends = [parent.end for parent in parents if parent.shares(operation)]
        for qubit in operation.qubits:
            intervals = busy.get(qubit, [])
            # Intervals are disjoint: the last that begins before the start may reach over it.
            last = bisect_left(intervals, (operation.start,)) - 1
            while last >= 0 and intervals[last][1] > operation.start:
                last -= 1
            if last >= 0:
                ends.append(intervals[last][1])
        operation.start = max(ends, default=0)
        occupy(operation)


def _runs(placed: Sequence[_Placed]) -> dict[str, list[_Placed]]:
    runs: dict[str, list[_Placed]] = {}
    for operation in sorted(placed, key=lambda operation: operation.start):
        for qubit in operation.qubits:
            runs.setdefault(qubit, []).append(operation)
    return runs


def _occupancy(placed: Sequence[_Placed], end: int) -> tuple[dict[str, tuple[Interval, ...]], int]:
    """Join each qubit's operations, and the waits in which it holds a pair, to intervals."""
    occupancy: dict[str, tuple[Interval, ...]] = {}
    idle = 0
    for qubit, runs in _runs(placed).items():
        intervals: list[Interval] = []
        for i, operation in enumerate(runs):
            until = operation.end
            if qubit in operation.kept:
                until = runs[i + 1].start if i + 1 < len(runs) else end
                idle += until - operation.end
            if intervals and intervals[-1][1] == operation.start:
                intervals[-1] = (intervals[-1][0], until)
            else:
                intervals.append((operation.start, until))
        occupancy[qubit] = tuple(intervals)
    return occupancy, idle


def _is_sound(placed: Sequence[_Placed]) -> bool:
    """No two operations at once on a qubit, none before what it needs, no pair overwritten."""
    for operation in placed:
        for parent in (placed[i] for i in operation.parents):
            if parent.shares(operation) and parent.end > operation.start:
                return False
    for qubit, runs in _runs(placed).items():
        for one, other in pairwise(runs):
            if one.end > other.start or (qubit in one.kept and other.planned.kind == "link"):
                return False
    return True


def map_to_qubits(planned: Sequence[PlannedOperation], counts: QubitCounts) -> MappedProtocol | None:
    """Choose times and qubits for the operations of a protocol.

    Parameters
    ----------
    planned
        Operations in post-order, as `operation_graph` gives them.
    counts
        Communication and storage qubits of each node that occurs; keys as in the operations.

    Returns
    -------
    MappedProtocol or None
        None where the qubits do not suffice for the order of operations that is tried.

    Notes
    -----
    Deterministic; O(n^2) in the number of operations at worst, close to linear in practice.
    """
    children: list[list[int]] = [[] for _ in planned]
    for index, operation in enumerate(planned):
        for parent in operation.parents:
            children[parent].append(index)
    placed = [
        _Placed(operation, index, operation.parents, tuple(children[index]))
        for index, operation in enumerate(planned)
    ]
    if not _as_soon_as_possible(placed, counts):
        return None
    _as_late_as_possible(placed)
    _shift_joints_early(placed)
    if not _is_sound(placed):
        return None
    return _finish(placed)


def _finish(placed: Sequence[_Placed]) -> MappedProtocol:
    end = max(operation.end for operation in placed)
    occupancy, idle = _occupancy(placed, end)
    operations = tuple(
        Operation(
            operation.planned.name,
            operation.planned.kind,
            operation.start,
            operation.duration,
            operation.qubits,
            operation.kept,
            operation.parents,
            operation.children,
        )
        for operation in placed
    )
    fidelities = tuple(operation.planned.fidelity for operation in placed)
    return MappedProtocol(operations, end, occupancy, idle, fidelities)
