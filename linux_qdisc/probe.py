"""What this kernel and this user can do, tried in a network namespace of our own."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from linux_qdisc import ethtool, wire
from linux_qdisc.bpf.flowmap import FlowMap
from linux_qdisc.bpf.keys import Isolation, LinkHeader
from linux_qdisc.compile import super_packet_bytes
from linux_qdisc.device import device_facts
from linux_qdisc.kernel import Kernel
from linux_qdisc.lab.namespaces import Namespace, join
from linux_qdisc.operations import AddIfb, AddRedirect, ReplaceRoot, SetClass, SetClassifier, SetLeaf
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.tree import (
    CATCH_ALL_HANDLE,
    CATCH_ALL_MINOR,
    LINK_MINOR,
    ROOT_MAJOR,
    ClassifierSpec,
    ClassShape,
    WireSize,
)
from qos.errors import QosError
from qos.units import format_rate

OK, MISSING, UNKNOWN = "ok", "missing", "unknown"
_EXAMPLE_RATE_BPS, _EXAMPLE_FLOWS = 50_000_000, 8


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name
        What it is.
    status
        ``ok``, ``missing`` or ``unknown``.
    detail
        What was found.
    consequence
        What follows where it is not ``ok``, or a warning.
    is_essential
        Whether `qos attach` cannot do without.
    """

    name: str
    status: str
    detail: str = ""
    consequence: str = ""
    is_essential: bool = False


def capabilities() -> int:
    """Return the effective capabilities of this process as bits."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff"):
            return int(line.split()[1], 16)
    return 0


def probe(device: str | None = None) -> list[Check]:
    """Look at everything; touches no interface that exists.

    Raises
    ------
    ValueRefusedError
        If `device` does not exist.
    """
    facts = _device_checks(device) if device else []
    return [*_privileges(), *_kernel_pieces(), *_host(), *facts]


def _privileges() -> list[Check]:
    bits = capabilities()
    admin = bool(bits >> 12 & 1)
    bpf = bool(bits >> 39 & 1 or bits >> 21 & 1)
    where = "" if _in_first_user_namespace() else "in this user namespace alone"
    return [
        Check("kernel", OK, f"{platform.release()} {platform.machine()}"),
        _capability("CAP_NET_ADMIN", admin, where, "attach and detach need it: sudo qos ...", essential=True),
        _capability("CAP_BPF", bpf, where, "flows share queues now and then (classic BPF)"),
    ]


def _capability(name: str, has: bool, where: str, consequence: str, essential: bool = False) -> Check:
    return Check(name, OK, where, "", essential) if has else Check(name, MISSING, "", consequence, essential)


def _in_first_user_namespace() -> bool:
    """Say whether this process's capabilities are those of the host: its users are mapped to themselves."""
    try:
        return Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(2**32 - 1)]
    except OSError:
        return True


def _kernel_pieces() -> list[Check]:
    try:
        namespace, far = Namespace("probe"), Namespace("probe")
    except QosError as error:
        return [Check("qdiscs and classifiers", UNKNOWN, str(error), "run 'sudo qos doctor' to try them")]
    try:
        join(namespace, "p0", far, "p1")
        with namespace.entered(), NetlinkSocket() as netlink:
            return _try_pieces(netlink)
    finally:
        namespace.close()
        far.close()


