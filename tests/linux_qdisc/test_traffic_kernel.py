"""What the queue does to real packets: delay of sparse flows, shaping, framing, reloads under load.

::

    sender s0 --- r0 router r1 --- c0 receiver
                            ^ queue under test
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from linux_qdisc.device import device_facts
from linux_qdisc.lab.compare import running
from linux_qdisc.lab.namespaces import Namespace, add_address, add_default_route, join
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.stats import ClassReader, ClassTable, read_guarantees_bps

pytestmark = pytest.mark.netns
RECEIVER = "10.72.2.1"
SPARSE_PORT = 5_555
IP_AND_UDP = 28


class Line:
    """Three namespaces in a row, and the command in the middle one."""

    def __init__(self, stack: ExitStack, folder: Path, environment: dict[str, str]) -> None:
        self._stack = stack
        self.folder = folder
        self.environment = environment | {"QOS_STATE_DIR": str(folder / "state")}
        self.sender, self.router, self.receiver = (
            self._namespace(label) for label in ("sender", "router", "receiver")
        )
        join(self.sender, "s0", self.router, "r0")
        join(self.router, "r1", self.receiver, "c0")
        add_address(self.sender, "s0", "10.72.1.1")
        add_address(self.router, "r0", "10.72.1.254")
        add_address(self.router, "r1", "10.72.2.254")
        add_address(self.receiver, "c0", RECEIVER)
        add_default_route(self.sender, "10.72.1.254")
        add_default_route(self.receiver, "10.72.2.254")
        self.router.sysctl("ipv4/ip_forward", "1")

    def _namespace(self, label: str) -> Namespace:
        made = Namespace(label)
        self._stack.callback(made.close)
        return made

    @contextmanager
    def attached(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [*self.qos_words(*words), "--foreground"]
        with running(self.router, command, env=self.environment) as process:
            deadline = time.monotonic() + 15
            while not list(self.folder.glob("state/*.sock")):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.02)
            yield process

    def qos_words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "qos", "attach", "r1", "--offloads", "off", *words]

    def reload(self, *words: str) -> None:
        with self.router.entered():
            done = subprocess.run(
                self.qos_words(*words), env=self.environment, capture_output=True, text=True, check=False
            )
        assert done.returncode == 0, done.stderr

    def script(self, where: Namespace, text: str, greeting: str | None = None) -> subprocess.Popen[bytes]:
        return self._stack.enter_context(running(where, [sys.executable, "-c", text], greeting))

    def blast(self, flows: int, payload: int, packets_per_s: int, seconds: float) -> subprocess.Popen[bytes]:
        """Send UDP of many flows in turn at a steady rate."""
        return self.script(
            self.sender,
            f"""
import socket, time
flows = []
for number in range({flows}):
    flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flow.bind(("", 20000 + number)); flow.connect(("{RECEIVER}", 9)); flows.append(flow)
start = time.monotonic(); sent = 0; data = bytes({payload})
while (now := time.monotonic() - start) < {seconds}:
    while sent < now * {packets_per_s}:
        try: flows[sent % {flows}].send(data)
        except OSError: pass
        sent += 1
    time.sleep(0.002)
