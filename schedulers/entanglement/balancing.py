"""Which physical qubit of a node plays which part, so that no qubit carries more than it must.

``paper`` is the rule of the published code of arXiv 2111.13124: per task, the parts with the *least*
load go to the qubits with the *most*. ``least-loaded`` (the default) does the opposite, the largest load
to the emptiest qubit (as in list scheduling, Graham 1969), which bounds the largest load.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

from schedulers.entanglement.mapping import (
    QubitCounts,
    communication_qubit,
    kind_of,
    node_of,
    storage_qubit,
)
from schedulers.entanglement.tasks import Operation, PeriodicTask

BalanceRule = Literal["least-loaded", "paper", "none"]
BALANCE_RULES: tuple[BalanceRule, ...] = ("least-loaded", "paper", "none")


def utilisation(tasks: Iterable[PeriodicTask]) -> dict[str, float]:
    """Sum for each qubit the share of time in which tasks hold it; above 1 no schedule exists."""
    total: dict[str, float] = {}
    for task in tasks:
        for qubit, share in _shares(task).items():
            total[qubit] = total.get(qubit, 0.0) + share
    return total


def _shares(task: PeriodicTask) -> dict[str, float]:
    return {
        qubit: sum(end - begin for begin, end in intervals) / task.period_slots
        for qubit, intervals in task.occupancy.items()
    }


def _group(qubit: str) -> tuple[str, str]:
    return node_of(qubit), kind_of(qubit)


class Balancer:
    """Gives tasks their physical qubits, one task after the other.

    Parameters
    ----------
    counts
        Communication and storage qubits of each node.
    rule
        ``least-loaded``, ``paper`` or ``none``.
    """

    def __init__(self, counts: QubitCounts, rule: BalanceRule = "least-loaded") -> None:
        self._rule = rule
        self.loads: dict[str, float] = {}
        self._groups: dict[tuple[str, str], list[str]] = {}
        for node, (communication, storage) in counts.items():
            qubits = [communication_qubit(node, i) for i in range(communication)]
            qubits += [storage_qubit(node, i) for i in range(storage)]
            for qubit in qubits:
                self._groups.setdefault(_group(qubit), []).append(qubit)
                self.loads[qubit] = 0.0

    def place(self, task: PeriodicTask) -> PeriodicTask:
        """Give the task on the qubits that the rule chooses, and count its load there."""
        shares = _shares(task)
        names = dict(zip(shares, shares, strict=True)) if self._rule == "none" else self._names(shares)
        for part, qubit in names.items():
            self.loads[qubit] += shares[part]
        return on_qubits(task, names)

    def propose(self, task: PeriodicTask) -> PeriodicTask:
        """Give the task on the qubits that the rule would choose now, without counting its load."""
        before = dict(self.loads)
        found = self.place(task)
        self.loads = before
        return found

    def _names(self, shares: Mapping[str, float]) -> dict[str, str]:
        parts: dict[tuple[str, str], list[tuple[float, str]]] = {}
        for part, share in shares.items():
            parts.setdefault(_group(part), []).append((share, part))
        names: dict[str, str] = {}
        for group, wanted in parts.items():
            if self._rule == "paper":
                ordered = sorted(wanted)
                free = sorted(self._groups[group], key=lambda qubit: (-self.loads[qubit], qubit))
            else:
                ordered = sorted(wanted, key=lambda pair: (-pair[0], pair[1]))
                free = sorted(self._groups[group], key=lambda qubit: (self.loads[qubit], qubit))
            names.update({part: qubit for (_, part), qubit in zip(ordered, free, strict=False)})
        return names


def on_qubits(task: PeriodicTask, names: Mapping[str, str]) -> PeriodicTask:
    """Give a task with its qubits renamed."""
    operations = tuple(_operation_on(operation, names) for operation in task.operations)
    occupancy = {names[qubit]: intervals for qubit, intervals in task.occupancy.items()}
    return replace(task, occupancy=occupancy, operations=operations)


def _operation_on(operation: Operation, names: Mapping[str, str]) -> Operation:
    return replace(
        operation,
        qubits=tuple(names[qubit] for qubit in operation.qubits),
        locked_qubits=tuple(names[qubit] for qubit in operation.locked_qubits),
    )


def balanced(
    tasks: Iterable[PeriodicTask], counts: QubitCounts, rule: BalanceRule = "least-loaded"
) -> tuple[PeriodicTask, ...]:
    """Place all tasks anew, in their order.

    Parameters
    ----------
    tasks
        Tasks on any qubits of their nodes.
    counts
        Communication and storage qubits of each node.
    rule
        See the module's words.
    """
    balancer = Balancer(counts, rule)
    return tuple(balancer.place(task) for task in tasks)
