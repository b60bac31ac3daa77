"""How fast the fair queue's kernel side is here, and how it grows with the number of queues.

``python -m experiments.bench_kernel [--json] [--flows N]... [--seconds S]``

For each number of queues, on a veth pair in namespaces of its own: set-up and removal of the tree
(wall seconds), one class dump with its parsing (CPU seconds, beside pyroute2's own parser in the same
run), and the control loop at 50 Hz with a tenth of the queues busy (share of one core). Needs root.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import click

from linux_qdisc.compile import compile_tree
from linux_qdisc.controller import Controller
from linux_qdisc.device import device_facts
from linux_qdisc.diff import difference
from linux_qdisc.kernel import Kernel
from linux_qdisc.lab.namespaces import Namespace, add_address, join
from linux_qdisc.plan import require_net_admin
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.settings import QueueSettings
from linux_qdisc.snapshot import remove_root
from linux_qdisc.stats import ClassReader
from linux_qdisc.tree import QdiscTree
from qos import __version__

DEFAULT_FLOWS = (64, 256, 1024, 16_384)
RATE_BPS = 50_000_000
POLL_S = 0.02
PEER_MAX_FLOWS = 1024
"""pyroute2 takes tens of seconds for more."""


@dataclass(frozen=True)
class Row:
    """Figures of one number of queues; a ratio is the peer's time over ours."""

    flows: int
    set_up_s: float
    removal_s: float
    dump_cpu_s: float
    pyroute2_dump_cpu_s: float | None
    pyroute2_ratio: float | None
    loop_active_flows: float
    loop_share_of_core: float


def median_cpu_s(run: Callable[[], object], times: int) -> float:
    """Return the median CPU time of `run`."""
    taken = []
    for _ in range(times):
        begin = time.process_time()
        run()
        taken.append(time.process_time() - begin)
    return statistics.median(taken)


@contextmanager
def busy_flows(count: int) -> Iterator[None]:
    """Keep `count` UDP flows sending from a process of its own, together above the link's rate."""
    child = os.fork()
    if child == 0:
        payload = b"\0" * 1200
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
        for sender in sockets:
            sender.setblocking(False)
            sender.connect(("10.77.0.2", 9))
        pause_s = count * 1242 * 8 / (1.2 * RATE_BPS)
        while os.getppid() != 1:
            for sender in sockets:
                try:
                    sender.send(payload)
                except OSError:
                    continue
            time.sleep(pause_s)
        os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def measure_loop(controller: Controller, seconds: float) -> tuple[float, float]:
    """Run the control loop at 50 Hz; return mean active flows and CPU time over wall time."""
    active, ticks = 0, 0
    begin, cpu = time.monotonic(), time.process_time()
    due = last = begin
    while due - begin < seconds:
        due += POLL_S
        time.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        controller.tick(now - last)
        last = now
        active += controller.active_flows
        ticks += 1
    return active / ticks, (time.process_time() - cpu) / (time.monotonic() - begin)


def pyroute2_cpu_s(ifindex: int) -> float:
    """Return the CPU time of pyroute2's dump and parse of the same classes."""
    from pyroute2 import IPRoute

    with IPRoute() as peer:
        return median_cpu_s(lambda: list(peer.get_classes(index=ifindex)), 3)


def measure(flows: int, seconds: float) -> Row:
    """Measure one number of queues in the present namespace's device `v0`."""
    settings = QueueSettings("v0", RATE_BPS, flows=flows)
    device = device_facts("v0")
    tree: QdiscTree = compile_tree(settings, device)
    with NetlinkSocket() as netlink:
        kernel = Kernel(netlink)
        begin = time.monotonic()
        kernel.apply(difference(None, tree))
        set_up_s = time.monotonic() - begin
        reader = ClassReader(netlink, device.ifindex, flows)
        reader.read()
        ours_s = median_cpu_s(reader.read, 50)
        peer_s = pyroute2_cpu_s(device.ifindex) if flows <= PEER_MAX_FLOWS else None
        controller = Controller(netlink, device.ifindex, tree.egress, settings.policy, kernel.flow_maps["v0"])
        with busy_flows(max(1, flows // 10)):
            measure_loop(controller, 1.0)
            active, share = measure_loop(controller, seconds)
        begin = time.monotonic()
        remove_root(netlink, device.ifindex)
        removal_s = time.monotonic() - begin
    ratio = None if peer_s is None else round(peer_s / ours_s, 1)
    return Row(flows, set_up_s, removal_s, ours_s, peer_s, ratio, active, share)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--flows", "flow_counts", multiple=True, type=int, help="Number of queues (repeatable).")
@click.option("--seconds", default=5.0, show_default=True, help="How long the loop runs for each.")
def main(as_json: bool, flow_counts: tuple[int, ...], seconds: float) -> None:
    """Measure set-up, removal, dump and loop for several numbers of queues."""
    require_net_admin()
    left, right = Namespace("left"), Namespace("right")
    join(left, "v0", right, "v1")
    add_address(left, "v0", "10.77.0.1")
    add_address(right, "v1", "10.77.0.2")
    rows = []
    with left.entered():
        for flows in flow_counts or DEFAULT_FLOWS:
            rows.append(measure(flows, seconds))
            print(f"{flows} queues measured", file=sys.stderr)
    if as_json:
        host = {
            "kernel": platform.release(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        }
        document = {"schema": 1, "version": __version__, "host": host, "rows": [asdict(row) for row in rows]}
        print(json.dumps(document, indent=2))
        return
    print("   queues   set-up  removal      dump  pyroute2   ratio   active   loop")
    for row in rows:
        peer = "       -       -" if row.pyroute2_dump_cpu_s is None else (
            f"{row.pyroute2_dump_cpu_s * 1e3:6.1f} ms {row.pyroute2_ratio:6.0f}x"
        )  # fmt: skip
        print(
            f"{row.flows:9d} {row.set_up_s * 1e3:5.0f} ms {row.removal_s * 1e3:5.0f} ms "
            f"{row.dump_cpu_s * 1e3:6.2f} ms {peer} {row.loop_active_flows:8.0f} "
            f"{row.loop_share_of_core:6.1%}"
        )


if __name__ == "__main__":
    main()
