"""The laws that every run obeys, snapshots, limits, and the size of the numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qos.errors import ValueRefusedError
from qos.simulation import (
    Bulk,
    ConstantRate,
    FixedSize,
    Flow,
    PolledLimits,
    Result,
    Scenario,
    Simulation,
    Transport,
    dumbbell,
    run_batch,
)
from qos.simulation.build import estimated_bytes
from qos.simulation.paths import find_paths
from schedulers.packet.limits import FlowCounters
from schedulers.packet.registry import discipline_names, queue

Make = Callable[..., Scenario]
PAYLOAD_SHARE = 1446 / 1500
WINDOW_SENDERS = ("newreno", "cubic", "bic", "bbr", "vegas", "dctcp")


def same(one: Result, other: Result) -> bool:
    """Two results, apart from the time that the computer took."""
    return replace(one, cpu_s=0.0).to_json() == replace(other, cpu_s=0.0).to_json()


scenarios = st.builds(
    lambda senders, discipline, rate, rtt, seed, recovery, detection, ack_every, pacing: dumbbell(
        tuple(
            Flow(
                sender,
                "left",
                "right",
                ConstantRate(rate // 3) if sender == "udp" else Bulk(),
                Transport(recovery=recovery, loss_detection=detection, ack_every=ack_every, pacing=pacing),
                start_s=0.05 * number,
            )
            for number, sender in enumerate(senders)
        ),
        rate_bps=rate,
        rtt_s=rtt,
        queue=queue(discipline, limit_packets=60),
        duration_s=1.0,
        seed=seed,
    ),
    senders=st.lists(st.sampled_from([*WINDOW_SENDERS, "udp"]), min_size=1, max_size=4),
    discipline=st.sampled_from(discipline_names()),
    rate=st.integers(300_000, 50_000_000),
    rtt=st.floats(0.0, 0.1),
    seed=st.integers(0, 2**31),
    recovery=st.sampled_from(["classic", "prr"]),
    detection=st.sampled_from(["sack", "rack"]),
    ack_every=st.integers(1, 2),
    pacing=st.booleans(),
)


@given(scenarios)
@settings(max_examples=60)
def test_packets_are_conserved_and_the_link_is_never_exceeded(scenario: Scenario) -> None:
    result = Simulation(scenario).run()
    bottleneck = result.queues[0]
    assert bottleneck.arrivals == bottleneck.departures + bottleneck.drops + bottleneck.waiting
    assert bottleneck.drops == sum(flow.drops for flow in result.flows)
    assert bottleneck.arrivals == sum(flow.sent_packets for flow in result.flows)
    assert sum(flow.delivered_packets for flow in result.flows) <= bottleneck.departures
    assert bottleneck.utilization <= 1.0 + 1e-9
    assert bottleneck.backlog_max_packets <= 61
    assert sum(flow.goodput_bps * (1 - flow_start(result, flow)) for flow in result.flows) <= (
        scenario.topology.links["bottleneck"].rate_bps  # type: ignore[union-attr]
    )


def flow_start(result: Result, flow: object) -> float:
    return 0.05 * next(number for number, other in enumerate(result.flows) if other is flow)


@given(scenarios, st.floats(0.05, 0.95))
@settings(max_examples=20)
def test_a_fork_goes_on_as_the_run_that_was_never_forked(scenario: Scenario, when_s: float) -> None:
    whole = Simulation(scenario).run()
    parent = Simulation(scenario)
    parent.run_until(when_s)
    snapshot = parent.snapshot()
    disturbed = snapshot.fork()
    disturbed.set_limits(0, 1, packets=True)
    disturbed.run()
    assert same(snapshot.fork().run(), whole)
    assert same(parent.run(), whole)


@given(scenarios)
@settings(max_examples=15)
def test_the_same_seed_gives_the_same_result_whatever_the_steps(scenario: Scenario) -> None:
    stepped = Simulation(scenario)
    for time_s in np.linspace(0.01, 0.99, 37):
        stepped.run_until(float(time_s))
    assert same(stepped.run(), Simulation(scenario).run())


@pytest.mark.parametrize("sender", WINDOW_SENDERS)
def test_each_sender_alone_fills_the_link(sender: str, small: Make) -> None:
    ecn = {"discipline": "codel", "ecn": True} if sender == "dctcp" else {"limit_packets": 60}
    flow = Simulation(small(sender, duration_s=6.0, **ecn)).run().flows[0]
    assert 0.85 * 10e6 * PAYLOAD_SHARE < flow.goodput_bps <= 10e6 * PAYLOAD_SHARE


@pytest.mark.parametrize("discipline", ["fq", "fq_codel", "fq_cobalt", "drr", "cake"])
def test_fair_queues_share_equally_between_unlike_senders(discipline: str, small: Make) -> None:
    result = Simulation(
        small("newreno", "cubic", "bbr", "vegas", discipline=discipline, duration_s=8.0)
    ).run()
    assert result.jain > 0.95


def test_a_fair_queue_protects_from_a_flood(small: Make) -> None:
    flood = Flow("udp", "left", "right", ConstantRate(30_000_000))
    result = Simulation(small("newreno", flood, discipline="fq_codel", duration_s=5.0)).run()
    assert result.flows[0].goodput_bps > 0.4 * 10e6 * PAYLOAD_SHARE


def test_without_queueing_a_short_transfer_takes_what_slow_start_takes(small: Make) -> None:
    # Handshake, then 1 + 2 + 4 + 8 segments in four round trips of 20 ms; transmissions come on top.
    flow = Flow("newreno", "left", "right", FixedSize(15 * 1446))
    done_s = Simulation(small(flow, rate_bps=1_000_000_000)).run().flows[0].finished_s
    assert done_s == pytest.approx(0.02 + 3 * 0.02 + 0.01, abs=0.001)


def test_a_timeout_doubles_while_nothing_arrives(small: Make) -> None:
    scenario = small("newreno", duration_s=20.0)
    simulation = Simulation(scenario)
    simulation.run_until(0.5)
    simulation.set_limits(0, 0, packets=True)  # nothing passes any more
    simulation.run()
    record = simulation.state.flows[0]
    assert record["timeouts"] == 4  # after about 1, 3, 7 and 15 s
    assert record["cwnd_bytes"] == 1446


def test_percentiles_lie_between_mean_and_maximum(small: Make) -> None:
    result = Simulation(small("newreno", "cubic", limit_packets=50, duration_s=5.0)).run()
    queue_result, flow = result.queues[0], result.flows[0]
    assert queue_result.sojourn_p50_s <= queue_result.sojourn_p95_s <= queue_result.sojourn_p99_s
    assert queue_result.sojourn_p99_s <= queue_result.sojourn_max_s
    assert flow.rtt_p50_s <= flow.rtt_p99_s <= flow.rtt_max_s
    assert queue_result.backlog_mean_packets == pytest.approx(
        queue_result.backlog_sampled_mean_packets, rel=0.01
    )
    # Little's law: mean backlog = rate of departures times mean sojourn.
    through_s = queue_result.departures / result.time_s * queue_result.sojourn_mean_s
    assert queue_result.backlog_mean_packets == pytest.approx(through_s, rel=0.02)


class Recorder:
    """A limit policy that sets a fixed limit and keeps what it was told."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.seen: list[FlowCounters] = []

    def first_limit_bytes(self, active_flows: int) -> int:
        return 1500

    def limits(self, counters: FlowCounters, dt_s: float) -> np.ndarray:
        self.seen.append(counters)
        assert dt_s == pytest.approx(0.01)
        return np.full(counters.slot.shape, self.limit_bytes, dtype=np.int64)


