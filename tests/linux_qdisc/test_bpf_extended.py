"""The eBPF classifier in the kernel (BPF_PROG_TEST_RUN), against scapy's view of the packets."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from flow_judge import CATCH_ALL, ether, flow_of, frames, ip_packets
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import ARP, GRE, Dot1AD, Dot1Q
from scapy.layers.ppp import PPP, PPPoE
from scapy.packet import Packet, Raw

from linux_qdisc.bpf import syscalls
from linux_qdisc.bpf.assembler import R0, Assembler
from linux_qdisc.bpf.extended import PROBES
from linux_qdisc.bpf.flowmap import FlowMap
from linux_qdisc.bpf.keys import Isolation, LinkHeader
from qos.errors import InputError, KernelError, MissingPieceError, PrivilegeError

MAJOR = 0x71
V4, V6 = IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="fd00::1", dst="fd00::2")
SHORTEST = 14
"""BPF_PROG_TEST_RUN takes no packet below an Ethernet header (net/bpf/test_run.c)."""


def is_runnable(data: bytes) -> bool:
    """Since Linux 6.18 it takes no untagged IP packet below its IP header either."""
    return len(data) >= SHORTEST + {b"\x08\x00": 20, b"\x86\xdd": 40}.get(data[12:14], 0)


def _unavailable() -> str | None:
    try:
        FlowMap.create(2, MAJOR, Isolation.FLOW, LinkHeader.ETHERNET).close()
    except (PrivilegeError, MissingPieceError, KernelError) as error:
        return str(error)
    return None


pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(_unavailable() is not None, reason=f"no eBPF here: {_unavailable()}"),
]


class Classifier:
    """A flow map, and what its program says of packets."""

    def __init__(self, flows: int = 64, isolate: str = "flow", header: str = "ethernet") -> None:
        self.map = FlowMap.create(flows, MAJOR, Isolation(isolate), LinkHeader(header))

    def __call__(self, packet: Packet | bytes) -> int | str:
        value, _ns = syscalls.prog_test_run(self.map.prog_fd, bytes(packet))
        if value == MAJOR << 16 | 0xF:
            return CATCH_ALL
        queue = value - (MAJOR << 16) - 0x10
        assert 0 <= queue < self.map.flows
        return queue

    def __enter__(self) -> Classifier:
        return self

    def __exit__(self, *_: object) -> None:
        self.map.close()


@pytest.fixture
def classify() -> Iterator[Classifier]:
    with Classifier() as made:
        yield made


def udp(number: int) -> Packet:
    header = IP(src="10.0.0.1", dst="10.0.0.2") if number % 2 else IPv6(src="fd00::1", dst="fd00::2")
    return ether() / header / UDP(sport=1 + number, dport=9)


def release(classify: Classifier, *queues: int) -> None:
    classify.map.release(np.array(queues, np.int64))


ISOLATIONS = ("flow", "source-host", "destination-host")


@pytest.fixture(scope="module")
def wide() -> Iterator[dict[tuple[str, str], Classifier]]:
    """Classifiers with more queues than all examples together have flows."""
    made = {
        (isolate, header): Classifier(4096, isolate, header)
        for isolate in ISOLATIONS
        for header in ("ethernet", "none")
    }
    yield made
    for classify in made.values():
        classify.map.close()


def check_partition(packets: list[Packet], classify: Classifier, isolate: str) -> None:
    named: dict[object, int | str] = {CATCH_ALL: CATCH_ALL}
    for packet in packets:
        flow, queue = flow_of(packet, isolate, sees_tunnels=True), classify(packet)
        assert named.setdefault(flow, queue) == queue
    assert len(set(named.values())) == len(named)


@settings(max_examples=100)
@given(packets=st.lists(frames, min_size=2, max_size=20), isolate=st.sampled_from(ISOLATIONS))
def test_two_packets_share_a_queue_if_and_only_if_they_are_of_one_flow(
    wide: dict[tuple[str, str], Classifier], packets: list[Packet], isolate: str
) -> None:
    check_partition(packets, wide[isolate, "ethernet"], isolate)


@settings(max_examples=60)
@given(packets=st.lists(ip_packets, min_size=2, max_size=20), isolate=st.sampled_from(ISOLATIONS))
def test_the_same_holds_for_packets_without_a_link_header(
    wide: dict[tuple[str, str], Classifier], packets: list[Packet], isolate: str
) -> None:
    check_partition(packets, wide[isolate, "none"], isolate)


@settings(max_examples=60)
@given(packet=frames, isolate=st.sampled_from(ISOLATIONS))
def test_a_packet_cut_anywhere_gives_a_valid_class(
    wide: dict[tuple[str, str], Classifier], packet: Packet, isolate: str
) -> None:
    whole = bytes(packet)
    for length in range(SHORTEST, min(len(whole), 110)):
        if is_runnable(whole[:length]):
            wide[isolate, "ethernet"](whole[:length])


@settings(max_examples=200)
@given(
    garbage=st.binary(min_size=SHORTEST, max_size=150),
    ethertype=st.sampled_from((b"", b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x88\x64", b"\x88\xa8")),
)
def test_garbage_gives_a_valid_class(
    wide: dict[tuple[str, str], Classifier], garbage: bytes, ethertype: bytes
) -> None:
    data = bytes(12) + ethertype + garbage if ethertype else garbage
    assume(is_runnable(data))
    for classify in wide.values():
        classify(data)


def test_a_packet_without_its_ports_goes_to_the_catch_all(classify: Classifier) -> None:
    whole = bytes(ether() / V4 / TCP(sport=3, dport=4))
    assert classify(whole[: 14 + 20 + 3]) == CATCH_ALL
    assert classify(whole[: 14 + 20 + 4]) == classify(whole) != CATCH_ALL


@pytest.mark.parametrize(
    "links",
    [
        (Dot1Q(vlan=5),),
        (Dot1AD(vlan=5), Dot1Q(vlan=6)),
        (PPPoE(sessionid=9), PPP()),
        (Dot1Q(vlan=7), PPPoE(sessionid=9), PPP()),
    ],
    ids=["vlan", "qinq", "pppoe", "pppoe in a vlan"],
)
@pytest.mark.parametrize("header", [V4, V6], ids=["ipv4", "ipv6"])
def test_the_flow_inside_tags_and_pppoe_is_seen(
    classify: Classifier, links: tuple[Packet, ...], header: Packet
) -> None:
    for transport in (TCP(sport=1, dport=2), UDP(sport=1, dport=2)):
        packet = ether()
        for link in links:
            packet = packet / link.copy()
        assert classify(packet / header / transport) == classify(ether() / header / transport)
    assert len(classify.map.entries()) == 2


@pytest.mark.parametrize("outer", [V4, V6], ids=["in4", "in6"])
@pytest.mark.parametrize("inner", [V4, V6], ids=["4", "6"])
def test_flows_inside_an_ip_tunnel_have_queues_of_their_own(
    classify: Classifier, outer: Packet, inner: Packet
) -> None:
    packets = [
        ether() / outer / inner.copy() / transport for transport in (TCP(sport=5), UDP(sport=5), ICMP())
    ]
    assert len({classify(packet) for packet in packets}) == 3
    assert classify(packets[0]) == classify(ether() / inner / TCP(sport=5))


def test_a_tunnel_is_one_host_when_hosts_are_isolated() -> None:
    with Classifier(isolate="source-host") as classify:
        inner = IP(src="192.168.0.1", dst="192.168.0.2")
        assert classify(ether() / V4 / inner / TCP()) == classify(ether() / V4 / UDP())


def test_all_that_gre_carries_between_two_hosts_is_one_flow(classify: Classifier) -> None:
    assert classify(ether() / V4 / GRE() / V4.copy() / TCP(sport=1)) == classify(
        ether() / V4 / GRE() / V6 / UDP(sport=2)
    )


def test_what_is_no_ip_takes_no_queue(classify: Classifier) -> None:
    for packet in (ARP(pdst="10.0.0.1"), Raw(bytes(80)), Dot1Q() / Dot1Q() / Dot1Q() / V4 / TCP()):
        assert classify(ether() / packet) == CATCH_ALL
    assert classify.map.entries() == {}


def test_all_fragments_of_a_datagram_share_a_queue(classify: Classifier) -> None:
    v4 = fragment(V4 / UDP(sport=5, dport=6) / Raw(bytes(6000)), fragsize=1400)
    v6 = fragment6(V6 / IPv6ExtHdrFragment() / UDP(sport=5, dport=6) / Raw(bytes(6000)), 1280)
    assert min(len(v4), len(v6)) > 3
    assert [len({classify(ether() / part) for part in parts}) for parts in (v4, v6)] == [1, 1]


def test_an_ipv6_flow_with_random_flow_labels_stays_in_one_queue(classify: Classifier) -> None:
    draw = random.Random(1)
    labels = [IPv6(src="fd00::1", dst="fd00::2", fl=draw.getrandbits(20)) for _ in range(50)]
    assert len({classify(ether() / header / TCP(sport=5)) for header in labels}) == 1


@pytest.mark.parametrize("flows", [2, 64, 1024])
def test_no_two_flows_share_a_queue_while_one_is_free(flows: int) -> None:
    with Classifier(flows) as classify:
        given_out = [classify(udp(number)) for number in range(flows)]
        assert sorted(given_out, key=int) == list(range(flows))
        assert [classify(udp(number)) for number in range(flows)] == given_out
        more = [classify(udp(flows + number)) for number in range(flows // 2)]
        assert CATCH_ALL not in more
        assert [classify(udp(flows + number)) for number in range(flows // 2)] == more


def test_one_flow_too_many_shares_the_least_recently_used_queue() -> None:
    with Classifier(PROBES) as classify:
        first = [classify(udp(number)) for number in range(PROBES)]
        for number in (*range(5), *range(6, PROBES)):
            classify(udp(number))
        assert classify(udp(PROBES)) == first[5]


def test_sharing_spreads_over_many_queues() -> None:
    """Each newcomer takes the oldest of 16 queues drawn by its hash: few are hit twice."""
    with Classifier(1024) as classify:
        for number in range(1024):
            classify(udp(number))
        assert len({classify(udp(1024 + number)) for number in range(512)}) > 480


def test_a_released_queue_is_given_out_again_and_others_are_kept(classify: Classifier) -> None:
    queues = [classify(udp(number)) for number in range(64)]
    release(classify, int(queues[3]), int(queues[40]))
    assert len(classify.map.entries()) == 62
    assert {classify(udp(100)), classify(udp(101))} == {queues[3], queues[40]}
    assert classify(udp(5)) == queues[5]


def test_a_flow_that_was_released_counts_as_new(classify: Classifier) -> None:
    first = int(classify(udp(1)))
    release(classify, first)
    assert classify(udp(2)) != first  # the free queues are given out in turn
    assert len(classify.map.entries()) == 1
    classify(udp(1))
    assert len(classify.map.entries()) == 2


def test_releasing_a_queue_that_was_never_given_out_frees_it_no_second_time(classify: Classifier) -> None:
    """A controller that follows another sees queues drain that its own map never gave out."""
    taken = {classify(udp(number)) for number in range(10)}
    idle = next(queue for queue in range(64) if queue not in taken)
    release(classify, idle)
    release(classify, idle)
    release(classify, *sorted(map(int, taken)))
    assert len({classify(udp(100 + number)) for number in range(64)}) == 64


def test_the_map_names_the_flow_of_each_queue(classify: Classifier) -> None:
    queues = [
        classify(ether() / V4 / TCP(sport=1, dport=2)),
        classify(ether() / V6 / UDP(sport=3, dport=4)),
    ]
    keys = [classify.map.entries()[int(queue)][0] for queue in queues]
    assert [(str(key.source), str(key.destination)) for key in keys] == [
        ("10.0.0.1", "10.0.0.2"),
        ("fd00::1", "fd00::2"),
    ]
    assert [(key.source_port, key.destination_port, key.protocol) for key in keys] == [(1, 2, 6), (3, 4, 17)]


def test_the_time_of_the_last_packet_is_kept(classify: Classifier) -> None:
    queue = int(classify(udp(1)))
    seen = classify.map.last_seen_ns()
    classify(udp(1))
    assert classify.map.last_seen_ns()[queue] > seen[queue] > 0


def test_the_maps_can_be_adopted_and_the_free_queues_found_again(classify: Classifier) -> None:
    queues = [classify(udp(number)) for number in range(20)]
    number, name, _maps = syscalls.prog_info(classify.map.prog_fd)
    adopted = FlowMap.adopt(number)
    try:
        assert (adopted.flows, name) == (64, "qos_flows")
        adopted.rebuild_free()
        assert adopted.entries() == classify.map.entries()
        assert [classify(udp(number)) for number in range(20)] == queues
        assert len({classify(udp(number)) for number in range(64)}) == 64
    finally:
        adopted.close()


def test_a_foreign_program_is_not_adopted() -> None:
    code = Assembler()
    code.alu(0xB0, R0, 0)
    code.exit()
    descriptor = syscalls.prog_load(code.assemble(), "foreign", "GPL")
    number, _, _ = syscalls.prog_info(descriptor)
    with pytest.raises(InputError, match="not one of ours"):
        FlowMap.adopt(number)


def test_a_refused_program_is_an_error_with_the_verifiers_words() -> None:
    code = Assembler()
    code.exit()  # r0 was never set
    with pytest.raises(KernelError, match="R0"):
        syscalls.prog_load(code.assemble(), "bad", "GPL")


def test_the_assembler_refuses_backward_jumps() -> None:
    code = Assembler()
    code.label("here")
    code.jump("here")
    with pytest.raises(ValueError, match="behind"):
        code.assemble()


class Assignment(RuleBasedStateMachine):
    """Flows come and queues are released, in any order; a model says what must hold."""

    flows = 8

    def __init__(self) -> None:
        super().__init__()
        self.classify = Classifier(self.flows)
        self.owner: dict[int, int] = {}
        self.crowd: dict[int, int] = {}

    @property
    def used(self) -> set[int]:
        return {*self.owner.values(), *self.crowd.values()}

    @rule(number=st.integers(0, 12))
    def packet(self, number: int) -> None:
        free = self.flows - len(self.used)
        queue = int(self.classify(udp(number)))
        known = self.owner.get(number, self.crowd.get(number))
        if known is not None:
            assert queue == known
        elif free:
            assert queue not in self.used
            self.owner[number] = queue
        else:
            self.crowd[number] = queue

    @precondition(lambda self: self.used)
    @rule(data=st.data())
    def idle(self, data: st.DataObject) -> None:
        gone = data.draw(st.sets(st.sampled_from(sorted(self.used)), min_size=1))
        release(self.classify, *sorted(gone))
        for table in (self.owner, self.crowd):
            for number in [number for number, queue in table.items() if queue in gone]:
                del table[number]

    @rule(queue=st.integers(0, 7))
    def idle_though_never_used(self, queue: int) -> None:
        if queue not in self.used:
            release(self.classify, queue)

    def teardown(self) -> None:
        self.classify.map.close()


Assignment.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestAssignment = Assignment.TestCase
