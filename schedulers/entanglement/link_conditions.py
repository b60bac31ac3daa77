"""What a replay needs to know of compiled demands: rate and fidelity of every link, pairs of packets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from schedulers.entanglement.compile import CompiledDemand
from schedulers.entanglement.delivery import Physics
from schedulers.entanglement.execution import Conditions, LinkQuality
from schedulers.entanglement.mapping import node_of


def _qualities(compiled: CompiledDemand, way: int) -> Iterator[tuple[tuple[int, int], LinkQuality]]:
    """Find for each link of a task the working point of its fibre that the protocol chose."""
    plan = compiled.plans[way]
    task = (compiled.task, *compiled.alternatives)[way]
    places = {node: place for place, node in enumerate(plan.route.nodes)}
    once = plan.sized.mapped
    for index, operation in enumerate(task.operations):
        if operation.kind != "link":
            continue
        fidelity = once.fidelities[index % len(once.operations)]
        first = min(places[node_of(qubit)] for qubit in operation.locked_qubits)
        points = plan.route.chain.capabilities[first]
        nearest = min(points, key=lambda point: abs(point.fidelity - fidelity))
        yield (compiled.task.task_id, index), LinkQuality(nearest.rate_per_s, nearest.fidelity)


def conditions_of(
    demands: Iterable[CompiledDemand], physics: Physics, ways: Mapping[int, int] | None = None
) -> Conditions:
    """Give the conditions under which compiled demands are to be replayed.

    Parameters
    ----------
    demands
        As `Compiler.compile` gives them.
    physics
        What they were compiled for.
    ways
        By task id the number of the path that is taken (`Schedule.chosen`); the first where nothing is said.
    """
    chosen, taken = tuple(demands), ways or {}
    memory, memories = physics.memory, physics.memories
    return Conditions(
        attempt_s=physics.attempt_s or None,
        swap_success=physics.swap_success,
        memory=(memory.t1_s, memory.t2_s),
        memories={node: (own.t1_s, own.t2_s) for node, own in memories.items()},
        pairs={compiled.task.task_id: compiled.packet.pairs for compiled in chosen},
        links={
            key: quality
            for compiled in chosen
            for key, quality in _qualities(compiled, taken.get(compiled.task.task_id, 0))
        },
    )
