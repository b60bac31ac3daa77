"""From a network and demands to periodic tasks on qubits, or a precise word on why not.

Per demand: candidate paths, a protocol on each, its slots (mean times, or sized for a success
probability), the fidelity it delivers after waiting in memory; the path whose runs take least time is
taken and the others are kept as alternatives. Then all tasks are spread over the qubits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import floor, isfinite, lcm
from typing import Literal, TypeAlias

from qos.demands import EntanglementDemand
from qos.errors import InfeasibleError, QosError, ValueRefusedError
from schedulers.entanglement.balancing import BALANCE_RULES, Balancer, BalanceRule
from schedulers.entanglement.bell_diagonal import Memory
from schedulers.entanglement.delivery import Physics
from schedulers.entanglement.links import LinkHardware
from schedulers.entanglement.operations_graph import operation_graph, slots_for
from schedulers.entanglement.protocol import VARIANTS, ProtocolSearch, SearchOptions
from schedulers.entanglement.routing import QuantumNetwork, Route
from schedulers.entanglement.steps import relabel
from schedulers.entanglement.success import FIDELITY_ROUNDING, Sized, Sizer, repeated
from schedulers.entanglement.tasks import MAX_WEIGHT, PeriodicTask, TaskSet
from topologies.model import Topology

Rounding = Literal["floor", "ceil", "power-of-two"]
ROUNDINGS: tuple[Rounding, ...] = ("floor", "ceil", "power-of-two")

MAX_HYPERPERIOD_SLOTS = 1_000_000
LONGEST_EXEC_SLOTS = 65_536
"""Protocols longer than this are not looked at, whatever their rate may be."""

_AIM_ROUNDS = 24
"""How often the fidelity aimed at is raised to make up for decoherence."""

_PATIENCE = 3
"""It is given up when so many rounds brought the delivered fidelity no nearer."""

_REACH_STEPS = 10


@dataclass(frozen=True)
class CompileOptions:
    """How demands become tasks.

    Attributes
    ----------
    search
        Variant of the protocol search, length of a slot, times of swaps and distillations.
    physics
        Memories and success probabilities.
    hardware
        Physical model of links that have neither a table nor working points.
    paths
        How many of the shortest paths are tried for each demand, 1 to 64.
    balance
        Which physical qubits tasks get: ``least-loaded``, ``paper``, ``none``.
    rounding
        How a period becomes whole slots: ``floor`` never delivers less than asked, ``ceil`` is the
        paper's, ``power-of-two`` rounds down to a power of two so that all periods are harmonic.
    max_hyperperiod_slots
        Longer ones are refused.
    preemption_budget_slots
        For how long an instance may stand interrupted; the paper's generated tasks carry 100.
    name
        Of the task set.

    Raises
    ------
    ValueRefusedError
        If a value is out of its range.
    """

    search: SearchOptions = field(default_factory=SearchOptions)
    physics: Physics = field(default_factory=Physics)
    hardware: LinkHardware | None = None
    paths: int = 1
    balance: BalanceRule = "least-loaded"
    rounding: Rounding = "floor"
    max_hyperperiod_slots: int = MAX_HYPERPERIOD_SLOTS
    preemption_budget_slots: int = 100
    name: str = ""

    def __post_init__(self) -> None:
        for value, known in (
            (self.search.variant, VARIANTS),
            (self.balance, BALANCE_RULES),
            (self.rounding, ROUNDINGS),
        ):
            if value not in known:
                raise ValueRefusedError(f"{value!r} is unknown; use {', '.join(known)}")
        if not 1 <= self.paths <= 64:
            raise ValueRefusedError(f"paths {self.paths} must be from 1 to 64")
        if self.max_hyperperiod_slots < 1 or self.preemption_budget_slots < 0:
            raise ValueRefusedError("max_hyperperiod_slots must be at least 1, the budget at least 0")
        times = (self.search.slot_s, self.search.swap_s, self.search.distill_s)
        if not all(isfinite(time_s) and time_s > 0 for time_s in times):
            raise ValueRefusedError(f"slot, swap and distillation times {times} must be more than 0 seconds")


@dataclass(frozen=True)
class Packet:
    """Several pairs asked for together.

    Attributes
    ----------
    pairs
        How many are delivered each period, 1 to 64.
    window_s
        From the first run to the end of the last, in seconds; None: anywhere in the period.
    """

    pairs: int = 1
    window_s: float | None = None


Asked: TypeAlias = EntanglementDemand | tuple[EntanglementDemand, Packet]
"""What is compiled: a demand for single pairs, or one with its packet."""


@dataclass(frozen=True)
class PathPlan:
    """A demand on one path.

    Attributes
    ----------
    route
        The path.
    sized
        The protocol, its runs, what it delivers.
    """

    route: Route
    sized: Sized


@dataclass(frozen=True)
class CompiledDemand:
    """A demand, its task, and what is known of it.

    Attributes
    ----------
    demand, packet
        As asked.
    task
        On the shortest-running path, before balancing.
    plans
        All paths that serve the demand, the one of `task` first.
    alternatives
        The tasks of the other paths, with the same id: ``cpsat`` may take one of them instead.
    """

    demand: EntanglementDemand
    packet: Packet
    task: PeriodicTask
    plans: tuple[PathPlan, ...]
    alternatives: tuple[PeriodicTask, ...]


@dataclass(frozen=True)
class Compiled:
    """All demands.

    Attributes
    ----------
    task_set
        One task a demand that can be served, in order of arrival, balanced over the qubits; a task's id is
        the demand's position.
    demands
        What lies behind each task.
    refused
        Position and reason of each demand that no task could serve (only with `keep_going`).
    """

    task_set: TaskSet
    demands: tuple[CompiledDemand, ...]
    refused: tuple[tuple[int, str], ...] = ()


class Compiler:
    """Compiles demands on one network and remembers protocols; results do not depend on that.

    Parameters
    ----------
    topology
        Quantum links and nodes with qubits; the rest is ignored.
    options
        How demands become tasks.
    """

    def __init__(self, topology: Topology, options: CompileOptions | None = None) -> None:
        self.options = options or CompileOptions()
        self.network = QuantumNetwork(topology, self.options.hardware)
        self._search = ProtocolSearch(self.options.search)
        self._routes: dict[tuple[str, str], tuple[Route, ...]] = {}
        self._fixed: dict[tuple[tuple[str, ...], float, int], Sized | None] = {}

    def compile(
        self,
        demands: Iterable[EntanglementDemand | tuple[EntanglementDemand, Packet]],
        *,
        keep_going: bool = False,
    ) -> Compiled:
        """Compile demands in order of arrival.

        Parameters
        ----------
        demands
            Single pairs, or packets.
        keep_going
            Leave out what cannot be served and say why, in place of raising at the first.

        Raises
        ------
        ValueRefusedError
            If a demand makes no sense, or the hyperperiod of all is too long.
        InfeasibleError
            If no protocol on any of the paths tried serves a demand.
        """
        done: list[CompiledDemand] = []
        refused: list[tuple[int, str]] = []
        for number, asked in enumerate(demands):
            demand, packet = asked if isinstance(asked, tuple) else (asked, Packet())
            try:
                done.append(self.compile_one(demand, packet, task_id=number))
            except QosError as error:
                if not keep_going:
                    raise type(error)(f"demands[{number}]: {error}") from None
                refused.append((number, str(error)))
        check_hyperperiod([compiled.task for compiled in done], self.options.max_hyperperiod_slots)
        return Compiled(self.balanced_set(done), tuple(done), tuple(refused))

    def balanced_set(self, demands: Sequence[CompiledDemand]) -> TaskSet:
        """Put the tasks of compiled demands on the network's qubits."""
        balancer = Balancer(self.network.qubits, self.options.balance)
        tasks = tuple(balancer.place(compiled.task) for compiled in demands)
        alternatives = {
            compiled.task.task_id: tuple(map(balancer.propose, compiled.alternatives))
            for compiled in demands
            if compiled.alternatives
        }
        name = self.options.name or self.network.topology.name
        return TaskSet(self.options.search.slot_s, tasks, name, alternatives)

    def compile_one(
        self, demand: EntanglementDemand, packet: Packet | None = None, *, task_id: int = 0
    ) -> CompiledDemand:
        """Compile one demand; its task is on the qubits that its protocol happens to use first.

        Raises
        ------
        ValueRefusedError, InfeasibleError
            As `compile`.
        """
        packet = packet or Packet()
        check_demand(demand, packet)
        self.network.check_ends(demand.source, demand.destination)
        period = self._period(demand)
        limit = self._limit(period, packet)
        plans = sorted(self.plans(demand, packet, limit), key=lambda plan: plan.sized.exec_slots)
        fitting = [plan for plan in plans if plan.sized.exec_slots <= limit]
        if not fitting:
            raise self._why_not(demand, packet, plans)
        tasks = [self._task(demand, plan, period, task_id) for plan in fitting]
        return CompiledDemand(demand, packet, tasks[0], tuple(fitting), tuple(tasks[1:]))

    def plans(self, demand: EntanglementDemand, packet: Packet, limit_slots: int) -> list[PathPlan]:
        """Plan a demand on each candidate path; paths that cannot deliver it are left out.

        With a success probability, plans are no longer than `limit_slots`; otherwise they may be.
        """
        found = []
        for route in self.routes(demand):
            sized = self._plan(route, demand, packet, limit_slots)
            if sized is not None:
                found.append(PathPlan(route, sized))
        return found

    def routes(self, demand: EntanglementDemand) -> tuple[Route, ...]:
        """Give the candidate paths of a demand, shortest first."""
        ends = (demand.source, demand.destination)
        if ends not in self._routes:
            self._routes[ends] = self.network.routes(*ends, most=self.options.paths)
        return self._routes[ends]

    # One path.

    def _plan(self, route: Route, demand: EntanglementDemand, packet: Packet, limit: int) -> Sized | None:
        if demand.probability is not None:
            return self._aim(route, demand, packet, limit)
        key = (route.nodes, demand.min_fidelity, packet.pairs)
        if key not in self._fixed:
            self._fixed[key] = self._aim(route, demand, packet, limit)
        return self._fixed[key]

    def _aim(self, route: Route, demand: EntanglementDemand, packet: Packet, limit: int) -> Sized | None:
        """Aim higher until the delivered pair, after its waits, has the demanded fidelity."""
        aim, cutoff_s = demand.min_fidelity, self.options.physics.cutoff_s
        gaps: list[float] = []
        for _ in range(_AIM_ROUNDS):
            sketch = self._search.find(route.chain, aim)
            if sketch is None:
                return None
            protocol = relabel(sketch, dict(enumerate(route.nodes)))
            planned = operation_graph(protocol, self.options.search.slot_s)
            counts = {node: self.network.qubits[node] for node in route.nodes}
            sizer = Sizer(planned, counts, self.options.search.slot_s, self.options.physics)
            if demand.probability is None:
                sized = sizer.deterministic(packet.pairs)
            else:
                wanted = demand.min_fidelity
                sized = sizer.for_probability(demand.probability, limit, packet.pairs, wanted)
            if sized is None:
                return None
            short = demand.min_fidelity - sized.delivery.fidelity
            if short <= FIDELITY_ROUNDING:
                waits_too_long = cutoff_s is not None and sized.delivery.longest_wait_s > cutoff_s
                return None if waits_too_long else sized
            gaps.append(short)
            if len(gaps) > _PATIENCE and short >= gaps[-1 - _PATIENCE]:
                return None
            # A better protocol waits longer, and so on: correct by a little more than the gap.
            aim = max(aim, protocol.fidelity) + max(1.1 * short, 1e-4)
            if aim > 1:
                return None
        return None

    def _period(self, demand: EntanglementDemand) -> int:
        exact = 1 / (demand.rate_ebit_per_s * self.options.search.slot_s)
        if self.options.rounding == "ceil":
            return slots_for(exact, 1.0)
        period = floor(exact * (1 + 1e-9))
        if period < 1:
            most = 1 / self.options.search.slot_s
            raise InfeasibleError(
                f"{_ends(demand)}: {demand.rate_ebit_per_s:g} ebit/s is more than one pair a slot; "
                f"no schedule gives more than {most:g} ebit/s with slots of {self.options.search.slot_s:g} s"
            )
        return 1 << (period.bit_length() - 1) if self.options.rounding == "power-of-two" else period

    def _limit(self, period: int, packet: Packet) -> int:
        if packet.window_s is None:
            return period
        return min(period, floor(packet.window_s / self.options.search.slot_s * (1 + 1e-9)))

    def _task(self, demand: EntanglementDemand, plan: PathPlan, period: int, task_id: int) -> PeriodicTask:
        runs = repeated(plan.sized.mapped, plan.sized.runs)
        slot_s, jitter_s = self.options.search.slot_s, demand.max_jitter_s
        return PeriodicTask(
            task_id=task_id,
            name=f"{demand.source}->{demand.destination} F={demand.min_fidelity:g} "
            f"R={demand.rate_ebit_per_s:g}",
            source=demand.source,
            destination=demand.destination,
            min_fidelity=demand.min_fidelity,
            period_slots=period,
            exec_slots=runs.exec_slots,
            occupancy=runs.occupancy,
            preemption_budget_slots=self.options.preemption_budget_slots,
            operations=runs.operations,
            max_jitter_slots=None if jitter_s is None else floor(jitter_s / slot_s * (1 + 1e-9)),
            weight=demand.weight,
        )

    def highest_rate(self, source: str, destination: str, min_fidelity: float) -> float:
        """Give the highest rate of pairs in ebit/s that one protocol can deliver; 0 for none.

        Links are taken as deterministic, waiting in memory counts.
        """
        demand = EntanglementDemand(source, destination, 1e-6, min_fidelity)
        plans = self.plans(demand, Packet(), LONGEST_EXEC_SLOTS)
        slot_s = self.options.search.slot_s
        return max((1 / (plan.sized.exec_slots * slot_s) for plan in plans), default=0.0)

    # Why a demand cannot be served.

    def _why_not(self, demand: EntanglementDemand, packet: Packet, plans: list[PathPlan]) -> InfeasibleError:
        if not plans and demand.probability is not None:
            plans = self.plans(demand, packet, LONGEST_EXEC_SLOTS)
        tried = len(self.routes(demand))
        where = "the shortest path" if tried == 1 else f"any of the {tried} shortest paths"
        if not plans:
            return self._unreachable(demand, where)
        slot_s = self.options.search.slot_s
        exec_slots = min(plan.sized.exec_slots for plan in plans)
        if packet.window_s is not None and exec_slots * slot_s > packet.window_s:
            return InfeasibleError(
                f"{_ends(demand)}: {packet.pairs} pairs take {exec_slots * slot_s:g} s on {where}, more "
                f"than the window of {packet.window_s:g} s; ask for fewer pairs or a longer window"
            )
        most = floor(1e4 / (exec_slots * slot_s)) / 1e4
        return InfeasibleError(
            f"{_ends(demand)}: {demand.rate_ebit_per_s:g} ebit/s is more than any schedule can give; "
            f"one pair of fidelity {demand.min_fidelity:g} takes {exec_slots} slots of {slot_s:g} s on "
            f"{where}, so at most {most:g} ebit/s"
        )

    def _unreachable(self, demand: EntanglementDemand, where: str) -> InfeasibleError:
        where += self._conditions()
        ideal = self.best_fidelity(replace(demand, probability=None), LONGEST_EXEC_SLOTS)
        if ideal is None:
            return InfeasibleError(f"{_ends(demand)}: no pair of fidelity above 0.5 can be made on {where}")
        if ideal < demand.min_fidelity or demand.probability is None:
            return InfeasibleError(
                f"{_ends(demand)}: fidelity {demand.min_fidelity:g} cannot be reached on {where}; "
                f"the best reachable is {ideal:.3f}"
            )
        best = self.best_fidelity(demand, self._period(demand))
        said = "no pair above 0.5 is" if best is None else f"the best reachable is {best:.3f}"
        return InfeasibleError(
            f"{_ends(demand)}: fidelity {demand.min_fidelity:g} cannot be reached on {where} with "
            f"probability {demand.probability:g} in a period; {said}"
        )

    def _conditions(self) -> str:
        """Say what besides links and qubits limits the fidelity."""
        physics = self.options.physics
        said = [f"a cutoff of {physics.cutoff_s:g} s"] if physics.cutoff_s is not None else []
        if physics.memories or physics.memory != Memory():
            said.append("the memories' decoherence")
        return f", given {' and '.join(said)}" if said else ""

    def best_fidelity(self, demand: EntanglementDemand, limit_slots: int) -> float | None:
        """Find the best fidelity that some candidate path delivers (to 0.001, rounded down).

        Parameters
        ----------
        demand
            Its ends and its probability count; its fidelity does not.
        limit_slots
            Where a probability is asked for, protocols are no longer than this.

        Returns
        -------
        float or None
            None where nothing above 0.5 is.
        """
        reached: float | None = None
        for route in self.routes(demand):
            low, high = reached or 0.5, self._search.fidelity_bound(route.chain)
            for _ in range(_REACH_STEPS):
                middle = (low + high) / 2
                if middle <= 0.5:
                    break
                sized = self._aim(route, replace(demand, min_fidelity=middle), Packet(), limit_slots)
                if sized is None:
                    high = middle
                else:
                    low = reached = max(middle, min(high, sized.delivery.fidelity))
        return None if reached is None else floor(reached * 1000) / 1000


