"""One call from a network and demands to who is served, how and when, and what the others could have.

``allocate`` compiles, schedules, judges and explains; `qos schedule` and the engine are made of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from qos.demands import EntanglementDemand
from schedulers.entanglement.compile import Asked, Compiled, CompiledDemand, CompileOptions, Compiler, Packet
from schedulers.entanglement.cpsat.outcome import Options, Status
from schedulers.entanglement.metrics import ScheduleMetrics, measure
from schedulers.entanglement.room import Change, Room
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet
from schedulers.entanglement.verify import verify
from topologies.model import Topology

CPSAT = "cpsat"


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A judged schedule of a task set.

    Attributes
    ----------
    schedule
        Who runs when, and on which path.
    status
        As of `Outcome`; ``heuristic`` for the paper's schedulers.
    bound_ebit_per_s
        Proven bound on the throughput; None from the paper's schedulers.
    seconds
        Wall-clock time of the scheduler, without compilation.
    interrupted
        The user stopped it.
    value, bound, gap
        The objective reached, the proven bound on it and how far apart they are, as of `Outcome`; None from
        the paper's schedulers.
    """

    schedule: Schedule
    status: Status
    bound_ebit_per_s: float | None
    seconds: float
    interrupted: bool = False
    value: float | None = None
    bound: float | None = None
    gap: float | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """A demand that is served.

    Attributes
    ----------
    position
        Of the demand among those asked; also the id of its task.
    demand, packet
        As asked.
    path
        Node ids from source to destination.
    task
        What runs for it.
    rate_ebit_per_s
        What it gets: packets times pairs a second.
    """

    position: int
    demand: EntanglementDemand
    packet: Packet
    path: tuple[str, ...]
    task: PeriodicTask
    rate_ebit_per_s: float


@dataclass(frozen=True, slots=True)
class Rejection:
    """A demand that is not served.

    Attributes
    ----------
    position
        Of the demand among those asked.
    demand, packet
        As asked.
    reason
        Why, in one line.
    changes
        Changes of one figure each with which it would be served beside those admitted, the smallest first.
    """

    position: int
    demand: EntanglementDemand
    packet: Packet
    reason: str
    changes: tuple[Change, ...] = ()

    @property
    def smallest_change(self) -> Change | None:
        """The first of the changes; None if none was found."""
        return self.changes[0] if self.changes else None


@dataclass(frozen=True, slots=True)
class Allocation:
    """What `allocate` decided.

    Attributes
    ----------
    admitted, rejected
        Every demand is in one of the two, in order of arrival.
    task_set
        The tasks on the paths chosen; what `scheduled.schedule` is valid for.
    scheduled
        The schedule, its status and bound.
    metrics
        Throughput, jitter, fairness.
    compiled
        What the demands were compiled to.
    """

    admitted: tuple[Admission, ...]
    rejected: tuple[Rejection, ...]
    task_set: TaskSet
    scheduled: Scheduled
    metrics: ScheduleMetrics
    compiled: Compiled


def schedule_tasks(
    task_set: TaskSet,
    scheduler: str = CPSAT,
    options: Options | None = None,
    budget_slots: int | None = None,
) -> Scheduled:
    """Schedule a task set by name and have the schedule judged.

    Parameters
    ----------
    task_set
        The tasks; only ``cpsat`` uses their alternatives.
    scheduler
        ``cpsat`` or one of the paper's names (`schedulers.entanglement.scheduler.SCHEDULERS`).
    options
        For ``cpsat``.
    budget_slots
        For the preemptive ones: a budget for every task.

    Raises
    ------
    ValueRefusedError
        If there is no such scheduler or it takes no budget.
    InfeasibleError
        As `optimise`.
    """
    if scheduler == CPSAT:
        from schedulers.entanglement.cpsat.optimise import optimise

        outcome = optimise(task_set, options)
        found = Scheduled(
            outcome.schedule,
            outcome.status,
            outcome.bound_ebit_per_s,
            outcome.seconds,
            outcome.interrupted,
            outcome.value,
            outcome.bound,
            outcome.gap,
        )
    else:
        from schedulers.entanglement.admission import admit
        from schedulers.entanglement.scheduler import get_scheduler

        chosen = get_scheduler(scheduler, budget_slots)
        admit(replace(task_set, tasks=task_set.tasks[:1]), chosen)  # compiles, which is not counted
        begun = time.perf_counter()
        found = Scheduled(admit(task_set, chosen), "heuristic", None, 0.0)
        found = replace(found, seconds=time.perf_counter() - begun)
    verify(task_set, found.schedule, budget_slots)
    return found


