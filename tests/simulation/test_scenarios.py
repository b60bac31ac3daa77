"""Applications, networks, files, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qos.errors import InputError, QosError, ValueRefusedError
from qos.simulation import (
    AdaptiveBitrate,
    Bulk,
    ConstantRate,
    FixedSize,
    Flow,
    OnOff,
    RateTrace,
    Replay,
    RequestResponse,
    Scenario,
    Simulation,
    Transport,
)
from qos.simulation.captures import replayed_flows
from qos.simulation.files import load_scenario
from qos.simulation.scenario import transport_of
from qos.simulation.series import record_series
from schedulers.packet.registry import queue
from topologies.model import Node, Topology, WiredLink

Make = Callable[..., Scenario]


def chain(*rates_bps: int, loss: float = 0.0) -> Topology:
    names = [f"n{number}" for number in range(len(rates_bps) + 1)]
    links = [
        WiredLink(names[i], names[i + 1], rate, id=f"l{i}", delay_s=0.005, loss_probability=loss)
        for i, rate in enumerate(rates_bps)
    ]
    return Topology([Node(name) for name in names], links)


def test_constant_rate_arrives_as_sent(small: Make) -> None:
    flow = (
        Simulation(small(Flow("udp", "left", "right", ConstantRate(2_000_000, 1000)), duration_s=4.0))
        .run()
        .flows[0]
    )
    assert flow.goodput_bps == pytest.approx(2e6, rel=0.01)
    assert flow.drops == 0


def test_constant_rate_over_tcp_is_limited_by_the_application(small: Make) -> None:
    flow = Flow("cubic", "left", "right", ConstantRate(1_000_000, 500))
    assert Simulation(small(flow, duration_s=4.0)).run().flows[0].goodput_bps == pytest.approx(1e6, rel=0.03)


def test_on_off_is_on_half_of_the_time(small: Make) -> None:
    flow = Flow("udp", "left", "right", OnOff(2_000_000, 0.1, 0.1))
    mean = np.mean(
        [Simulation(small(flow, duration_s=20.0, seed=seed)).run().flows[0].goodput_bps for seed in range(8)]
    )
    assert mean == pytest.approx(1e6, rel=0.1)


def test_responses_are_counted_and_timed(small: Make) -> None:
    flow = Flow("newreno", "left", "right", RequestResponse(1446, 0.05))
    result = Simulation(small(flow, duration_s=20.0)).run().flows[0]
    # One segment each: a round trip and a transmission of 1.2 ms.
    assert result.transfer_mean_s == pytest.approx(0.0213, abs=0.0005)
    assert result.transfers == pytest.approx(20 / 0.0713, rel=0.15)


def test_video_takes_a_bitrate_that_the_link_carries(small: Make) -> None:
    flow = Flow("cubic", "left", "right", AdaptiveBitrate())
    fast = Simulation(small(flow, duration_s=60.0)).run().flows[0]
    slow = Simulation(small(flow, duration_s=60.0, rate_bps=1_500_000)).run().flows[0]
    assert fast.level_mean > slow.level_mean > 0
    assert fast.stalled_s == 0
    assert slow.goodput_bps < 1.5e6


def test_a_pattern_is_replayed_packet_by_packet(small: Make) -> None:
    flow = Flow("udp", "left", "right", Replay((0.0, 0.0, 0.5), (1500, 100, 700)))
    simulation = Simulation(small(flow))
    simulation.run_until(0.4)
    assert simulation.state.queues[0]["sent_bytes"] == 1600
    simulation.run()
    assert simulation.state.queues[0]["sent_bytes"] == 2300


def test_flows_start_and_stop(small: Make) -> None:
    flow = Flow("newreno", "left", "right", start_s=0.5, stop_s=1.0)
    simulation = Simulation(small(flow))
    simulation.run_until(0.499)
    assert simulation.state.flows[0]["sent_packets"] == 0
    simulation.run_until(1.3)
    sent = int(simulation.state.flows[0]["sent_packets"])
    assert sent > 50
    simulation.run()
    assert simulation.state.flows[0]["sent_packets"] == sent


def test_the_narrowest_link_of_a_path_decides(small: Make) -> None:
    topology = chain(50_000_000, 5_000_000, 20_000_000)
    scenario = Scenario(topology, (Flow("newreno", "n0", "n3"),), 5.0, default_queue=queue("fq_codel"))
    result = Simulation(scenario).run()
    assert result.queues[0].link == "l1"
    assert 0.75 * 5e6 < result.flows[0].goodput_bps < 5e6 * 1446 / 1500
    # Three links of 5 ms each way and the transmissions.
    assert result.flows[0].rtt_p50_s > 0.030


def test_acknowledgements_queue_behind_data_of_the_other_direction() -> None:
    topology = chain(5_000_000)
    there = Flow("newreno", "n0", "n1", transport=Transport(recovery="prr"))
    back = Flow("udp", "n1", "n0", ConstantRate(6_000_000))
    short = queue("fifo", limit_packets=30)
    alone = Simulation(Scenario(topology, (there,), 5.0, default_queue=short)).run().flows[0]
    result = Simulation(Scenario(topology, (there, back), 5.0, default_queue=short)).run()
    both = result.flows
    # A full queue of 30 packets takes 72 ms; a fifth of the acknowledgements is dropped there.
    assert both[0].rtt_mean_s > alone.rtt_mean_s + 0.025
    for number, direction in enumerate(result.queues):
        assert direction.arrivals == direction.departures + direction.drops + direction.waiting, number
    assert both[0].goodput_bps > 0.7 * alone.goodput_bps


def test_random_loss_hurts_as_the_square_root_law_says() -> None:
    # Mathis et al. 1997: rate = MSS / RTT * sqrt(3/2) / sqrt(p), here 4.3 Mbit/s at p = 1 %.
    topology = chain(1_000_000_000, loss=0.01)
    rates = []
    for seed in range(6):
        flow = Flow("newreno", "n0", "n1", transport=Transport(recovery="prr", loss_detection="rack"))
        rates.append(Simulation(Scenario(topology, (flow,), 20.0, seed=seed)).run().flows[0].goodput_bps)
    expected = 1446 * 8 / 0.0105 * np.sqrt(1.5 / 0.01)
    assert 0.5 * expected < np.mean(rates) < 1.3 * expected


def test_a_rate_follows_its_trace() -> None:
    topology = chain(10_000_000)
    trace = RateTrace((0.0, 1.0), (10_000_000, 2_000_000), period_s=2.0)
    flow = Flow("udp", "n0", "n1", ConstantRate(20_000_000))
    scenario = Scenario(topology, (flow,), 6.0, rates={("l0", "n0"): trace})
    series = record_series(Simulation(scenario), 0.5)
    rates = series.goodput_bps[:, 0] / 1e6 * 1502 / 1446
    assert rates[1] == pytest.approx(10, rel=0.03)
    assert rates[3] == pytest.approx(2, rel=0.03)
    assert rates[9] == pytest.approx(10, rel=0.03)


def test_marks_replace_drops_where_ecn_is_spoken(small: Make) -> None:
    marked = Simulation(
        small("newreno", discipline="fq_codel", ecn=True, transport={"ecn": True}, duration_s=5.0)
    ).run()
    assert marked.queues[0].marks > 0
    assert marked.queues[0].drops == 0
    assert marked.flows[0].retransmissions == 0
    assert marked.queues[0].sojourn_p50_s < 0.02


def test_delayed_acknowledgements_halve_them(small: Make) -> None:
    # Slow start with half the acknowledgements grows by half a round: fewer segments in the same time.
    each = Simulation(small("newreno", duration_s=0.2)).run().flows[0]
    half = Simulation(small("newreno", duration_s=0.2, transport={"ack_every": 2})).run().flows[0]
    assert half.delivered_packets < 0.8 * each.delivered_packets
    assert half.timeouts == 0


def test_rack_finds_a_lost_retransmission_without_a_timeout(small: Make) -> None:
    options: dict[str, Any] = {
        "limit_packets": 100,
        "rate_bps": 15_000_000,
        "rtt_s": 0.015,
        "duration_s": 5.0,
    }
    rack = {"recovery": "prr", "loss_detection": "rack"}
    classic = Simulation(small("bic", **options)).run().flows[0]
    timed = Simulation(small("bic", transport=rack, **options)).run().flows[0]
    assert timed.timeouts < classic.timeouts
    assert timed.retransmissions <= 1.1 * timed.drops + 5


SCENARIO = """
schema: 1
topology: dumbbell
duration: 3s
seed: 4
queues:
  - {link: left--right, from: left, discipline: fq_codel, limit_packets: 500, target: 10ms}
  - {discipline: fifo, limit: 100kb}
