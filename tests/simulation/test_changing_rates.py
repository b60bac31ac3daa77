"""Rates that a function gives, or that are set while a simulation runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qos.errors import ValueRefusedError
from qos.simulation import (
    ConstantRate,
    Flow,
    RateFunction,
    RateTrace,
    Result,
    Scenario,
    Simulation,
    dumbbell,
)
from qos.simulation.scenario import Application
from schedulers.packet.registry import queue

BOTTLENECK = ("bottleneck", "left")
FLOOD = ConstantRate(40_000_000)
FRAME_BYTES = 1446 + 28 + 2


def scenario(
    rate: RateTrace | RateFunction | None = None,
    application: Application | None = None,
    duration_s: float = 4.0,
) -> Scenario:
    flow = Flow("newreno", "left", "right")
    if application is not None:
        flow = Flow("udp", "left", "right", application)
    made = dumbbell((flow,), rate_bps=10_000_000, rtt_s=0.02, queue=queue("fq_codel"), duration_s=duration_s)
    return made if rate is None else replace(made, rates={BOTTLENECK: rate})


def falling(time_s: float) -> int:
    return 10_000_000 if time_s < 2.0 else 2_000_000


def same(one: Result, other: Result) -> bool:
    return replace(one, cpu_s=0.0).to_json() == replace(other, cpu_s=0.0).to_json()


def test_a_function_is_asked_for_the_rate_at_each_of_its_times() -> None:
    asked: list[float] = []

    def rate(time_s: float) -> int:
        asked.append(time_s)
        return falling(time_s)

    simulation = Simulation(scenario(RateFunction(rate, 0.5), FLOOD))
    simulation.run_until(2.0)
    before = int(simulation.queue_counters(0).sent_bytes[0])
    simulation.run_until(4.0)
    after = int(simulation.queue_counters(0).sent_bytes[0]) - before
    assert asked == pytest.approx([0.5 * number for number in range(9)])
    assert before * 8 / 2.0 == pytest.approx(10e6, rel=0.01)
    assert after * 8 / 2.0 == pytest.approx(2e6, rel=0.02)


def test_a_function_gives_what_a_trace_of_the_same_rates_gives() -> None:
    by_function = Simulation(scenario(RateFunction(falling, 1.0))).run()
    by_trace = Simulation(scenario(RateTrace((0.0, 2.0), (10_000_000, 2_000_000)))).run()
    assert by_function.flows[0].goodput_bps == pytest.approx(by_trace.flows[0].goodput_bps, rel=0.01)


@pytest.mark.parametrize("when_s", [1.0, 1.7, 2.0, 2.5])
def test_a_fork_follows_the_function_as_the_run_that_was_never_forked(when_s: float) -> None:
    plan = scenario(RateFunction(falling, 0.5))
    whole = Simulation(plan)
    whole.run_until(when_s)
    fork = whole.snapshot().fork()
    assert same(whole.run(), fork.run())
    assert same(fork.result(), Simulation(plan).run())


def test_what_waits_behind_a_link_that_stood_still_goes_on_when_it_is_set() -> None:
    simulation = Simulation(scenario(application=FLOOD))
    simulation.run_until(1.0)
    simulation.set_rate(0, 0)
    simulation.run_until(2.0)
    stopped = int(simulation.queue_counters(0).sent_packets[0])
    simulation.run_until(3.0)
    assert int(simulation.queue_counters(0).sent_packets[0]) <= stopped + 1
    simulation.set_rate(0, 5_000_000)
    result = simulation.run()
    assert (result.queues[0].departures - stopped) * FRAME_BYTES * 8 == pytest.approx(5e6, rel=0.01)
    # The link sent in two of four seconds.
    assert result.queues[0].utilization == pytest.approx(0.5, abs=0.01)


def test_a_link_that_follows_a_trace_is_not_set() -> None:
    simulation = Simulation(scenario(RateTrace((0.0,), (1_000_000,))))
    with pytest.raises(ValueRefusedError, match="follows a trace"):
        simulation.set_rate(0, 2_000_000)


def test_what_is_no_rate_is_refused() -> None:
    with pytest.raises(ValueRefusedError, match="must be a function"):
        RateFunction(5, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueRefusedError, match="every_s"):
        RateFunction(falling, 0.0)
    with pytest.raises(ValueRefusedError, match="at 0 s: the rate"):
        Simulation(scenario(RateFunction(lambda _time_s: -1, 1.0)))
    with pytest.raises(ValueRefusedError, match="there are only"):
        Simulation(scenario()).set_rate(3, 1_000_000)
