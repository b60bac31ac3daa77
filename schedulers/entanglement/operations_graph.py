"""A protocol as operations in slots, each knowing which must end before it.

The order is the post-order of the protocol tree, the slower input first; names count up within each
kind (``L;3;a;b``, ``D;0;a;c``, ``S;1;b``), as in the published code of arXiv 2111.13124.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from schedulers.entanglement.steps import Label, Step, walk
from schedulers.entanglement.tasks import OperationKind

_ROUNDING = 1e-9
"""A duration this little above a whole number of slots (relative) is that number: 1/100/0.01 is 1 slot."""

_LETTER: dict[OperationKind, str] = {"link": "L", "distill": "D", "swap": "S"}


@dataclass(frozen=True, slots=True)
class PlannedOperation:
    """An operation that is not yet on qubits.

    Attributes
    ----------
    name, kind
        Name within the protocol, and what is done.
    nodes
        Both ends of a link or distilled pair, the one node of a swap.
    duration_slots
        At least 1.
    depth_s
        Length of the longest chain of operations up to and with this one, in seconds.
    parents
        Indices of the operations whose pairs it uses: none for a link, otherwise two.
    fidelity
        Of the pair that it leaves.
    rate_per_s
        Of a link: its mean rate; otherwise 0.
    """

    name: str
    kind: OperationKind
    nodes: tuple[str | int, ...]
    duration_slots: int
    depth_s: float
    parents: tuple[int, ...]
    fidelity: float
    rate_per_s: float = 0.0


def slots_for(duration_s: float, slot_s: float) -> int:
    """Count the slots that a duration takes, at least one.

    Examples
    --------
    >>> slots_for(0.01, 0.01), slots_for(1 / 14.158333, 0.01), slots_for(1 / 1400, 0.01)
    (1, 8, 1)
    """
    return max(1, ceil(duration_s / slot_s * (1 - _ROUNDING)))


def operation_graph(protocol: Step[Label], slot_s: float) -> tuple[PlannedOperation, ...]:
    """List the operations of a protocol, each after those whose pairs it uses.

    Parameters
    ----------
    protocol
        The step that delivers the pair.
    slot_s
        Length of a slot in seconds.

    Returns
    -------
    tuple of PlannedOperation
        In post-order; the last one delivers the pair.
    """
    operations: list[PlannedOperation] = []
    counts: dict[OperationKind, int] = {"link": 0, "distill": 0, "swap": 0}
    waiting: list[int] = []
    for step in walk(protocol):
        taken = len(step.inputs)
        parents = tuple(waiting[len(waiting) - taken :])
        del waiting[len(waiting) - taken :]
        parts = (_LETTER[step.kind], str(counts[step.kind]), *map(str, step.nodes))
        counts[step.kind] += 1
        waiting.append(len(operations))
        operations.append(
            PlannedOperation(
                ";".join(parts),
                step.kind,
                step.nodes,
                slots_for(step.duration_s, slot_s),
                step.depth_s,
                parents,
                step.fidelity,
                step.rate_per_s if step.kind == "link" else 0.0,
            )
        )
    return tuple(operations)
