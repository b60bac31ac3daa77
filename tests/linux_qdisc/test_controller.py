"""The control loop over a kernel of the test's own: who is asked, what is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from linux_qdisc import controller as module
from linux_qdisc import learning
from linux_qdisc.compile import compile_tree, guaranteed_rate_bps
from linux_qdisc.controller import IDLE_S, Controller, leaf_shape
from linux_qdisc.device import DeviceFacts
from linux_qdisc.guarantee import GROW_AFTER_S, MIN_SHARES, Shares
from linux_qdisc.settings import MIN_RATE_BPS, QueueSettings
from linux_qdisc.stats import ClassTable
from linux_qdisc.tree import ENTRY_SHARES, GUARANTEED_FRACTION, ClassShape, FairTree
from schedulers.packet.limits import FlowCounters

FLOWS = 16
DT_S = 0.02
Int64 = NDArray[np.int64]


def tree(rate: int = 10_000_000, policy: str = "sawtooth", flows: int = FLOWS) -> FairTree:
    device = DeviceFacts("v0", 7, 1500, 1, 1, True, 65536, "", "veth")
    return compile_tree(QueueSettings("v0", rate, flows=flows, policy=policy, offloads="off"), device).egress


@dataclass
class Kernel:
    """What the tree counts, and what was written to it."""

    flows: int = FLOWS
    limit: int = 25_000
    table: ClassTable = field(init=False)
    limits: Int64 = field(init=False)
    limit_writes: list[dict[int, int]] = field(default_factory=list)
    guarantee_writes: list[tuple[list[int], ClassShape]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table = ClassTable.empty(self.flows)
        self.limits = np.full(self.flows, self.limit, np.int64)

    def send(self, queue: int, size: int = 1500, backlog: int = 0, drops: int = 0) -> None:
        self.table.sent_bytes[queue] += size
        self.table.sent_packets[queue] = (self.table.sent_packets[queue] + 1) % 2**32
        self.table.dropped_packets[queue] = (self.table.dropped_packets[queue] + drops) % 2**32
        self.table.backlog_bytes[queue] = backlog


class Policy:
    """Wants what the test says, and remembers what it was told."""

    def __init__(self, first: int) -> None:
        self.seen: list[FlowCounters] = []
        self.wish: Callable[[FlowCounters], Int64] = lambda counters: counters.limit_bytes
        self.first = first

    def limits(self, counters: FlowCounters, dt_s: float) -> Int64:
        self.seen.append(counters)
        return self.wish(counters)

    def first_limit_bytes(self, active_flows: int) -> int:
        assert active_flows >= 0
        return self.first


class FreeList:
    """Stands for the eBPF map."""

    def __init__(self) -> None:
        self.released: list[int] = []

    def release(self, queues: Int64) -> None:
        self.released += queues.tolist()


@dataclass
class Rig:
    kernel: Kernel
    policy: Policy
    map: FreeList
    controller: Controller
    tree: FairTree

    def idle(self, seconds: float) -> None:
        self.kernel.table.backlog_bytes[:] = 0
        for _ in range(round(seconds / DT_S)):
            self.controller.tick(DT_S)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return make_rig(monkeypatch, tree())


def make_rig(monkeypatch: pytest.MonkeyPatch, standing: FairTree) -> Rig:
    kernel, policy, free = (
        Kernel(standing.flows, standing.limit_bytes),
        Policy(standing.limit_bytes),
        FreeList(),
    )

    class Reader:
        def __init__(self, *_: object) -> None: ...

        def read(self) -> ClassTable:
            parts = ("sent_bytes", "sent_packets", "dropped_packets", "backlog_bytes", "backlog_packets")
            return ClassTable(*(getattr(kernel.table, part).copy() for part in parts))

    class Limits:
        def __init__(self, *_: object) -> None: ...

        def write(self, queue: Int64, limit: Int64) -> None:
            kernel.limit_writes.append(dict(zip(queue.tolist(), limit.tolist(), strict=True)))
            kernel.limits[queue] = limit

    class Guarantees:
        def __init__(self, *_: object) -> None: ...

        def write(self, queue: Int64, shape: ClassShape) -> None:
            kernel.guarantee_writes.append((queue.tolist(), shape))

    monkeypatch.setattr(module, "ClassReader", Reader)
    monkeypatch.setattr(module, "ActiveReader", Reader)
    monkeypatch.setattr(module, "LimitWriter", Limits)
    monkeypatch.setattr(module, "GuaranteeWriter", Guarantees)
    monkeypatch.setattr(module, "read_limits", lambda *_: kernel.limits.copy())
    monkeypatch.setattr(learning, "make_policy", lambda *_: policy)
    made = Controller(None, 7, standing, "sawtooth", free)  # type: ignore[arg-type]
    return Rig(kernel, policy, free, made, standing)


def test_an_idle_tree_costs_no_policy_and_no_message(rig: Rig) -> None:
    rig.idle(5.0)
    assert (rig.policy.seen, rig.kernel.limit_writes, rig.kernel.guarantee_writes) == ([], [], [])


def test_the_policy_sees_the_active_flows_alone_and_what_they_did(rig: Rig) -> None:
    rig.kernel.send(3, 1500, backlog=900, drops=2)
    rig.kernel.send(9, 60)
    rig.controller.tick(DT_S)
    rig.kernel.send(3, 3000, backlog=0)
    rig.controller.tick(DT_S)
    first, second = rig.policy.seen
    assert (first.slot.tolist(), first.is_new.tolist()) == ([3, 9], [True, True])
    assert first.sent_bytes.tolist() == [1500, 60]
    assert first.dropped_packets.tolist() == [2, 0]
    assert first.backlog_bytes.tolist() == [900, 0]
    assert (second.slot.tolist(), second.is_new.tolist()) == ([3], [False])
    assert second.sent_bytes.tolist() == [3000]


def test_only_limits_that_change_are_written(rig: Rig) -> None:
    rig.policy.wish = lambda c: np.where(c.slot == 3, 30_000, c.limit_bytes)
    for queue in (3, 5):
        rig.kernel.send(queue)
    assert rig.controller.tick(DT_S) == 1
    rig.kernel.send(3)
    assert rig.controller.tick(DT_S) == 0
    assert rig.kernel.limit_writes == [{3: 30_000}]


@given(wishes=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=10))
def test_limits_stay_in_their_range_whatever_a_policy_wants(wishes: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        rig = make_rig(patch, tree())
        for wish in wishes:
            rig.policy.wish = lambda c, wish=wish: np.full(len(c.slot), wish, np.int64)
            rig.kernel.send(1)
            rig.controller.tick(DT_S)
            low, high = rig.tree.min_limit_bytes, rig.tree.max_limit_bytes
            assert low <= rig.kernel.limits[1] <= high
            assert rig.kernel.limits[1] == min(max(wish, low), high)


def test_a_queue_that_was_idle_and_is_used_again_starts_at_the_default(rig: Rig) -> None:
    rig.policy.wish = lambda c: np.full(len(c.slot), 40_000, np.int64)
    rig.kernel.send(3)
    rig.controller.tick(DT_S)
    assert rig.kernel.limits[3] == 40_000
    rig.idle(IDLE_S + 2 * DT_S)
    assert rig.kernel.limits[3] == rig.tree.limit_bytes
    assert rig.map.released == [3]
    rig.kernel.send(3)
    rig.controller.tick(DT_S)
    assert rig.policy.seen[-1].is_new.tolist() == [True]
    assert rig.policy.seen[-1].limit_bytes.tolist() == [rig.tree.limit_bytes]


def test_queues_that_nobody_uses_get_the_limit_that_the_policy_wants_for_them(rig: Rig) -> None:
    rig.kernel.send(3)
    rig.policy.first = rig.tree.min_limit_bytes + 100
    rig.controller.tick(DT_S)
    others = np.arange(rig.kernel.flows) != 3
    assert (rig.kernel.limits[others] == rig.tree.min_limit_bytes + 100).all()
    assert rig.kernel.limits[3] == rig.tree.limit_bytes
    written = len(rig.kernel.limit_writes)
    rig.controller.tick(DT_S)
    assert len(rig.kernel.limit_writes) == written
    rig.policy.first = 0
    rig.controller.tick(DT_S)
    assert (rig.kernel.limits[others] == rig.tree.min_limit_bytes).all()


def test_a_thousand_unused_queues_are_not_all_written_at_one_poll(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linux_qdisc.controller.WELCOMED_AT_ONCE", 5)
    rig.policy.first = rig.tree.min_limit_bytes
    for polls in (1, 2):
        rig.controller.tick(DT_S)
        changed = np.count_nonzero(rig.kernel.limits == rig.tree.min_limit_bytes)
        assert changed == min(5 * polls, rig.kernel.flows)


def test_a_short_pause_does_not_make_a_flow_new(rig: Rig) -> None:
    rig.kernel.send(3)
    rig.controller.tick(DT_S)
    rig.idle(IDLE_S / 2)
    rig.kernel.send(3)
    rig.controller.tick(DT_S)
    assert rig.policy.seen[-1].is_new.tolist() == [False]
    assert rig.map.released == []


def test_a_queue_that_only_holds_packets_is_not_idle(rig: Rig) -> None:
    rig.kernel.send(3, backlog=3000)
    for _ in range(round((IDLE_S + 1) / DT_S)):
        rig.controller.tick(DT_S)
    assert rig.map.released == []


def test_a_flow_that_falls_silent_right_after_a_reload_is_retired_too(rig: Rig) -> None:
    """Its queue must come back with the first limit, else the map runs out of free queues."""
    rig.policy.wish = lambda c: np.full(len(c.slot), 40_000, np.int64)
    rig.kernel.send(3)
    rig.controller.tick(DT_S)
    rig.policy.first = rig.tree.limit_bytes * 2
    rig.controller.reload(tree(20_000_000), "sawtooth", rig.map)  # type: ignore[arg-type]
    rig.idle(IDLE_S + 2 * DT_S)
    assert rig.map.released == [3]
    assert rig.kernel.limits[3] == rig.tree.limit_bytes * 2


def test_guarantees_that_an_earlier_loop_left_are_written_anew(rig: Rig) -> None:
    for queue in (3, 4):
        rig.kernel.send(queue)
    rig.controller.reload(tree(20_000_000), "sawtooth", rig.map)  # type: ignore[arg-type]
    rig.kernel.send(3)
    rig.controller.tick(DT_S)
    assert [queues for queues, _shape in rig.kernel.guarantee_writes] == [[3]]
    assert rig.policy.seen[-1].is_new.tolist() == [True]
    rig.idle(0.5)
    assert [queues for queues, _shape in rig.kernel.guarantee_writes] == [[3], [4]]


def test_counters_that_wrap_are_read_as_differences(rig: Rig) -> None:
    rig.kernel.table.sent_packets[3] = rig.kernel.table.dropped_packets[3] = 2**32 - 1
    rig.controller.reload(tree(20_000_000), "sawtooth", None)
    rig.kernel.send(3, drops=5)
    rig.controller.tick(DT_S)
    counters = rig.policy.seen[-1]
    assert (counters.sent_packets.tolist(), counters.dropped_packets.tolist()) == ([1], [5])


def test_guarantees_follow_the_number_of_active_queues(rig: Rig) -> None:
    for queue in range(3):
        rig.kernel.send(queue)
    rig.controller.tick(DT_S)
    assert rig.kernel.guarantee_writes == []  # they woke with the entry's guarantee
    for _ in range(round((GROW_AFTER_S + 0.1) / DT_S)):
        for queue in range(3):
            rig.kernel.send(queue)
        rig.controller.tick(DT_S)
    assert rig.kernel.guarantee_writes == [([0, 1, 2], leaf_shape(rig.tree, MIN_SHARES))]
    rig.idle(IDLE_S + 2 * DT_S)
    assert rig.kernel.guarantee_writes[1:] == [([0, 1, 2], leaf_shape(rig.tree, ENTRY_SHARES))]


@given(
    st.lists(
        st.tuples(st.integers(0, 32_768), st.floats(0.001, 10.0, allow_nan=False)), min_size=1, max_size=60
    ),
    st.integers(MIN_RATE_BPS, 10**12),
)
def test_the_guarantees_of_all_active_queues_stay_below_the_rate(
    polls: list[tuple[int, float]], rate_bps: int
) -> None:
    shares = Shares()
    for active, dt_s in polls:
        now = shares.update(active, dt_s)
        assert now >= max(active, MIN_SHARES)
        assert now & (now - 1) == 0
        # HTB counts whole bytes a second, so one byte a second is the least that can be guaranteed.
        least_bps = 8 * active
        assert active * guaranteed_rate_bps(rate_bps, now) <= max(rate_bps * GUARANTEED_FRACTION, least_bps)


def test_guarantees_shrink_at_once_and_grow_after_calm() -> None:
    shares = Shares()
    assert shares.update(200, DT_S) == 256
    assert shares.update(10, GROW_AFTER_S / 2) == 256
    assert shares.update(10, GROW_AFTER_S / 2) == 16
    assert shares.update(17, DT_S) == 32


def test_the_summary_adds_up(rig: Rig) -> None:
    rig.kernel.send(3, 1500, backlog=900, drops=2)
    rig.kernel.send(9, 60, backlog=100)
    rig.controller.tick(DT_S)
    summary = rig.controller.summary("v0")
    assert (summary.device, summary.active_flows) == ("v0", 2)
    assert (summary.sent_bytes, summary.dropped_packets) == (1560, 2)
    assert (summary.backlog_bytes, summary.backlog_largest_bytes) == (1000, 900)
    assert summary.limit_mean_bytes == rig.tree.limit_bytes