def test_a_polled_policy_sees_what_a_kernel_would_tell_and_its_limits_hold(small: Make) -> None:
    simulation = Simulation(small("newreno", "cubic", discipline="fq", flow_limit_packets=1000))
    policy = Recorder(15_000)
    PolledLimits(simulation, policy, 0.01).run_until(2.0)
    counters = simulation.queue_counters(0)
    assert sum(int(seen.sent_bytes.sum()) for seen in policy.seen) == counters.sent_bytes.sum()
    assert policy.seen[0].is_new.all()
    assert not policy.seen[50].is_new.any()
    assert set(policy.seen[100].slot.tolist()) == {0, 1}
    assert (counters.limit_bytes[:2] == 15_000).all()
    assert (policy.seen[-1].backlog_bytes <= 15_000).all()


def test_a_smaller_limit_drops_no_packet_that_waits(small: Make) -> None:
    simulation = Simulation(small("newreno", discipline="fq", flow_limit_packets=1000))
    simulation.run_until(1.0)
    before = simulation.queue_counters(0)
    assert before.backlog_packets[0] > 5
    simulation.set_limits(0, 1, packets=True)
    after = simulation.queue_counters(0)
    assert after.backlog_packets[0] == before.backlog_packets[0]
    assert after.dropped_packets[0] == before.dropped_packets[0]


