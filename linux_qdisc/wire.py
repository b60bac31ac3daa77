"""The bytes of rtnetlink messages: pure functions, no socket.

Layouts: linux/netlink.h, linux/rtnetlink.h, linux/pkt_sched.h. Numbers are in host byte order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 1, 2, 3, 4

NLM_F_REQUEST, NLM_F_ACK, NLM_F_ECHO, NLM_F_DUMP_INTR = 0x1, 0x4, 0x8, 0x10
NLM_F_ROOT, NLM_F_MATCH, NLM_F_DUMP = 0x100, 0x200, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTCLASS, RTM_DELTCLASS, RTM_GETTCLASS = 40, 41, 42
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46

TCA_KIND, TCA_OPTIONS, TCA_STATS, TCA_XSTATS, TCA_RATE = 1, 2, 3, 4, 5
TCA_FCNT, TCA_STATS2, TCA_STAB, TCA_PAD, TCA_DUMP_INVISIBLE, TCA_CHAIN = 6, 7, 8, 9, 10, 11
TCA_STATS_BASIC, TCA_STATS_QUEUE, TCA_STATS_PKT64 = 1, 3, 8

TC_H_ROOT, TC_H_INGRESS, TC_H_UNSPEC = 0xFFFFFFFF, 0xFFFFFFF1, 0
ETH_P_ALL = 0x0003

HEADER = struct.Struct("=IHHII")
TCMSG = struct.Struct("=BxxxiIII")
_ATTRIBUTE = struct.Struct("=HH")
_NLA_TYPE_MASK = 0x3FFF
NLA_F_NESTED = 0x8000


def align(length: int) -> int:
    """Round up to netlink's four bytes."""
    return (length + 3) & ~3


def attr(kind: int, payload: bytes) -> bytes:
    """Return one attribute, padded."""
    length = 4 + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(align(length) - length)


def nested(kind: int, *parts: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attr(kind, b"".join(parts))


def text(value: str) -> bytes:
    """Return a C string."""
    return value.encode() + b"\0"


def u16(value: int) -> bytes:
    """Return 16 bits in host order."""
    return struct.pack("=H", value)


def u32(value: int) -> bytes:
    """Return 32 bits in host order."""
    return struct.pack("=I", value)


def u64(value: int) -> bytes:
    """Return 64 bits in host order."""
    return struct.pack("=Q", value)


def tcmsg(ifindex: int, handle: int, parent: int, info: int = 0, family: int = 0) -> bytes:
    """Return the fixed part of a traffic control message."""
    return TCMSG.pack(family, ifindex, handle, parent, info)


def message(kind: int, flags: int, seq: int, body: bytes) -> bytes:
    """Return one message with its header; `body` is aligned."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, seq, 0) + body


def filter_info(preference: int, protocol: int = ETH_P_ALL) -> int:
    """Return the `info` of a filter message: preference and ethertype in network order."""
    return preference << 16 | (protocol & 0xFF) << 8 | protocol >> 8


def attributes(data: bytes | memoryview) -> dict[int, memoryview]:
    """Read a row of attributes; a repeated one keeps its last value, a torn tail is dropped."""
    view = memoryview(data)
    found: dict[int, memoryview] = {}
    offset = 0
    while offset + 4 <= len(view):
        length, kind = _ATTRIBUTE.unpack_from(view, offset)
        if length < 4 or offset + length > len(view):
            break
        found[kind & _NLA_TYPE_MASK] = view[offset + 4 : offset + length]
        offset += align(length)
    return found


def string(payload: memoryview | None) -> str:
    """Read a C string; an absent attribute reads as an empty one."""
    return bytes(payload).rstrip(b"\0").decode(errors="replace") if payload is not None else ""


def messages(data: bytes | memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
    """Walk a datagram: kind, flags, sequence number and payload of each message."""
    view = memoryview(data)
    offset = 0
    while offset + HEADER.size <= len(view):
        length, kind, flags, seq, _ = HEADER.unpack_from(view, offset)
        if length < HEADER.size or offset + length > len(view):
            break
        yield kind, flags, seq, view[offset + HEADER.size : offset + length]
        offset += align(length)


@dataclass(frozen=True, slots=True)
class TcMessage:
    """One qdisc, class or filter as the kernel describes it."""

    ifindex: int
    handle: int
    parent: int
    info: int
    kind: str
    attributes: dict[int, memoryview]

    @classmethod
    def parse(cls, payload: memoryview) -> TcMessage:
        """Read the payload of an RTM_*QDISC, RTM_*TCLASS or RTM_*TFILTER message."""
        _family, ifindex, handle, parent, info = TCMSG.unpack_from(payload)
        found = attributes(payload[TCMSG.size :])
        return cls(ifindex, handle, parent, info, string(found.get(TCA_KIND)), found)
