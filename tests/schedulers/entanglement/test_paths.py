from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qos.demands import EntanglementDemand
from qos.errors import InfeasibleError, ValueRefusedError
from schedulers.entanglement.compile import CompileOptions, Compiler
from schedulers.entanglement.cpsat import routed
from schedulers.entanglement.cpsat.optimise import optimise
from schedulers.entanglement.cpsat.outcome import Options
from schedulers.entanglement.metrics import measure
from schedulers.entanglement.tasks import PeriodicTask, Schedule, TaskSet
from schedulers.entanglement.verify import violations
from tests.made_task_sets import tasks
from topologies.links import LinkCapability, QuantumLink
from topologies.model import Topology
from topologies.nodes import Node


def diamond() -> Topology:
    """Four end nodes; between left and right a near and a far repeater."""
    nodes = [Node(name, "quantum-end", communication_qubits=1, storage_qubits=3) for name in "abxy"]
    nodes += [
        Node(name, "quantum-repeater", communication_qubits=1, storage_qubits=3) for name in ("near", "far")
    ]
    points = (LinkCapability(0.95, 20.0),)
    links = [
        QuantumLink(end, middle, length, f"{end}-{middle}", capabilities=points)
        for middle, length in (("near", 5000.0), ("far", 9000.0))
        for end in "abxy"
    ]
    return Topology(nodes, links, name="diamond")


DEMANDS = (EntanglementDemand("a", "x", 100 / 14, 0.8), EntanglementDemand("b", "y", 100 / 14, 0.8))
"""Each needs the one communication qubit of a repeater for 10 of 14 slots."""


def compiled(paths: int) -> TaskSet:
    return Compiler(diamond(), CompileOptions(paths=paths)).compile(DEMANDS).task_set


def only(task_id: int, period: int, **stays: tuple[int, int]) -> PeriodicTask:
    """A task with one stay on each of some qubits."""
    occupancy = {f"{qubit}-C0": (interval,) for qubit, interval in stays.items()}
    exec_slots = max(end for _, end in stays.values())
    return PeriodicTask(task_id, "", "a", "b", 0.8, period, exec_slots, occupancy)


def test_a_second_path_admits_a_demand_that_the_shortest_cannot() -> None:
    one, two = compiled(1), compiled(2)
    assert {qubit.partition("-")[0] for task in one.tasks for qubit in task.occupancy} == {*"abxy", "near"}
    assert len(optimise(one, Options(workers=1, time_limit_s=5)).schedule.admitted) == 1
    outcome = optimise(two, Options(workers=1, time_limit_s=5))
    assert outcome.status == "optimal"
    assert outcome.schedule.admitted == (0, 1)
    assert sorted(outcome.schedule.chosen.values()) == [0, 1]
    assert violations(two, outcome.schedule) == []
    plain = two.on_paths_of(outcome.schedule)
    assert plain.alternatives == {}
    assert measure(plain, outcome.schedule).throughput_ebit_per_s == pytest.approx(outcome.value)


@pytest.mark.parametrize("objective", ["throughput", "count", "fair", "jitter", "zero-jitter", "makespan"])
@pytest.mark.parametrize("mode", ["batch", "dominate", "online"])
def test_every_objective_and_mode_takes_paths(objective: str, mode: str) -> None:
    two = compiled(2)
    outcome = optimise(two, Options(objective, mode, workers=1, time_limit_s=4))  # type: ignore[arg-type]
    assert violations(two, outcome.schedule) == []
    shaped = mode == "dominate" and objective in ("jitter", "makespan")
    assert len(outcome.schedule.admitted) == (1 if shaped else 2)
    assert outcome.bound_ebit_per_s == pytest.approx(2 * 100 / 14)


def test_the_papers_schedulers_take_the_task_itself() -> None:
    from schedulers.entanglement.admission import admit
    from schedulers.entanglement.scheduler import get_scheduler

    two = compiled(2)
    schedule = admit(two, get_scheduler("rcpsp-np-edf"))
    assert schedule.admitted == (0,)
    assert violations(two, schedule) == []


@st.composite
def with_alternatives(draw: st.DrawFn) -> TaskSet:
    """Draw up to three demands with up to three ways each."""
    first, others = [], {}
    for task_id in range(draw(st.integers(1, 3))):
        task = draw(tasks(task_id))
        ways = [draw(tasks(task_id)) for _ in range(draw(st.integers(0, 2)))]
        same = [
            replace(way, period_slots=task.period_slots, max_jitter_slots=task.max_jitter_slots)
            for way in ways
            if way.exec_slots <= task.period_slots
        ]
        first.append(task)
        if same:
            others[task_id] = tuple(same)
    return TaskSet(0.01, tuple(first), "made", others)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(with_alternatives())
