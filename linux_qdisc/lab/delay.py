"""A wire with a delay, in user space, for kernels without netem: `python -m linux_qdisc.lab.delay`.

Frames from the first device leave by the second at once, frames from the second leave by the first
after the delay, so that a path gets its whole round-trip time from its return half (ACKs,
few and small). AF_PACKET works in a user namespace, where /dev/net/tun is closed.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections import deque

ETH_P_ALL = 0x0003
PACKET_OUTGOING = 4
FRAME_BYTES = 65_536
SPIN_S = 0.0002
_SO_RCVBUFFORCE = 33


def _open(device: str) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
    try:
        wire.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 25)
    except PermissionError:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 25)
    wire.bind((device, ETH_P_ALL))
    return wire


def _drain(wire: socket.socket) -> list[bytes]:
    frames = []
    for _ in range(256):
        try:
            frame, address = wire.recvfrom(FRAME_BYTES)
        except BlockingIOError:
            break
        if address[2] != PACKET_OUTGOING:
            frames.append(frame)
    return frames


def _send(wire: socket.socket, frame: bytes) -> None:
    try:
        wire.send(frame)
    except OSError:
        return  # the device is full or down: a wire loses the frame


def forward(first: str, second: str, delay_s: float) -> None:
    """Carry frames until the process is ended."""
    there, back = _open(first), _open(second)
    held: deque[tuple[float, bytes]] = deque()
    while True:
        wait = 1.0 if not held else max(0.0, held[0][0] - time.monotonic() - SPIN_S)
        select.select([there, back], [], [], wait)
        for frame in _drain(there):
            _send(back, frame)
        due = time.monotonic() + delay_s
        held.extend((due, frame) for frame in _drain(back))
        now = time.monotonic()
        while held and held[0][0] <= now:
            _send(there, held.popleft()[1])


if __name__ == "__main__":
    try:
        forward(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    except KeyboardInterrupt:
        sys.exit(130)
