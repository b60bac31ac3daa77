"""The named stacks: the LFQ paper's ns-3, and Linux."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qos.errors import ValueRefusedError
from qos.simulation import FixedSize, Flow, Scenario, Simulation, Transport
from qos.simulation.scenario import transport_of

Make = Callable[..., Scenario]


def test_the_first_stack_is_the_default_with_the_sample_of_the_handshake() -> None:
    assert transport_of("ns3") == Transport(handshake_sample=True)


def test_the_round_trip_of_the_handshake_is_the_first_sample(small: Make) -> None:
    # 56 bytes take less time than 1446: the smoothed time begins lower.
    smoothed_s = []
    for sampled in (False, True):
        transport = {"handshake_sample": sampled, "timestamp_tick_s": 0.0}
        simulation = Simulation(small("newreno", rate_bps=1_000_000, transport=transport))
        simulation.run_until(0.036)
        smoothed_s.append(int(simulation.state.flows["srtt_ns"][0]) * 1e-9)
    assert smoothed_s[0] == 0.0
    assert 0.02 < smoothed_s[1] < 0.022


def test_linux_is_changed_where_it_is_asked_to_be() -> None:
    made = transport_of("linux", ecn=True, initial_cwnd=4)
    assert made.ecn
    assert made.initial_cwnd == 4
    assert (made.recovery, made.loss_detection, made.ack_every) == ("prr", "rack", 2)


def test_an_unknown_stack_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueRefusedError, match="did you mean linux"):
        transport_of("linus")


def test_what_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(ValueRefusedError, match="hystart must be true or false"):
        Transport(hystart="maybe")  # type: ignore[arg-type]


def test_bytes_are_counted_so_that_delayed_acknowledgements_do_not_slow_slow_start(small: Make) -> None:
    each = Simulation(small("newreno", duration_s=0.15)).run().flows[0]
    delayed = Simulation(
        small("newreno", duration_s=0.15, transport={"ack_every": 2, "quick_acks": 16, "byte_counting": True})
    )
    assert delayed.run().flows[0].delivered_packets > 0.9 * each.delivered_packets


def test_a_short_transfer_over_linux_takes_the_rounds_of_ten_segments_that_double(small: Make) -> None:
    # 10 + 20 + 40 segments: handshake and three rounds of 20 ms, the last one half, and 70 transmissions.
    flow = Flow("cubic", "left", "right", FixedSize(70 * 1448), Transport.linux())
    finished_s = Simulation(small(flow, rate_bps=1_000_000_000)).run().flows[0].finished_s
    assert 0.02 + 2 * 0.02 + 0.01 <= finished_s < 0.02 + 2 * 0.02 + 0.02


@pytest.mark.parametrize("sender", ["newreno", "cubic", "bbr"])
def test_linux_fills_the_link_and_loses_no_second_to_timeouts(sender: str, small: Make) -> None:
    flow = Flow(sender, "left", "right", transport=Transport.linux())
    result = Simulation(small(flow, limit_packets=60, duration_s=5.0)).run()
    assert result.flows[0].goodput_bps > 0.9 * 10e6 * 1448 / 1502
    assert result.flows[0].timeouts <= 1
