"""Demands compiled for a probability, replayed: what was promised is delivered."""

from __future__ import annotations

import pytest

pytest.importorskip("schedulers.entanglement.compile")

from qos.demands import EntanglementDemand
from schedulers.entanglement.admission import admit
from schedulers.entanglement.bell_diagonal import Memory
from schedulers.entanglement.compile import CompileOptions, Compiler, Packet
from schedulers.entanglement.delivery import Physics
from schedulers.entanglement.execution import execute
from schedulers.entanglement.link_conditions import conditions_of
from schedulers.entanglement.scheduler import get_scheduler
from topologies.files import load

ROUNDS = 3000


@pytest.mark.parametrize("probability", [0.9, 0.99])
@pytest.mark.parametrize(
    "physics",
    [Physics(), Physics(attempt_s=0.004, swap_success=0.9, memory=Memory(5.0, 3.0))],
    ids=["ideal", "lossy"],
)
def test_a_demanded_probability_is_kept(probability: float, physics: Physics) -> None:
    demands = [
        EntanglementDemand("0", "2", 0.3, 0.6, probability=probability),
        EntanglementDemand("1", "2", 0.2, 0.55, probability=probability),
    ]
    compiled = Compiler(load("star"), CompileOptions(physics=physics)).compile(demands)
    schedule = admit(compiled.task_set, get_scheduler("rcpsp-np-edf"))
    assert schedule.admitted == (0, 1)
    found = execute(
        compiled.task_set, schedule, conditions_of(compiled.demands, physics), rounds=ROUNDS, seed=1
    )
    for task, demand in zip(found.tasks, compiled.demands, strict=True):
        sized = demand.plans[0].sized
        assert task.completion.high >= probability
        assert task.completion.mean == pytest.approx(sized.probability, abs=0.02)
        assert task.keeps_fidelity
        assert task.fidelity is not None
        assert task.fidelity.mean == pytest.approx(sized.delivery.fidelity, abs=0.002)


def test_the_mean_time_alone_delivers_a_third_of_what_it_promises() -> None:
    physics = Physics(memory=Memory(5.0, 3.0))
    compiled = Compiler(load("h"), CompileOptions(physics=physics)).compile(
        [EntanglementDemand("0", "5", 0.3, 0.6)]
    )
    schedule = admit(compiled.task_set, get_scheduler("rcpsp-np-edf"))
    found = execute(
        compiled.task_set, schedule, conditions_of(compiled.demands, physics), rounds=ROUNDS, seed=2
    ).tasks[0]
    # Three links, each there in 63 % of its tries (a little more in whole slots), with swaps that succeed.
    assert 0.25 < found.completion.low < found.completion.high < 0.4
    assert found.fidelity is not None
    # The promise counts no wait within a link's own slots; the replay does.
    assert found.fidelity.high < compiled.demands[0].plans[0].sized.delivery.fidelity


def test_a_packet_delivers_its_pairs_with_its_probability() -> None:
    physics = Physics()
    asked = (EntanglementDemand("0", "1", 0.2, 0.6, probability=0.9), Packet(pairs=2))
    compiled = Compiler(load("star"), CompileOptions(physics=physics)).compile([asked])
    schedule = admit(compiled.task_set, get_scheduler("rcpsp-np-edf"))
    found = execute(
        compiled.task_set, schedule, conditions_of(compiled.demands, physics), rounds=ROUNDS, seed=3
    ).tasks[0]
    assert found.completion.high >= 0.9
    assert found.promised_ebit_per_s == pytest.approx(2 / (compiled.task_set.tasks[0].period_slots * 0.01))