def _ends(demand: EntanglementDemand) -> str:
    return f"{demand.source!r} to {demand.destination!r}"


def check_demand(demand: EntanglementDemand, packet: Packet) -> None:
    """Refuse a demand whose numbers make no sense.

    Raises
    ------
    ValueRefusedError
        With the field and its range.
    """
    for _, problem in demand_problems(demand, packet):
        raise ValueRefusedError(f"{_ends(demand)}: {problem}")


def demand_problems(demand: EntanglementDemand, packet: Packet) -> Iterator[tuple[str, str]]:
    """Find every number of a demand that makes no sense: its field, and the range.

    Parameters
    ----------
    demand, packet
        What is asked.
    """
    rate, probability, jitter_s = demand.rate_ebit_per_s, demand.probability, demand.max_jitter_s
    if not 0.5 < demand.min_fidelity <= 1:
        yield (
            "min_fidelity",
            f"min_fidelity {demand.min_fidelity!r} must be more than 0.5 and at most 1 "
            "(a pair of 0.5 or less is not entangled)",
        )
    if not (isfinite(rate) and rate > 0):
        yield "rate_ebit_per_s", f"rate_ebit_per_s {rate!r} must be more than 0"
    if not 0 <= demand.weight <= MAX_WEIGHT:
        yield "weight", f"weight {demand.weight!r} must be from 0 to {MAX_WEIGHT}"
    if probability is not None and not 0 < probability < 1:
        yield "probability", f"probability {probability!r} must be between 0 and 1"
    if jitter_s is not None and not (isfinite(jitter_s) and jitter_s >= 0):
        yield "max_jitter_s", f"max_jitter_s {jitter_s!r} must be at least 0"
    if not 1 <= packet.pairs <= 64:
        yield "pairs", f"a packet has 1 to 64 pairs, not {packet.pairs!r}"
    if packet.window_s is not None and not packet.window_s > 0:
        yield "window_s", f"window_s {packet.window_s!r} must be more than 0"


