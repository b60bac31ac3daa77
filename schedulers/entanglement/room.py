"""What is left beside a schedule: why a demand does not fit, and the smallest changes with which it would.

A change is found by trying: the demand is compiled anew with a lower rate, a lower fidelity or free to move,
and put into the slots that the schedule leaves, without moving anybody. What is said to fit does fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isqrt
from typing import Literal

from qos.demands import EntanglementDemand
from qos.errors import QosError
from schedulers.entanglement.balancing import Balancer, utilisation
from schedulers.entanglement.compile import Compiler, Packet
from schedulers.entanglement.cpsat.timetable import Timetable
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet

Field = Literal["rate_ebit_per_s", "min_fidelity", "max_jitter_s"]
FIDELITY_STEP = 0.005
MAX_PERIODS = 48
"""How many longer periods are tried at most."""

LONGEST_PERIODS = 64
"""A rate so many times lower is no longer called a change."""

REPEATS = (1, 2, 4)
FURTHER_REPEATS = (8, 16, 32, 64)
"""How many tables are looked at together: the second, for who wants to be served seldom, of short tables."""

SHORT_TABLE_SLOTS = 1 << 17
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of a demand with which it would be served.

    Attributes
    ----------
    field
        The figure of the demand.
    asked, possible
        What was asked for, and what would do; None where no bound was asked for.
    loss
        How large the change is, 0 to 1: the part of the rate, or of the fidelity above 0.5, that is lost;
        1 for the freedom to move.
    """

    field: Field
    asked: float | None
    possible: float
    loss: float

    def __str__(self) -> str:
        match self.field:
            case "rate_ebit_per_s":
                return f"at most {self.possible:.4g} ebit/s"
            case "min_fidelity":
                return f"fidelity {self.possible:g}"
            case _:
                return f"a start that moves by {self.possible:g} s"


def _divisors(number: int) -> list[int]:
    low = [d for d in range(1, isqrt(number) + 1) if number % d == 0]
    return sorted({*low, *(number // d for d in low)})


class Room:
    """The slots that a schedule leaves.

    Parameters
    ----------
    compiler
        Of the network.
    task_set
        The tasks that were offered, on the paths that the schedule chose.
    schedule
        A valid schedule without interrupted instances.
    """

    def __init__(self, compiler: Compiler, task_set: TaskSet, schedule: Schedule) -> None:
        self._compiler = compiler
        self._slot_s = task_set.slot_s
        self._horizon = task_set.hyperperiod_slots
        self._served = [task for task in task_set.tasks if task.task_id in schedule.starts]
        self._starts = schedule.starts
        further = (r for r in FURTHER_REPEATS if r * self._horizon <= SHORT_TABLE_SLOTS)
        self._repeats = (*REPEATS, *further)
        self._tables: dict[int, Timetable] = {}
        self._balancer = Balancer(compiler.network.qubits, compiler.options.balance)
        self._load = utilisation(self._served)
        self._balancer.loads.update(self._load)

    def _table(self, repeats: int) -> Timetable:
        if repeats not in self._tables:
            table = Timetable(self._horizon * repeats)
            for task in self._served:
                starts = self._starts[task.task_id]
                shifts = range(0, self._horizon * repeats, self._horizon)
                table.place(task, tuple(start + shift for shift in shifts for start in starts))
            self._tables[repeats] = table
        return self._tables[repeats]

    def place(
        self, demand: EntanglementDemand, packet: Packet | None = None
    ) -> tuple[PeriodicTask, tuple[int, ...]] | None:
        """Give the task and the starts that a demand would have beside the others; None if none fits."""
        try:
            compiled = self._compiler.compile_one(demand, packet)
        except QosError:
            return None
        period = compiled.task.period_slots
        repeats = next((r for r in self._repeats if self._horizon * r % period == 0), None)
        if repeats is None:
            return None
        for way in (compiled.task, *compiled.alternatives):
            task = self._balancer.propose(way)
            starts = self._table(repeats).earliest_starts(task)
            if starts is not None:
                return task, starts
        return None

    def changes(self, demand: EntanglementDemand, packet: Packet | None = None) -> tuple[Change, ...]:
        """List changes of one figure each with which a demand would fit, the smallest first."""
        asked = demand.min_fidelity
        usable = 0.5 < asked <= 1 and demand.rate_ebit_per_s > 0
        found = [*self._slower(demand, packet), *self._freer(demand, packet)] if usable else []
        if usable:
            found += self._less_faithful(demand, packet)
        return tuple(sorted(found, key=lambda change: change.loss))

    def _slower(self, demand: EntanglementDemand, packet: Packet | None) -> Iterator[Change]:
        asked = demand.rate_ebit_per_s
        shortest = 1 / (asked * self._slot_s)
        most = LONGEST_PERIODS * max(1.0, shortest)
        periods = {
            p for repeats in self._repeats for p in _divisors(self._horizon * repeats) if shortest < p <= most
        }
        for period in sorted(periods)[:MAX_PERIODS]:
            rate = 1 / (period * self._slot_s)
            if rate < asked * (1 - _SLACK) and self.place(replace(demand, rate_ebit_per_s=rate), packet):
                yield Change("rate_ebit_per_s", asked, rate, 1 - rate / asked)
                return

    def _less_faithful(self, demand: EntanglementDemand, packet: Packet | None) -> Iterator[Change]:
        asked = demand.min_fidelity
        steps = int((asked - 0.5) / FIDELITY_STEP - _SLACK)

        def fits(step: int) -> bool:
            fidelity = round(asked - step * FIDELITY_STEP, 6)
            return self.place(replace(demand, min_fidelity=fidelity), packet) is not None

        low, high = 0, steps  # step `high` fits, step `low` does not
        if steps < 1 or not fits(high):
            return
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if fits(middle) else (middle, high)
        possible = round(asked - high * FIDELITY_STEP, 6)
        yield Change("min_fidelity", asked, possible, (asked - possible) / (asked - 0.5))

    def _freer(self, demand: EntanglementDemand, packet: Packet | None) -> Iterator[Change]:
        if demand.max_jitter_s is None:
            return
        found = self.place(replace(demand, max_jitter_s=None), packet)
        if found is not None:
            task, starts = found
            offsets = [start % task.period_slots for start in starts]
            moved = (max(offsets) - min(offsets)) * self._slot_s
            yield Change("max_jitter_s", demand.max_jitter_s, moved, 1.0)

    def crowded(self, task: PeriodicTask) -> tuple[str, float, float] | None:
        """Name the qubit on which a task asks for most above what is left: its share, and what is left.

        None where each qubit has slots enough, only not where the task needs them.
        """
        own = utilisation([task])
        left = {qubit: 1 - self._load.get(qubit, 0.0) for qubit in own}
        worst = max(own, key=lambda qubit: own[qubit] - left[qubit], default=None)
        if worst is None or own[worst] <= left[worst] + _SLACK:
            return None
        return worst, own[worst], max(0.0, left[worst])

    def reason(self, task: PeriodicTask) -> str:
        """Say why an offered task is not in the schedule."""
        found = self.crowded(task)
        count = len(self._served)
        beside = f"beside the {count} demand{'s' * (count != 1)} admitted"
        if found is None:
            return f"no slots fit it {beside}, though no qubit is full"
        qubit, share, left = found
        return f"it needs {share:.0%} of qubit {qubit}, of which {left:.0%} are left {beside}"
