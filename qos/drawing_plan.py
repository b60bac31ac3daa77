"""Drawings of plans: each link as wide and as red as it is reserved."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from qos.drawing import SUFFIXES, place
from qos.errors import InputError, ValueRefusedError
from qos.planning import Plan


def draw_plan(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Draw the topology of a plan with the load of its links into a PNG, SVG or PDF file.

    Each link shows the busier of its directions.

    Raises
    ------
    ValueRefusedError
        If the suffix is unknown, or the topology has no or too many nodes.
    InputError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    target, topology = Path(path), plan.scenario.topology
    if target.suffix.lower() not in SUFFIXES:
        raise ValueRefusedError(f"{target}: a drawing needs one of the suffixes {', '.join(SUFFIXES)}")
    if not topology.nodes:
        raise ValueRefusedError("the topology has no nodes to draw")
    places = place(topology)
    load: dict[str, float] = {}
    for setting in plan.links:
        load[setting.link] = max(load.get(setting.link, 0.0), setting.utilisation)
    width = min(24.0, max(8.0, 1.25 * math.sqrt(len(places))))
    figure = Figure(figsize=(width, 0.75 * width), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.margins(0.08)
    colours = ScalarMappable(Normalize(0.0, 1.0), "YlOrRd")
    table = colours.get_cmap()
    for link in topology.links.values():
        (x1, y1), (x2, y2) = places[link.source], places[link.target]
        if link.id in load:
            part = load[link.id]
            axes.plot([x1, x2], [y1, y2], color=table(0.15 + 0.85 * part), lw=1 + 5 * part, zorder=1)
        else:
            axes.plot([x1, x2], [y1, y2], color="#cc79a7", lw=1.5, ls=":", zorder=1)
    spots = np.array([places[node] for node in topology.nodes])
    axes.scatter(spots[:, 0], spots[:, 1], s=40 if len(places) <= 200 else 12, color="#4d4d4d", zorder=2)
    if len(places) <= 200:
        for node in topology.nodes:
            axes.annotate(
                node, places[node], xytext=(0, 5), textcoords="offset points", ha="center", fontsize=7
            )
    figure.colorbar(colours, ax=axes, label="share of the link that is reserved", shrink=0.7)
    served = len(plan.flows) + len(plan.entanglement)
    axes.set_title(
        f"{topology.name or 'plan'}: {served} served, {len(plan.rejected)} rejected".replace("$", r"\$")
    )
    try:
        figure.savefig(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from None
