"""The classifier in eBPF: a map gives each flow a queue of its own while free ones remain.

::

    flows      LRU hash   key of the flow -> queue
    free       queue      numbers of the free queues; the controller refills it as queues go idle
    last_seen  array      queue -> time of its last packet, ns

A known flow costs two map lookups. A new one takes a free queue; with none left, it shares the
least recently used of `PROBES` queues, as cake's set-associative hash would (Høiland-Jørgensen et al.,
"Piece of CAKE", 2018, section III.B). Keys are those of `linux_qdisc.bpf.classic`, and one level of
IP in IP (4in4, 6in4, 4in6, 6in6) is looked through.
"""

from __future__ import annotations

import socket

from linux_qdisc.bpf import keys
from linux_qdisc.bpf.assembler import (
    ADD,
    AND,
    JEQ,
    JGE,
    JNE,
    JSET,
    LSH,
    MEM_B,
    MEM_DW,
    MEM_H,
    MEM_W,
    MOV,
    MUL,
    R0,
    R1,
    R2,
    R3,
    R4,
    R6,
    R7,
    R8,
    R9,
    R10,
    RSH,
    XOR,
    Assembler,
)
from linux_qdisc.bpf.keys import Isolation, LinkHeader

KEY_BYTES = 40
"""16 source, 16 destination, 2 + 2 ports, protocol, IP version, 2 unused."""
PROBES = 16

_LOOKUP, _UPDATE, _KTIME, _LOAD_BYTES, _PUSH, _POP = 1, 2, 5, 26, 87, 88
_NO_EXIST = 1
# Stack, below r10.
_KEY, _QUEUE, _NOW, _SCRATCH, _BEST = -40, -44, -56, -64, -72
_PORTS, _PROTOCOL, _VERSION = _KEY + 32, _KEY + 36, _KEY + 37


