"""The classifier in classic BPF, run by a small interpreter, against scapy's view of the packets."""

from __future__ import annotations

import random
import struct

import pytest
from flow_judge import CATCH_ALL, ether, flow_of, frames, ip_packets
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q
from scapy.layers.ppp import PPP, PPPoE
from scapy.packet import Packet, Raw

from linux_qdisc.bpf.classic import (
    JA,
    JEQ,
    LD_IMM,
    RET_K,
    Assembler,
    Program,
    classic_program,
    to_netlink_bytes,
    to_tc_bytecode,
)
from linux_qdisc.bpf.keys import Isolation, LinkHeader

MAJOR, FLOWS = 0x71, 32768
WORD = 2**32 - 1
MAX_INSTRUCTIONS = 4096


def run(program: Program, packet: bytes) -> int:
    """Interpret classic BPF as linux/filter.h defines it; a load beyond the packet returns 0."""
    accumulator = index = at = 0
    memory = [0] * 16
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        kind, is_register = code & 0x07, code & 0x08
        if kind == 0x00:
            mode, size = code & 0xE0, {0x00: 4, 0x08: 2, 0x10: 1}[code & 0x18]
            if mode == 0x00:
                accumulator = operand
            elif mode == 0x60:
                accumulator = memory[operand]
            else:
                place = operand + (index if mode == 0x40 else 0)
                if place + size > len(packet):
                    return 0
                accumulator = int.from_bytes(packet[place : place + size], "big")
        elif kind == 0x01:
            index = operand if code & 0xE0 == 0 else memory[operand]
        elif kind == 0x02:
            memory[operand] = accumulator
        elif kind == 0x03:
            memory[operand] = index
        elif kind == 0x04:
            value = index if is_register else operand
            accumulator = {
                0x00: accumulator + value,
                0x20: accumulator * value,
                0x40: accumulator | value,
                0x50: accumulator & value,
                0x60: accumulator << (value & 31),
                0x70: accumulator >> (value & 31),
                0xA0: accumulator ^ value,
            }[code & 0xF0] & WORD
        elif kind == 0x05:
            value = index if is_register else operand
            if code & 0xF0 == 0x00:
                at += operand
            else:
                holds = {0x10: accumulator == value, 0x40: bool(accumulator & value)}[code & 0xF0]
                at += if_true if holds else if_false
        elif kind == 0x06:
            return accumulator if code & 0x18 == 0x10 else operand
        elif code == 0x07:
            index = accumulator
        elif code == 0x87:
            accumulator = index
        else:
            raise AssertionError(f"unknown instruction {code:#x}")


def program_for(isolate: str = "flow", flows: int = FLOWS, header: str = "ethernet") -> Program:
    return classic_program(flows, MAJOR, Isolation(isolate), LinkHeader(header))


PROGRAMS = {isolate: program_for(isolate) for isolate in ("flow", "source-host", "destination-host")}
BARE = {isolate: program_for(isolate, header="none") for isolate in PROGRAMS}


def queue_of(packet: Packet, isolate: str = "flow", program: Program | None = None) -> int | str:
    """Run the classifier; queue number or the catch-all, whether it is named or falls to it by 0."""
    value = run(program or PROGRAMS[isolate], bytes(packet))
    if value in (0, MAJOR << 16 | 0xF):
        return CATCH_ALL
    assert 0x10 <= value - (MAJOR << 16) < 0x10 + FLOWS
    return value - (MAJOR << 16) - 0x10


V4, V6 = IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="fd00::1", dst="fd00::2")
PORTS = (TCP(sport=1000, dport=80), UDP(sport=1000, dport=80), TCP(sport=1001, dport=80))


@given(frames, st.sampled_from(sorted(PROGRAMS)))
def test_what_is_no_ip_goes_to_the_catch_all_and_ip_to_a_queue(packet: Packet, isolate: str) -> None:
    assert (queue_of(packet, isolate) == CATCH_ALL) == (flow_of(packet, isolate) == CATCH_ALL)


