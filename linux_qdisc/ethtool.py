"""The ethtool ioctl (linux/ethtool.h): segmentation offloads of a device.

Imports nothing heavy: who enters a user namespace must not have started threads, as numpy does.
"""

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


def is_on(device: str, feature: str) -> bool | None:
    """Say whether ``tso``, ``gso``, ``gro`` or ``tx`` (checksums) is on; None where it has no say."""
    try:
        return bool(_ioctl(device, _COMMANDS[feature][0], 0))
    except OSError:
        return None


def read(device: str) -> dict[str, bool | None]:
    """Return which of tso, gso and gro are on; None where the device has no say."""
    return {feature: is_on(device, feature) for feature in ("tso", "gso", "gro")}


def switch(device: str, feature: str, on: bool) -> None:
    """Switch ``tso``, ``gso``, ``gro`` or ``tx`` (checksums); a device that has no say is passed over.

    Raises
    ------
    PrivilegeError
        Without CAP_NET_ADMIN.
    KernelError
        If the device is gone.
    """
    try:
        _ioctl(device, _COMMANDS[feature][1], int(on))
    except OSError as error:
        if error.errno == errno.EPERM:
            raise PrivilegeError(
                f"switching {feature} of {device} needs CAP_NET_ADMIN; run as root"
            ) from None
        if error.errno == errno.ENODEV:
            raise KernelError(f"ethtool -K {device} {feature}", errno.ENODEV) from None
