"""Training of `lfq-2020`: it improves on its start, and is the same on any number of processes."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
from numpy.typing import NDArray

from qos.training.lfq_2020 import (
    Networks,
    Plan,
    descend,
    draw_scenario,
    first_weights,
    held_out_rewards,
    predict,
    train,
)
from schedulers.packet.lfq_2020.memory import PARAMETERS

Float64 = NDArray[np.float64]
ALPHA = 1.0


def test_a_tiny_training_from_a_fixed_seed_improves_on_its_start() -> None:
    start = first_weights(np.random.default_rng([1, 0]))
    *_, last = train(Plan("offline", ALPHA, 40, seed=1, jobs=1, learning_rate=0.1))
    before, after = (held_out_rewards(weights, ALPHA, 12).mean() for weights in (start, last.networks.actor))
    assert after > 1.05 * before


@pytest.mark.parametrize(("mode", "lag"), [("offline", 0), ("offline", 1), ("online", 0), ("online", 1)])
def test_weights_are_the_same_on_any_number_of_processes(mode: str, lag: int) -> None:
    networks = _grown()
    found = []
    for jobs in (1, 3):
        *_, last = train(Plan(mode, 10.0, 4, seed=2, jobs=jobs, lag=lag), deepcopy(networks))
        found.append(last.networks)
    assert np.array_equal(found[0].actor, found[1].actor)
    assert np.array_equal(found[0].critic, found[1].critic)
    assert np.array_equal(found[0].average, found[1].average)
    assert not np.array_equal(found[0].actor, networks.actor)


def test_training_that_was_stopped_goes_on_as_if_it_had_not() -> None:
    *_, whole = train(Plan("online", 10.0, 3, seed=3, jobs=1), _grown())
    *_, part = train(Plan("online", 10.0, 1, seed=3, jobs=1), _grown())
    *_, rest = train(Plan("online", 10.0, 3, seed=3, jobs=1), part.networks, first_iteration=1)
    assert np.array_equal(whole.networks.actor, rest.networks.actor)
    assert np.array_equal(whole.networks.critic, rest.networks.critic)
    assert np.array_equal(whole.networks.average, rest.networks.average)


def test_the_average_weighs_iterates_by_about_the_third_power_of_their_number() -> None:
    iterates, average = [], np.empty(0)
    for step in train(Plan("online", 10.0, 6, seed=7, jobs=1), _grown()):
        iterates.append(step.networks.actor[-1])
        average = step.networks.average
    # Unrolled: iterate t weighs t (t + 1) (t + 2), divided by the sum.
    shares = np.array([t * (t + 1) * (t + 2) for t in range(1, 7)], float)
    assert average[-1] == pytest.approx(iterates @ shares / shares.sum(), rel=1e-12)


def test_a_step_of_descent_goes_down_the_numerical_gradient() -> None:
    rng = np.random.default_rng(4)
    weights, inputs, labels = first_weights(rng), rng.random((5, 60)), rng.random(5) + 1

    def loss(tried: Float64) -> float:
        return float(np.abs(predict(tried, inputs) - labels).mean())

    stepped = weights.copy()
    descend(stepped, inputs, np.sign(predict(weights, inputs) - labels) / 5)
    gradient = (weights - stepped) / 0.01
    for _ in range(5):
        direction = rng.normal(size=PARAMETERS) / np.sqrt(PARAMETERS)
        slope = (loss(weights + 1e-4 * direction) - loss(weights - 1e-4 * direction)) / 2e-4
        assert slope == pytest.approx(float(gradient @ direction), abs=1e-5)


def test_scenarios_are_drawn_from_the_papers_ranges() -> None:
    senders = set()
    for index in range(200):
        scenario, begin_s, coin = draw_scenario(5, 1, index)
        link = scenario.topology.links["bottleneck"]
        assert 5e6 <= link.rate_bps <= 25e6
        assert 0.0025 <= link.delay_s <= 0.0125
        assert 3.75 <= scenario.duration_s <= 6.25
        assert 0 <= begin_s <= scenario.duration_s / 2
        assert coin in (-1.0, 1.0)
        senders.add(scenario.flows[0].sender)
    assert senders == {"newreno", "bic"}


def _grown() -> Networks:
    """Networks whose limits are some packets, so that what is simulated depends on the weights."""
    rng = np.random.default_rng(6)
    actor, critic = first_weights(rng), first_weights(rng)
    actor[-1] = 9.0
    return Networks.beginning_with(actor, critic)
