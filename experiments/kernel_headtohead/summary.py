"""Medians over repetitions with confidence intervals, and the table."""

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
