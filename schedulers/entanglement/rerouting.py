"""After a failure: the demands that it broke on other paths, everybody else where they are if possible.

What `repair` does for a task set is given the replacements that it needs: the broken demands compiled
anew on the network without what failed, on the qubits that are used least.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf

from qos.errors import InputError, QosError, ValueRefusedError
from schedulers.entanglement.balancing import Balancer, utilisation
from schedulers.entanglement.compile import CompiledDemand, CompileOptions, Compiler
from schedulers.entanglement.mapping import node_of
from schedulers.entanglement.repair import Failure, Repair, repair
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet
from schedulers.entanglement.verify import verify
from topologies.model import Topology

LINK_MARK = "--"


def failure_of(words: Iterable[str], task_set: TaskSet, topology: Topology | None = None) -> Failure:
    """Read what has failed: the id of a node, of a link (``A--B``), or of a qubit (``A-C0``).

    Parameters
    ----------
    words
        One for each failed thing.
    task_set
        Its qubits and their nodes are known.
    topology
        Its nodes and links are known too.

    Raises
    ------
    ValueRefusedError
        If a word names nothing that there is.
    """
    qubits = {q for task in task_set.tasks for way in task_set.ways(task) for q in way.occupancy}
    nodes = {node_of(qubit) for qubit in qubits} | set(topology.nodes if topology is not None else ())
    links = {link.id: (link.source, link.target) for link in topology.links.values()} if topology else {}
    gone_nodes, gone_links, gone_qubits = set(), set(), set()
    for word in words:
        ends = word.split(LINK_MARK)
        if word in nodes:
            gone_nodes.add(word)
        elif word in links:
            gone_links.add(links[word])
        elif word in qubits:
            gone_qubits.add(word)
        elif len(ends) == 2 and set(ends) <= nodes:
            gone_links.add((ends[0], ends[1]))
        else:
            shown = ", ".join(sorted(nodes)[:8])
            raise ValueRefusedError(
                f"failure {word!r}: there is no such node, link or qubit; name a node ({shown}), "
                "a link as A--B, or a qubit as A-C0"
            )
    return Failure(frozenset(gone_nodes), frozenset(gone_links), frozenset(gone_qubits))


def without(topology: Topology, failure: Failure) -> Topology:
    """Give the network that is left."""
    broken = {frozenset(link) for link in failure.links}
    links = (
        link
        for link in topology.links.values()
        if not {link.source, link.target} & failure.nodes
        and frozenset((link.source, link.target)) not in broken
    )
    nodes = [node for node in topology.nodes.values() if node.id not in failure.nodes]
    return Topology(nodes, links, name=topology.name, description=topology.description)


def _replacements(
    broken: Sequence[CompiledDemand],
    failure: Failure,
    topology: Topology,
    options: CompileOptions,
    load: dict[str, float],
) -> dict[int, list[PeriodicTask]]:
    """Compile broken demands on what is left: the ways that each still has."""
    compiler = Compiler(without(topology, failure), options)
    balancer = Balancer(compiler.network.qubits, options.balance)
    known = {qubit: share for qubit, share in load.items() if qubit in balancer.loads}
    balancer.loads.update(known | {qubit: inf for qubit in failure.qubits if qubit in balancer.loads})
    found: dict[int, list[PeriodicTask]] = {}
    for one in broken:
        try:
            again = compiler.compile_one(one.demand, one.packet, task_id=one.task.task_id)
        except QosError:
            continue  # no path is left that serves it
        ways = [balancer.propose(way) for way in (again.task, *again.alternatives)]
        found[one.task.task_id] = [way for way in ways if not failure.breaks(way)]
    return found


def reroute(
    task_set: TaskSet,
    schedule: Schedule,
    failure: Failure,
    demands: Sequence[CompiledDemand] = (),
    topology: Topology | None = None,
    options: CompileOptions | None = None,
) -> Repair:
    """Repair a schedule after a failure, with broken demands on other paths where the network has any.

    Parameters
    ----------
    task_set, schedule
        The tasks on the paths chosen, and a valid schedule of some of them.
    failure
        What works no more.
    demands, topology, options
        What the tasks were compiled from; without a topology broken tasks are dropped.

    Returns
    -------
    Repair
        Its schedule is judged; room that is left went to demands that were rejected before.

    Raises
    ------
    InputError
        If the repaired schedule is not valid, which would be an error of this program.
    """
    choices: dict[int, list[PeriodicTask]] = {}
    if topology is not None:
        kept = [
            task for task in task_set.tasks if task.task_id in schedule.starts and not failure.breaks(task)
        ]
        of_task = {task.task_id: task for task in task_set.tasks}
        broken = [one for one in demands if failure.breaks(of_task[one.task.task_id])]
        choices = _replacements(broken, failure, topology, options or CompileOptions(), utilisation(kept))
    taken = dict.fromkeys((task_id for task_id, ways in choices.items() if ways), 0)
    plain = replace(task_set, alternatives={})
    old = replace(schedule, chosen={})
    while True:
        found = repair(
            plain, old, failure, {task_id: choices[task_id][way] for task_id, way in taken.items()}, fill=True
        )
        again = [i for i in found.dropped if i in taken and taken[i] + 1 < len(choices[i])]
        if not again:
            break
        taken[again[0]] += 1
    verify(found.task_set, found.schedule)
    if any(failure.breaks(task) for task in found.task_set.tasks if task.task_id in found.schedule.starts):
        raise InputError("the repaired schedule uses what has failed; please report this")
    return found
