"""The replay against what probability theory says, and on preemptive schedules."""

from __future__ import annotations

from dataclasses import replace
from math import exp, sqrt
from pathlib import Path
from typing import Any

import pytest

from qos.errors import ValueRefusedError
from schedulers.entanglement.admission import admit
from schedulers.entanglement.execution import (
    Conditions,
    LinkQuality,
    execute,
    sufficient_link_fidelity,
    wilson,
)
from schedulers.entanglement.scheduler import get_scheduler
from schedulers.entanglement.tasks import Operation, PeriodicTask, Schedule, TaskSet
from schedulers.entanglement.taskset_files import load_task_set

LINKS = (
    Operation("L0", "link", 0, 4, ("a-C0", "b-C0"), ("a-C0", "b-C0"), (), (2,)),
    Operation("L1", "link", 0, 4, ("b-S0", "c-C0"), ("b-S0", "c-C0"), (), (2,)),
)
SWAP = PeriodicTask(
    task_id=0,
    name="swap",
    source="a",
    destination="c",
    min_fidelity=0.81,
    period_slots=10,
    exec_slots=5,
    occupancy=dict.fromkeys(("a-C0", "b-C0", "b-S0", "c-C0"), ((0, 5),)),
    operations=(*LINKS, Operation("S", "swap", 4, 1, ("b-C0", "b-S0"), (), (0, 1))),
)
SWAP_AT_4 = SWAP.operations[2]
SET = TaskSet(0.01, (SWAP,))
SCHEDULE = Schedule(10, {0: (2,)})
SURE = {(0, 0): LinkQuality(100.0, 0.9), (0, 1): LinkQuality(100.0, 0.9)}


def test_a_link_of_one_mean_time_succeeds_in_63_percent_of_its_tries() -> None:
    found = execute(SET, SCHEDULE, Conditions(), rounds=20_000, seed=1).tasks[0]
    both = (1 - exp(-1)) ** 2
    assert found.completion.low < both < found.completion.high
    assert found.delivered_ebit_per_s.mean == pytest.approx(10 * found.completion.mean)
    assert found.instances == 20_000


def test_attempts_are_geometric_and_only_whole_ones_count() -> None:
    # 40 ms hold three attempts of 12 ms, each with probability 0.12.
    links = {(0, i): LinkQuality(10.0, 0.9) for i in (0, 1)}
    found = execute(SET, SCHEDULE, Conditions(attempt_s=0.012, links=links), rounds=20_000, seed=2).tasks[0]
    one = 1 - (1 - 0.12) ** 3
    assert found.completion.low < one**2 < found.completion.high


def test_sure_links_deliver_always_and_the_werner_formula_holds() -> None:
    conditions = Conditions(attempt_s=0.01, links=SURE)
    found = execute(SET, SCHEDULE, conditions, rounds=50, seed=3).tasks[0]
    assert found.completion.mean == 1
    assert found.fidelity is not None
    assert found.fidelity.mean == pytest.approx(4 / 3 * 0.81 - 0.6 + 1 / 3)
    assert found.interval_jitter_s2 == pytest.approx(0)


def test_swaps_fail_with_their_probability() -> None:
    conditions = Conditions(attempt_s=0.01, swap_success=0.5, links=SURE)
    found = execute(SET, SCHEDULE, conditions, rounds=10_000, seed=4).tasks[0]
    assert found.completion.low < 0.5 < found.completion.high


def test_memories_decohere_from_arrival_to_use() -> None:
    # Both links arrive after 10 ms and are used 50 ms after their start; each pair rests in two memories.
    conditions = Conditions(attempt_s=0.01, memory=(0.2, 0.2), links=SURE)
    found = execute(SET, SCHEDULE, conditions, rounds=10, seed=5).tasks[0]
    kept = ((4 * 0.9 - 1) / 3 * exp(-2 * 0.04 / 0.2)) ** 2
    assert found.fidelity is not None
    assert found.fidelity.mean == pytest.approx((3 * kept + 1) / 4)
    assert not found.keeps_fidelity


def test_relaxation_and_dephasing_take_their_correlations_node_by_node() -> None:
    # One slot of waiting for the swap, three before it: only b dephases, and holds one half of each pair.
    conditions = Conditions(attempt_s=0.01, memories={"b": (float("inf"), 0.2)}, links=SURE)
    found = execute(SET, SCHEDULE, conditions, rounds=10, seed=5).tasks[0]
    kept = ((4 * 0.9 - 1) / 3 * (1 + 2 * exp(-0.04 / 0.2)) / 3) ** 2
    assert found.fidelity is not None
    assert found.fidelity.mean == pytest.approx((3 * kept + 1) / 4)


