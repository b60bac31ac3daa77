"""Traffic of a run: bulk TCP, a voice-like UDP flow, short transfers; each function is one process."""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import time
from collections.abc import Sequence

import numpy as np

BULK_PORT = 20_000
SINK_PORT = 9_000
VOICE_PORT = 30_000
WEB_PORT = 8_080
VOICE_BYTES, VOICE_GAP_S = 160, 0.02
CHUNK = bytes(1 << 16)
SCRATCH = bytearray(1 << 17)
_SO_PRIORITY, _TCP_INFO, _MTU_DISCOVER = 12, 11, 10
_BYTES_RECEIVED = 128
"""Offset of tcpi_bytes_received in struct tcp_info (include/uapi/linux/tcp.h)."""
MAX_WEB_RATE_HZ = 10.0
WEB_SHARE = 0.1
WEB_MEDIAN_BYTES, WEB_SIGMA, WEB_RANGE_BYTES = 20_000, 0.8, (3_000, 200_000)


def sleep_until(at_s: float) -> None:
    """Sleep until a time of the monotonic clock."""
    time.sleep(max(0.0, at_s - time.monotonic()))


def send_bulk(address: str, controls: Sequence[str], start_s: float, end_s: float) -> int:
    """Keep one TCP flow busy for each congestion control named; return how many.

    Raises
    ------
    OSError
        If a flow cannot connect or breaks off: the run is void then.
    """
    selector = selectors.DefaultSelector()
    sleep_until(start_s)
    for number, control in enumerate(controls):
        flow = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        flow.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        flow.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        flow.bind(("", BULK_PORT + number))
        flow.setblocking(False)
        if flow.connect_ex((address, SINK_PORT + number)) not in (0, errno.EINPROGRESS):
            raise OSError("a bulk flow cannot connect")
        selector.register(flow, selectors.EVENT_WRITE)
    while time.monotonic() < end_s:
        for key, _ in selector.select(0.1):
            try:
                key.fileobj.send(CHUNK)  # type: ignore[union-attr]
            except BlockingIOError:
                continue
            except OSError:
                if time.monotonic() < end_s:  # the receivers close theirs at the end
                    raise
    return len(controls)


def listen_bulk(bands: Sequence[int]) -> list[socket.socket]:
    """Open one listener a flow; what it answers goes through band `bands[i]` of the delay element."""
    listeners = []
    for number, band in enumerate(bands):
        listener = socket.create_server(("", SINK_PORT + number), backlog=4)
        listener.setsockopt(socket.SOL_SOCKET, _SO_PRIORITY, 1 << 16 | band)
        listener.setblocking(False)
        listeners.append(listener)
    return listeners


def receive_bulk(listeners: Sequence[socket.socket], warm_s: float, end_s: float) -> list[int]:
    """Throw away what comes; return payload bytes of each flow between two times of the clock."""
    selector = selectors.DefaultSelector()
    for number, listener in enumerate(listeners):
        selector.register(listener, selectors.EVENT_READ, number)
    flows: dict[int, socket.socket] = {}
    counted: list[dict[int, int]] = []
    for until_s in (warm_s, end_s):
        while (left_s := until_s - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                if key.fileobj in listeners:
                    flow, _peer = key.fileobj.accept()  # type: ignore[union-attr]
                    flow.setblocking(False)
                    flows[key.data] = flow
                    selector.register(flow, selectors.EVENT_READ, None)
                elif not key.fileobj.recv_into(SCRATCH, 0, socket.MSG_TRUNC):  # type: ignore[union-attr]
                    selector.unregister(key.fileobj)
        counted.append({number: _received(flow) for number, flow in flows.items()})
    first, last = counted
    return [last.get(number, 0) - first.get(number, 0) for number in range(len(listeners))]


def _received(flow: socket.socket) -> int:
    info = flow.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256)
    return int(struct.unpack_from("=Q", info, _BYTES_RECEIVED)[0])


def send_voice(address: str, start_s: float, end_s: float) -> int:
    """Send 64 kbit/s in packets of 20 ms; return how many."""
    flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flow.setsockopt(socket.IPPROTO_IP, _MTU_DISCOVER, 0)  # each packet gets an identification
    flow.bind(("", VOICE_PORT))
    flow.connect((address, VOICE_PORT))
    sent, due_s = 0, start_s
    while due_s < end_s:
        sleep_until(due_s)
        try:
            flow.send(bytes(VOICE_BYTES))
            sent += 1
        except ConnectionRefusedError:
            pass
        due_s += VOICE_GAP_S
    return sent


def listen_web() -> socket.socket:
    """Open the listener of `serve_web`."""
    return socket.create_server(("", WEB_PORT), backlog=128)


def serve_web(listener: socket.socket, end_s: float) -> None:
    """Answer each connection with as many bytes as its four first bytes ask for."""
    selector = selectors.DefaultSelector()
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ)
    while time.monotonic() < end_s:
        for key, _ in selector.select(0.1):
            if key.fileobj is listener:
                connection, _ = listener.accept()
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ)
                continue
            selector.unregister(key.fileobj)
            connection = key.fileobj  # type: ignore[assignment]
            wanted = connection.recv(4)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            connection.setblocking(True)
            connection.sendall(bytes(int.from_bytes(wanted, "big")))
            connection.close()


def fetch_web(
    address: str, rate_bps: int, seed: int, start_s: float, end_s: float
) -> list[tuple[float, int, float]]:
    """Fetch at random moments; return start time, size and duration of each that came back whole."""
    rng = np.random.default_rng(seed)
    mean_bytes = WEB_MEDIAN_BYTES * np.exp(WEB_SIGMA**2 / 2)
    rate_hz = min(MAX_WEB_RATE_HZ, WEB_SHARE * rate_bps / (8 * mean_bytes))
    selector = selectors.DefaultSelector()
    due_s, done = start_s + rng.exponential(1 / rate_hz), []
    while time.monotonic() < end_s:
        while due_s <= time.monotonic():
            size = int(np.clip(rng.lognormal(np.log(WEB_MEDIAN_BYTES), WEB_SIGMA), *WEB_RANGE_BYTES))
            flow = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            flow.setblocking(False)
            flow.connect_ex((address, WEB_PORT))
            selector.register(flow, selectors.EVENT_WRITE, [time.monotonic(), size, size])
            due_s += rng.exponential(1 / rate_hz)
        if not selector.get_map():
            sleep_until(min(due_s, end_s))
            continue
        for key, events in selector.select(max(0.0, min(due_s, end_s) - time.monotonic())):
            flow, state = key.fileobj, key.data
            if events & selectors.EVENT_WRITE:
                flow.send(state[1].to_bytes(4, "big"))  # type: ignore[union-attr]
                selector.modify(flow, selectors.EVENT_READ, state)
                continue
            came = flow.recv_into(SCRATCH, 0, socket.MSG_TRUNC)  # type: ignore[union-attr]
            state[2] -= came
            if not came or state[2] <= 0:
                selector.unregister(flow)
                flow.close()  # type: ignore[union-attr]
                if state[2] <= 0:
                    done.append((state[0], state[1], time.monotonic() - state[0]))
    return done
