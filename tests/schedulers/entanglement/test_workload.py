"""Random workloads: deterministic by seed, guarded, as the paper describes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qos.errors import InfeasibleError, ValueRefusedError
from schedulers.entanglement.compile import CompileOptions, Compiler
from schedulers.entanglement.mapping import kind_of, node_of
from schedulers.entanglement.protocol import SearchOptions
from schedulers.entanglement.workload import FULL, balanced_load, fixed_load
from topologies.files import load
from topologies.model import Topology

PAPER = CompileOptions(search=SearchOptions("paper"), rounding="ceil", balance="paper")


@pytest.mark.parametrize("name", ["star", "h", "line", "symmetric"])
@pytest.mark.parametrize("load_ebit_per_s", [0.5, 5.0, 20.0])
def test_a_fixed_load_is_reached_with_harmonic_periods(name: str, load_ebit_per_s: float) -> None:
    made = fixed_load(Compiler(load(name), PAPER), 0.65, load_ebit_per_s, seed=3)
    slots = [task.period_slots for task in made.task_set.tasks]
    assert all(period & (period - 1) == 0 and period <= 512 for period in slots)
    offered = made.task_set.offered_ebit_per_s
    assert load_ebit_per_s <= offered < load_ebit_per_s + 4
    assert offered - 1 / (0.01 * slots[-1]) < load_ebit_per_s
    assert all(task.exec_slots < task.period_slots for task in made.task_set.tasks)
    assert [task.task_id for task in made.task_set.tasks] == list(range(len(slots)))
    assert len(made.demands) == len(slots)


def test_the_same_seed_gives_the_same_set_cold_and_warm() -> None:
    warm = Compiler(load("h"), PAPER)
    first = fixed_load(warm, 0.7, 10.0, seed=5)
    assert fixed_load(warm, 0.7, 10.0, seed=5) == first
    assert fixed_load(Compiler(load("h"), PAPER), 0.7, 10.0, seed=5) == first
    assert fixed_load(warm, 0.7, 10.0, seed=6) != first


@pytest.mark.parametrize(
    "make", [lambda c: fixed_load(c, 0.999, 5.0, 1), lambda c: balanced_load(c, 0.999, 1)]
)
def test_a_fidelity_that_nobody_reaches_ends_in_an_error_and_not_in_a_loop(make: object) -> None:
    assert callable(make)
    with pytest.raises(InfeasibleError, match="lower the fidelity"):
        make(Compiler(load("star")))


def test_a_balanced_load_fills_every_end_node() -> None:
    topology = load("star")
    made = balanced_load(Compiler(topology, PAPER), 0.7, seed=2)
    loads: dict[str, float] = {}
    for task in made.task_set.tasks:
        for qubit, intervals in task.occupancy.items():
            if kind_of(qubit) == "C":
                share = sum(end - begin for begin, end in intervals) / task.period_slots
                loads[node_of(qubit)] = loads.get(node_of(qubit), 0.0) + share
    assert all(loads[end] >= FULL for end in ("0", "1", "2"))


@pytest.mark.parametrize("load_ebit_per_s", [0.0, -1.0, float("inf"), float("nan")])
def test_an_impossible_load_is_refused(load_ebit_per_s: float) -> None:
    with pytest.raises(ValueRefusedError, match="load"):
        fixed_load(Compiler(load("star")), 0.65, load_ebit_per_s, seed=1)


def test_a_network_without_two_end_nodes_is_refused() -> None:
    star = load("star")
    nodes = [replace(node, kind="quantum-repeater") for node in star.nodes.values()]
    nobody = Topology(nodes, star.links.values(), name="nobody")
    with pytest.raises(ValueRefusedError, match="0 end nodes"):
        fixed_load(Compiler(nobody), 0.65, 5.0, seed=1)


def test_surfnet_at_60_ebit_per_s_compiles_to_the_same_tasks_again() -> None:
    compiler = Compiler(load("surfnet"))
    made = fixed_load(compiler, 0.98, 60.0, seed=1)
    again = compiler.compile(made.demands).task_set
    assert again.tasks == made.task_set.tasks