def check_hyperperiod(tasks: Sequence[PeriodicTask], most_slots: int) -> None:
    """Refuse periods whose least common multiple is too long a table.

    Raises
    ------
    ValueRefusedError
        Naming the periods, with a rounding that would do.
    """
    periods = sorted({task.period_slots for task in tasks})
    hyperperiod = lcm(*periods)
    if hyperperiod <= most_slots:
        return
    shown = ", ".join(map(str, periods[:8])) + (", ..." if len(periods) > 8 else "")
    rounded = sorted({1 << (period.bit_length() - 1) for period in periods})
    offer = ", ".join(map(str, rounded[:8]))
    raise ValueRefusedError(
        f"the periods {shown} slots together repeat only after {hyperperiod:.4g} slots, more than "
        f"{most_slots}; round them to powers of two ({offer}; rounding 'power-of-two'), or use rates "
        "whose periods divide each other"
    )


def task_set(
    topology: Topology,
    demands: Iterable[Asked],
    options: CompileOptions | None = None,
) -> TaskSet:
    """Turn demands on a network into periodic tasks, one a demand, in order of arrival.

    Parameters
    ----------
    topology
        Quantum links and nodes with qubits.
    demands
        Single pairs, or packets.
    options
        How demands become tasks.

    Raises
    ------
    ValueRefusedError
        If a demand makes no sense, or the hyperperiod of all is too long.
    InfeasibleError
        If no protocol on any of the paths tried serves a demand.

    Examples
    --------
    >>> from topologies.files import load
    >>> tasks = task_set(load("star"), [EntanglementDemand("0", "2", 3.125, 0.65)]).tasks
    >>> tasks[0].period_slots, tasks[0].exec_slots
    (32, 11)
    """
    return Compiler(topology, options).compile(demands).task_set
