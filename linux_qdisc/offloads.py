"""Segmentation offloads of a device, through the ethtool ioctl (linux/ethtool.h)."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import socket
import struct
from typing import TYPE_CHECKING

from linux_qdisc.operations import SwitchOffload
from qos.errors import KernelError, PrivilegeError, QosError

if TYPE_CHECKING:  # settings bring numpy in, whose threads keep `qos demo` from a user namespace
    from linux_qdisc.settings import QueueSettings

log = logging.getLogger(__name__)

Switched = dict[str, dict[str, bool | None]]
"""Interface -> offload -> whether it was on before we switched it; None where it has no say."""

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


def plan(settings: QueueSettings, switched: Switched) -> tuple[list[SwitchOffload], Switched]:
    """Work out what must be switched for `settings`; looks, but changes nothing.

    Parameters
    ----------
    settings
        What is asked.
    switched
        What an earlier attach switched, as it was before; what is no longer asked for comes back.

    Returns
    -------
    tuple
        The operations, and what will then be switched, as it was before.
    """
    wanted = {(settings.device, feature) for feature in ("tso", "gso") if settings.offloads == "off"}
    wanted |= {(name, "gro") for name in settings.gro_off}
    operations = [
        SwitchOffload(name, feature, on=True)
        for name, features in switched.items()
        for feature, was_on in features.items()
        if was_on and (name, feature) not in wanted
    ]
    result: Switched = {}
    for name, feature in sorted(wanted):
        now = is_on(name, feature)
        result.setdefault(name, {})[feature] = switched.get(name, {}).get(feature, now)
        if now:
            operations.append(SwitchOffload(name, feature, on=False))
    return operations, result


def union(one: Switched, other: Switched) -> Switched:
    """Return all that either has switched; where both have, `one` knows how it was before."""
    return {name: other.get(name, {}) | one.get(name, {}) for name in {**one, **other}}


def restore(switched: Switched) -> None:
    """Switch offloads back; an interface that is gone is passed over."""
    for name, features in switched.items():
        for feature, was_on in features.items():
            if was_on:
                try:
                    switch(name, feature, on=True)
                except QosError as error:
                    log.warning("%s", error)
