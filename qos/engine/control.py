"""The classical messages that an entanglement schedule needs, as demands of profile ``quantum-control``.

The controller announces each slot table to every node of an admitted path; neighbours tell each other of
every link that they made (heralding), and repeaters tell the ends of every swap (the Pauli frame). All of
them must be there within the guard time, the slack between the announcement of a table and its first slot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from qos.demands import FlowDemand
from qos.profiles import find_profile
from schedulers.entanglement.allocation import Admission, Allocation
from topologies.quantum_control import QuantumControl

PROFILE = "quantum-control"
HEADER_BYTES = 64
ENTRY_BYTES = 12
"""Of a table's message, and of each start in it: task, slot, qubits."""


@dataclass(frozen=True, slots=True)
class ControlFlow:
    """Messages from one node to another.

    Attributes
    ----------
    demand
        What they ask of the network.
    serves
        Positions of the demands for entanglement that need them.
    """

    demand: FlowDemand
    serves: tuple[int, ...]


def control_flows(
    allocation: Allocation, control: QuantumControl, without: frozenset[int] = frozenset()
) -> tuple[ControlFlow, ...]:
    """Give the control messages of a schedule, one flow for each pair of nodes that talk.

    Parameters
    ----------
    allocation
        Who is served, how and when.
    control
        Who announces, and the guard time.
    without
        Positions of demands that are not served after all.
    """
    rates: dict[tuple[str, str], float] = {}
    serves: dict[tuple[str, str], set[int]] = {}
    table_s = allocation.task_set.hyperperiod_slots * allocation.task_set.slot_s

    def add(sender: str, receiver: str, bits_per_s: float, position: int) -> None:
        if sender != receiver:
            rates[sender, receiver] = rates.get((sender, receiver), 0.0) + bits_per_s
            serves.setdefault((sender, receiver), set()).add(position)

    packet_bits = 8 * find_profile(PROFILE).packet_bytes
    for one in allocation.admitted:
        if one.position in without:
            continue
        starts = len(allocation.scheduled.schedule.starts[one.task.task_id])
        for node in one.path:
            add(control.controller, node, 8 * (HEADER_BYTES + ENTRY_BYTES * starts) / table_s, one.position)
        runs_per_s = starts / table_s
        for sender, receiver, messages in _protocol_messages(one):
            add(sender, receiver, packet_bits * messages * runs_per_s, one.position)
    least_bps = find_profile(PROFILE).min_rate_bps
    return tuple(
        ControlFlow(_demand(ends, max(rate, least_bps), control), tuple(sorted(serves[ends])))
        for ends, rate in sorted(rates.items())
    )


def _protocol_messages(one: Admission) -> list[tuple[str, str, int]]:
    """Sender, receiver and number of messages of each run: links to neighbours, swaps to the ends."""
    links = max(sum(operation.kind == "link" for operation in one.task.operations), 1)
    swaps = max(sum(operation.kind == "swap" for operation in one.task.operations), 1)
    found = []
    for left, right in pairwise(one.path):
        found += [(left, right, links), (right, left, links)]
    for inner in one.path[1:-1]:
        found += [(inner, end, swaps) for end in (one.path[0], one.path[-1])]
    return found


def _demand(ends: tuple[str, str], rate_bps: float, control: QuantumControl) -> FlowDemand:
    return FlowDemand.from_profile(
        PROFILE,
        *ends,
        rate_bps=float(math.ceil(rate_bps)),
        min_rate_bps=None,
        delay_bound_s=control.guard_time_s,
        jitter_s=None,
        name=f"control/{ends[0]}/{ends[1]}",
    )


def flows_of(flows: Sequence[ControlFlow]) -> Mapping[int, tuple[ControlFlow, ...]]:
    """Give the control flows that each demand for entanglement needs, by its position."""
    found: dict[int, list[ControlFlow]] = {}
    for flow in flows:
        for position in flow.serves:
            found.setdefault(position, []).append(flow)
    return {position: tuple(each) for position, each in found.items()}
