"""The plots of the comparison: fronts, who wins where, delay over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.kernel_headtohead.grid import THEIRS
from experiments.kernel_headtohead.summary import Line

PANELS = (
    ("goodput_bps", 1e-6, "goodput (Mbit/s)", True, "{:.1f}"),
    ("bulk_mean_s", 1e3, "bulk delay, mean (ms)", False, "{:.1f}"),
    ("bulk_p99_s", 1e3, "bulk delay, p99 (ms)", False, "{:.0f}"),
    ("jain", 1.0, "Jain's index", True, "{:.2f}"),
    ("voice_p99_s", 1e3, "voice delay, p99 (ms)", False, "{:.1f}"),
    ("web_median_s", 1e3, "short transfers, median (ms)", False, "{:.0f}"),
)
"""Measure, scale, title, whether more is better, and how it is written."""
FULL_SHARE = 0.95
"""A queue with less than this share of the best goodput cannot win a delay."""
WORST_MORE, WORST_LESS = 0.8, 4.0
"""The red end of a colour scale: this share of the best, or so many times the least."""
LEAST_S = 1e-4
"""Delays below this are alike."""


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot


def queues_in_order(lines: Sequence[Line]) -> list[str]:
    """Return the queues, theirs first."""
    found = {line.queue for line in lines}
    return [name for name in THEIRS if name in found] + sorted(found - set(THEIRS))


def fronts(lines: Sequence[Line], path: Path) -> None:
    """Draw goodput over mean delay of the bulk flows with their intervals, one panel a scenario."""
    pyplot = _pyplot()
    names, queues = sorted({line.scenario for line in lines}), queues_in_order(lines)
    columns = min(4, len(names))
    height = -(-len(names) // columns)
    figure, axes = pyplot.subplots(height, columns, figsize=(4 * columns, 3.2 * height), squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        for line in (row for row in lines if row.scenario == name and row.values):
            delay, rate = (
                np.array(line.values.get(measure, (np.nan,) * 3)) * scale
                for measure, scale in (("bulk_mean_s", 1e3), ("goodput_bps", 1e-6))
            )
            spreads = [np.abs(row[1:] - row[0])[:, None] for row in (delay, rate)]
            ours = line.queue not in THEIRS
            colour = f"C{queues.index(line.queue)}"
            mark = "o" if ours else "s"
            axis.errorbar(delay[0], rate[0], xerr=spreads[0], yerr=spreads[1], fmt=mark, color=colour)
            axis.annotate(
                line.queue, (delay[0], rate[0]), fontsize=7, xytext=(3, 3), textcoords="offset points"
            )
        axis.set_xscale("log")
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("mean queueing delay (ms)", fontsize=8)
        axis.set_ylabel("goodput (Mbit/s)", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def winners(lines: Sequence[Line], path: Path) -> None:
    """Draw who wins where: a panel a measure, the winner of each scenario framed.

    A delay is won among the queues that have `FULL_SHARE` of the best goodput; the others are grey.
    """
    pyplot = _pyplot()
    scenarios, queues = sorted({row.scenario for row in lines}), queues_in_order(lines)
    by_place = {(row.scenario, row.queue): row for row in lines if row.values}
    size = (0.62 * len(queues) * 3 + 3.5, (0.3 * len(scenarios) + 1.6) * 2)
    figure, axes = pyplot.subplots(2, 3, figsize=size, sharey=True, squeeze=False)
    for axis, (measure, scale, title, more, form) in zip(axes.flat, PANELS, strict=True):
        values = _matrix(by_place, scenarios, queues, measure)
        rates = _matrix(by_place, scenarios, queues, "goodput_bps")
        with np.errstate(invalid="ignore"):
            full = rates >= FULL_SHARE * _best(rates, more=True)
            badness = _badness(values, full, more=more)
        axis.imshow(badness, cmap="RdYlGn_r", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                out = not more and not full[row, column]
                wins = badness[row, column] == 0
                axis.text(
                    column,
                    row,
                    form.format(value * scale),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="grey" if out else "black",
                    fontweight="bold" if wins else "normal",
                )
        axis.set_xticks(range(len(queues)), queues, rotation=60, fontsize=7, ha="right")
        axis.set_yticks(range(len(scenarios)), scenarios, fontsize=7)
        axis.set_title(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _matrix(
    by_place: dict[tuple[str, str], Line], scenarios: list[str], queues: list[str], measure: str
) -> np.ndarray[Any, np.dtype[np.float64]]:
    rows = [
        [by_place[name, queue].median(measure) if (name, queue) in by_place else np.nan for queue in queues]
        for name in scenarios
    ]
    return np.array(rows, np.float64)


def _best(values: Any, *, more: bool) -> Any:
    filled = np.where(np.isfinite(values), values, -np.inf if more else np.inf)
    best = filled.max(axis=1) if more else filled.min(axis=1)
    return np.where(np.isfinite(best), best, np.nan)[:, None]


def _badness(values: Any, full: Any, *, more: bool) -> Any:
    """Give 0 for the best of a scenario, 1 for the red end of the scale, NaN for what cannot win."""
    if more:
        return np.clip((1 - values / _best(values, more=True)) / (1 - WORST_MORE), 0, 1)
    fit = np.where(full, np.maximum(values, LEAST_S), np.nan)
    return np.clip(np.log(fit / _best(fit, more=False)) / np.log(WORST_LESS), 0, 1)


def series(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw delay over time of the first repetition of the scenario that most queues have run."""
    pyplot = _pyplot()
    first = [row for row in rows if row["name"].endswith("/0")]
    names = [row["name"].partition("/")[0] for row in first]
    chosen = max(sorted(set(names)), key=names.count, default=None)
    figure, axis = pyplot.subplots(figsize=(8, 4))
    for row in (row for row in first if row["name"].startswith(f"{chosen}/")):
        delay_ms = np.array(row["series"]["delay_s"]) * 1e3
        seconds = (np.arange(len(delay_ms)) + 0.5) * row["series"]["step_s"][0]
        axis.plot(seconds, np.maximum(delay_ms, 1e-1), label=row["name"].split("/", 1)[1][:-2])
    axis.set(title=chosen, xlabel="time after the warm-up (s)", ylabel="queueing delay (ms)", yscale="log")
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
