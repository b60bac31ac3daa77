"""Carries cells to a kernel in batches and keeps what comes back, so that a run can be taken up again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import qos
from experiments.entry import weights_sha256
from experiments.kernel_headtohead.grid import Cell, is_learned
from experiments.kernel_headtohead.guest import mark_name
from experiments.rig import Finished, Request, Rig, run

BATCH = {10: 12, 50: 8, 200: 4}
"""Runs a boot at each rate in Mbit/s: what a run takes differs so much."""
LEAST_BATCH = 4
OVERHEAD_S = 12.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Store:
    """The file of finished runs, a JSON document a line."""

    path: Path

    def rows(self) -> list[dict[str, Any]]:
        """Return every run that finished; a line cut short by an interruption is left out."""
        if not self.path.is_file():
            return []
        rows = []
        for line in self.path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return [row for row in rows if "failed" not in row]

    def refuse_others(self, where: str) -> None:
        """Refuse to go on from runs of another kernel, or of other weights of lfq than those that ship.

        Parameters
        ----------
        where
            ``here`` or ``rig``: whose kernel runs from now on.
        """
        rows, others = self.rows(), ""
        weights = {row.get("weights_sha256") for row in rows if is_learned(row["name"].split("/")[1])}
        if any(row.get("where", where) != where for row in rows):
            others = "of another kernel"
        elif weights - {weights_sha256()}:
            others = "of lfq with other weights, or of unknown ones"
        if others:
            complaint = f"{self.path.parent} holds runs {others}; name another folder"
            raise click.BadParameter(complaint, param_hint="--out")

    def add(self, text: str) -> None:
        """Add lines."""
        with open(self.path, "a") as results:
            results.write(text if text.endswith("\n") or not text else text + "\n")


def carry_out(
    cells: Sequence[Cell],
    store: Store,
    rig: Rig | None,
    workers: int,
    until_s: float,
    progress: Callable[[int], None],
) -> None:
    """Run what the store does not have yet, until a time of the monotonic clock; without `rig` right here."""
    known = {row["name"] for row in store.rows()}
    waiting = _batches([cell for cell in cells if cell.name not in known])
    lock, stop = threading.Lock(), threading.Event()

    def work() -> None:
        while True:
            with lock:
                if not waiting or stop.is_set() or time.monotonic() > until_s:
                    return
                batch = waiting.pop(0)
            text = run_here(batch) if rig is None else run_batch(batch, rig, stop)
            with lock:
                store.add(text)
                progress(text.count("\n"))

    with ThreadPoolExecutor(workers) as pool:
        try:
            for future in [pool.submit(work) for _ in range(workers)]:
                future.result()
        except BaseException:
            stop.set()  # leaving the block waits for the threads
            raise


def _batches(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Group cells of one rate, a boot each, in the order of their first cell."""
    batches: list[list[Cell]] = []
    for cell in cells:
        rate = cell.scenario.rate_mbit
        fits = [
            row
            for row in batches
            if row[0].scenario.rate_mbit == rate and len(row) < BATCH.get(rate, LEAST_BATCH)
        ]
        if fits:
            fits[-1].append(cell)
        else:
            batches.append([cell])
    return batches


def run_batch(batch: Sequence[Cell], rig: Rig, stop: threading.Event | None = None) -> str:
    """Boot once, run the cells one after another, and return their lines."""
    with tempfile.TemporaryDirectory(prefix="qos-headtohead-") as name:
        orders = Path(name) / "cells.json"
        orders.write_text(json.dumps([cell.to_json() for cell in batch]))
        script = 'exec "$0" -m experiments.kernel_headtohead.guest "$1" "$RIG_OUT/results"'
        path = os.pathsep.join((str(Path(qos.__file__).parents[1]), str(ROOT)))
        limit_s = sum(cell.duration_s + OVERHEAD_S for cell in batch) + OVERHEAD_S
        request = Request(
            ["sh", "-c", script, sys.executable, str(orders)],
            limit_s,
            is_virtual=True,
            environment={"PYTHONPATH": path},
            out=Path(name) / "out",
            folder=ROOT,
            stop=stop,
        )
        finished = run(request, rig)
        results = Path(name) / "out" / "results"
        text = results.read_text() if results.is_file() else ""
        marks = {mark.name: mark.stat().st_mtime for mark in (Path(name) / "out").glob("*.mark")}
    if finished.returncode:
        print(f"a batch ended with {finished.returncode}: {finished.stderr[-400:]}", file=sys.stderr)
    rows = [_with_cost(json.loads(line), marks, finished) for line in text.splitlines()]
    return "".join(json.dumps(row) + "\n" for row in rows)


def run_here(batch: Sequence[Cell]) -> str:
    """Run the cells on this host's own kernel, in network namespaces, by its own clock."""
    with tempfile.TemporaryDirectory(prefix="qos-headtohead-") as name:
        orders, results = Path(name) / "cells.json", Path(name) / "results"
        orders.write_text(json.dumps([cell.to_json() for cell in batch]))
        words = [sys.executable, "-m", "experiments.kernel_headtohead.guest", str(orders), str(results)]
        path = os.pathsep.join((str(Path(qos.__file__).parents[1]), str(ROOT)))
        environment = {key: value for key, value in os.environ.items() if key != "RIG_OUT"}
        done = subprocess.run(
            words, env=environment | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(f"a batch ended with {done.returncode}: {done.stderr[-400:]}", file=sys.stderr)
        lines = results.read_text().splitlines() if results.is_file() else []
    return "".join(json.dumps(json.loads(line) | {"where": "here"}) + "\n" for line in lines)


def _with_cost(row: dict[str, Any], marks: dict[str, float], finished: Finished) -> dict[str, Any]:
    """Add where it ran, and the CPU time that a second of traffic took the host, all of the guest's."""
    row = row | {"where": "rig"}
    begin, end = (marks.get(mark_name(row["name"], part)) for part in ("begin", "end"))
    if begin is None or end is None or "failed" in row:
        return row
    ran_s = finished.ran_s_between(begin, end)
    return row | {"cpu_s_per_s": ran_s / (row["cell"]["duration_s"] - row["cell"]["warm_up_s"])}