flows:
  - {sender: cubic, from: s0, to: r0, count: 2, transport: {recovery: prr, hystart: false}}
  - {sender: udp, from: s1, to: r1, application: {kind: constant-rate, rate: 1mbit}, start: 1s}
"""


def test_a_file_says_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(SCENARIO.replace("limit: 100kb", "limit_bytes: 100kb"))
    scenario = load_scenario(path)
    assert len(scenario.flows) == 3
    assert scenario.queues["left--right", "left"].target_s == pytest.approx(0.01)
    assert scenario.default_queue.limit_bytes == 102_400
    assert scenario.flows[0].transport == transport_of("ns3", recovery="prr", hystart=False)
    result = Simulation(scenario).run()
    assert result.queues[0].link == "left--right"
    assert result.flows[2].goodput_bps == pytest.approx(1e6, rel=0.02)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema: 1", "schema: 2", "schema: must be 1"),
        ("duration: 3s", "duration: 0s", "duration_s must be more than 0"),
        ("duration: 3s", "duration: 3", "has no unit"),
        ("sender: cubic", "sender: cubik", "did you mean cubic"),
        ("from: s0", "from: s9", "no node 's9'"),
        ("topology: dumbbell", "topology: dumbell", "dumbell"),
        ("discipline: fq_codel", "discipline: fq_codle", "did you mean fq_codel"),
        ("link: left--right", "link: left-right", "unknown link"),
        ("rate: 1mbit", "rate: -1mbit", "rate_bps must be a whole number"),
        ("rate: 1mbit", "rate: 1mbit, colour: red", "unknown key 'colour'"),
        ("count: 2", "count: 0", "flows\\[0\\].count"),
        ("hystart: false", "min_rto: 0s", "min_rto_s must be"),
        ("flows:", "flwos:", "unknown key 'flwos'"),
        ("kind: constant-rate", "kind: constant", "needs a kind"),
        ("queues:", "queues: {", "not valid YAML"),
    ],
)
def test_a_bad_file_is_refused_with_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(SCENARIO.replace("limit: 100kb", "limit_bytes: 100kb").replace(old, new, 1))
    with pytest.raises(QosError, match=message):
        Simulation(load_scenario(path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Flow("newrno", "a", "b"), "did you mean newreno"),
        (lambda: Flow("newreno", "a", "a"), "source and target"),
        (lambda: Flow("newreno", "a", "b", start_s=-1.0), "start_s must be at least 0"),
        (lambda: Flow("newreno", "a", "b", start_s=2.0, stop_s=1.0), "stop_s must be more than 2"),
        (lambda: Flow("udp", "a", "b", Bulk()), "udp flow needs"),
        (lambda: Flow("newreno", "a", "b", Replay((0.0,), (100,))), "replay needs the sender udp"),
        (lambda: Replay((1.0, 0.5), (100, 100)), "must not fall"),
        (lambda: FixedSize(0), "size_bytes must be a whole number"),
        (lambda: OnOff(1000, 0.0, 1.0), "on_s must be more than 0"),
        (lambda: AdaptiveBitrate((2, 1)), "rising"),
        (lambda: Transport(recovery="linux"), "unknown recovery"),
        (lambda: Transport(mss_bytes=10), "mss_bytes must be"),
        (lambda: RateTrace((0.0,), (-1,)), "a rate must be"),
        (lambda: RateTrace((1.0, 0.0), (5, 5)), "must rise"),
        (lambda: Scenario(chain(1000), (), 1.0), "at least one flow"),
        (lambda: Scenario(chain(1000), (Flow("udp", "n0", "n1", ConstantRate(1)),), -1.0), "duration_s"),
        (lambda: Simulation(Scenario(chain(1000), (Flow("cubic", "n0", "x"),), 1.0)), "no node 'x'"),
        (
            lambda: Simulation(Scenario(chain(1000), (Flow("cubic", "n0", "n1", via=("l9",)),), 1.0)),
            "does not leave",
        ),
        (
            lambda: Simulation(Scenario(Topology([Node("a"), Node("b")]), (Flow("cubic", "a", "b"),), 1.0)),
            "no wired path",
        ),
    ],
)
def test_what_cannot_be_simulated_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueRefusedError, match=message):
        make()


def test_a_capture_becomes_flows(tmp_path: Path) -> None:
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.l2 import ARP, Ether
    from scapy.packet import Raw
    from scapy.utils import wrpcap

    frames = []
    for number in range(10):
        frame = (
            Ether()
            / IP(src="10.0.0.1", dst="10.0.0.2")
            / UDP(sport=1000 + number % 2, dport=53)
            / Raw(b"x" * 100)
        )
        frame.time = 100.0 + 0.01 * number
        frames.append(frame)
    arp = Ether() / ARP()
    arp.time = 100.0
    tcp = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=5, dport=80)
    tcp.time = 100.2
    path = tmp_path / "a.pcap"
    wrpcap(str(path), [*frames, arp, tcp])
    flows = replayed_flows(path)
    assert len(flows) == 3
    first = flows[0].application
    assert isinstance(first, Replay)
    assert first.sizes_bytes == (128,) * 5
    assert first.times_s == pytest.approx((0.0, 0.02, 0.04, 0.06, 0.08), abs=1e-6)


@pytest.mark.parametrize("content", [b"", b"not a capture at all, only text", None])
def test_what_is_no_capture_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "b.pcap"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"b\.pcap"):
        replayed_flows(path)
