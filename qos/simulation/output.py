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
from qos.simulation.result import Result
from qos.simulation.series import Series

MOST_LINES_WITH_LEGEND = 12


def write_all(folder: Path, result: Result, series: Series | None) -> None:
    """Write ``result.json``, ``flows.csv``, ``queues.csv``; of a series ``series.npz`` and ``series.png``.

    Parameters
    ----------
    folder
        Made where it does not exist.
    result
        What was measured.
    series
        Its time series.

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
    except OSError as error:
        raise InputError(
            f"--out {folder}: {error.strerror or error}; name a folder that can be written"
        ) from None


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


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
