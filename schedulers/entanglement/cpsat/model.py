"""The constraint model: one optional interval for each stay of each instance on each machine."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ortools.sat.python import cp_model

from schedulers.entanglement.cpsat.conflicts import Machine
from schedulers.entanglement.cpsat.greedy import Starts
from schedulers.entanglement.cpsat.sequences import InstanceLimit
from schedulers.entanglement.tasks import PeriodicTask

STOP_EVERY_S = 0.1
"""How often a solver that was told to stop is told again: it may not have begun yet."""

Windows = Sequence[Sequence[int]]
"""For each task, for each period, a mask of the starts that are allowed, counted from the release."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What is to be placed.

    Attributes
    ----------
    tasks, machines
        The tasks, and what they compete for (indices refer to `tasks`).
    hyperperiod_slots
        A multiple of every period.
    kept
        Indices of tasks that must be admitted.
    same_offset
        Indices of tasks that must start with the same offset in every period (no jitter).
    windows
        Starts left free by what is not part of the model; None allows all.
    loads
        Further machines, of which only the total time is limited: a linear constraint each.
    limits
        How many instances of some tasks there can be.
    """

    tasks: Sequence[PeriodicTask]
    machines: Sequence[Machine]
    hyperperiod_slots: int
    kept: frozenset[int] = frozenset()
    same_offset: frozenset[int] = frozenset()
    windows: Windows | None = None
    loads: Sequence[Machine] = ()
    limits: Sequence[InstanceLimit] = ()

    def instances(self, index: int) -> int:
        """How many instances of a task there are in a hyperperiod."""
        return self.hyperperiod_slots // self.tasks[index].period_slots

    def stays(self, index: int) -> int:
        """Count the stays of all instances of a task on qubits: its size in a model."""
        return self.instances(index) * sum(map(len, self.tasks[index].occupancy.values()))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the solver said.

    Attributes
    ----------
    starts
        The best found, None if nothing was.
    value, bound
        Its objective, and the proven bound; both None where no solution was found.
    proven
        The best is optimal, or there is no solution.
    stopped
        The user interrupted it.
    """

    starts: Starts | None
    value: int | None
    bound: int | None
    proven: bool
    stopped: bool


def _domain(mask: int) -> cp_model.Domain:
    """Turn a mask of allowed values into a domain."""
    runs: list[list[int]] = []
    low = 0
    while mask:
        skip = (mask & -mask).bit_length() - 1
        mask >>= skip
        low += skip
        length = (~mask & (mask + 1)).bit_length() - 1
        runs.append([low, low + length - 1])
        mask >>= length
        low += length
    return cp_model.Domain.from_intervals(runs)


def run(solver: cp_model.CpSolver, model: cp_model.CpModel) -> tuple[cp_model.CpSolverStatus, bool]:
    """Run a solver; Ctrl-C makes it stop and keep what it has.

    The solver works in a thread, since a signal is only seen here while this one waits.

    Returns
    -------
    tuple
        Its status, and whether the user interrupted it.
    """
    solver.parameters.catch_sigint_signal = False
    found: list[cp_model.CpSolverStatus] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(solver.solve(model))
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    done = threading.Event()  # an interrupted Thread.join forgets that the thread still runs
    thread = threading.Thread(target=work, name="cp-sat")
    thread.start()
    stopped = False
    while not done.is_set():
        try:
            if stopped:
                solver.stop_search()
            done.wait(STOP_EVERY_S if stopped else None)
        except KeyboardInterrupt:
            stopped = True
    thread.join()
    if failed:
        raise failed[0]
    return found[0], stopped


