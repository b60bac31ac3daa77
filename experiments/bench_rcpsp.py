"""Project scheduling against PyJobShop on random problems with PSPLIB's parameters, or on PSPLIB files.

``python -m experiments.bench_rcpsp [--files DIR] [--count N] [--time-limit S] [--seed N] [--json]``

Both get the same problems, seconds and workers. "Best known" is the better of the two. PyJobShop is
optional (``pip install pyjobshop``); without it only our column is shown.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import time
from pathlib import Path
from typing import Any

import click

from schedulers.rcpsp.cpsat import solve
from schedulers.rcpsp.generators import Shape, generate
from schedulers.rcpsp.problem import Problem
from schedulers.rcpsp.psplib import load_psplib
from schedulers.rcpsp.verify import violations

STRENGTHS = {30: (0.2, 0.5, 0.7), 60: (0.2, 0.5, 0.7), 120: (0.1, 0.3, 0.5)}
COMPLEXITIES, FACTORS = (1.5, 1.8, 2.1), (0.5, 0.75, 1.0)


def instances(tasks: int, count: int, seed: int) -> list[Problem]:
    """Draw problems over the grid of PSPLIB's parameters, the hard corner (scarce resources) first."""
    found = []
    for number in range(count):
        shape = Shape(
            tasks=tasks,
            complexity=COMPLEXITIES[number % 3],
            factor=FACTORS[-1 - number // 3 % 3],
            strength=STRENGTHS[tasks][number // 9 % 3],
        )
        found.append(generate(shape, seed * 10_000 + number))
    return found


def by_peer(problem: Problem, limit_s: float, workers: int) -> tuple[float, float, bool]:
    """Solve with PyJobShop: makespan, bound, and whether proven."""
    from pyjobshop import Model  # type: ignore[import-not-found]

    model = Model()
    resources = [
        model.add_renewable(capacity=one.capacity)
        if one.renewable
        else model.add_non_renewable(capacity=one.capacity)
        for one in problem.resources
    ]
    tasks = [model.add_task() for _ in problem.tasks]
    for task, ours in zip(tasks, problem.tasks, strict=True):
        for mode in ours.modes:
            model.add_mode(task, resources, mode.duration, list(mode.demands))
    for link in problem.precedences:
        model.add_end_before_start(tasks[link.before], tasks[link.after], delay=link.min_lag)
    result = model.solve(time_limit=limit_s, num_workers=workers, display=False)
    return result.objective, result.lower_bound, result.status.value.lower() == "optimal"


def compare(problems: list[Problem], limit_s: float, workers: int, peer: bool) -> list[dict[str, Any]]:
    """Run both on each problem."""
    rows = []
    for problem in problems:
        begun = time.process_time()
        ours = solve(problem, limit_s, workers)
        cpu_s = time.process_time() - begun
        assert ours.objective is not None
        assert ours.schedule is not None
        assert violations(problem, ours.schedule) == []
        row: dict[str, Any] = {
            "name": problem.name,
            "ours": ours.objective,
            "bound": ours.bound,
            "optimal": ours.status == "optimal",
            "cpu_s": cpu_s,
        }
        if peer:
            begun = time.process_time()
            makespan, bound, proven = by_peer(problem, limit_s, workers)
            row |= {"peer": makespan, "peer_bound": bound, "peer_optimal": proven}
            row["peer_cpu_s"] = time.process_time() - begun
        rows.append(row)
    return rows


def gaps(rows: list[dict[str, Any]], key: str) -> float:
    """Mean gap to the better of the two."""
    return statistics.fmean(row[key] / min(row["ours"], row.get("peer", row["ours"])) - 1 for row in rows)


@click.command()
@click.option("--files", type=click.Path(path_type=Path), help="Folder of .sm and .mm files.")
@click.option("--count", type=click.IntRange(1), default=9, show_default=True, help="Problems of each size.")
@click.option("--sizes", default="30,60,120", show_default=True)
@click.option("--time-limit", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(
    files: Path | None, count: int, sizes: str, time_limit: float, workers: int, seed: int, as_json: bool
) -> None:
    """Compare project scheduling with PyJobShop."""
    peer = importlib.util.find_spec("pyjobshop") is not None
    if files is not None:
        paths = sorted([*files.glob("*.sm"), *files.glob("*.mm")])
        groups = {str(files): [load_psplib(path) for path in paths]}
    else:
        groups = {f"J{size}": instances(int(size), count, seed) for size in sizes.split(",")}
    document: dict[str, Any] = {"schema": 1, "seed": seed, "time_limit_s": time_limit, "groups": {}}
    for name, problems in groups.items():
        rows = compare(problems, time_limit, workers, peer)
        figures: dict[str, Any] = {"problems": len(rows), "optimal": sum(row["optimal"] for row in rows)}
        figures["mean_gap"] = gaps(rows, "ours")
        if peer:
            figures["peer_optimal"] = sum(row["peer_optimal"] for row in rows)
            figures["peer_mean_gap"] = gaps(rows, "peer")
        document["groups"][name] = figures | {"rows": rows}
        if not as_json:
            print(name, ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in figures.items()))
    if as_json:
        print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
