"""Reads the counters of the queues that packets went to, and leaves the idle ones alone.

The eBPF classifier notes the time of each queue's last packet in memory that it shares with us. A
queue without a new time and without a backlog has the counters that it had. The others are asked
for one by one: many requests in one datagram, all answers in one call of recvmmsg(2), parsed as one
array. Now and then all are read: a socket may have named a class itself (SO_PRIORITY), past the
classifier.

The kernel answers such a request only with an echo of what it tells everybody who listens to changes
of traffic control (RTNLGRP_TC; systemd-networkd does). Where somebody listens, all queues are read in
one dump, which nobody else hears.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time

import numpy as np
from numpy.typing import NDArray

from linux_qdisc import wire
from linux_qdisc.bpf.flowmap import FlowMap
from linux_qdisc.rtnetlink import NetlinkSocket, parse_answer, somebody_listens
from linux_qdisc.stats import ClassReader, ClassTable
from linux_qdisc.tree import FIRST_FLOW_MINOR, classid
from qos.errors import KernelError

FULL_EVERY_S = 1.0
"""With `FULL_QUEUES` queues; with more of them more seldom, so that it is the same share of a CPU. With 8,192
queues and a read every second, that read was the loop's slowest hundredth, 29 ms of CPU time."""
FULL_QUEUES = 1024
FULL_FRACTION = 1 / 3
"""With more of the queues to be read, one dump of all is cheaper."""
BATCH = 256
"""Classes asked for at once, at most."""
ANSWER_BUFFER_BYTES = 6144
"""What one answer takes of the socket's buffer: the kernel counts the page that it stands in."""
_STRIDE = 1024
"""Room for one answer, which takes about 300 bytes."""
_MSG_DONTWAIT = 0x40


class _Vector(ctypes.Structure):
    """Layout of struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """Layout of struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.c_void_p),
        ("vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Header(ctypes.Structure):
    """Layout of struct mmsghdr."""

    _fields_ = (("message", _Message), ("length", ctypes.c_uint))


class _Answers:
    """Buffers for one recvmmsg(2) of at most `most` datagrams, at equal distances."""

    def __init__(self, most: int) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.most = most
        self.data = bytearray(most * _STRIDE)
        self.lengths = np.ndarray((most,), np.uint32, self.data, strides=(_STRIDE,))
        self.kinds = np.ndarray((most,), np.uint16, self.data, offset=4, strides=(_STRIDE,))
        self.numbers = np.ndarray((most,), np.uint32, self.data, offset=8, strides=(_STRIDE,))
        memory = (ctypes.c_char * len(self.data)).from_buffer(self.data)
        start = ctypes.addressof(memory)
        self._vectors = (_Vector * most)()
        self._headers = (_Header * most)()
        at = ctypes.addressof(self._vectors)
        for i, header in enumerate(self._headers):
            self._vectors[i].base, self._vectors[i].length = start + _STRIDE * i, _STRIDE
            header.message.vector, header.message.vectors = at + i * ctypes.sizeof(_Vector), 1

    def receive(self, descriptor: int) -> int:
        """Take what has arrived; return the number of datagrams, 0 where none has."""
        count: int = self._libc.recvmmsg(descriptor, self._headers, self.most, _MSG_DONTWAIT, None)
        if count >= 0:
            return count
        code = ctypes.get_errno()
        if code in (errno.EAGAIN, errno.EINTR):
            return 0
        raise OSError(code, os.strerror(code))


class ActiveReader:
    """Reads a whole table, at the cost of the queues in use.

    Parameters
    ----------
    reader
        Reads all queues; used at first, now and then, and where most are in use.
    netlink
        The socket to use.
    ifindex
        The device.
    flow_map
        The classifier at work on it.
    """

    def __init__(self, reader: ClassReader, netlink: NetlinkSocket, ifindex: int, flow_map: FlowMap) -> None:
        self._all = reader
        self._netlink = netlink
        self._map = flow_map
        self._answers = _Answers(max(1, min(BATCH, netlink.receive_buffer_bytes() // ANSWER_BUFFER_BYTES)))
        request = wire.message(
            wire.RTM_GETTCLASS, wire.NLM_F_REQUEST | wire.NLM_F_ECHO, 0, wire.tcmsg(ifindex, 0, 0)
        )
        self._requests = np.tile(np.frombuffer(request, np.uint32), (self._answers.most, 1))
        self._table: ClassTable | None = None
        self._seen = flow_map.last_seen_ns()
        self._touched = np.ones(flow_map.flows, np.bool_)
        self._patience = max(1.0, flow_map.flows / FULL_QUEUES)
        self._full_at_s = 0.0
        self._alone = False

    def read(self) -> ClassTable:
        """Return the counters of every queue.

        Raises
        ------
        KernelError
            If the tree or the device is gone.
        """
        seen = self._map.last_seen_ns()
        touched = seen != self._seen
        # Once more after its last packet: the classifier notes the time before the packet is queued.
        wanted = touched | self._touched
        self._seen, self._touched = seen, touched
        now_s = time.monotonic()
        if self._table is None or now_s - self._full_at_s >= FULL_EVERY_S * self._patience:
            self._alone = not somebody_listens()
            self._full_at_s = now_s
            return self._read_all()
        wanted |= self._table.backlog_bytes != 0
        queues = np.flatnonzero(wanted)
        if not len(queues):
            return self._table
        if not self._alone or len(queues) > FULL_FRACTION * len(wanted):
            return self._read_all()
        table = self._table.copy()
        most = self._answers.most
        for start in range(0, len(queues), most):
            if not self._read_some(queues[start : start + most], table):
                return self._read_all()
        self._table = table
        return table

    def _read_all(self) -> ClassTable:
        self._table = self._all.read()
        return self._table

    def _read_some(self, queues: NDArray[np.int64], table: ClassTable) -> bool:
        """Ask for some queues; False if an answer was lost. The kernel answers while we send."""
        asked = len(queues)
        first = self._netlink.next_seq(asked)
        numbers = np.arange(first, first + asked, dtype=np.uint32)
        requests = self._requests[:asked]
        requests[:, 2] = numbers
        requests[:, 6] = queues + classid(FIRST_FLOW_MINOR)
        self._netlink.send(requests.data)
        try:
            count = self._answers.receive(self._netlink.fileno())
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return False
            raise
        refused = self._answers.kinds[:count] == wire.NLMSG_ERROR
        if refused.any():
            self._refuse(int(np.argmax(refused)))
        if count != asked or (self._answers.numbers[:count] != numbers).any():
            return False
        lengths = self._answers.lengths[:count].copy()
        if lengths.max() > _STRIDE:
            return False
        for length in (int(lengths[0]),) if (lengths == lengths[0]).all() else set(lengths.tolist()):
            self._all.take_rows(self._answers.data, _STRIDE, np.flatnonzero(lengths == length), length, table)
        return True

    def _refuse(self, place: int) -> None:
        data = memoryview(self._answers.data)[place * _STRIDE : (place + 1) * _STRIDE]
        _kind, flags, _seq, payload = next(wire.messages(data))
        code, detail = parse_answer(flags, payload)
        raise KernelError("tc class show", code, detail)
