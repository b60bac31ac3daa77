"""A foreign root qdisc, of every kind that this kernel has, comes back exactly as it was."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from linux_qdisc.device import device_facts
from linux_qdisc.kernel import Kernel
from linux_qdisc.lab.namespaces import Namespace, join
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.session import plan_attach
from linux_qdisc.settings import QueueSettings
from linux_qdisc.snapshot import DeviceSnapshot, restore

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("tc") is None, reason="needs iproute2 to look at the kernel"),
]

ROOTS = {
    "cake": [
        "root handle 8: cake bandwidth 20mbit diffserv4 dual-srchost nat ack-filter rtt 50ms overhead 44 atm"
    ],
    "cake-unlimited": ["root handle 8: cake besteffort flows wash memlimit 4mb"],
    "fq_codel": ["root handle 8: fq_codel limit 600 flows 256 target 4ms interval 80ms quantum 300 noecn"],
    "fq_codel-threshold": ["root handle 8: fq_codel ce_threshold 2ms memory_limit 4mb"],
    "fq": ["root handle 8: fq limit 5000 flow_limit 50 buckets 512 maxrate 90mbit quantum 1514"],
    "fq-unpaced": ["root handle 8: fq nopacing ce_threshold 4ms"],
    "codel": ["root handle 8: codel limit 300 target 7ms interval 90ms ecn"],
    "pie": ["root handle 8: pie limit 300 target 20ms tupdate 30ms alpha 3 beta 25 ecn bytemode"],
    "netem": ["root handle 8: netem limit 2000 delay 20ms 5ms 25% loss 1% duplicate 0.5% rate 9mbit"],
    "netem-distribution": ["root handle 8: netem delay 10ms 2ms reorder 5% 50% corrupt 0.1%"],
    "sfq": ["root handle 8: sfq perturb 10 quantum 1514 limit 100 depth 60"],
    "red": ["root handle 8: red limit 400kb min 30kb max 90kb avpkt 1000 burst 55 ecn bandwidth 10mbit"],
    "choke": ["root handle 8: choke limit 300 bandwidth 10mbit min 20 max 60 ecn"],
    "qfq": ["root handle 8: qfq"],
    "hfsc": ["root handle 8: hfsc default 1"],
    "drr": ["root handle 8: drr"],
    "tbf": ["root handle 8: tbf rate 5mbit burst 20kb latency 50ms"],
    "tbf-fq_codel": [
        "root handle 8: tbf rate 5mbit burst 20kb latency 50ms",
        "parent 8:1 handle 9: fq_codel limit 77",
    ],
    "prio-leaves": [
        "root handle 8: prio bands 4 priomap 3 3 3 3 0 0 0 0 1 1 1 1 2 2 2 2",
        "parent 8:1 handle 11: pie limit 50",
        "parent 8:4 handle 14: netem delay 5ms",
    ],
}
PASSING = ("class cake", "class fq_codel", "class sfq")


@pytest.fixture
def namespaces() -> Iterator[Namespace]:
    here, there = Namespace("here"), Namespace("there")
    join(here, "v0", there, "v1")
    yield here
    here.close()
    there.close()


def tc(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["tc", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def shown() -> list[str]:
    """What tc says of every qdisc and class, but for the classes of flows that happen to wait."""
    said = tc("-d", "qdisc", "show", "dev", "v0").stdout + tc("-d", "class", "show", "dev", "v0").stdout
    return sorted(line for line in said.splitlines() if not line.startswith(PASSING))


@pytest.mark.parametrize("name", ROOTS)
def test_a_foreign_root_comes_back_exactly(namespaces: Namespace, name: str) -> None:
    with namespaces.entered(), NetlinkSocket() as netlink:
        for line in ROOTS[name]:
            done = tc("qdisc", "add", "dev", "v0", *line.split())
            if done.returncode and ("unknown" in done.stderr.lower() or "not found" in done.stderr):
                pytest.skip(f"no {name} here: {done.stderr.strip()}")
            assert done.returncode == 0, done.stderr
        before = shown()
        settings = QueueSettings("v0", 10_000_000, flows=16)
        plan = plan_attach(settings, force=True)
        kernel = Kernel(netlink)
        kernel.apply(plan.operations)
        assert "htb 71:" in tc("qdisc", "show", "dev", "v0").stdout
        # Through the document that is kept on disk, as `qos detach` reads it.
        document = DeviceSnapshot.from_json(plan.before.to_json())
        failed = restore(netlink, device_facts("v0").ifindex, document)
        assert failed == []
        assert shown() == before
