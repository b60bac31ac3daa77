"""A router with our queue and its controller, traffic through it, and what the kernel counts."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.kernel_headtohead import traffic
from experiments.kernel_headtohead.children import Child, Tell
from experiments.kernel_headtohead.path import Path
from experiments.kernel_robustness import load
from linux_qdisc import state
from linux_qdisc.control import ask
from linux_qdisc.controller import Controller
from linux_qdisc.device import device_facts
from linux_qdisc.lab.namespaces import RECEIVER
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.session import Session
from linux_qdisc.settings import QueueSettings
from linux_qdisc.stats import ClassReader, ClassTable
from qos.errors import QosError

DEVICE = "r1"
READY_S, ANSWER_S = 20.0, 20.0
FOREVER_S = 1e6
MEGABYTE = 1e6


class Site:
    """Sender, router and receiver; a context manager that leaves nothing behind."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="qos-state-"))
        before = os.environ.get("QOS_STATE_DIR")
        os.environ["QOS_STATE_DIR"] = folder
        self._stack.callback(_put_back, before)
        self.path = Path()
        self._stack.callback(self.path.close)
        self.settings = QueueSettings(DEVICE, 50_000_000, offloads="off")

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def controller(self, **changes: Any) -> Iterator[Child]:
        """Attach; the process answers how its loop went when it is told to end or ends of itself."""
        self.settings = replace(self.settings, **changes)
        child = Child(self.path.router, lambda tell: _control(self.settings, tell))
        try:
            if child.answer(READY_S) != "ready":
                raise QosError("the controller did not come up")
            yield child
        finally:
            child.end()

    def reload(self, **changes: Any) -> dict[str, Any]:
        """Give the running controller other settings."""
        settings = replace(self.settings, **changes)
        with self.path.router.entered():
            key = state.Key.of(device_facts(DEVICE).ifindex)
            answer = ask(key, {"do": "reload", "settings": settings.to_json()})
        self.settings = settings
        return answer or {"ok": False}

    def link(self, up: bool) -> None:
        """Switch the bottleneck's device."""
        with self.path.router.entered():
            words = ["ip", "link", "set", DEVICE, "up" if up else "down"]
            subprocess.run(words, check=True, capture_output=True)

    def counters(self) -> ClassTable:
        """Read what the kernel counts for each queue."""
        with self.path.router.entered(), NetlinkSocket() as netlink:
            return ClassReader(netlink, device_facts(DEVICE).ifindex, self.settings.flows).read()

    def carried_bps(self, span_s: float) -> float:
        """Return the rate that leaves the queue over the next `span_s`."""
        before, started = self.counters(), time.monotonic()
        time.sleep(span_s)
        after, took = self.counters(), time.monotonic() - started
        return float((after.sent_bytes - before.sent_bytes).sum()) * 8 / took

    @contextmanager
    def bulk(self, controls: list[str]) -> Iterator[None]:
        """Keep TCP flows busy."""
        with self.path.receiver.entered():
            listeners = traffic.listen_bulk([1] * len(controls))
        end_s = time.monotonic() + FOREVER_S
        sink = Child(self.path.receiver, lambda _tell: traffic.receive_bulk(listeners, end_s, end_s))
        source = Child(
            self.path.sender, lambda _tell: traffic.send_bulk(RECEIVER, controls, time.monotonic(), end_s)
        )
        try:
            yield
        finally:
            for child in (source, sink):
                child.end()
            for listener in listeners:
                listener.close()

    @contextmanager
    def numbered(self, function: Any, *words: int) -> Iterator[Numbered]:
        """Send numbered packets with a function of `load`."""
        with self.path.receiver.entered():
            listener = load.listen()
        counter = Child(self.path.receiver, lambda tell: tell(load.count(listener)))
        listener.close()
        source = Child(self.path.sender, lambda tell: tell(function(RECEIVER, *words)))
        try:
            yield Numbered(source, counter)
        finally:
            for child in (source, counter):
                child.end()


class Numbered:
    """Numbered packets on their way."""

    def __init__(self, source: Child, counter: Child) -> None:
        self._source, self._counter = source, counter

    def finish(self) -> tuple[int, list[int]]:
        """End the sender, then the counter; return what was sent and the runs that came."""
        os.kill(self._source.pid, signal.SIGTERM)
        sent = int(self._source.answer(ANSWER_S))
        os.kill(self._counter.pid, signal.SIGTERM)
        return sent, list(self._counter.answer(ANSWER_S))


class Memory:
    """Samples a process's resident memory and open files once a second, in a thread."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self.resident_bytes: list[int] = []
        self.files: list[int] = []
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._stop.wait(1.0):
            with open(f"/proc/{self._pid}/statm") as statm:
                self.resident_bytes.append(int(statm.read().split()[1]) * page)
            self.files.append(len(os.listdir(f"/proc/{self._pid}/fd")))

    def stop(self) -> None:
        """End sampling."""
        self._stop.set()
        self._thread.join()


def how_it_went(child: Child) -> dict[str, Any]:
    """Tell a controller to end and return what it says of its loop."""
    os.kill(child.pid, signal.SIGTERM)
    return dict(child.answer(ANSWER_S))


def _control(settings: QueueSettings, tell: Tell) -> None:
    """Be a controller; the state stays, as it does when `qos attach --foreground` ends."""
    took = _timed_polls()
    session, ended = Session(settings, force=True), ""
    try:
        session.run(lambda: tell("ready"))
    except QosError as error:
        ended = str(error)
    tell({"ended": ended, "polls": len(took) // 2, **_percentiles(took)})
    session.close()


def _timed_polls() -> array[float]:
    """Note the clock's time and the CPU time of each poll of this process from now on, one after the other.

    Sixteen bytes a poll: a list of tuples grew by 7 kB a second, which the soak took for the controller's.
    """
    took = array("d")
    plain = Controller.tick

    def tick(controller: Controller, dt_s: float) -> int:
        wall_s, cpu_s = time.monotonic(), time.process_time()
        changed = plain(controller, dt_s)
        took.extend((time.monotonic() - wall_s, time.process_time() - cpu_s))
        return changed

    Controller.tick = tick  # type: ignore[method-assign]
    return took


def _percentiles(took: array[float]) -> dict[str, float]:
    """Give median, 99th percentile and maximum; the first poll reads every queue."""
    if len(took) < 4:
        return {}
    found = np.percentile(np.array(took).reshape(-1, 2)[1:], (50, 99, 100), axis=0)
    names = ("p50", "p99", "max")
    return {
        f"loop_{kind}_{name}_s": float(found[row, column])
        for column, kind in enumerate(("wall", "cpu"))
        for row, name in enumerate(names)
    }


def _put_back(value: str | None) -> None:
    if value is None:
        os.environ.pop("QOS_STATE_DIR", None)
    else:
        os.environ["QOS_STATE_DIR"] = value
