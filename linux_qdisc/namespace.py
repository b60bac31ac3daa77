"""Network namespaces: entering a named one, and telling them apart."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from pathlib import Path

from qos.errors import KernelError, PrivilegeError, ValueRefusedError

NAMED_NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
_SO_NETNS_COOKIE = 71

_libc = ctypes.CDLL(None, use_errno=True)


def inode(path: str = "/proc/self/ns/net") -> int:
    """Return the inode number that identifies the network namespace at `path`."""
    return os.stat(path).st_ino


def identity() -> str:
    """Return what tells this network namespace from every other one, also of earlier boots.

    The boot's random number, and the namespace's cookie where the kernel gives one (Linux 5.14).
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            raw = probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError:
            return boot
    return f"{boot}:{int.from_bytes(raw, sys.byteorder)}"


def set_namespace(descriptor: int, label: str) -> None:
    """Move the calling thread into the network namespace of an open descriptor.

    Raises
    ------
    PrivilegeError
        Without CAP_SYS_ADMIN.
    KernelError
        If the kernel refuses for another reason.
    """
    if _libc.setns(descriptor, CLONE_NEWNET) == 0:
        return
    code = ctypes.get_errno()
    if code == errno.EPERM:
        raise PrivilegeError(f"entering network namespace {label!r} needs CAP_SYS_ADMIN; run as root")
    raise KernelError(f"setns {label}", code)


def enter(name: str) -> None:
    """Move the calling thread into a namespace made by `ip netns add NAME`.

    Raises
    ------
    ValueRefusedError
        If there is no namespace of that name.
    PrivilegeError
        Without CAP_SYS_ADMIN.
    """
    if "/" in name or name in ("", ".", ".."):
        raise ValueRefusedError(f"network namespace {name!r} is not a name; see 'ip netns list'")
    try:
        descriptor = os.open(NAMED_NAMESPACES / name, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise PrivilegeError(f"network namespace {name!r} cannot be opened; run as root") from None
    except OSError:
        raise ValueRefusedError(f"no network namespace {name!r}; see 'ip netns list'") from None
    try:
        set_namespace(descriptor, name)
    finally:
        os.close(descriptor)
