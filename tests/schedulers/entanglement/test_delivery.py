"""Delivered fidelity and success: density matrices, quadrature and Monte Carlo as judges."""

from __future__ import annotations

import density
import numpy as np
import pytest
from scipy.integrate import quad

from qos.errors import ValueRefusedError
from schedulers.entanglement.bell_diagonal import Memory
from schedulers.entanglement.delivery import Delivery, Physics, deliver
from schedulers.entanglement.mapping import MappedProtocol, map_to_qubits
from schedulers.entanglement.operations_graph import operation_graph
from schedulers.entanglement.steps import Step, join, link_step

SLOT_S = 0.01
COUNTS = {"a": (1, 3), "b": (1, 3), "c": (1, 3)}


def swapped() -> Step[str]:
    left, right = link_step(("a", "b"), 0.9, 20.0), link_step(("b", "c"), 0.85, 10.0)
    return join("swap", ("b",), (0.77, 10.0), 0.01, (left, right))


def pumped() -> Step[str]:
    pair = link_step(("a", "b"), 0.8, 20.0)
    return join("distill", ("a", "b"), (0.8382, 10.0), 0.01, (pair, pair))


def evaluate(step: Step[str], physics: Physics, *, by_chance: bool) -> tuple[MappedProtocol, Delivery]:
    planned = operation_graph(step, SLOT_S)
    mapped = map_to_qubits(planned, COUNTS)
    assert mapped is not None
    rates = tuple(operation.rate_per_s for operation in planned)
    return mapped, deliver(mapped, rates, SLOT_S, physics, by_chance=by_chance)


def test_without_decoherence_the_werner_formulas_remain() -> None:
    _, done = evaluate(swapped(), Physics(), by_chance=False)
    assert done.fidelity == pytest.approx(density.fidelity_of(swapped()))
    assert done.probability == 1.0


def test_pairs_decohere_while_they_wait() -> None:
    """Both links end at the swap node: the first waits for the second, both for the swap."""
    memory = Memory(t1_s=1.0, t2_s=0.5)
    mapped, done = evaluate(swapped(), Physics(memory=memory), by_chance=False)
    ends = {o.name[4:]: o.offset_slots + o.duration_slots for o in mapped.operations if o.kind == "link"}
    correlations = np.ones(3)
    for link, fidelity in (("a;b", 0.9), ("b;c", 0.85)):
        inner = (mapped.exec_slots - ends[link]) * SLOT_S
        wait_s = 2 * inner  # both halves, the far one to the end of the protocol, which is the swap's
        w = (4 * fidelity - 1) / 3
        mixed = (w * np.exp(-wait_s / 1.0) + 2 * w * np.exp(-wait_s / 0.5)) / 3
        correlations *= mixed
    assert done.fidelity == pytest.approx((1 + 3 * correlations[0]) / 4)


def test_following_all_weights_is_no_worse_than_twirling_for_a_swap() -> None:
    memory = Memory(t1_s=1.0, t2_s=0.2)
    _, twirled = evaluate(swapped(), Physics(memory=memory), by_chance=False)
    _, followed = evaluate(swapped(), Physics(memory=memory, bell_diagonal=True), by_chance=False)
    assert followed.fidelity >= twirled.fidelity


def test_a_random_arrival_waits_as_the_integral_says() -> None:
    memory, rate = Memory(t1_s=0.3, t2_s=0.2), 20.0
    step = link_step(("a", "b"), 0.95, rate)
    mapped, done = evaluate(step, Physics(memory=memory), by_chance=True)
    length_s = mapped.exec_slots * SLOT_S

    def mean(decay: float) -> float:
        weight = quad(lambda t: rate * np.exp(-rate * t), 0, length_s)[0]
        top = quad(lambda t: rate * np.exp(-rate * t) * np.exp(-decay * (length_s - t)), 0, length_s)[0]
        return float(top / weight)

    w = (4 * 0.95 - 1) / 3
    expected = (1 + w * mean(2 / 0.3) + 2 * w * mean(2 / 0.2)) / 4
    assert done.fidelity == pytest.approx(expected)
    assert done.probability == pytest.approx(1 - np.exp(-rate * length_s))


def test_arrival_as_fast_as_decay_is_no_special_case() -> None:
    step = link_step(("a", "b"), 0.95, 20.0)
    near = [
        evaluate(step, Physics(memory=Memory(t2_s=2 / rate)), by_chance=True)[1].fidelity
        for rate in (20.0 - 1e-5, 20.0, 20.0 + 1e-5)
    ]
    assert near[1] == pytest.approx((near[0] + near[2]) / 2, abs=1e-8)


def test_success_is_that_of_links_swaps_and_distillations_together() -> None:
    physics = Physics(swap_success=0.5)
    _, done = evaluate(swapped(), physics, by_chance=True)
    links = (1 - np.exp(-20.0 * 0.05)) * (1 - np.exp(-10.0 * 0.10))
    assert done.probability == pytest.approx(0.5 * links)
    _, done = evaluate(pumped(), physics, by_chance=True)
    agree = density.dejmps(density.werner(0.8), density.werner(0.8))[1]
    assert done.probability == pytest.approx(agree * (1 - np.exp(-20.0 * 0.05)) ** 2)


def test_attempts_of_finite_length_are_geometric() -> None:
    physics = Physics(attempt_s=0.03)
    assert physics.link_success(10.0, 0.02) == 0.0
    assert physics.link_success(10.0, 0.03) == pytest.approx(0.3)
    assert physics.link_success(10.0, 0.065) == pytest.approx(1 - 0.7**2)


def test_each_node_may_have_its_own_memory() -> None:
    bad = Physics(memories={"b": Memory(t2_s=0.05)})
    _, none = evaluate(swapped(), Physics(memories={"x": Memory(t2_s=0.05)}), by_chance=False)
    _, some = evaluate(swapped(), bad, by_chance=False)
    _, every = evaluate(swapped(), Physics(memory=Memory(t2_s=0.05)), by_chance=False)
    assert every.fidelity < some.fidelity < none.fidelity


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"swap_success": 0.0}, "swap_success"),
        ({"swap_success": 1.5}, "swap_success"),
        ({"attempt_s": -1.0}, "attempt_s"),
        ({"cutoff_s": 0.0}, "cutoff_s"),
    ],
)
def test_impossible_physics_is_refused(change: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueRefusedError, match=complaint):
        Physics(**change)