print(sent)
""",
        )

    def counters(self, queues: int) -> ClassTable:
        with self.router.entered(), NetlinkSocket() as netlink:
            return ClassReader(netlink, device_facts("r1").ifindex, queues).read()

    def rates(self, queues: int, seconds: float) -> tuple[float, float]:
        """Packets and bytes a second that leave the queue, over `seconds` from now."""
        before, started = self.counters(queues), time.monotonic()
        time.sleep(seconds)
        after, span = self.counters(queues), time.monotonic() - started
        packets = int((after.sent_packets - before.sent_packets).sum())
        return packets / span, int((after.sent_bytes - before.sent_bytes).sum()) / span


@pytest.fixture
def line(tmp_path: Path, installed_environment: dict[str, str]) -> Iterator[Line]:
    with ExitStack() as stack:
        made = Line(stack, tmp_path, installed_environment)
        made.script(
            made.receiver,
            "import socket\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9))\n"
            "print('ready', flush=True)\n"
            "while True: s.recv(2048)",
            "ready",
        )
        yield made


def delays_of(record: Path, port: int) -> NDArray[np.float64]:
    """Waiting time of each packet of one source port, by its IP identification."""
    with np.load(record) as arrays:
        before, behind = (
            {int(row["key"]): int(row["time_ns"]) for row in arrays[side] if row["key"] >> 16 == port}
            for side in ("before", "behind")
        )
    assert behind.keys() <= before.keys()
    return np.array([behind[key] - before[key] for key in behind]) / 1e9


def test_a_sparse_flow_does_not_wait_behind_sixteen_bulk_flows(
    line: Line,
) -> None:
    """64 kbit/s among 16 bulk TCP flows at 10 Mbit/s."""
    record = line.folder / "taps.npz"
    lab = [sys.executable, "-m", "linux_qdisc.lab.traffic"]
    with line.attached("--rate", "10mbit"), ExitStack() as stack:
        stack.enter_context(running(line.receiver, [*lab, "receive", "16", "1", "30"], "ready"))
        stack.enter_context(running(line.sender, [*lab, "send", RECEIVER, "30", ",".join(["cubic"] * 16)]))
        time.sleep(1.0)
        taps = stack.enter_context(
            running(
                line.router,
                [sys.executable, "-m", "linux_qdisc.lab.taps", "r0", "r1", str(record)],
                "ready",
            )
        )
        sparse = line.script(
            line.sender,
            f"""
import socket, time
flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
flow.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_PMTUDISC_DONT: each packet has an identification
flow.bind(("", {SPARSE_PORT})); flow.connect(("{RECEIVER}", 9))
for _ in range(125):
    flow.send(bytes(160 - {IP_AND_UDP})); time.sleep(0.02)
""",
        )
        before = line.counters(1024)
        time.sleep(1.5)
        sent_bytes = line.counters(1024).sent_bytes - before.sent_bytes
        sparse.wait(timeout=10)
        time.sleep(0.2)
        taps.send_signal(signal.SIGTERM)
        taps.wait(timeout=10)
    waits = delays_of(record, SPARSE_PORT)
    print("mean_ms", float(waits.mean() * 1e3))
    print("p99_ms", float(np.percentile(waits, 99) * 1e3))
    assert np.count_nonzero(sent_bytes) > 12  # the bulk flows did compete...
    assert 8 * sent_bytes.sum() > 0.9 * 1.5 * 10e6  # ... and filled the link
    assert len(waits) >= 120
    assert waits.mean() < 0.001
    assert np.median(waits) < 0.001


def test_shaping_holds_with_250_active_flows_on_a_slow_link(line: Line) -> None:
    """Guarantees above the link's rate let 2.66 Mbit/s out of 1 (specification of the kernel work, 1).

    HTB lets each class go one packet ahead of its guarantee, and flows that start together do so
    together: half a second of the link, which is paid back before the measurement begins.
    """
    flows, rate_bps, window_s = 250, 1_000_000, 3.0
    with line.attached("--rate", "1mbit"):
        line.blast(flows, 200, 1200, 20.0)
        time.sleep(3.0)
        found_bps = line.rates(1024, window_s)[1] * 8
        with line.router.entered(), NetlinkSocket() as netlink:
            guarantees = read_guarantees_bps(netlink, device_facts("r1").ifindex, 1024)
        active = line.counters(1024).backlog_bytes > 0
    print("throughput", found_bps, "guarantees", guarantees[active].sum())
    assert active.sum() == flows
    assert guarantees[active].sum() < rate_bps
    assert found_bps == pytest.approx(rate_bps, rel=0.03)


def test_the_framing_of_the_link_is_counted_packet_by_packet(
    line: Line,
) -> None:
    """2 Mbit/s of small packets; what a packet takes on the wire is worked out by hand."""
    ip_bytes = 60 + IP_AND_UDP
    cases = [
        (("--overhead", "38", "--mpu", "200"), 200),
        (("--overhead", "44", "--linklayer", "atm"), 3 * 53),  # 132 bytes in cells of 48
        (("--overhead", "22", "--linklayer", "ptm"), (ip_bytes + 22) * 65 / 64),
    ]
    with line.attached("--rate", "2mbit", "--flows", "16"):
        line.blast(4, 60, 4000, 20.0)
        for words, wire_bytes in cases:
            line.reload("--rate", "2mbit", "--flows", "16", *words)
            time.sleep(0.1)
            packets_per_s = line.rates(16, 0.8)[0]
            print(" ".join(words) or "plain", packets_per_s * wire_bytes * 8)
            assert packets_per_s * wire_bytes * 8 == pytest.approx(2_000_000, rel=0.03), words


def test_reloads_under_load_lose_nothing(line: Line) -> None:
    """Rate, policy, limits, number of queues and key of fairness change while packets wait."""
    counter = line.script(
        line.receiver,
        """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 99)); s.settimeout(60.0)
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
print("ready", flush=True)
seen = set()
try:
    while True:
        seen.add(int.from_bytes(s.recv(2048)[:4], "big"))
        s.settimeout(2.0)  # only now: a busy machine may start the sender late
