"""What the studies of entanglement scheduling share: many points on some workers, rows into a CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from qos.workers import each

P = TypeVar("P")
Row = Mapping[str, object]


def sweep(worker: Callable[[P], Sequence[Row]], points: Sequence[P], jobs: int, table: Path) -> list[Row]:
    """Run a function over all points, with a bar on a terminal, and write the rows of all as one CSV.

    Parameters
    ----------
    worker
        Gives the rows of a point; taken from its module by name, so that processes keep what it caches.
    points
        What to run, at least one point.
    jobs
        What `qos.workers.workers` gave.
    table
        The CSV; its folder is made.
    """
    rows = [row for found in each(worker, points, jobs) for row in found]
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows
