"""The same TCP traffic through several queues, one after another, in a path of namespaces.

::

    sender s0 --- r0 router r1 ---[delay]--- c0 receiver
                            ^ queue under test
"""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from linux_qdisc import wire
from linux_qdisc.compile import burst_bytes
from linux_qdisc.device import device_facts
from linux_qdisc.kernel import Kernel
from linux_qdisc.lab.namespaces import RECEIVER, Namespace, address_path, join
from linux_qdisc.lab.taps import read_passage
from linux_qdisc.operations import ReplaceRoot, SetClass, SetLeaf
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.tree import CATCH_ALL_HANDLE, CATCH_ALL_MINOR, LINK_MINOR, ClassShape, WireSize
from qos.errors import InputError, KernelError

FRAME_BYTES = 1514
MIN_FIFO_FRAMES = 50
DRAIN_S = 0.7
SETTLE_S = 0.3
START_TIMEOUT_S = 15.0
END_TIMEOUT_S = 60.0
"""The taps end when they have read all that they were shown, which takes long on a slow processor."""
_TICK_NS = 64


@dataclass(frozen=True, slots=True)
class Scenario:
    """A path and its traffic.

    Attributes
    ----------
    rate_bps
        Rate of the bottleneck.
    rtt_s
        Round-trip time without queueing.
    controls
        Congestion control of each flow.
    duration_s, warm_up_s
        Length of a run, and what is cut from its beginning.
    """

    rate_bps: int
    rtt_s: float
    controls: tuple[str, ...]
    duration_s: float
    warm_up_s: float

    @property
    def bdp_bytes(self) -> int:
        """Bandwidth-delay product of the path in bytes."""
        return int(self.rate_bps * self.rtt_s / 8)


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue under test: a FIFO of `fifo_bytes`, or ours with a policy."""

    name: str
    fifo_bytes: int | None = None
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one queue did.

    Attributes
    ----------
    queue
        Its name.
    goodput_bps
        Payload rate of each flow at the receiver.
    utilisation
        Frame bytes behind the queue over what the rate allows.
    jain
        Jain's fairness index of the flows' goodput (Jain, Chiu and Hawe 1984).
    delay_s
        Waiting time of each packet.
    drops
        Packets that did not leave the queue.
    """

    queue: str
    goodput_bps: tuple[float, ...]
    utilisation: float
    jain: float
    delay_s: NDArray[np.float64]
    drops: int

    def to_json(self) -> dict[str, object]:
        """Return the row for machines."""
        has = len(self.delay_s) > 0
        return {
            "queue": self.queue,
            "throughput_bps": sum(self.goodput_bps),
            "utilisation": self.utilisation,
            "jain": self.jain,
            "delay_mean_s": float(self.delay_s.mean()) if has else 0.0,
            "delay_p99_s": float(np.percentile(self.delay_s, 99)) if has else 0.0,
            "drops": self.drops,
        }


def jain_index(rates: Sequence[float]) -> float:
    """Return (sum x)^2 / (n sum x^2); 1 is fair, 1/n is one flow taking all."""
    squares = sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / (len(rates) * squares) if squares else 0.0


class Path3:
    """Sender, router and receiver, joined; a context manager that leaves nothing behind."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._stack = ExitStack()
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Path3:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _namespace(self, label: str) -> Namespace:
        namespace = Namespace(label)
        self._stack.callback(namespace.close)
        return namespace

    def _build(self) -> None:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="qos-lab-")))
        self.sender, self.router, self.receiver = (
            self._namespace(label) for label in ("sender", "router", "receiver")
        )
        join(self.sender, "s0", self.router, "r0")
        self._delay_element()
        address_path(self.sender, self.router, self.receiver)

    def _delay_element(self) -> None:
        """Delay the returning half: netem where the kernel has it, else a forwarder of frames."""
        join(self.router, "r1", self.receiver, "c0")
        if self._netem():
            return
        with self.router.entered(), NetlinkSocket() as netlink:
            Kernel(netlink).delete_link("r1")
        wire_ns = self._namespace("wire")
        join(self.router, "r1", wire_ns, "d0")
        join(wire_ns, "d1", self.receiver, "c0")
        words = [sys.executable, "-m", "linux_qdisc.lab.delay", "d0", "d1", str(self.scenario.rtt_s)]
        self._stack.enter_context(running(wire_ns, words))
        time.sleep(SETTLE_S)

    def _netem(self) -> bool:
        ticks = min(2**32 - 1, int(self.scenario.rtt_s * 1e9) // _TICK_NS)
        options = struct.pack("=IIIIII", ticks, 100_000, 0, 0, 0, 0)
        with self.receiver.entered(), NetlinkSocket() as netlink:
            body = wire.tcmsg(device_facts("c0").ifindex, 0, wire.TC_H_ROOT)
            body += wire.attr(wire.TCA_KIND, wire.text("netem")) + wire.attr(wire.TCA_OPTIONS, options)
            try:
                netlink.request(wire.RTM_NEWQDISC, wire.NLM_F_CREATE, body, "tc qdisc add netem")
            except KernelError as error:
                if error.errno_code == errno.ENOENT:
                    return False
                raise
        return True

    def measure(self, queue: Queue) -> Outcome:
        """Run the traffic once through a queue."""
        scenario = self.scenario
        record = self.folder / "taps.npz"
        with self._standing(queue), ExitStack() as stack:
            taps = stack.enter_context(
                running(self.router, _module("taps", "r0", "r1", str(record)), "ready")
            )
            sink = stack.enter_context(running(self.receiver, self._receive_words(), "ready"))
            stack.enter_context(running(self.sender, self._send_words()))
            limit = scenario.duration_s + END_TIMEOUT_S
            try:
                said, _ = sink.communicate(timeout=limit)
                time.sleep(DRAIN_S)
                taps.send_signal(signal.SIGTERM)
                taps.wait(timeout=END_TIMEOUT_S)
            except subprocess.TimeoutExpired as late:
                raise InputError(
                    f"'{queue.name}' was not measured after {late.timeout:g} s: this machine is too slow or "
                    "too busy for the traffic; --rate 10mbit takes less of it"
                ) from None
        counted = json.loads(said)
        rates = tuple(8 * count / counted["seconds"] for count in counted["bytes"])
        passage = read_passage(str(record), scenario.warm_up_s, scenario.duration_s)
        span_s = scenario.duration_s - scenario.warm_up_s
        utilisation = passage.sent_bytes * 8 / (scenario.rate_bps * span_s)
        return Outcome(
            queue.name, rates, utilisation, jain_index(rates), passage.delay_s, passage.dropped_packets
        )

    def _receive_words(self) -> list[str]:
        s = self.scenario
        return _module("traffic", "receive", str(len(s.controls)), str(s.warm_up_s), str(s.duration_s))

    def _send_words(self) -> list[str]:
        s = self.scenario
        return _module("traffic", "send", RECEIVER, str(s.duration_s + 0.2), ",".join(s.controls))

    @contextmanager
    def _standing(self, queue: Queue) -> Iterator[None]:
        """Put the queue on the bottleneck, and take it away afterwards."""
        if queue.policy is not None:
            rate = f"{self.scenario.rate_bps}bit"
            words = [sys.executable, "-m", "qos", "attach", "r1", "--rate", rate, "--policy", queue.policy]
            words += ["--offloads", "off", "--foreground"]
            environment = os.environ | {"QOS_STATE_DIR": str(self.folder / "state")}
            with running(self.router, words, env=environment):
                self._await_filter()
                yield
        else:
            with self.router.entered(), NetlinkSocket() as netlink:
                Kernel(netlink).apply(fifo_operations("r1", self.scenario.rate_bps, queue.fifo_bytes or 0))
            yield
        with self.router.entered(), NetlinkSocket() as netlink:
            Kernel(netlink).delete_root("r1")

    def _await_filter(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        sockets = self.folder / "state"
        while time.monotonic() < deadline:
            if sockets.is_dir() and any(sockets.glob("*.sock")):
                return
            time.sleep(0.05)
        raise InputError("'qos attach' did not come up in the router's namespace; run 'qos doctor'")


def fifo_operations(device: str, rate_bps: int, limit_bytes: int) -> list[ReplaceRoot | SetClass | SetLeaf]:
    """Return one FIFO behind the same shaper that the fair queue has."""
    bucket = burst_bytes(rate_bps, FRAME_BYTES)
    shape = ClassShape(rate_bps, rate_bps, bucket, bucket, FRAME_BYTES, WireSize())
    return [
        ReplaceRoot(device),
        SetClass(device, LINK_MINOR, 0, shape, create=True),
        SetClass(device, CATCH_ALL_MINOR, LINK_MINOR, shape, create=True),
        SetLeaf(device, CATCH_ALL_MINOR, CATCH_ALL_HANDLE, limit_bytes, create=True),
    ]


def _module(name: str, *words: str) -> list[str]:
    return [sys.executable, "-m", f"linux_qdisc.lab.{name}", *words]


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Deliver Ctrl-C and SIGTERM at the end of the block: inside, a process would be started and lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        held: signal.signal(held, lambda number, _frame: came.append(number))
        for held in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for held, handler in before.items():
            signal.signal(held, handler)
        for number in came[:1]:
            signal.raise_signal(number)


@contextmanager
def running(
    namespace: Namespace, words: Sequence[str], greeting: str | None = None, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a namespace, wait for its greeting, and end it at the end."""
    process: subprocess.Popen[bytes] | None = None
    output: IO[bytes] | None = None
    try:
        with _interrupts_held_back():
            process = namespace.start(words, stdout=subprocess.PIPE, env=env, start_new_session=True)
        output = process.stdout
        if greeting is not None and output is not None and output.readline().strip() != greeting.encode():
            raise InputError(f"'{' '.join(words[1:4])}' did not start in the {namespace.label}'s namespace")
        yield process
    finally:
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if output is not None:
            output.close()


def default_queues(scenario: Scenario, best_policy: str) -> list[Queue]:
    """Return the rows of the demo: two FIFOs, limits of one BDP, the best policy shipped."""
    bdp = max(scenario.bdp_bytes, MIN_FIFO_FRAMES * FRAME_BYTES)
    return [
        Queue(f"FIFO, one BDP ({bdp // 1000} kB)", fifo_bytes=bdp),
        Queue("FIFO, 1000 packets", fifo_bytes=1000 * FRAME_BYTES),
        Queue("fair queue, fixed limits of one BDP", policy=f"fixed:{scenario.bdp_bytes}b"),
        Queue(f"fair queue, {best_policy}", policy=best_policy),
    ]


def compare(scenario: Scenario, queues: Sequence[Queue], progress: Callable[[str], None]) -> list[Outcome]:
    """Measure each queue in turn; `progress` is called with its name before each."""
    outcomes = []
    with Path3(scenario) as path:
        for queue in queues:
            progress(queue.name)
            outcomes.append(path.measure(queue))
    return outcomes
