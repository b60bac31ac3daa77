"""Carries operations out: the one module that changes queueing trees."""

from __future__ import annotations

import errno
import logging
import struct
import time
from collections.abc import Sequence

from linux_qdisc import encode, ethtool, wire
from linux_qdisc.bpf.flowmap import FlowMap
from linux_qdisc.bpf.keys import Isolation, LinkHeader
from linux_qdisc.device import device_facts
from linux_qdisc.operations import (
    AddIfb,
    AddRedirect,
    DeleteClass,
    DeleteIngress,
    DeleteLink,
    DeleteRoot,
    Operation,
    ReplaceRoot,
    SetClass,
    SetClassifier,
    SetLeaf,
    SwitchOffload,
)
from linux_qdisc.rtnetlink import BatchError, NetlinkSocket
from linux_qdisc.stats import ClassReader
from linux_qdisc.tree import FIRST_FLOW_MINOR, ROOT_MAJOR
from qos.errors import KernelError, MissingPieceError, PrivilegeError, QosError

log = logging.getLogger(__name__)
IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND = 3, 18, 1
DRAIN_TIMEOUT_S = 3.0
FORMS = ("ebpf", "cbpf", "flow", "u32")
"""Forms of the classifier, best first."""
_NO_CLASSIFIER = (
    "this kernel has no classifier that can be used; load the module cls_bpf (or cls_flow, or cls_u32)"
)
_NO_REDIRECT = (
    "--ingress needs the kernel's act_mirred and a classifier; load the modules act_mirred and cls_matchall "
    "(or cls_bpf, cls_u32, cls_flower)"
)
DRAIN_POLL_S = 0.02


