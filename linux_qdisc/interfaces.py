"""Interfaces of this host by what people call them: a name, a hardware address, an IP address."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct

from linux_qdisc import wire
from linux_qdisc.device import DeviceFacts, all_devices, device_facts
from linux_qdisc.rtnetlink import NetlinkSocket
from qos.errors import ValueRefusedError

RTM_GETADDR = 22
IFA_ADDRESS, IFA_LOCAL = 1, 2
_IFADDRMSG = struct.Struct("=BBBBI")
_HARDWARE = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


def find_interface(where: str) -> DeviceFacts:
    """Give the interface of a name, a hardware address or an IP address.

    Parameters
    ----------
    where
        Such as ``eth0``, ``02:00:00:00:00:01``, ``192.0.2.1`` or ``2001:db8::1``.

    Raises
    ------
    ValueRefusedError
        If this host has no such interface, or more than one has the address.
    """
    devices = all_devices()
    if any(device.name == where for device in devices):
        return device_facts(where)
    if _HARDWARE.fullmatch(where.lower()):
        return _only([device for device in devices if device.address == where.lower()], where)
    try:
        wanted = ipaddress.ip_address(where)
    except ValueError:
        return device_facts(where)  # which names the nearest
    indexes = {index for index, address in _addresses() if address == wanted}
    return _only([device for device in devices if device.ifindex in indexes], where)


def _only(found: list[DeviceFacts], where: str) -> DeviceFacts:
    if len(found) != 1:
        names = ", ".join(device.name for device in found)
        what = f"several interfaces have it: {names}" if found else "no interface here has it"
        raise ValueRefusedError(f"address {where}: {what}; name the interface instead")
    return found[0]


def _addresses() -> list[tuple[int, ipaddress.IPv4Address | ipaddress.IPv6Address]]:
    """List the IP addresses of this network namespace with the index of their interface."""
    found = []
    with NetlinkSocket() as netlink:
        for payload in netlink.dump(RTM_GETADDR, _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            _family, _prefix, _flags, _scope, index = _IFADDRMSG.unpack_from(payload)
            told = wire.attributes(payload[_IFADDRMSG.size :])
            address = told.get(IFA_LOCAL, told.get(IFA_ADDRESS))
            if address is not None and len(address) in (4, 16):
                found.append((index, ipaddress.ip_address(bytes(address))))
    return found
