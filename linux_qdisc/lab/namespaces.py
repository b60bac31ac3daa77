"""Nameless network namespaces, joined by veth pairs; they vanish with the process."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from linux_qdisc import ethtool, wire
from linux_qdisc.device import device_facts
from linux_qdisc.namespace import CLONE_NEWNET, set_namespace
from linux_qdisc.rtnetlink import NetlinkSocket
from qos.errors import PrivilegeError

CLONE_NEWUSER = 0x10000000
_RTM_NEWADDR, _RTM_NEWROUTE = 20, 24
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 3, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_CREATE = wire.NLM_F_CREATE | wire.NLM_F_EXCL
_libc = ctypes.CDLL(None, use_errno=True)


SENDER, RECEIVER = "10.71.1.1", "10.71.2.1"
"""Addresses of the hosts at the two ends of a path."""


class Namespace:
    """One network namespace; it lives as long as this object and the processes in it."""

    def __init__(self, label: str) -> None:
        self.label = label
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.unshare(CLONE_NEWNET):
                raise PrivilegeError("making network namespaces needs CAP_SYS_ADMIN; run as root")
            self.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            set_namespace(home, "home")
            os.close(home)
        with self.entered():
            set_up("lo")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Work inside: sockets and files of /proc/sys/net opened here belong to it."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        set_namespace(self.descriptor, self.label)
        try:
            yield
        finally:
            set_namespace(home, "home")
            os.close(home)

    def start(self, words: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program inside."""
        with self.entered():
            return subprocess.Popen(words, **options)

    def sysctl(self, name: str, value: str) -> None:
        """Set a value under /proc/sys/net; one that this kernel lacks is left out."""
        with self.entered():
            path = Path("/proc/sys/net", name)
            if path.exists():
                path.write_text(value)

    def close(self) -> None:
        """Let go of it; the kernel removes its devices."""
        os.close(self.descriptor)


def enter_user_namespace() -> None:
    """Become root of a new user namespace, where the kernel allows it.

    Raises
    ------
    PrivilegeError
        If it does not.
    """
    uid, gid = os.getuid(), os.getgid()
    if _libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        raise PrivilegeError(
            "this needs root, or user namespaces, which this kernel does not allow you; run it with sudo "
            "(or see kernel.apparmor_restrict_unprivileged_userns)"
        )
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError:
        raise PrivilegeError("user namespaces are restricted here (AppArmor); run it with sudo") from None


def _ifinfomsg(ifindex: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, 0, ifindex, flags, change)


def set_up(name: str) -> None:
    """Bring a device of the present namespace up."""
    with NetlinkSocket() as netlink:
        body = _ifinfomsg(device_facts(name).ifindex, 1, 1)
        netlink.request(wire.RTM_NEWLINK, 0, body, f"ip link set {name} up")


def join(left: Namespace, left_name: str, right: Namespace, right_name: str) -> None:
    """Join two namespaces by a veth pair without ethtool, both ends up."""
    peer = wire.nested(
        _VETH_PEER,
        _ifinfomsg(),
        wire.attr(_IFLA_IFNAME, wire.text(right_name)),
        wire.attr(_IFLA_NET_NS_FD, wire.u32(right.descriptor)),
    )
    info = wire.nested(
        _IFLA_LINKINFO, wire.attr(_INFO_KIND, wire.text("veth")), wire.nested(_INFO_DATA, peer)
    )
    body = _ifinfomsg() + wire.attr(_IFLA_IFNAME, wire.text(left_name)) + info
    with left.entered(), NetlinkSocket() as netlink:
        netlink.request(wire.RTM_NEWLINK, _CREATE, body, f"ip link add {left_name} type veth")
    for namespace, name in ((left, left_name), (right, right_name)):
        with namespace.entered():
            for feature in ("tx", "tso", "gso", "gro"):
                ethtool.switch(name, feature, False)
            set_up(name)


def add_address(namespace: Namespace, name: str, address: str) -> None:
    """Give a device an IPv4 address of a /24."""
    packed = socket.inet_aton(address)
    with namespace.entered(), NetlinkSocket() as netlink:
        body = struct.pack("=BBBBI", socket.AF_INET, 24, 0, 0, device_facts(name).ifindex)
        body += wire.attr(1, packed) + wire.attr(2, packed)
        netlink.request(_RTM_NEWADDR, _CREATE, body, f"ip address add {address}/24 dev {name}")


def add_default_route(namespace: Namespace, gateway: str) -> None:
    """Send everything to a gateway."""
    with namespace.entered(), NetlinkSocket() as netlink:
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 4, 0, 1, 0)
        body += wire.attr(5, socket.inet_aton(gateway))
        netlink.request(_RTM_NEWROUTE, _CREATE, body, f"ip route add default via {gateway}")


def address_path(sender: Namespace, router: Namespace, receiver: Namespace) -> None:
    """Give ``s0 - r0 router r1 - c0`` addresses and routes, and hosts that remember no run.

    Parameters
    ----------
    sender, router, receiver
        Joined already: the sender has ``s0``, the router ``r0`` and ``r1``, the receiver ``c0``.
    """
    add_address(sender, "s0", SENDER)
    add_address(router, "r0", "10.71.1.254")
    add_address(router, "r1", "10.71.2.254")
    add_address(receiver, "c0", RECEIVER)
    add_default_route(sender, "10.71.1.254")
    add_default_route(receiver, "10.71.2.254")
    for namespace in (sender, router, receiver):
        namespace.sysctl("ipv4/conf/all/rp_filter", "0")
        namespace.sysctl("ipv4/tcp_no_metrics_save", "1")
        namespace.sysctl("ipv4/tcp_wmem", "4096 65536 16777216")
        namespace.sysctl("ipv4/tcp_rmem", "4096 1048576 16777216")
    router.sysctl("ipv4/ip_forward", "1")
