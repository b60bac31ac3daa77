"""Remembers a foreign qdisc tree and puts it back, whatever its kind.

What the kernel dumps of a qdisc, class or filter is, for almost every kind, what it accepts to make
it again; so the raw attributes are kept and replayed. A root with handle 0 is the
kernel's own default (noqueue, pfifo_fast, mq, net.core.default_qdisc): it comes back by itself.
"""

from __future__ import annotations

import base64
import errno
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

from linux_qdisc import wire
from linux_qdisc.bpf.classic import to_netlink_bytes
from linux_qdisc.encode import (
    LINKLAYER_ETHERNET,
    REDIRECT_COOKIE,
    TCA_ACT_COOKIE,
    TCA_BPF_OPS,
    TCA_HTB_INIT,
)
from linux_qdisc.operations import MATCH_ALL
from linux_qdisc.rtnetlink import NetlinkSocket, somebody_listens
from linux_qdisc.tree import ROOT_MAJOR
from qos.errors import KernelError

_KEPT = (wire.TCA_OPTIONS, wire.TCA_STAB)
_TCA_HTB_PARMS, _TCA_TBF_PARMS = 1, 1
_TCA_RED_PARMS, _TCA_RED_STAB, _TCA_RED_FLAGS = 1, 2, 4
_CREATE = wire.NLM_F_CREATE | wire.NLM_F_EXCL
_INGRESS_SIDE, _EGRESS_SIDE = 0xFFFFFFF2, 0xFFFFFFF3
_U32_ROOT_TABLES = 0x800
"""The kernel numbers the root tables of u32 filters from here on, in the order in which they are made."""
_FILTER_FLAGS = {"bpf": 9, "u32": 11, "flower": 22, "matchall": 3}
"""Kind -> number of its attribute of TCA_CLS_FLAGS (linux/pkt_cls.h)."""
_IN_OR_NOT_IN_HARDWARE = 1 << 2 | 1 << 3


@dataclass(frozen=True, slots=True)
class TcObject:
    """A qdisc, class or filter; `options` is base64 of its attributes but the kind."""

    handle: int
    parent: int
    info: int
    kind: str
    options: str

    @classmethod
    def of(cls, found: wire.TcMessage) -> Self:
        """Keep what is needed to make it again."""
        parts = [wire.attr(key, bytes(found.attributes[key])) for key in _KEPT if key in found.attributes]
        return cls(
            found.handle,
            found.parent,
            found.info,
            found.kind,
            base64.b64encode(b"".join(parts)).decode(),
        )

    def options_bytes(self) -> bytes:
        """Return the attributes as the kernel wrote them."""
        return base64.b64decode(self.options)

    def body(self, ifindex: int) -> bytes:
        """Return the request that makes it, without the header."""
        options = _acceptable(self.kind, self.options_bytes())
        head = wire.tcmsg(ifindex, self.handle, self.parent, self.info)
        return head + wire.attr(wire.TCA_KIND, wire.text(self.kind)) + options


