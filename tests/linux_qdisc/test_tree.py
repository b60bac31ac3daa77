"""Settings -> tree -> difference -> operations, without a kernel."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linux_qdisc.compile import (
    LEAF_BURST_S,
    MAX_LIMIT_BYTES,
    burst_bytes,
    compile_tree,
    guaranteed_rate_bps,
    has_ethernet_header,
    ifb_name,
    super_packet_bytes,
)
from linux_qdisc.device import DeviceFacts
from linux_qdisc.diff import difference
from linux_qdisc.encode import class_parameters
from linux_qdisc.operations import (
    AddIfb,
    AddRedirect,
    DeleteClass,
    DeleteIngress,
    DeleteLink,
    Operation,
    ReplaceRoot,
    SetClass,
    SetClassifier,
    SetLeaf,
    as_commands,
)
from linux_qdisc.settings import ISOLATIONS, LINK_LAYERS, Framing, QueueSettings, split_address
from linux_qdisc.tree import (
    CATCH_ALL_MINOR,
    ENTRY_SHARES,
    GUARANTEED_FRACTION,
    LINK_MINOR,
    FairTree,
    QdiscTree,
    flow_minor,
    leaf_handle,
)
from qos.errors import ValueRefusedError
from qos.units import parse_rate

ETHERNET = DeviceFacts("v0", 7, 1500, 1, 1, True, 65536, "02:00:00:00:00:01", "veth")
TUNNEL = replace(ETHERNET, name="t0", link_type=0xFFFE, kind="tun")

framings = st.builds(
    Framing,
    st.none() | st.integers(14, 256),
    st.integers(0, 256),
    st.sampled_from(LINK_LAYERS),
)
settings = st.builds(
    QueueSettings,
    st.just("v0"),
    rate_bps=st.integers(8000, 10**12),
    ingress_rate_bps=st.none() | st.integers(8000, 10**12),
    flows=st.sampled_from((2, 4, 8, 16)),
    policy=st.sampled_from(("sawtooth", "fixed:30kb", "fixed:1b", "fixed:1gb")),
    interval_ns=st.integers(10**6, 10**10),
    offloads=st.sampled_from(("keep", "off")),
    gro_off=st.lists(st.sampled_from(("v0", "v1")), max_size=2).map(tuple),
    framing=framings,
    isolate=st.sampled_from(ISOLATIONS),
    metrics=st.none() | st.just("127.0.0.1:9420"),
)
devices = st.builds(
    lambda mtu, link_type, gso: replace(ETHERNET, mtu_bytes=mtu, link_type=link_type, gso_max_bytes=gso),
    st.integers(68, 65535),
    st.just(1),
    st.integers(2048, 524288),
)


@given(settings)
def test_settings_survive_the_round_trip_through_a_file(wish: QueueSettings) -> None:
    import json

    assert QueueSettings.from_json(json.loads(json.dumps(wish.to_json()))) == wish


@given(settings, devices)
def test_every_tree_is_one_that_the_kernel_can_hold(wish: QueueSettings, device: DeviceFacts) -> None:
    tree = compile_tree(wish, device)
    assert (tree.ingress is None) == (wish.ingress_rate_bps is None)
    for side, rate_bps in ((tree.egress, wish.rate_bps), (tree.ingress, wish.ingress_rate_bps)):
        if side is None:
            continue
        assert side.link.rate_bps == side.link.ceil_bps == side.leaf.ceil_bps <= rate_bps
        assert side.link.rate_bps >= rate_bps * 64 // 65
        assert 8 <= side.leaf.rate_bps <= max(8, side.link.rate_bps * GUARANTEED_FRACTION / ENTRY_SHARES)
        assert 0 < side.min_limit_bytes <= side.limit_bytes <= side.max_limit_bytes <= MAX_LIMIT_BYTES
        frame = device.mtu_bytes + 14
        assert side.leaf.quantum_bytes >= frame
        assert min(side.link.burst_bytes, side.leaf.cburst_bytes) >= 2 * frame
        assert side.leaf.burst_bytes > 0
        assert side.leaf.burst_bytes * ENTRY_SHARES * 8 <= max(side.link.rate_bps * LEAF_BURST_S, 512)
        if wish.offloads == "keep":
            assert side.min_limit_bytes >= device.gso_max_bytes
        for shape in (side.link, side.leaf):
            class_parameters(shape)  # fits the kernel's fields


def test_a_fixed_limit_is_the_limit() -> None:
    wish = QueueSettings("v0", 10**7, policy="fixed:30kb", offloads="off")
    assert compile_tree(wish, ETHERNET).egress.limit_bytes == 30 * 1024
    kept = compile_tree(replace(wish, offloads="keep"), ETHERNET).egress
    assert kept.limit_bytes == super_packet_bytes(ETHERNET) > 65536


@pytest.mark.parametrize(("rate", "at_least"), [("50mbit", 20_000), ("1gbit", 50_000), ("8gbit", 10**6)])
def test_the_burst_grows_with_the_rate(rate: str, at_least: int) -> None:
    """20 kB at 50 Mbit/s were right, 3 kB cut 8 Gbit/s to 2 (specification of the kernel work, 3)."""
    assert at_least <= burst_bytes(parse_rate(rate), 1514) <= 3 * at_least


@given(st.integers(8000, 10**12), st.integers(8000, 10**12))
def test_a_faster_link_never_has_a_smaller_burst(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert burst_bytes(low, 1514) <= burst_bytes(high, 1514)


@given(st.integers(8000, 10**12), st.integers(0, 15))
def test_guarantees_of_all_shares_fill_less_than_the_link(rate_bps: int, bits: int) -> None:
    shares = 1 << bits
    assert guaranteed_rate_bps(rate_bps, shares) * shares <= max(rate_bps * GUARANTEED_FRACTION, 8 * shares)


def test_framing_is_what_cake_users_mean() -> None:
    """`overhead` counts from the IP packet; the kernel has counted an Ethernet header already."""

    def wire(framing: Framing, device: DeviceFacts) -> tuple[int, int, bool]:
        found = compile_tree(QueueSettings(device.name, 10**6, framing=framing), device).egress.link.wire
        return found.overhead_bytes, found.mpu_bytes, found.is_atm

    assert wire(Framing(), ETHERNET) == (0, 0, False)
    assert wire(Framing(44, 64, "atm"), ETHERNET) == (30, 64, True)
    assert wire(Framing(44, 64, "atm"), TUNNEL) == (44, 64, True)
    with pytest.raises(ValueRefusedError, match="--overhead 13"):
        wire(Framing(13), ETHERNET)
    ptm = compile_tree(QueueSettings("v0", 65_000_000, framing=Framing(linklayer="ptm")), ETHERNET)
    assert ptm.egress.link.rate_bps == 64_000_000


def test_a_device_without_a_link_header_is_seen_as_such() -> None:
    assert (has_ethernet_header(ETHERNET), has_ethernet_header(TUNNEL)) == (True, False)
    assert len(ifb_name(replace(ETHERNET, ifindex=2**31 - 1))) <= 15


class Mirror:
    """A kernel that only remembers: operations applied to it give the tree that stands."""

    def __init__(self) -> None:
        self.links: set[str] = set()
        self.classes: dict[tuple[str, int], object] = {}
        self.leaves: dict[tuple[str, int], tuple[int, int]] = {}
        self.classifiers: dict[str, object] = {}
        self.redirects: dict[str, str] = {}

    def apply(self, operations: list[Operation]) -> None:
        for row in operations:
            match row:
                case AddIfb(name):
                    assert name not in self.links
                    self.links.add(name)
                case DeleteLink(name):
                    self.links.remove(name)
                    self.forget(name)
                case ReplaceRoot(device):
                    self.forget(device)
                case SetClass(device, minor, _parent, shape, create):
                    assert create is ((device, minor) not in self.classes)
                    self.classes[device, minor] = shape
                case DeleteClass(device, minor):
                    del self.classes[device, minor]
                    del self.leaves[device, minor]
                case SetLeaf(device, minor, handle, limit, create):
                    assert (device, minor) in self.classes
                    assert create is ((device, minor) not in self.leaves)
                    self.leaves[device, minor] = handle, limit
                case SetClassifier(device, flows, spec, create):
                    assert create is (device not in self.classifiers)
                    queues = {minor for at, minor in self.leaves if at == device}
                    assert queues >= {flow_minor(queue) for queue in range(flows)}
                    self.classifiers[device] = flows, spec
                case AddRedirect(device, ifb):
                    assert ifb in self.links
                    assert ifb in self.classifiers
                    self.redirects[device] = ifb
                case DeleteIngress(device):
                    del self.redirects[device]
                case _:
                    raise AssertionError(row)

    def forget(self, device: str) -> None:
        for table in (self.classes, self.leaves):
            for key in [key for key in table if key[0] == device]:
                del table[key]
        self.classifiers.pop(device, None)

    def holds(self, tree: FairTree) -> None:
        here = {minor: shape for (at, minor), shape in self.classes.items() if at == tree.device}
        queues = range(tree.flows)
        assert here == {
            LINK_MINOR: tree.link,
            CATCH_ALL_MINOR: tree.leaf,
            **{flow_minor(queue): tree.leaf for queue in queues},
        }
        leaves = {minor: found for (at, minor), found in self.leaves.items() if at == tree.device}
        assert leaves.pop(CATCH_ALL_MINOR)[1] == tree.catch_all_limit_bytes
        assert leaves == {flow_minor(queue): (leaf_handle(queue), tree.limit_bytes) for queue in queues}
        assert self.classifiers[tree.device] == (tree.flows, tree.classifier)


@given(st.lists(settings, min_size=1, max_size=4))
def test_the_difference_leads_from_any_tree_to_any_other(wishes: list[QueueSettings]) -> None:
    kernel, standing = Mirror(), None
    for wish in wishes:
        wanted = compile_tree(wish, ETHERNET)
        kernel.apply(difference(standing, wanted))
        kernel.holds(wanted.egress)
        assert kernel.links == ({wanted.ingress.device} if wanted.ingress else set())
        assert bool(kernel.redirects) == bool(wanted.ingress)
        if wanted.ingress is not None:
            kernel.holds(wanted.ingress)
        assert difference(wanted, wanted) == []
        standing = wanted


@given(settings, settings)
def test_a_change_never_replaces_what_holds_packets(one: QueueSettings, other: QueueSettings) -> None:
    """Only surplus queues are deleted, and no root is replaced, so nothing queued is lost."""
    old, new = (compile_tree(wish, ETHERNET) for wish in (one, replace(other, ingress_rate_bps=None)))
    operations = difference(QdiscTree(old.egress), new)
    assert not any(isinstance(row, ReplaceRoot) for row in operations)
    gone = [row.minor for row in operations if isinstance(row, DeleteClass)]
    assert gone == [flow_minor(queue) for queue in range(new.egress.flows, old.egress.flows)]
    # The classifier stops naming a queue before that queue goes.
    kinds = [type(row) for row in operations]
    if gone:
        assert kinds.index(SetClassifier) < kinds.index(DeleteClass)


@given(settings)
def test_the_dry_run_is_shell_words_of_ip_tc_and_ethtool(wish: QueueSettings) -> None:
    for line in as_commands(difference(None, compile_tree(wish, ETHERNET))):
        words = shlex.split(line)
        assert words[0] in ("ip", "tc", "ethtool")
        assert "\n" not in line
        for flag in ("rate", "ceil"):
            if flag in words:
                parse_rate(words[words.index(flag) + 1])


def test_the_dry_run_says_rates_exactly() -> None:
    lines = as_commands(difference(None, compile_tree(QueueSettings("v0", 12_345_678, flows=2), ETHERNET)))
    link = next(line for line in lines if "classid 71:1 " in line).split()
    assert parse_rate(link[link.index("rate") + 1]) == 12_345_678


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rate_bps": 7999}, "--rate"),
        ({"rate_bps": 10**12 + 1}, "--rate"),
        ({"ingress_rate_bps": 0}, "--ingress"),
        ({"flows": 0}, "--flows"),
        ({"flows": 1}, "--flows"),
        ({"flows": 48}, "power of two"),
        ({"flows": 65536}, "--flows"),
        ({"interval_ns": 999_999}, "--interval"),
        ({"policy": "lifo"}, "policy"),
        ({"offloads": "maybe"}, "--offloads"),
        ({"isolate": "country"}, "--isolate"),
        ({"metrics": "localhost"}, "--metrics"),
        ({"metrics": ":" + 5000 * "9"}, "--metrics"),
        ({"metrics": ":0"}, "--metrics"),
        ({"metrics": ":٣"}, "--metrics"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueRefusedError, match=said):
        QueueSettings(**({"device": "v0", "rate_bps": 10**6} | change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "said"),
    [((-1, 0, "ethernet"), "--overhead"), ((0, 257, "atm"), "--mpu"), ((0, 0, "x25"), "--linklayer")],
)
def test_framing_out_of_range_is_refused(values: tuple[int, int, str], said: str) -> None:
    with pytest.raises(ValueRefusedError, match=said):
        Framing(*values)


def test_a_metrics_address_is_split() -> None:
    assert split_address(":9420") == ("127.0.0.1", 9420)
    assert split_address("[::1]:9420") == ("::1", 9420)
