"""One schedule replayed in SeQUeNCe, beside our own replay of it.

``python -m experiments.sequence_crosscheck [--tables N] [--seed N] [--json]``; ``tox -e crosscheck-sequence``

SeQUeNCe simulates photons: memories emit, fibres lose, detectors click, messages travel. Here its memories,
fibres, Barrett-Kok generation and swapping protocols are driven by our timetable in place of its
resource manager: a link tries from the first to the last of its slots, a swap happens in its slot if both
pairs are there. First the mean time of a link is measured in SeQUeNCe; the network with links of that rate is
compiled and scheduled as any other; then both sides replay the same table.

Differences that remain, and why: an attempt of Barrett and Kok ends early when its first round fails, ours
always takes the mean time of one; SeQUeNCe's swapping gives the product of the fidelities, ours that of
Werner states; a herald that is on its way when the slots end is lost here and counts there.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click

from qos.demands import EntanglementDemand
from qos.errors import MissingPieceError
from schedulers.entanglement.allocation import Allocation, allocate
from schedulers.entanglement.compile import CompileOptions
from schedulers.entanglement.cpsat.outcome import Options
from schedulers.entanglement.delivery import Physics
from schedulers.entanglement.execution import Execution, execute, wilson
from schedulers.entanglement.link_conditions import conditions_of
from schedulers.entanglement.mapping import node_of
from schedulers.entanglement.protocol import SearchOptions
from topologies.links import LinkCapability, QuantumLink
from topologies.model import Topology
from topologies.nodes import Node

SLOT_S = 0.003
LENGTH_M = 20_000.0
ATTENUATION_DB_PER_KM = 0.2
MEMORY_EFFICIENCY, DETECTOR_EFFICIENCY = 0.9, 0.9
RAW_FIDELITY = 0.95
SWAP_SUCCESS = 0.9
PS_PER_S = 10**12
LIGHT_IN_FIBRE_M_PER_S = 2.0e8
DEMANDS = (
    EntanglementDemand("0", "2", 20.0, 0.85),
    EntanglementDemand("1", "2", 10.0, 0.85),
    EntanglementDemand("0", "1", 10.0, 0.85),
)


def attempt_success() -> float:
    """Give the success probability of a Barrett-Kok attempt: both photons click, and half of the patterns."""
    fibre = 10 ** (-ATTENUATION_DB_PER_KM * LENGTH_M / 2000 / 10)
    return 0.5 * (MEMORY_EFFICIENCY * fibre * DETECTOR_EFFICIENCY) ** 2


@dataclass
class _Try:
    """A link that is being made."""

    name: str
    qubits: tuple[str, str]
    until_ps: int
    done: Callable[[bool], None]
    begun_ps: int = 0
    reports: list[bool] = field(default_factory=list)


class _Lab:
    """A star of SeQUeNCe nodes with one memory a qubit, driven from outside."""

    def __init__(self, qubits: list[str], seed: int) -> None:
        try:
            from sequence.components.optical_channel import ClassicalChannel, QuantumChannel
            from sequence.kernel.timeline import Timeline
            from sequence.topology.node import BSMNode
        except ImportError:
            raise MissingPieceError(
                "the package sequence is missing; pip install 'sequence==0.8.*'"
            ) from None
        self.timeline = Timeline()
        self.timeline.show_progress = False
        self.durations_s: list[float] = []
        self.tries: dict[str, _Try] = {}
        self.count = 0
        names = sorted({node_of(qubit) for qubit in qubits})
        self.nodes = {name: _router(self, name, [q for q in qubits if node_of(q) == name]) for name in names}
        loss = ATTENUATION_DB_PER_KM / 1000
        delay_ps = round(LENGTH_M / LIGHT_IN_FIBRE_M_PER_S * PS_PER_S)
        detectors = [{"efficiency": DETECTOR_EFFICIENCY, "dark_count": 0, "count_rate": 1e9}] * 2
        for number, (name, node) in enumerate(self.nodes.items()):
            node.set_seed(seed * 1000 + number)
            for other in names:
                if other == name:
                    continue
                channel = ClassicalChannel(f"cc {name} {other}", self.timeline, LENGTH_M, delay_ps)
                channel.set_ends(node, other)
        for number, (one, two) in enumerate((a, b) for a in names for b in names if a < b):
            template = {"SingleAtomBSM": {"detectors": detectors}}
            middle = BSMNode(f"{one}~{two}", self.timeline, [one, two], component_templates=template)
            middle.set_seed(seed * 1000 + 500 + number)
            for end in (one, two):
                fibre = QuantumChannel(f"qc {end} {middle.name}", self.timeline, loss, LENGTH_M / 2)
                fibre.set_ends(self.nodes[end], middle.name)
                for ends in ((self.nodes[end], middle.name), (middle, end)):
                    to_middle = ClassicalChannel(
                        f"cc {ends[0].name} {ends[1]}", self.timeline, LENGTH_M / 2, delay_ps // 2
                    )
                    to_middle.set_ends(*ends)
        self.timeline.init()

    def memory(self, qubit: str) -> Any:
        """Give the memory that plays a qubit."""
        return self.nodes[node_of(qubit)].components[qubit]

    def at(self, time_ps: int, action: Callable[[], None]) -> None:
        """Do something at a time."""
        from sequence.kernel.event import Event
        from sequence.kernel.process import Process

        self.timeline.schedule(Event(time_ps, Process(_Action(action), "run", [])))

    def begin_link(self, qubits: tuple[str, str], until_ps: int, done: Callable[[bool], None]) -> None:
        """Try to entangle two memories until a time."""
        self.count += 1
        self._attempt(_Try(f"link {self.count}", qubits, until_ps, done))

    def _attempt(self, one: _Try) -> None:
        from sequence.entanglement_management.generation import EntanglementGenerationA

        self.count += 1
        one.name, one.begun_ps, one.reports = f"link {self.count}", self.timeline.now(), []
        first, second = sorted(one.qubits, key=node_of)
        middle = f"{node_of(first)}~{node_of(second)}"
        pair = []
        for qubit, other in ((first, second), (second, first)):
            node = self.nodes[node_of(qubit)]
            self.memory(qubit).reset()
            name = f"{one.name} {node.name}"
            made = EntanglementGenerationA.create(node, name, middle, node_of(other), self.memory(qubit))
            node.protocols.append(made)
            self.tries[name] = one
            pair.append(made)
        pair[0].set_others(pair[1].name, pair[1].owner.name, [second])
        pair[1].set_others(pair[0].name, pair[0].owner.name, [first])
        for made in pair:
            made.start()

    def report(self, protocol: Any, memory: Any, state: str) -> None:
        """Take what a protocol tells its resource manager."""
        if protocol in protocol.owner.protocols:
            protocol.owner.protocols.remove(protocol)
        one = self.tries.pop(protocol.name, None)
        if state == "RAW":
            memory.reset()
        if one is None:
            return
        one.reports.append(state == "ENTANGLED")
        if len(one.reports) < 2:
            return
        now = self.timeline.now()
        self.durations_s.append((now - one.begun_ps) / PS_PER_S)
        if all(one.reports):
            one.done(now <= one.until_ps)
        elif now >= one.until_ps:
            one.done(False)
        else:
            self._attempt(one)

    def swap(self, node: str, qubits: tuple[str, str], ends: tuple[str, str]) -> bool:
        """Swap two pairs that are there; say whether it succeeded."""
        from sequence.entanglement_management.swapping import EntanglementSwappingA, EntanglementSwappingB

        self.count += 1
        middle = self.nodes[node]
        left, right = (self.memory(qubit) for qubit in qubits)
        made = EntanglementSwappingA(middle, f"swap {self.count}", left, right, SWAP_SUCCESS, 1.0)
        middle.protocols.append(made)
        for qubit in ends:
            end = self.nodes[node_of(qubit)]
            other = EntanglementSwappingB(end, f"swap {self.count} {end.name}", self.memory(qubit))
            end.protocols.append(other)
            made.set_others(other.name, end.name, [qubit])
            other.set_others(made.name, node, [left.name, right.name])
        made.start()
        return bool(made.is_success)


class _Action:
    def __init__(self, action: Callable[[], None]) -> None:
        self.run = action


def _router(lab: _Lab, name: str, qubits: list[str]) -> Any:
    """Make a node with a memory for each qubit, whose protocols report to the lab."""
    from sequence.components.memory import Memory
    from sequence.topology.node import Node as SequenceNode

    class Manager:
        def update(self, protocol: Any, memory: Any, state: str) -> None:
            lab.report(protocol, memory, state)

    class Router(SequenceNode):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            super().__init__(name, lab.timeline)
            self.resource_manager = Manager()
            for qubit in qubits:
                memory = Memory(qubit, lab.timeline, RAW_FIDELITY, 0, MEMORY_EFFICIENCY, -1, 500)
                memory.add_receiver(self)
                memory.owner = self
                self.add_component(memory)

        def init(self) -> None:
            for qubit in qubits:
                self.components[qubit].reset()

        def get(self, photon: Any, **keywords: Any) -> None:
            self.send_qubit(keywords["dst"], photon)

        def receive_message(self, src: str, message: Any) -> None:
            for protocol in list(self.protocols):
                meant = message.receiver == protocol.name
                if meant or (message.receiver is None and getattr(protocol, "middle", None) == src):
                    protocol.received_message(src, message)

    return Router()


def calibrate(links: int, seed: int) -> tuple[float, float]:
    """Measure the success probability and the mean time of an attempt in SeQUeNCe."""
    lab = _Lab(["0-C0", "3-C0"], seed)
    left = [links]

    def done(_: bool) -> None:
        left[0] -= 1
        if left[0] > 0:
            lab.at(lab.timeline.now() + 1000, begin)

    def begin() -> None:
        lab.begin_link(("0-C0", "3-C0"), 10**18, done)

    lab.at(1000, begin)
    lab.timeline.run()
    return links / len(lab.durations_s), statistics.fmean(lab.durations_s)


def network(rate_per_s: float) -> Topology:
    """Give the star with links of a measured rate."""
    nodes = [Node(str(i), "quantum-end", communication_qubits=1, storage_qubits=3) for i in range(3)]
    nodes.append(Node("3", "quantum-repeater", communication_qubits=1, storage_qubits=3))
    point = (LinkCapability(RAW_FIDELITY, rate_per_s),)
    links = [QuantumLink("3", str(i), LENGTH_M, capabilities=point) for i in range(3)]
    return Topology(nodes, links, name="star")


def replay_in_sequence(found: Allocation, tables: int, seed: int) -> dict[int, list[bool]]:
    """Run some tables of a schedule in SeQUeNCe; say which instances of each task delivered."""
    tasks = [one.task for one in found.admitted]
    lab = _Lab(sorted({q for task in tasks for q in task.occupancy}), seed)
    slot_ps = round(SLOT_S * PS_PER_S)
    delivered: dict[int, list[bool]] = {task.task_id: [] for task in tasks}
    for table in range(tables):
        shift = table * found.scheduled.schedule.hyperperiod_slots
        for task in tasks:
            for start in found.scheduled.schedule.starts[task.task_id]:
                _plan(lab, task, (shift + start) * slot_ps + 1000, slot_ps, delivered[task.task_id])
    lab.timeline.run()
    return delivered


def _plan(lab: _Lab, task: Any, begin_ps: int, slot_ps: int, delivered: list[bool]) -> None:
    """Put the operations of one instance on SeQUeNCe's timeline."""
    there: dict[int, tuple[str, str] | None] = {}

    def link(index: int, operation: Any) -> None:
        ends = tuple(sorted(operation.locked_qubits))
        until = lab.timeline.now() + operation.duration_slots * slot_ps - 2000
        lab.begin_link(ends, until, lambda success: there.update({index: ends if success else None}))

    def swap(index: int, operation: Any) -> None:
        one, two = (there.get(parent) for parent in operation.parents)
        there[index] = None
        if one is not None and two is not None:
            inner = set(operation.qubits)
            near = tuple(next(q for q in pair if q in inner) for pair in (one, two))
            far = tuple(next(q for q in pair if q not in inner) for pair in (one, two))
            if lab.swap(node_of(near[0]), near, far):
                there[index] = far
        if not operation.children:
            delivered.append(there[index] is not None)

    for index, operation in enumerate(task.operations):
        assert operation.kind in ("link", "swap"), "this check knows links and swaps only"
        act = link if operation.kind == "link" else swap
        lab.at(begin_ps + operation.offset_slots * slot_ps, lambda a=act, i=index, o=operation: a(i, o))


