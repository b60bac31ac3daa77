"""How `qos schedule` shows a schedule: one JSON document, or tables and a summary."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from qos.cli.common import console
from qos.cli.schedule_input import CPSAT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from qos.cli.common import CommandSettings
    from qos.cli.schedule_input import Case, Request
    from schedulers.entanglement.allocation import Rejection, Scheduled
    from schedulers.entanglement.metrics import ScheduleMetrics
    from schedulers.entanglement.tasks import Schedule, TaskSet


def starts_of(schedule: Schedule) -> dict[str, list[Any]]:
    """List starts by task id; of interrupted tasks the segments of each instance."""
    return {
        str(task_id): [list(map(list, instance)) for instance in schedule.segments[task_id]]
        if task_id in schedule.segments
        else list(instants)
        for task_id, instants in schedule.starts.items()
    }


def document(
    request: Request,
    case: Case,
    result: Scheduled,
    metrics: ScheduleMetrics,
    rejected: Sequence[Rejection],
) -> dict[str, Any]:
    """Write a result down for programs."""
    schedule, cpsat = result.schedule, request.scheduler == CPSAT
    found: dict[str, Any] = {
        "schema": 1,
        "scheduler": request.scheduler,
        "mode": request.mode if cpsat else None,
        "objective": request.objective if cpsat else None,
        "status": result.status,
        "admitted": list(schedule.admitted),
        "starts": starts_of(schedule),
        "throughput_ebit_per_s": metrics.throughput_ebit_per_s,
        "bound_ebit_per_s": result.bound_ebit_per_s,
        "jitter_s2": metrics.jitter_s2,
        "peak_to_peak_jitter_s": metrics.peak_to_peak_jitter_s,
        "jain": metrics.jain,
        "seconds": result.seconds,
        "objective_value": result.value,
        "objective_bound": result.bound,
        "gap": result.gap,
        "hyperperiod_slots": schedule.hyperperiod_slots,
        "demands": case.demands,
        "interrupted": result.interrupted,
        "slot_s": case.task_set.slot_s,
    }
    if case.compiled is not None:
        from schedulers.entanglement.allocation import path_of

        found["paths"] = {
            str(one.task.task_id): list(path_of(one, schedule))
            for one in case.compiled.demands
            if one.task.task_id in schedule.starts
        }
    if request.why or request.keep_going:
        found["rejected"] = [_rejection(one) for one in rejected]
    return found


def _rejection(one: Rejection) -> dict[str, Any]:
    return {
        "id": one.position,
        "reason": one.reason,
        "changes": [
            {"field": change.field, "asked": change.asked, "possible": change.possible}
            for change in one.changes
        ],
    }


def table(*headings: str) -> Table:
    """Make an aligned table; a heading that begins with > is of numbers."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        made.add_column(heading.lstrip(">"), justify="right" if heading.startswith(">") else "left")
    return made


def add_row(made: Table, cells: Sequence[str]) -> None:
    """Add a row of plain text."""
    from rich.text import Text

    made.add_row(*(Text(cell) for cell in cells))


def show(settings: CommandSettings, made: Table) -> None:
    """Print a table; as wide as it needs where nobody looks at a terminal."""
    out = console(settings)
    if not sys.stdout.isatty():
        out.width = 10_000
    out.print(made)


def say(settings: CommandSettings, text: str) -> None:
    """Print a line as it is."""
    console(settings).print(text, markup=False)


_AIMS = {
    "fair": ("lowest share of a pair of end nodes", "at most"),
    "count": ("demands", "at most"),
    "jitter": ("jitter in s^2", "at least"),
    "makespan": ("last operation ends at s", "not before"),
}
"""What objectives other than throughput are called in the summary, and the side of their bound."""


def _summary(request: Request, case: Case, result: Scheduled, metrics: ScheduleMetrics) -> str:
    bound = result.bound_ebit_per_s
    against = "" if bound is None else f" of at most {bound:.3f}"
    aim = ""
    if result.value is not None and result.bound is not None and request.objective in _AIMS:
        what, side = _AIMS[request.objective]
        aim = f"\n{what} {result.value:.4g}, {side} {result.bound:.4g} (gap {result.gap:.1%})"
    return (
        f"{request.scheduler}: {metrics.admitted} of {case.demands} demands, "
        f"{metrics.throughput_ebit_per_s:.3f}{against} ebit/s (offered {metrics.offered_ebit_per_s:.3f}), "
        f"{result.status} in {result.seconds:.2f} s\n"
        f"jitter {metrics.jitter_s2:.3g} s^2, peak to peak {metrics.peak_to_peak_jitter_s:.3g} s, "
        f"Jain's index {metrics.jain:.3f}, worst response {metrics.response_s:.3g} s{aim}"
    )


def print_schedule(
    settings: CommandSettings,
    request: Request,
    case: Case,
    plain: TaskSet,
    result: Scheduled,
    metrics: ScheduleMetrics,
) -> None:
    """Show every demand, what it gets, and what the schedule is worth."""
    from schedulers.entanglement.allocation import path_of

    of_task = {one.task_id: one for one in metrics.tasks}
    compiled = {one.task.task_id: one for one in (case.compiled.demands if case.compiled else ())}
    with_paths = request.paths > 1
    headings = ["id", "from", "to", ">fidelity", ">ebit/s", "", ">offset s", ">moves by s"]
    made = table(*headings, *(["path"] if with_paths else []))
    for task in plain.tasks:
        rate = 1 / (task.period_slots * plain.slot_s)
        cells = [str(task.task_id), task.source, task.destination, f"{task.min_fidelity:g}", f"{rate:.4g}"]
        if task.task_id in of_task:
            starts = result.schedule.starts[task.task_id]
            offset = min(start % task.period_slots for start in starts) * plain.slot_s
            moves = of_task[task.task_id].peak_to_peak_jitter_s
            cells += ["admitted", f"{offset:.3g}", f"{moves:.3g}"]
            cells += [" ".join(path_of(compiled[task.task_id], result.schedule))] if with_paths else []
        else:
            cells += ["refused", "", "", *([""] if with_paths else [])]
        add_row(made, cells)
    show(settings, made)
    say(settings, _summary(request, case, result, metrics))


def print_rejected(settings: CommandSettings, rejected: Sequence[Rejection]) -> None:
    """Say why demands are refused, and with which changes each would be served."""
    for one in rejected:
        demand = one.demand
        say(settings, f"demand {one.position} ({demand.source} to {demand.destination}): {one.reason}")
        if one.changes:
            say(settings, f"  would be served with {', or '.join(map(str, one.changes))}")