def extended_program(
    flows: int,
    root_major: int,
    isolation: Isolation,
    header: LinkHeader,
    maps: tuple[int, int, int],
) -> bytes:
    """Write the program.

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
    maps
        Descriptors of the maps `flows`, `free` and `last_seen`.
    """
    code = Assembler()
    code.alu_register(MOV, R6, R1)
    for word in range(KEY_BYTES // 8):
        code.store_value(MEM_DW, R10, _KEY + 8 * word, 0)
    _find_network_header(code, header)
    # Code that nothing jumps to is refused by the verifier: hosts need no inner headers.
    for depth in range(2 if isolation is Isolation.FLOW else 1):
        _ipv4(code, isolation, depth)
        _ipv6(code, isolation, depth)
    _isolate(code, isolation)
    _assign(code, flows, maps)
    _give_class(code, root_major, maps[2])
    return code.assemble()


def _load_bytes(code: Assembler, offset: int, target: int, length: int) -> None:
    """Copy packet bytes at r7 + offset to the stack; a short packet goes to the catch-all."""
    code.alu_register(MOV, R1, R6)
    code.alu_register(MOV, R2, R7)
    code.alu(ADD, R2, offset)
    code.alu_register(MOV, R3, R10)
    code.alu(ADD, R3, target)
    code.alu(MOV, R4, length)
    code.call(_LOAD_BYTES)
    code.jump_if(JNE, R0, 0, "catch_all")


def _find_network_header(code: Assembler, header: LinkHeader) -> None:
    code.alu(MOV, R7, 0)
    if header is LinkHeader.NONE:
        _load_bytes(code, 0, _SCRATCH, 1)
        code.load(MEM_B, R8, R10, _SCRATCH)
        code.alu(RSH, R8, 4)
        code.jump_if(JEQ, R8, 4, "ipv4_0")
        code.jump_if(JEQ, R8, 6, "ipv6_0")
        code.jump("catch_all")
        return
    for tags in range(3):
        code.alu(MOV, R7, 14 + 4 * tags)
        _load_bytes(code, -2, _SCRATCH, 2)
        code.load(MEM_H, R8, R10, _SCRATCH)
        if tags < 2:
            code.jump_if(JEQ, R8, socket.htons(keys.ETH_P_8021Q), f"tag{tags}")
            code.jump_if(JNE, R8, socket.htons(keys.ETH_P_8021AD), "ethertype")
            code.label(f"tag{tags}")
    code.label("ethertype")
    code.jump_if(JEQ, R8, socket.htons(keys.ETH_P_IP), "ipv4_0")
    code.jump_if(JEQ, R8, socket.htons(keys.ETH_P_IPV6), "ipv6_0")
    code.jump_if(JNE, R8, socket.htons(keys.ETH_P_PPP_SES), "catch_all")
    code.alu(ADD, R7, 8)
    _load_bytes(code, -2, _SCRATCH, 2)
    code.load(MEM_H, R8, R10, _SCRATCH)
    code.jump_if(JEQ, R8, socket.htons(keys.PPP_IP), "ipv4_0")
    code.jump_if(JEQ, R8, socket.htons(keys.PPP_IPV6), "ipv6_0")
    code.jump("catch_all")


def _ipv4(code: Assembler, isolation: Isolation, depth: int) -> None:
    code.label(f"ipv4_{depth}")
    _load_bytes(code, 12, _SCRATCH, 8)
    # An inner header overwrites the outer key whole: nothing of an outer IPv6 address may stay.
    for word in range(4):
        code.store_value(MEM_DW, R10, _KEY + 8 * word, 0)
    code.load(MEM_W, R8, R10, _SCRATCH)
    code.store(MEM_W, R10, _KEY, R8)
    code.load(MEM_W, R8, R10, _SCRATCH + 4)
    code.store(MEM_W, R10, _KEY + 16, R8)
    code.store_value(MEM_B, R10, _VERSION, 4)
    _load_bytes(code, 6, _SCRATCH, 4)
    code.load(MEM_H, R8, R10, _SCRATCH)
    code.jump_if(JSET, R8, socket.htons(keys.IPV4_FRAGMENT_MASK), "isolate")
    code.load(MEM_B, R9, R10, _SCRATCH + 3)
    _load_bytes(code, 0, _SCRATCH, 1)
    code.load(MEM_B, R8, R10, _SCRATCH)
    code.alu(AND, R8, 0xF)
    code.alu(LSH, R8, 2)
    code.alu_register(ADD, R7, R8)
    _look_inside(code, isolation, depth)
    code.store(MEM_B, R10, _PROTOCOL, R9)
    _take_ports(code, f"4_{depth}")
    code.jump("isolate")


def _ipv6(code: Assembler, isolation: Isolation, depth: int) -> None:
    code.label(f"ipv6_{depth}")
    _load_bytes(code, 8, _KEY, 32)
    code.store_value(MEM_B, R10, _VERSION, 6)
    _load_bytes(code, 6, _SCRATCH, 1)
    code.load(MEM_B, R9, R10, _SCRATCH)
    code.alu(ADD, R7, 40)
    _look_inside(code, isolation, depth)
    _take_ports(code, f"6_{depth}")
    code.jump("isolate")


def _look_inside(code: Assembler, isolation: Isolation, depth: int) -> None:
    """Go on at the inner header of a tunnel, one level deep; hosts are isolated by outer address."""
    if depth == 0 and isolation is Isolation.FLOW:
        code.jump_if(JEQ, R9, keys.IPPROTO_IPIP, "ipv4_1")
        code.jump_if(JEQ, R9, keys.IPPROTO_IPV6, "ipv6_1")


def _take_ports(code: Assembler, suffix: str) -> None:
    for protocol in keys.PROTOCOLS_WITH_PORTS:
        code.jump_if(JEQ, R9, protocol, f"ports{suffix}")
    code.jump("isolate")
    code.label(f"ports{suffix}")
    code.store(MEM_B, R10, _PROTOCOL, R9)
    _load_bytes(code, 0, _PORTS, 4)


def _isolate(code: Assembler, isolation: Isolation) -> None:
    code.label("isolate")
    if isolation is Isolation.FLOW:
        return
    unwanted = _KEY + 16 if isolation is Isolation.SOURCE_HOST else _KEY
    code.store_value(MEM_DW, R10, unwanted, 0)
    code.store_value(MEM_DW, R10, unwanted + 8, 0)
    code.store_value(MEM_W, R10, _PORTS, 0)
    code.store_value(MEM_B, R10, _PROTOCOL, 0)


def _on_map(code: Assembler, descriptor: int, key: int, helper: int, value: int | None = None) -> None:
    code.map_address(R1, descriptor)
    code.alu_register(MOV, R2, R10)
    code.alu(ADD, R2, key)
    if value is not None:
        code.alu_register(MOV, R3, R10)
        code.alu(ADD, R3, value)
        code.alu(MOV, R4, _NO_EXIST)
    code.call(helper)


def _assign(code: Assembler, flows: int, maps: tuple[int, int, int]) -> None:
    """Find the flow's queue, or give it one; leaves the number in r8."""
    flow_map, free_map, last_seen_map = maps
    code.call(_KTIME)
    code.store(MEM_DW, R10, _NOW, R0)
    _on_map(code, flow_map, _KEY, _LOOKUP)
    code.jump_if(JEQ, R0, 0, "new_flow")
    code.load(MEM_W, R8, R0, 0)
    code.jump("known")
    code.label("new_flow")
    _on_map(code, free_map, _QUEUE, _POP)
    code.jump_if(JNE, R0, 0, "none_free")
    _on_map(code, flow_map, _KEY, _UPDATE, _QUEUE)
    code.load(MEM_W, R8, R10, _QUEUE)
    code.jump_if(JEQ, R0, 0, "known")
    # Another processor was faster: give the queue back and use what it chose.
    code.map_address(R1, free_map)
    code.alu_register(MOV, R2, R10)
    code.alu(ADD, R2, _QUEUE)
    code.alu(MOV, R3, 0)
    code.call(_PUSH)
    _on_map(code, flow_map, _KEY, _LOOKUP)
    code.jump_if(JEQ, R0, 0, "none_free")
    code.load(MEM_W, R8, R0, 0)
    code.jump("known")
    code.label("none_free")
    _share(code, flows, last_seen_map)
    _on_map(code, flow_map, _KEY, _UPDATE, _BEST)
    code.load(MEM_W, R8, R10, _BEST)


def _share(code: Assembler, flows: int, last_seen_map: int) -> None:
    """Choose the least recently used of `PROBES` queues; leaves its number in the stack's `_BEST`."""
    code.load(MEM_DW, R8, R10, _KEY)
    for word in range(1, KEY_BYTES // 8):
        code.alu(MUL, R8, 0x5BD1E995)
        code.load(MEM_DW, R0, R10, _KEY + 8 * word)
        code.alu_register(XOR, R8, R0)
        code.alu_register(MOV, R0, R8)
        code.alu(RSH, R0, 29)
        code.alu_register(XOR, R8, R0)
    code.alu(MUL, R8, 0x5BD1E995)
    code.alu(RSH, R8, 16)
    code.alu(MOV, R9, -1)
    code.store_value(MEM_W, R10, _BEST, 0)
    for probe in range(min(PROBES, flows)):
        code.alu_register(MOV, R0, R8)
        code.alu(ADD, R0, probe)
        code.alu(AND, R0, flows - 1)
        code.store(MEM_W, R10, _QUEUE, R0)
        _on_map(code, last_seen_map, _QUEUE, _LOOKUP)
        code.jump_if(JEQ, R0, 0, f"next{probe}")
        code.load(MEM_DW, R1, R0, 0)
        code.jump_if_register(JGE, R1, R9, f"next{probe}")
        code.alu_register(MOV, R9, R1)
        code.load(MEM_W, R1, R10, _QUEUE)
        code.store(MEM_W, R10, _BEST, R1)
        code.label(f"next{probe}")


def _give_class(code: Assembler, root_major: int, last_seen_map: int) -> None:
    code.label("known")
    code.store(MEM_W, R10, _QUEUE, R8)
    _on_map(code, last_seen_map, _QUEUE, _LOOKUP)
    code.jump_if(JEQ, R0, 0, "return")
    code.load(MEM_DW, R1, R10, _NOW)
    code.store(MEM_DW, R0, 0, R1)
    code.label("return")
    code.alu_register(MOV, R0, R8)
    code.alu(ADD, R0, root_major << 16 | keys.FIRST_FLOW_MINOR)
    code.exit()
    code.label("catch_all")
    code.alu(MOV, R0, root_major << 16 | keys.CATCH_ALL_MINOR)
    code.exit()
