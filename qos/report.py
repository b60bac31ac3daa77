"""Pictures of results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Measured(Protocol):
    """What a comparison draws of each queue."""

    @property
    def queue(self) -> str:
        """Name of the queue."""

    @property
    def goodput_bps(self) -> tuple[float, ...]:
        """Goodput of each flow."""

    @property
    def jain(self) -> float:
        """Jain's index."""

    @property
    def delay_s(self) -> NDArray[np.float64]:
        """Waiting time of each packet."""


def draw_comparison(outcomes: Sequence[Measured], path: Path) -> None:
    """Draw each flow's goodput and the distribution of queueing delay, one colour a queue.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    bars, delays = figure.subplots(1, 2, width_ratios=(1.25, 1))
    colours = ("#8c8c8c", "#c44e52", "#55a868", "#4c72b0", "#8172b3", "#ccb974")
    width = 0.8 / max(len(outcomes), 1)
    for number, (outcome, colour) in enumerate(zip(outcomes, colours, strict=False)):
        flows = np.arange(1, len(outcome.goodput_bps) + 1)
        label = f"{outcome.queue} (Jain {outcome.jain:.2f})"
        rates = np.array(outcome.goodput_bps) / 1e6
        bars.bar(flows + (number - (len(outcomes) - 1) / 2) * width, rates, width, color=colour, label=label)
        ordered = np.sort(outcome.delay_s) * 1e3
        if len(ordered):
            share = np.linspace(0, 1, len(ordered))
            delays.plot(ordered, share, color=colour, lw=2, label=outcome.queue)
    bars.set(xlabel="flow", ylabel="goodput, Mbit/s", title="Who gets what")
    bars.set_xticks(np.arange(1, max((len(row.goodput_bps) for row in outcomes), default=1) + 1))
    delays.set(
        xlabel="queueing delay, ms", ylabel="share of packets", title="How long packets wait", ylim=(0, 1)
    )
    delays.set_xscale("symlog", linthresh=1)
    delays.set_xlim(left=0)
    delays.grid(alpha=0.3)
    bars.grid(axis="y", alpha=0.3)
    figure.legend(*bars.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=120)
