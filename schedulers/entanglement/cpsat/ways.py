"""Several ways to serve a demand, of which at most one runs: candidates for the solver and the heuristics.

Every way is a candidate of its own; a demand is the group of its candidates. Starts are indexed by
candidate, weights by demand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from schedulers.entanglement.cpsat.conflicts import Machine
from schedulers.entanglement.cpsat.derived import machines
from schedulers.entanglement.cpsat.greedy import ORDERS, Starts
from schedulers.entanglement.cpsat.timetable import Timetable
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet


@dataclass(frozen=True)
class Ways:
    """The candidates of a task set.

    Attributes
    ----------
    task_set
        With its alternatives.
    tasks
        All candidates, those of a demand next to each other, the task itself first.
    demand_of
        For each candidate the index of its demand in the task set.
    of_demand
        For each demand its candidates.
    """

    task_set: TaskSet
    tasks: tuple[PeriodicTask, ...]
    demand_of: tuple[int, ...]
    of_demand: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, task_set: TaskSet) -> Ways:
        """List the candidates of a task set."""
        tasks: list[PeriodicTask] = []
        demand_of: list[int] = []
        of_demand: list[tuple[int, ...]] = []
        for demand, task in enumerate(task_set.tasks):
            ways = task_set.ways(task)
            of_demand.append(tuple(range(len(tasks), len(tasks) + len(ways))))
            tasks += ways
            demand_of += [demand] * len(ways)
        return cls(task_set, tuple(tasks), tuple(demand_of), tuple(of_demand))

    @property
    def horizon(self) -> int:
        """Slots of a hyperperiod."""
        return self.task_set.hyperperiod_slots

    @cached_property
    def machines(self) -> tuple[Machine, ...]:
        """What all candidates compete for."""
        return machines(self.tasks)

    def served(self, starts: Iterable[int]) -> frozenset[int]:
        """Name the demands of some candidates."""
        return frozenset(self.demand_of[index] for index in starts)

    def schedule(self, starts: Mapping[int, Sequence[int]]) -> Schedule:
        """Write a table down, with the way that each demand takes."""
        ids = {index: self.tasks[index].task_id for index in sorted(starts)}
        chosen = {
            task_id: self.of_demand[self.demand_of[index]].index(index)
            for index, task_id in ids.items()
            if len(self.of_demand[self.demand_of[index]]) > 1
        }
        return Schedule(self.horizon, {i: tuple(starts[c]) for c, i in ids.items()}, chosen=chosen)

    def starts_of(self, schedule: Schedule) -> Starts:
        """Index a schedule of this task set by candidate."""
        found: Starts = {}
        for demand, task in enumerate(self.task_set.tasks):
            if task.task_id in schedule.starts:
                way = self.of_demand[demand][schedule.chosen.get(task.task_id, 0)]
                found[way] = schedule.starts[task.task_id]
        return found

    def timetable(self, starts: Starts) -> Timetable:
        """Lay candidates into an empty table."""
        table = Timetable(self.horizon)
        for index, placed in starts.items():
            table.place(self.tasks[index], placed)
        return table

    def fill(self, order: Iterable[int], placed: Starts, *, same_offset: bool = False) -> Starts:
        """Place, in the order given, every demand that fits on one of its ways.

        Parameters
        ----------
        order
            Indices of demands.
        placed
            What is there already, by candidate; part of the result.
        same_offset
            Only where every instance has the same offset.
        """
        result, table = dict(placed), self.timetable(placed)
        served = set(self.served(placed))
        for demand in order:
            if demand in served:
                continue
            for index in self.of_demand[demand]:
                task = self.tasks[index]
                starts = table.earliest_starts(task)
                if starts is None or (same_offset and len({s % task.period_slots for s in starts}) > 1):
                    continue
                table.place(task, starts)
                result[index] = starts
                served.add(demand)
                break
        return result

    def best_of_orders(
        self, value: Callable[[Starts], int], enough: Callable[[], bool], *, same_offset: bool = False
    ) -> Starts:
        """Give the best of the orders of `greedy.ORDERS` and of the order of arrival."""
        demands = self.task_set.tasks
        orders: list[Iterable[int]] = [range(len(demands))]
        orders += [sorted(range(len(demands)), key=lambda i, key=key: (key(demands[i]), i)) for key in ORDERS]  # type: ignore[misc]
        best: Starts = {}
        for order in orders:
            if best and enough():
                break
            found = self.fill(order, {}, same_offset=same_offset)
            best = max(best, found, key=value)
        return best
