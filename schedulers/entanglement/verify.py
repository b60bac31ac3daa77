"""The judge of schedules: knows tasks and schedules only, and shares no code with any scheduler.

A schedule is valid if for every admitted task

- there is one instance in every period, inside its period, and starts move within it no further than the
  task allows;
- of a demand with several ways one is taken, and it serves what was asked;
- no two instances hold a qubit in the same slot;
- of an instance that is interrupted, the parts add up to the task, it is cut only where no operation runs,
  it stands interrupted for no longer than its budget, and every qubit that holds an entangled state at the
  cut stays its own until it goes on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from qos.errors import InputError
from schedulers.entanglement.tasks import Interval, PeriodicTask, Schedule, Segment, TaskSet

Hold = tuple[int, int, str]
"""Begin, end and holder of a stay on a qubit."""

_SHOWN = 3


def _merged(parts: Sequence[Segment]) -> list[Segment]:
    """Join parts that follow each other without an interruption."""
    joined: list[Segment] = []
    for start, length in parts:
        if joined and sum(joined[-1]) == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        else:
            joined.append((start, length))
    return joined


def may_be_cut(task: PeriodicTask, offset_slots: int) -> bool:
    """Say if a task may be interrupted at an offset: no operation runs across it.

    A task whose operations are not known may not be cut at all.
    """
    inside = 0 < offset_slots < task.exec_slots
    across = any(
        operation.offset_slots < offset_slots < operation.offset_slots + operation.duration_slots
        for operation in task.operations
    )
    return inside and bool(task.operations) and not across


def _locked_at(task: PeriodicTask, offset_slots: int) -> set[str]:
    """Name the qubits that hold a state when a task is cut: the last operation on them locked them."""
    last: dict[str, tuple[int, bool]] = {}
    for operation in task.operations:
        end = operation.offset_slots + operation.duration_slots
        if end > offset_slots:
            continue
        for qubit in operation.qubits:
            if end >= last.get(qubit, (0, False))[0]:
                last[qubit] = (end, qubit in operation.locked_qubits)
    return {qubit for qubit, (_, locked) in last.items() if locked}


def _stays(task: PeriodicTask, parts: Sequence[Segment]) -> Iterator[tuple[str, Interval]]:
    """Say on which qubit and when an instance stays, interruptions included."""
    done = 0
    for index, (start, length) in enumerate(parts):
        for qubit, intervals in task.occupancy.items():
            for begin, end in intervals:
                first, last = max(begin, done), min(end, done + length)
                if first < last:
                    yield qubit, (start + first - done, start + last - done)
        done += length
        if index + 1 < len(parts):
            for qubit in _locked_at(task, done):
                yield qubit, (start + length, parts[index + 1][0])


def _judge_parts(task: PeriodicTask, parts: Sequence[Segment], budget_slots: int) -> Iterator[str]:
    if any(length < 1 for _, length in parts):
        yield "a part has no length"
        return
    if sum(length for _, length in parts) != task.exec_slots:
        yield f"its parts add up to {sum(length for _, length in parts)}, not to {task.exec_slots} slots"
        return
    done = 0
    for (start, length), (after, _) in pairwise(parts):
        done += length
        if after < start + length:
            yield "its parts overlap"
            return
        if not may_be_cut(task, done):
            yield f"it is cut at offset {done}, where it may not be"
    interrupted = sum(parts[-1]) - parts[0][0] - task.exec_slots
    if interrupted > budget_slots:
        yield f"it stands interrupted for {interrupted} slots; its budget is {budget_slots}"


def _judge_task(
    task: PeriodicTask, schedule: Schedule, budget_slots: int, stays: dict[str, list[Hold]]
) -> Iterator[str]:
    starts = schedule.starts[task.task_id]
    wanted = schedule.hyperperiod_slots // task.period_slots
    if len(starts) != wanted:
        yield f"task {task.task_id}: has {len(starts)} instances in the table, not {wanted}"
        return
    segments = schedule.segments.get(task.task_id)
    if segments is not None and len(segments) != wanted:
        yield f"task {task.task_id}: has the parts of {len(segments)} instances, not of {wanted}"
        return
    for k, start in enumerate(starts):
        who = f"task {task.task_id} instance {k}"
        parts = _merged(segments[k]) if segments is not None else [(start, task.exec_slots)]
        if not parts or parts[0][0] != start:
            yield f"{who}: does not start with its first part"
            continue
        troubles = list(_judge_parts(task, parts, budget_slots))
        yield from (f"{who}: {trouble}" for trouble in troubles)
        if troubles:
            continue
        release, due, end = k * task.period_slots, (k + 1) * task.period_slots, sum(parts[-1])
        if start < release or end > due:
            yield f"{who}: runs in [{start}, {end}), outside its period [{release}, {due})"
        for qubit, (begin, until) in _stays(task, parts):
            stays[qubit].append((begin, until, who))


def _judge_jitter(task: PeriodicTask, starts: Sequence[int]) -> Iterator[str]:
    offsets = [start - k * task.period_slots for k, start in enumerate(starts)]
    moved, most = max(offsets, default=0) - min(offsets, default=0), task.max_jitter_slots
    if most is not None and moved > most:
        yield f"task {task.task_id}: its start moves by {moved} slots; at most {most} are allowed"


def _overlaps(stays: dict[str, list[Hold]]) -> Iterator[str]:
    for qubit, holds in sorted(stays.items()):
        holds.sort()
        latest = holds[0]
        for hold in holds[1:]:
            if hold[0] < latest[1]:
                yield f"qubit {qubit}: {latest[2]} and {hold[2]} both hold it in slot {hold[0]}"
            if hold[1] > latest[1]:
                latest = hold


def _ways_taken(task_set: TaskSet, schedule: Schedule) -> tuple[dict[int, PeriodicTask], list[str]]:
    """Find the task that runs for each demand, and what is wrong with the choice."""
    tasks = {task.task_id: task for task in task_set.tasks}
    found: list[str] = []
    for task_id, number in schedule.chosen.items():
        others = task_set.alternatives.get(task_id, ())
        if task_id not in schedule.starts:
            found.append(f"task {task_id}: a way is chosen, but it is not admitted")
        elif not 0 <= number <= len(others):
            found.append(f"task {task_id}: way {number} is chosen of {len(others) + 1}")
        elif number > 0 and task_id in tasks:
            taken, asked = others[number - 1], tasks[task_id]
            tasks[task_id] = taken
            for what in ("task_id", "source", "destination", "period_slots", "max_jitter_slots"):
                if getattr(taken, what) != getattr(asked, what):
                    found.append(f"task {task_id}: way {number} has another {what}")
            if taken.min_fidelity < asked.min_fidelity:
                found.append(f"task {task_id}: way {number} has less fidelity than is asked for")
    return tasks, found


def violations(task_set: TaskSet, schedule: Schedule, budget_slots: int | None = None) -> list[str]:
    """List everything that is wrong with a schedule; an empty list is a valid schedule.

    Parameters
    ----------
    task_set
        The tasks that were offered.
    schedule
        The schedule of some of them.
    budget_slots
        A preemption budget for every task; None takes each task's own.
    """
    if schedule.hyperperiod_slots != task_set.hyperperiod_slots:
        return [f"the table has {schedule.hyperperiod_slots} slots, not {task_set.hyperperiod_slots}"]
    tasks, found = _ways_taken(task_set, schedule)
    found += [
        f"task {task_id}: is not in the task set" for task_id in schedule.starts if task_id not in tasks
    ]
    found += [
        f"task {i}: has parts, but is not admitted" for i in schedule.segments if i not in schedule.starts
    ]
    stays: dict[str, list[Hold]] = defaultdict(list)
    for task_id in schedule.starts:
        if task_id in tasks:
            task = tasks[task_id]
            budget = task.preemption_budget_slots if budget_slots is None else budget_slots
            found += _judge_task(task, schedule, budget, stays)
            found += _judge_jitter(task, schedule.starts[task_id])
    return found + list(_overlaps(stays))


def verify(task_set: TaskSet, schedule: Schedule, budget_slots: int | None = None) -> None:
    """Refuse a schedule that is not valid.

    Parameters
    ----------
    task_set, schedule, budget_slots
        As for `violations`.

    Raises
    ------
    InputError
        If it is not valid; says what is wrong.
    """
    found = violations(task_set, schedule, budget_slots)
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise InputError(f"the schedule is not valid: {'; '.join(found[:_SHOWN])}{more}")
