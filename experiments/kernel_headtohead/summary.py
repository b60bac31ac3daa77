"""Medians over repetitions with confidence intervals, the table, and the plots."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MEASURES = (
    "goodput_bps",
    "utilisation",
    "jain",
    "bulk_mean_s",
    "bulk_p95_s",
    "bulk_p99_s",
    "voice_mean_s",
    "voice_p95_s",
    "voice_p99_s",
    "web_median_s",
    "web_p95_s",
    "drops",
    "cpu_s_per_s",
)
RESAMPLES, INTERVAL_PERCENT = 2000, (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Line:
    """One scenario and queue: median and 95 % bootstrap interval of each measure over `runs` runs."""

    scenario: str
    queue: str
    runs: int
    torn: int
    values: dict[str, tuple[float, float, float]]

    def median(self, measure: str) -> float:
        """Return a median, NaN where nothing was measured."""
        return self.values.get(measure, (float("nan"),))[0]


def summarise(rows: list[dict[str, Any]], seed: int) -> list[Line]:
    """Put the runs of each scenario and queue together."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        scenario, _, rest = row["name"].partition("/")
        groups[scenario, rest.rpartition("/")[0]].append(_with_web(row))
    rng = np.random.default_rng(seed)
    lines = []
    for (scenario, queue), runs in sorted(groups.items()):
        fit = [run for run in runs if not run["captures_missed"]]
        values = {}
        for measure in MEASURES:
            found = np.array([run[measure] for run in fit if run.get(measure) is not None])
            if len(found):
                drawn = np.median(rng.choice(found, (RESAMPLES, len(found))), axis=1)
                low, high = np.percentile(drawn, INTERVAL_PERCENT)
                values[measure] = (float(np.median(found)), float(low), float(high))
        lines.append(Line(scenario, queue, len(fit), len(runs) - len(fit), values))
    return lines


def _with_web(row: dict[str, Any]) -> dict[str, Any]:
    took_s = row.get("web_s")
    if not took_s:
        return row
    return row | {"web_median_s": float(np.median(took_s)), "web_p95_s": float(np.percentile(took_s, 95))}


def write_csv(lines: list[Line], path: Path) -> None:
    """Write medians and intervals."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["scenario", "queue", "runs", "torn", "measure", "median", "low", "high"])
        for line in lines:
            for measure, triple in line.values.items():
                writer.writerow([line.scenario, line.queue, line.runs, line.torn, measure, *triple])


def table(lines: list[Line]) -> str:
    """Return the summary as text, one row a scenario and queue."""
    head = f"{'scenario':24}{'queue':12}{'runs':>5}{'torn':>5}{'goodput':>9}{'jain':>7}"
    head += f"{'mean ms':>9}{'p99 ms':>8}{'voice p99':>10}{'web ms':>8}{'cpu':>6}"
    rows = [head]
    for line in lines:
        row = f"{line.scenario:24}{line.queue:12}{line.runs:5}{line.torn:5}"
        row += f"{line.median('goodput_bps') / 1e6:9.2f}{line.median('jain'):7.3f}"
        for measure, width in (
            ("bulk_mean_s", 9),
            ("bulk_p99_s", 8),
            ("voice_p99_s", 10),
            ("web_median_s", 8),
        ):
            row += f"{line.median(measure) * 1e3:{width}.2f}"
        rows.append(row + f"{line.median('cpu_s_per_s'):6.2f}")
    return "\n".join(rows).replace("nan", "  -")


def plot_fronts(lines: list[Line], path: Path) -> None:
    """Draw goodput over mean delay of the bulk flows, one panel a scenario."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    names = sorted({line.scenario for line in lines})
    columns = min(4, len(names))
    height = -(-len(names) // columns)
    figure, axes = pyplot.subplots(height, columns, figsize=(4 * columns, 3.2 * height), squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        for line in (row for row in lines if row.scenario == name and row.values):
            delay_ms, rate = line.median("bulk_mean_s") * 1e3, line.median("goodput_bps") / 1e6
            axis.plot(delay_ms, rate, "o")
            axis.annotate(line.queue, (delay_ms, rate), fontsize=7, xytext=(3, 3), textcoords="offset points")
        axis.set_xscale("log")
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("mean queueing delay (ms)", fontsize=8)
        axis.set_ylabel("goodput (Mbit/s)", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def plot_winners(lines: list[Line], path: Path) -> None:
    """Draw each queue's mean bulk delay over the smallest among those with 95 % of the best utilisation."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    scenarios, queues = sorted({row.scenario for row in lines}), sorted({row.queue for row in lines})
    grid = np.full((len(scenarios), len(queues)), np.nan)
    for row in lines:
        peers = [line for line in lines if line.scenario == row.scenario and line.values]
        best = max((line.median("utilisation") for line in peers), default=np.nan)
        near = [line for line in peers if line.median("utilisation") >= 0.95 * best]
        if row in near:
            least_s = min(line.median("bulk_mean_s") for line in near)
            grid[scenarios.index(row.scenario), queues.index(row.queue)] = row.median("bulk_mean_s") / least_s
    figure, axis = pyplot.subplots(figsize=(1.2 * len(queues) + 3, 0.5 * len(scenarios) + 1.8))
    axis.imshow(np.log2(grid), cmap="RdYlGn_r", vmin=0, vmax=4, aspect="auto")
    for (place_y, place_x), value in np.ndenumerate(grid):
        axis.text(place_x, place_y, "-" if np.isnan(value) else f"{value:.1f}", ha="center", va="center")
    axis.set_xticks(range(len(queues)), queues, rotation=30)
    axis.set_yticks(range(len(scenarios)), scenarios)
    axis.set_title("mean delay over the least (1.0 wins);\n-: below 95 % of the best utilisation", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def plot_series(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw delay over time of the first repetition of the scenario that most queues have run."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    first = [row for row in rows if row["name"].endswith("/0")]
    names = [row["name"].partition("/")[0] for row in first]
    chosen = max(sorted(set(names)), key=names.count, default=None)
    figure, axis = pyplot.subplots(figsize=(8, 4))
    for row in (row for row in first if row["name"].startswith(f"{chosen}/")):
        delay_ms = np.array(row["series"]["delay_s"]) * 1e3
        seconds = (np.arange(len(delay_ms)) + 0.5) * row["series"]["step_s"][0]
        axis.plot(seconds, np.maximum(delay_ms, 1e-3), label=row["name"].split("/", 1)[1][:-2])
    axis.set(title=chosen, xlabel="time after the warm-up (s)", ylabel="queueing delay (ms)", yscale="log")
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