@dataclass(frozen=True, slots=True)
class IngressSnapshot:
    """The ``ingress`` or ``clsact`` qdisc of a device with its filters."""

    qdisc: TcObject
    filters: tuple[TcObject, ...]

    @property
    def is_ours(self) -> bool:
        """Whether it holds the one filter that `--ingress` installs."""
        # The program says it where a tree was made before the redirect carried a cookie, or by a shell.
        marks = (
            wire.attr(TCA_ACT_COOKIE, REDIRECT_COOKIE),
            wire.attr(TCA_BPF_OPS, to_netlink_bytes(MATCH_ALL)),
        )
        found = [any(mark in row.options_bytes() for mark in marks) for row in self.filters]
        return self.qdisc.kind == "ingress" and found == [True]


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """The egress tree of a device, parents before children; and its ingress side where that was replaced."""

    root: TcObject
    qdiscs: tuple[TcObject, ...]
    classes: tuple[TcObject, ...]
    filters: tuple[TcObject, ...]
    ingress: IngressSnapshot | None = None

    @property
    def is_default(self) -> bool:
        """Whether the kernel puts this tree in place by itself."""
        return self.root.handle == 0

    @property
    def is_ours(self) -> bool:
        """Whether this is a tree that `qos attach` made."""
        return self.root.kind == "htb" and self.root.handle == ROOT_MAJOR << 16

    def to_json(self) -> dict[str, Any]:
        """Return a plain document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        rows = {
            name: tuple(TcObject(**row) for row in document[name])
            for name in ("qdiscs", "classes", "filters")
        }
        ingress = document.get("ingress")
        if ingress is not None:
            filters = tuple(TcObject(**row) for row in ingress["filters"])
            rows["ingress"] = IngressSnapshot(TcObject(**ingress["qdisc"]), filters)  # type: ignore[assignment]
        return cls(TcObject(**document["root"]), **rows)  # type: ignore[arg-type]


def snapshot(netlink: NetlinkSocket, ifindex: int) -> DeviceSnapshot:
    """Read the egress tree of a device."""
    found = _dump(netlink, wire.RTM_GETQDISC, ifindex)
    root = next((row for row in found if row.parent == wire.TC_H_ROOT), None)
    if root is None:
        root = wire.TcMessage(ifindex, 0, wire.TC_H_ROOT, 0, "noqueue", {})
    kept = TcObject.of(root)
    if kept.handle == 0 or (kept.kind == "htb" and kept.handle == ROOT_MAJOR << 16):
        return DeviceSnapshot(kept, (), (), ())
    children = [row for row in found if row.parent not in (wire.TC_H_ROOT, wire.TC_H_INGRESS) and row.handle]
    classes = _parents_first(_dump(netlink, wire.RTM_GETTCLASS, ifindex), root.handle)
    parents = [root.handle, *(row.handle for row in children)]
    filters = [row for parent in parents for row in _dump(netlink, wire.RTM_GETTFILTER, ifindex, parent)]
    return DeviceSnapshot(
        kept,
        tuple(TcObject.of(row) for row in _parents_first(children, root.handle)),
        tuple(TcObject.of(row) for row in classes),
        tuple(TcObject.of(row) for row in filters if _is_made(row)),
    )


def has_our_root(netlink: NetlinkSocket, ifindex: int) -> bool:
    """Say whether our tree stands on a device, at the price of one small message.

    The control loop asks twice a second. Reading all qdiscs, as `snapshot` does, takes 10 ms and more with
    1,024 queues, in which no queue is polled. The kernel tells what is asked for one by one to everybody
    who listens to changes of traffic control; where somebody does, the heads of a dump are looked at.
    """
    root = ROOT_MAJOR << 16
    if somebody_listens():
        dumped = netlink.dump(wire.RTM_GETQDISC, wire.tcmsg(ifindex, 0, 0))
        wanted = ifindex, root, wire.TC_H_ROOT
        found = [row for row in dumped if wire.TCMSG.unpack_from(row)[1:4] == wanted]
        return any(wire.TcMessage.parse(row).kind == "htb" for row in found)
    body = wire.tcmsg(ifindex, root, wire.TC_H_ROOT) + wire.attr(wire.TCA_KIND, wire.text("htb"))
    try:
        netlink.request(wire.RTM_GETQDISC, 0, body, "tc qdisc show")
    except KernelError as refusal:
        if refusal.errno_code in (errno.EINVAL, errno.ENOENT, errno.ENODEV):
            return False
        raise
    return True


def ingress_snapshot(netlink: NetlinkSocket, ifindex: int) -> IngressSnapshot | None:
    """Read the ingress side of a device; None where it has none."""
    found = _dump(netlink, wire.RTM_GETQDISC, ifindex)
    qdisc = next((row for row in found if row.parent == wire.TC_H_INGRESS), None)
    if qdisc is None:
        return None
    sides = (_INGRESS_SIDE, _EGRESS_SIDE) if qdisc.kind == "clsact" else (qdisc.handle,)
    filters = [row for side in sides for row in _dump(netlink, wire.RTM_GETTFILTER, ifindex, side)]
    return IngressSnapshot(TcObject.of(qdisc), tuple(TcObject.of(row) for row in filters if _is_made(row)))


def restore_ingress(netlink: NetlinkSocket, ifindex: int, before: IngressSnapshot) -> list[str]:
    """Put a remembered ingress side back where there is none; return what could not be restored."""
    failed: list[str] = []
    _make(netlink, wire.RTM_NEWQDISC, _CREATE, before.qdisc, ifindex, failed)
    for row in [] if failed else before.filters:
        _make(netlink, wire.RTM_NEWTFILTER, _CREATE, row, ifindex, failed)
    return failed


def _is_made(row: wire.TcMessage) -> bool:
    """Whether a filter must be made: its header (handle 0) and u32's root table come with it."""
    is_root_table = row.kind == "u32" and row.handle >> 20 >= _U32_ROOT_TABLES and not row.handle & 0xFFFFF
    return bool(row.handle) and not is_root_table


