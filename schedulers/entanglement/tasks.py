"""Periodic tasks of a quantum network, and schedules of them: what every scheduler here takes and gives.

A task is one demand's repeater protocol, mapped to qubits (Skrzypczyk & Wehner, arXiv 2111.13124,
section IV). Time is counted in slots from 0; one hyperperiod is the least common multiple of the
periods. Instance ``k`` of a task is released at ``k * period_slots`` and due one period later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import lcm
from typing import Literal

from qos.errors import ValueRefusedError

Interval = tuple[int, int]
"""``[begin, end)`` in slots."""

MAX_WEIGHT = 1_000_000
"""Weights of tasks are at most this."""

OperationKind = Literal["link", "distill", "swap"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One link generation, distillation or swap inside a task.

    Attributes
    ----------
    name, kind
        Name within the task, and what is done.
    offset_slots, duration_slots
        When it starts, counted from the start of its task, and how long it takes (>= 1).
    qubits, locked_qubits
        The qubits in use while it runs, and those that hold an entangled state after it.
    parents, children
        Indices, in the task's operations, of those that must end before it and those that wait for it.
    """

    name: str
    kind: OperationKind
    offset_slots: int
    duration_slots: int
    qubits: tuple[str, ...]
    locked_qubits: tuple[str, ...] = ()
    parents: tuple[int, ...] = ()
    children: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """A repeater protocol that delivers one pair in every period.

    Attributes
    ----------
    task_id
        Unique in its task set.
    name
        For people; need not be unique.
    source, destination
        The end nodes that the pair joins.
    min_fidelity
        What the demand asked for, in (0.5, 1].
    period_slots, exec_slots
        Period (and relative deadline), and length from first to last operation; 1 <= exec <= period.
    preemption_budget_slots
        For how long an instance may stand interrupted.
    occupancy
        For each qubit, the disjoint ascending intervals in [0, exec_slots) in which the task holds it.
    operations
        The protocol itself; empty where only the occupancy is known.
    max_jitter_slots
        How far the start may move within its period from one instance to another; None: anywhere.
    weight
        What an ebit/s of it is worth beside others (``throughput``), and how large a share its pair of end
        nodes is to get (``fair``); from 0 to a million. Only `cpsat` looks at it.
    """

    task_id: int
    name: str
    source: str
    destination: str
    min_fidelity: float
    period_slots: int
    exec_slots: int
    occupancy: Mapping[str, tuple[Interval, ...]]
    preemption_budget_slots: int = 0
    operations: tuple[Operation, ...] = ()
    max_jitter_slots: int | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class TaskSet:
    """Tasks in order of arrival on one network.

    Attributes
    ----------
    slot_s
        Length of a slot in seconds.
    tasks
        In order of arrival; the paper's admission loop goes through them in this order.
    name
        Where the set comes from, for reports.
    alternatives
        For some task ids other ways to serve the same demand, on other paths: tasks of the same id and
        period. A schedule runs at most one way of a demand and says which (`Schedule.chosen`).
    """

    slot_s: float
    tasks: tuple[PeriodicTask, ...]
    name: str = ""
    alternatives: Mapping[int, tuple[PeriodicTask, ...]] = field(default_factory=dict)

    @property
    def hyperperiod_slots(self) -> int:
        """The least common multiple of all periods; 1 for no tasks."""
        return lcm(*(task.period_slots for task in self.tasks))

    @property
    def offered_ebit_per_s(self) -> float:
        """What all tasks together would deliver, in ebit/s."""
        return sum(1 / (task.period_slots * self.slot_s) for task in self.tasks)

    def ways(self, task: PeriodicTask) -> tuple[PeriodicTask, ...]:
        """Give a task and its alternatives."""
        return (task, *self.alternatives.get(task.task_id, ()))

    def on_paths_of(self, schedule: Schedule) -> TaskSet:
        """Give the set in which each task runs the way that a schedule chose, without alternatives.

        Raises
        ------
        ValueRefusedError
            If the schedule chose a way that there is not.
        """
        tasks = []
        for task in self.tasks:
            ways, number = self.ways(task), schedule.chosen.get(task.task_id, 0)
            if not 0 <= number < len(ways):
                raise ValueRefusedError(
                    f"task {task.task_id}: way {number} was chosen; it has {len(ways)} of them"
                )
            tasks.append(ways[number])
        return replace(self, tasks=tuple(tasks), alternatives={})


Segment = tuple[int, int]
"""Start slot and length of a part of an instance that runs without interruption."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When every instance of every admitted task runs, over one hyperperiod of the whole task set.

    Attributes
    ----------
    hyperperiod_slots
        Length of the table; it repeats for ever.
    starts
        For each admitted ``task_id`` the start slot of each instance, ``hyperperiod / period`` of them.
    segments
        From preemptive schedulers: for each admitted ``task_id``, for each instance, the parts in which
        it runs. Empty for non-preemptive schedulers.
    chosen
        For task ids with alternatives the number of the way they run: 0 (or nothing said) is the task
        itself, 1 its first alternative.
    """

    hyperperiod_slots: int
    starts: Mapping[int, tuple[int, ...]]
    segments: Mapping[int, tuple[tuple[Segment, ...], ...]] = field(default_factory=dict)
    chosen: Mapping[int, int] = field(default_factory=dict)

    @property
    def admitted(self) -> tuple[int, ...]:
        """The ids of the tasks that the schedule serves, in order of arrival."""
        return tuple(self.starts)
