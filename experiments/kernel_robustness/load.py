"""Numbered UDP packets: how many were sent, how many came; each function is one process."""

from __future__ import annotations

import resource
import signal
import socket
import time
from collections.abc import Sequence
from types import FrameType

PORT = 7_171
FIRST_PORT, PORTS = 10_000, 50_000
_RCVBUFFORCE, _SNDBUFFORCE = 33, 32
_BUFFER_BYTES = 1 << 25
_NUMBER_BYTES = 8
NAP_S = 0.002
SPARE_FILES = 64
SILENCE_S = 0.5


class Told:
    """Whether the process was told to end (SIGTERM)."""

    def __init__(self) -> None:
        self.end = False
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.end = True


def _socket(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("", port))
    return made


def listen() -> socket.socket:
    """Open the socket of `count`, with room for everything that comes."""
    made = _socket(PORT)
    made.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER_BYTES)
    return made


def count(listener: socket.socket) -> list[int]:
    """Return the numbers that came, as flat list of first and last of each unbroken run, until told."""
    told, seen = Told(), set()
    listener.settimeout(0.1)
    last_s = time.monotonic()
    while not told.end or time.monotonic() - last_s < SILENCE_S:
        try:
            data = listener.recv(2048)
        except TimeoutError:
            continue
        seen.add(int.from_bytes(data[:_NUMBER_BYTES], "big"))
        last_s = time.monotonic()
    return runs(sorted(seen))


def runs(numbers: Sequence[int]) -> list[int]:
    """Return first and last of each unbroken run of rising `numbers`, flat."""
    found: list[int] = []
    for number in numbers:
        if found and number == found[-1] + 1:
            found[-1] = number
        else:
            found += [number, number]
    return found


def lost(sent: int, came: Sequence[int], first: int = 0) -> int:
    """Return how many of the numbers from `first` to `sent` are not in the runs `came`."""
    inside = sum(
        max(0, end - max(start, first) + 1) for start, end in zip(came[::2], came[1::2], strict=True)
    )
    return sent - first - inside


def send_steadily(address: str, flows: int, packets_per_s: int, payload_bytes: int) -> int:
    """Send numbered packets of `flows` flows in turn until told; return how many."""
    told = Told()
    files = max(resource.getrlimit(resource.RLIMIT_NOFILE)[1], flows + SPARE_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    sockets = [_socket(FIRST_PORT + number) for number in range(flows)]
    for made in sockets:
        made.connect((address, PORT))
    rest = bytes(payload_bytes - _NUMBER_BYTES)
    start_s, sent = time.monotonic(), 0
    while not told.end:
        # A sender that a busy host has put behind still ends when it is told.
        while not told.end and sent < (time.monotonic() - start_s) * packets_per_s:
            _send(sockets[sent % flows], sent.to_bytes(_NUMBER_BYTES, "big") + rest)
            sent += 1
        time.sleep(NAP_S)
    return sent


def send_arrivals(address: str, flows_per_s: int, packets: int, payload_bytes: int) -> int:
    """Begin new flows of a few packets each until told; return how many packets were sent."""
    told = Told()
    rest = bytes(payload_bytes - _NUMBER_BYTES)
    start_s, begun, sent = time.monotonic(), 0, 0
    while not told.end:
        while not told.end and begun < (time.monotonic() - start_s) * flows_per_s:
            with _socket(FIRST_PORT + begun % PORTS) as made:
                made.connect((address, PORT))
                for _ in range(packets):
                    _send(made, sent.to_bytes(_NUMBER_BYTES, "big") + rest)
                    sent += 1
            begun += 1
        time.sleep(NAP_S)
    return sent


def _send(made: socket.socket, data: bytes) -> None:
    while True:
        try:
            made.send(data)
            return
        except ConnectionRefusedError:
            continue
        except OSError:  # no route while the interface is down: the packet counts as sent
            return
