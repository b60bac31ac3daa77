"""Drawings of topologies: wired, wireless and quantum links each in a style of its own."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from qos.errors import ValueRefusedError
from qos.whole_files import whole_file
from topologies.model import Node, Topology

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Places: TypeAlias = dict[str, tuple[float, float]]

SUFFIXES = (".png", ".svg", ".pdf")
MAX_NODES = 2000

# Colours of Okabe and Ito, told apart also with colour blindness; the line styles tell without colour.
_LINKS: dict[str, dict[str, Any]] = {
    "wired": {"color": "#4d4d4d", "linestyle": "-"},
    "wireless": {"color": "#0072b2", "linestyle": (0, (4, 2))},
    "quantum": {"color": "#cc79a7", "linestyle": (0, (1, 1.2))},
}
_NODES: dict[str, tuple[str, str]] = {
    "host": ("o", "#999999"),
    "router": ("s", "#4d4d4d"),
    "switch": ("D", "#7f7f7f"),
    "access-point": ("^", "#0072b2"),
    "base-station": ("P", "#0072b2"),
    "station": ("o", "#56b4e9"),
    "quantum-end": ("o", "#cc79a7"),
    "quantum-repeater": ("h", "#8e4585"),
    "other": ("X", "#999999"),
}


def place(topology: Topology) -> Places:
    """Give each node a place in the drawing.

    Coordinates are used where half of the nodes or more have them (equirectangular, the rest put
    near their neighbours); otherwise distances in the drawing follow distances in hops.

    Raises
    ------
    ValueRefusedError
        If there are more than `MAX_NODES` nodes.
    """
    if len(topology.nodes) > MAX_NODES:
        raise ValueRefusedError(f"{len(topology.nodes)} nodes are too many to draw; at most {MAX_NODES}")
    known = [node for node in topology.nodes.values() if node.latitude is not None]
    if known and 2 * len(known) >= len(topology.nodes):
        places = _map(known)
        if len(set(places.values())) > 1:
            return _fill(topology, places)
    return _by_hops(topology)


def _map(nodes: list[Node]) -> Places:
    latitudes = [node.latitude for node in nodes if node.latitude is not None]
    squeeze = max(0.1, math.cos(math.radians(sum(latitudes) / len(latitudes))))
    return {node.id: ((node.longitude or 0.0) * squeeze, node.latitude or 0.0) for node in nodes}


def _fill(topology: Topology, places: Places) -> Places:
    """Put nodes without coordinates beside their neighbours, one around the other."""
    array = np.array(list(places.values()))
    step = 0.08 * float(np.ptp(array, axis=0).max())
    middle = tuple(array.mean(axis=0))
    missing = [node for node in topology.nodes if node not in places]
    for index, node in enumerate(missing):
        around = [places[other] for other in topology.neighbours(node) if other in places] or [middle]
        x, y = np.mean(around, axis=0)
        angle = 2.4 * index  # the golden angle keeps neighbours apart
        places[node] = (float(x + step * math.cos(angle)), float(y + step * math.sin(angle)))
    return places


def _by_hops(topology: Topology) -> Places:
    """Minimise the stress of the hop distances (SMACOF) from the classical scaling; no random start."""
    import networkx as nx

    ids = list(topology.nodes)
    if len(ids) < 2:
        return dict.fromkeys(ids, (0.0, 0.0))
    number = {node: index for index, node in enumerate(ids)}
    apart = math.sqrt(len(ids)) + 1
    hops = np.full((len(ids), len(ids)), np.inf)
    for node, reached in nx.all_pairs_shortest_path_length(topology.graph):
        for other, count in reached.items():
            hops[number[node], number[other]] = count
    hops[np.isinf(hops)] = max(apart, float(hops[np.isfinite(hops)].max()) / 2)
    centred = -0.5 * (hops**2 - (hops**2).mean(0) - (hops**2).mean(1)[:, None] + (hops**2).mean())
    values, vectors = np.linalg.eigh(centred)
    points = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 1e-9))
    # Nodes that the scaling puts on one spot could never part: a small fixed spiral parts them.
    turn = 2.4 * np.arange(len(ids))
    points = points + 0.1 * np.column_stack([np.cos(turn), np.sin(turn)])
    weights = 1 / np.where(hops > 0, hops, np.inf) ** 2
    inverse = np.linalg.pinv(np.diag(weights.sum(1)) - weights)
    for _ in range(300 if len(ids) <= 500 else 60):
        gaps = np.linalg.norm(points[:, None] - points[None, :], axis=2)
        ratio = -weights * np.divide(hops, gaps, out=np.zeros_like(hops), where=gaps > 1e-12)
        np.fill_diagonal(ratio, -ratio.sum(1))
        points = inverse @ (ratio @ points)
    return {node: (float(x), float(y)) for node, (x, y) in zip(ids, points, strict=True)}


def draw(topology: Topology, path: str | os.PathLike[str]) -> None:
    """Draw a topology into a PNG, SVG or PDF file, which is replaced as a whole.

    Raises
    ------
    ValueRefusedError
        If the suffix is unknown, or the topology has no or too many nodes.
    InputError
        If the file cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueRefusedError(f"{target}: a drawing needs one of the suffixes {', '.join(SUFFIXES)}")
    if not topology.nodes:
        raise ValueRefusedError("the topology has no nodes to draw")
    places = place(topology)
    with whole_file(target) as temporary:
        _paint(topology, places, temporary, suffix)