except TimeoutError: print(len(seen))
""",
        "ready",
    )
    with line.attached("--rate", "20mbit", "--flows", "64", "--policy", "fixed:100kb"):
        sender = line.script(
            line.sender,
            f"""
import signal, socket, time
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
flows = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
for number, flow in enumerate(flows): flow.bind(("", 20000 + number)); flow.connect(("{RECEIVER}", 99))
sent = 0
while not told:
    for _ in range(16):  # bursts, so that packets wait
        flows[sent % 8].send(sent.to_bytes(4, "big") + bytes(496)); sent += 1
    time.sleep(0.01)
print(sent)
""",
        )
        for words in (
            ("--rate", "10mbit", "--flows", "64", "--policy", "fixed:200kb"),
            ("--rate", "10mbit", "--flows", "128", "--policy", "fixed:200kb"),
            ("--rate", "15mbit", "--flows", "16", "--policy", "fixed:300kb", "--isolate", "source-host"),
            ("--rate", "20mbit", "--flows", "16", "--policy", "fixed:300kb", "--overhead", "30"),
        ):
            line.reload(*words)
        time.sleep(0.3)
        sender.send_signal(signal.SIGTERM)
        said, _ = sender.communicate(timeout=20)
        received, _ = counter.communicate(timeout=20)
    assert int(received) == int(said) > 500


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_controller_and_leaves_a_tree_that_works(line: Line, number: int) -> None:
    with line.attached("--rate", "5mbit", "--flows", "16") as process:
        line.blast(4, 500, 200, 3.0)
        time.sleep(0.4)
        process.send_signal(number)
        assert process.wait(timeout=5) == 0
        packets_per_s, _ = line.rates(16, 0.5)
    assert packets_per_s == pytest.approx(200, rel=0.2)
    assert not list(line.folder.glob("state/*.sock"))
    assert len(list(line.folder.glob("state/*.json"))) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "r1", "down"), "went down"),
        (("set", "r1", "name", "wan0"), "renamed to wan0"),
    ],
    ids=["down", "renamed"],
)
def test_a_change_of_the_interface_ends_the_controller_with_one_line(
    line: Line, words: tuple[str, ...], said: str
) -> None:
    command = [*line.qos_words("--rate", "5mbit", "--flows", "16"), "--foreground"]
    process = line.router.start(command, stderr=subprocess.PIPE, env=line.environment)
    try:
        deadline = time.monotonic() + 15
        while not list(line.folder.glob("state/*.sock")) and time.monotonic() < deadline:
            time.sleep(0.02)
        with line.router.entered():
            subprocess.run(["ip", "link", *words], check=True)
        _, message = process.communicate(timeout=10)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert process.returncode == 1
    assert said in message.decode()
    assert message.count(b"\n") == 1
