"""Operations as rtnetlink requests. Pure; layouts of linux/pkt_sched.h and linux/pkt_cls.h."""

from __future__ import annotations

import struct

from linux_qdisc import u32, wire
from linux_qdisc.bpf.classic import to_netlink_bytes
from linux_qdisc.bpf.keys import ETH_P_IP, ETH_P_IPV6
from linux_qdisc.operations import (
    FLOW_KEYS,
    FLOW_PREFERENCES,
    INGRESS_PREFERENCE,
    MATCH_ALL,
    U32_PREFERENCES,
    AddRedirect,
    DeleteClass,
    ReplaceRoot,
    SetClass,
    SetClassifier,
    SetLeaf,
    classic_form,
)
from linux_qdisc.tree import CATCH_ALL_MINOR, FIRST_FLOW_MINOR, LINK_MINOR, ROOT_MAJOR, ClassShape, classid

Request = tuple[int, int, bytes, str]
"""Kind, flags and body of a message, and the command that it stands for."""

TCA_HTB_PARMS, TCA_HTB_INIT, TCA_HTB_RATE64, TCA_HTB_CEIL64 = 1, 2, 6, 7
TCA_BPF_OPS_LEN, TCA_BPF_OPS, TCA_BPF_FD, TCA_BPF_NAME, TCA_BPF_ID = 4, 5, 6, 7, 11
HTB_VERSION = 3
RATE_TO_QUANTUM = 10
LINKLAYER_ETHERNET, LINKLAYER_ATM = 1, 2
TICK_NS = 64
"""One tick of the kernel's packet scheduler (PSCHED_SHIFT = 6)."""
CLASSIFIER_PREFERENCE = 1
CLASSIFIER_HANDLE = 1
CLASSIFIER_NAME = "qos_flows"
TCA_FLOW_KEYS, TCA_FLOW_MODE, TCA_FLOW_BASECLASS, TCA_FLOW_DIVISOR = 1, 2, 3, 8
FLOW_MODE_HASH = 1
INGRESS_HANDLE = 0xFFFF0000
TCA_ACT_KIND, TCA_ACT_OPTIONS, TCA_ACT_COOKIE, TCA_MIRRED_PARMS = 1, 2, 6, 2
TC_ACT_STOLEN, TCA_EGRESS_REDIR = 4, 1
_ACTION_ATTRIBUTES = {"bpf": 1, "matchall": 2, "u32": 7, "flower": 3}
"""Kind of filter -> number of the attribute that holds its actions."""
REDIRECT_COOKIE = b"qos-ingress"
"""What our redirect carries, so that it is known again; the kernel keeps it for whoever put it there."""
_FLOW_KEY_BITS = {"src": 0, "dst": 1, "proto": 2, "proto-src": 3, "proto-dst": 4}
_ETHERTYPES = {"ip": ETH_P_IP, "ipv6": ETH_P_IPV6}
_U32_MAX = 2**32 - 1

RATESPEC = struct.Struct("=BBHhHI")
"""cell_log, linklayer, overhead, cell_align, mpu, rate in bytes/s."""
HTB_OPT = struct.Struct("=12s12sIIIII")
"""rate, ceil, buffer, cbuffer, quantum, level, prio."""

_CREATE = wire.NLM_F_CREATE | wire.NLM_F_EXCL


