"""Retry limits of a Wi-Fi station by traffic class: NL80211_CMD_SET_TID_CONFIG.

The kernel takes a limit for each traffic identifier (TID) of a station since 5.7, where the driver has
NL80211_EXT_FEATURE_TID_CONFIG's attributes; pyroute2 has neither the command nor the attribute, so that the
message is made here. Layout: include/uapi/linux/nl80211.h, `enum nl80211_tid_config_attr`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from linux_qdisc import wire
from linux_qdisc.wifi_stations import has_radio
from qos.errors import InputError, KernelError, MissingPieceError, PrivilegeError, ValueRefusedError

CMD_SET_TID_CONFIG = 137
ATTR_IFINDEX, ATTR_MAC, ATTR_TID_CONFIG = 3, 6, 285
TID_OVERRIDE, TID_TIDS, TID_RETRY_SHORT, TID_RETRY_LONG = 4, 5, 7, 8
TIDS = MappingProxyType({"BK": (1, 2), "BE": (0, 3), "VI": (4, 5), "VO": (6, 7)})
"""Traffic identifiers (802.1D priorities) of each Wi-Fi access category (IEEE 802.11, table 10-1)."""
LEAST_RETRIES, MOST_RETRIES = 1, 255
"""The kernel takes no 0: the least limit is one retry."""

_NETLINK_GENERIC, _GENL_ID_CTRL, _CTRL_CMD_GETFAMILY = 16, 16, 3
_CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 1, 2
_ANSWER_TIMEOUT_S = 5.0
_RECEIVE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class RetryLimit:
    """The retry limit of some traffic identifiers.

    Attributes
    ----------
    tids
        Traffic identifiers, 0 to 7, at least one.
    retries
        Largest number of retransmissions of a frame, 1 to 255.

    Raises
    ------
    ValueRefusedError
        If a figure is out of range.
    """

    tids: tuple[int, ...]
    retries: int

    def __post_init__(self) -> None:
        if not self.tids or not all(0 <= tid <= 7 for tid in self.tids):
            raise ValueRefusedError(f"traffic identifiers {self.tids}: give some of 0 to 7")
        if not LEAST_RETRIES <= self.retries <= MOST_RETRIES:
            raise ValueRefusedError(
                f"retries {self.retries}: the kernel takes {LEAST_RETRIES} to {MOST_RETRIES}"
            )


def limits_of_categories(retries: Mapping[str, int]) -> tuple[RetryLimit, ...]:
    """Give the limits of access categories; a limit of 0 becomes 1, the least that the kernel takes.

    Raises
    ------
    ValueRefusedError
        If a category is unknown or a number out of range.

    Examples
    --------
    >>> limits_of_categories({"VO": 0})
    (RetryLimit(tids=(6, 7), retries=1),)
    """
    unknown = sorted(retries.keys() - TIDS.keys())
    if unknown:
        raise ValueRefusedError(f"access category {unknown[0]!r} is unknown; use one of {', '.join(TIDS)}")
    return tuple(RetryLimit(TIDS[each], max(number, LEAST_RETRIES)) for each, number in retries.items())


def tid_config(ifindex: int, limits: Sequence[RetryLimit], station: str | None = None) -> bytes:
    """Make the payload of the command: generic netlink header and attributes.

    Parameters
    ----------
    ifindex
        The interface.
    limits
        Limits, no identifier twice.
    station
        Hardware address of the station; None: all stations of the interface, in place of what was set for
        single ones.

    Raises
    ------
    ValueRefusedError
        If an identifier is given twice, there is none, or the address is none.
    """
    named = [tid for limit in limits for tid in limit.tids]
    if not named or len(set(named)) != len(named):
        raise ValueRefusedError("give each traffic identifier one retry limit, and at least one of them")
    entries = []
    for place, limit in enumerate(limits):
        bits = sum(1 << tid for tid in limit.tids)
        inside = [wire.attr(TID_TIDS, wire.u16(bits))]
        inside += [wire.attr(kind, bytes([limit.retries])) for kind in (TID_RETRY_SHORT, TID_RETRY_LONG)]
        if station is None:
            inside.insert(0, wire.attr(TID_OVERRIDE, b""))
        entries.append(wire.nested(place + 1 | wire.NLA_F_NESTED, *inside))
    parts = [wire.attr(ATTR_IFINDEX, wire.u32(ifindex))]
    if station is not None:
        parts.append(wire.attr(ATTR_MAC, _address(station)))
    parts.append(wire.nested(ATTR_TID_CONFIG | wire.NLA_F_NESTED, *entries))
    return bytes([CMD_SET_TID_CONFIG, 1, 0, 0]) + b"".join(parts)


def _address(station: str) -> bytes:
    try:
        address = bytes.fromhex(station.replace(":", ""))
    except ValueError:
        address = b""
    if len(address) != 6:
        raise ValueRefusedError(f"station {station!r}: give a hardware address such as 02:00:00:00:00:01")
    return address


def set_retries(interface: str, limits: Sequence[RetryLimit], station: str | None = None) -> None:
    """Set the retry limits of a station, or of all stations of an interface.

    Raises
    ------
    InputError
        If there is no such interface, or it is no radio.
    MissingPieceError
        If the kernel has no nl80211.
    PrivilegeError
        Without CAP_NET_ADMIN.
    KernelError
        If the driver cannot set limits by traffic class, or refuses them.
    """
    if not has_radio(interface):
        raise InputError(f"{interface}: no radio here; retry limits are set on a Wi-Fi interface")
    body = tid_config(socket.if_nametoindex(interface), limits, station)
    words = ", ".join(f"TID {'/'.join(map(str, each.tids))} {each.retries}" for each in limits)
    operation = f"iw dev {interface} set tidconf ({words})"
    with _generic_socket() as link:
        code = _ask(link, _family(link), body)[0]
    if code in (errno.EPERM, errno.EACCES):
        raise PrivilegeError(f"{operation}: needs CAP_NET_ADMIN; run it as root")
    if code == errno.EOPNOTSUPP:
        raise KernelError(operation, code, "this driver sets no retry limits by traffic class")
    if code:
        raise KernelError(operation, code)


def _generic_socket() -> socket.socket:
    try:
        link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_GENERIC)
    except OSError as error:
        raise MissingPieceError(f"no generic netlink in this kernel: {error.strerror}") from None
    link.settimeout(_ANSWER_TIMEOUT_S)
    link.bind((0, 0))
    return link


def _family(link: socket.socket) -> int:
    """Ask for the number of nl80211, which differs between boots."""
    name = wire.attr(_CTRL_ATTR_FAMILY_NAME, wire.text("nl80211"))
    code, answer = _ask(link, _GENL_ID_CTRL, bytes([_CTRL_CMD_GETFAMILY, 1, 0, 0]) + name)
    number = wire.attributes(answer[4:]).get(_CTRL_ATTR_FAMILY_ID)
    if code or number is None:
        raise MissingPieceError("this kernel has no nl80211; load a Wi-Fi driver (cfg80211)")
    return int.from_bytes(number[:2], "little" if wire.u16(1)[0] else "big")


def _ask(link: socket.socket, kind: int, body: bytes) -> tuple[int, bytes]:
    """Send a request; return the errno of its acknowledgement and the payload that came with it."""
    link.send(wire.message(kind, wire.NLM_F_REQUEST | wire.NLM_F_ACK, 1, body))
    answer = b""
    while True:
        try:
            data = link.recv(_RECEIVE_BYTES)
        except TimeoutError:
            raise KernelError("nl80211 answer", errno.ETIMEDOUT) from None
        for got, _, _, payload in wire.messages(data):
            if got == wire.NLMSG_ERROR:
                return -int.from_bytes(
                    payload[:4], "little" if wire.u16(1)[0] else "big", signed=True
                ), answer
            answer = bytes(payload)