@given(st.lists(frames, min_size=2, max_size=12), st.sampled_from(sorted(PROGRAMS)))
def test_packets_of_one_flow_have_one_queue(packets: list[Packet], isolate: str) -> None:
    queues: dict[object, int | str] = {}
    for packet in packets:
        assert queues.setdefault(flow_of(packet, isolate), queue_of(packet, isolate)) == queue_of(
            packet, isolate
        )


@given(st.lists(ip_packets, min_size=2, max_size=12), st.sampled_from(sorted(PROGRAMS)))
def test_packets_without_a_link_header_go_by_the_same_rule(packets: list[Packet], isolate: str) -> None:
    queues: dict[object, int | str] = {}
    for packet in packets:
        found = queue_of(packet, isolate, BARE[isolate])
        assert found == queue_of(ether() / packet, isolate)
        assert queues.setdefault(flow_of(packet, isolate), found) == found


def test_every_part_of_the_key_counts() -> None:
    packets = [
        ether() / header / transport
        for header in (V4, V6, IP(src="10.0.0.2", dst="10.0.0.1"), IPv6(src="fd00::2", dst="fd00::1"))
        for transport in (*PORTS, UDP(sport=80, dport=1000), TCP(sport=1000, dport=81))
    ]
    packets += [ether() / V4 / ICMP(), ether() / V6 / IPv6ExtHdrFragment() / PORTS[0]]
    assert len({flow_of(packet) for packet in packets}) == len(packets)
    assert len({queue_of(packet) for packet in packets}) == len(packets)


@pytest.mark.parametrize("header", ["10.1.0.0", "fd00::"])
def test_flows_spread_as_random_ones_would(header: str) -> None:
    """1024 balls thrown into 32768 bins hit 1008 +- 4 of them (occupancy problem, Feller I, IV.2)."""
    base = IP if "." in header else IPv6
    used = {
        queue_of(ether() / base(src=f"{header[:-1] if base is IP else header}{host}", dst=header[:-1] + "9"
                                if base is IP else "fd01::9") / UDP(sport=3000 + port, dport=443))
        for host in range(1, 33)
        for port in range(32)
    }  # fmt: skip
    assert len(used) == pytest.approx(1008, abs=20)


def test_neighbouring_hosts_spread_when_hosts_are_isolated() -> None:
    """256 balls into 1024 bins hit 227 +- 5."""
    program = program_for("source-host", 1024)
    used = {
        run(program, bytes(ether() / IP(src=f"192.168.1.{host}", dst="10.0.0.1") / UDP()))
        for host in range(256)
    }
    assert len(used) == pytest.approx(227, abs=20)


@pytest.mark.parametrize("sizes", [(3000, 500), (65000, 1400)])
def test_all_fragments_of_an_ipv4_datagram_share_a_queue(sizes: tuple[int, int]) -> None:
    size, piece = sizes
    parts = fragment(V4 / UDP(sport=5, dport=6) / Raw(bytes(min(size, 65000))), fragsize=piece)
    assert len(parts) > 2
    assert len({queue_of(ether() / part) for part in parts}) == 1


def test_all_fragments_of_an_ipv6_datagram_share_a_queue() -> None:
    parts = fragment6(V6 / IPv6ExtHdrFragment() / UDP(sport=5, dport=6) / Raw(bytes(4000)), 1280)
    assert len(parts) > 2
    assert len({queue_of(ether() / part) for part in parts}) == 1


def test_the_flow_label_and_the_traffic_class_do_not_count() -> None:
    draw = random.Random(1)
    queues = {
        queue_of(
            ether()
            / IPv6(src="fd00::1", dst="fd00::2", fl=draw.getrandbits(20), tc=draw.getrandbits(8))
            / PORTS[0]
        )
        for _ in range(50)
    }
    assert len(queues) == 1


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
def test_the_flow_inside_tags_and_pppoe_is_seen(links: tuple[Packet, ...], header: Packet) -> None:
    for transport in PORTS:
        packet = ether()
        for link in links:
            packet = packet / link.copy()
        assert queue_of(packet / header / transport) == queue_of(ether() / header / transport)


