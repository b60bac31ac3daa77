"""One table of a schedule as a project (`schedulers.rcpsp`): every instance once, the last one to end early.

A qubit is a resource of one unit. What an instance holds at the same offsets is one task of the project; the
tasks of an instance are tied to each other by equal least and greatest lags, and to its period by release
and deadline. Where starts may only move a little, lags between the instances of a task say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schedulers.entanglement.tasks import Interval, PeriodicTask
from schedulers.rcpsp.problem import Mode, Precedence, Problem, Resource, Schedule, Task


@dataclass(frozen=True)
class Project:
    """A project and where the instances are in it.

    Attributes
    ----------
    problem
        The project; its makespan is the end of the last instance, in slots.
    anchors
        For each task and instance the project's task that tells its start, and at which offset that begins.
    """

    problem: Problem
    anchors: tuple[tuple[tuple[int, int], ...], ...]

    def starts(self, schedule: Schedule) -> dict[int, tuple[int, ...]]:
        """Read the start slots of all instances, by task."""
        return {
            index: tuple(schedule.starts[place] - begin for place, begin in instances)
            for index, instances in enumerate(self.anchors)
        }

    def schedule(self, starts: Mapping[int, Sequence[int]]) -> Schedule:
        """Write the start slots of all instances as a schedule of the project."""
        found = [0] * len(self.problem.tasks)
        for index, instances in enumerate(self.anchors):
            for start, (place, begin) in zip(starts[index], instances, strict=True):
                found[place] = start + begin
        anchors = {place for instances in self.anchors for place, _ in instances}
        for link in self.problem.precedences:
            if link.after not in anchors:  # tied to the anchor of its instance
                end = found[link.before] + self.problem.tasks[link.before].modes[0].duration
                found[link.after] = end + link.min_lag
        return Schedule(tuple(found), (0,) * len(found))


def _pieces(task: PeriodicTask) -> list[tuple[Interval, list[str]]]:
    """Gather the qubits that a task holds at the same offsets, by offset; something lasts to its end."""
    found: dict[Interval, list[str]] = {}
    for qubit, intervals in task.occupancy.items():
        for interval in intervals:
            found.setdefault(interval, []).append(qubit)
    if all(end < task.exec_slots for _, end in found):
        found[task.exec_slots - 1, task.exec_slots] = []
    return sorted(found.items())


def project_of(tasks: Sequence[PeriodicTask], hyperperiod_slots: int) -> Project:
    """Make a project of all instances of some tasks in one hyperperiod.

    Parameters
    ----------
    tasks
        All of them run.
    hyperperiod_slots
        A multiple of every period.

    Examples
    --------
    >>> from schedulers.rcpsp.cpsat import solve
    >>> one = PeriodicTask(0, "", "a", "b", 0.8, 8, 3, {"a-C0": ((0, 3),), "b-C0": ((1, 2),)})
    >>> two = PeriodicTask(1, "", "b", "c", 0.8, 8, 2, {"b-C0": ((0, 2),)})
    >>> project = project_of((one, two), 8)
    >>> result = solve(project.problem, workers=1)
    >>> result.status, result.objective
    ('optimal', 4)
    """
    names = sorted({qubit for task in tasks for qubit in task.occupancy})
    row = {qubit: number for number, qubit in enumerate(names)}
    parts: list[Task] = []
    links: list[Precedence] = []
    anchors: list[tuple[tuple[int, int], ...]] = []
    for task in tasks:
        pieces, instances = _pieces(task), []
        for release in range(0, hyperperiod_slots, task.period_slots):
            latest = release + task.period_slots - task.exec_slots
            anchor, ((first, first_end), _) = len(parts), pieces[0]
            for (begin, end), qubits in pieces:
                needs = [0] * len(names)
                for qubit in qubits:
                    needs[row[qubit]] = 1
                if len(parts) > anchor:
                    lag = begin - first_end
                    links.append(Precedence(anchor, len(parts), lag, lag))
                parts.append(Task((Mode(end - begin, tuple(needs)),), release + begin, latest + end))
            instances.append((anchor, first))
        links += _jitter_links(task, [place for place, _ in instances], pieces[0][0])
        anchors.append(tuple(instances))
    problem = Problem(tuple(parts), tuple(Resource(1, name=qubit) for qubit in names), tuple(links))
    return Project(problem, tuple(anchors))


def _jitter_links(task: PeriodicTask, places: Sequence[int], first: Interval) -> list[Precedence]:
    """Tie the instances of a task whose start may not move freely."""
    most = task.max_jitter_slots
    if most is None or most >= task.period_slots - task.exec_slots:
        return []
    length, found = first[1] - first[0], []
    for k in range(len(places)):
        others = range(k + 1, min(k + 2, len(places)) if most == 0 else len(places))
        for other in others:
            between = (other - k) * task.period_slots - length
            found.append(Precedence(places[k], places[other], between - most, between + most))
    return found