def _try_pieces(netlink: NetlinkSocket) -> list[Check]:
    kernel = Kernel(netlink)
    shape = ClassShape(10**6, 10**6, 3028, 3028, 1514, WireSize())
    spec = ClassifierSpec("flow", has_ethernet_header=True)
    checks = [
        _try("htb", lambda: kernel.apply([ReplaceRoot("p0")]), "no fair queue on this kernel", True),
        _try(
            "bfifo",
            lambda: kernel.apply(
                [
                    SetClass("p0", LINK_MINOR, 0, shape, create=True),
                    SetClass("p0", CATCH_ALL_MINOR, LINK_MINOR, shape, create=True),
                    SetLeaf("p0", CATCH_ALL_MINOR, CATCH_ALL_HANDLE, 3000, create=True),
                ]
            ),
            "no fair queue on this kernel",
            True,
        ),
        _try(
            "cls_bpf",
            lambda: kernel.apply([SetClassifier("p0", 2, replace(spec, form="cbpf"), create=True)]),
            "cls_flow or cls_u32 is used where it exists; flows share queues more often",
        ),
        _try("cls_flow", lambda: _try_form(kernel, "flow"), "only of use where cls_bpf is missing"),
        _try("cls_u32", lambda: _try_form(kernel, "u32"), "only of use where both of these are missing"),
        _try("eBPF flow map", _try_flow_map, "flows share queues now and then (classic BPF)"),
        _try("ifb", lambda: kernel.apply([AddIfb("p-ifb")]), "--ingress does not work"),
        _try(
            "ingress and mirred",
            lambda: kernel.apply([AddRedirect("p0", "p-ifb")]),
            "--ingress does not work",
        ),
    ]
    kernel.close()
    forms = [row.status for row in checks if row.name in ("cls_bpf", "cls_flow", "cls_u32")]
    checks.append(
        Check(
            "a classifier",
            OK if OK in forms else MISSING,
            "",
            "every flow would share one queue",
            is_essential=True,
        )
    )
    checks += [_try_qdisc(netlink, kind) for kind in ("netem", "fq_codel", "cake", "fq", "pie", "tbf")]
    return checks


def _try(name: str, action: Callable[[], None], consequence: str, essential: bool = False) -> Check:
    try:
        action()
    except QosError as error:
        return Check(name, MISSING, str(error), consequence, essential)
    return Check(name, OK, "", "", essential)


def _try_form(kernel: Kernel, form: str) -> None:
    spec = ClassifierSpec("flow", has_ethernet_header=True, form=form)
    kernel.apply([SetClassifier("p0", 2, spec, create=True)])


def _try_flow_map() -> None:
    FlowMap.create(2, ROOT_MAJOR, Isolation.FLOW, LinkHeader.ETHERNET).close()


_USES = {"netem": "the demo delays packets in user space"}


def _try_qdisc(netlink: NetlinkSocket, kind: str) -> Check:
    """Ask for a qdisc without options: a kernel that knows the kind complains about anything but it."""
    body = wire.tcmsg(device_facts("lo").ifindex, 0, wire.TC_H_ROOT)
    body += wire.attr(wire.TCA_KIND, wire.text(kind))
    flags = wire.NLM_F_CREATE | wire.NLM_F_REPLACE
    try:
        netlink.request(wire.RTM_NEWQDISC, flags, body, f"tc qdisc add {kind}")
    except QosError as error:
        if "ENOENT" in str(error) or "errno 2)" in str(error):
            return Check(kind, MISSING, "", _USES.get(kind, "only of use for comparisons"))
    return Check(kind, OK)


def _host() -> list[Check]:
    controls = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
    clock = Path("/proc/net/psched")
    found = []
    if controls.exists():
        found.append(Check("congestion controls", OK, controls.read_text().strip()))
    if clock.exists():
        words = clock.read_text().split()
        coarse = len(words) > 3 and int(words[3], 16) < 1_000_000
        found.append(
            Check(
                "timer resolution", OK, "coarse" if coarse else "1 ns", "shaping is bursty" if coarse else ""
            )
        )
    tun = os.access("/dev/net/tun", os.R_OK | os.W_OK)
    return [*found, Check("/dev/net/tun", OK if tun else MISSING)]


def _device_checks(name: str) -> list[Check]:
    device = device_facts(name)
    switched = ethtool.read(name)
    on = ", ".join(feature for feature, is_on in switched.items() if is_on) or "none"
    size = super_packet_bytes(device)
    wait_ms = size * _EXAMPLE_FLOWS * 8 / _EXAMPLE_RATE_BPS * 1e3
    consequence = ""
    if any(switched.values()):
        consequence = (
            f"limits stay at or above a super-packet of {size} bytes, {wait_ms:.0f} ms for "
            f"{_EXAMPLE_FLOWS} flows at {format_rate(_EXAMPLE_RATE_BPS)}; --offloads off and --gro-off IF "
            "avoid that"
        )
    queues = "one tree takes the place of mq: all processors share one lock" if device.tx_queues > 1 else ""
    return [
        Check(f"{name}: state", OK, "up" if device.is_up else "down"),
        Check(f"{name}: offloads", OK, on, consequence),
        Check(f"{name}: transmit queues", OK, str(device.tx_queues), queues),
    ]