def restore(netlink: NetlinkSocket, ifindex: int, before: DeviceSnapshot) -> list[str]:
    """Put a remembered tree back in the place of ours; return what could not be restored.

    Raises
    ------
    KernelError
        If our own tree cannot be removed.
    """
    remove_root(netlink, ifindex)
    if before.is_default:
        return []
    failed: list[str] = []
    replace = wire.NLM_F_CREATE | wire.NLM_F_REPLACE
    _make(netlink, wire.RTM_NEWQDISC, replace, before.root, ifindex, failed)
    if failed:
        return failed
    made = {before.root.handle >> 16}
    pending = [*before.qdiscs]
    classes = [*before.classes]
    while True:
        for row in [row for row in classes if row.handle >> 16 in made]:
            classes.remove(row)
            # Minor number 0 is hfsc's root class, which comes with the qdisc.
            if row.kind in _KINDS_WITH_CLASSES and row.handle & 0xFFFF:
                _make(netlink, wire.RTM_NEWTCLASS, _CREATE, row, ifindex, failed)
        ready = [row for row in pending if row.parent >> 16 in made]
        if not ready:
            break
        for row in ready:
            pending.remove(row)
            _make(netlink, wire.RTM_NEWQDISC, replace, row, ifindex, failed)
            made.add(row.handle >> 16)
    for row in before.filters:
        _make(netlink, wire.RTM_NEWTFILTER, _CREATE, row, ifindex, failed)
    return failed


_KINDS_WITH_CLASSES = frozenset({"htb", "hfsc", "drr", "qfq", "cbq"})
"""Kinds whose classes a user makes; the others (mq, prio, fq_codel, sfq) have theirs from birth."""

_KINDS_WITH_DAMPING = frozenset({"red", "choke"})


def remove_root(netlink: NetlinkSocket, ifindex: int) -> None:
    """Remove our root, if it is there; the kernel puts its default in its place."""
    body = wire.tcmsg(ifindex, ROOT_MAJOR << 16, wire.TC_H_ROOT)
    if snapshot(netlink, ifindex).is_ours:
        netlink.request(wire.RTM_DELQDISC, 0, body, "tc qdisc del root")


def _make(
    netlink: NetlinkSocket, message: int, flags: int, row: TcObject, ifindex: int, failed: list[str]
) -> None:
    try:
        netlink.request(message, flags, row.body(ifindex), f"restore {row.kind} {row.handle >> 16:x}:")
    except KernelError as refusal:
        failed.append(str(refusal))


def _dump(netlink: NetlinkSocket, message: int, ifindex: int, parent: int = 0) -> list[wire.TcMessage]:
    rows = [wire.TcMessage.parse(row) for row in netlink.dump(message, wire.tcmsg(ifindex, 0, parent))]
    return [row for row in rows if row.ifindex == ifindex]


