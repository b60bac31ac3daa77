"""The classifier in classic BPF: a hash over the flow's key, inside the netlink message itself.

It needs no bpf(2) and no capability beyond CAP_NET_ADMIN, so it works in user namespaces and on
kernels without eBPF. Two flows may share a queue: 1024 queues give 16 flows a collision in a tenth
of all runs. VLAN tags (two) and PPPoE are looked through; a tunnel's packets are one flow.

Key: addresses, protocol and ports (TCP, UDP, UDP-Lite, SCTP, DCCP). A fragment has no ports after
the first, and an IPv6 packet with extension headers is not parsed further, so these go by addresses
and no datagram is split. A packet too short for its headers matches nothing, which HTB
sends to the catch-all.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from linux_qdisc.bpf import keys
from linux_qdisc.bpf.keys import Isolation, LinkHeader

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand (struct sock_filter)."""
Program = tuple[Instruction, ...]

LD_H_ABS, LD_B_ABS = 0x28, 0x30
LD_W_IND, LD_H_IND, LD_B_IND = 0x40, 0x48, 0x50
LD_IMM, LD_MEM, LDX_IMM, LDX_MEM, ST, STX = 0x00, 0x60, 0x01, 0x61, 0x02, 0x03
ADD_K, ADD_X, MUL_K, OR_K, AND_K, LSH_K, RSH_K, XOR_X = 0x04, 0x0C, 0x24, 0x44, 0x54, 0x64, 0x74, 0xAC
JA, JEQ, JSET, RET_K, RET_A, TAX = 0x05, 0x15, 0x45, 0x06, 0x16, 0x07

MIX = (0x85EBCA6B, 0xC2B2AE35)
"""Multipliers of MurmurHash3's 32-bit finaliser (public domain, A. Appleby)."""
_OFFSET, _HASH, _SCRATCH = 0, 1, 2


