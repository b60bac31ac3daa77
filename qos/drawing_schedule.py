"""Gantt charts of entanglement schedules: one row a qubit, one colour a task."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qos.errors import ValueRefusedError
from qos.whole_files import whole_file
from schedulers.entanglement.qubit_table import stays_of_schedule
from schedulers.entanglement.tasks import Schedule, TaskSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")
MAX_ROWS = 600
MAX_BARS = 60_000
_LEGEND_ROWS = 40

# Matplotlib's ten colours; with more tasks the hatch tells them apart.
_COLOURS = tuple(f"C{number}" for number in range(10))
_HATCHES = ("", "//", "\\\\", "xx", "..", "++")


def _bars(task_set: TaskSet, schedule: Schedule) -> dict[str, dict[int, list[tuple[float, float]]]]:
    """Gather by qubit and task where the bars begin and how long they are, in seconds."""
    tasks = {task.task_id: task for task in task_set.tasks}
    found: dict[str, dict[int, list[tuple[float, float]]]] = {}
    slot_s = task_set.slot_s
    for (task_id, _), stays in stays_of_schedule(tasks, schedule):
        for qubit, begin, end in stays:
            row = found.setdefault(qubit, {}).setdefault(task_id, [])
            row.append((begin * slot_s, (end - begin) * slot_s))
    return found


def draw_schedule(task_set: TaskSet, schedule: Schedule, path: str | os.PathLike[str]) -> None:
    """Draw one table of a schedule into a PNG, SVG or PDF file, which is replaced as a whole.

    Parameters
    ----------
    task_set, schedule
        The tasks and a valid schedule of some of them; what an interrupted task holds is drawn too.
    path
        The file; its suffix chooses the format.

    Raises
    ------
    ValueRefusedError
        If the suffix is unknown, the schedule serves nobody, or there is too much to draw.
    InputError
        If the file cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueRefusedError(f"{target}: a drawing needs one of the suffixes {', '.join(SUFFIXES)}")
    if not schedule.starts:
        raise ValueRefusedError("the schedule admits no demand; there is nothing to draw")
    bars = _bars(task_set, schedule)
    count = sum(len(spans) for tasks in bars.values() for spans in tasks.values())
    if len(bars) > MAX_ROWS or count > MAX_BARS:
        raise ValueRefusedError(
            f"{len(bars)} qubits with {count} stays are too many to draw; at most {MAX_ROWS} and {MAX_BARS}"
        )
    with whole_file(target) as temporary:
        _paint(task_set, schedule, bars, temporary, suffix)


def _paint(
    task_set: TaskSet,
    schedule: Schedule,
    bars: dict[str, dict[int, list[tuple[float, float]]]],
    path: Path,
    suffix: str,
) -> None:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = min(60.0, max(3.0, 0.19 * len(bars) + 1.6))
    figure = Figure(figsize=(15, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    qubits = sorted(bars, key=_natural)
    styles = _styles(schedule)
    for row, qubit in enumerate(qubits):
        for task_id, spans in sorted(bars[qubit].items()):
            colour, hatch = styles[task_id]
            axes.broken_barh(
                spans, (row - 0.4, 0.8), facecolors=colour, hatch=hatch, edgecolors="white", linewidth=0.3
            )
    _label(axes, task_set, schedule, qubits)
    _legend(axes, task_set, schedule, styles)
    with matplotlib.rc_context({"svg.hashsalt": "qos"}):
        # No date: the same schedule gives the same file.
        stamp = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)
        figure.savefig(path, format=suffix[1:], metadata=stamp)


def _natural(qubit: str) -> tuple[tuple[int, int | str], ...]:
    """Order by node, numbers as numbers: 2-C0 before 10-C0."""
    parts = qubit.split("-")
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts)


def _styles(schedule: Schedule) -> dict[int, tuple[str, str]]:
    return {
        task_id: (_COLOURS[i % len(_COLOURS)], _HATCHES[i // len(_COLOURS) % len(_HATCHES)])
        for i, task_id in enumerate(schedule.starts)
    }


def _label(axes: Axes, task_set: TaskSet, schedule: Schedule, qubits: list[str]) -> None:
    table_s = schedule.hyperperiod_slots * task_set.slot_s
    axes.set_yticks(range(len(qubits)), [qubit.replace("$", r"\$") for qubit in qubits])
    axes.tick_params(axis="y", labelsize=8 if len(qubits) <= 100 else 5)
    axes.set_ylim(len(qubits) - 0.4, -0.6)
    axes.set_xlim(0, table_s)
    axes.set_xlabel("time, s (one table; it repeats for ever)")
    axes.grid(axis="x", linewidth=0.4, alpha=0.5)
    name = task_set.name.replace("$", r"\$")[:80]
    served = f"{len(schedule.starts)} of {len(task_set.tasks)} demands"
    axes.set_title(f"{name}: {served}" if name else served, fontsize=11)


def _legend(axes: Axes, task_set: TaskSet, schedule: Schedule, styles: dict[int, tuple[str, str]]) -> None:
    from matplotlib.patches import Patch

    handles: list[Patch] = []
    for task in task_set.tasks:
        if task.task_id in schedule.starts and len(handles) < _LEGEND_ROWS:
            rate = 1 / (task.period_slots * task_set.slot_s)
            ends = f"{task.source}–{task.destination}".replace("$", r"\$")
            colour, hatch = styles[task.task_id]
            label = f"{task.task_id}: {ends}, {rate:.3g}/s"
            handles.append(Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=label))
    hidden = len(schedule.starts) - len(handles)
    title = "task: pair, ebit/s" + (f"\n(and {hidden} more)" if hidden else "")
    legend = axes.legend(handles=handles, title=title, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    legend.get_title().set_fontsize(8)
    for text in legend.get_texts():
        text.set_fontsize(7)
