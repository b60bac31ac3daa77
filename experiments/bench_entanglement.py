"""How fast the paper's entanglement schedulers run here: against recorded seconds, and as demands grow.

``python -m experiments.bench_entanglement [--json] [--data DIR] [--quick] [--seed N]``

The recorded part needs a folder with ``tasksets/*.json`` (``qtaskset/1``) and ``baseline/*.json`` (the
authors' code: seconds and admitted ids); by default ``$QOS_SHARED_DATA/entanglement`` or
``../shared/data/entanglement`` beside the checkout, and it is left out where there is none. Times here are
CPU seconds of the admission loop, the smallest of some runs after a first one that compiles; the recorded
ones are wall seconds on a loaded machine, so ratios of one set between schedulers say more than the
absolute factor.
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

import click
import numpy as np

from schedulers.entanglement.admission import admit
from schedulers.entanglement.scheduler import SCHEDULERS, Scheduler, get_scheduler
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet
from schedulers.entanglement.taskset_files import load_task_set

BUDGETS_SLOTS = {"0.01S": 1, "0.1S": 10, "1S": 100}
FLOOR_S = 0.005
SMALLEST_SHARE = 1 / 50
SURFNET_FACTOR = 200


def cpu_seconds(task_set: TaskSet, scheduler: Scheduler, runs: int) -> tuple[float, Schedule]:
    """Time the admission loop; the first run compiles and is not counted."""
    schedule = admit(task_set, scheduler)
    best = float("inf")
    for _ in range(runs):
        begin = time.process_time()
        schedule = admit(task_set, scheduler)
        best = min(best, time.process_time() - begin)
    return best, schedule


def recorded_scheduler(label: str) -> Scheduler:
    """Find the scheduler of a recorded label such as ``RCPSP-NP-EDF`` or ``PTS-PB-0.1s``."""
    name, _, budget = label.upper().rpartition("-")
    if budget in BUDGETS_SLOTS:
        return get_scheduler(name.lower(), BUDGETS_SLOTS[budget])
    return get_scheduler(label.lower())


def against_recorded(folder: Path, runs: int) -> list[dict[str, object]]:
    """Run every recorded scheduler on every recorded set."""
    rows: list[dict[str, object]] = []
    for file in sorted((folder / "baseline").glob("*.json")):
        task_set = load_task_set(folder / "tasksets" / file.name)
        surfnet = file.name.startswith("surfnet")
        for label, result in json.loads(file.read_text())["schedulers"].items():
            seconds, schedule = cpu_seconds(task_set, recorded_scheduler(label), runs)
            recorded_s = float(result["seconds"])
            limit_s = recorded_s / SURFNET_FACTOR if surfnet else FLOOR_S + recorded_s * SMALLEST_SHARE
            rows.append(
                {
                    "task_set": task_set.name,
                    "scheduler": label,
                    "demands": len(task_set.tasks),
                    "admitted": len(schedule.starts),
                    "same_admitted": list(schedule.admitted) == result["satisfied_ids"],
                    "cpu_s": seconds,
                    "recorded_s": recorded_s,
                    "factor": recorded_s / max(seconds, 1e-6),
                    "within_target": seconds <= limit_s,
                }
            )
    return rows


def made_task_set(demands: int, seed: int) -> TaskSet:
    """Make tasks on paths through a ring of nodes with 1 + 3 qubits: stays, harmonic periods."""
    rng = np.random.default_rng(seed)
    nodes = max(4, demands // 4)
    tasks = []
    for task_id in range(demands):
        first, hops = int(rng.integers(nodes)), int(rng.integers(1, 4))
        exec_slots = int(rng.integers(3, 20))
        occupancy = {}
        for step in range(hops + 1):
            node = (first + step) % nodes
            begin = int(rng.integers(0, exec_slots))
            end = int(rng.integers(begin + 1, exec_slots + 1))
            occupancy[f"{node}-C0"] = ((begin, end),)
            occupancy[f"{node}-S{int(rng.integers(3))}"] = ((begin, exec_slots),)
        period = int(rng.choice([64, 128, 256, 512]))
        ends = (str(first), str((first + hops) % nodes))
        name = f"S={ends[0]}, D={ends[1]}, ID={task_id}"
        tasks.append(PeriodicTask(task_id, name, *ends, 0.8, period, exec_slots, occupancy, 10))
    return TaskSet(0.01, tuple(tasks), f"ring of {nodes} nodes")


def growth(counts: list[int], seed: int) -> list[dict[str, object]]:
    """Time every scheduler on made sets of growing size."""
    rows: list[dict[str, object]] = []
    for name in SCHEDULERS:
        for count in counts:
            task_set = made_task_set(count, seed)
            seconds, schedule = cpu_seconds(task_set, get_scheduler(name), 1)
            rows.append(
                {"scheduler": name, "demands": count, "admitted": len(schedule.starts), "cpu_s": seconds}
            )
    return rows


def default_folder() -> Path:
    """Say where the recorded results are looked for."""
    shared = os.environ.get("QOS_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
    return Path(shared) / "entanglement"


def summary(rows: list[dict[str, object]]) -> dict[str, object]:
    """Sum the comparison up: smallest and median factor, and what misses its target."""
    factors = [float(str(row["factor"])) for row in rows]
    surfnet = [float(str(row["factor"])) for row in rows if str(row["task_set"]).startswith("surfnet")]
    return {
        "smallest_factor": min(factors, default=None),
        "median_factor": float(np.median(factors)) if factors else None,
        "smallest_factor_surfnet": min(surfnet, default=None),
        "misses": [f"{row['task_set']} {row['scheduler']}" for row in rows if not row["within_target"]],
        "other_admissions": [f"{r['task_set']} {r['scheduler']}" for r in rows if not r["same_admitted"]],
    }


def print_tables(
    document: dict[str, object], rows: list[dict[str, object]], grown: list[dict[str, object]]
) -> None:
    """Print what people read."""
    print(f"{'task set':24} {'scheduler':15} {'admitted':>9} {'same':>5} {'CPU ms':>9} {'factor':>9}")
    for row in rows:
        admitted = f"{row['admitted']}/{row['demands']}"
        same = "yes" if row["same_admitted"] else "no"
        cpu_ms = 1e3 * float(str(row["cpu_s"]))
        print(
            f"{row['task_set']:24} {row['scheduler']:15} {admitted:>9} {same:>5} {cpu_ms:9.2f}"
            f" {float(str(row['factor'])):9.0f}{'' if row['within_target'] else '  misses its target'}"
        )
    print(json.dumps(document["summary"], indent=2))
    print(f"\n{'scheduler':15} {'demands':>8} {'admitted':>9} {'CPU ms':>10}")
    for row in grown:
        cpu_ms = 1e3 * float(str(row["cpu_s"]))
        print(f"{row['scheduler']:15} {row['demands']:>8} {row['admitted']:>9} {cpu_ms:10.1f}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option(
    "--data", type=click.Path(path_type=Path), default=None, help="Folder with tasksets/ and baseline/."
)
@click.option("--quick", is_flag=True, help="One run of each, small growth.")
@click.option("--seed", default=1, show_default=True, help="Of the made task sets.")
def main(as_json: bool, data: Path | None, quick: bool, seed: int) -> None:
    """Measure the speed of the paper's entanglement schedulers."""
    rows = against_recorded(data or default_folder(), 1 if quick else 3)
    grown = growth([25, 50, 100] if quick else [50, 100, 200, 400, 800], seed)
    document: dict[str, object] = {
        "schema": 1,
        "seed": seed,
        "host": {"machine": platform.machine(), "python": platform.python_version()},
        "summary": summary(rows),
        "recorded": rows,
        "growth": grown,
    }
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        print_tables(document, rows, grown)


if __name__ == "__main__":
    main()