def compare(tables: int, links: int, seed: int) -> tuple[dict[str, Any], Execution]:
    """Calibrate, compile, schedule and replay on both sides."""
    success, attempt_s = calibrate(links, seed)
    physics = Physics(attempt_s=attempt_s, swap_success=SWAP_SUCCESS)
    search = SearchOptions(slot_s=SLOT_S, swap_s=SLOT_S, distill_s=SLOT_S)
    compiling = CompileOptions(search=search, physics=physics, rounding="power-of-two")
    found = allocate(network(success / attempt_s), DEMANDS, compiling, options=Options(workers=1))
    delivered = replay_in_sequence(found, tables, seed + 1)
    conditions = conditions_of(found.compiled.demands, physics, found.scheduled.schedule.chosen)
    ours = execute(found.task_set, found.scheduled.schedule, conditions, max(tables, 2000), seed)
    rows = []
    for one in ours.tasks:
        got = wilson(sum(delivered[one.task_id]), len(delivered[one.task_id]))
        agree = got.low <= one.completion.high and one.completion.low <= got.high
        rows.append(
            {
                "task": one.task_id,
                "sequence": [got.mean, got.low, got.high],
                "ours": [one.completion.mean, one.completion.low, one.completion.high],
                "instances": len(delivered[one.task_id]),
                "agree": agree,
            }
        )
    document = {
        "schema": 1,
        "seed": seed,
        "attempt_success": {"sequence": success, "formula": attempt_success(), "links": links},
        "attempt_s": attempt_s,
        "completion": rows,
    }
    return document, ours


@click.command()
@click.option("--tables", type=click.IntRange(1), default=500, show_default=True)
@click.option("--links", type=click.IntRange(10), default=5000, show_default=True, help="For calibration.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(tables: int, links: int, seed: int, as_json: bool) -> None:
    """Replay one schedule in SeQUeNCe and here."""
    try:
        document, _ = compare(tables, links, seed)
    except MissingPieceError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        print(json.dumps(document, indent=2))
        return
    attempt = document["attempt_success"]
    print(
        f"an attempt succeeds with {attempt['sequence']:.4f} in SeQUeNCe, {attempt['formula']:.4f} by "
        f"formula, and takes {document['attempt_s'] * 1e3:.3f} ms on average"
    )
    for row in document["completion"]:
        theirs, ours = ("{:.3f} [{:.3f}, {:.3f}]".format(*row[side]) for side in ("sequence", "ours"))
        print(f"task {row['task']}: complete periods {theirs} in SeQUeNCe, {ours} here", end="")
        print("" if row["agree"] else "  (the 95 % intervals do not meet)")


if __name__ == "__main__":
    main()
