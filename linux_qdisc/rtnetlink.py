"""A NETLINK_ROUTE socket: requests with an answer, batches, dumps."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from linux_qdisc import wire
from qos.errors import KernelError, MissingPieceError, PrivilegeError

NETLINK_ROUTE, SOL_NETLINK, NETLINK_EXT_ACK = 0, 270, 11
SO_RCVBUFFORCE = 33
RECEIVE_BYTES = 1 << 17
SOCKET_BUFFER_BYTES = 1 << 22
BATCH_BYTES = 1 << 15
DUMP_TRIES = 8
ANSWER_TIMEOUT_S = 20.0
_EXTACK_MESSAGE = 1
_TC_GROUP = 1 << 4 - 1  # RTNLGRP_TC


class BatchError(KernelError):
    """An operation of a batch was refused; those before it have been done.

    Attributes
    ----------
    index
        Number of the operation in the batch.
    """

    def __init__(self, operation: str, errno_code: int, detail: str, index: int) -> None:
        super().__init__(operation, errno_code, detail)
        self.index = index


def somebody_listens(path: str = "/proc/thread-self/net/netlink") -> bool:
    """Say whether a socket of this network namespace listens to changes of traffic control."""
    try:
        with open(path) as table:
            rows = [line.split()[1:4] for line in table.readlines()[1:]]
        return any(protocol == "0" and int(groups, 16) & _TC_GROUP for protocol, _, groups in rows)
    except (OSError, ValueError):
        return True


class NetlinkSocket:
    """One socket; use it from one thread.

    Raises
    ------
    MissingPieceError
        If the kernel has no rtnetlink.
    """

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE
            )
        except OSError as error:
            raise MissingPieceError(f"no rtnetlink in this kernel: {error.strerror}") from None
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
        with suppress(OSError):  # beyond the host's maximum, where we may (CAP_NET_ADMIN)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.settimeout(ANSWER_TIMEOUT_S)
        self._socket.bind((0, 0))
        self._seq = 0
        self._buffer = bytearray(RECEIVE_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def receive_buffer_bytes(self) -> int:
        """Return how much may wait to be received, as the kernel counts it."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def receive(self) -> memoryview:
        """Return the next datagram; it is overwritten by the next call.

        Raises
        ------
        KernelError
            If none came within `ANSWER_TIMEOUT_S` (ETIMEDOUT).
        """
        try:
            return memoryview(self._buffer)[: self._socket.recv_into(self._buffer)]
        except TimeoutError:
            raise KernelError("netlink answer", errno.ETIMEDOUT) from None

    def send(self, data: bytes | memoryview) -> None:
        """Send finished messages."""
        self._socket.send(data)

    def next_seq(self, count: int = 1) -> int:
        """Reserve `count` sequence numbers and return the first."""
        first = self._seq + 1
        if first + count >= 1 << 32:
            first = 1
        self._seq = first + count - 1
        return first

    def request(self, kind: int, flags: int, body: bytes, operation: str) -> None:
        """Send one request and wait until the kernel has done it.

        Raises
        ------
        PrivilegeError
            Without CAP_NET_ADMIN.
        KernelError
            If the kernel refuses; carries the errno and the kernel's words.
        """
        self.batch([(kind, flags, body, operation)])

    def batch(self, requests: Sequence[tuple[int, int, bytes, str]]) -> None:
        """Send many requests (kind, flags, body, operation) in few datagrams; stop at the first refusal.

        Raises
        ------
        PrivilegeError
            Without CAP_NET_ADMIN.
        BatchError
            If the kernel refuses one; its `index` says which, and no later datagram was sent.
        """
        start = 0
        while start < len(requests):
            first = self.next_seq(len(requests) - start)
            parts, size, end = [], 0, start
            while end < len(requests) and size < BATCH_BYTES:
                kind, flags, body, _ = requests[end]
                flags |= wire.NLM_F_REQUEST | wire.NLM_F_ACK
                parts.append(wire.message(kind, flags, first + end - start, body))
                size += len(parts[-1])
                end += 1
            self.send(b"".join(parts))
            self._collect_answers(requests, start, end, first)
            start = end

    def _collect_answers(
        self, requests: Sequence[tuple[int, int, bytes, str]], start: int, end: int, first: int
    ) -> None:
        missing = set(range(first, first + end - start))
        refusal: BatchError | PrivilegeError | None = None
        while missing:
            for kind, flags, seq, payload in wire.messages(self.receive()):
                if seq not in missing or kind != wire.NLMSG_ERROR:
                    continue
                missing.discard(seq)
                code, detail = parse_answer(flags, payload)
                if code and refusal is None:
                    index = start + seq - first
                    refusal = _refusal(requests[index][3], code, detail, index)
        if refusal is not None:
            raise refusal

    def dump(self, kind: int, body: bytes) -> list[memoryview]:
        """Return the payload of each message of a dump; one that was interrupted is made again.

        Raises
        ------
        KernelError
            If the kernel refuses, or changed underneath `DUMP_TRIES` times.
        """
        for _ in range(DUMP_TRIES):
            found = self._dump_once(kind, body)
            if found is not None:
                return found
        raise KernelError(f"dump {kind}", errno.EINTR, "the tables kept changing")

    def _dump_once(self, kind: int, body: bytes) -> list[memoryview] | None:
        seq = self.next_seq()
        self.send(wire.message(kind, wire.NLM_F_REQUEST | wire.NLM_F_DUMP, seq, body))
        found: list[memoryview] = []
        interrupted = False
        while True:
            try:
                data = memoryview(bytes(self.receive()))
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    interrupted = True
                    continue
                raise
            for answer, flags, answer_seq, payload in wire.messages(data):
                if answer_seq != seq:
                    continue
                interrupted |= bool(flags & wire.NLM_F_DUMP_INTR)
                if answer == wire.NLMSG_DONE:
                    return None if interrupted else found
                if answer == wire.NLMSG_ERROR:
                    code, detail = parse_answer(flags, payload)
                    raise _refusal(f"dump {kind}", code, detail, 0)
                found.append(payload)


def parse_answer(flags: int, payload: memoryview) -> tuple[int, str]:
    """Read an NLMSG_ERROR payload: positive errno (0: done) and the kernel's words."""
    code = -struct.unpack_from("=i", payload)[0]
    detail = ""
    if code and flags & wire.NLM_F_ACK_TLVS:
        echoed = struct.unpack_from("=I", payload, 4)[0]
        skip = 4 + (wire.HEADER.size if flags & wire.NLM_F_CAPPED else wire.align(echoed))
        detail = wire.string(wire.attributes(payload[skip:]).get(_EXTACK_MESSAGE))
    return code, detail


def _refusal(operation: str, code: int, detail: str, index: int) -> BatchError | PrivilegeError:
    if code == errno.EPERM:
        return PrivilegeError(f"'{operation}' needs CAP_NET_ADMIN in this network namespace; run it as root")
    return BatchError(operation, code, detail, index)