class Kernel:
    """Executes operations over one netlink socket.

    Attributes
    ----------
    netlink
        The socket.
    flow_maps
        The eBPF side of each device's classifier, where there is one.
    """

    def __init__(self, netlink: NetlinkSocket) -> None:
        self.netlink = netlink
        self.flow_maps: dict[str, FlowMap] = {}
        self._indexes: dict[str, int] = {}

    def apply(self, operations: Sequence[Operation]) -> None:
        """Carry out operations in order.

        Raises
        ------
        KernelError
            At the first refusal; what came before stays done.
        PrivilegeError
            Without CAP_NET_ADMIN.
        """
        pending: list[encode.Request] = []
        for operation in operations:
            if isinstance(operation, SetClass | SetLeaf | ReplaceRoot):
                pending.append(self._encode(operation))
                continue
            self._flush(pending)
            self._apply_one(operation)
        self._flush(pending)

    def lead_back(self, operations: Sequence[Operation]) -> None:
        """Carry out what undoes a half-done change; an operation that does not apply is passed over."""
        for operation in operations:
            try:
                self.apply([operation])
            except QosError as error:
                log.warning("while leading back: %s", error)

    def _encode(self, operation: SetClass | SetLeaf | ReplaceRoot) -> encode.Request:
        ifindex = self._ifindex(operation.device)
        if isinstance(operation, SetClass):
            return encode.set_class(operation, ifindex)
        if isinstance(operation, SetLeaf):
            return encode.set_leaf(operation, ifindex)
        return encode.replace_root(operation, ifindex)

    def _flush(self, pending: list[encode.Request]) -> None:
        if pending:
            try:
                self.netlink.batch(pending)
            except BatchError as refusal:
                raise _explain(refusal) from None
            finally:
                pending.clear()

    def _apply_one(self, operation: Operation) -> None:
        if isinstance(operation, SetClassifier):
            self.set_classifier(operation)
        elif isinstance(operation, DeleteClass):
            self._delete_class(operation)
        elif isinstance(operation, AddIfb):
            self._add_ifb(operation)
        elif isinstance(operation, DeleteLink):
            self.delete_link(operation.name)
        elif isinstance(operation, AddRedirect):
            self._add_redirect(operation)
        elif isinstance(operation, DeleteIngress):
            self._delete_ingress(operation)
        elif isinstance(operation, DeleteRoot):
            self.delete_root(operation.device)
        elif isinstance(operation, SwitchOffload):
            ethtool.switch(operation.device, operation.feature, operation.on)
        else:
            raise TypeError(f"no way to carry out {operation!r}")

    def _ifindex(self, device: str) -> int:
        if device not in self._indexes:
            self._indexes[device] = device_facts(device).ifindex
        return self._indexes[device]

    def set_classifier(self, operation: SetClassifier) -> None:
        """Install a classifier: the form that is asked for, or the first of all that works here.

        Raises
        ------
        MissingPieceError
            If this kernel has no such classifier, or no classifier at all.
        PrivilegeError
            If the form that is asked for needs more than this process may.
        """
        forms = FORMS if operation.spec.form == "auto" else (operation.spec.form,)
        for form in forms:
            try:
                flow_map = self._install(operation, form)
                break
            except (PrivilegeError, MissingPieceError, KernelError) as error:
                missing = isinstance(error, KernelError) and error.errno_code == errno.ENOENT
                if form == forms[-1]:
                    if missing:
                        raise MissingPieceError(_missing(operation.spec.form)) from None
                    raise
                if form == "cbpf" and not missing:
                    raise
        if not operation.create:
            stays = encode.classifier_places(form)
            for other in FORMS[1:]:
                if encode.classifier_places(other) != stays:
                    self._delete_classifier(operation.device, other)
        previous = self.flow_maps.pop(operation.device, None)
        if previous is not None:
            previous.close()
        if flow_map is not None:
            self.flow_maps[operation.device] = flow_map

    def _delete_classifier(self, device: str, form: str) -> None:
        for preference, ethertype in encode.classifier_places(form):
            request = encode.delete_classifier(device, self._ifindex(device), preference, ethertype)
            self._forgiving(*request, errno.ENOENT)

    def _install(self, operation: SetClassifier, form: str) -> FlowMap | None:
        """Install one form of a classifier; return its map, if it has one."""
        ifindex, spec = self._ifindex(operation.device), operation.spec
        if form == "flow":
            self.netlink.batch(encode.set_flow_classifier(operation, ifindex))
            return None
        if form == "u32":
            if not operation.create:
                # Tables cannot be exchanged as a whole: for a moment all packets go to the catch-all.
                self._delete_classifier(operation.device, form)
            self.netlink.batch(encode.set_u32_classifier(operation, ifindex))
            return None
        if form == "cbpf":
            self.netlink.request(*encode.set_classifier(operation, ifindex, None))
            return None
        header = LinkHeader.ETHERNET if spec.has_ethernet_header else LinkHeader.NONE
        flow_map = FlowMap.create(operation.flows, ROOT_MAJOR, Isolation(spec.isolate), header)
        try:
            self.netlink.request(*encode.set_classifier(operation, ifindex, flow_map.prog_fd))
        except BaseException:
            flow_map.close()
            raise
        return flow_map

    def _delete_class(self, operation: DeleteClass) -> None:
        """Remove a class once its queue is empty, or when it has not become so in time."""
        ifindex = self._ifindex(operation.device)
        queue = operation.minor - FIRST_FLOW_MINOR
        reader = ClassReader(self.netlink, ifindex, queue + 1)
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        while reader.read().backlog_bytes[queue] and time.monotonic() < deadline:
            time.sleep(DRAIN_POLL_S)
        self.netlink.request(*encode.delete_class(operation, ifindex))

    def _add_ifb(self, operation: AddIfb) -> None:
        info = wire.nested(IFLA_LINKINFO, wire.attr(IFLA_INFO_KIND, wire.text("ifb")))
        body = _ifinfomsg(0, up=True) + wire.attr(IFLA_IFNAME, wire.text(operation.name)) + info
        flags = wire.NLM_F_CREATE | wire.NLM_F_EXCL
        try:
            self.netlink.request(wire.RTM_NEWLINK, flags, body, operation.commands()[0])
        except KernelError as refusal:
            if refusal.errno_code == errno.EOPNOTSUPP:
                raise MissingPieceError(
                    "--ingress needs the kernel module 'ifb'; load it (modprobe ifb)"
                ) from None
            raise

    def delete_link(self, name: str) -> None:
        """Remove a device of ours; one that is gone already is no error."""
        body = _ifinfomsg(0) + wire.attr(IFLA_IFNAME, wire.text(name))
        self._forgiving(wire.RTM_DELLINK, 0, body, f"ip link del {name}", errno.ENODEV)
        self._indexes.pop(name, None)
        gone = self.flow_maps.pop(name, None)
        if gone is not None:
            gone.close()

    def _add_redirect(self, operation: AddRedirect) -> None:
        ifindex = self._ifindex(operation.device)
        body = wire.tcmsg(ifindex, encode.INGRESS_HANDLE, wire.TC_H_INGRESS) + encode.kind("ingress")
        flags = wire.NLM_F_CREATE | wire.NLM_F_EXCL
        self.netlink.request(wire.RTM_NEWQDISC, flags, body, operation.commands()[0])
        redirects = encode.redirects(operation, ifindex, self._ifindex(operation.ifb))
        for request in redirects:
            try:
                self.netlink.request(*request)
                return
            except KernelError as refusal:
                if refusal.errno_code != errno.ENOENT:
                    raise
        raise MissingPieceError(_NO_REDIRECT)

    def _delete_ingress(self, operation: DeleteIngress) -> None:
        body = wire.tcmsg(self._ifindex(operation.device), encode.INGRESS_HANDLE, wire.TC_H_INGRESS)
        self._forgiving(wire.RTM_DELQDISC, 0, body, operation.commands()[0], errno.ENOENT)

    def delete_root(self, device: str) -> None:
        """Remove our root qdisc; the kernel puts its default in its place."""
        body = wire.tcmsg(self._ifindex(device), ROOT_MAJOR << 16, wire.TC_H_ROOT)
        self._forgiving(wire.RTM_DELQDISC, 0, body, f"tc qdisc del dev {device} root", errno.ENOENT)

    def _forgiving(self, kind: int, flags: int, body: bytes, what: str, allowed: int) -> None:
        try:
            self.netlink.request(kind, flags, body, what)
        except KernelError as refusal:
            if refusal.errno_code not in (allowed, errno.ENODEV, errno.EINVAL):
                raise

    def close(self) -> None:
        """Let go of the maps; the filters keep their programs."""
        for flow_map in self.flow_maps.values():
            flow_map.close()
        self.flow_maps.clear()


def _ifinfomsg(ifindex: int, *, up: bool = False) -> bytes:
    return struct.pack("=BxHiII", 0, 0, ifindex, int(up), int(up))


def _missing(form: str) -> str:
    """Say which classifier this kernel lacks."""
    if form == "auto":
        return _NO_CLASSIFIER
    module = {"ebpf": "cls_bpf", "cbpf": "cls_bpf"}.get(form, f"cls_{form}")
    return f"this kernel has no {module}; load that module or leave --classifier auto"


def _explain(refusal: BatchError) -> Exception:
    """Name the kernel piece that is missing, where that is what the refusal means."""
    if refusal.errno_code == errno.ENOENT and "qdisc" in refusal.detail:
        for piece, module in (("htb", "sch_htb"), ("bfifo", "sch_fifo")):
            if piece in refusal.operation:
                return MissingPieceError(f"this kernel has no qdisc '{piece}'; load the module {module}")
    return refusal
