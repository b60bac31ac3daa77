"""Finds the classifier that is at work on a device, whoever installed it, and opens its map of flows."""

from __future__ import annotations

import sys

from linux_qdisc import wire
from linux_qdisc.bpf.flowmap import FlowMap
from linux_qdisc.encode import TCA_BPF_ID
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.tree import ROOT_MAJOR
from qos.errors import QosError


def classifier_id(netlink: NetlinkSocket, ifindex: int) -> int | None:
    """Return the kernel's number of the eBPF program that classifies on a device; None without one."""
    body = wire.tcmsg(ifindex, 0, ROOT_MAJOR << 16)
    for payload in netlink.dump(wire.RTM_GETTFILTER, body):
        found = wire.TcMessage.parse(payload)
        if found.ifindex != ifindex or found.kind != "bpf" or wire.TCA_OPTIONS not in found.attributes:
            continue
        number = wire.attributes(found.attributes[wire.TCA_OPTIONS]).get(TCA_BPF_ID)
        if number is not None:
            return int.from_bytes(number[:4], sys.byteorder)
    return None


def adopt_flow_map(netlink: NetlinkSocket, ifindex: int) -> FlowMap | None:
    """Open the map of the classifier at work on a device; None where there is none or we may not."""
    try:
        number = classifier_id(netlink, ifindex)
        return None if number is None else FlowMap.adopt(number)
    except QosError:
        return None
