"""Reading only the queues in use gives the same counters as a dump of all."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from linux_qdisc import active
from linux_qdisc.active import ActiveReader
from linux_qdisc.compile import compile_tree
from linux_qdisc.device import device_facts
from linux_qdisc.diff import difference
from linux_qdisc.kernel import Kernel
from linux_qdisc.lab.namespaces import Namespace, add_address, join
from linux_qdisc.rtnetlink import NetlinkSocket, somebody_listens
from linux_qdisc.settings import QueueSettings
from linux_qdisc.snapshot import has_our_root
from linux_qdisc.stats import ClassReader, ClassTable
from qos.errors import KernelError

FLOWS = 512


class Rig:
    """A tree on v0, a socket that sends through it, and both readers."""

    def __init__(self, netlink: NetlinkSocket) -> None:
        settings = QueueSettings("v0", 2_000_000, flows=FLOWS, offloads="off")
        self.device = device_facts("v0")
        self.kernel = Kernel(netlink)
        self.kernel.apply(difference(None, compile_tree(settings, self.device)))
        self.all = ClassReader(netlink, self.device.ifindex, FLOWS)
        flow_map = self.kernel.flow_maps.get("v0")
        if flow_map is None:
            pytest.skip("needs eBPF")
        self.active = ActiveReader(
            ClassReader(netlink, self.device.ifindex, FLOWS), netlink, self.device.ifindex, flow_map
        )
        self.sockets: dict[int, socket.socket] = {}

    def send(self, flow: int, size: int = 500, mark: int | None = None) -> None:
        if flow not in self.sockets:
            self.sockets[flow] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender = self.sockets[flow]
        if mark is not None:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, mark)
        sender.sendto(bytes(size), ("10.77.0.2", 1000 + flow))


@pytest.fixture
def rig() -> Iterator[Rig]:
    with closing(Namespace("left")) as left, closing(Namespace("right")) as right:
        for namespace in (left, right):  # no neighbour discovery among the packets that are counted
            namespace.sysctl("ipv6/conf/default/disable_ipv6", "1")
        join(left, "v0", right, "v1")
        add_address(left, "v0", "10.77.0.1")
        add_address(right, "v1", "10.77.0.2")
        with right.entered():
            far = device_facts("v1").address
        with left.entered(), NetlinkSocket() as netlink:
            neighbour = [
                "ip",
                "neigh",
                "replace",
                "10.77.0.2",
                "lladdr",
                far,
                "dev",
                "v0",
                "nud",
                "permanent",
            ]
            subprocess.run(neighbour, check=True)
            made = Rig(netlink)
            yield made
            for sender in made.sockets.values():
                sender.close()
            made.kernel.close()


pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs iproute2 to set a neighbour"),
]


def same(one: ClassTable, other: ClassTable) -> bool:
    names = ("sent_bytes", "sent_packets", "dropped_packets", "backlog_bytes", "backlog_packets")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def settled(rig: Rig) -> ClassTable:
    """The counters when nothing waits any more."""
    table = rig.all.read()
    while table.backlog_bytes.any():
        table = rig.all.read()
    return table


def test_the_counters_are_those_of_the_dump(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.active.read()
    monkeypatch.setattr(active, "FULL_EVERY_S", 1e9)
    monkeypatch.setattr(ClassReader, "read", lambda _: pytest.fail("a dump"))
    for number in range(3):
        for flow in range(100):  # more than one batch
            rig.send(flow + 10 * number)
        table = rig.active.read()
        assert (table.sent_packets + table.backlog_packets).sum() == 100 * (number + 1)
    monkeypatch.undo()
    rig.active.read()
    whole = settled(rig)
    # Read as long as something waited, then once more: nothing is left out.
    assert same(rig.active.read(), whole)
    assert whole.sent_packets.sum() == 300


def test_tables_given_out_do_not_change(rig: Rig) -> None:
    first = rig.active.read()
    rig.send(1)
    rig.active.read()
    assert first.sent_packets.sum() + first.backlog_packets.sum() == 0


def test_an_idle_tree_is_not_asked(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.active.read()
    rig.active.read()
    monkeypatch.setattr(active, "FULL_EVERY_S", 1e9)
    monkeypatch.setattr(NetlinkSocket, "send", lambda *_: pytest.fail("a message"))
    rig.active.read()


def test_where_somebody_listens_all_are_read_in_one_dump(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not somebody_listens()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as listener:
        listener.bind((0, 1 << 3))
        assert somebody_listens()
        rig.active.read()
        for flow in range(20):
            rig.send(flow)
        table = rig.active.read()
        assert (table.sent_packets + table.backlog_packets).sum() == 20
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(65_536)


@pytest.mark.parametrize("listens", [False, True])
def test_our_root_is_known_from_another_and_nobody_is_told_of_the_question(rig: Rig, listens: bool) -> None:
    def ours() -> bool:
        with NetlinkSocket() as netlink:
            return has_our_root(netlink, rig.device.ifindex)

    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as listener:
        if listens:
            listener.bind((0, 1 << 3))
        assert ours()
        if listens:
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.recv(65_536)
        rig.kernel.delete_root("v0")
        assert not ours()
        subprocess.run(
            ["tc", "qdisc", "add", "dev", "v0", "root", "handle", "71:", "pfifo"],
            check=True,
            capture_output=True,
        )
        assert not ours()


def test_packets_past_the_classifier_are_found_by_the_next_full_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.active.read()
    rig.send(1, mark=0x71 << 16 | 0x10 + 77)
    monkeypatch.setattr(active, "FULL_EVERY_S", 0.0)
    table = rig.active.read()
    assert table.sent_packets[77] + table.backlog_packets[77] == 1


def test_a_lost_answer_leads_to_a_dump(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.active.read()
    monkeypatch.setattr(active, "FULL_EVERY_S", 1e9)
    monkeypatch.setattr(active._Answers, "receive", lambda *_: 0)
    for flow in range(5):
        rig.send(flow)
    table = rig.active.read()
    assert (table.sent_packets + table.backlog_packets).sum() == 5


def test_a_tree_that_is_gone_is_an_error(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.active.read()
    monkeypatch.setattr(active, "FULL_EVERY_S", 1e9)
    rig.send(1)
    rig.kernel.delete_root("v0")
    with pytest.raises(KernelError):
        rig.active.read()


def test_a_table_of_sockets_that_cannot_be_read_counts_as_listened_to(tmp_path: Path) -> None:
    assert somebody_listens(str(tmp_path / "none"))
    (tmp_path / "strange").write_text("head\nwhat is this?\n")
    assert somebody_listens(str(tmp_path / "strange"))
