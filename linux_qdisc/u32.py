"""The classifier as hash tables of cls_u32, for kernels that have neither cls_bpf nor cls_flow. Pure.

::

    root of its IP version   one filter a path: what the packet is, which byte is hashed
    └── table 1, 2, ...      with more than 256 queues: one a path, found by a second byte
        └── table 100, ...   at most 256 buckets each, one filter a bucket: the class

u32 hashes one byte at a time and mixes nothing, so a flow is told by the port of its client alone: the
source port, or the destination port where the source port is below 1024, as a server's is. Two clients
that use the same port share a queue. Fragments, IPv4 packets with options, IPv6 packets with extension
headers and protocols other than TCP and UDP go by the last bytes of the addresses. Tagged frames go to
the catch-all, as with cls_flow.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from linux_qdisc import wire
from linux_qdisc.bpf.keys import IPPROTO_TCP, IPPROTO_UDP, IPV4_FRAGMENT_MASK
from linux_qdisc.tree import FIRST_FLOW_MINOR, ROOT_MAJOR, classid

TCA_U32_CLASSID, TCA_U32_HASH, TCA_U32_LINK, TCA_U32_DIVISOR, TCA_U32_SEL = 1, 2, 3, 4, 5
TERMINAL = 1
MOST_BUCKETS = 256
FIRST_LEAF_TABLE = 0x100
WELL_KNOWN_MASK = 0xFC00
"""Bits of a port that are all zero below 1024."""
LOW_BYTE = 0xFF
_SELECTOR = struct.Struct("=BBBxHHhhI")
"""flags, offset shift, keys; offset mask, offset, place of the offset, place and mask of the hash."""
_KEY = struct.Struct("=IIii")
"""Mask and value in network order, place, offset mask."""


@dataclass(frozen=True, slots=True)
class Field:
    """A part of the 32-bit word at `place` bytes behind the start of the IP header."""

    place: int
    mask: int


@dataclass(frozen=True, slots=True)
class Match:
    """A field and the value that it must have, both within the word."""

    field: Field
    value: int


EVERYTHING = (Match(Field(0, 0), 0),)


@dataclass(frozen=True, slots=True)
class Path:
    """One kind of packet: what tells it, and the bytes that are hashed for it."""

    matches: tuple[Match, ...]
    main: Field
    second: Field


@dataclass(frozen=True, slots=True)
class Table:
    """A hash table; `number` is its part of a handle."""

    number: int
    buckets: int


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter.

    Attributes
    ----------
    table, bucket
        Where it stands; table 0 is the root of its IP version.
    node
        Its number there, from 1; filters of a bucket are tried in this order.
    matches
        What it asks for; nothing matches every packet.
    link, hashed
        The table that goes on, and the byte that finds the bucket there; or
    queue
        the queue of its packets, where it ends the search.
    """

    table: int
    bucket: int
    node: int
    matches: tuple[Match, ...] = ()
    link: int | None = None
    hashed: Field | None = None
    queue: int | None = None


@dataclass(frozen=True, slots=True)
class _Header:
    """Places in the header of one version of IP: the low words of both addresses, and the ports."""

    source: int
    destination: int
    ports: int


_HEADERS = {"ip": _Header(12, 16, 20), "ipv6": _Header(20, 36, 40)}


def paths(version: str, isolate: str) -> list[Path]:
    """List the kinds of packets of ``ip`` or ``ipv6``, the first that matches counts."""
    header = _HEADERS[version]
    source, destination = Field(header.source, LOW_BYTE), Field(header.destination, LOW_BYTE)
    if isolate == "source-host":
        return [Path((), source, Field(header.source, LOW_BYTE << 8))]
    if isolate == "destination-host":
        return [Path((), destination, Field(header.destination, LOW_BYTE << 8))]
    found = []
    for protocol in (IPPROTO_TCP, IPPROTO_UDP):
        kind = _with_ports(version, protocol)
        from_server = Match(Field(header.ports, WELL_KNOWN_MASK << 16), 0)
        for shift, matches in ((0, (*kind, from_server)), (16, kind)):
            main, second = LOW_BYTE << shift, LOW_BYTE << 8 << shift
            found.append(Path(matches, Field(header.ports, main), Field(header.ports, second)))
    return [*found, Path((), destination, source)]


