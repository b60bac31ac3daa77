"""Which qubits tasks get, and their utilisation."""

from __future__ import annotations

import pytest

from schedulers.entanglement.balancing import Balancer, balanced, on_qubits, utilisation
from schedulers.entanglement.tasks import Operation, PeriodicTask


def task(number: int, **shares: int) -> PeriodicTask:
    """A task of period 100 that holds each qubit (written a_S0) for so many slots."""
    occupancy = {qubit.replace("_", "-"): ((0, slots),) for qubit, slots in shares.items()}
    operation = Operation("L;0;a;b", "link", 0, 1, tuple(occupancy), tuple(occupancy))
    return PeriodicTask(number, "", "a", "b", 0.6, 100, 100, occupancy, operations=(operation,))


COUNTS = {"a": (1, 2)}


def test_utilisation_is_the_sum_of_shares() -> None:
    assert utilisation([task(0, a_C0=10, a_S0=20), task(1, a_C0=5)]) == pytest.approx(
        {"a-C0": 0.15, "a-S0": 0.2}
    )


def test_the_largest_load_goes_to_the_emptiest_qubit() -> None:
    placed = balanced([task(0, a_S0=30), task(1, a_S0=30), task(2, a_S0=10)], COUNTS)
    assert [next(iter(one.occupancy)) for one in placed] == ["a-S0", "a-S1", "a-S0"]


def test_the_papers_rule_piles_loads_up() -> None:
    placed = balanced([task(0, a_S0=30), task(1, a_S0=30), task(2, a_S0=10)], COUNTS, "paper")
    assert [next(iter(one.occupancy)) for one in placed] == ["a-S0", "a-S0", "a-S0"]
    both = balanced([task(0, a_S0=30), task(1, a_S0=5, a_S1=20)], COUNTS, "paper")[1]
    assert both.occupancy == {"a-S0": ((0, 5),), "a-S1": ((0, 20),)}


def test_operations_move_with_the_occupancy_and_kinds_never_mix() -> None:
    balancer = Balancer(COUNTS)
    balancer.place(task(0, a_C0=50, a_S0=50))
    moved = balancer.place(task(1, a_C0=50, a_S0=40))
    assert set(moved.occupancy) == {"a-C0", "a-S1"}
    assert moved.operations[0].qubits == ("a-C0", "a-S1")
    assert balancer.loads == pytest.approx({"a-C0": 1.0, "a-S0": 0.5, "a-S1": 0.4})


def test_no_rule_leaves_names_as_they_are() -> None:
    tasks = (task(0, a_S1=30), task(1, a_S1=30))
    assert balanced(tasks, COUNTS, "none") == tasks


def test_renaming_is_one_to_one() -> None:
    renamed = on_qubits(task(0, a_S0=1, a_S1=2), {"a-S0": "a-S1", "a-S1": "a-S0"})
    assert renamed.occupancy == {"a-S1": ((0, 1),), "a-S0": ((0, 2),)}
