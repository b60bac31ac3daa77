"""Packet timestamps at both ends of a bottleneck, by rings that the kernel fills: no work while it runs.

TPACKET_V2 (Documentation/networking/packet_mmap.rst) with one slot a packet and room for the whole
run; the headers are read with numpy afterwards.
"""

from __future__ import annotations

import ctypes
import mmap
import socket
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SOL_PACKET, _PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION = 263, 5, 6, 10
_SO_ATTACH_FILTER = 26
_PACKET_TYPE = 0xFFFFF004
INCOMING, OUTGOING = 0, 4
_SLOT_BYTES, _BLOCK_BYTES = 128, 1 << 16
_HEADERS_BYTES = 46
_ORDER_NS = 100


class Ring:
    """Keeps time, length, ports and IPv4 identification of the packets of one direction of a device."""

    def __init__(self, device: str, packet_type: int, packets: int) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        program = (
            (0x20, 0, 0, _PACKET_TYPE),
            (0x15, 0, 3, packet_type),
            (0x28, 0, 0, 12),
            (0x15, 0, 1, 0x0800),
            (0x06, 0, 0, _HEADERS_BYTES),
            (0x06, 0, 0, 0),
        )
        buffer = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *row) for row in program))
        code = struct.pack("HP", len(program), ctypes.addressof(buffer))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, code)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, 1)
        blocks = -(-packets * _SLOT_BYTES // _BLOCK_BYTES)
        slots = blocks * (_BLOCK_BYTES // _SLOT_BYTES)
        request = struct.pack("IIII", _BLOCK_BYTES, blocks, _SLOT_BYTES, slots)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
        self._memory = mmap.mmap(self._socket.fileno(), blocks * _BLOCK_BYTES)
        self._socket.bind((device, 0x0003))

    def close(self) -> tuple[Records, int]:
        """Return what was seen and how many packets found no slot."""
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        raw = np.frombuffer(bytes(self._memory), np.uint8).reshape(-1, _SLOT_BYTES)
        words = raw[:, :32].copy().view("<u4")
        used = words[:, 0] & 1 == 1
        raw, words = raw[used], words[used]
        start = words[:, 3] & 0xFFFF  # tp_mac: where the frame begins, the same in each slot
        frame = int(start[0]) if len(start) else 0

        def field(offset: int) -> NDArray[np.int64]:
            pair = raw[:, frame + offset : frame + offset + 2].astype(np.int64)
            return pair[:, 0] << 8 | pair[:, 1] if frame else np.zeros(0, np.int64)

        records = Records(
            time_ns=words[:, 4].astype(np.int64) * 1_000_000_000 + words[:, 5],
            frame_bytes=words[:, 1].astype(np.int64),
            source_port=field(34),
            other_port=field(36),
            identification=field(18),
        )
        self._memory.close()
        self._socket.close()
        return records, struct.unpack("II", statistics)[1]


@dataclass(frozen=True, slots=True)
class Records:
    """Packets of one direction in the order they were seen; times are of the wall clock."""

    time_ns: NDArray[np.int64]
    frame_bytes: NDArray[np.int64]
    source_port: NDArray[np.int64]
    other_port: NDArray[np.int64]
    identification: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Passage:
    """Packets that left the bottleneck, with their waiting time, and those that did not leave it.

    Attributes
    ----------
    left_ns, waited_s, frame_bytes, source_port
        One entry a packet that left and was seen coming.
    lost_ns, lost_port
        Time of arrival and source port of each packet that never left.
    """

    left_ns: NDArray[np.int64]
    waited_s: NDArray[np.float64]
    frame_bytes: NDArray[np.int64]
    source_port: NDArray[np.int64]
    lost_ns: NDArray[np.int64]
    lost_port: NDArray[np.int64]


def match(before: Records, behind: Records) -> Passage:
    """Find each packet that left among those that came: same ports, same identification, latest before.

    The 16-bit identification comes round within seconds on a fast flow, hence "latest before".
    """
    ports = np.concatenate([side.source_port << 16 | side.other_port for side in (before, behind)])
    flow = np.unique(ports, return_inverse=True)[1]
    origin = int(min(before.time_ns.min(initial=1 << 62), behind.time_ns.min(initial=1 << 62)))

    def order(side: Records, flows: NDArray[np.int64]) -> NDArray[np.int64]:
        ticks = (side.time_ns - origin) // _ORDER_NS
        return (flows << 16 | side.identification) << 32 | ticks

    came, went = order(before, flow[: len(before.time_ns)]), order(behind, flow[len(before.time_ns) :])
    sequence = np.argsort(came, kind="stable")
    place = np.searchsorted(came[sequence], went, side="right") - 1
    source = sequence[np.maximum(place, 0)] if len(sequence) else np.zeros(len(went), np.int64)
    found = (place >= 0) & (came[source] >> 32 == went >> 32) if len(sequence) else np.zeros(len(went), bool)
    lost = np.ones(len(came), bool)
    lost[source[found]] = False
    return Passage(
        left_ns=behind.time_ns[found],
        waited_s=np.maximum(behind.time_ns[found] - before.time_ns[source[found]], 0) / 1e9,
        frame_bytes=behind.frame_bytes[found],
        source_port=behind.source_port[found],
        lost_ns=before.time_ns[lost],
        lost_port=before.source_port[lost],
    )
