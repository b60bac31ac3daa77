"""TCP bulk flows with chosen congestion controls: `python -m linux_qdisc.lab.traffic send|receive ...`.

All flows of one side run in one process. A flow is known by its source port, `FIRST_PORT` and up.
The receiver counts payload in the window after the warm-up and prints it as JSON.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections.abc import Sequence

FIRST_PORT = 20_000
SINK_PORT = 9_471
CHUNK = bytes(1 << 16)
CONNECT_TIMEOUT_S = 10.0


def send(address: str, controls: Sequence[str], duration_s: float) -> None:
    """Run one bulk flow for each congestion control named."""
    selector = selectors.DefaultSelector()
    flows = []
    for number, control in enumerate(controls):
        flow = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        flow.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        flow.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        flow.bind(("", FIRST_PORT + number))
        flow.settimeout(CONNECT_TIMEOUT_S)
        flow.connect((address, SINK_PORT))
        flow.setblocking(False)
        selector.register(flow, selectors.EVENT_WRITE)
        flows.append(flow)
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        for key, _ in selector.select(0.1):
            try:
                key.fileobj.send(CHUNK)  # type: ignore[union-attr]
            except BlockingIOError:
                continue
            except ConnectionError:
                selector.unregister(key.fileobj)  # the receiver has counted enough
                if not selector.get_map():
                    return
    for flow in flows:
        flow.close()


def receive(flows: int, warm_up_s: float, duration_s: float) -> dict[str, object]:
    """Count what each flow delivers between `warm_up_s` and `duration_s` after the first one came."""
    selector = selectors.DefaultSelector()
    server = socket.create_server(("", SINK_PORT), backlog=128)
    server.setblocking(False)
    selector.register(server, selectors.EVENT_READ)
    print("ready", flush=True)
    counted = [0] * flows
    numbers: dict[int, int] = {}
    start = None
    buffer = bytearray(1 << 18)
    while start is None or time.monotonic() < start + duration_s:
        for key, _ in selector.select(0.1):
            if key.fileobj is server:
                connection, peer = server.accept()
                connection.setblocking(False)
                numbers[connection.fileno()] = peer[1] - FIRST_PORT
                selector.register(connection, selectors.EVENT_READ)
                start = start or time.monotonic()
                continue
            received = key.fileobj.recv_into(buffer)  # type: ignore[union-attr]
            if not received:
                selector.unregister(key.fileobj)
            elif start is not None and time.monotonic() >= start + warm_up_s:
                counted[numbers[key.fd]] += received
    return {"seconds": duration_s - warm_up_s, "bytes": counted}


if __name__ == "__main__":
    try:
        if sys.argv[1] == "send":
            send(sys.argv[2], sys.argv[4].split(","), float(sys.argv[3]))
        else:
            print(json.dumps(receive(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))))
    except KeyboardInterrupt:
        sys.exit(130)
