"""Queueing delay from packet timestamps at both ends of the bottleneck: `python -m linux_qdisc.lab.taps`.

One packet socket sees what comes in on the device before the queue, the other what leaves the device
behind it: the kernel hands outgoing packets to taps after the qdisc. The kernel stamps both. A
packet is known by its source port and IP identification.
"""

from __future__ import annotations

import ctypes
import select
import signal
import socket
import struct
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SO_TIMESTAMPNS, _SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 35, 26, 33
_PACKET_TYPE = 0xFFFFF004
"""Offset of the packet type in classic BPF (SKF_AD_OFF + SKF_AD_PKTTYPE)."""
PACKET_HOST, PACKET_OUTGOING = 0, 4
SNAP_BYTES = 64
RECORD = np.dtype([("time_ns", "<i8"), ("key", "<u4"), ("frame_bytes", "<u4")])
MAX_WAIT_NS = 10_000_000_000


def open_tap(device: str, packet_type: int) -> socket.socket:
    """Open a socket that sees the IPv4 packets of one direction, each cut to its headers."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    program = (
        (0x20, 0, 0, _PACKET_TYPE),
        (0x15, 0, 3, packet_type),
        (0x28, 0, 0, 12),
        (0x15, 0, 1, 0x0800),
        (0x06, 0, 0, SNAP_BYTES),
        (0x06, 0, 0, 0),
    )
    code = b"".join(struct.pack("=HBBI", *row) for row in program)
    buffer = ctypes.create_string_buffer(code)
    tap.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(buffer))
    )
    try:
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 25)
    except PermissionError:
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 25)
    tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    tap.bind((device, 0x0003))
    return tap


def record(before: str, behind: str, path: str) -> None:
    """Record both sides until SIGTERM, then write them to `path` (npz)."""
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    taps = (open_tap(before, PACKET_HOST), open_tap(behind, PACKET_OUTGOING))
    rows: tuple[list[bytes], list[bytes]] = ([], [])
    print("ready", flush=True)
    while running:
        select.select(taps, [], [], 0.05)
        for tap, kept in zip(taps, rows, strict=True):
            _drain(tap, kept)
    arrays = [np.frombuffer(b"".join(kept), RECORD) for kept in rows]
    np.savez(path, before=arrays[0], behind=arrays[1])


def _drain(tap: socket.socket, kept: list[bytes]) -> None:
    while True:
        try:
            data, ancillary, _flags, _address = tap.recvmsg(SNAP_BYTES, 64, socket.MSG_TRUNC)
        except BlockingIOError:
            return
        header = 14 + (data[14] & 0xF) * 4
        if not ancillary or len(data) < header + 2:
            continue
        seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
        identification, length = data[18:20], int.from_bytes(data[16:18], "big") + 14
        key = int.from_bytes(data[header : header + 2] + identification, "big")
        kept.append(struct.pack("<qII", seconds * 1_000_000_000 + nanoseconds, key, length))


@dataclass(frozen=True, slots=True)
class Passage:
    """What the taps saw in a window.

    Attributes
    ----------
    delay_s
        Waiting time of each packet that left in the window.
    sent_bytes
        Bytes of the frames that left in the window.
    dropped_packets
        Packets that came in the window and never left.
    """

    delay_s: NDArray[np.float64]
    sent_bytes: int
    dropped_packets: int


def read_passage(path: str, start_s: float, end_s: float) -> Passage:
    """Match both sides; the window is counted from the first packet."""
    with np.load(path) as arrays:
        before, behind = arrays["before"], arrays["behind"]
    origin = int(before["time_ns"][0]) if len(before) else 0
    window = (origin + int(start_s * 1e9), origin + int(end_s * 1e9))
    order = np.lexsort((before["time_ns"], before["key"]))
    keys, times = before["key"][order], before["time_ns"][order]
    # The last packet of that name that came before this one left.
    place = _last_before(keys, times, behind["key"], behind["time_ns"])
    safe = np.maximum(place, 0)
    found = (place >= 0) & (keys[safe] == behind["key"])
    waited = behind["time_ns"] - times[safe]
    found &= (waited >= 0) & (waited < MAX_WAIT_NS)
    in_window = (behind["time_ns"] >= window[0]) & (behind["time_ns"] < window[1])
    left = np.zeros(len(before), np.bool_)
    left[place[found]] = True
    came = (times >= window[0]) & (times < window[1])
    return Passage(
        delay_s=waited[found & in_window] / 1e9,
        sent_bytes=int(behind["frame_bytes"][in_window].sum()),
        dropped_packets=int(np.count_nonzero(came & ~left)),
    )


def _last_before(
    keys: NDArray[np.uint32], times: NDArray[np.int64], key: NDArray[np.uint32], at: NDArray[np.int64]
) -> NDArray[np.int64]:
    joined = np.concatenate((keys, key))
    when = np.concatenate((times, at))
    is_query = np.concatenate((np.zeros(len(keys), np.int8), np.ones(len(key), np.int8)))
    order = np.lexsort((is_query, when, joined))
    seen = np.cumsum(is_query[order] == 0) - 1
    result = np.empty(len(joined), np.int64)
    result[order] = seen
    return result[len(keys) :]


if __name__ == "__main__":
    record(sys.argv[1], sys.argv[2], sys.argv[3])