def test_a_per_packet_policy_bounds_the_queue(small: Make) -> None:
    free = Simulation(small("newreno", discipline="fq", flow_limit_packets=1000, duration_s=5.0)).run()
    held = Simulation(
        small("newreno", discipline="fq", flow_limit_packets=1000, per_packet="share", duration_s=5.0)
    )
    held.set_policy_parameters(np.array([0.02, 4.0]))
    result = held.run()
    # 20 ms at 10 Mbit/s are 17 packets of 1500 bytes.
    assert result.queues[0].sojourn_p99_s < 0.2 * free.queues[0].sojourn_p99_s
    assert held.queue_counters(0).limit_packets[0] == pytest.approx(17, abs=1)


def test_a_batch_gives_what_each_alone_gives(small: Make) -> None:
    batch = [small("cubic", discipline="pie", seed=seed, duration_s=1.0) for seed in range(4)]
    alone = [Simulation(scenario).run() for scenario in batch]
    for jobs in (1, 2):
        assert all(same(a, b) for a, b in zip(run_batch(batch, jobs=jobs), alone, strict=True))


def test_random_disciplines_differ_by_seed(small: Make) -> None:
    one, other = (
        Simulation(small("cubic", "newreno", discipline="pie", seed=s, duration_s=5)) for s in (1, 2)
    )
    assert not same(replace(one.run(), seed=0), replace(other.run(), seed=0))


def test_memory_grows_with_the_flows_by_a_few_kilobytes(small: Make) -> None:
    few, many = (Simulation(small(*["newreno"] * count)).memory_bytes for count in (10, 1010))
    assert (many - few) / 1000 < 12_000


def test_a_scenario_larger_than_memory_is_refused_before_it_is_built(small: Make) -> None:
    huge = small(
        *["newreno"] * 3000,
        transport={"send_buffer_bytes": 1 << 32, "receive_buffer_bytes": 1 << 32},
        limit_packets=1 << 40,
    )
    assert estimated_bytes(huge, find_paths(huge)) > 1 << 38
    with pytest.raises(ValueRefusedError, match="GiB of memory"):
        Simulation(huge)


def test_time_does_not_run_back(small: Make) -> None:
    simulation = Simulation(small("newreno"))
    simulation.run_until(1.0)
    with pytest.raises(ValueRefusedError, match="already"):
        simulation.run_until(0.5)
    with pytest.raises(ValueRefusedError, match="only 1 queues"):
        simulation.queue_counters(3)
    with pytest.raises(ValueRefusedError, match="part for each flow"):
        PolledLimits(simulation, "sawtooth")


def test_distributions_hold_every_packet_between_the_least_and_the_largest_time(small: Make) -> None:
    simulation = Simulation(small("cubic", "newreno", discipline="fq_codel"))
    result = simulation.run()
    waits = simulation.sojourn_distribution(0)
    assert int(waits.counts.sum()) == result.queues[0].departures
    assert waits.edges_s[-2] <= result.queues[0].sojourn_max_s <= waits.edges_s[-1]
    for number, flow in enumerate(result.flows):
        delays = simulation.rtt_distribution(number)
        filled = np.flatnonzero(delays.counts)
        assert delays.edges_s[filled[0]] <= flow.rtt_min_s <= delays.edges_s[filled[0] + 1]
        middles = (delays.edges_s[1:] + delays.edges_s[:-1]) / 2
        mean_s = float((middles * delays.counts).sum() / delays.counts.sum())
        assert mean_s == pytest.approx(flow.rtt_mean_s, rel=0.05)
    with pytest.raises(ValueRefusedError, match="there are only 2 flows"):
        simulation.rtt_distribution(2)