def path_of(demand: CompiledDemand, schedule: Schedule) -> tuple[str, ...]:
    """Give the path that a schedule chose for a demand."""
    return demand.plans[schedule.chosen.get(demand.task.task_id, 0)].route.nodes


def rejections(
    compiler: Compiler,
    asked: Sequence[Asked],
    compiled: Compiled,
    schedule: Schedule,
    *,
    with_changes: bool = True,
) -> tuple[Rejection, ...]:
    """Say of each demand that is not served why, and what would do.

    Parameters
    ----------
    compiler, asked, compiled
        The network, the demands and what became of them (compiled with `keep_going`).
    schedule
        Of `compiled.task_set`.
    with_changes
        Look for the changes; takes a few compilations a demand. Not done beside interrupted instances.
    """
    room = Room(compiler, compiled.task_set.on_paths_of(schedule), schedule)
    why = dict(compiled.refused)
    for one in compiled.demands:
        if one.task.task_id not in schedule.starts:
            why[one.task.task_id] = room.reason(one.task)
    found = []
    for position in sorted(why):
        demand, packet = _parts(asked[position])
        search = with_changes and not schedule.segments
        changes = room.changes(demand, packet) if search else ()
        found.append(Rejection(position, demand, packet, why[position], changes))
    return tuple(found)


def _parts(asked: Asked) -> tuple[EntanglementDemand, Packet]:
    return asked if isinstance(asked, tuple) else (asked, Packet())


def allocate(
    topology: Topology,
    demands: Iterable[Asked],
    compiling: CompileOptions | None = None,
    *,
    scheduler: str = CPSAT,
    options: Options | None = None,
    with_changes: bool = True,
) -> Allocation:
    """Decide which demands a quantum network serves, on which paths and when.

    Parameters
    ----------
    topology
        Quantum links and nodes with qubits; the rest is ignored.
    demands
        Single pairs or packets, in order of arrival. None of them raises: what cannot be is rejected.
    compiling
        How demands become tasks (`CompileOptions(paths=3)` lets the scheduler choose among three paths).
    scheduler
        ``cpsat`` or one of the paper's.
    options
        For ``cpsat``: objective, mode, time limit, workers, seed.
    with_changes
        Look, for each rejected demand, for the smallest changes with which it would be served.

    Raises
    ------
    ValueRefusedError
        If the periods together repeat too late, or an option is out of range.
    InfeasibleError
        If the mode demands what no schedule can do.

    Examples
    --------
    >>> from topologies.files import load
    >>> wishes = [
    ...     EntanglementDemand("0", "1", 6.25, 0.65),
    ...     EntanglementDemand("1", "2", 3.125, 0.65),
    ...     EntanglementDemand("0", "2", 3.125, 0.95),
    ... ]
    >>> found = allocate(load("star"), wishes, options=Options(workers=1))
    >>> [(one.position, one.path, one.rate_ebit_per_s) for one in found.admitted]
    [(0, ('0', '3', '1'), 6.25), (1, ('1', '3', '2'), 3.125)]
    >>> print(found.rejected[0].reason)
    '0' to '2': fidelity 0.95 cannot be reached on the shortest path; the best reachable is 0.924
    """
    asked = tuple(demands)
    compiler = Compiler(topology, compiling)
    compiled = compiler.compile(asked, keep_going=True)
    scheduled = schedule_tasks(compiled.task_set, scheduler, options)
    schedule = scheduled.schedule
    task_set = compiled.task_set.on_paths_of(schedule)
    tasks = {task.task_id: task for task in task_set.tasks}
    admitted = tuple(
        Admission(
            one.task.task_id,
            one.demand,
            one.packet,
            path_of(one, schedule),
            tasks[one.task.task_id],
            one.packet.pairs / (one.task.period_slots * task_set.slot_s),
        )
        for one in compiled.demands
        if one.task.task_id in schedule.starts
    )
    rejected = rejections(compiler, asked, compiled, schedule, with_changes=with_changes)
    return Allocation(admitted, rejected, task_set, scheduled, measure(task_set, schedule), compiled)
