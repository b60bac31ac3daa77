"""The control loop: counters -> policy -> limits, at a fixed rate, for one queueing tree."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from linux_qdisc.active import ActiveReader
from linux_qdisc.bpf.flowmap import FlowMap
from linux_qdisc.compile import guaranteed_rate_bps, leaf_burst_bytes
from linux_qdisc.distribution import FlowHistograms, ObservedPoll
from linux_qdisc.guarantee import Guarantees
from linux_qdisc.learning import WeightsChoice
from linux_qdisc.rtnetlink import NetlinkSocket
from linux_qdisc.stats import ClassReader, ClassTable, GuaranteeWriter, LimitWriter, read_limits
from linux_qdisc.tree import ENTRY_SHARES, ClassShape, FairTree
from schedulers.packet.limits import FlowCounters, LimitPolicy, QueueContext

IDLE_S = 2.0
"""A queue that sent nothing and held nothing for so long is free; who uses it next is a new flow."""
TAKE_OVER_S = 0.2
"""A queue that was in use before this loop began and stays silent for so long is free."""
WELCOMED_AT_ONCE = 2048
"""So many unused queues get another limit at one poll."""
SHIPPED_WEIGHTS = WeightsChoice()
_COUNTER_MASK = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Summary:
    """Aggregated figures of one device; counters since the tree was made."""

    device: str
    active_flows: int
    sent_bytes: int
    dropped_packets: int
    backlog_bytes: int
    backlog_largest_bytes: int
    limit_mean_bytes: float
    loop_s: float
    flows: FlowHistograms


class Controller:
    """Controls the queues of one device.

    Parameters
    ----------
    netlink
        The socket to use.
    ifindex
        The device that carries the tree.
    tree
        What stands there.
    policy
        Spelling of the limit policy.
    flow_map
        The eBPF side of the classifier, or None with classic BPF.
    weights
        Which weights the policy uses.
    """

    def __init__(
        self,
        netlink: NetlinkSocket,
        ifindex: int,
        tree: FairTree,
        policy: str,
        flow_map: FlowMap | None,
        weights: WeightsChoice = SHIPPED_WEIGHTS,
    ) -> None:
        self._netlink = netlink
        self._ifindex = ifindex
        self._limits = LimitWriter(netlink, ifindex)
        self._guarantees = GuaranteeWriter(netlink, ifindex)
        self.active_flows = 0
        self._loop_s = 0.0
        self._histograms = FlowHistograms()
        self._weights = weights
        self._start(tree, policy, flow_map)

    def _start(self, tree: FairTree, policy: str, flow_map: FlowMap | None) -> None:
        self._tree = tree
        self._flow_map = flow_map
        self._policy: LimitPolicy = self._weights.make_policy(policy, queue_context(tree))
        self._policy_name = policy
        self._sharing = Guarantees(tree.flows, tree.link.rate_bps, tree.frame_bytes)
        reader = ClassReader(self._netlink, self._ifindex, tree.flows)
        self._reader: ClassReader | ActiveReader = reader
        if flow_map is not None:
            self._reader = ActiveReader(reader, self._netlink, self._ifindex, flow_map)
        self._last = self._reader.read()
        self._limit = read_limits(self._netlink, self._ifindex, tree.flows)
        # What an earlier loop left behind: limits, guarantees and flows in the map that nobody else
        # will retire. Guarantees of such queues are unknown (0), so the next one is written.
        used = (self._last.sent_packets != 0) | (self._last.backlog_bytes != 0)
        self._quiet_s = np.where(used, IDLE_S - TAKE_OVER_S, IDLE_S)
        self._unseen = np.ones(tree.flows, np.bool_)
        self._shares_of = np.where(used, 0, ENTRY_SHARES)

    def reload(
        self,
        tree: FairTree,
        policy: str,
        flow_map: FlowMap | None,
        weights: WeightsChoice = SHIPPED_WEIGHTS,
    ) -> None:
        """Go on with a tree that was changed in place; one that was not goes on undisturbed."""
        known = (self._tree, self._policy_name, self._weights)
        if (tree, policy, weights) != known or flow_map is not self._flow_map:
            self.save_learned()
            self._weights = weights
            self._start(tree, policy, flow_map)

    def save_learned(self) -> None:
        """Save what the policy has learned, where it learns."""
        self._weights.save(self._policy)

    def tick(self, dt_s: float) -> int:
        """Poll once and set what must change; return the number of limits that changed.

        Parameters
        ----------
        dt_s
            Time since the previous poll in seconds, > 0.

        Raises
        ------
        KernelError
            If the tree or the device is gone.
        """
        started = time.monotonic()
        now, before = self._reader.read(), self._last
        self._last = now
        sent = now.sent_bytes - before.sent_bytes
        dropped = (now.dropped_packets - before.dropped_packets) & _COUNTER_MASK
        busy = (sent != 0) | (now.backlog_bytes != 0) | (dropped != 0)
        was_idle = self._quiet_s >= IDLE_S
        before_s = self._quiet_s.copy()
        self._quiet_s += dt_s
        self._quiet_s[busy] = 0.0
        fell_idle = (self._quiet_s >= IDLE_S) & ~was_idle
        active = np.flatnonzero(busy)
        self.active_flows = len(active)
        changed = 0
        seen = None
        if len(active):
            is_new = was_idle[active] | self._unseen[active]
            self._unseen[active] = False
            counters = self._counters(active, is_new, before, sent, dropped, before_s[active])
            changed = self._write_limits(active, self._policy.limits(counters, dt_s))
            seen = ObservedPoll(
                counters.backlog_bytes,
                self._limit[active],
                counters.sent_bytes,
                counters.dropped_packets,
                dt_s,
            )
        wanted = self._policy.first_limit_bytes(self.active_flows)
        first = min(max(wanted, self._tree.min_limit_bytes), self._tree.max_limit_bytes)
        self._retire(np.flatnonzero(fell_idle), first)
        self._welcome(first)
        self._guarantee(dt_s)
        self._loop_s = time.monotonic() - started
        self._histograms.observe(seen, self._tree.link.rate_bps, self._loop_s)
        return changed

    def summary(self, device: str) -> Summary:
        """Return the figures of the latest poll."""
        now = self._last
        in_use = (self._quiet_s < IDLE_S) & ~self._unseen
        self._histograms.count(self._tree.link.rate_bps)
        return Summary(
            device=device,
            active_flows=self.active_flows,
            sent_bytes=int(now.sent_bytes.sum()),
            dropped_packets=int(now.dropped_packets.sum()),
            backlog_bytes=int(now.backlog_bytes.sum()),
            backlog_largest_bytes=int(now.backlog_bytes.max()),
            limit_mean_bytes=float(self._limit[in_use].mean()) if in_use.any() else 0.0,
            loop_s=self._loop_s,
            flows=self._histograms,
        )

    def _counters(
        self,
        active: NDArray[np.int64],
        is_new: NDArray[np.bool_],
        before: ClassTable,
        sent: NDArray[np.int64],
        dropped: NDArray[np.int64],
        quiet_s: NDArray[np.float64],
    ) -> FlowCounters:
        now = self._last
        return FlowCounters(
            slot=active,
            is_new=is_new,
            sent_bytes=sent[active],
            sent_packets=(now.sent_packets[active] - before.sent_packets[active]) & _COUNTER_MASK,
            dropped_packets=dropped[active],
            backlog_bytes=now.backlog_bytes[active],
            backlog_packets=now.backlog_packets[active],
            limit_bytes=self._limit[active],
            quiet_s=quiet_s,
        )

    def _write_limits(self, queues: NDArray[np.int64], wanted: NDArray[np.int64]) -> int:
        wanted = np.clip(wanted, self._tree.min_limit_bytes, self._tree.max_limit_bytes)
        different = wanted != self._limit[queues]
        count = int(np.count_nonzero(different))
        if count:
            self._limits.write(queues[different], wanted[different])
            self._limit[queues[different]] = wanted[different]
        return count

    def _retire(self, queues: NDArray[np.int64], first_bytes: int) -> None:
        """Make idle queues ready for a new flow: first limit, first guarantee, free in the map."""
        if not len(queues):
            return
        self._write_limits(queues, np.full(len(queues), first_bytes, np.int64))
        self._set_shares(queues, ENTRY_SHARES)
        if self._flow_map is not None:
            self._flow_map.release(queues)

    def _welcome(self, first_bytes: int) -> None:
        """Give queues that nobody uses the limit that the policy wants for them now, some at each poll."""
        unused = np.flatnonzero((self._quiet_s >= IDLE_S) & (self._limit != first_bytes))[:WELCOMED_AT_ONCE]
        if len(unused):
            self._write_limits(unused, np.full(len(unused), first_bytes, np.int64))

    def _guarantee(self, dt_s: float) -> None:
        in_use = (self._quiet_s < IDLE_S) & ~self._unseen
        if in_use.any():
            for queues, shares in self._sharing.update(in_use, self._last.backlog_bytes, dt_s):
                self._set_shares(queues, shares)

    def _set_shares(self, queues: NDArray[np.int64], shares: int) -> None:
        queues = queues[self._shares_of[queues] != shares]
        if len(queues):
            self._guarantees.write(queues, leaf_shape(self._tree, shares))
            self._shares_of[queues] = shares


def queue_context(tree: FairTree) -> QueueContext:
    """Return what a policy is told about a tree."""
    return QueueContext(
        slots=tree.flows,
        rate_bps=tree.link.rate_bps,
        mtu_bytes=tree.frame_bytes,
        initial_limit_bytes=tree.limit_bytes,
        min_limit_bytes=tree.min_limit_bytes,
        max_limit_bytes=tree.max_limit_bytes,
    )


def leaf_shape(tree: FairTree, shares: int) -> ClassShape:
    """Return the class of a queue when the guaranteed part is divided among `shares`."""
    rate_bps = guaranteed_rate_bps(tree.link.rate_bps, shares)
    burst = leaf_burst_bytes(tree.link.rate_bps, rate_bps, tree.frame_bytes)
    return replace(tree.leaf, rate_bps=rate_bps, burst_bytes=burst)
