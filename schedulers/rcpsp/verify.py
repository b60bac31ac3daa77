"""The judge of project schedules; shares no code with any solver."""

from __future__ import annotations

from schedulers.rcpsp.problem import Problem, Schedule


def violations(problem: Problem, schedule: Schedule) -> list[str]:
    """List everything that is wrong with a schedule; an empty list is a valid schedule.

    Parameters
    ----------
    problem, schedule
        What was to be done, and when it is said to be done.
    """
    count = len(problem.tasks)
    if len(schedule.starts) != count or len(schedule.modes) != count:
        return [f"has {len(schedule.starts)} starts and {len(schedule.modes)} modes for {count} tasks"]
    found = []
    ends = []
    for index, (task, start, mode) in enumerate(
        zip(problem.tasks, schedule.starts, schedule.modes, strict=True)
    ):
        if not 0 <= mode < len(task.modes):
            return [f"task {index}: has no mode {mode}"]
        end = start + task.modes[mode].duration
        ends.append(end)
        if start < task.release:
            found.append(f"task {index}: starts at {start}, before its release {task.release}")
        if task.deadline is not None and end > task.deadline:
            found.append(f"task {index}: ends at {end}, after its deadline {task.deadline}")
    for link in problem.precedences:
        lag = schedule.starts[link.after] - ends[link.before]
        if lag < link.min_lag or (link.max_lag is not None and lag > link.max_lag):
            found.append(f"task {link.after}: starts {lag} after task {link.before} ends")
    for number in range(len(problem.resources)):
        found += _resource(problem, schedule, ends, number)
    return found


def _resource(problem: Problem, schedule: Schedule, ends: list[int], number: int) -> list[str]:
    resource = problem.resources[number]
    uses = [
        (start, end, problem.tasks[i].modes[mode].demands[number])
        for i, (start, mode, end) in enumerate(zip(schedule.starts, schedule.modes, ends, strict=True))
        if number < len(problem.tasks[i].modes[mode].demands)
    ]
    if not resource.renewable:
        total = sum(units for _, _, units in uses)
        return (
            [f"resource {number}: {total} of {resource.capacity} used"] if total > resource.capacity else []
        )
    instants = sorted(
        {start for start, _, _ in uses} | set(_break_starts(problem, number, max(ends, default=0)))
    )
    found = []
    for now in instants:
        used = sum(units for start, end, units in uses if start <= now < end)
        left = min([resource.capacity, *_left(problem, number, now)])
        if used > left:
            found.append(f"resource {number}: {used} of {left} used at {now}")
    return found


def _break_starts(problem: Problem, number: int, until: int) -> list[int]:
    found = []
    for pause in problem.resources[number].breaks:
        found += list(range(pause.start, until, pause.every)) if pause.every else [pause.start]
    return found


def _left(problem: Problem, number: int, now: int) -> list[int]:
    """Give the capacities that the breaks at an instant leave."""
    found = []
    for pause in problem.resources[number].breaks:
        since = now - pause.start
        if since >= 0 and (since % pause.every if pause.every else since) < pause.end - pause.start:
            found.append(pause.capacity)
    return found