def test_three_tags_and_other_ethertypes_are_not_guessed_at() -> None:
    tagged = ether() / Dot1Q() / Dot1Q() / Dot1Q() / V4 / PORTS[0]
    assert queue_of(tagged) == queue_of(ether() / ARP(pdst="10.0.0.1")) == CATCH_ALL


@given(frames, st.data())
def test_a_packet_cut_anywhere_gives_a_valid_class(packet: Packet, data: st.DataObject) -> None:
    whole = bytes(packet)
    for isolate, program in PROGRAMS.items():
        length = data.draw(st.integers(0, len(whole)), label=isolate)
        queue_of(Raw(whole[:length]), isolate, program)


@given(st.binary(max_size=120), st.sampled_from((b"", b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x88\x64")))
def test_garbage_gives_a_valid_class(garbage: bytes, ethertype: bytes) -> None:
    data = bytes(12) + ethertype + garbage if ethertype else garbage
    for table in (PROGRAMS, BARE):
        for isolate, program in table.items():
            queue_of(Raw(data), isolate, program)


def test_a_packet_without_its_ports_goes_to_the_catch_all() -> None:
    whole = bytes(ether() / V4 / PORTS[0])
    assert queue_of(Raw(whole[: 14 + 20 + 3])) == CATCH_ALL
    assert queue_of(Raw(whole[: 14 + 20 + 4])) == queue_of(ether() / V4 / PORTS[0])


@given(st.integers(1, 15), st.sampled_from(sorted(PROGRAMS)), st.sampled_from(("ethernet", "none")))
def test_the_kernel_takes_the_program(bits: int, isolate: str, header: str) -> None:
    """Jumps go forward and stay inside, memory is M[0..15], the last instruction returns (filter.rst)."""
    program = program_for(isolate, 1 << bits, header)
    assert len(program) <= MAX_INSTRUCTIONS
    for place, (code, if_true, if_false, operand) in enumerate(program):
        if code & 0x07 == 0x05:
            reach = (operand,) if code == JA else (if_true, if_false)
            assert all(place + 1 + jump < len(program) for jump in reach)
        if code in (0x60, 0x61, 0x02, 0x03):
            assert operand < 16
    assert program[-1][0] & 0x07 == 0x06
    raw = to_netlink_bytes(program)
    assert [struct.unpack_from("=HBBI", raw, 8 * row) for row in range(len(program))] == list(program)
    count, _, rest = to_tc_bytecode(program).partition(",")
    assert [tuple(map(int, row.split())) for row in rest.split(",")] == list(program)
    assert int(count) == len(program)


@pytest.mark.parametrize("bits", range(1, 16))
def test_queues_stay_below_the_number_of_flows(bits: int) -> None:
    program = program_for(flows=1 << bits)
    found = {run(program, bytes(ether() / V4 / UDP(sport=port, dport=9))) for port in range(64)}
    assert all(0x10 <= value - (MAJOR << 16) < 0x10 + (1 << bits) for value in found)


def test_the_assembler_refuses_unknown_backward_and_far_jumps() -> None:
    unknown = Assembler()
    unknown.emit(JA, true="nowhere")
    backward = Assembler()
    backward.label("here")
    backward.emit(JA, true="here")
    far = Assembler()
    far.emit(JEQ, 1, true="end")
    for _ in range(300):
        far.emit(LD_IMM)
    far.label("end")
    far.emit(RET_K)
    for program, said in ((unknown, "unknown"), (backward, "behind"), (far, "far")):
        with pytest.raises(ValueError, match=said):
            program.assemble()