def _paint(topology: Topology, places: Places, path: Path, suffix: str) -> None:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    span = np.ptp(np.array(list(places.values())), axis=0)
    shape = min(1.0, max(0.35, float(span[1] / span[0]) if span[0] > 0 else 1.0))
    width = min(24.0, max(8.0, 1.25 * math.sqrt(len(places))))
    figure = Figure(figsize=(width, width * shape + 1.2), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    _paint_links(axes, topology, places)
    _paint_nodes(axes, topology, places)
    if topology.name:
        axes.set_title(_plain(topology.description or topology.name), fontsize=12)
    columns = min(5, len(axes.get_legend_handles_labels()[1])) or 1
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    with matplotlib.rc_context({"svg.hashsalt": "qos"}):
        # No date: the same topology gives the same file.
        stamp = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)
        figure.savefig(path, format=suffix[1:], metadata=stamp)


def _paint_links(axes: Axes, topology: Topology, places: Places) -> None:
    from matplotlib.patches import FancyArrowPatch

    seen: dict[frozenset[str], int] = {}
    for link in topology.links.values():
        pair = frozenset((link.source, link.target))
        seen[pair] = count = seen.get(pair, -1) + 1
        # Parallel links bow to alternate sides, each further out than the one before.
        bow = 0.12 * ((count + 1) // 2) * (1 if count % 2 else -1)
        # Always bent as seen from the same end, whichever way the link was written.
        one, other = sorted((link.source, link.target))
        axes.add_patch(
            FancyArrowPatch(
                places[one],
                places[other],
                arrowstyle="-",
                connectionstyle=f"arc3,rad={bow}",
                shrinkA=0,
                shrinkB=0,
                linewidth=1.8,
                zorder=1,
                **_LINKS[link.kind],
            )
        )
    for kind, style in _LINKS.items():
        if any(link.kind == kind for link in topology.links.values()):
            axes.plot([], [], label=f"{kind} link", linewidth=1.8, **style)


def _paint_nodes(axes: Axes, topology: Topology, places: Places) -> None:
    size = 90 if len(places) <= 60 else 45 if len(places) <= 200 else 15
    for kind, (marker, colour) in _NODES.items():
        spots = [places[node.id] for node in topology.nodes.values() if node.kind == kind]
        if spots:
            xs, ys = zip(*spots, strict=True)
            axes.scatter(
                xs,
                ys,
                s=size,
                marker=marker,
                color=colour,
                edgecolors="white",
                label=kind,
                linewidths=0.8,
                zorder=2,
            )
    if len(places) > 300:
        return
    for node in topology.nodes.values():
        text = axes.annotate(
            _plain(node.label or node.id),
            places[node.id],
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8 if len(places) <= 60 else 6,
            zorder=3,
        )
        text.set_bbox({"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.7, "linewidth": 0})


def _plain(text: str) -> str:
    """Keep matplotlib from reading dollar signs as formulas, and labels short."""
    return (text if len(text) <= 80 else text[:79] + "…").replace("$", r"\$")