class Assembler:
    """Classic BPF with labels; jumps go forward only, as the kernel demands."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, str | None, str | None]] = []
        self._labels: dict[str, int] = {}

    def emit(self, code: int, operand: int = 0, *, true: str | None = None, false: str | None = None) -> None:
        """Add an instruction; a jump names a label, or None for the next instruction."""
        self._code.append((code, operand, true, false))

    def label(self, name: str) -> None:
        """Name the place of the next instruction."""
        self._labels[name] = len(self._code)

    def assemble(self) -> Program:
        """Resolve the labels.

        Raises
        ------
        ValueError
            If a label is unknown or too far away for a conditional jump.
        """
        program = []
        for place, (code, operand, true, false) in enumerate(self._code):
            if code == JA:
                program.append((JA, 0, 0, self._distance(place, true)))
                continue
            if_true, if_false = self._distance(place, true), self._distance(place, false)
            if max(if_true, if_false) > 255:
                raise ValueError(f"jump from {place} to {true or false} is too far")
            program.append((code, if_true, if_false, operand))
        return tuple(program)

    def _distance(self, place: int, label: str | None) -> int:
        if label is None:
            return 0
        if label not in self._labels or self._labels[label] <= place:
            raise ValueError(f"label {label!r} is unknown or behind")
        return self._labels[label] - place - 1


def classic_program(flows: int, root_major: int, isolation: Isolation, header: LinkHeader) -> Program:
    """Write the classifier for `flows` queues under the qdisc `root_major:`.

    Parameters
    ----------
    flows
        Number of queues, a power of two.
    root_major
        Major number of the class ids that it returns.
    isolation
        Key of fairness.
    header
        What packets begin with.
    """
    code = Assembler()
    _find_network_header(code, header)
    _ipv4(code, isolation)
    _ipv6(code, isolation)
    _finish(code, flows, root_major)
    return code.assemble()


def _find_network_header(code: Assembler, header: LinkHeader) -> None:
    """Leave the offset of the IP header in X and in memory, and branch by version."""
    if header is LinkHeader.NONE:
        code.emit(LDX_IMM, 0)
        code.emit(STX, _OFFSET)
        code.emit(LD_B_ABS, 0)
        code.emit(RSH_K, 4)
        code.emit(JEQ, 4, true="ipv4")
        code.emit(JEQ, 6, true="ipv6_jump", false="catch_all_jump")
    else:
        for tags in range(3):
            offset = 14 + 4 * tags
            code.emit(LDX_IMM, offset)
            code.emit(STX, _OFFSET)
            code.emit(LD_H_ABS, offset - 2)
            if tags < 2:
                code.emit(JEQ, keys.ETH_P_8021Q, true=f"tag{tags}")
                code.emit(JEQ, keys.ETH_P_8021AD, true=f"tag{tags}", false="ethertype")
                code.label(f"tag{tags}")
        code.label("ethertype")
        code.emit(JEQ, keys.ETH_P_IP, true="ipv4")
        code.emit(JEQ, keys.ETH_P_IPV6, true="ipv6_jump")
        code.emit(JEQ, keys.ETH_P_PPP_SES, false="catch_all_jump")
        code.emit(LD_MEM, _OFFSET)
        code.emit(ADD_K, 8)
        code.emit(ST, _OFFSET)
        code.emit(LD_H_IND, 6)
        code.emit(LDX_MEM, _OFFSET)
        code.emit(JEQ, keys.PPP_IP, true="ipv4")
        code.emit(JEQ, keys.PPP_IPV6, true="ipv6_jump", false="catch_all_jump")
    code.label("ipv6_jump")
    code.emit(JA, true="ipv6")
    code.label("catch_all_jump")
    code.emit(JA, true="catch_all")


def _ipv4(code: Assembler, isolation: Isolation) -> None:
    code.label("ipv4")
    _start_hash(code, 4)
    _mix_words(code, _address_words(isolation, source=12, destination=16, words=1))
    if isolation is Isolation.FLOW:
        code.emit(LD_H_IND, 6)
        code.emit(JSET, keys.IPV4_FRAGMENT_MASK, true="done4")
        _mix_load(code, LD_B_IND, 9)
        code.emit(LD_B_IND, 9)
        _jump_unless_ports(code, "4", "done4")
        code.emit(LD_B_IND, 0)
        code.emit(AND_K, 0xF)
        code.emit(LSH_K, 2)
        code.emit(ADD_X)
        code.emit(TAX)
        _mix_load(code, LD_W_IND, 0)
    code.label("done4")
    code.emit(JA, true="finish")


def _ipv6(code: Assembler, isolation: Isolation) -> None:
    code.label("ipv6")
    _start_hash(code, 6)
    _mix_words(code, _address_words(isolation, source=8, destination=24, words=4))
    if isolation is Isolation.FLOW:
        code.emit(LD_B_IND, 6)
        _jump_unless_ports(code, "6", "finish")
        _mix_load(code, LD_B_IND, 6)
        _mix_load(code, LD_W_IND, 40)


def _finish(code: Assembler, flows: int, root_major: int) -> None:
    code.label("finish")
    code.emit(LD_MEM, _HASH)
    for shift, multiplier in ((16, MIX[0]), (13, MIX[1]), (16, None)):
        code.emit(TAX)
        code.emit(RSH_K, shift)
        code.emit(XOR_X)
        if multiplier is not None:
            code.emit(MUL_K, multiplier)
    code.emit(AND_K, flows - 1)
    code.emit(ADD_K, root_major << 16 | keys.FIRST_FLOW_MINOR)
    code.emit(RET_A)
    code.label("catch_all")
    code.emit(RET_K, root_major << 16 | keys.CATCH_ALL_MINOR)


def _start_hash(code: Assembler, version: int) -> None:
    code.emit(LD_IMM, 0x9E3779B9 ^ version)
    code.emit(ST, _HASH)


def _address_words(isolation: Isolation, source: int, destination: int, words: int) -> Iterable[int]:
    if isolation is not Isolation.DESTINATION_HOST:
        yield from range(source, source + 4 * words, 4)
    if isolation is not Isolation.SOURCE_HOST:
        yield from range(destination, destination + 4 * words, 4)


def _mix_words(code: Assembler, offsets: Iterable[int]) -> None:
    for offset in offsets:
        _mix_load(code, LD_W_IND, offset)


def _mix_load(code: Assembler, load: int, offset: int) -> None:
    """Hash = ((hash ^ word) * m); hash ^= hash >> 15; X keeps the header's offset."""
    code.emit(load, offset)
    code.emit(LDX_MEM, _HASH)
    code.emit(XOR_X)
    code.emit(MUL_K, MIX[0])
    code.emit(TAX)
    code.emit(RSH_K, 15)
    code.emit(XOR_X)
    code.emit(ST, _HASH)
    code.emit(LDX_MEM, _OFFSET)


def _jump_unless_ports(code: Assembler, suffix: str, otherwise: str) -> None:
    *first, last = keys.PROTOCOLS_WITH_PORTS
    for protocol in first:
        code.emit(JEQ, protocol, true=f"ports{suffix}")
    code.emit(JEQ, last, false=otherwise)
    code.label(f"ports{suffix}")


def to_tc_bytecode(program: Iterable[Instruction]) -> str:
    """Spell a program as `tc filter ... bpf bytecode` takes it."""
    rows = [f"{code} {true} {false} {operand}" for code, true, false, operand in program]
    return f"{len(rows)},{','.join(rows)}"


def to_netlink_bytes(program: Iterable[Instruction]) -> bytes:
    """Return a program as an array of struct sock_filter."""
    return b"".join(struct.pack("=HBBI", *row) for row in program)