def test_the_optimum_is_the_best_over_all_choices_of_ways(task_set: TaskSet) -> None:
    options = Options(workers=1, time_limit_s=20)
    outcome = optimise(task_set, options)
    assert violations(task_set, outcome.schedule) == []
    best = max(
        optimise(replace(task_set, tasks=choice, alternatives={}), options).value
        for choice in product(*map(task_set.ways, task_set.tasks))
    )
    assert outcome.status == "optimal"
    assert outcome.value == pytest.approx(best)
    assert outcome.bound_ebit_per_s == pytest.approx(best)


def crossing(count: int) -> TaskSet:
    """Make demands that fill a qubit each, and want all the same one first."""
    first = tuple(only(i, 8, q0=(0, 8)) for i in range(count))
    others = {i: tuple(only(i, 8, **{f"q{k}": (0, 8)}) for k in range(1, i + 1)) for i in range(1, count)}
    return TaskSet(0.01, first, "crossing", others)


def test_piece_by_piece_finds_the_ways_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routed, "MAX_WHOLE_STAYS", 0)
    monkeypatch.setattr(routed._Search, "greedy", lambda _: None)
    task_set = crossing(6)
    reverse = replace(task_set, tasks=task_set.tasks[::-1])
    outcome = optimise(reverse, Options(workers=1, time_limit_s=20))
    assert violations(reverse, outcome.schedule) == []
    assert outcome.status == "optimal"
    assert len(outcome.schedule.admitted) == 6
    assert max(outcome.schedule.chosen.values()) > 0


def test_who_must_be_kept_is_kept_on_any_path() -> None:
    task_set = TaskSet(0.01, (only(0, 8, p=(0, 8)), only(1, 8, p=(0, 8))), "", {1: (only(1, 8, q=(0, 8)),)})
    outcome = optimise(task_set, Options(workers=1, time_limit_s=5, kept=frozenset({0, 1})))
    assert (outcome.schedule.admitted, outcome.schedule.chosen) == ((0, 1), {1: 1})
    blocked = replace(task_set, alternatives={1: (only(1, 8, p=(0, 8)),)})
    with pytest.raises(InfeasibleError, match="proven"):
        optimise(blocked, Options(workers=1, time_limit_s=5, kept=frozenset({0, 1})))


@pytest.mark.parametrize(
    ("chosen", "complaint"),
    [
        ({1: 2}, "way 2 is chosen of 2"),
        ({1: -1}, "way -1"),
        ({0: 1}, "way 1 is chosen of 1"),
        ({2: 0}, "not admitted"),
        ({1: 0}, "both hold it"),
        ({}, "both hold it"),
    ],
)
def test_the_judge_knows_which_way_runs(chosen: dict[int, int], complaint: str) -> None:
    task_set = TaskSet(0.01, (only(0, 8, p=(0, 8)), only(1, 8, p=(0, 8))), "", {1: (only(1, 8, q=(0, 8)),)})
    starts = {0: (0,), 1: (0,)}
    assert violations(task_set, Schedule(8, starts, chosen={1: 1})) == []
    assert complaint in "; ".join(violations(task_set, Schedule(8, starts, chosen=chosen)))


@pytest.mark.parametrize("changes", [{"period_slots": 16}, {"source": "z"}, {"min_fidelity": 0.6}])
def test_the_judge_refuses_a_way_that_serves_something_else(changes: dict[str, object]) -> None:
    other = replace(only(0, 8, q=(0, 8)), **changes)  # type: ignore[arg-type]
    task_set = TaskSet(0.01, (only(0, 8, p=(0, 8)),), "", {0: (other,)})
    starts = {0: tuple(range(0, 8, other.period_slots))}
    assert any("way 1" in trouble for trouble in violations(task_set, Schedule(8, starts, chosen={0: 1})))


def test_a_way_that_there_is_not_cannot_be_taken() -> None:
    with pytest.raises(ValueRefusedError, match="way 1"):
        TaskSet(0.01, (only(0, 8, p=(0, 8)),)).on_paths_of(Schedule(8, {0: (0,)}, chosen={0: 1}))
