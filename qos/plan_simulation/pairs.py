"""The entanglement part of a plan, replayed: links that succeed by chance, pairs that decohere.

The plan holds when each protocol runs and on which qubits; what its operations are follows from the demand,
so the protocols are compiled again and must be those of the plan. A run whose control messages come late or
not at all is lost: the nodes do not know of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from qos.engine.entanglement import COMPILING, at_least_once_a_table
from qos.errors import InputError
from qos.plan_simulation.outcome import Delivered, breaks_share
from qos.planning import EntanglementRequest, Plan, TaskRow
from schedulers.entanglement.compile import CompiledDemand, Compiler, Packet
from schedulers.entanglement.execution import Conditions, TaskExecution, execute
from schedulers.entanglement.link_conditions import conditions_of
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet


class PairReplay:
    """The schedule of a plan, ready to be replayed.

    Parameters
    ----------
    plan
        A plan; one without a schedule has nothing to replay.

    Raises
    ------
    InputError
        If the plan's protocols are not those that this version makes of its demands.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests: dict[str, EntanglementRequest] = {one.name: one for one in plan.scenario.entanglement}
        self._rows: tuple[TaskRow, ...] = () if plan.schedule is None else plan.schedule.tasks
        self._conditions = Conditions()
        if plan.schedule is None or not self._rows:
            return
        compiler, compiled, chosen = self._compile(plan)
        tasks: list[PeriodicTask] = [
            (one.task, *one.alternatives)[chosen[one.task.task_id]] for one in compiled
        ]
        self._conditions = conditions_of(compiled, compiler.options.physics, chosen)
        self._task_set = TaskSet(plan.schedule.slot_s, tuple(tasks), plan.scenario.topology.name)
        self._schedule = Schedule(
            plan.schedule.hyperperiod_slots, {row.task_id: tuple(row.starts) for row in self._rows}
        )

    def _compile(self, plan: Plan) -> tuple[Compiler, list[CompiledDemand], dict[int, int]]:
        """Compile the demands of the rows again, with the periods asked for or with rounded ones."""
        strange = ""
        for options in COMPILING:
            compiler = Compiler(plan.scenario.topology, options)
            rounded = options.rounding == "power-of-two"
            compiled = [self._compile_row(compiler, row, rounded=rounded) for row in self._rows]
            ways = [self._way(one, row) for one, row in zip(compiled, self._rows, strict=True)]
            chosen = {row.task_id: way for way, row in zip(ways, self._rows, strict=True) if way is not None}
            if len(chosen) == len(self._rows):
                return compiler, compiled, chosen
            strange = strange or next(row.name for row in self._rows if row.task_id not in chosen)
        raise InputError(
            f"the plan's protocol of {strange} is not what this version makes of its demand; plan again"
        )

    def _compile_row(self, compiler: Compiler, row: TaskRow, *, rounded: bool) -> CompiledDemand:
        request = self._requests[row.name]
        demand = at_least_once_a_table(request.demand) if rounded else request.demand
        return compiler.compile_one(demand, Packet(request.pairs, request.window_s), task_id=row.task_id)

    def _way(self, one: CompiledDemand, row: TaskRow) -> int | None:
        path = self._plan.entanglement[row.name].path
        for number, found in enumerate(one.plans):
            task = (one.task, *one.alternatives)[number]
            shape = (task.period_slots, task.exec_slots)
            if found.route.nodes == path and shape == (row.period_slots, row.exec_slots):
                return number
        return None

    def run(self, duration_s: float, seed: int, missed: Mapping[str, float]) -> list[Delivered]:
        """Replay so many tables as fit, at least one.

        Parameters
        ----------
        duration_s
            Time that is played.
        seed
            Of all draws.
        missed
            Share of the control messages of each flow that were late or lost, by its name.
        """
        if not self._rows or self._plan.schedule is None:
            return []
        table_s = self._plan.schedule.hyperperiod_slots * self._plan.schedule.slot_s
        rounds = max(1, round(duration_s / table_s))
        done = execute(self._task_set, self._schedule, self._conditions, rounds, seed)
        by_id = {one.task_id: one for one in done.tasks}
        return [self._judge(row.name, by_id[row.task_id], missed) for row in self._rows]

    def _judge(self, name: str, seen: TaskExecution, missed: Mapping[str, float]) -> Delivered:
        planned, request = self._plan.entanglement[name], self._requests[name]
        told = 1 - max((missed.get(flow, 0.0) for flow in planned.control), default=0.0)
        broken = []
        # No more control messages may fail than the plan allows their flows.
        allowed = max(
            (
                flow.violation_probability + flow.loss_bound
                for flow in self._plan.flows.values()
                if flow.name in planned.control
            ),
            default=0.0,
        )
        if 1 - told > allowed:
            broken.append("control")
        if seen.fidelity is not None and not seen.keeps_fidelity:
            broken.append("fidelity")
        # A demand without a probability is promised a pair every period, as if links never failed.
        wanted = 1.0 if request.demand.probability is None else request.demand.probability
        without = round(seen.instances * (1 - seen.completion.mean * told))
        if breaks_share(without, seen.instances, 1 - wanted * (1 - allowed)):
            broken.append("rate")
        return Delivered(
            name=name,
            rate=seen.delivered_ebit_per_s.mean * told,
            delay_s=None,
            jitter_s=None,
            loss=1 - seen.completion.mean * told,
            late=1 - told,
            fidelity=None if seen.fidelity is None else seen.fidelity.mean,
            broken=tuple(broken),
        )
