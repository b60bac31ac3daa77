"""Random problems with the parameters of PSPLIB's (Kolisch, Sprecher & Drexl, Management Science 41, 1995).

Network complexity is the mean number of arcs a task, the resource factor the part of the resources that a
task uses, the resource strength where the capacity lies between the least that works and what the
schedule of earliest starts would use.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qos.errors import ValueRefusedError
from schedulers.rcpsp.problem import Mode, Precedence, Problem, Resource, Task


@dataclass(frozen=True, slots=True)
class Shape:
    """Parameters of random problems; the defaults are those of PSPLIB's J30, J60, J90 and J120.

    Attributes
    ----------
    tasks
        Tasks beside the first and the last, which take no time; 2 to 10000.
    resources
        Renewable resources, 1 to 100.
    complexity
        Arcs a task, 1 to 3 (PSPLIB: 1.5, 1.8, 2.1).
    factor
        In (0, 1] (PSPLIB: 0.25, 0.5, 0.75, 1).
    strength
        In [0, 1] (PSPLIB: 0.2, 0.5, 0.7, 1; J120: 0.1 to 0.5).
    longest
        Durations are 1 to this.
    most
        Demands are 1 to this.
    """

    tasks: int = 30
    resources: int = 4
    complexity: float = 1.8
    factor: float = 0.5
    strength: float = 0.2
    longest: int = 10
    most: int = 10

    def __post_init__(self) -> None:
        ranges = {
            "tasks": (2, 10_000), "resources": (1, 100), "complexity": (1, 3), "factor": (1e-9, 1),
            "strength": (0, 1), "longest": (1, 10_000), "most": (1, 10_000),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueRefusedError(f"{name} {getattr(self, name)}: expected {low} to {high}")


def _arcs(shape: Shape, random: np.random.Generator) -> list[tuple[int, int]]:
    """Draw arcs among tasks 1..n: one to each but the first few, then more until there are enough."""
    n = shape.tasks
    starters = min(3, n - 1)
    arcs = {(int(random.integers(max(1, j - 12), j)), j) for j in range(1 + starters, n + 1)}
    wanted = min(round(shape.complexity * (n + 2)) - 6, n * (n - 1) // 2)
    for _ in range(50 * n):
        if len(arcs) >= wanted:
            break
        a, b = sorted(int(x) for x in random.integers(1, n + 1, 2))
        if a != b and b - a <= max(12, n // 4) and len([1 for x, _ in arcs if x == a]) < 3:
            arcs.add((a, b))
    return sorted(arcs)


def generate(shape: Shape, seed: int) -> Problem:
    """Draw a single-mode problem.

    Parameters
    ----------
    shape
        Its parameters.
    seed
        Same seed, same problem.

    Examples
    --------
    >>> generate(Shape(tasks=5), seed=1) == generate(Shape(tasks=5), seed=1)
    True
    """
    random = np.random.default_rng(seed)
    n = shape.tasks
    arcs = _arcs(shape, random)
    durations = [0, *(int(d) for d in random.integers(1, shape.longest + 1, n)), 0]
    demands = np.zeros((n + 2, shape.resources), dtype=int)
    uses = random.random((n, shape.resources)) < shape.factor
    demands[1 : n + 1] = np.where(uses, random.integers(1, shape.most + 1, (n, shape.resources)), 0)
    first, last = 0, n + 1
    arcs += [(first, j) for j in range(1, n + 1) if all(b != j for _, b in arcs)]
    arcs += [(i, last) for i in range(1, n + 1) if all(a != i for a, _ in arcs)]
    starts = [0] * (n + 2)
    for a, b in sorted(arcs, key=lambda arc: arc[1]):
        starts[b] = max(starts[b], starts[a] + durations[a])
    capacities = []
    for r in range(shape.resources):
        least = int(demands[:, r].max())
        load = np.zeros(max(starts) + shape.longest + 1, dtype=int)
        for i in range(n + 2):
            load[starts[i] : starts[i] + durations[i]] += demands[i, r]
        capacities.append(least + round(shape.strength * max(0, int(load.max()) - least)))
    tasks = tuple(
        Task((Mode(duration, tuple(int(d) for d in demands[i])),), name=str(i + 1))
        for i, duration in enumerate(durations)
    )
    resources = tuple(Resource(capacity, name=f"R{r + 1}") for r, capacity in enumerate(capacities))
    links = tuple(Precedence(a, b) for a, b in sorted(set(arcs)))
    return Problem(tasks, resources, links, f"random-{n}-{seed}")
