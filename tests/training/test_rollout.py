"""Training: the compiled loop is the deployed one, forks measure what they say, learning improves."""

from __future__ import annotations

import numpy as np
import pytest

from qos.simulation import PolledLimits, Simulation
from qos.simulation.scenario import RateTrace
from qos.training.evolution import Bench, Plan, begin, train
from qos.training.forks import FACTORS, collect
from qos.training.regression import fit, rewards
from qos.training.rollout import bounds_of, fresh_progress, roll
from qos.training.scenarios import KINDS, LARGE_KINDS, Ranges, draw_task
from schedulers.packet.limits import QueueContext
from schedulers.packet.limits.lfq.fair_room import ROOM_BYTES
from schedulers.packet.limits.lfq.network import first_network, pack, unpack
from schedulers.packet.limits.lfq.policy import Lfq
from schedulers.packet.limits.lfq.weights import load_network

SMALL = Ranges(most_packets=3_000)


FEW = Ranges(most_packets=20_000, kinds=("few",))


@pytest.mark.parametrize(
    ("index", "ranges", "until_s", "has_room"),
    [(0, SMALL, 1.0, False), (3, SMALL, 1.0, False), (8, SMALL, 1.0, False), (2, FEW, 4.0, True)],
)
def test_the_compiled_loop_sets_the_limits_that_the_deployed_policy_sets(
    index: int, ranges: Ranges, until_s: float, has_room: bool
) -> None:
    task = draw_task(4, index, ranges)
    network = load_network()
    deployed, compiled = Simulation(task.scenario), Simulation(task.scenario)
    queue_id = deployed.paths.directions.index(("bottleneck", "router"))
    count = max(task.flows, 2)
    bounds = bounds_of(network, task.rate_bps, task.interval_s, task.alpha)
    start, interval_ns = bounds.start_bytes, bounds.interval_ns
    context = QueueContext(count, task.rate_bps, 1500, int(start), 1500, 64 << 20)
    polled = PolledLimits(deployed, Lfq(context, network, task.alpha), interval_ns * 1e-9, queue_id)
    deployed.set_limits(queue_id, int(start))
    compiled.set_limits(queue_id, int(start))
    progress = fresh_progress(count, 0, interval_ns)
    polled._context = context
    polled.run_until(until_s)
    roll(compiled, queue_id, network, bounds, progress, round(until_s * 1e9))
    ours, theirs = deployed.queue_counters(queue_id), compiled.queue_counters(queue_id)
    assert np.allclose(ours.limit_bytes, theirs.limit_bytes, rtol=1e-6, atol=1)
    assert np.array_equal(ours.sent_bytes, theirs.sent_bytes)
    assert progress.room[ROOM_BYTES].any() == has_room


def test_a_scenario_is_the_same_for_the_same_seed_and_of_every_kind() -> None:
    assert draw_task(1, 5).scenario.flows == draw_task(1, 5).scenario.flows
    assert {draw_task(1, index).kind for index in range(150)} == set(KINDS)


def test_a_radio_that_fades_carries_in_the_mean_what_the_policy_is_told() -> None:
    ranges = Ranges(kinds=("fading",))
    silent = 0
    for index in range(12):
        task = draw_task(1, index, ranges)
        (trace,) = task.scenario.rates.values()
        assert isinstance(trace, RateTrace)
        rates, duration_s = np.array(trace.rates_bps), task.scenario.duration_s
        lasts_s = np.diff(trace.times_s, append=duration_s)
        assert (rates * lasts_s).sum() / duration_s == pytest.approx(task.rate_bps, rel=1e-6)
        assert rates.std() > 0.1 * rates.mean()
        assert trace.times_s[-1] < duration_s
        silent += int(rates.min() == 0)  # of those that change modes and repeat what was lost
    assert 3 <= silent <= 11


def test_a_sender_that_is_left_out_is_never_drawn() -> None:
    ranges = Ranges(senders=("newreno", "bic"))
    drawn = {flow.sender for index in range(40) for flow in draw_task(2, index, ranges).scenario.flows}
    assert drawn <= {"newreno", "bic", "udp"}


