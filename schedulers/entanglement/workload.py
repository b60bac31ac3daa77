"""Random demands as in the load study of arXiv 2111.13124, section VI.

Rates are powers of two of one pair a slot, below what the pair's protocol achieves, so that all
periods are harmonic and the hyperperiod is at most 512 slots. Every draw comes from one seeded generator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qos.demands import EntanglementDemand
from qos.errors import InfeasibleError, ValueRefusedError
from schedulers.entanglement.compile import CompiledDemand, Compiler, Packet, check_demand
from schedulers.entanglement.mapping import kind_of, node_of
from schedulers.entanglement.tasks import TaskSet

RATE_STEPS = 10
"""Rates are 1 / (slot 2^i) for i below this."""

FULL = 1.2
"""The balanced workload goes on until every communication qubit of an end node has this utilisation."""

_LOWEST_RATE = 1e-6


@dataclass(frozen=True)
class Workload:
    """Demands and their tasks.

    Attributes
    ----------
    demands
        In order of arrival.
    task_set
        One task a demand, in the same order.
    """

    demands: tuple[EntanglementDemand, ...]
    task_set: TaskSet


class _Generator:
    def __init__(self, compiler: Compiler, min_fidelity: float, seed: int) -> None:
        self.compiler = compiler
        self.random = np.random.default_rng(seed)
        self.min_fidelity = min_fidelity
        self.done: list[CompiledDemand] = []
        ends = compiler.network.end_nodes
        check_demand(EntanglementDemand("a", "b", 1.0, min_fidelity), Packet())
        if len(ends) < 2:
            raise ValueRefusedError(
                f"topology {compiler.network.topology.name!r} has {len(ends)} end nodes "
                "(kind quantum-end); a workload needs two"
            )
        self.pairs = [(a, b) for a in ends for b in ends if a != b]
        self._rates: dict[tuple[str, str], tuple[float, ...]] = {}

    def rates(self, pair: tuple[str, str]) -> tuple[float, ...]:
        """Rates that the pair's protocol achieves, highest first; empty where there is none."""
        if pair not in self._rates:
            slot_s = self.compiler.options.search.slot_s
            demand = EntanglementDemand(*pair, _LOWEST_RATE, self.min_fidelity)
            try:
                exec_slots = self.compiler.compile_one(demand).task.exec_slots
            except InfeasibleError:
                exec_slots = 2**RATE_STEPS
            steps = (2**i for i in range(RATE_STEPS))
            self._rates[pair] = tuple(1 / (slot_s * step) for step in steps if step > exec_slots)
        return self._rates[pair]

    def draw_pair(self, among: list[tuple[str, str]]) -> tuple[str, str]:
        """Draw a pair that can be served; pairs that turn out not to are drawn no more."""
        while among:
            pair = among[int(self.random.integers(len(among)))]
            if self.rates(pair):
                return pair
            among.remove(pair)
        raise InfeasibleError(
            f"no two end nodes of {self.compiler.network.topology.name!r} can share pairs of fidelity "
            f"{self.min_fidelity:g} at a rate of the workload; lower the fidelity"
        )

    def add(self, pair: tuple[str, str], rate: float) -> CompiledDemand:
        demand = EntanglementDemand(*pair, rate, self.min_fidelity)
        self.done.append(self.compiler.compile_one(demand, task_id=len(self.done)))
        return self.done[-1]

    def finish(self, name: str) -> Workload:
        task_set = replace(self.compiler.balanced_set(self.done), name=name)
        return Workload(tuple(compiled.demand for compiled in self.done), task_set)


def fixed_load(compiler: Compiler, min_fidelity: float, load_ebit_per_s: float, seed: int) -> Workload:
    """Add random demands until they ask for a given load together.

    Parameters
    ----------
    compiler
        Of the network.
    min_fidelity
        Of every demand, in (0.5, 1].
    load_ebit_per_s
        More than 0; the last demand may go over it.
    seed
        Same seed, same workload, also on a compiler that was used before.

    Raises
    ------
    InfeasibleError
        If no pair of end nodes can be served.
    ValueRefusedError
        If the load or fidelity is out of range, or there are fewer than two end nodes.
    """
    if not 0 < load_ebit_per_s < float("inf"):
        raise ValueRefusedError(f"load {load_ebit_per_s!r} must be more than 0 ebit/s")
    make = _Generator(compiler, min_fidelity, seed)
    among = list(make.pairs)
    load = 0.0
    while load < load_ebit_per_s:
        pair = make.draw_pair(among)
        rates = make.rates(pair)
        allowed = [rate for rate in rates if rate <= load_ebit_per_s - load]
        rate = allowed[int(make.random.integers(len(allowed)))] if allowed else min(rates)
        make.add(pair, rate)
        load += rate
    name = f"{compiler.network.topology.name} F={min_fidelity:g} L={load_ebit_per_s:g} seed={seed}"
    return make.finish(name)


def balanced_load(compiler: Compiler, min_fidelity: float, seed: int) -> Workload:
    """Add random demands until every end node's communication qubits are asked for more than they have.

    End nodes that no demand can reach are left out.

    Parameters
    ----------
    compiler, min_fidelity, seed
        As in `fixed_load`.

    Raises
    ------
    InfeasibleError, ValueRefusedError
        As `fixed_load`.
    """
    make = _Generator(compiler, min_fidelity, seed)
    make.draw_pair(list(make.pairs))
    loads = {
        node: 0.0
        for node in compiler.network.end_nodes
        if any(make.rates(p) for p in make.pairs if node in p)
    }
    while True:
        hungry = {node for node, load in loads.items() if load < FULL}
        if not hungry:
            break
        pair = make.draw_pair([p for p in make.pairs if hungry & set(p)])
        rates = make.rates(pair)
        task = make.add(pair, rates[int(make.random.integers(len(rates)))]).task
        for qubit, intervals in task.occupancy.items():
            node = node_of(qubit)
            if kind_of(qubit) == "C" and node in loads:
                share = sum(end - begin for begin, end in intervals) / task.period_slots
                loads[node] += share / compiler.network.qubits[node][0]
    return make.finish(f"{compiler.network.topology.name} F={min_fidelity:g} balanced seed={seed}")
