"""The entanglement part of a plan: who is served, when, and what the classical network must carry for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qos.demands import EntanglementDemand
from qos.engine.control import ControlFlow, control_flows, flows_of
from qos.errors import ValueRefusedError
from qos.planning import (
    DemandChange,
    EntanglementRequest,
    EntanglementSchedule,
    PlannedEntanglement,
    PlannedFlow,
    PlanOptions,
    Rejection,
    TaskRow,
)
from schedulers.entanglement.allocation import Admission, Allocation, allocate
from schedulers.entanglement.compile import CompileOptions, Packet
from schedulers.entanglement.cpsat.outcome import Options
from schedulers.entanglement.room import Change
from topologies.model import Topology
from topologies.quantum_control import QuantumControl

log = logging.getLogger(__name__)

PATHS = 3
"""Paths that the scheduler may choose among for each demand."""

COMPILING = (CompileOptions(paths=PATHS), CompileOptions(paths=PATHS, rounding="power-of-two"))
"""How demands become tasks: with the periods asked for, or where those together make too long a table with
the next shorter powers of two, which never serve anyone less often."""

LONGEST_PERIOD_SLOTS = 1 << 16
"""Who wants to be served less often is served this often beside rounded periods: costs nobody much."""


@dataclass(frozen=True, eq=False)
class Entanglement:
    """What was decided about the demands for entanglement, before the classical network has its say.

    Attributes
    ----------
    requests
        As asked, in the order in which they were offered to the scheduler.
    allocation
        Who is served and when.
    control
        Who announces and how long before; None where the topology does not say.
    flows
        Control messages of the admitted demands.
    """

    requests: tuple[EntanglementRequest, ...]
    allocation: Allocation
    control: QuantumControl | None
    flows: tuple[ControlFlow, ...]


def allocate_pairs(
    topology: Topology,
    requests: Sequence[EntanglementRequest],
    options: PlanOptions,
    seed: int,
    kept: frozenset[str] = frozenset(),
) -> Entanglement | None:
    """Schedule the demands for entanglement; None where there are none.

    Parameters
    ----------
    topology
        Quantum links and the control.
    requests
        What is asked.
    options
        Time limit, and whether to look for changes.
    seed
        Of the search.
    kept
        Names of demands that were served before: they come first and the others are admitted beside them.
    """
    if not requests:
        return None
    ordered = tuple(sorted(requests, key=lambda one: one.name not in kept))
    asked = [(one.demand, Packet(one.pairs, one.window_s)) for one in ordered]
    search = Options(
        mode="online" if kept else "batch",
        time_limit_s=options.search_s(100 * len(requests)),
        workers=1,
        seed=seed,
    )
    found = _allocate(topology, asked, search, explain=options.explain)
    flows = () if topology.quantum is None else control_flows(found, topology.quantum)
    return Entanglement(ordered, found, topology.quantum, flows)


def _allocate(
    topology: Topology, asked: Sequence[tuple[EntanglementDemand, Packet]], search: Options, *, explain: bool
) -> Allocation:
    """Schedule with the periods asked for; where their table would be too long, with rounded ones."""
    exact, rounded = COMPILING
    try:
        return allocate(topology, asked, exact, options=search, with_changes=explain)
    except ValueRefusedError as error:
        log.info("%s", error)
    often = [(at_least_once_a_table(demand), packet) for demand, packet in asked]
    return allocate(topology, often, rounded, options=search, with_changes=explain)


def at_least_once_a_table(demand: EntanglementDemand) -> EntanglementDemand:
    """Give a demand with a period of at most `LONGEST_PERIOD_SLOTS`, for rounded periods.

    Examples
    --------
    >>> at_least_once_a_table(EntanglementDemand("a", "b", 1e-9, 0.7)).rate_ebit_per_s > 1e-3
    True
    """
    least = 1 / (LONGEST_PERIOD_SLOTS * COMPILING[1].search.slot_s)
    return replace(demand, rate_ebit_per_s=least) if 0 < demand.rate_ebit_per_s < least else demand


@dataclass(frozen=True, eq=False)
class Outcome:
    """The entanglement part of a plan.

    Attributes
    ----------
    planned
        Admitted demands by name.
    rejected
        The others.
    schedule
        Who runs when.
    """

    planned: dict[str, PlannedEntanglement]
    rejected: tuple[Rejection, ...]
    schedule: EntanglementSchedule


def outcome(
    found: Entanglement, carried: Mapping[str, PlannedFlow], refused: Mapping[int, Rejection]
) -> Outcome:
    """Make the entanglement part of a plan.

    Parameters
    ----------
    found
        What the scheduler decided.
    carried
        The planned control flows by name.
    refused
        What the classical network cannot control, by position.
    """
    needed = flows_of(found.flows)
    planned = {}
    for one in found.allocation.admitted:
        if one.position not in refused:
            names = tuple(flow.demand.name for flow in needed.get(one.position, ()))
            planned[found.requests[one.position].name] = _planned(found, one, names, carried)
    rejected = [
        _rejection(found, each.position, each.reason, each.changes) for each in found.allocation.rejected
    ]
    rejected += refused.values()
    order = {request.name: place for place, request in enumerate(found.requests)}
    return Outcome(
        planned, tuple(sorted(rejected, key=lambda each: order[each.name])), _schedule(found, set(refused))
    )


def _planned(
    found: Entanglement, one: Admission, control: tuple[str, ...], carried: Mapping[str, PlannedFlow]
) -> PlannedEntanglement:
    delay_s = max((carried[name].delay_predicted_s for name in control), default=0.0)
    text = f"served every {one.task.period_slots * found.allocation.task_set.slot_s:g} s"
    if found.control is not None:
        guard_s = found.control.guard_time_s
        text += f"; control messages take {delay_s * 1e3:.4g} ms, the guard time is {guard_s * 1e3:.4g} ms"
    return PlannedEntanglement(
        name=found.requests[one.position].name,
        source=one.demand.source,
        destination=one.demand.destination,
        path=one.path,
        rate_ebit_per_s=one.rate_ebit_per_s,
        min_fidelity=one.demand.min_fidelity,
        task_id=one.task.task_id,
        control=control,
        control_delay_s=None if found.control is None else delay_s,
        reason=text,
    )


def _rejection(found: Entanglement, position: int, reason: str, changes: Sequence[Change]) -> Rejection:
    request = found.requests[position]
    made = tuple(_change(each) for each in changes)
    return Rejection(
        request.name,
        "entanglement",
        request.demand.source,
        request.demand.destination,
        reason,
        made[0] if made else None,
        made[1:],
    )


def _change(change: Change) -> DemandChange:
    return DemandChange(change.field, change.asked, change.possible, str(change))


def guard_refusal(
    request: EntanglementRequest, control: QuantumControl, reason: str, enough_s: float | None
) -> Rejection:
    """Refuse a demand whose control messages the classical network cannot carry in time.

    Parameters
    ----------
    request
        The demand.
    control
        The guard time.
    reason
        Why, with the figure.
    enough_s
        Guard time that would do; None where none was found.
    """
    change = None
    if enough_s is not None:
        text = f"a guard time of {enough_s * 1e3:.4g} ms instead of {control.guard_time_s * 1e3:.4g} ms"
        change = DemandChange("guard_time_s", control.guard_time_s, enough_s, text)
    ends = (request.demand.source, request.demand.destination)
    return Rejection(request.name, "entanglement", *ends, reason, change)


def _schedule(found: Entanglement, without: set[int]) -> EntanglementSchedule:
    allocation, control = found.allocation, found.control
    task_set, scheduled = allocation.task_set, allocation.scheduled
    served = [one for one in allocation.admitted if one.position not in without]
    rows = tuple(
        TaskRow(
            task_id=one.task.task_id,
            name=found.requests[one.position].name,
            period_slots=one.task.period_slots,
            exec_slots=one.task.exec_slots,
            starts=tuple(scheduled.schedule.starts[one.task.task_id]),
            occupancy={qubit: tuple(parts) for qubit, parts in sorted(one.task.occupancy.items())},
        )
        for one in served
    )
    return EntanglementSchedule(
        slot_s=task_set.slot_s,
        hyperperiod_slots=task_set.hyperperiod_slots,
        status=scheduled.status,
        rate_ebit_per_s=sum(one.rate_ebit_per_s for one in served),
        bound_ebit_per_s=scheduled.bound_ebit_per_s,
        guard_time_s=None if control is None else control.guard_time_s,
        controller="" if control is None else control.controller,
        tasks=rows,
    )


def without(found: Entanglement, positions: set[int]) -> Entanglement:
    """Leave out the control messages of demands that are not served after all."""
    if found.control is None:
        return found
    return replace(found, flows=control_flows(found.allocation, found.control, frozenset(positions)))
