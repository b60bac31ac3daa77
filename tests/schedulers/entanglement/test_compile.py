"""From topologies and demands to task sets: what comes out, and what is said where nothing can."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import protocol_judge
import pytest

from qos.demands import EntanglementDemand
from qos.errors import InfeasibleError, QosError, ValueRefusedError
from schedulers.entanglement.balancing import utilisation
from schedulers.entanglement.bell_diagonal import Memory
from schedulers.entanglement.compile import CompileOptions, Compiler, Packet, task_set
from schedulers.entanglement.delivery import Physics
from schedulers.entanglement.links import LinkHardware
from schedulers.entanglement.mapping import MappedProtocol
from schedulers.entanglement.protocol import SearchOptions
from topologies.files import load
from topologies.links import QuantumLink
from topologies.model import Topology
from topologies.nodes import Node

STAR = load("star")
H = load("h")
DEMAND = EntanglementDemand("0", "2", 3.125, 0.65)
PAPER = CompileOptions(search=SearchOptions("paper"), rounding="ceil", balance="paper")


def test_a_task_is_what_the_published_code_makes_of_the_demand() -> None:
    """Values of the first tasks of the published star set (fidelity 0.65): 11 slots, period 32."""
    (task,) = task_set(STAR, [DEMAND], PAPER).tasks
    assert (task.task_id, task.source, task.destination) == (0, "0", "2")
    assert (task.period_slots, task.exec_slots, task.preemption_budget_slots) == (32, 11, 100)
    assert sorted((o.kind, o.duration_slots) for o in task.operations) == [
        ("link", 5),
        ("link", 5),
        ("swap", 1),
    ]


@pytest.mark.parametrize("variant", ["paper", "complete"])
@pytest.mark.parametrize("name", ["star", "h", "line", "symmetric"])
def test_tasks_stay_sound_when_they_are_spread_over_the_qubits(name: str, variant: str) -> None:
    topology = load(name)
    options = CompileOptions(search=SearchOptions(variant))  # type: ignore[arg-type]
    ends = [node.id for node in topology.nodes.values() if node.kind == "quantum-end"]
    demands = [EntanglementDemand(a, b, 0.2, 0.7) for a in ends for b in ends if a != b]
    tasks = task_set(topology, demands, options)
    assert len(tasks.tasks) == len(demands)
    counts = {n.id: (n.communication_qubits, n.storage_qubits) for n in topology.nodes.values()}
    for task, demand in zip(tasks.tasks, demands, strict=True):
        mapped = MappedProtocol(task.operations, task.exec_slots, task.occupancy, 0, ())
        complaints = protocol_judge.complaints(mapped, counts, demand.source, demand.destination)
        assert complaints == []


@pytest.mark.parametrize(
    ("demand", "kind", "complaint"),
    [
        (replace(DEMAND, source="x"), ValueRefusedError, "source 'x': topology 'h' has no such node"),
        (replace(DEMAND, destination=""), ValueRefusedError, "destination ''"),
        (replace(DEMAND, destination="0"), ValueRefusedError, "both '0'; name two different"),
        (replace(DEMAND, min_fidelity=0.5), ValueRefusedError, r"min_fidelity 0\.5 must be more than 0\.5"),
        (replace(DEMAND, min_fidelity=1.01), ValueRefusedError, r"min_fidelity 1\.01"),
        (replace(DEMAND, min_fidelity=nan), ValueRefusedError, "min_fidelity nan"),
        (replace(DEMAND, min_fidelity=0.99), InfeasibleError, r"cannot be reached .* best reachable is 0\.9"),
        (replace(DEMAND, rate_ebit_per_s=0.0), ValueRefusedError, r"rate_ebit_per_s 0\.0"),
        (replace(DEMAND, rate_ebit_per_s=-1.0), ValueRefusedError, r"rate_ebit_per_s -1\.0"),
        (replace(DEMAND, rate_ebit_per_s=inf), ValueRefusedError, "rate_ebit_per_s inf"),
        (replace(DEMAND, rate_ebit_per_s=nan), ValueRefusedError, "rate_ebit_per_s nan"),
        (replace(DEMAND, rate_ebit_per_s=50.0), InfeasibleError, r"at most 9\.0909 ebit/s"),
        (replace(DEMAND, rate_ebit_per_s=500.0), InfeasibleError, "no schedule gives more than 100 ebit/s"),
        (replace(DEMAND, probability=0.0), ValueRefusedError, r"probability 0\.0"),
        (replace(DEMAND, probability=1.0), ValueRefusedError, r"probability 1\.0"),
        (replace(DEMAND, probability=0.999), InfeasibleError, "more than any schedule can give"),
        (replace(DEMAND, max_jitter_s=-0.1), ValueRefusedError, r"max_jitter_s -0\.1"),
    ],
)
def test_a_demand_that_cannot_be_served_gets_a_precise_word(
    demand: EntanglementDemand, kind: type[QosError], complaint: str
) -> None:
    with pytest.raises(kind, match=rf"^demands\[1\]: .*{complaint}") as caught:
        task_set(H, [replace(DEMAND, rate_ebit_per_s=0.5), demand])
    assert "\n" not in str(caught.value)


def test_the_maximum_rate_that_is_said_can_be_had_and_no_more() -> None:
    highest = Compiler(STAR).highest_rate("0", "2", 0.65)
    assert highest == pytest.approx(1 / 0.11)
    task_set(STAR, [replace(DEMAND, rate_ebit_per_s=highest)])
    with pytest.raises(InfeasibleError, match="more than any schedule"):
        task_set(STAR, [replace(DEMAND, rate_ebit_per_s=highest * 1.1)])


def test_the_best_reachable_fidelity_that_is_said_can_be_had() -> None:
    compiler = Compiler(STAR)
    best = compiler.best_fidelity(DEMAND, 10_000)
    assert best is not None
    slow = replace(DEMAND, rate_ebit_per_s=0.01)
    compiler.compile([replace(slow, min_fidelity=best)])
    with pytest.raises(InfeasibleError, match=f"best reachable is {best:.3f}"):
        compiler.compile([replace(slow, min_fidelity=best + 0.01)])


def test_nodes_without_a_path_are_named() -> None:
    nodes = [Node(name, "quantum-end", communication_qubits=1, storage_qubits=1) for name in "abc"]
    table = QuantumLink("a", "b", 5000.0, table="nv-delft-2019")
    dumb = QuantumLink("b", "c", 5000.0)
    lonely = Topology(nodes, [table, dumb], name="lonely")
    with pytest.raises(InfeasibleError, match=r"no path of quantum links .* joins 'a' and 'c'"):
        task_set(lonely, [EntanglementDemand("a", "c", 1.0, 0.6)])
    hardware = CompileOptions(hardware=LinkHardware())
    assert len(task_set(lonely, [EntanglementDemand("a", "c", 0.1, 0.6)], hardware).tasks) == 1


def test_a_hyperperiod_that_overflows_names_the_periods_and_a_way_out() -> None:
    demands = [replace(DEMAND, rate_ebit_per_s=1 / (period * 0.01)) for period in (97, 101, 103, 107)]
    with pytest.raises(ValueRefusedError, match=r"97, 101, 103, 107 slots .* rounding 'power-of-two'"):
        task_set(STAR, demands)
    rounded = task_set(STAR, demands, CompileOptions(rounding="power-of-two"))
    assert rounded.hyperperiod_slots == 64
    assert rounded.offered_ebit_per_s >= sum(demand.rate_ebit_per_s for demand in demands)


@pytest.mark.parametrize(("rounding", "period"), [("floor", 33), ("ceil", 34), ("power-of-two", 32)])
def test_periods_are_rounded_as_said(rounding: str, period: int) -> None:
    options = CompileOptions(rounding=rounding)  # type: ignore[arg-type]
    assert task_set(STAR, [replace(DEMAND, rate_ebit_per_s=3.0)], options).tasks[0].period_slots == period


def test_what_cannot_be_served_may_be_left_out_with_its_reason() -> None:
    demands = [DEMAND, replace(DEMAND, source="x"), replace(DEMAND, min_fidelity=0.99), DEMAND]
    done = Compiler(STAR).compile(demands, keep_going=True)
    assert [task.task_id for task in done.task_set.tasks] == [0, 3]
    assert [number for number, _ in done.refused] == [1, 2]
    assert "no such node" in done.refused[0][1]


def test_decoherence_is_part_of_admission() -> None:
    physics = Physics(memory=Memory(t1_s=10.0, t2_s=1.0))
    ideal = Compiler(STAR).compile([DEMAND]).demands[0].plans[0].sized
    real = Compiler(STAR, CompileOptions(physics=physics)).compile([replace(DEMAND, min_fidelity=0.68)])
    plan = real.demands[0].plans[0].sized
    assert plan.delivery.fidelity >= 0.68
    assert plan.exec_slots > ideal.exec_slots
    hopeless = CompileOptions(physics=Physics(memory=Memory(t1_s=0.02, t2_s=0.02)))
    with pytest.raises(InfeasibleError, match=r"no pair of fidelity above .* the memories' decoherence"):
        task_set(STAR, [DEMAND], hopeless)


def test_a_probability_that_memories_do_not_allow_is_told_with_what_they_do() -> None:
    options = CompileOptions(physics=Physics(memory=Memory(t1_s=10.0, t2_s=0.3)))
    demand = replace(DEMAND, rate_ebit_per_s=0.5, min_fidelity=0.7, probability=0.9)
    with pytest.raises(InfeasibleError, match="best reachable is 0"):
        task_set(STAR, [demand], options)


def test_a_cutoff_refuses_protocols_that_make_pairs_wait() -> None:
    assert task_set(STAR, [DEMAND], CompileOptions(physics=Physics(cutoff_s=0.5))).tasks
    with pytest.raises(InfeasibleError, match=r"no pair .* given a cutoff of 0\.02 s"):
        task_set(STAR, [DEMAND], CompileOptions(physics=Physics(cutoff_s=0.02)))


def test_a_packet_holds_its_pairs_within_its_window() -> None:
    slow = replace(DEMAND, rate_ebit_per_s=0.5)
    (task,) = Compiler(STAR).compile([(slow, Packet(3, 0.4))]).task_set.tasks
    assert task.exec_slots == 33
    with pytest.raises(InfeasibleError, match=r"3 pairs take 0\.33 s .* window of 0\.3 s"):
        Compiler(STAR).compile([(slow, Packet(3, 0.3))])
    chancy = Compiler(STAR).compile([(replace(slow, probability=0.9), Packet(3, 2.0))]).demands[0]
    assert chancy.plans[0].sized.runs > 3
    assert chancy.plans[0].sized.probability >= 0.9


@pytest.mark.parametrize(("packet", "complaint"), [(Packet(0), "1 to 64"), (Packet(1, 0.0), "window_s")])
def test_an_impossible_packet_is_refused(packet: Packet, complaint: str) -> None:
    with pytest.raises(ValueRefusedError, match=complaint):
        Compiler(STAR).compile([(DEMAND, packet)])


def test_candidate_paths_are_alternatives_of_the_same_task() -> None:
    done = (
        Compiler(load("symmetric"), CompileOptions(paths=4))
        .compile([EntanglementDemand("0", "2", 0.2, 0.65)])
        .demands[0]
    )
    assert done.plans[0].route.nodes == ("0", "4", "6", "2")
    assert len({plan.route.nodes for plan in done.plans}) == 4
    assert [task.task_id for task in done.alternatives] == [0, 0, 0]
    assert all(task.exec_slots >= done.task.exec_slots for task in done.alternatives)


def test_jitter_is_handed_on_in_slots() -> None:
    (task,) = task_set(STAR, [replace(DEMAND, max_jitter_s=0.035)]).tasks
    assert task.max_jitter_slots == 3
    assert task_set(STAR, [DEMAND]).tasks[0].max_jitter_slots is None


def test_no_qubit_is_loaded_more_than_one_rule_must() -> None:
    demands = [replace(DEMAND, rate_ebit_per_s=0.5) for _ in range(6)]
    worst = {
        rule: max(utilisation(task_set(STAR, demands, CompileOptions(balance=rule)).tasks).values())
        for rule in ("least-loaded", "paper", "none")
    }
    assert worst["least-loaded"] <= worst["paper"]
    assert worst["least-loaded"] <= worst["none"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"paths": 0}, "paths 0"),
        ({"rounding": "up"}, "'up' is unknown"),
        ({"balance": "fair"}, "'fair' is unknown"),
        ({"search": SearchOptions("hasty")}, "'hasty' is unknown"),  # type: ignore[arg-type]
        ({"search": SearchOptions(slot_s=0.0)}, "slot"),
        ({"max_hyperperiod_slots": 0}, "max_hyperperiod_slots"),
    ],
)
def test_impossible_options_are_refused(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueRefusedError, match=complaint):
        CompileOptions(**change)  # type: ignore[arg-type]