def test_one_scenario_in_so_many_is_large_and_the_others_are_as_without() -> None:
    usual, ranges = Ranges(most_packets=3_000), Ranges(most_packets=3_000, large_every=5)
    assert [ranges.at(index) == ranges for index in range(10)] == [True] * 4 + [False] + [True] * 4 + [False]
    assert draw_task(3, 7, ranges).scenario.flows == draw_task(3, 7, usual).scenario.flows
    assert {draw_task(3, index, ranges).kind for index in range(4, 100, 5)} == set(LARGE_KINDS)
    packets = [
        max(task.rate_bps * task.scenario.duration_s / 8 / 1500 for task in drawn)
        for drawn in ([draw_task(3, index, which) for index in range(4, 100, 5)] for which in (usual, ranges))
    ]
    assert packets[0] < packets[1]


def test_a_scenario_that_is_run_again_from_its_beginning_gives_the_same() -> None:
    bench = Bench(draw_task(4, 1, SMALL))
    assert bench.run(load_network(), 5.0) == bench.run(load_network(), 5.0)
    assert bench.run_fixed(30_000) == bench.run_fixed(30_000)


def test_forks_tell_what_longer_queues_bring_and_cost() -> None:
    samples = collect(4, 0, first_network(1), Ranges(most_packets=3_000, kinds=("paper",)), 0.3)
    assert samples is not None
    assert samples.utilisation.shape == (len(samples.alpha), len(FACTORS))
    assert (samples.delay_s[:, -1] >= samples.delay_s[:, 0]).all()
    assert np.isfinite(samples.features).all()


def test_a_tiny_network_learns_from_forks_and_gives_less_away() -> None:
    ranges = Ranges(most_packets=3_000, kinds=("paper", "single"))
    parts = [collect(5, index, first_network(1), ranges, 0.7) for index in range(30)]
    known = [part for part in parts if part is not None]
    samples = type(known[0])(*(np.concatenate([getattr(p, n) for p in known]) for n in known[0].__slots__))
    curve = rewards(samples)
    untrained = float((curve.max(axis=1) - curve[:, len(FACTORS) // 2]).mean())
    trained = list(fit(pack(first_network(1)), samples, 60, seed=1))[-1].regret
    assert trained < 0.7 * untrained


def test_evolution_gives_the_same_on_one_and_two_processes() -> None:
    def run(jobs: int) -> np.ndarray:
        plan = Plan(1, scenarios=2, pairs=2, jobs=jobs, ranges=SMALL)
        return next(iter(train(begin(pack(load_network())), plan))).search.average

    one, two = run(1), run(2)
    assert np.array_equal(one, two)
    found, begun = unpack(one), load_network()
    for what_units_see in ("first", "first_bias", "second", "second_bias"):
        assert np.array_equal(getattr(found, what_units_see), getattr(begun, what_units_see)), what_units_see
    assert not np.array_equal(found.output, begun.output)


def test_a_search_that_goes_on_where_it_was_left_ends_where_an_uninterrupted_one_does() -> None:
    plan = Plan(3, scenarios=2, pairs=1, jobs=1, ranges=SMALL)
    whole = [step.search for step in train(begin(pack(load_network())), plan)]
    rest = [step.search for step in train(whole[0], plan)]
    assert [search.steps for search in rest] == [2, 3]
    for name, one, other in zip(whole[2]._fields, whole[2], rest[1], strict=True):
        assert np.array_equal(one, other), name


def test_long_scenarios_are_drawn_only_where_they_are_asked_for() -> None:
    usual = [draw_task(3, index).scenario.duration_s for index in range(60)]
    longer = [draw_task(3, index, Ranges(longest_s=24.0)).scenario.duration_s for index in range(60)]
    assert max(usual) <= 8.0 < max(longer) <= 24.0
    assert min(longer) >= 2.0
    assert sum(duration > 8.0 for duration in longer) < 30