class PlacementModel:
    """A `Placement` as variables and constraints; an objective is added by who makes it.

    Attributes
    ----------
    model
        The constraint model.
    present
        For each task whether it is admitted.
    offsets
        For each task and instance its start, counted from its release.
    """

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.model = cp_model.CpModel()
        self.present: list[cp_model.IntVar] = []
        self.offsets: list[list[cp_model.IntVar]] = []
        for index in range(len(placement.tasks)):
            self._add_task(index)
        for machine in placement.machines:
            self._add_machine(machine)
            self._limit_load(machine)
        for machine in placement.loads:
            self._limit_load(machine)
        for limit in placement.limits:
            running = sum(placement.instances(index) * self.present[index] for index in limit.tasks)
            self.model.add(running <= limit.most)

    def _add_task(self, index: int) -> None:
        placement, model = self.placement, self.model
        task, count = placement.tasks[index], placement.instances(index)
        everywhere = (1 << (task.period_slots - task.exec_slots + 1)) - 1
        masks = list(placement.windows[index]) if placement.windows is not None else [everywhere] * count
        if index in placement.same_offset:
            common = everywhere
            for mask in masks:
                common &= mask
            masks = [common]
        present = model.new_bool_var(f"present {index}")
        if index in placement.kept:
            model.add(present == 1)
        if not all(masks):
            model.add(present == 0)
        offsets = [
            model.new_int_var_from_domain(_domain(mask or everywhere), f"offset {index} {k}")
            for k, mask in enumerate(masks)
        ]
        if task.max_jitter_slots is not None and len(offsets) > 1:
            base = model.new_int_var(0, task.period_slots - task.exec_slots, f"base {index}")
            for offset in offsets:
                model.add(offset >= base)
                model.add(offset <= base + task.max_jitter_slots)
        self.present.append(present)
        self.offsets.append(offsets * count if index in placement.same_offset else offsets)

    def _add_machine(self, machine: Machine) -> None:
        placement, model = self.placement, self.model
        stays = []
        for index, intervals in machine.intervals.items():
            period = placement.tasks[index].period_slots
            for k, offset in enumerate(self.offsets[index]):
                for begin, end in intervals:
                    start = offset + (k * period + begin)
                    stays.append(
                        model.new_optional_fixed_size_interval_var(
                            start, end - begin, self.present[index], ""
                        )
                    )
        model.add_no_overlap(stays)

    def _limit_load(self, machine: Machine) -> None:
        placement = self.placement
        energy = sum(
            machine.busy_slots(index) * placement.instances(index) * self.present[index]
            for index in machine.intervals
        )
        self.model.add(energy <= machine.span_slots(placement.tasks, placement.hyperperiod_slots))

    def hint(self, starts: Mapping[int, Sequence[int]]) -> None:
        """Start the search from a schedule, in place of any given before."""
        self.model.clear_hints()  # type: ignore[no-untyped-call]
        hinted: set[int] = set()
        for index, task in enumerate(self.placement.tasks):
            self.model.add_hint(self.present[index], index in starts)
            for k, start in enumerate(starts.get(index, ())):
                variable = self.offsets[index][k]
                if variable.index not in hinted:
                    hinted.add(variable.index)
                    self.model.add_hint(variable, start - k * task.period_slots)

    def solve(self, time_limit_s: float, workers: int, seed: int) -> Answer:
        """Run the solver; Ctrl-C makes it return what it has."""
        solver = cp_model.CpSolver()
        solver.parameters.max_time_in_seconds = max(0.01, time_limit_s)
        solver.parameters.num_workers = workers
        solver.parameters.random_seed = seed
        status, stopped = run(solver, self.model)
        if status == cp_model.MODEL_INVALID:
            raise RuntimeError(f"the constraint model is not valid: {self.model.validate()}")
        proven = status in (cp_model.OPTIMAL, cp_model.INFEASIBLE)
        if status == cp_model.INFEASIBLE:
            return Answer(None, None, None, proven, stopped)
        if status == cp_model.UNKNOWN:  # the bound may never have been set
            return Answer(None, None, None, proven, stopped)
        bound = round(solver.best_objective_bound)
        starts = {
            index: tuple(k * task.period_slots + solver.value(x) for k, x in enumerate(self.offsets[index]))
            for index, task in enumerate(self.placement.tasks)
            if solver.value(self.present[index])
        }
        return Answer(starts, round(solver.objective_value), bound, proven, stopped)
