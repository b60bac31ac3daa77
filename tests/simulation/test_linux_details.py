"""What `--stack linux` takes over from Linux's sources beyond the RFCs, and links that save up a burst."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qos.errors import ValueRefusedError
from qos.simulation import FixedSize, Flow, Scenario, Simulation, Transport, dumbbell
from qos.simulation.files import load_scenario
from qos.simulation.layout import OPEN
from qos.simulation.senders.bbr import PROBE_RTT
from qos.simulation.senders.bbr_linux import LONG_TERM
from schedulers.packet.registry import queue
from topologies.model import Node, Topology, WiredLink

Make = Callable[..., Scenario]
LINUX = Transport.linux()
PLAIN = Transport.linux(linux_details=False, timer_tick_s=0.0)


def watched(scenario: Scenario, *names: str, every_s: float = 0.01) -> list[np.ndarray[Any, Any]]:
    """Give fields of the first flow at the multiples of `every_s`."""
    simulation = Simulation(scenario)
    rows = []
    for step in range(1, round(scenario.duration_s / every_s) + 1):
        simulation.run_until(step * every_s)
        rows.append([float(simulation.state.flows[name][0]) for name in names])
    return list(np.array(rows).T)


def bulk(sender: str, transport: Transport) -> Flow:
    return Flow(sender, "left", "right", transport=transport)


def test_the_timeout_of_linux_is_the_round_trip_and_200_ms(small: Make) -> None:
    for transport, expected_s in ((LINUX, 0.22), (PLAIN, 0.2)):
        # A rate at which ten segments cause no queue: every round trip takes 20 ms.
        scenario = small(bulk("newreno", transport), rate_bps=1_000_000_000, duration_s=0.05)
        rto_ns = watched(scenario, "rto_ns", every_s=0.05)[0][-1]
        assert rto_ns * 1e-9 == pytest.approx(expected_s, abs=0.002)


def test_the_window_of_reno_in_linux_is_whole_segments(small: Make) -> None:
    for transport, is_whole in ((LINUX, True), (PLAIN, False)):
        scenario = small(bulk("newreno", transport), limit_packets=10, duration_s=4.0)
        window, state, mss = watched(scenario, "cwnd_bytes", "state", "mss_bytes")
        steady = (window % mss)[100:][state[100:] == OPEN]
        assert bool((steady == 0).all()) == is_whole


def test_timers_end_at_their_ticks(small: Make) -> None:
    ticking = Transport.linux(timer_tick_s=0.01)
    scenario = small(bulk("cubic", ticking), limit_packets=6, duration_s=2.0)
    deadlines = watched(scenario, "rto_deadline_ns")[0]
    assert (deadlines % 10_000_000 == 0).all()


def test_bbr_of_linux_looks_for_the_least_round_trip_every_ten_seconds(small: Make) -> None:
    # Alone on an empty path each round trip is the least one again; Linux wants a lesser one.
    for transport, looks in ((LINUX, True), (PLAIN, False)):
        flow = Flow("bbr", "left", "right", transport=replace(transport, receive_buffer_bytes=20_000))
        state = watched(small(flow, duration_s=11.0), "bbr_state")[0]
        assert bool((state[200:] == PROBE_RTT).any()) == looks


def test_bbr_of_linux_takes_its_window_up_after_probe_rtt(small: Make) -> None:
    flow = bulk("bbr", LINUX)
    state, window, mss = watched(
        small(flow, discipline="fq", flow_limit_packets=8, duration_s=24.0),
        "bbr_state",
        "cwnd_bytes",
        "mss_bytes",
    )
    left = np.flatnonzero((state[:-1] == PROBE_RTT) & (state[1:] != PROBE_RTT)) + 1
    assert len(left) >= 2
    assert (window[left] > 20 * mss[left]).all()


def test_bbr_of_linux_sees_a_policer_where_a_fifth_is_lost_at_a_steady_rate() -> None:
    nodes = [Node("left"), Node("right")]
    link = WiredLink("left", "right", 10_000_000, id="bottleneck", delay_s=0.01, loss_probability=0.25)
    seen = []
    for transport in (LINUX, PLAIN):
        scenario = Scenario(Topology(nodes, [link]), (bulk("bbr", transport),), 5.0)
        policed, extra = watched(scenario, "bbr_policed", "bbr_extra_0_bytes")
        seen.append((bool((policed == LONG_TERM).any()), bool((extra > 0).any())))
    assert seen == [(True, True), (False, False)]


def test_sacks_are_compressed_after_three_duplicates(small: Make) -> None:
    # 0.12 ms a packet: eight of them fit into the millisecond that an acknowledgement waits.
    counts = []
    for transport in (LINUX, PLAIN):
        flow = Flow("cubic", "left", "right", transport=transport)
        reverse = queue("fifo")
        scenario = small(flow, rate_bps=100_000_000, limit_packets=60, duration_s=1.0)
        simulation = Simulation(replace(scenario, default_queue=reverse))
        simulation.run_until(1.0)
        counts.append(int(simulation.state.control["events_run"][0]))
        assert simulation.state.flows["retransmissions"][0] > 0
        assert simulation.state.flows["timeouts"][0] == 0
    assert counts[0] < counts[1]


def test_linux_waits_for_room_for_a_burst_where_the_rate_is_high(small: Make) -> None:
    # A 1024th of a second at 1.2 times 50 Mbit/s is five segments; an acknowledgement frees two.
    at_once = []
    for transport in (LINUX, PLAIN):
        scenario = small(bulk("cubic", transport), rate_bps=50_000_000, limit_packets=100, duration_s=1.5)
        segment, state = watched(scenario, "next", "state", every_s=0.0001)
        sent = np.diff(segment)[(state[1:] == OPEN) & (state[:-1] == OPEN)][5000:]
        at_once.append(float(np.median(sent[sent > 0])))
    assert at_once[0] >= 4.0
    assert at_once[1] <= 2.0


def first_window(burst_s: float) -> tuple[float, float, float]:
    """Send ten segments at once: mean wait (s), time at which all had come (s), utilization."""
    transport = Transport(initial_cwnd=10, handshake=False)
    flow = Flow("newreno", "left", "right", FixedSize(10 * 1446), transport, start_s=0.1)
    scenario = dumbbell((flow,), rate_bps=10_000_000, rtt_s=0.02, queue=queue("fifo"), duration_s=0.3)
    result = Simulation(replace(scenario, burst_s=burst_s, ring_packets=0)).run()
    finished_s = result.flows[0].finished_s
    assert finished_s is not None
    return result.queues[0].sojourn_mean_s, finished_s, result.queues[0].utilization


def test_an_idle_link_pays_for_a_burst_that_it_saved_up() -> None:
    packet_s = 1500 * 8 / 10e6
    waits_s, came_s, used = first_window(0.0)
    assert waits_s == pytest.approx(4.5 * packet_s, rel=0.01)
    shorter_s, sooner_s, used_with_burst = first_window(4.0 * packet_s)
    # Five leave at once, the others each a transmission later.
    assert shorter_s == pytest.approx(sum(range(6)) * packet_s / 10, rel=0.02)
    assert sooner_s == pytest.approx(came_s - 4 * packet_s, abs=1e-4)
    assert used == used_with_burst


def test_a_burst_does_not_raise_the_rate_of_a_busy_link(small: Make) -> None:
    rates_bps = [
        Simulation(replace(small("cubic", duration_s=5.0), burst_s=burst_s)).run().flows[0].goodput_bps
        for burst_s in (0.0, 0.01)
    ]
    assert rates_bps[1] == pytest.approx(rates_bps[0], rel=0.005)


def test_a_burst_is_read_from_a_scenario_file(tmp_path: Path) -> None:
    file = tmp_path / "burst.yaml"
    flow = "{sender: cubic, from: s0, to: r0, transport: {stack: linux, timer_tick: 10ms}}"
    file.write_text(f"schema: 1\ntopology: dumbbell\nduration: 1s\nburst: 4ms\nflows:\n  - {flow}\n")
    scenario = load_scenario(file)
    assert scenario.burst_s == 0.004
    assert scenario.flows[0].transport.timer_tick_s == 0.01
    with pytest.raises(ValueRefusedError, match="burst_s"):
        replace(scenario, burst_s=-1.0)