def _parents_first(rows: list[wire.TcMessage], root: int) -> list[wire.TcMessage]:
    ordered: list[wire.TcMessage] = []
    known = {root, wire.TC_H_ROOT}
    pending = list(rows)
    while pending:
        ready = [row for row in pending if row.parent in known or row.parent >> 16 << 16 in known]
        if not ready:
            return ordered + pending
        for row in ready:
            pending.remove(row)
            known.add(row.handle)
        ordered += ready
    return ordered


def _acceptable(kind: str, options: bytes) -> bytes:
    """Turn what the kernel says of an object into what it takes to make one."""
    if kind in _KINDS_WITH_DAMPING:
        return _with_damping(options)
    if kind in ("htb", "tbf"):
        return _patched(options, lambda key, data: _with_linklayer(kind, key, data))
    if kind in _FILTER_FLAGS:
        return _patched(options, lambda key, data: _without_hardware_state(kind, key, data))
    return options


def _patched(options: bytes, change: Callable[[int, bytes], bytes]) -> bytes:
    parts = []
    for key, payload in wire.attributes(options).items():
        if key == wire.TCA_OPTIONS:
            inner = wire.attributes(payload)
            parts.append(wire.nested(key, *(wire.attr(k, change(k, bytes(v))) for k, v in inner.items())))
        else:
            parts.append(wire.attr(key, bytes(payload)))
    return b"".join(parts)


def _with_damping(options: bytes) -> bytes:
    """Add the table by which the average queue of red and choke decays while the queue is idle.

    The kernel never tells the table, only the unit of its index, which tc's formula
    (tc_red_eval_idle_damping) picks so that the full decay, 31, comes between entry 256 and 512. The
    middle of the two decays within a factor of 1.4 of what was there; all else is exact.
    """
    table = bytes(min(31, index * 31 // 362) for index in range(255)) + b"\x1f"
    parts = []
    for key, payload in wire.attributes(options).items():
        data = bytes(payload)
        if key == wire.TCA_OPTIONS:
            parts.append(wire.nested(key, *_red_options(data), wire.attr(_TCA_RED_STAB, table)))
        else:
            parts.append(wire.attr(key, data))
    return b"".join(parts)


def _red_options(options: bytes) -> list[bytes]:
    """Leave out the flags of the old structure where the kernel tells them twice: it takes them once."""
    inner = {key: bytes(payload) for key, payload in wire.attributes(options).items()}
    if _TCA_RED_FLAGS in inner:
        inner[_TCA_RED_PARMS] = inner[_TCA_RED_PARMS][:15] + b"\0" + inner[_TCA_RED_PARMS][16:]
    return [wire.attr(key, data) for key, data in inner.items()]


def _without_hardware_state(kind: str, key: int, data: bytes) -> bytes:
    """Leave out whether a filter was in hardware: the kernel says so, but does not want to hear it."""
    if key != _FILTER_FLAGS[kind]:
        return data
    return wire.u32(int.from_bytes(data, sys.byteorder) & ~_IN_OR_NOT_IN_HARDWARE)


def _with_linklayer(kind: str, key: int, data: bytes) -> bytes:
    if kind == "htb" and key == TCA_HTB_INIT:
        # The kernel says its full version (3.17) and wants to hear the major number alone.
        version = int.from_bytes(data[:4], sys.byteorder)
        return (version >> 16 or version).to_bytes(4, sys.byteorder) + data[4:]
    if key != _TCA_HTB_PARMS or len(data) < 24:
        return data
    patched = bytearray(data)
    for start in (0, 12):
        if not patched[start + 1] & 0xF:
            patched[start + 1] |= LINKLAYER_ETHERNET
    if kind == "tbf" and not any(patched[20:24]):
        patched[13] &= 0xF0
    return bytes(patched)
