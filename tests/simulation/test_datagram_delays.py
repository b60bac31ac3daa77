"""One-way delays of datagrams, late ones, and links that pause."""

from __future__ import annotations

import pytest

from qos.errors import ValueRefusedError
from qos.simulation import ConstantRate, Flow, RateTrace, Scenario, Simulation, dumbbell
from schedulers.packet.registry import queue

PACKET_S = (972 + 28 + 2) * 8 / 10e6


def one_flow(bound_s: float | None, *, rate_bps: int = 1_000_000) -> Scenario:
    flow = Flow("udp", "left", "right", ConstantRate(rate_bps, 972), delay_bound_s=bound_s, stop_s=2.0)
    return dumbbell((flow,), rate_bps=10_000_000, rtt_s=0.02, queue=queue("fifo"), duration_s=3.0)


def test_a_datagram_alone_takes_transmission_and_propagation() -> None:
    flow = Simulation(one_flow(0.011)).run().flows[0]
    assert flow.rtt_min_s == pytest.approx(0.01 + PACKET_S, abs=1e-8)
    assert flow.rtt_max_s == pytest.approx(flow.rtt_min_s)
    assert flow.late_packets == 0
    assert Simulation(one_flow(0.0105)).run().flows[0].late_packets == flow.delivered_packets > 200
    assert Simulation(one_flow(None)).run().flows[0].late_packets == 0


def test_a_pause_holds_packets_back_and_the_link_goes_on_after_it() -> None:
    start = one_flow(0.011)
    trace = RateTrace((0.0, 0.5, 0.75), (10_000_000, 0, 10_000_000))
    paused = Scenario(
        start.topology,
        start.flows,
        start.duration_s,
        dict(start.queues),
        rates={("bottleneck", "left"): trace},
    )
    flow = Simulation(paused).run().flows[0]
    assert flow.delivered_packets == flow.sent_packets
    assert flow.rtt_max_s == pytest.approx(0.26, abs=0.01)
    # A quarter of a second of packets waited, and those that came while they were sent off.
    assert 0.25 / 2 < flow.late_packets / flow.sent_packets < 0.35 / 2


def test_a_bound_out_of_range_is_refused() -> None:
    with pytest.raises(ValueRefusedError, match="delay_bound_s"):
        one_flow(0.0)
    with pytest.raises(ValueRefusedError, match="a rate"):
        RateTrace((0.0,), (-1,))
