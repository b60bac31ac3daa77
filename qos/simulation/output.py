"""Results as files: tables (CSV), arrays (NPZ), a plot (PNG), the whole (JSON)."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from qos.errors import InputError
from qos.simulation.result import Distribution, Result
from qos.simulation.series import Series
from qos.simulation.simulation import Simulation

MOST_LINES_WITH_LEGEND = 12


def write_all(folder: Path, result: Result, series: Series | None, simulation: Simulation) -> None:
    """Write a result as files.

    ``result.json``, ``flows.csv``, ``queues.csv``; of a series ``series.npz`` and ``series.png``; of the
    distributions of round-trip and sojourn times ``distributions.npz`` and ``distributions.png``.

    Parameters
    ----------
    folder
        Made where it does not exist.
    result
        What was measured.
    series
        Its time series.
    simulation
        Where it was measured, for the distributions.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(json.dumps(result.to_json(), indent=2, allow_nan=False) + "\n")
        _write_table(folder / "flows.csv", [asdict(flow) for flow in result.flows])
        _write_table(folder / "queues.csv", [asdict(queue) for queue in result.queues])
        if series is not None:
            np.savez_compressed(
                folder / "series.npz",
                times_s=series.times_s,
                goodput_bps=series.goodput_bps,
                cwnd_bytes=series.cwnd_bytes,
                srtt_s=series.srtt_s,
                backlog_packets=series.backlog_packets,
                drops=series.drops,
            )
            draw_series(folder / "series.png", result, series)
        waits = [simulation.sojourn_distribution(number) for number in range(len(result.queues))]
        delays = [simulation.rtt_distribution(number) for number in range(len(result.flows))]
        _write_distributions(folder / "distributions.npz", delays, waits)
        draw_distributions(folder / "distributions.png", result, delays, waits)
    except OSError as error:
        raise InputError(
            f"--out {folder}: {error.strerror or error}; name a folder that can be written"
        ) from None


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _write_distributions(path: Path, delays: Sequence[Distribution], waits: Sequence[Distribution]) -> None:
    arrays: dict[str, Any] = {}
    for name, group in (("rtt", delays), ("sojourn", waits)):
        for number, each in enumerate(group):
            arrays[f"{name}_{number}_edges_s"] = each.edges_s
            arrays[f"{name}_{number}_counts"] = each.counts
    np.savez_compressed(path, **arrays)


def draw_distributions(
    path: Path, result: Result, delays: Sequence[Distribution], waits: Sequence[Distribution]
) -> None:
    """Draw which share of the times was at most so long.

    Parameters
    ----------
    path
        File of a type that matplotlib writes.
    result
        For the names of flows and queues.
    delays, waits
        Round-trip times of each flow, sojourn times of each queue.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    flows = [f"{number}: {flow.sender}" for number, flow in enumerate(result.flows)]
    queues = [f"{queue.link} from {queue.node} ({queue.discipline})" for queue in result.queues]
    for axes, group, names, title in (
        (left, delays, flows, "round-trip time (ms)"),
        (right, waits, queues, "time in the queue (ms)"),
    ):
        for each, name in zip(group, names, strict=True):
            total = int(each.counts.sum())
            if total:
                shares = np.concatenate([[0.0], np.cumsum(each.counts) / total])
                axes.plot(each.edges_s * 1e3, shares, label=name, linewidth=1)
        axes.set_xlabel(title)
        axes.grid(alpha=0.3)
        if 0 < len(axes.get_lines()) <= MOST_LINES_WITH_LEGEND:
            axes.legend(fontsize="small", loc="lower right")
    left.set_ylabel("share of the packets")
    figure.savefig(path, dpi=120)


def draw_series(path: Path, result: Result, series: Series) -> None:
    """Draw goodput, window and backlog over time.

    Parameters
    ----------
    path
        File of a type that matplotlib writes.
    result
        For the names of flows and queues.
    series
        What is drawn.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 8), layout="constrained")
    goodput, window, backlog = figure.subplots(3, 1, sharex=True)
    for number, flow in enumerate(result.flows):
        label = f"{number}: {flow.sender}"
        goodput.plot(series.times_s, series.goodput_bps[:, number] / 1e6, label=label, linewidth=1)
        window.plot(series.times_s, series.cwnd_bytes[:, number] / 1e3, label=label, linewidth=1)
    for number, queue in enumerate(result.queues):
        label = f"{queue.link} from {queue.node} ({queue.discipline})"
        backlog.plot(series.times_s, series.backlog_packets[:, number], label=label, linewidth=1)
    goodput.set_ylabel("goodput (Mbit/s)")
    window.set_ylabel("window (kB)")
    backlog.set_ylabel("backlog (packets)")
    backlog.set_xlabel("time (s)")
    for axes in (goodput, window, backlog):
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
        if len(axes.get_lines()) <= MOST_LINES_WITH_LEGEND:
            axes.legend(fontsize="small", loc="upper right")
    figure.savefig(path, dpi=120)