def burst_ticks(burst_bytes: int, rate_bps: int) -> int:
    """Return the time to send a burst in scheduler ticks, at most what 32 bits hold."""
    return min(_U32_MAX, max(1, burst_bytes * 8 * 1_000_000_000 // (rate_bps * TICK_NS)))


def ratespec(rate_bps: int, shape: ClassShape) -> bytes:
    """Return a tc_ratespec; with a link layer named, the kernel needs no rate table."""
    layer = LINKLAYER_ATM if shape.wire.is_atm else LINKLAYER_ETHERNET
    rate = min(_U32_MAX, max(1, rate_bps // 8))
    return RATESPEC.pack(0, layer, shape.wire.overhead_bytes, -1, shape.wire.mpu_bytes, rate)


def class_parameters(shape: ClassShape) -> bytes:
    """Return the TCA_OPTIONS of an HTB class."""
    options = HTB_OPT.pack(
        ratespec(shape.rate_bps, shape),
        ratespec(shape.ceil_bps, shape),
        burst_ticks(shape.burst_bytes, shape.rate_bps),
        burst_ticks(shape.cburst_bytes, shape.ceil_bps),
        shape.quantum_bytes,
        0,
        0,
    )
    parts = [wire.attr(TCA_HTB_PARMS, options)]
    if shape.rate_bps // 8 > _U32_MAX:
        parts.append(wire.attr(TCA_HTB_RATE64, wire.u64(shape.rate_bps // 8)))
    if shape.ceil_bps // 8 > _U32_MAX:
        parts.append(wire.attr(TCA_HTB_CEIL64, wire.u64(shape.ceil_bps // 8)))
    return wire.nested(wire.TCA_OPTIONS, *parts)


def kind(name: str) -> bytes:
    """Return the TCA_KIND attribute."""
    return wire.attr(wire.TCA_KIND, wire.text(name))


def replace_root(operation: ReplaceRoot, ifindex: int) -> Request:
    """Encode the root qdisc."""
    init = struct.pack("=IIIII", HTB_VERSION, RATE_TO_QUANTUM, CATCH_ALL_MINOR, 0, 0)
    body = wire.tcmsg(ifindex, ROOT_MAJOR << 16, wire.TC_H_ROOT)
    body += kind("htb") + wire.nested(wire.TCA_OPTIONS, wire.attr(TCA_HTB_INIT, init))
    flags = wire.NLM_F_CREATE | wire.NLM_F_REPLACE
    return wire.RTM_NEWQDISC, flags, body, operation.commands()[0]


def set_class(operation: SetClass, ifindex: int) -> Request:
    """Encode a class."""
    parent = classid(operation.parent_minor) if operation.parent_minor else ROOT_MAJOR << 16
    body = wire.tcmsg(ifindex, classid(operation.minor), parent)
    body += kind("htb") + class_parameters(operation.shape)
    what = f"tc class {'add' if operation.create else 'change'} dev {operation.device} {operation.minor:x}"
    return wire.RTM_NEWTCLASS, _CREATE if operation.create else 0, body, what


def delete_class(operation: DeleteClass, ifindex: int) -> Request:
    """Encode the removal of a class."""
    body = wire.tcmsg(ifindex, classid(operation.minor), classid(LINK_MINOR))
    return wire.RTM_DELTCLASS, 0, body, operation.commands()[0]


def set_leaf(operation: SetLeaf, ifindex: int) -> Request:
    """Encode a leaf queue."""
    body = wire.tcmsg(ifindex, operation.handle, classid(operation.parent_minor))
    body += kind("bfifo") + wire.attr(wire.TCA_OPTIONS, wire.u32(operation.limit_bytes))
    what = f"tc qdisc {'add' if operation.create else 'change'} dev {operation.device} bfifo"
    return wire.RTM_NEWQDISC, _CREATE if operation.create else 0, body, what


def set_classifier(operation: SetClassifier, ifindex: int, program_fd: int | None) -> Request:
    """Encode the filter, with a loaded eBPF program or, without one, as classic BPF."""
    if program_fd is not None:
        parts = [wire.attr(TCA_BPF_FD, wire.u32(program_fd))]
        parts.append(wire.attr(TCA_BPF_NAME, wire.text(CLASSIFIER_NAME)))
    else:
        program = classic_form(operation)
        parts = [wire.attr(TCA_BPF_OPS_LEN, wire.u16(len(program)))]
        parts.append(wire.attr(TCA_BPF_OPS, to_netlink_bytes(program)))
    body = wire.tcmsg(ifindex, CLASSIFIER_HANDLE, ROOT_MAJOR << 16, wire.filter_info(CLASSIFIER_PREFERENCE))
    body += kind("bpf") + wire.nested(wire.TCA_OPTIONS, *parts)
    flags = _CREATE if operation.create else wire.NLM_F_CREATE | wire.NLM_F_REPLACE
    return wire.RTM_NEWTFILTER, flags, body, f"tc filter add dev {operation.device} bpf"


def set_flow_classifier(operation: SetClassifier, ifindex: int) -> list[Request]:
    """Encode cls_flow filters, one for each version of IP."""
    keys = sum(1 << _FLOW_KEY_BITS[key] for key in FLOW_KEYS[operation.spec.isolate])
    options = wire.nested(
        wire.TCA_OPTIONS,
        wire.attr(TCA_FLOW_KEYS, wire.u32(keys)),
        wire.attr(TCA_FLOW_MODE, wire.u32(FLOW_MODE_HASH)),
        wire.attr(TCA_FLOW_BASECLASS, wire.u32(classid(FIRST_FLOW_MINOR))),
        wire.attr(TCA_FLOW_DIVISOR, wire.u32(operation.flows)),
    )
    flags = _CREATE if operation.create else wire.NLM_F_CREATE | wire.NLM_F_REPLACE
    requests = []
    for protocol, preference in FLOW_PREFERENCES.items():
        info = wire.filter_info(preference, _ETHERTYPES[protocol])
        body = wire.tcmsg(ifindex, CLASSIFIER_HANDLE, ROOT_MAJOR << 16, info) + kind("flow") + options
        what = f"tc filter add dev {operation.device} protocol {protocol} flow"
        requests.append((wire.RTM_NEWTFILTER, flags, body, what))
    return requests


def set_u32_classifier(operation: SetClassifier, ifindex: int) -> list[Request]:
    """Encode the tables and filters of cls_u32; what leads to a table comes after what is in it."""
    flows, isolate = operation.flows, operation.spec.isolate
    requests = []

    def add(protocol: str, handle: int, options: bytes) -> None:
        info = wire.filter_info(U32_PREFERENCES[protocol], _ETHERTYPES[protocol])
        body = wire.tcmsg(ifindex, handle, ROOT_MAJOR << 16, info) + kind("u32") + options
        what = f"tc filter add dev {operation.device} protocol {protocol} u32"
        requests.append((wire.RTM_NEWTFILTER, _CREATE, body, what))

    for table in u32.tables(flows, isolate):
        add("ip", table.number << 20, u32.table_options(table))
    for row in u32.leaf_filters(flows):
        add("ip", row.node, u32.filter_options(row))
    for protocol in U32_PREFERENCES:
        for row in u32.path_filters(protocol, flows, isolate):
            add(protocol, row.node, u32.filter_options(row))
    return requests


def redirects(operation: AddRedirect, ifindex: int, ifb_index: int) -> list[Request]:
    """Encode the filter that sends all packets to an ifb, once for each kind of filter that can."""
    action = wire.nested(
        1,
        wire.attr(TCA_ACT_KIND, wire.text("mirred")),
        wire.nested(TCA_ACT_OPTIONS, wire.attr(TCA_MIRRED_PARMS, _mirred(ifb_index))),
        wire.attr(TCA_ACT_COOKIE, REDIRECT_COOKIE),
    )
    matching = {
        "bpf": [wire.attr(TCA_BPF_OPS_LEN, wire.u16(1)), wire.attr(TCA_BPF_OPS, to_netlink_bytes(MATCH_ALL))],
        "matchall": [],
        "u32": [wire.attr(u32.TCA_U32_SEL, u32.selector(u32.TERMINAL))],
        "flower": [],
    }
    requests = []
    for name, parts in matching.items():
        actions = wire.nested(_ACTION_ATTRIBUTES[name], action)
        body = wire.tcmsg(ifindex, 1, INGRESS_HANDLE, wire.filter_info(INGRESS_PREFERENCE))
        body += kind(name) + wire.nested(wire.TCA_OPTIONS, *parts, actions)
        requests.append((wire.RTM_NEWTFILTER, _CREATE, body, operation.commands()[-1]))
    return requests


def _mirred(ifindex: int) -> bytes:
    """Return struct tc_mirred: redirect to the egress of `ifindex`."""
    return struct.pack("=IIiiiiI", 0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, ifindex)


def delete_classifier(device: str, ifindex: int, preference: int, ethertype: int) -> Request:
    """Encode the removal of all filters of one preference."""
    body = wire.tcmsg(ifindex, 0, ROOT_MAJOR << 16, wire.filter_info(preference, ethertype))
    return wire.RTM_DELTFILTER, 0, body, f"tc filter del dev {device} prio {preference}"


def classifier_places(form: str) -> list[tuple[int, int]]:
    """List preference and ethertype of the filters that a classifier of `form` consists of."""
    if form in ("ebpf", "cbpf"):
        return [(CLASSIFIER_PREFERENCE, wire.ETH_P_ALL)]
    preferences = U32_PREFERENCES if form == "u32" else FLOW_PREFERENCES
    return [(preference, _ETHERTYPES[protocol]) for protocol, preference in preferences.items()]
