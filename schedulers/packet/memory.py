"""Compiled access to the arrays of a simulation through one pointer, the pool of packets, random numbers.

A compiled function that takes a dozen arrays passes some eighty machine words a call, which costs more
than the work of a packet. So all functions take the one control record, which holds the addresses of
the arrays, and get an array as a view without an owner. `qos.simulation.state` fills the addresses in
and keeps the arrays alive while compiled code runs.
"""

# mypy: disable-error-code="no-any-return"
# Compiled code reads records, whose fields the type checker does not know.
from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.extending import intrinsic

from qos.compiled import compiled, inlined
from schedulers.packet.layout import (
    NONE,
    PACKET_DTYPE,
    QUEUE_DTYPE,
    SUBQUEUE_DTYPE,
    Record,
    Records,
)

_INT64 = np.int64
_FLOAT64 = np.float64


def _address(typing_context: Any, number: Any) -> Any:  # noqa: ARG001
    """Turn an integer into a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


address: Any = intrinsic(_address)
"""Turns an integer into a pointer, in compiled code."""


def _read_ahead(typing_context: Any, number: Any) -> Any:  # noqa: ARG001
    """Ask the processor for the cache line at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        pointer = builder.inttoptr(arguments[0], cgutils.voidptr_t)
        flag = cgutils.int32_t
        ir = cgutils.ir  # type: ignore[attr-defined]
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, flag, flag, flag])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
        # For reading, to be kept in all levels, in the cache of data.
        builder.call(hint, [pointer, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.none(types.int64), generate


read_ahead: Any = intrinsic(_read_ahead)
"""Asks for a cache line before it is needed, in compiled code; changes nothing else."""

LINE_BYTES = 64
FEW_FLOWS = 128
"""The records of so many flows stay in the cache of one core, where reading ahead only costs."""


@inlined
def read_record_ahead(address: int, first_byte: int, last_byte: int) -> None:
    """Ask for a part of a record, which need not begin at a line."""
    for offset in range(first_byte, last_byte + LINE_BYTES, LINE_BYTES):
        read_ahead(address + offset)


@inlined
def packets(root: Record) -> Records:
    """View the pool of packets."""
    return carray(address(root.packets), root.packets_count, PACKET_DTYPE)


@inlined
def queues(root: Record) -> Records:
    """View the queues."""
    return carray(address(root.queues), root.queues_count, QUEUE_DTYPE)


@inlined
def subqueues(root: Record) -> Records:
    """View the sub-queues of all queues."""
    return carray(address(root.subqueues), root.subqueues_count, SUBQUEUE_DTYPE)


@inlined
def sojourns(root: Record) -> Records:
    """View the histograms of sojourn times."""
    return carray(address(root.sojourns), root.sojourns_count, _INT64)


@inlined
def backlogs(root: Record) -> Records:
    """View the histograms of backlogs."""
    return carray(address(root.backlogs), root.backlogs_count, _FLOAT64)


@inlined
def drops(root: Record) -> Records:
    """View the count of dropped packets of each flow."""
    return carray(address(root.drops), root.drops_count, _INT64)


@inlined
def take(root: Record) -> int:
    """Take a packet from the pool; the event loop sees to it that there is one."""
    index: int = root.free_packet
    root.free_packet = packets(root)[index].next
    root.free_packets -= 1
    return index


@inlined
def release(root: Record, index: int) -> None:
    """Give a packet back to the pool."""
    packets(root)[index].next = root.free_packet
    root.free_packet = index
    root.free_packets += 1


@compiled
def uniform(owner: Record) -> float:
    """Draw from [0, 1) with the generator of a record (its field `random`, not zero): xorshift64*.

    Marsaglia, "Xorshift RNGs", J. Statistical Software 8(14), 2003; Vigna, "An experimental exploration of
    Marsaglia's xorshift generators, scrambled", ACM TOMS 42(4), 2016.
    """
    x = owner.random
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    owner.random = x
    return float((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@inlined
def push_back(root: Record, subqueue: Record, index: int) -> None:
    """Link a packet to the end of a sub-queue."""
    pool = packets(root)
    pool[index].next = NONE
    if subqueue.tail == NONE:
        subqueue.head = index
    else:
        pool[subqueue.tail].next = index
    subqueue.tail = index
