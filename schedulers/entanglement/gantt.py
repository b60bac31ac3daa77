"""A schedule as a Gantt chart: one row a qubit, one bar a stay."""

from __future__ import annotations

import os

from qos.errors import InputError, ValueRefusedError
from schedulers.entanglement.tasks import PeriodicTask, Schedule, Segment, TaskSet

SUFFIXES = (".png", ".svg", ".pdf")
MAX_ROWS = 120
MAX_SLOTS = 1024
_LABELLED_ROWS = 60


def _stays(task: PeriodicTask, parts: tuple[Segment, ...]) -> list[tuple[str, int, int]]:
    """List qubit, start and length of what an instance holds while it runs."""
    found = []
    done = 0
    for start, length in parts:
        for qubit, intervals in task.occupancy.items():
            for begin, end in intervals:
                first, last = max(begin, done), min(end, done + length)
                if first < last:
                    found.append((qubit, start + first - done, last - first))
        done += length
    return found


def draw_schedule(
    task_set: TaskSet, schedule: Schedule, path: str | os.PathLike[str], title: str = ""
) -> None:
    """Draw a schedule into a file.

    Parameters
    ----------
    task_set, schedule
        The tasks and when they run; the first `MAX_SLOTS` slots and the `MAX_ROWS` busiest qubits are drawn.
    path
        Ends in one of `SUFFIXES`.
    title
        Above the chart.

    Raises
    ------
    ValueRefusedError
        If the suffix is not known.
    InputError
        If the file cannot be written.
    """
    name = os.fspath(path)
    if not name.lower().endswith(SUFFIXES):
        raise ValueRefusedError(f"{name}: a drawing needs one of the suffixes {', '.join(SUFFIXES)}")
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    bars: dict[str, list[tuple[int, int, int]]] = {}
    for number, task in enumerate(task for task in task_set.tasks if task.task_id in schedule.starts):
        whole = tuple(((start, task.exec_slots),) for start in schedule.starts[task.task_id])
        for parts in schedule.segments.get(task.task_id, whole):
            for qubit, start, length in _stays(task, parts):
                if start < MAX_SLOTS:
                    bars.setdefault(qubit, []).append((start, length, number))
    busiest = sorted(bars, key=lambda q: -sum(length for _, length, _ in bars[q]))[:MAX_ROWS]
    rows = sorted(busiest)
    figure = Figure(figsize=(12, 1.6 + 0.2 * max(len(rows), 8)), layout="constrained")
    axes = figure.add_subplot()
    colours = colormaps["tab20"]
    for row, qubit in enumerate(rows):
        spans = [(start * task_set.slot_s, length * task_set.slot_s) for start, length, _ in bars[qubit]]
        shades = [colours(number % 20) for _, _, number in bars[qubit]]
        axes.broken_barh(spans, (row - 0.4, 0.8), facecolors=shades, edgecolor="white", linewidth=0.3)
    axes.set_xlim(0, min(schedule.hyperperiod_slots, MAX_SLOTS) * task_set.slot_s)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), rows, fontsize=7 if len(rows) <= _LABELLED_ROWS else 5)
    axes.set_xlabel("time in s")
    axes.set_ylabel("qubit" if len(bars) <= MAX_ROWS else f"qubit (the {MAX_ROWS} busiest of {len(bars)})")
    axes.set_title(title or f"{task_set.name}: {len(schedule.starts)} of {len(task_set.tasks)} demands")
    try:
        figure.savefig(name, dpi=120)
    except OSError as error:
        raise InputError(f"{name}: cannot be written: {error.strerror}") from None
