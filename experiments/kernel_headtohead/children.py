"""Functions that run as processes of their own in a network namespace, and answer in JSON."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from linux_qdisc.lab.namespaces import Namespace
from linux_qdisc.namespace import set_namespace

Tell = Callable[[Any], None]


class ChildFailedError(Exception):
    """A process of the traffic ended without its answer."""


class Child:
    """A forked process; `work` gets a function that sends an answer to the parent.

    Forked and not started anew: the imports alone would take longer than a run's warm-up.
    """

    def __init__(self, namespace: Namespace, work: Callable[[Tell], Any]) -> None:
        self._reader, writer = os.pipe()
        self._rest = b""
        self.name = getattr(work, "__name__", "process")
        self.cpu_s = 0.0
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._reader)
            _be_the_child(namespace, work, writer)
        os.close(writer)

    def answer(self, timeout_s: float) -> Any:
        """Wait for the next answer."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._reader], [], [], left_s)[0]:
                raise ChildFailedError(f"{self.name} did not answer within {timeout_s:.0f} s")
            piece = os.read(self._reader, 1 << 16)
            if not piece:
                raise ChildFailedError(f"{self.name} ended without an answer")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def end(self, grace_s: float = 3.0) -> None:
        """End the process, wait for it, and keep its CPU time."""
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            deadline = time.monotonic() + grace_s
            pid = 0
            while not pid and time.monotonic() < deadline:
                pid, _, usage = os.wait4(self.pid, os.WNOHANG)
                time.sleep(0 if pid else 0.005)
            if not pid:
                os.kill(self.pid, signal.SIGKILL)
                _, _, usage = os.wait4(self.pid, 0)
            self.cpu_s = usage.ru_utime + usage.ru_stime
            self.pid = 0
            os.close(self._reader)


def _be_the_child(namespace: Namespace, work: Callable[[Tell], Any], writer: int) -> None:
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        set_namespace(namespace.descriptor, namespace.label)

        def tell(answer: Any) -> None:
            os.write(writer, json.dumps(answer).encode() + b"\n")

        work(tell)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
