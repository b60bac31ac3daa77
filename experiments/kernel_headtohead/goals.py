"""Our queues against the goals that the project set itself, over all scenarios that were run."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.kernel_headtohead.grid import THEIRS
from experiments.kernel_headtohead.summary import Line

Peers = dict[str, Line]
"""The lines of one scenario by their queue."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached.

    Attributes
    ----------
    name
        In words.
    bound
        The figure to reach.
    at_least
        Whether more is better.
    over
        How the scenarios are put together: ``median`` or ``worst``.
    figure
        Our line and its peers -> the figure of one scenario; NaN where it has none.
    """

    name: str
    bound: float
    at_least: bool
    over: str
    figure: Callable[[Line, Peers], float]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One queue of ours and one goal: the figure over `scenarios` scenarios, and where it is worst."""

    queue: str
    goal: Goal
    value: float
    worst: str
    worst_value: float
    scenarios: int

    @property
    def is_reached(self) -> bool:
        """Whether the figure is within the bound."""
        return self.value >= self.goal.bound if self.goal.at_least else self.value <= self.goal.bound


def _goodput(line: Line, peers: Peers) -> float:
    return line.median("goodput_bps") / max(
        peers[name].median("goodput_bps") for name in ("fq_codel", "cake")
    )


def _ratio(measure: str, to: str) -> Callable[[Line, Peers], float]:
    return lambda line, peers: line.median(measure) / peers[to].median(measure)


def _own(measure: str, scale: float, kind: str = "") -> Callable[[Line, Peers], float]:
    return lambda line, _: line.median(measure) * scale if line.scenario.endswith(kind) else float("nan")


GOALS = (
    Goal("goodput over the better of fq_codel and cake", 0.99, True, "median", _goodput),
    Goal("bulk delay, p99, over fq_codel's", 0.5, False, "median", _ratio("bulk_p99_s", "fq_codel")),
    Goal("bulk delay, mean, over fq_codel's", 0.7, False, "median", _ratio("bulk_mean_s", "fq_codel")),
    Goal("sparse flow's delay, p99, over cake's", 1.0, False, "worst", _ratio("voice_p99_s", "cake")),
    Goal("Jain's index", 0.98, True, "worst", _own("jain", 1.0)),
    Goal("64 kbit/s beside 16 flows, mean, ms", 1.0, False, "worst", _own("voice_mean_s", 1e3, "rtts16")),
)


def judge(lines: Sequence[Line]) -> list[Verdict]:
    """Compare each queue of ours with the goals, in the scenarios that fq_codel and cake have run too."""
    by_scenario: dict[str, Peers] = {}
    for line in lines:
        if line.runs:
            by_scenario.setdefault(line.scenario, {})[line.queue] = line
    whole = [peers for peers in by_scenario.values() if {"fq_codel", "cake"} <= set(peers)]
    ours = sorted({queue for peers in whole for queue in peers} - set(THEIRS))
    verdicts = (_verdict(queue, goal, whole) for queue in ours for goal in GOALS)
    return [verdict for verdict in verdicts if verdict is not None]


def _verdict(queue: str, goal: Goal, whole: Sequence[Peers]) -> Verdict | None:
    figures = {peers[queue].scenario: goal.figure(peers[queue], peers) for peers in whole if queue in peers}
    figures = {name: value for name, value in figures.items() if not np.isnan(value)}
    if not figures:
        return None
    worst = (min if goal.at_least else max)(figures, key=figures.__getitem__)
    value = float(np.median(list(figures.values()))) if goal.over == "median" else figures[worst]
    return Verdict(queue, goal, value, worst, figures[worst], len(figures))


def table(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as text."""
    rows = [f"{'queue':16}{'goal':58}{'bound':>8}{'is':>8}  {'worst'}"]
    for row in verdicts:
        goal = f"{row.goal.over} {row.goal.name}"
        bound = (">=" if row.goal.at_least else "<=") + format(row.goal.bound, "g")
        verdict = f"{'reached' if row.is_reached else 'MISSED'}; {row.worst} {row.worst_value:.3f}"
        rows.append(f"{row.queue:16}{goal:58}{bound:>8}{row.value:8.3f}  {verdict}")
    return "\n".join(rows)


def write_csv(verdicts: Sequence[Verdict], path: Path) -> None:
    """Write the verdicts."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["queue", "goal", "over", "bound", "value", "reached", "scenarios", "worst", "worst_value"]
        )
        for row in verdicts:
            head = [row.queue, row.goal.name, row.goal.over, row.goal.bound, row.value, row.is_reached]
            writer.writerow([*head, row.scenarios, row.worst, row.worst_value])
