"""Sender, router and receiver on a kernel with netem, and the queue under test between them.

::

    sender s0 --- r0 router r1 --- c0 receiver
                            ^ queue   ^ delay of what returns, a band a round-trip time
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from experiments.kernel_headtohead.children import Child, Tell
from experiments.kernel_headtohead.grid import THEIRS
from linux_qdisc.compile import burst_bytes
from linux_qdisc.lab.namespaces import Namespace, address_path, join
from linux_qdisc.settings import QueueSettings

FRAME_BYTES = 1514
READY_S = 20.0


class Path:
    """The three namespaces; `close` removes them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        try:
            self.sender, self.router, self.receiver = (
                self._namespace(label) for label in ("sender", "router", "receiver")
            )
            join(self.sender, "s0", self.router, "r0")
            join(self.router, "r1", self.receiver, "c0")
            address_path(self.sender, self.router, self.receiver)
        except BaseException:
            self.close()
            raise

    def _namespace(self, label: str) -> Namespace:
        made = Namespace(label)
        self._stack.callback(made.close)
        return made

    def __enter__(self) -> Path:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything."""
        self._stack.close()

    def delay(self, rtts_s: Sequence[float]) -> list[int]:
        """Give what returns one delay a flow; return each flow's band."""
        distinct = sorted(set(rtts_s))
        bands = max(2, len(distinct))
        lines = [f"qdisc replace dev c0 root handle 1: prio bands {bands} priomap {'0 ' * 16}"]
        for band in range(1, bands + 1):
            delay_us = round(distinct[min(band, len(distinct)) - 1] * 1e6)
            lines.append(f"qdisc add dev c0 parent 1:{band:x} netem delay {delay_us}us limit 100000")
        with self.receiver.entered():
            _tc(lines)
        return [distinct.index(rtt_s) + 1 for rtt_s in rtts_s]

    @contextmanager
    def queue(self, name: str, rate_bps: int) -> Iterator[Child | None]:
        """Put a queue on the bottleneck of a new path; ours comes with the process of its controller."""
        if name in THEIRS:
            self.set_theirs(name, rate_bps)
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="qos-state-") as folder:
            os.environ["QOS_STATE_DIR"] = folder
            child = Child(self.router, lambda tell: _control(name, rate_bps, tell))
            try:
                child.answer(READY_S)
                yield child
            finally:
                child.end()

    def set_theirs(self, name: str, rate_bps: int) -> None:
        """Put one of `THEIRS` on the bottleneck."""
        with self.router.entered():
            _tc(_their_lines(name, rate_bps))


_LEAVES = {
    "pfifo": "pfifo limit 1000",
    "fq_codel": "fq_codel",
    "fq": "fq",
    "pie": "pie",
}


def _their_lines(name: str, rate_bps: int) -> list[str]:
    """Their queue with its defaults behind the shaper that ours has; cake has its own."""
    if name == "cake":
        return [f"qdisc add dev r1 root cake bandwidth {rate_bps}bit"]
    burst = burst_bytes(rate_bps, FRAME_BYTES)
    shape = f"rate {rate_bps}bit ceil {rate_bps}bit burst {burst}b cburst {burst}b quantum {FRAME_BYTES}"
    return [
        "qdisc add dev r1 root handle 1: htb default 1",
        f"class add dev r1 parent 1: classid 1:1 htb {shape}",
        f"qdisc add dev r1 parent 1:1 {_LEAVES[name]}",
    ]


def _control(name: str, rate_bps: int, tell: Tell) -> None:
    from linux_qdisc.session import Session

    session = Session(QueueSettings("r1", rate_bps, policy=name, offloads="off"), force=True)
    try:
        session.run(lambda: tell("ready"))
    finally:
        session.close()


def _tc(lines: list[str]) -> None:
    subprocess.run(["tc", "-batch", "-"], input="\n".join(lines).encode(), check=True, capture_output=True)