def test_a_pair_waits_until_its_qubits_are_given_free() -> None:
    early = replace(SWAP, exec_slots=5, operations=(*LINKS, replace(SWAP_AT_4, offset_slots=4)))
    long = replace(early, exec_slots=9, occupancy=dict.fromkeys(SWAP.occupancy, ((0, 9),)))
    conditions = Conditions(attempt_s=0.01, memory=(0.2, 0.2), links=SURE)
    short_wait = execute(TaskSet(0.01, (early,)), Schedule(10, {0: (0,)}), conditions, rounds=5).tasks[0]
    long_wait = execute(TaskSet(0.01, (long,)), Schedule(10, {0: (0,)}), conditions, rounds=5).tasks[0]
    assert short_wait.fidelity is not None
    assert long_wait.fidelity is not None
    ratio = (long_wait.fidelity.mean - 0.25) / (short_wait.fidelity.mean - 0.25)
    assert ratio == pytest.approx(exp(-2 * 0.04 / 0.2))


def test_swaps_may_run_in_another_order_than_they_are_written() -> None:
    chain = PeriodicTask(
        task_id=0,
        name="chain",
        source="a",
        destination="d",
        min_fidelity=0.6,
        period_slots=10,
        exec_slots=4,
        occupancy=dict.fromkeys(("a-C0", "b-C0", "b-S0", "c-C0", "c-S0", "d-C0"), ((0, 4),)),
        operations=(
            Operation("L0", "link", 0, 1, ("a-C0", "b-C0"), ("a-C0", "b-C0")),
            Operation("L1", "link", 0, 1, ("b-S0", "c-C0"), ("b-S0", "c-C0")),
            Operation("S0", "swap", 3, 1, ("b-C0", "b-S0"), (), (0, 1)),
            Operation("L2", "link", 0, 1, ("c-S0", "d-C0"), ("c-S0", "d-C0")),
            Operation("S1", "swap", 1, 1, ("c-C0", "c-S0"), (), (2, 3)),
        ),
    )
    links = {(0, i): LinkQuality(100.0, 0.9) for i in (0, 1, 3)}
    conditions = Conditions(attempt_s=0.01, memory=(0.2, 0.2), links=links)
    found = execute(TaskSet(0.01, (chain,)), Schedule(10, {0: (0,)}), conditions, rounds=5).tasks[0]
    # Both qubits of node c wait one slot, all others three.
    kept = (2.6 / 3) ** 3 * exp(-(2 * 0.01 + 4 * 0.03) / 0.2)
    assert found.fidelity is not None
    assert found.fidelity.mean == pytest.approx((3 * kept + 1) / 4)


def test_the_next_run_on_a_qubit_ends_the_wait_of_a_delivered_pair() -> None:
    runs = replace(
        SWAP,
        exec_slots=10,
        occupancy={"a-C0": ((0, 10),), "b-C0": ((0, 10),)},
        operations=(
            Operation("L#0", "link", 0, 2, ("a-C0", "b-C0"), ("a-C0", "b-C0")),
            Operation("L#1", "link", 5, 2, ("a-C0", "b-C0"), ("a-C0", "b-C0")),
        ),
    )
    conditions = Conditions(attempt_s=0.01, memory=(0.2, 0.2), links=SURE)
    found = execute(TaskSet(0.01, (runs,)), Schedule(10, {0: (0,)}), conditions, rounds=5).tasks[0]
    kept = (4 * 0.9 - 1) / 3 * exp(-2 * 0.04 / 0.2)  # there after one slot, free after five
    assert found.fidelity is not None
    assert found.fidelity.mean == pytest.approx((3 * kept + 1) / 4)


def test_distillation_succeeds_as_its_states_say() -> None:
    pump = replace(
        SWAP,
        operations=(*LINKS, Operation("D", "distill", 4, 1, ("a-C0", "b-C0"), ("a-C0",), (0, 1))),
    )
    conditions = Conditions(attempt_s=0.01, links=SURE)
    found = execute(TaskSet(0.01, (pump,)), SCHEDULE, conditions, rounds=20_000, seed=6).tasks[0]
    noise = 0.1 / 3
    success = 0.81 + 2 * 0.9 * noise + 5 * noise**2
    assert found.completion.low < success < found.completion.high
    assert found.fidelity is not None
    assert found.fidelity.mean == pytest.approx((0.81 + noise**2) / success)


def test_an_interruption_costs_fidelity() -> None:
    cut = Schedule(10, {0: (0,)}, {0: (((0, 4), (9, 1)),)})
    conditions = Conditions(attempt_s=0.01, memory=(0.2, 0.2), links=SURE)
    whole = execute(SET, SCHEDULE, conditions, rounds=10).tasks[0].fidelity
    parted = execute(SET, cut, conditions, rounds=10).tasks[0].fidelity
    assert whole is not None
    assert parted is not None
    assert parted.mean < whole.mean - 0.05


