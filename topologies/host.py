"""The topology of this Linux host (or network namespace), read through netlink; needs no privilege.

The host is one node. Each interface but the loopback gives a link to the segment it is attached
to: a node named after the interface, or after the gateway where a default route names one. Radios
are listed among the details only: netlink's routing family knows neither frequency nor SNR.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qos.errors import KernelError
from topologies.links import MAX_RATE_BPS
from topologies.model import Node, Topology, WiredLink

DEFAULT_RATE_BPS = 1_000_000_000
_MAIN_TABLE = 254


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface.

    Attributes
    ----------
    index, name, kind
        Kernel index, name, and driver kind (``veth``, ``bridge``; empty for hardware).
    up
        Whether it is administratively up and has a carrier.
    mtu_bytes
        Largest packet in bytes.
    hardware_address
        MAC address or empty.
    addresses
        IP addresses with prefix length.
    rate_bps
        Line rate in bit/s, or None where the driver does not say.
    wireless
        Whether it is a radio.
    qdiscs
        Queueing disciplines, ``kind handle parent``, root first.
    """

    index: int
    name: str
    kind: str
    up: bool
    mtu_bytes: int
    hardware_address: str
    addresses: tuple[str, ...]
    rate_bps: int | None
    wireless: bool
    qdiscs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the main table: destination (``default`` or prefix), gateway, interface, metric."""

    destination: str
    gateway: str
    interface: str
    metric: int


@dataclass(frozen=True, slots=True)
class HostView:
    """What was read: the topology, the interfaces, the routes, and notes for people."""

    topology: Topology
    interfaces: tuple[Interface, ...]
    routes: tuple[Route, ...]
    notes: tuple[str, ...]


def read_host() -> HostView:
    """Read interfaces, addresses, routes and qdiscs of the present network namespace.

    Raises
    ------
    KernelError
        If the kernel refuses a netlink request.
    """
    import errno

    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as netlink:
            links = list(netlink.get_links())
            addresses = list(netlink.get_addr())
            routes = list(netlink.get_routes(table=_MAIN_TABLE))
            qdiscs = list(netlink.get_qdiscs())
    except (NetlinkError, OSError) as error:
        code = getattr(error, "code", None) or getattr(error, "errno", None) or errno.EIO
        raise KernelError("netlink dump of links, addresses, routes and qdiscs", int(code)) from None
    interfaces = tuple(_interface(link, addresses, qdiscs) for link in links)
    names = {interface.index: interface.name for interface in interfaces}
    found = tuple(_route(route, names) for route in routes if route.get_attr("RTA_OIF") in names)
    return _view(interfaces, found)


def _interface(link: Any, addresses: list[Any], qdiscs: list[Any]) -> Interface:
    index, name = int(link["index"]), str(link.get_attr("IFLA_IFNAME"))
    info = link.get_attr("IFLA_LINKINFO")
    own = [a for a in addresses if a["index"] == index and a.get_attr("IFA_ADDRESS")]
    # An address may be a peer's on point-to-point links; the local one comes first.
    spelled = [f"{a.get_attr('IFA_LOCAL') or a.get_attr('IFA_ADDRESS')}/{a['prefixlen']}" for a in own]
    return Interface(
        index=index,
        name=name,
        kind=str(info.get_attr("IFLA_INFO_KIND") or "") if info else "",
        up=link.get_attr("IFLA_OPERSTATE") in ("UP", "UNKNOWN") and bool(link["flags"] & 1),
        mtu_bytes=int(link.get_attr("IFLA_MTU") or 0),
        hardware_address=str(link.get_attr("IFLA_ADDRESS") or ""),
        addresses=tuple(spelled),
        rate_bps=_speed_bps(name),
        wireless=Path("/sys/class/net", name, "phy80211").exists(),
        qdiscs=tuple(_qdisc(qdisc) for qdisc in qdiscs if qdisc["index"] == index),
    )


def _qdisc(qdisc: Any) -> str:
    parent = "root" if qdisc["parent"] == 0xFFFFFFFF else f"parent {_handle(qdisc['parent'])}"
    return f"{qdisc.get_attr('TCA_KIND')} {_handle(qdisc['handle'])} {parent}"


def _handle(number: int) -> str:
    return f"{number >> 16:x}:{number & 0xFFFF:x}" if number & 0xFFFF else f"{number >> 16:x}:"


def _speed_bps(name: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        speed_mbit = int(Path("/sys/class/net", name, "speed").read_text())
        if 0 < speed_mbit <= MAX_RATE_BPS // 10**6:
            return speed_mbit * 10**6
    return None


def _route(route: Any, names: dict[int, str]) -> Route:
    destination = route.get_attr("RTA_DST")
    return Route(
        destination=f"{destination}/{route['dst_len']}" if destination else "default",
        gateway=str(route.get_attr("RTA_GATEWAY") or ""),
        interface=names[route.get_attr("RTA_OIF")],
        metric=int(route.get_attr("RTA_PRIORITY") or 0),
    )


def _view(interfaces: tuple[Interface, ...], routes: tuple[Route, ...]) -> HostView:
    host = socket.gethostname().strip() or "this-host"
    gateways = {r.interface: r.gateway for r in reversed(routes) if r.destination == "default" and r.gateway}
    shown = [i for i in interfaces if i.name != "lo" and not i.wireless]
    nodes = {host: Node(host, "host", interfaces=tuple(i.name for i in interfaces))}
    links = []
    for interface in shown:
        gateway = gateways.get(interface.name, "")
        far = gateway or f"segment-{interface.name}"
        nodes.setdefault(far, Node(far, "router" if gateway else "switch"))
        rate_bps = interface.rate_bps or DEFAULT_RATE_BPS
        links.append(WiredLink(host, far, rate_bps, id=interface.name, source_interface=interface.name))
    unknown = [i.name for i in shown if i.rate_bps is None]
    radios = [i.name for i in interfaces if i.wireless]
    notes = [f"no line rate known for {', '.join(unknown)}: 1gbit assumed"] if unknown else []
    notes += [f"radio {name} is not drawn: its channel is not read" for name in radios]
    topology = Topology(nodes.values(), links, name=host)
    return HostView(topology, interfaces, routes, tuple(notes))
