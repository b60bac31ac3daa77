"""Segmentation offloads of a device, through the ethtool ioctl (linux/ethtool.h)."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import socket
import struct

from qos.errors import KernelError, PrivilegeError

_SIOCETHTOOL = 0x8946
_COMMANDS = {"tso": (0x1E, 0x1F), "gso": (0x23, 0x24), "gro": (0x2B, 0x2C), "tx": (0x16, 0x17)}
"""Feature as `ethtool -K` names it -> (get, set)."""


def _ioctl(device: str, command: int, value: int) -> int:
    request = ctypes.create_string_buffer(struct.pack("=II", command, value))
    packed = struct.pack("16sP16x", device.encode(), ctypes.addressof(request))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCETHTOOL, packed)
    return int(struct.unpack("=II", request.raw[:8])[1])


def read(device: str) -> dict[str, bool | None]:
    """Return which of tso, gso and gro are on; None where the device has no say."""
    found: dict[str, bool | None] = {}
    for feature in ("tso", "gso", "gro"):
        try:
            found[feature] = bool(_ioctl(device, _COMMANDS[feature][0], 0))
        except OSError:
            found[feature] = None
    return found


def switch(device: str, feature: str, on: bool) -> bool | None:
    """Switch ``tso``, ``gso``, ``gro`` or ``tx`` (checksums); return how it was, None if it cannot be.

    Raises
    ------
    PrivilegeError
        Without CAP_NET_ADMIN.
    KernelError
        If the device is gone.
    """
    get, put = _COMMANDS[feature]
    try:
        before = bool(_ioctl(device, get, 0))
        if before != on:
            _ioctl(device, put, int(on))
    except OSError as error:
        if error.errno == errno.EPERM:
            raise PrivilegeError(
                f"switching {feature} of {device} needs CAP_NET_ADMIN; run as root"
            ) from None
        if error.errno == errno.ENODEV:
            raise KernelError(f"ethtool -K {device} {feature}", errno.ENODEV) from None
        return None
    return before