def test_links_without_a_quality_are_just_good_enough() -> None:
    link = sufficient_link_fidelity(SWAP)
    assert 4 / 3 * link**2 - 2 / 3 * link + 1 / 3 == pytest.approx(0.81)
    found = execute(SET, SCHEDULE, Conditions(), rounds=200).tasks[0]
    assert found.fidelity is not None
    assert found.fidelity.mean == pytest.approx(0.81)
    assert found.keeps_fidelity


def test_runs_that_repeat_are_chances_and_a_packet_needs_all_its_pairs() -> None:
    twice = replace(
        SWAP,
        exec_slots=8,
        operations=(
            replace(LINKS[0], children=()),
            replace(LINKS[1], qubits=("a-C0", "b-C0"), offset_slots=4, children=()),
        ),
    )
    conditions = Conditions(attempt_s=0.01, links={(0, i): LinkQuality(25.0, 0.9) for i in (0, 1)})
    one = 1 - 0.75**4
    either = execute(TaskSet(0.01, (twice,)), SCHEDULE, conditions, rounds=20_000, seed=7).tasks[0]
    four_sigma = 4 * sqrt(0.25 / 20_000)
    assert either.completion.mean == pytest.approx(1 - (1 - one) ** 2, abs=four_sigma)
    both = replace(conditions, pairs={0: 2})
    found = execute(TaskSet(0.01, (twice,)), SCHEDULE, both, rounds=20_000, seed=7).tasks[0]
    assert found.completion.mean == pytest.approx(one**2, abs=four_sigma)
    assert found.promised_ebit_per_s == pytest.approx(20)
    assert found.delivered_ebit_per_s.mean == pytest.approx(20 * one, abs=20 * four_sigma)


def test_the_same_seed_gives_the_same_replay_and_tasks_have_their_own_streams() -> None:
    other = replace(SWAP, task_id=7, occupancy={f"x{q}": i for q, i in SWAP.occupancy.items()})
    both = TaskSet(0.01, (SWAP, other))
    first = execute(both, Schedule(10, {0: (2,), 7: (0,)}), Conditions(), rounds=100, seed=9)
    assert first == execute(both, Schedule(10, {0: (2,), 7: (0,)}), Conditions(), rounds=100, seed=9)
    assert first.tasks[1] == execute(both, Schedule(10, {7: (0,)}), Conditions(), rounds=100, seed=9).tasks[0]
    assert first.tasks[0].completion != first.tasks[1].completion


def test_wilson_covers_the_corners() -> None:
    assert wilson(0, 10).low == 0
    assert wilson(0, 10).high > 0.2
    assert wilson(10, 10).high == pytest.approx(1)


@pytest.mark.parametrize("name", ["rcpsp-np-edf", "pts-pb"])
def test_a_shared_set_delivers_less_than_it_promises(shared_data: Path, name: str) -> None:
    task_set = load_task_set(shared_data / "entanglement" / "tasksets" / "H_F0.65_L5.0_s1.json")
    found = execute(task_set, admit(task_set, get_scheduler(name)), Conditions(), rounds=50, seed=1)
    assert 0 < found.delivered_ebit_per_s.high < found.promised_ebit_per_s


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"attempt_s": 0.0}, "attempt_s"),
        ({"swap_success": 0.0}, "swap_success"),
        ({"swap_success": float("nan")}, "swap_success"),
        ({"memory": (0.0, 1.0)}, "memory"),
        ({"memory": (1.0, float("nan"))}, "memory"),
        ({"memories": {"a": (1.0, -1.0)}}, "memory"),
    ],
)
def test_conditions_out_of_range_are_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueRefusedError, match=complaint):
        Conditions(**arguments)


def test_links_rounds_and_tasks_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueRefusedError, match="pairs 0"):
        Conditions(pairs={0: 0})
    for rate, fidelity in ((0.0, 0.9), (float("inf"), 0.9), (1.0, 0.25), (1.0, 1.1)):
        with pytest.raises(ValueRefusedError, match="link"):
            LinkQuality(rate, fidelity)
    with pytest.raises(ValueRefusedError, match="rounds 0"):
        execute(SET, SCHEDULE, Conditions(), rounds=0)
    with pytest.raises(ValueRefusedError, match="seed -1"):
        execute(SET, SCHEDULE, Conditions(), seed=-1)
    with pytest.raises(ValueRefusedError, match="operations are not known"):
        execute(TaskSet(0.01, (replace(SWAP, operations=()),)), SCHEDULE, Conditions())
    circle = (*LINKS, replace(SWAP.operations[2], parents=(0, 2)))
    with pytest.raises(ValueRefusedError, match="wait for each other"):
        execute(TaskSet(0.01, (replace(SWAP, operations=circle),)), SCHEDULE, Conditions())
    orphan = replace(SWAP.operations[2], parents=(0,))
    with pytest.raises(ValueRefusedError, match="1 parents; 2 are needed"):
        execute(TaskSet(0.01, (replace(SWAP, operations=(*LINKS, orphan)),)), SCHEDULE, Conditions())
