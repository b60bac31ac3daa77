"""The hot path: one class dump into arrays, one batched write of what changed.

A dump of HTB classes is a row of messages that almost always have the same length and layout, so
each datagram is read as one structured array. A message of another length (the kernel adds an
attribute once a class has sent 2^32 packets, and for rates above 34 Gbit/s) starts a new run.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linux_qdisc import wire
from linux_qdisc.encode import HTB_OPT, RATESPEC, class_parameters, kind
from linux_qdisc.rtnetlink import DUMP_TRIES, NetlinkSocket, parse_answer
from linux_qdisc.tree import FIRST_FLOW_MINOR, FIRST_LEAF_MAJOR, LINK_MINOR, ClassShape, classid
from qos.errors import KernelError, PrivilegeError

Int64 = NDArray[np.int64]
_FIELDS = ("handle", "sent_bytes", "sent_packets", "queued_packets", "backlog_bytes", "dropped_packets")


@dataclass(slots=True)
class ClassTable:
    """Counters of every queue, by queue number; arrays of int64 with shape ``(flows,)``.

    Attributes
    ----------
    sent_bytes, sent_packets, dropped_packets
        Since the class was made; packets and drops wrap at 2^32.
    backlog_bytes, backlog_packets
        In the queue now.
    """

    sent_bytes: Int64
    sent_packets: Int64
    dropped_packets: Int64
    backlog_bytes: Int64
    backlog_packets: Int64

    @classmethod
    def empty(cls, flows: int) -> ClassTable:
        """Return a table of zeros."""
        return cls(*np.zeros((5, flows), np.int64))

    def copy(self) -> ClassTable:
        """Return a table of its own."""
        return ClassTable(
            self.sent_bytes.copy(),
            self.sent_packets.copy(),
            self.dropped_packets.copy(),
            self.backlog_bytes.copy(),
            self.backlog_packets.copy(),
        )


class ClassReader:
    """Reads the counters of all queues of one device.

    Parameters
    ----------
    netlink
        The socket to use.
    ifindex
        The device.
    flows
        Number of queues; classes beyond are ignored.
    """

    def __init__(self, netlink: NetlinkSocket, ifindex: int, flows: int) -> None:
        self._netlink = netlink
        self._body = wire.tcmsg(ifindex, 0, 0)
        self._flows = flows
        self._layouts: dict[int, np.dtype[np.void]] = {}

    def read(self) -> ClassTable:
        """Dump the classes; a dump that was interrupted or overran is made again.

        Raises
        ------
        KernelError
            If the device is gone (ENODEV), or the dump failed `DUMP_TRIES` times.
        """
        for _ in range(DUMP_TRIES):
            table = ClassTable.empty(self._flows)
            if self._read_into(table):
                return table
        raise KernelError("tc class show", errno.EINTR, "the dump was interrupted again and again")

    def _read_into(self, table: ClassTable) -> bool:
        seq = self._netlink.next_seq()
        flags = wire.NLM_F_REQUEST | wire.NLM_F_DUMP
        self._netlink.send(wire.message(wire.RTM_GETTCLASS, flags, seq, self._body))
        intact = True
        while True:
            try:
                data = self._netlink.receive()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                intact = False
                continue
            offset = 0
            while offset < len(data):
                length, answer, answer_flags, answer_seq, _ = wire.HEADER.unpack_from(data, offset)
                if answer == wire.NLMSG_DONE and answer_seq == seq:
                    return intact and not answer_flags & wire.NLM_F_DUMP_INTR
                if answer == wire.NLMSG_ERROR and answer_seq == seq:
                    code, detail = parse_answer(answer_flags, data[offset + wire.HEADER.size :])
                    raise KernelError("tc class show", code, detail)
                intact &= not answer_flags & wire.NLM_F_DUMP_INTR
                if answer != wire.RTM_NEWTCLASS or answer_seq != seq:
                    offset += wire.align(length)
                    continue
                offset += self._take_run(data[offset:], length, table)

    def _take_run(self, data: memoryview, length: int, table: ClassTable) -> int:
        """Read the messages of equal length at the head of `data`; return the bytes read."""
        count = len(data) // length
        lengths = np.ndarray((count,), np.uint32, data, strides=(length,))
        # Kind and flags in one word: a message that says "interrupted" ends the run and is looked at.
        kinds = np.ndarray((count,), np.uint32, data, offset=4, strides=(length,))
        same = (lengths == length) & (kinds == kinds[0])
        if not same.all():
            count = int(np.argmin(same))
        self._store(np.frombuffer(data, self._layout(data[:length]), count), table)
        return count * length

    def take_rows(
        self, data: bytearray, stride: int, places: NDArray[np.int64], length: int, table: ClassTable
    ) -> None:
        """Read class messages of equal length that begin at multiples of `stride`."""
        first = int(places[0]) * stride
        layout = self._layout(memoryview(data)[first : first + length])
        if len(places) == 1 + int(places[-1]) - int(places[0]):  # as almost always: no gap, so no copy
            self._store(np.ndarray((len(places),), layout, data, first, (stride,)), table)
            return
        rows = np.ndarray((len(data) // stride,), layout, data, strides=(stride,))
        self._store(rows[places], table)

    def _layout(self, message: memoryview) -> np.dtype[np.void]:
        layout = self._layouts.get(len(message))
        if layout is None:
            layout = self._layouts[len(message)] = class_layout(message)
        return layout

    def _store(self, rows: NDArray[np.void], table: ClassTable) -> None:
        queue = (rows["handle"] & 0xFFFF).astype(np.int64) - FIRST_FLOW_MINOR
        keep = (queue >= 0) & (queue < self._flows)
        if not keep.all():
            rows, queue = rows[keep], queue[keep]
        table.sent_bytes[queue] = rows["sent_bytes"]
        table.sent_packets[queue] = rows["sent_packets"]
        table.dropped_packets[queue] = rows["dropped_packets"]
        table.backlog_bytes[queue] = rows["backlog_bytes"]
        table.backlog_packets[queue] = rows["queued_packets"]


def class_layout(message: memoryview) -> np.dtype[np.void]:
    """Find where the counters stand in a class message, as a structured dtype of its length.

    Raises
    ------
    KernelError
        If the message lacks the counters.
    """
    head = wire.HEADER.size + wire.TCMSG.size
    stats = _find(message, head, len(message), wire.TCA_STATS2)
    basic = _find(message, *stats, wire.TCA_STATS_BASIC) if stats else None
    queue = _find(message, *stats, wire.TCA_STATS_QUEUE) if stats else None
    if basic is None or queue is None:
        raise KernelError("tc class show", errno.ENODATA, "this kernel's classes carry no statistics")
    at, waiting = basic[0], queue[0]
    offsets = (wire.HEADER.size + 8, at, at + 8, waiting, waiting + 4, waiting + 8)
    return np.dtype(
        {
            "names": list(_FIELDS),
            "formats": ["<u4", "<u8", "<u4", "<u4", "<u4", "<u4"]
            if np.little_endian
            else [">u4", ">u8", ">u4", ">u4", ">u4", ">u4"],
            "offsets": list(offsets),
            "itemsize": len(message),
        }
    )


def _find(message: memoryview, start: int, end: int, wanted: int) -> tuple[int, int] | None:
    while start + 4 <= end:
        length = int.from_bytes(message[start : start + 2], _ORDER)
        found = int.from_bytes(message[start + 2 : start + 4], _ORDER) & 0x3FFF
        if length < 4:
            return None
        if found == wanted:
            return start + 4, start + length
        start += wire.align(length)
    return None


_ORDER: Literal["little", "big"] = "little" if np.little_endian else "big"


class _Template:
    """Many messages that differ in a few words: one template, patched by numpy."""

    def __init__(self, netlink: NetlinkSocket, message_kind: int, body: bytes, operation: str) -> None:
        self._netlink = netlink
        self._operation = operation
        self._words = np.frombuffer(wire.message(message_kind, wire.NLM_F_REQUEST, 0, body), np.uint32).copy()
        self._per_batch = max(1, 32_768 // self._words.nbytes)

    def send(self, patches: Sequence[tuple[int, NDArray[np.uint32]]], count: int) -> None:
        """Send `count` messages; each patch is a word's byte offset and its values.

        Only the last message of a datagram asks for an answer; refusals are always reported.
        """
        for start in range(0, count, self._per_batch):
            end = min(count, start + self._per_batch)
            rows = np.tile(self._words, (end - start, 1))
            first = self._netlink.next_seq(end - start)
            rows[:, 2] = np.arange(first, first + end - start, dtype=np.uint32)
            for offset, values in patches:
                rows[:, offset // 4] = values[start:end]
            flags = rows[-1, 1:2].view(np.uint16)
            flags[1] |= wire.NLM_F_ACK
            self._netlink.send(rows.tobytes())
            self._wait(first, first + end - start - 1)

    def _wait(self, first: int, last: int) -> None:
        refusal: tuple[int, str] | None = None
        while True:
            for answer, flags, seq, payload in wire.messages(self._netlink.receive()):
                if answer != wire.NLMSG_ERROR or not first <= seq <= last:
                    continue
                code, detail = parse_answer(flags, payload)
                if code and refusal is None:
                    refusal = code, detail
                if seq == last:
                    if refusal is None:
                        return
                    if refusal[0] == errno.EPERM:
                        raise PrivilegeError(f"'{self._operation}' needs CAP_NET_ADMIN")
                    raise KernelError(self._operation, *refusal)


class LimitWriter:
    """Changes the limits of leaves in place, many in one datagram."""

    def __init__(self, netlink: NetlinkSocket, ifindex: int) -> None:
        body = wire.tcmsg(ifindex, 0, 0) + kind("bfifo") + wire.attr(wire.TCA_OPTIONS, wire.u32(0))
        self._limit_offset = wire.HEADER.size + len(body) - 4
        self._template = _Template(netlink, wire.RTM_NEWQDISC, body, "tc qdisc change bfifo limit")

    def write(self, queue: Int64, limit_bytes: Int64) -> None:
        """Set the limit of each queue; both arrays have shape ``(n,)``.

        Raises
        ------
        KernelError
            If the kernel refuses one (ENODEV, ENOENT: the tree is gone).
        """
        handle = (queue.astype(np.uint32) + np.uint32(FIRST_LEAF_MAJOR)) << np.uint32(16)
        parent = queue.astype(np.uint32) + np.uint32(classid(FIRST_FLOW_MINOR))
        patches = ((24, handle), (28, parent), (self._limit_offset, limit_bytes.astype(np.uint32)))
        self._template.send(patches, len(queue))


class GuaranteeWriter:
    """Changes the guaranteed rate of leaf classes in place, many in one datagram."""

    def __init__(self, netlink: NetlinkSocket, ifindex: int) -> None:
        self._netlink = netlink
        self._ifindex = ifindex

    def write(self, queue: Int64, shape: ClassShape) -> None:
        """Give each queue of `queue` the class shape; the ceiling and framing are part of it.

        Raises
        ------
        KernelError
            If the kernel refuses one.
        """
        body = wire.tcmsg(self._ifindex, 0, classid(LINK_MINOR)) + kind("htb") + class_parameters(shape)
        template = _Template(self._netlink, wire.RTM_NEWTCLASS, body, "tc class change rate")
        handle = queue.astype(np.uint32) + np.uint32(classid(FIRST_FLOW_MINOR))
        template.send(((24, handle),), len(queue))


def read_limits(netlink: NetlinkSocket, ifindex: int, flows: int) -> Int64:
    """Read the limit of every leaf (a dump of all qdiscs); -1 where there is none."""
    limits = np.full(flows, -1, np.int64)
    for payload in netlink.dump(wire.RTM_GETQDISC, wire.tcmsg(ifindex, 0, 0)):
        found = wire.TcMessage.parse(payload)
        queue = (found.handle >> 16) - FIRST_LEAF_MAJOR
        if found.ifindex == ifindex and found.kind == "bfifo" and 0 <= queue < flows:
            limits[queue] = int.from_bytes(found.attributes[wire.TCA_OPTIONS][:4], _ORDER)
    return limits


def read_guarantees_bps(netlink: NetlinkSocket, ifindex: int, flows: int) -> Int64:
    """Read the guaranteed rate of every leaf class in bit/s; -1 where there is none."""
    rates = np.full(flows, -1, np.int64)
    for payload in netlink.dump(wire.RTM_GETTCLASS, wire.tcmsg(ifindex, 0, 0)):
        found = wire.TcMessage.parse(payload)
        queue = (found.handle & 0xFFFF) - FIRST_FLOW_MINOR
        if found.kind == "htb" and 0 <= queue < flows:
            parameters = wire.attributes(found.attributes[wire.TCA_OPTIONS])[1]
            rates[queue] = RATESPEC.unpack(HTB_OPT.unpack(parameters[: HTB_OPT.size])[0])[5] * 8
    return rates
