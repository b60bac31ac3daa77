"""Facts of one interface that the tree depends on, read without privileges."""

from __future__ import annotations

import difflib
import socket
import struct
from dataclasses import dataclass

from linux_qdisc import wire
from linux_qdisc.rtnetlink import NetlinkSocket
from qos.errors import ValueRefusedError

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO = 1, 3, 4, 18
IFLA_NUM_TX_QUEUES, IFLA_GSO_MAX_SIZE, IFLA_INFO_KIND = 31, 41, 1
IFF_UP = 0x1
DEFAULT_GSO_MAX_BYTES = 65_536
_IFINFOMSG = struct.Struct("=BxHiII")


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """One interface.

    Attributes
    ----------
    name, ifindex
        What it is called and its index in this network namespace.
    mtu_bytes
        Largest IP packet.
    link_type
        ARPHRD number (linux/if_arp.h): 1 is Ethernet.
    tx_queues
        Number of hardware transmit queues.
    is_up
        Whether it is administratively up.
    gso_max_bytes
        Largest super-packet that TCP may hand to it.
    address
        Link-layer address, ``""`` where it has none.
    kind
        Kind of a virtual device (``veth``, ``vlan`` ...), ``""`` for hardware.
    """

    name: str
    ifindex: int
    mtu_bytes: int
    link_type: int
    tx_queues: int
    is_up: bool
    gso_max_bytes: int
    address: str
    kind: str


def all_devices() -> list[DeviceFacts]:
    """Read every interface of this network namespace, by index."""
    body = _IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    with NetlinkSocket() as netlink:
        found = [_parse(payload) for payload in netlink.dump(wire.RTM_GETLINK, body)]
    return sorted(found, key=lambda device: device.ifindex)


def device_facts(name: str) -> DeviceFacts:
    """Read the facts of one interface.

    Raises
    ------
    ValueRefusedError
        If there is no such interface; the message names the nearest ones.
    """
    devices = {device.name: device for device in all_devices()}
    if name in devices:
        return devices[name]
    near = difflib.get_close_matches(name, devices, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there is: {', '.join(sorted(devices)[:8])}"
    raise ValueRefusedError(f"no interface {name[:32]!r} here; {hint}")


def _parse(payload: memoryview) -> DeviceFacts:
    _family, link_type, ifindex, flags, _change = _IFINFOMSG.unpack_from(payload)
    found = wire.attributes(payload[_IFINFOMSG.size :])
    info = wire.attributes(found.get(IFLA_LINKINFO, memoryview(b"")))
    return DeviceFacts(
        name=wire.string(found.get(IFLA_IFNAME)),
        ifindex=ifindex,
        mtu_bytes=_number(found, IFLA_MTU, 1500),
        link_type=link_type,
        tx_queues=_number(found, IFLA_NUM_TX_QUEUES, 1),
        is_up=bool(flags & IFF_UP),
        gso_max_bytes=_number(found, IFLA_GSO_MAX_SIZE, DEFAULT_GSO_MAX_BYTES),
        address=bytes(found.get(IFLA_ADDRESS, memoryview(b""))).hex(":"),
        kind=wire.string(info.get(IFLA_INFO_KIND)),
    )


def _number(found: dict[int, memoryview], kind: int, default: int) -> int:
    payload = found.get(kind)
    return struct.unpack_from("=I", payload)[0] if payload is not None else default
