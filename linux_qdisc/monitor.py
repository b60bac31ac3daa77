"""What an onlooker reads of a tree: the busiest flows by name, and figures of the whole.

Nothing here needs the controller. Names of flows come from the eBPF map of the classifier that is at
work, which takes CAP_SYS_ADMIN to open; without it, and with classic BPF, flows have no name.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linux_qdisc import state
from linux_qdisc.adoption import adopt_flow_map
from linux_qdisc.bpf.flowmap import FlowKey
from linux_qdisc.compile import ifb_name
from linux_qdisc.device import all_devices, device_facts
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.settings import QueueSettings
from linux_qdisc.snapshot import snapshot
from linux_qdisc.stats import ClassReader, ClassTable, read_limits
from qos.errors import InputError, QosError

EGRESS, INGRESS = "egress", "ingress"
_DROPS_MASK = 2**32 - 1  # the counter wraps
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 58: "icmp6", 132: "sctp", 136: "udplite"}


@dataclass(frozen=True, slots=True)
class FlowRow:
    """One queue since the previous look.

    Attributes
    ----------
    direction
        ``egress`` or ``ingress``.
    queue
        Its number in the tree of that direction.
    flows
        The flows (or hosts) in it; empty where they have no name.
    rate_bps, drops
        What it sent and dropped.
    backlog_bytes, backlog_s
        What waits now, and how long at that rate; None where nothing was sent.
    limit_bytes
        What may wait.
    """

    direction: str
    queue: int
    flows: tuple[str, ...]
    rate_bps: int
    backlog_bytes: int
    backlog_s: float | None
    limit_bytes: int
    drops: int

    def to_json(self) -> dict[str, Any]:
        """Return a plain document."""
        return asdict(self) | {"flows": list(self.flows)}


def flow_text(key: FlowKey, isolate: str) -> str:
    """Write a key as people do: ``tcp 10.0.0.1:5000 > 10.0.0.2:443``, or the host that is isolated."""
    if isolate == "source-host":
        return str(key.source)
    if isolate == "destination-host":
        return str(key.destination)
    protocol = _PROTOCOLS.get(key.protocol, f"proto {key.protocol}" if key.protocol else "ip")
    if not key.source_port and not key.destination_port:
        return f"{protocol} {key.source} > {key.destination}"
    ends = ((key.source, key.source_port), (key.destination, key.destination_port))
    spelled = [f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}" for host, port in ends]
    return f"{protocol} {spelled[0]} > {spelled[1]}"


class TreeMonitor:
    """Two dumps apart in time make rates.

    Parameters
    ----------
    netlink
        The socket to use.
    direction
        What the rows say.
    ifindex
        The device that carries the tree.
    settings
        What was attached.
    """

    def __init__(self, netlink: NetlinkSocket, direction: str, ifindex: int, settings: QueueSettings) -> None:
        self._netlink, self._direction, self._ifindex = netlink, direction, ifindex
        self._flows, self._isolate = settings.flows, settings.isolate
        self._reader = ClassReader(netlink, ifindex, settings.flows)
        self._last, self._at = self._reader.read(), time.monotonic()

    def refresh(self, rows: int) -> list[FlowRow]:
        """Return at most `rows` busiest flows since the previous call."""
        before, began = self._last, self._at
        self._last, self._at = self._reader.read(), time.monotonic()
        now = self._last
        rate_bps = (now.sent_bytes - before.sent_bytes) * 8 / max(self._at - began, 1e-9)
        drops = (now.dropped_packets - before.dropped_packets) & _DROPS_MASK
        busiest = np.lexsort((-rate_bps, -now.backlog_bytes))[:rows]
        busiest = busiest[(rate_bps[busiest] > 0) | (now.backlog_bytes[busiest] > 0)]
        return self._rows(busiest, rate_bps, drops)

    def _rows(
        self, busiest: NDArray[np.int64], rate_bps: NDArray[np.float64], drops: NDArray[np.int64]
    ) -> list[FlowRow]:
        if not len(busiest):
            return []
        limits = read_limits(self._netlink, self._ifindex, self._flows)
        names = self._names()
        backlog = self._last.backlog_bytes
        return [
            FlowRow(
                self._direction,
                queue,
                names.get(queue, ()),
                int(rate_bps[queue]),
                int(backlog[queue]),
                float(backlog[queue] * 8 / rate_bps[queue]) if rate_bps[queue] else None,
                int(limits[queue]),
                int(drops[queue]),
            )
            for queue in busiest.tolist()
        ]

    def _names(self) -> dict[int, tuple[str, ...]]:
        opened = adopt_flow_map(self._netlink, self._ifindex)
        if opened is None:
            return {}
        try:
            return {
                queue: tuple(flow_text(key, self._isolate) for key in found)
                for queue, found in opened.entries().items()
            }
        except QosError:
            return {}
        finally:
            opened.close()


class InterfaceMonitor:
    """Both directions of one interface; follows its reloads.

    Raises
    ------
    ValueRefusedError
        If there is no such interface.
    InputError
        If nothing of ours is on it.
    """

    def __init__(self, device: str) -> None:
        self._device = device_facts(device)
        self._key = state.Key.of(self._device.ifindex)
        self._netlink = NetlinkSocket()
        self._settings: QueueSettings | None = None
        self._trees: list[TreeMonitor] = []
        try:
            self._follow()
        except BaseException:
            self._netlink.close()
            raise

    def close(self) -> None:
        """Let go of the socket."""
        self._netlink.close()

    def _follow(self) -> None:
        held = state.read(self._key)
        if held is None:
            name = self._device.name
            raise InputError(f"{name} has no queue of ours; 'qos attach {name} --rate RATE' makes one")
        if held.settings != self._settings:
            self._settings = held.settings
            indexes = {row.name: row.ifindex for row in all_devices()}
            directions = ((EGRESS, self._device.name), (INGRESS, ifb_name(self._device)))
            self._trees = [
                TreeMonitor(self._netlink, direction, indexes[name], held.settings)
                for direction, name in directions
                if name in indexes and (direction == EGRESS or held.settings.ingress_rate_bps is not None)
            ]

    def refresh(self, rows: int) -> list[FlowRow]:
        """Return at most `rows` busiest flows of both directions since the previous call.

        Raises
        ------
        InputError
            If the interface was detached or has disappeared meanwhile.
        """
        self._follow()
        found = [row for tree in self._trees for row in tree.refresh(rows)]
        return sorted(found, key=lambda row: (-row.backlog_bytes, -row.rate_bps))[:rows]


def tree_figures(netlink: NetlinkSocket, ifindex: int, flows: int) -> dict[str, Any]:
    """Return the sums over all queues of one tree, and whether it still stands."""
    counters: ClassTable = ClassReader(netlink, ifindex, flows).read()
    return {
        "standing": snapshot(netlink, ifindex).is_ours,
        "flows_waiting": int((counters.backlog_bytes > 0).sum()),
        "backlog_bytes": int(counters.backlog_bytes.sum()),
        "sent_bytes": int(counters.sent_bytes.sum()),
        "drops": int(counters.dropped_packets.sum()),
    }


def attached_figures(wanted_ifindex: int | None) -> list[dict[str, Any]]:
    """Return settings, controller and figures of each attached interface, or of one.

    ``ingress`` is None, or the figures of the tree on the ifb device.
    """
    devices = {row.ifindex: row for row in all_devices()}
    indexes = {row.name: row.ifindex for row in devices.values()}
    found = []
    with NetlinkSocket() as netlink:
        for key, held in state.attached():
            if key.ifindex not in devices or wanted_ifindex not in (None, key.ifindex):
                continue
            device, settings = devices[key.ifindex], held.settings
            ifb = indexes.get(ifb_name(device)) if settings.ingress_rate_bps is not None else None
            found.append(
                settings.to_json()
                | {
                    "device": device.name,
                    "pid": held.pid,
                    "controlled": state.is_locked(key),
                    "ended": held.ended,
                }
                | tree_figures(netlink, key.ifindex, settings.flows)
                | {"ingress": None if ifb is None else tree_figures(netlink, ifb, settings.flows)}
            )
    return found
