"""An independent judge of mapped protocols: whose pair lies in which qubit, slot by slot."""

from __future__ import annotations

from collections.abc import Mapping

from schedulers.entanglement.mapping import MappedProtocol
from schedulers.entanglement.tasks import Operation


def node(qubit: str) -> str:
    return qubit[: qubit.rindex("-")]


def kind(qubit: str) -> str:
    return qubit[qubit.rindex("-") + 1]


def far_ends(operations: tuple[Operation, ...], index: int) -> frozenset[str]:
    """The two nodes whose pair an operation leaves, by its tree alone."""
    operation = operations[index]
    if operation.kind != "swap":
        return frozenset(node(qubit) for qubit in operation.locked_qubits)
    first, second = (far_ends(operations, parent) for parent in operation.parents)
    (pivot,) = {node(qubit) for qubit in operation.qubits}
    assert first & second == {pivot}, "a swap joins two pairs at its own node"
    return first ^ second


def consumer(operations: tuple[Operation, ...], index: int, qubit: str) -> int | None:
    """The operation that uses the pair's half in a qubit: the next one up the tree that acts there."""
    while operations[index].children:
        (index,) = operations[index].children
        if any(node(other) == node(qubit) for other in operations[index].qubits):
            return index
    return None


def complaints(
    mapped: MappedProtocol, counts: Mapping[str, tuple[int, int]], source: str, destination: str
) -> list[str]:
    """Everything that is wrong with a mapped protocol; empty where all is well."""
    operations, wrong = mapped.operations, []
    uses: dict[str, list[tuple[int, int, int]]] = {}
    for index, operation in enumerate(operations):
        begin, end = operation.offset_slots, operation.offset_slots + operation.duration_slots
        if begin < 0 or end > mapped.exec_slots or operation.duration_slots < 1:
            wrong.append(f"{operation.name} runs outside the protocol")
        if not set(operation.locked_qubits) <= set(operation.qubits):
            wrong.append(f"{operation.name} locks what it does not use")
        for qubit in operation.qubits:
            uses.setdefault(qubit, []).append((begin, end, index))
        wrong += shape(operations, index)
    for qubit, runs in uses.items():
        number = int(qubit[qubit.rindex("-") + 2 :])
        if number >= counts[node(qubit)]["CS".index(kind(qubit))]:
            wrong.append(f"{qubit} does not exist")
        wrong += busy(mapped, qubit, sorted(runs))
    if far_ends(operations, len(operations) - 1) != {source, destination}:
        wrong.append("the last operation does not join source and destination")
    if set(mapped.occupancy) != set(uses):
        wrong.append("occupancy names other qubits than the operations")
    return wrong


def shape(operations: tuple[Operation, ...], index: int) -> list[str]:
    operation = operations[index]
    at = {name: [q for q in operation.qubits if node(q) == name] for name in map(node, operation.qubits)}
    kept = sorted(node(qubit) for qubit in operation.locked_qubits)
    match operation.kind:
        case "link":
            good = len(at) == 2 and kept == sorted(at) and not operation.parents
            good = good and all([kind(q) for q in sorted(qs)] in (["C"], ["C", "S"]) for qs in at.values())
        case "swap":
            good = len(at) == 1 and len(operation.qubits) == 2 and kept == []
        case "distill":
            ends = [far_ends(operations, parent) for parent in operation.parents]
            good = sorted(map(len, at.values())) == [2, 2] and kept == sorted(at)
            good = good and ends == [frozenset(at)] * 2
    return [] if good else [f"{operation.name} has wrong qubits {operation.qubits}"]


def busy(mapped: MappedProtocol, qubit: str, runs: list[tuple[int, int, int]]) -> list[str]:
    wrong, slots = [], set()
    for i, (begin, end, index) in enumerate(runs):
        following = runs[i + 1] if i + 1 < len(runs) else None
        slots |= set(range(begin, end))
        if following is not None and following[0] < end:
            wrong.append(f"two operations at once on {qubit}")
        if qubit in mapped.operations[index].locked_qubits:
            wanted = consumer(mapped.operations, index, qubit)
            if wanted != (None if following is None else following[2]):
                wrong.append(f"the pair in {qubit} of {mapped.operations[index].name} is lost or forgotten")
            slots |= set(range(end, mapped.exec_slots if following is None else following[0]))
    covered = [slot for begin, end in mapped.occupancy.get(qubit, ()) for slot in range(begin, end)]
    if covered != sorted(slots):
        wrong.append(f"the occupancy of {qubit} is not what the operations and pairs in it need")
    return wrong