def _with_ports(version: str, protocol: int) -> tuple[Match, ...]:
    """Tell a packet whose ports stand where they are looked for."""
    if version == "ipv6":
        return (Match(Field(4, 0xFF00), protocol << 8),)
    return (
        Match(Field(8, 0xFF0000), protocol << 16),
        Match(Field(4, IPV4_FRAGMENT_MASK), 0),
        Match(Field(0, 0xFF000000), 0x45000000),
    )


def tables(flows: int, isolate: str) -> list[Table]:
    """List the tables, which both versions of IP share."""
    leaves = -(-flows // MOST_BUCKETS)
    found = [Table(FIRST_LEAF_TABLE + number, min(flows, MOST_BUCKETS)) for number in range(leaves)]
    if leaves > 1:
        both = len(paths("ip", isolate)) + len(paths("ipv6", isolate))
        found += [Table(1 + number, leaves) for number in range(both)]
    return found


def leaf_filters(flows: int) -> Iterator[Filter]:
    """Yield the filter of each queue."""
    for queue in range(flows):
        table, bucket = divmod(queue, MOST_BUCKETS)
        yield Filter(FIRST_LEAF_TABLE + table, bucket, 1, queue=queue)


def path_filters(version: str, flows: int, isolate: str) -> Iterator[Filter]:
    """Yield the filters of one version of IP that lead to the tables of queues."""
    leaves = -(-flows // MOST_BUCKETS)
    first = 1 if version == "ip" else 1 + len(paths("ip", isolate))
    for number, path in enumerate(paths(version, isolate)):
        if leaves == 1:
            yield Filter(0, 0, 1 + number, path.matches, FIRST_LEAF_TABLE, path.main)
            continue
        for bucket in range(leaves):
            yield Filter(first + number, bucket, 1, (), FIRST_LEAF_TABLE + bucket, path.main)
        yield Filter(0, 0, 1 + number, path.matches, first + number, path.second)


def table_options(table: Table) -> bytes:
    """Return the TCA_OPTIONS that make a table."""
    return wire.nested(wire.TCA_OPTIONS, wire.attr(TCA_U32_DIVISOR, wire.u32(table.buckets)))


def filter_options(row: Filter) -> bytes:
    """Return the TCA_OPTIONS that make a filter."""
    parts = []
    if row.queue is not None:
        parts.append(wire.attr(TCA_U32_CLASSID, wire.u32(classid(FIRST_FLOW_MINOR + row.queue))))
    if row.table:
        parts.append(wire.attr(TCA_U32_HASH, wire.u32(row.table << 20 | row.bucket << 12)))
    if row.link is not None:
        parts.append(wire.attr(TCA_U32_LINK, wire.u32(row.link << 20)))
    flags = TERMINAL if row.queue is not None else 0
    parts.append(wire.attr(TCA_U32_SEL, selector(flags, row.matches, row.hashed)))
    return wire.nested(wire.TCA_OPTIONS, *parts)


def selector(flags: int, matches: tuple[Match, ...] = (), hashed: Field | None = None) -> bytes:
    """Return a tc_u32_sel with its keys; without matches it takes every packet."""
    hashed = hashed or Field(0, 0)
    matches = matches or EVERYTHING
    packed = _SELECTOR.pack(flags, 0, len(matches), 0, 0, 0, hashed.place, _network_order(hashed.mask))
    for match in matches:
        mask, value = _network_order(match.field.mask), _network_order(match.value)
        packed += _KEY.pack(mask, value, match.field.place, 0)
    return packed


def _network_order(word: int) -> int:
    """Return the number that lies in memory as `word` does in a packet."""
    return int.from_bytes(word.to_bytes(4, "big"), sys.byteorder)


def table_words(table: Table) -> str:
    """Spell a table as ``tc filter`` wants it."""
    return f"handle {table.number:x}: u32 divisor {table.buckets}"


def filter_words(row: Filter) -> str:
    """Spell a filter as ``tc filter`` wants it."""
    place = f"ht {row.table:x}:{row.bucket:x}: " if row.table else ""
    matches = row.matches or EVERYTHING
    asked = " ".join(
        f"match u32 {match.value:#x} {match.field.mask:#x} at {match.field.place}" for match in matches
    )
    words = f"handle ::{row.node:x} u32 {place}{asked}"
    if row.link is not None and row.hashed is not None:
        words += f" hashkey mask {row.hashed.mask:#010x} at {row.hashed.place} link {row.link:x}:"
    if row.queue is not None:
        words += f" classid {ROOT_MAJOR:x}:{FIRST_FLOW_MINOR + row.queue:x}"
    return words
