"""The contract of the paper's schedulers, and the registry that knows them by name.

A scheduler is prepared once for a task set; the placer that comes out places any of its tasks, from an
empty table, as often as the admission loop asks. Nothing is imported or compiled before `prepare`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from qos.errors import ValueRefusedError
from schedulers.entanglement.tasks import TaskSet

if TYPE_CHECKING:
    from schedulers.entanglement.packing import IntArray


@dataclass(frozen=True, slots=True)
class Placement:
    """When some tasks run, over the least common multiple of their periods.

    Attributes
    ----------
    members
        Indices of the tasks in their task set, ascending.
    hyperperiod_slots
        Length of this table.
    starts
        The start slots, member by member and instance by instance, shape (instances,).
    parts
        From preemptive schedulers: rows of instance number (counted through `starts`), start and length,
        ascending, shape (parts, 3); None from the others.
    """

    members: tuple[int, ...]
    hyperperiod_slots: int
    starts: IntArray
    parts: IntArray | None = None


class Placer(Protocol):
    """A scheduler, prepared for one task set."""

    def __call__(self, members: tuple[int, ...], hyperperiod_slots: int, /) -> Placement | None:
        """Place all instances of some tasks; None if one would miss its deadline.

        Parameters
        ----------
        members
            Indices of the tasks in their task set, ascending.
        hyperperiod_slots
            The least common multiple of their periods.
        """


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A scheduler of the paper.

    Attributes
    ----------
    name, label
        Its name here and in the paper's plots.
    rule
        What it does, in a line.
    preemptive
        Whether it interrupts instances.
    by_component
        Whether tasks that share no qubit, directly or through others, are placed apart; the others see the
        whole network as one processor.
    module, factory
        Where ``factory(task_set, budget_slots) -> Placer`` is.
    budget_slots
        A preemption budget for every task; None takes each task's own.
    """

    name: str
    label: str
    rule: str
    preemptive: bool
    by_component: bool
    module: str
    factory: str
    budget_slots: int | None = None

    def prepare(self, task_set: TaskSet) -> Placer:
        """Lay out a task set for this scheduler."""
        make = getattr(import_module(f"schedulers.entanglement.{self.module}"), self.factory)
        return cast("Callable[[TaskSet, int | None], Placer]", make)(task_set, self.budget_slots)


_ALL = (
    Scheduler(
        "pts-np-edf",
        "PTS-NP-EDF",
        "the network is one processor; earliest deadline first, not interrupted, never idle",
        preemptive=False,
        by_component=False,
        module="placers",
        factory="single_edf",
    ),
    Scheduler(
        "rcpsp-np-fpr",
        "RCPSP-NP-FPR",
        "earliest deadline first; a task holds all its qubits from its start to its end",
        preemptive=False,
        by_component=True,
        module="placers",
        factory="list_whole",
    ),
    Scheduler(
        "rcpsp-np-edf",
        "RCPSP-NP-EDF",
        "earliest deadline first; a task holds a qubit only while it needs it, so tasks interleave",
        preemptive=False,
        by_component=True,
        module="placers",
        factory="list_interleaved",
    ),
    Scheduler(
        "pts-cedf",
        "PTS-CEDF",
        "as pts-np-edf, but idles for an instance that could otherwise not make it",
        preemptive=False,
        by_component=False,
        module="placers",
        factory="single_clairvoyant",
    ),
    Scheduler(
        "rcpsp-cedf",
        "RCPSP-CEDF",
        "as rcpsp-np-fpr, but waits for an instance that could otherwise not make it",
        preemptive=False,
        by_component=True,
        module="placers",
        factory="list_clairvoyant",
    ),
    Scheduler(
        "pts-pb",
        "PTS-PB",
        "the network is one processor; earliest deadline first, interrupted for at most the budget",
        preemptive=True,
        by_component=False,
        module="preemptive_placers",
        factory="single_preemptive",
    ),
    Scheduler(
        "rcpsp-pbs",
        "RCPSP-PBS",
        "earliest deadline first, cut into segments; a segment holds every qubit still needed",
        preemptive=True,
        by_component=True,
        module="preemptive_placers",
        factory="segments_blocked",
    ),
    Scheduler(
        "rcpsp-pb",
        "RCPSP-PB",
        "as rcpsp-pbs, but a segment holds a qubit only while it needs it",
        preemptive=True,
        by_component=True,
        module="preemptive_placers",
        factory="segments_interleaved",
    ),
)

SCHEDULERS: dict[str, Scheduler] = {scheduler.name: scheduler for scheduler in _ALL}
"""Every scheduler of the paper by name."""


def get_scheduler(name: str, budget_slots: int | None = None) -> Scheduler:
    """Look a scheduler up.

    Parameters
    ----------
    name
        One of `SCHEDULERS`.
    budget_slots
        For preemptive ones: the budget of every task instead of each task's own, in slots, >= 0.

    Raises
    ------
    ValueRefusedError
        If there is no such scheduler, or the budget is negative or given to one that never interrupts.
    """
    found = SCHEDULERS.get(name)
    if found is None:
        near = get_close_matches(name, SCHEDULERS, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"use one of {', '.join(SCHEDULERS)}"
        raise ValueRefusedError(f"no scheduler {name[:60]!r}; {hint}")
    if budget_slots is None:
        return found
    if not found.preemptive:
        raise ValueRefusedError(f"{name} never interrupts a task; it takes no preemption budget")
    if budget_slots < 0:
        raise ValueRefusedError(f"preemption budget {budget_slots}: must be 0 or more slots")
    return replace(found, budget_slots=budget_slots)
